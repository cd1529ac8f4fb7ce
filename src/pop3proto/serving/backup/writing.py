"""Writing a backup: each maildrop under its lock, into a file that appears when it is complete."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import attrs

from pop3proto._io.files import lock, sync_folder
from pop3proto._io.new_files import named
from pop3proto.maildrops.counting import open_message
from pop3proto.maildrops.files import MessageFiles
from pop3proto.maildrops.folders import MessageFolders
from pop3proto.maildrops.ids import IdRecord
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.names import is_seen
from pop3proto.serving.quota.rules import Quota
from pop3proto.serving.retention.purge import MaildropInUse
from pop3proto.serving.retention.times import arrived

from .archive import INDEX, folder_of
from .digest import WireDigest
from .manifest import FORMAT, BackedUp, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from io import FileIO
    from pathlib import Path

    from pop3proto.maildrops.listing import MessageFile

__all__ = ["BackupReport", "MaildropPlace", "write_backup"]

_CHUNK: Final = 1 << 18
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600


@attrs.frozen
class MaildropPlace:
    """A maildrop, and where it is.

    Args:
        user: whose it is.
        maildir: the Maildir.
        quota: its limits.
        follow_links: as for `MaildirStore`.

    Raises:
        ValueError: the user has no name.
    """

    user: str = attrs.field(validator=attrs.validators.min_len(1))
    maildir: Path
    quota: Quota = attrs.field(default=Quota())
    follow_links: bool = False


@attrs.frozen
class BackupReport:
    """What is in a backup.

    Args:
        users: whose maildrops are in it.
        messages: how many messages.
        octets: their octets on the wire.
        in_use: whose maildrops were in use, and are not in it.
        gone: how many messages other programs removed while the backup was made.
    """

    users: tuple[str, ...]
    messages: int
    octets: int
    in_use: tuple[str, ...] = ()
    gone: int = 0


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
        maildrops: the maildrops. One that does not exist is empty. One that is in use is tried again at the end.
        since: only messages that arrived since then, in seconds; None: all.
        clock: returns the time of day, in seconds.

    Raises:
        MaildropInUse: all maildrops were in use; the file was not written.
        BlockingIOError: another backup is being written into this file.
        BadBackup: a maildrop has too many messages.
        OSError: a maildrop cannot be read, or the file cannot be written; there is none, or the old one.
    """
    with _appearing(file) as output, tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
        writing = _Writing(tar, since, clock())
        busy = [place for place in maildrops if not writing.add(place)]
        busy = [place for place in busy if not writing.add(place)]
        return writing.finish(busy)


@contextmanager
def _appearing(file: Path) -> Generator[BinaryIO]:
    """Open a file beside its place; it gets its name when the block has ended well."""
    beside = file.with_name(f".{file.name}.part")
    output = _locked(beside)
    try:
        try:
            with output:
                output.truncate()
                yield output
                output.flush()
                os.fsync(output.fileno())
                beside.replace(file)
        except OSError as error:
            raise error if error.filename is not None else named(error, beside) from error
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(file.parent)


def _locked(path: Path) -> BinaryIO:
    """Open a file and lock it until it is closed; the lock counts only while the file has its name.

    Raises:
        BlockingIOError: another process writes into it.
        OSError: it cannot be opened.
    """
    while True:
        file = open(os.open(path, _FLAGS, _PRIVATE), "r+b")  # noqa: PTH123, SIM115 - the caller closes it
        try:
            lock(file.fileno(), path, wait=False)
            if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                return file
        except FileNotFoundError:  # the other process has just finished
            pass
        except BaseException:
            file.close()
            raise
        file.close()


class _Writing:
    def __init__(self, tar: tarfile.TarFile, since: float | None, now: float) -> None:
        self._tar = tar
        self._since = since
        self._now = now
        self._users: list[str] = []
        self._messages = self._octets = self._gone = 0

    def add(self, place: MaildropPlace) -> bool:
        """Add a maildrop; return whether it was to be had."""
        folder = folder_of(place.user)
        try:
            messages = self._messages_of(place, folder)
        except MaildropInUse:
            return False
        manifest = Manifest(
            place.user, self._now, self._since, place.quota.octets, place.quota.messages, tuple(messages)
        )
        self._add_octets(f"{folder}/manifest.json", manifest.encode())
        self._users.append(place.user)
        self._messages += len(messages)
        self._octets += sum(message.octets for message in messages)
        return True

    def finish(self, busy: Sequence[MaildropPlace]) -> BackupReport:
        """Write the index, the last file.

        Raises:
            MaildropInUse: all maildrops were in use.
        """
        in_use = tuple(place.user for place in busy)
        if in_use and not self._users:
            raise MaildropInUse(f"{'all maildrops are' if len(in_use) > 1 else 'the maildrop is'} in use")
        index = {"format": FORMAT, "made": self._now, "users": self._users, "in_use": in_use}
        self._add_octets(INDEX, json.dumps(index).encode())
        return BackupReport(tuple(self._users), self._messages, self._octets, in_use, self._gone)

    def _messages_of(self, place: MaildropPlace, folder: str) -> list[BackedUp]:
        folders = MessageFolders(place.maildir, follow_links=place.follow_links)
        if not place.maildir.exists():
            return []
        with folders.open():
            pass
        try:
            held = FolderLock(place.maildir)
        except BlockingIOError as error:
            raise MaildropInUse(f"the maildrop of {place.user} is in use") from error
        try:
            ids = IdRecord(place.maildir)
            listed = list(list_messages(folders, ids))
            ids.save()
            files = MessageFiles(folders, listed)
            messages: list[BackedUp] = []
            for index, file in enumerate(listed):
                when = arrived(file.name, file.modified)
                if self._since is not None and when < self._since:
                    continue
                try:
                    messages.append(self._add(files, index, file, when, f"{folder}/messages/{len(messages) + 1}"))
                except FileNotFoundError:
                    self._gone += 1
            return messages
        finally:
            held.release()

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


def _info(path: str, size: int, when: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mtime = int(when)
    info.mode = _PRIVATE
    return info
