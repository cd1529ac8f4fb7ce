"""Writing a backup: each maildrop under its lock, into a file that appears when it is complete."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
import time
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import attrs

from pop3proto.core.text import visible
from pop3proto.maildrops.counting import open_message
from pop3proto.maildrops.files import MessageFiles
from pop3proto.maildrops.holding import held
from pop3proto.maildrops.ids import IdRecord
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.names import is_seen, is_trashed
from pop3proto.serving.quota.rules import Quota
from pop3proto.serving.retention.purge import MaildropInUse
from pop3proto.serving.retention.times import arrived

from .archive import INDEX, folder_of, open_archive
from .digest import WireDigest
from .errors import BadBackup, NothingToBackUp
from .index import Index
from .manifest import BackedUp, Manifest
from .output import Output, appearing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from io import FileIO
    from pathlib import Path

    from pop3proto.maildrops.folders import HeldFolders
    from pop3proto.maildrops.listing import MessageFile

__all__ = ["BackupReport", "MaildropPlace", "write_backup"]

_CHUNK: Final = 1 << 18
_PRIVATE: Final = 0o600


@attrs.frozen
class MaildropPlace:
    """A maildrop, and where it is.

    Args:
        user: whose it is.
        maildir: the Maildir.
        quota: its limits.
        follow_links: whether it, and folders in it, may be symbolic links.
        hides: whether messages flagged T count as deleted, as they do for `RetainingStore`: a backup does not have
            them, and restoring a message that is hidden so takes the flag away.

    Raises:
        ValueError: the user has no name.
    """

    user: str = attrs.field(validator=attrs.validators.min_len(1))
    maildir: Path
    quota: Quota = attrs.field(default=Quota())
    follow_links: bool = False
    hides: bool = False


@attrs.frozen
class BackupReport:
    """What is in a backup.

    Args:
        users: whose maildrops are in it.
        messages: how many messages.
        octets: their octets on the wire.
        in_use: whose maildrops were in use, and are not in it.
        gone: how many messages other programs removed while the backup was made.
        absent: who has no maildrop, and is not in it.
        failed: whose maildrops could not be read, and are not in it; and why.
    """

    users: tuple[str, ...]
    messages: int
    octets: int
    in_use: tuple[str, ...] = ()
    gone: int = 0
    absent: tuple[str, ...] = ()
    failed: Mapping[str, str] = attrs.field(factory=dict[str, str])


def write_backup(
    file: Path,
    maildrops: Iterable[MaildropPlace],
    *,
    since: float | None = None,
    clock: Callable[[], float] = time.time,
) -> BackupReport:
    """Write a backup of maildrops, each as it is while its lock is held. It takes little memory.

    The file is written beside its place and renamed: it is whole, or not there. One that is there is replaced. Only its
    owner may read it. Messages in folders, such as `.Trash`, are not part of a maildrop.

    Args:
        file: the file.
        maildrops: the maildrops. One that is in use is tried again at the end. One that does not exist, or cannot be
            read, is left out, and the report says so.
        since: only messages that arrived since then, in seconds; None: all.
        clock: returns the time of day, in seconds.

    Raises:
        MaildropInUse: maildrops were in use, and no other can be read; the file was not written.
        NothingToBackUp: no maildrop exists, or can be read; or one is gone that the backup has which is there. The file
            was not written: a disk that is not mounted must not cost the last backup.
        BlockingIOError: another backup is being written into this file.
        BadBackup: a maildrop has too many messages.
        OSError: the file cannot be written; there is none, or the old one.
    """
    with appearing(file) as output:
        checked = Output(output)
        with tarfile.open(fileobj=cast("BinaryIO", checked), mode="w", format=tarfile.PAX_FORMAT) as tar:
            writing = _Writing(tar, checked, since, clock())
            busy = [place for place in maildrops if not writing.add(place)]
            busy = [place for place in busy if not writing.add(place)]
            report = writing.finish(busy)
            if lost := [user for user in report.absent if user in _users_of(file)]:
                raise NothingToBackUp(
                    f"the maildrop of {visible(lost[0])} does not exist, and {file} has it: the old backup stays; if "
                    "that is right, write to another file"
                )
            return report


def _users_of(file: Path) -> Collection[str]:
    """Return whose maildrops are in a backup that is there."""
    try:
        with open_archive(file) as archive:
            return archive.users
    except (OSError, BadBackup):
        return ()


class _Writing:
    def __init__(self, tar: tarfile.TarFile, output: Output, since: float | None, now: float) -> None:
        self._tar = tar
        self._output = output
        self._since = since
        self._now = now
        self._manifests: dict[str, str] = {}
        self._absent: list[str] = []
        self._failed: dict[str, str] = {}
        self._messages = self._octets = self._gone = 0

    def add(self, place: MaildropPlace) -> bool:
        """Add a maildrop, if it can be read; return whether it was not in use."""
        folder = folder_of(place.user)
        begin, gone = self._tar.offset, self._gone
        try:
            messages = self._messages_of(place, folder)
        except MaildropInUse:
            return False
        except OSError as error:
            if self._output.failed:
                raise
            self._failed[place.user] = _why(error)
            self._output.cut(begin)
            self._tar.offset, self._gone = begin, gone
            return True
        if messages is None:
            self._absent.append(place.user)
            return True
        octets = Manifest(
            place.user, self._now, self._since, place.quota.octets, place.quota.messages, tuple(messages)
        ).encode()
        self._add_octets(f"{folder}/manifest.json", octets)
        self._manifests[place.user] = hashlib.sha256(octets).hexdigest()
        self._messages += len(messages)
        self._octets += sum(message.octets for message in messages)
        return True

    def finish(self, busy: Sequence[MaildropPlace]) -> BackupReport:
        """Write the index, the last file.

        Raises:
            MaildropInUse, NothingToBackUp: as `write_backup`.
        """
        in_use = tuple(place.user for place in busy)
        users = tuple(self._manifests)
        if not users:
            if in_use:
                raise MaildropInUse(f"{'all maildrops are' if len(in_use) > 1 else 'the maildrop is'} in use")
            for user, why in self._failed.items():
                raise NothingToBackUp(f"no maildrop can be read; that of {visible(user)}: {why}")
            raise NothingToBackUp("no maildrop exists: is the disk mounted?")
        left_out = (*in_use, *self._failed)
        self._add_octets(INDEX, Index(self._now, users, left_out, self._manifests).encode())
        return BackupReport(users, self._messages, self._octets, in_use, self._gone, tuple(self._absent), self._failed)

    def _messages_of(self, place: MaildropPlace, folder: str) -> list[BackedUp] | None:
        if not os.path.lexists(place.maildir):
            return None
        with held(place.maildir, follow_links=place.follow_links) as folders:
            with folders.open():
                pass
            try:
                session_lock = FolderLock(place.maildir)
            except BlockingIOError as error:
                raise MaildropInUse(f"the maildrop of {place.user} is in use") from error
            try:
                return self._listed(folders, folder, hides=place.hides)
            finally:
                session_lock.release()

    def _listed(self, folders: HeldFolders, folder: str, *, hides: bool) -> list[BackedUp]:
        ids = IdRecord(folders.maildir)
        listed = list(list_messages(folders, ids))
        ids.save(session=False)
        files = MessageFiles(folders, listed)
        messages: list[BackedUp] = []
        for index, file in enumerate(listed):
            when = arrived(file.name, file.modified)
            if (self._since is not None and when < self._since) or (hides and is_trashed(file.name)):
                continue
            try:
                messages.append(self._add(files, index, file, when, f"{folder}/messages/{len(messages) + 1}"))
            except FileNotFoundError:
                self._gone += 1
        return messages

    def _add(self, files: MessageFiles, index: int, file: MessageFile, when: float, path: str) -> BackedUp:
        with closing(open_message(files, index)) as message, tempfile.TemporaryFile() as spool:
            source: FileIO | BinaryIO
            if isinstance(message, io.FileIO):
                source, size = message, os.fstat(message.fileno()).st_size
            else:  # it is compressed: its size is known when it is unpacked
                source = cast("BinaryIO", spool)
                while octets := message.read(_CHUNK):
                    spool.write(octets)
                size = spool.tell()
                spool.seek(0)
            digesting = _Digesting(source)
            try:
                self._tar.addfile(_info(path, size, when), cast("BinaryIO", digesting))
            except FileNotFoundError as error:  # not that the message is gone
                raise OSError(error.errno, error.strerror) from error
            octets_on_wire, sha256 = digesting.digest.finish()
        name = files.name(index)
        return BackedUp(file.unique_id, octets_on_wire, sha256, size, is_seen(name), when, name, path)

    def _add_octets(self, path: str, octets: bytes) -> None:
        self._tar.addfile(_info(path, len(octets), self._now), io.BytesIO(octets))


class _Digesting:
    """A file that is digested as it is read."""

    def __init__(self, file: FileIO | BinaryIO) -> None:
        self._file = file
        self.digest: Final = WireDigest()

    def read(self, size: int) -> bytes:
        """Return exactly so many octets, unless the file ends."""
        pieces: list[bytes] = []
        while size and (octets := self._file.read(size)):
            pieces.append(octets)
            size -= len(octets)
        whole = b"".join(pieces)
        self.digest.feed(whole)
        return whole


def _why(error: OSError) -> str:
    why = error.strerror or str(error)
    return visible(why if error.filename is None else f"{error.filename}: {why}")


def _info(path: str, size: int, when: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mtime = int(when)
    info.mode = _PRIVATE
    return info
