"""The tar file of a backup, read so that nothing in it can do harm: nothing is unpacked by name."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import quote

import attrs

from pop3proto._io.files import open_regular
from pop3proto._io.new_files import named
from pop3proto.core.text import visible

from .errors import BadBackup
from .index import Index
from .manifest import LARGEST_MANIFEST, Manifest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from io import FileIO
    from pathlib import Path

__all__ = ["INDEX", "Archive", "Part", "folder_of", "open_archive"]

INDEX: Final = "backup.json"
"""The last file of a backup: it lists the maildrops. Without it, the end of the backup is missing."""

_MANIFEST: Final = "manifest.json"
_NAME: Final = re.compile(r"[A-Za-z0-9%._~@+=-]+/(manifest\.json|messages/[1-9][0-9]{0,9})|backup\.json")
_LARGEST_READ: Final = 1 << 20  # octets of a header that says how long a name is, for example
_MOST_FILES: Final = 1 << 23


def folder_of(user: str) -> str:
    """Return the folder of a user's maildrop in the archive."""
    octets = user.encode("utf-8", "surrogateescape")
    name = quote(octets, safe="@+=")
    return name if name.strip(".") else "".join(f"%{octet:02X}" for octet in octets)


@attrs.frozen
class Part:
    """A file in an archive.

    Args:
        offset: where it begins.
        size: how long it is, in octets.
    """

    offset: int
    size: int


class _Bounded:
    """A file that refuses large reads: tarfile reads a header as long as that says it is."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError("a header is too large")
        return self._file.read(size) or b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@attrs.frozen
class Archive:
    """An open backup, whose table of contents was read.

    Args:
        path: of the file.
        index: what it says of itself.
        parts: where its files are, by name.
    """

    path: Path
    index: Index
    _file: FileIO
    parts: dict[str, Part]

    @property
    def users(self) -> tuple[str, ...]:
        """The maildrops in it."""
        return self.index.users

    def manifest(self, user: str) -> Manifest:
        """Return what the backup says of one maildrop. Every message in it has a file of the size that it says.

        Raises:
            BadBackup: it cannot be right.
            OSError: the file cannot be read.
        """
        folder = folder_of(user)
        octets = _small(self, f"{folder}/{_MANIFEST}")
        if hashlib.sha256(octets).hexdigest() != self.index.manifests.get(user):
            raise BadBackup(f"{self.path}: the manifest of {visible(user)} is damaged")
        try:
            manifest = Manifest.decode(octets)
        except BadBackup as error:
            raise BadBackup(f"{self.path}: {error}") from error
        if manifest.user != user:
            raise BadBackup(f"{self.path}: the manifest of {visible(user)} is that of {visible(manifest.user)}")
        for message in manifest.messages:
            part = self.parts.get(message.path)
            if part is None or not message.path.startswith(f"{folder}/messages/"):
                raise BadBackup(f"{self.path}: the message {message.unique_id} of {visible(user)} is missing")
            if part.size != message.size:
                raise BadBackup(f"{self.path}: the message {message.unique_id} of {visible(user)} has another size")
        files = sum(name.startswith(f"{folder}/messages/") for name in self.parts)
        if files != len(manifest.messages):
            raise BadBackup(f"{self.path}: there are messages of {visible(user)} that the manifest does not name")
        return manifest

    def read(self, path: str, chunk: int) -> Iterator[bytes]:
        """Yield the octets of a file in the archive.

        Raises:
            BadBackup: the file is cut off.
            OSError: it cannot be read.
        """
        part = self.parts[path]
        position, end = part.offset, part.offset + part.size
        while position < end:
            try:
                octets = os.pread(self._file.fileno(), min(chunk, end - position), position)
            except OSError as error:
                raise named(error, self.path) from error
            if not octets:
                raise BadBackup(f"{self.path}: the file is cut off")
            position += len(octets)
            yield octets


@contextmanager
def open_archive(path: Path) -> Generator[Archive]:
    """Open a backup, and read its table of contents.

    Raises:
        BadBackup: it is none, or it is cut off, or has in it what no backup has: links, devices, other names, a name
            twice, files with holes.
        OSError: it cannot be read.
    """
    with open_regular(path, follow_links=True) as file:
        try:
            parts = dict(_parts(file, path))
        except (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError) as error:
            raise BadBackup(f"{path}: it is no backup, or it is damaged: {visible(str(error))}") from error
        if INDEX not in parts:
            raise BadBackup(f"{path}: it is no backup, or its end is missing")
        if next(reversed(parts)) != INDEX:
            raise BadBackup(f"{path}: something follows its end")
        bare = Archive(path, Index(0, (), (), {}), file, parts)
        try:
            index = Index.decode(_small(bare, INDEX))
        except BadBackup as error:
            raise BadBackup(f"{path}: {error}") from error
        names = index.users
        folders = {name.partition("/")[0] for name in parts if name != INDEX}
        try:
            known = {folder_of(user) for user in names}
        except UnicodeEncodeError as error:
            raise BadBackup(f"{path}: it names a user whose name is no text") from error
        if folders != known or len(known) < len(names):
            raise BadBackup(f"{path}: it has other maildrops in it than it says")
        yield attrs.evolve(bare, index=index)


def _small(archive: Archive, name: str) -> bytes:
    part = archive.parts.get(name)
    if part is None:
        raise BadBackup(f"{archive.path}: {name} is missing")
    if part.size > LARGEST_MANIFEST:
        raise BadBackup(f"{archive.path}: {name} is too large")
    return b"".join(archive.read(name, LARGEST_MANIFEST))


def _parts(file: FileIO, path: Path) -> Iterator[tuple[str, Part]]:
    seen: set[str] = set()
    end = os.fstat(file.fileno()).st_size
    bounded = cast("BinaryIO", _Bounded(file))
    with tarfile.open(fileobj=bounded, mode="r:", encoding="utf-8", errors="strict") as tar:
        while (member := tar.next()) is not None:
            cast("Any", tar).members.clear()  # else it keeps them all
            name = member.name
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                raise BadBackup(f"{path}: {visible(name[:200])} is no plain file")
            if not _NAME.fullmatch(name) or ".." in name.split("/") or name.startswith("./"):
                raise BadBackup(f"{path}: no backup has a file named {visible(name[:200])}")
            if name in seen:
                raise BadBackup(f"{path}: {name} is there twice")
            if member.size < 0 or member.offset_data + member.size > end:
                raise BadBackup(f"{path}: {name} is cut off")
            seen.add(name)
            if len(seen) > _MOST_FILES:
                raise BadBackup(f"{path}: it has more than {_MOST_FILES} files in it")
            yield name, Part(member.offset_data, member.size)
