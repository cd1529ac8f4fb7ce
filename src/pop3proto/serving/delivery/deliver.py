"""Delivery of one message of a mail server: quota, filters, and into the Maildir."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import lock, open_regular, unlock
from pop3proto._io.new_files import OpenFolder, named
from pop3proto.core.text import visible
from pop3proto.maildrops.delivery import NotMaildir, ensure_maildir, unique_name
from pop3proto.maildrops.holding import NotFolder, held, made_inside
from pop3proto.maildrops.message_file import MaildirTarget, MessageFile
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Quota

from .errors import DeliverLater, DeliveryRefused
from .filtering import Filtering, ask_filters
from .header import Envelope, HeaderEditor
from .verdicts import FilterFailed, JunkAction, Scanned, Verdict

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pop3proto.maildrops.folders import HeldFolders
    from pop3proto.procedures.maildrop import ReadableFile

__all__ = ["DeliveryReport", "deliver_message"]

_CHUNK: Final = 1 << 18
_PATIENCE: Final = 30.0  # seconds for other deliveries that are at their end
_PAUSE: Final = 0.02  # seconds until the lock is tried again


@attrs.frozen
class DeliveryReport:
    """What became of a message.

    Args:
        path: its file.
        octets: its size on the wire.
        verdict: what the filters have found.
        used: what is used of the quota, in words, if the warning level is reached; else "".
    """

    path: Path
    octets: int
    verdict: Verdict
    used: str = ""


def deliver_message(  # noqa: PLR0913 - what a mail server and a site know, each by its name
    source: ReadableFile,
    maildir: Path,
    *,
    user: str = "",
    envelope: Envelope = Envelope(),  # noqa: B008 - it cannot change
    quota: Quota = Quota(),  # noqa: B008 - as above
    filtering: Filtering = Filtering(),  # noqa: B008 - as above
    follow_links: bool = False,
) -> DeliveryReport:
    """Deliver a message into a Maildir; when this returns, it is on the disk.

    The message may have any size, and takes constant memory. Its octets stay as they are, except for the fields of the
    envelope, and for a first line `From` as of mbox, which is left out. The quota is asked before the message is read,
    when its size is known, and at the end, with a lock against other deliveries. A message that root delivers belongs
    to the owner of the Maildir. A Maildir that does not exist is made, if its parent folder exists.

    Args:
        source: the message.
        maildir: the Maildir.
        user: whose it is, for the filters.
        envelope: what the mail server knows of the message.
        quota: the limits of the Maildir.
        filtering: the filters, and what is done with what they find.
        follow_links: whether the Maildir, and folders in it, may be symbolic links.

    Raises:
        DeliverLater: it was not delivered, and may be later. After a failure of the disk at the end it may be there all
            the same: a duplicate is better than a loss.
        DeliveryRefused: it was not delivered.
    """
    try:
        with ExitStack() as stack:
            ensure_maildir(maildir, follow_links=follow_links)
            folders = stack.enter_context(held(maildir, follow_links=follow_links))
            limits = MaildirQuota(maildir, quota, follow_links=follow_links)
            return _Delivery(stack, folders, user, envelope, limits, filtering).run(source)
    except FilterFailed as error:
        raise DeliverLater(str(error)) from error
    except (NotMaildir, NotFolder) as error:
        raise DeliverLater(visible(str(error))) from error
    except UnicodeError as error:  # a name that cannot be a file's
        raise DeliverLater(f"a name is no text: {visible(str(error))}") from error
    except OSError as error:
        where = "" if error.filename is None else f"{visible(str(error.filename))}: "
        raise DeliverLater(f"{where}{error.strerror or error}") from error


@attrs.frozen
class _Delivery:
    stack: ExitStack
    folders: HeldFolders
    user: str
    envelope: Envelope
    quota: MaildirQuota
    filtering: Filtering

    def run(self, source: ReadableFile) -> DeliveryReport:
        self._check_quota(0)
        tmp = OpenFolder(self.folders.maildir / "tmp", self.folders.open_descriptor("tmp"))
        self.stack.callback(tmp.close)
        message = self._receive(source, tmp)
        self._check_quota(message.file.size)
        verdict = ask_filters(self.filtering, lambda: self._opened(message), message.file.size)
        target = self.folders
        match self.filtering.action(verdict.kind):
            case JunkAction.DELIVER:
                pass
            case JunkAction.TAG:
                message = self._tagged(message, tmp)
            case JunkAction.FOLDER:
                target = self.stack.enter_context(made_inside(self.folders, self.filtering.folder))
            case JunkAction.REFUSE:
                why = f": {verdict.why}" if verdict.why else ""
                raise DeliveryRefused(f"the message was found to be {verdict.kind.value}{why}")
        path = self._commit(message, target)
        return DeliveryReport(path, message.octets, verdict, self._warning())

    def _receive(self, source: ReadableFile, tmp: OpenFolder) -> MessageFile:
        removed = ["Return-Path"] if self.envelope.sender is not None else []
        if JunkAction.TAG in (self.filtering.junk, self.filtering.virus):
            removed.append("X-Spam")  # that of the sender says nothing
        editor = HeaderEditor(self.envelope.fields(), removed)
        message = self._new(tmp)
        came = False
        while octets := source.read(_CHUNK):
            came = True
            message.write(editor.feed(octets))
            self._check_size(message.file.size)
        if not came:
            raise DeliverLater("there is no message on standard input")
        message.write(editor.finish())
        return message

    def _tagged(self, message: MessageFile, tmp: OpenFolder) -> MessageFile:
        """Return a copy that begins with a tag."""
        editor = HeaderEditor([("X-Spam", "Yes")])
        tagged = self._new(tmp)
        with self._opened(message).file as file:
            while octets := file.read(_CHUNK):
                tagged.write(editor.feed(octets))
        tagged.write(editor.finish())
        return tagged

    def _new(self, tmp: OpenFolder) -> MessageFile:
        message = MessageFile(tmp, unique_name())
        self.stack.callback(message.abort)
        return message

    def _opened(self, message: MessageFile) -> Scanned:
        try:
            file = open_regular(message.file.name, folder=message.file.folder.descriptor)
        except OSError as error:
            raise named(error, message.file.path) from error
        return Scanned(file, message.file.size, self.user, self.envelope)

    def _check_quota(self, octets: int) -> None:
        if self.quota.admits(octets):
            return
        words = f"the maildrop is full: {self.quota.quota.describe(self.quota.usage())}"
        if self.quota.quota.when_full == "refuse":
            raise DeliveryRefused(words)
        raise DeliverLater(words)

    def _check_size(self, octets: int) -> None:
        """Refuse what cannot fit, however much is deleted; it is not read to its end."""
        limits = self.quota.quota
        if not limits.grace and limits.octets is not None and octets > limits.octets:
            raise DeliveryRefused(f"the message is larger than the whole maildrop may be, {limits.octets} octets")

    def _commit(self, message: MessageFile, target: HeldFolders) -> Path:
        message.file.give_to(os.fstat(self.folders.held))
        into = MaildirTarget(target)
        self.stack.callback(into.close)
        with self._alone(message.file.folder), self.quota.following():
            self._check_quota(message.file.size)  # others came while the filters looked at it
            [name] = into.commit([message])
        return into.folder.path / name

    @contextmanager
    def _alone(self, tmp: OpenFolder) -> Generator[None]:
        """Keep other deliveries into a Maildir with limits waiting, as far as the file system has locks.

        Raises:
            DeliverLater: another one keeps this one waiting too long.
        """
        locked = False
        if self.quota.quota.is_limited:
            end = time.monotonic() + _PATIENCE
            while not locked:
                try:
                    lock(tmp.descriptor, tmp.path, wait=False)
                    locked = True
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise DeliverLater("other deliveries into this maildrop take too long") from None
                    time.sleep(_PAUSE)
                except OSError:  # without locks, several at once may go beyond the limit
                    break
        try:
            yield
        finally:
            if locked:
                unlock(tmp.descriptor)

    def _warning(self) -> str:
        try:
            usage = self.quota.usage()
        except OSError:  # it is delivered
            return ""
        return self.quota.quota.describe(usage) if self.quota.quota.warns(usage) else ""
