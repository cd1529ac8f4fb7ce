"""Message files of a Maildir: parse their names, list, open and remove them while other programs rename them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import open_regular, sync_folder
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.results import UniqueId, check_unique_id

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Iterator
    from io import FileIO
    from pathlib import Path

    _Identity = tuple[str, int]
    _Name = tuple[os.DirEntry[str], os.stat_result]

__all__ = ["FOLDERS", "MessageFile", "MessageFiles", "delivery_time", "unique_id", "unique_part", "wire_octets"]

_SIZES: Final = re.compile(r",[SW]=[0-9]+(?![^,])")
_WIRE_OCTETS: Final = re.compile(r",W=([0-9]{1,19})(?![^,])")
_LEADING_NUMBER: Final = re.compile(r"[0-9]+")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def unique_part(name: str) -> str:
    """Return the part of a file name that stays the same when a message is moved or flagged.

    Flags (from the colon on) and sizes (`,S=`, `,W=`) are not part of it.
    """
    return _SIZES.sub("", _before_flags(name))


def delivery_time(name: str) -> int:
    """Return the number at the start of a file name, by convention the time of delivery in seconds; 0 without one."""
    match = _LEADING_NUMBER.match(name)
    return int(match[0]) if match else 0


def wire_octets(name: str) -> int | None:
    """Return the wire size, in octets with CRLF line ends, from `,W=` in a file name; None if it has no such field."""
    match = _WIRE_OCTETS.search(_before_flags(name))
    return int(match[1]) if match else None


def unique_id(unique: str, *marks: int) -> UniqueId:
    """Return the unique id of a message.

    It is the unique part itself if that is a valid unique id, else a SHA-256 digest of it (RFC 1939 section 7). A
    unique part that looks like a digest is digested too, so that no two messages get the same id.

    Args:
        unique: the unique part of the file's name.
        marks: numbers that distinguish messages with the same unique part; none if the unique part is unique.
    """
    if not marks and not _DIGEST.fullmatch(unique):
        with suppress(LocalProtocolError):
            return check_unique_id(unique)
    # No file name holds NUL, so different marks always give different octets.
    octets = b"\0".join([os.fsencode(unique), *(b"%d" % mark for mark in marks)])
    return UniqueId(hashlib.sha256(octets).hexdigest())


def is_seen(name: str) -> bool:
    """Return whether the flags in a name say that the message was read ("S")."""
    return "S" in name.partition(":2,")[2]


def _before_flags(name: str) -> str:
    return name.partition(":")[0]


# Messages move from new to cur. In this order, a message that moves during the listing is seen twice, but never missed.
FOLDERS: Final = ("new", "cur")
_ATTEMPTS: Final = 3


@attrs.frozen
class MessageFile:
    """A message file, as it was when the folders were listed.

    Args:
        paths: its paths, the newest last; other programs may have moved it since. Several paths are hard links, or
            one file that was moved during the listing.
        identity: the unique part of its name, and its inode number; moving the file changes neither.
        unique_id: the message's unique id.
        size: size of the file, in octets.
        modified: modification time of the file, in nanoseconds.
    """

    paths: tuple[str, ...]
    identity: tuple[str, int]
    unique_id: UniqueId
    size: int
    modified: int

    @property
    def path(self) -> str:
        """The newest path, with the folder."""
        return self.paths[-1]

    @property
    def name(self) -> str:
        """The newest file name, without the folder."""
        return os.path.basename(self.path)  # noqa: PTH119 - a Maildir may hold 100,000 files, and Path is slow


class MessageFiles:
    """The message files of a Maildir.

    By the rules of Maildir, a file whose name begins with a dot is not a message; nor is anything but a regular file.

    Args:
        maildir: the folder that holds `new` and `cur`.

    Raises:
        OSError: a folder or file cannot be read. Every method may raise it.
    """

    def __init__(self, maildir: Path) -> None:
        self._maildir = maildir
        self._by_id: dict[UniqueId, MessageFile] = {}
        self._by_identity: dict[_Identity, MessageFile] = {}
        self.refresh()

    def __iter__(self) -> Iterator[MessageFile]:
        """Iterate over the messages in order of delivery."""
        return iter(self._by_id.values())

    def refresh(self) -> None:
        """List the folders again."""
        files = _list(self._maildir)
        self._by_id = {file.unique_id: file for file in files}
        self._by_identity = {file.identity: file for file in files}

    def open(self, file: MessageFile) -> FileIO:
        """Open a message, also if another program has moved it since.

        Raises:
            FileNotFoundError: the message was removed.
        """
        with suppress(FileNotFoundError):
            return open_regular(self._require(file).path)
        self.refresh()
        return open_regular(self._require(file).path)

    def remove(self, files: Iterable[MessageFile]) -> list[OSError]:
        """Remove messages, all hard links of them, and sync the folders to disk.

        Messages that another program has moved are found again. A message that is already gone is not an error. A
        failure for one message does not stop the removal of the others.

        Returns:
            The errors; an empty list means that all messages are removed.
        """
        failures: list[OSError] = []
        with _collect_errors(failures):
            self.refresh()  # list once for all messages, instead of once for each that was moved
        with _collect_errors(failures):
            failures += self._remove([now for file in files if (now := self._find(file))])
        for folder in FOLDERS:
            with _collect_errors(failures):
                sync_folder(self._maildir / folder)
        return failures

    def _remove(self, files: list[MessageFile]) -> list[OSError]:
        """Remove files until a new listing shows none of them: a file that was moved meanwhile was not removed."""
        failures: list[OSError] = []
        for _ in range(_ATTEMPTS):
            failures = []
            for file in files:
                with _collect_errors(failures):
                    _unlink(file)
            files = self._remaining(files)
            if not files:
                return []
        return failures or [OSError(errno.EBUSY, "the file is renamed again and again", file.path) for file in files]

    def _remaining(self, files: list[MessageFile]) -> list[MessageFile]:
        """Return the files that are still in the folders, with their current paths.

        Files are matched by identity only: a copy may have got the unique id of the original.
        """
        names = _names(self._maildir, only={file.identity[0] for file in files})
        return [attrs.evolve(file, paths=_paths(names[file.identity])) for file in files if file.identity in names]

    def _find(self, file: MessageFile) -> MessageFile | None:
        """Return the current state of a file, or the file that replaced it and has its unique id; None if gone."""
        return self._by_identity.get(file.identity) or self._by_id.get(file.unique_id)

    def _require(self, file: MessageFile) -> MessageFile:
        found = self._find(file)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "the message was removed", file.path)
        return found


@contextmanager
def _collect_errors(failures: list[OSError]) -> Generator[None]:
    try:
        yield
    except OSError as error:
        failures.append(error)


def _unlink(file: MessageFile) -> None:
    for path in file.paths:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - as above: Path is slow


def _list(maildir: Path) -> list[MessageFile]:
    """Return the messages in order of delivery."""
    seen = _names(maildir)
    occurrences = Counter(unique for unique, _ in seen)
    files: list[MessageFile] = []
    for identity, names in sorted(seen.items(), key=_delivery_order):
        unique, inode = identity
        _, status = names[-1]
        # Copies of a file share its unique part. None of them may have the plain unique part as its id: when that copy
        # is removed, another copy would get the same id.
        marks = (inode, status.st_mtime_ns) if occurrences[unique] > 1 else ()
        message_id = unique_id(unique, *marks)
        files.append(MessageFile(_paths(names), identity, message_id, status.st_size, status.st_mtime_ns))
    return files


def _names(maildir: Path, only: Container[str] | None = None) -> dict[_Identity, list[_Name]]:
    """Return the directory entries of each message.

    A file that is moved during the listing, or that has hard links, has several entries but is one message.

    Args:
        maildir: the folder that holds `new` and `cur`.
        only: list only messages with one of these unique parts; None lists all.
    """
    names: dict[_Identity, list[_Name]] = {}
    for folder in FOLDERS:
        for unique, entry in _entries(maildir / folder):
            if only is not None and unique not in only:
                continue
            with suppress(FileNotFoundError):  # moved or removed during the listing
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    names.setdefault((unique, status.st_ino), []).append((entry, status))
    return names


def _paths(names: list[_Name]) -> tuple[str, ...]:
    return tuple(entry.path for entry, _ in names)


def _delivery_order(item: tuple[object, list[_Name]]) -> tuple[int, str]:
    entry, _ = item[1][-1]
    name = entry.name
    return delivery_time(name), name


def _entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                yield unique_part(entry.name), entry
