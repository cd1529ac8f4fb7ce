"""The files of a Maildir that are messages: their names, listed, opened and removed, also while others rename them."""

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
    """Return what stays the same when a message is moved or flagged, or its sizes are added to its name."""
    return _SIZES.sub("", _before_flags(name))


def delivery_time(name: str) -> int:
    """Return the number that a name begins with, the time of delivery by custom; 0 if there is none."""
    match = _LEADING_NUMBER.match(name)
    return int(match[0]) if match else 0


def wire_octets(name: str) -> int | None:
    """Return the size with CRLF line ends, if the name tells it."""
    match = _WIRE_OCTETS.search(_before_flags(name))
    return int(match[1]) if match else None


def unique_id(unique: str, *marks: int) -> UniqueId:
    """Return the unique id of a message.

    It is the unique part itself if that can be one, else a digest (RFC 1939 section 7). A part that looks like a
    digest is digested too, so that no message can have the id of another.

    Args:
        unique: the unique part of the file's name.
        marks: what else tells the message from another that has the same unique part, if there is another.
    """
    if not marks and not _DIGEST.fullmatch(unique):
        with suppress(LocalProtocolError):
            return check_unique_id(unique)
    # No file name holds NUL, so that other marks are other octets.
    octets = b"\0".join([os.fsencode(unique), *(b"%d" % mark for mark in marks)])
    return UniqueId(hashlib.sha256(octets).hexdigest())


def _before_flags(name: str) -> str:
    return name.partition(":")[0]


# A message moves from new to cur. Listed in this order, one that moves meanwhile is seen twice at worst, never missed.
FOLDERS: Final = ("new", "cur")
_ATTEMPTS: Final = 3


@attrs.frozen
class MessageFile:
    """A message's file, as it was when the folders were listed.

    Args:
        paths: where it was, the newest name last; other programs may have moved it since. More than one are hard
            links, or one that was moved meanwhile.
        identity: the unique part of its names and its inode, which moving does not change.
        unique_id: the message's unique id.
        size: octets of the file.
        modified: when the file was last changed, in nanoseconds.
    """

    paths: tuple[str, ...]
    identity: tuple[str, int]
    unique_id: UniqueId
    size: int
    modified: int

    @property
    def path(self) -> str:
        """The newest of the names, with the folder."""
        return self.paths[-1]

    @property
    def name(self) -> str:
        """The newest of the names, without the folder."""
        return os.path.basename(self.path)  # noqa: PTH119 - there may be a hundred thousand


class MessageFiles:
    """The messages of a Maildir. Methods fail with `OSError`.

    Files whose names begin with a dot, folders, links and the like are none (the rule of Maildir).

    Args:
        maildir: the folder that holds `new` and `cur`.
    """

    def __init__(self, maildir: Path) -> None:
        self._maildir = maildir
        self._by_id: dict[UniqueId, MessageFile] = {}
        self._by_identity: dict[_Identity, MessageFile] = {}
        self.refresh()

    def __iter__(self) -> Iterator[MessageFile]:
        """Go through the messages in order of delivery."""
        return iter(self._by_id.values())

    def refresh(self) -> None:
        """List the folders again."""
        files = _list(self._maildir)
        self._by_id = {file.unique_id: file for file in files}
        self._by_identity = {file.identity: file for file in files}

    def open(self, file: MessageFile) -> FileIO:
        """Open a message, wherever it is now.

        Raises:
            FileNotFoundError: it is gone.
        """
        with suppress(FileNotFoundError):
            return open_regular(self._found(file).path)
        self.refresh()
        return open_regular(self._found(file).path)

    def remove(self, files: Iterable[MessageFile]) -> list[OSError]:
        """Remove messages, wherever they are now, under all of their names, and wait until that is on the disk.

        A message that is gone already is fine; one that cannot be removed does not keep the others.

        Returns:
            what went wrong; nothing, if all of them are gone for good.
        """
        failures: list[OSError] = []
        with _noted_in(failures):
            self.refresh()  # once for all that was moved, instead of once for each
        with _noted_in(failures):
            failures += self._remove([now for file in files if (now := self._find(file))])
        for folder in FOLDERS:
            with _noted_in(failures):
                sync_folder(self._maildir / folder)
        return failures

    def _remove(self, files: list[MessageFile]) -> list[OSError]:
        """Remove files until a look into the folders finds none of them: what was moved meanwhile is there still."""
        failures: list[OSError] = []
        for _ in range(_ATTEMPTS):
            failures = []
            for file in files:
                with _noted_in(failures):
                    _unlink(file)
            files = self._left(files)
            if not files:
                return []
        return failures or [OSError(errno.EBUSY, "the file gets new names all the time", file.path) for file in files]

    def _left(self, files: list[MessageFile]) -> list[MessageFile]:
        """Return those of the files that are in the folders, under the names that they have there.

        They go by their identity alone: a copy may have inherited the unique id.
        """
        names = _names(self._maildir, only={file.identity[0] for file in files})
        return [attrs.evolve(file, paths=_paths(names[file.identity])) for file in files if file.identity in names]

    def _find(self, file: MessageFile) -> MessageFile | None:
        """Return a file as it is now, or what another program has put in its place: that has its unique id."""
        return self._by_identity.get(file.identity) or self._by_id.get(file.unique_id)

    def _found(self, file: MessageFile) -> MessageFile:
        found = self._find(file)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "the message is gone", file.path)
        return found


@contextmanager
def _noted_in(failures: list[OSError]) -> Generator[None]:
    try:
        yield
    except OSError as error:
        failures.append(error)


def _unlink(file: MessageFile) -> None:
    for path in file.paths:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - as above


def _list(maildir: Path) -> list[MessageFile]:
    """Return the messages in order of delivery."""
    seen = _names(maildir)
    sharers = Counter(unique for unique, _ in seen)
    files: list[MessageFile] = []
    for identity, names in sorted(seen.items(), key=_delivery_order):
        unique, inode = identity
        _, status = names[-1]
        # Copies that somebody made. None of them may keep the plain id: the next would inherit it when that one goes.
        marks = (inode, status.st_mtime_ns) if sharers[unique] > 1 else ()
        its_id = unique_id(unique, *marks)
        files.append(MessageFile(_paths(names), identity, its_id, status.st_size, status.st_mtime_ns))
    return files


def _names(maildir: Path, only: Container[str] | None = None) -> dict[_Identity, list[_Name]]:
    """Return the names of each message, those with one of these unique parts `only`.

    A file that is moved while the folders are listed comes twice, as does one with a hard link; it is one message.
    """
    names: dict[_Identity, list[_Name]] = {}
    for folder in FOLDERS:
        for unique, entry in _entries(maildir / folder):
            if only is not None and unique not in only:
                continue
            with suppress(FileNotFoundError):  # moved or removed since
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
