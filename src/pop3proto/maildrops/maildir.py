"""A store that keeps mail in Maildirs, which other programs may use at the same time. For POSIX systems."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Protocol, Self

import attrs
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.maildrop import (
    InUse,
    Maildrop,
    MaildropStore,
    Message,
    MessageStream,
    Refused,
    Unavailable,
    wire_size,
)

from .files import FOLDERS, MessageFiles
from .lock import FolderLock
from .sizes import SizeCache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pop3proto.sasl.channel import SessionInfo

    from .files import MessageFile

__all__ = ["MaildirStore", "Maildirs"]

# What does not pass by waiting (RFC 3206 section 4 tells the two apart).
_LASTING: Final = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
# A name that is too long is that of nothing.
_NOT_THERE: Final = {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}
# Not the fault of the file that could not be opened.
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Maildirs(Protocol):
    """Knows where users have their mail. A mapping does."""

    def get(self, user: str, /) -> Path | None:
        """Return a user's Maildir; None if there is none."""
        ...


class MaildirStore(MaildropStore):
    """Maildirs as maildrops.

    One session at a time has a Maildir, by a lock that the kernel frees with its owner; programs that know nothing of
    that lock may deliver, move, flag and remove messages meanwhile. Files are never renamed here, and removed only by
    a commit. Two files are added, `.pop3proto-lock` and `.pop3proto-sizes`; the second may be deleted at any time.

    The unique id of a message is the unique part of its file's name: that it is never used again for another message
    rests on those who deliver, as the rules of Maildir want it. Files that share a unique part (copies that somebody
    made) have ids of their own for as long as they do. A commit removes the file that the session saw, under all of its
    names; a copy that was made since is another file, and stays: alone now, it has the unique id in the next session.

    A message whose size is not known and that cannot be read (no permission, a bad disk) is left out until it can be:
    no size would be true, and the others must not be lost with it.

    Args:
        maildirs: the Maildir of each user: a mapping, or whatever has such a `get`. It is asked at every login.
    """

    def __init__(self, maildirs: Maildirs) -> None:
        self._maildirs = maildirs

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Return a store for a folder that holds a Maildir for each user, named as the user.

        It is looked for at every login. A user whose name begins with a dot, or is no name of a single file, has none.

        Args:
            folder: the folder.
        """
        return cls(_FolderOfMaildirs(folder))

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def open(self, user: str, session: SessionInfo) -> Maildrop:
        maildir = self._maildirs.get(user)
        if maildir is None:
            raise Refused("this user has no maildrop", ResponseCode.SYS_PERM)
        try:
            return _MaildirMaildrop(maildir)
        except OSError as error:
            raise _refusal(error) from error

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()


@attrs.frozen
class _FolderOfMaildirs:
    """A folder that holds Maildirs, each named as its user."""

    folder: Path

    def get(self, user: str, /) -> Path | None:
        """Return where a user's Maildir would be; None if the name could lead to anything else."""
        try:
            octets = os.fsencode(user)
        except UnicodeEncodeError:  # no file has this name
            return None
        if not octets or octets.startswith(b".") or b"/" in octets or b"\0" in octets:
            return None
        return self.folder / user


class _MaildirMaildrop(Maildrop):
    """One Maildir, locked, as it was when the session began. Making it fails with `OSError`."""

    def __init__(self, maildir: Path) -> None:
        for folder in FOLDERS:
            os.scandir(maildir / folder).close()  # before the lock leaves its file in what is no Maildir
        self._lock = FolderLock(maildir)
        try:
            self._files = MessageFiles(maildir)
            self._sizes = SizeCache(maildir)
            self._snapshot: list[MessageFile] = []
            self._messages: list[Message] = []
            for file in list(self._files):
                self._take(file)
            self._sizes.save()  # now: a session that ends badly should not make the next one count again
        except BaseException:
            self._lock.release()
            raise

    def _take(self, file: MessageFile) -> None:
        octets = self._octets(file)
        if octets is not None:
            self._snapshot.append(file)
            self._messages.append(Message(octets, file.unique_id))

    def _octets(self, file: MessageFile) -> int | None:
        octets = self._sizes.get(file)
        if octets is not None:
            return octets
        try:
            with self._files.open(file) as source:
                octets = wire_size(source)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            return None
        self._sizes.put(file, octets)
        return octets

    @property
    @override
    def messages(self) -> Sequence[Message]:
        return self._messages

    @override
    def open(self, number: int) -> MessageStream:
        try:
            return self._files.open(self._snapshot[number - 1])
        except FileNotFoundError as error:
            raise Refused(f"another program has removed message {number}") from error
        except OSError as error:
            raise Unavailable(f"message {number} cannot be read now") from error

    @override
    def correct(self, number: int, octets: int) -> None:
        file = self._snapshot[number - 1]
        self._messages[number - 1] = Message(octets, file.unique_id)
        self._sizes.put(file, octets)

    @override
    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        if not deleted:
            return
        failures = self._files.remove([self._snapshot[number - 1] for number in sorted(deleted)])
        if failures:
            lasting = all(failure.errno in _LASTING for failure in failures)
            # The words of RFC 1939 section 6.
            code = ResponseCode.SYS_PERM if lasting else ResponseCode.SYS_TEMP
            raise Refused("some deleted messages not removed", code) from ExceptionGroup("not removed", failures)

    @override
    def close(self) -> None:
        try:
            self._sizes.save()
        finally:
            self._lock.release()


def _refusal(error: OSError) -> Refused:
    """Return what to tell the client. The paths stay in the error that is the cause."""
    if isinstance(error, BlockingIOError):
        return InUse()
    if error.errno in _NOT_THERE:
        return Refused("the maildrop is not there, or is no Maildir", ResponseCode.SYS_PERM)
    if error.errno in _LASTING:
        return Refused("the server has no access to the maildrop", ResponseCode.SYS_PERM)
    return Unavailable()
