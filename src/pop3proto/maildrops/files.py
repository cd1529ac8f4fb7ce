"""The message files of a session: open and remove them while other programs rename them."""

from __future__ import annotations

import errno
import os
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import open_regular, read_up_to
from pop3proto._io.moving import move_file, sync_descriptor

from .disposal import UNLINKING, Disposal
from .folders import FOLDERS
from .listing import MessageFile, list_files, stamp
from .names import stored_size, unique_id, unique_part, with_flags

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from io import FileIO

    from .folders import MessageFolders
    from .listing import Entry, Listing, Stamp

__all__ = ["MessageFiles", "Removed"]

_ATTEMPTS: Final = 4
_HOPELESS: Final = {errno.EACCES, errno.EPERM, errno.EROFS}  # a removal that fails so is not tried again
_CUR: Final = FOLDERS.index("cur")
_SHOWN: Final = 100  # failures that are kept of a removal: there may be one for each message


@attrs.define
class Removed:
    """What a removal did.

    Args:
        indices: of the messages that are gone, by this or by another program.
        octets: size of the files that this removed.
        files: how many files this removed.
        failures: why others are still there, or may be; empty if none is.
    """

    indices: list[int] = attrs.field(factory=list[int])
    octets: int = 0
    files: int = 0
    failures: list[OSError] = attrs.field(factory=list[OSError])


class MessageFiles:
    """The message files of a session, by index: few octets for each, since a Maildir may hold very many.

    Args:
        folders: the folders that hold them.
        files: the files.

    Raises:
        OSError: a folder or file cannot be read. Every method may raise it.
    """

    def __init__(self, folders: MessageFolders, files: Sequence[MessageFile]) -> None:
        self._folders = folders
        self._folder = array("B", [file.folder for file in files])
        self._ids = [file.unique_id for file in files]
        self._names = [file.name for file in files]
        self._inodes = array("Q", [file.inode for file in files])
        self._sizes = array("Q", [file.size for file in files])
        self._modified = array("Q", [file.modified for file in files])
        self._stamp: Stamp | None = None  # when the folders were changed last, as of the last listing

    def __getitem__(self, index: int) -> MessageFile:
        """Return a file."""
        return MessageFile(
            self._folder[index],
            self._names[index],
            self._inodes[index],
            self._sizes[index],
            self._modified[index],
            self._ids[index],
        )

    def open(self, index: int) -> FileIO:
        """Open a file, also if another program has moved it since.

        Raises:
            FileNotFoundError: the message was removed.
        """
        try:
            return self._open(index)
        except FileNotFoundError:
            self._find_moved()
        return self._open(index)

    def read_as_listed(self, indices: Iterable[int]) -> list[bytes]:
        """Return what is in files, in few system calls, up to the first that is not as it was listed.

        That one may have been moved, changed or removed, or it cannot be read: `open` finds out.

        Args:
            indices: of small messages; each is read as a whole.
        """
        contents: list[bytes] = []
        with self._folders.open() as descriptors:
            for index in indices:
                size = self._sizes[index]
                try:
                    octets = read_up_to(self._names[index], size + 1, folder=descriptors[self._folder[index]])
                except OSError:
                    break
                if len(octets) != size:
                    break
                contents.append(octets)
        return contents

    def name(self, index: int) -> str:
        """Return the name of a file."""
        return self._names[index]

    def size(self, index: int) -> int:
        """Return the size of a file when it was listed, in octets."""
        return self._sizes[index]

    def _open(self, index: int) -> FileIO:
        """Open a file where it is known to be.

        Raises:
            OSError: it is not there, or cannot be opened, or is something else than a regular file.
        """
        folder = self._folders.open_descriptor(FOLDERS[self._folder[index]])
        try:
            return open_regular(self._names[index], folder=folder)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path(index)) from error
        finally:
            os.close(folder)

    def mark_seen(self, indices: Iterable[int]) -> None:
        """Flag messages as read, and move them to `cur`.

        Those that are not where they were are left alone; so are those whose new name another file has.

        Raises:
            OSError: a folder cannot be opened.
        """
        with self._folders.open() as descriptors:
            for index in indices:
                name = self._names[index]
                seen = with_flags(name, add="S")
                with suppress(OSError):
                    if (self._folder[index], name) != (_CUR, seen):
                        source = descriptors[self._folder[index]]
                        move_file(name, source, seen, descriptors[_CUR])
                        self._folder[index], self._names[index] = _CUR, seen

    def remove(self, indices: Iterable[int], disposal: Disposal = UNLINKING) -> Removed:
        """Remove messages, all hard links of them, and sync the folders to disk.

        A message counts as removed when its last name was removed here, or when it is not in the folders any more. One
        that another program has moved is found again. A failure for one message does not stop the others.

        Args:
            indices: of the messages.
            disposal: what is done with them.
        """
        removed = Removed()
        pending = list(indices)
        again: list[OSError] = []
        for _ in range(_ATTEMPTS):
            again.clear()
            pending = self._remove_once(pending, disposal, removed, again)
            if not pending:
                break
        else:
            words = "the file is renamed again and again"
            removed.failures += again or [OSError(errno.EBUSY, words, self._path(pending[0]))]
        try:
            disposal.sync()
        except OSError as error:
            removed.failures.append(error)
        for name in FOLDERS:
            try:
                with self._folders.open_one(name) as folder:
                    sync_descriptor(folder)
            except OSError as error:
                words = error.strerror or str(error)
                removed.failures.append(OSError(error.errno, words, str(self._folders.maildir / name)))
        return removed

    def _remove_once(self, indices: list[int], disposal: Disposal, removed: Removed, again: list[OSError]) -> list[int]:
        """Remove messages where they are known to be.

        Args:
            indices: of the messages.
            disposal: what is done with them.
            removed: gets what is removed, and the failures for good.
            again: gets the failures after which it is worth to try again.

        Returns:
            The messages to try again: they are somewhere else, or failed.
        """
        left: list[int] = []
        missed: dict[int, bool] = {}
        try:
            with self._folders.open() as descriptors:
                for index in indices:
                    try:
                        self._dispose(index, descriptors[self._folder[index]], disposal, removed, missed)
                    except OSError as error:
                        if error.errno not in _HOPELESS:
                            left.append(index)
                        failures = removed.failures if error.errno in _HOPELESS else again
                        if len(failures) < _SHOWN:
                            failures.append(OSError(error.errno, error.strerror, self._path(index)))
            if missed:
                left += self._find_missed(missed, list_files(self._folders), disposal, removed)
        except OSError as error:  # a folder cannot be read
            again.append(error)
            return [*left, *missed] if missed else indices
        return left

    def _dispose(self, index: int, folder: int, disposal: Disposal, removed: Removed, missed: dict[int, bool]) -> None:
        """Remove a name of a message: two system calls.

        Only if there may be others, the message is noted in `missed`, with whether this name was there to remove.
        """
        name = self._names[index]
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            disposal.dispose(name, folder, self._ids[index])
        except FileNotFoundError:
            missed[index] = False
            return
        size = stored_size(name)
        removed.octets += status.st_size if size is None else size
        removed.files += 1
        if status.st_nlink > 1:
            missed[index] = True
        else:
            removed.indices.append(index)

    def _find_missed(
        self, missed: Mapping[int, bool], listing: Listing, disposal: Disposal, removed: Removed
    ) -> list[int]:
        """Return the messages that are still there, and note where; those that are not are removed."""
        left: list[int] = []
        for index, has_links in missed.items():
            found = self._find(index, listing, same_file=has_links)
            if found is not None and not disposal.is_gone(found.name):
                self._move(index, found)
                left.append(index)
            elif found is not None or listing.complete:
                removed.indices.append(index)
            else:
                left.append(index)
        return left

    def _find_moved(self) -> None:
        """List the folders, and note where the messages are that other programs have moved."""
        if self._unchanged():
            return
        listing = list_files(self._folders)
        self._stamp = listing.stamp
        for index, place in enumerate(zip(self._folder, self._names, strict=True)):
            if place not in listing.names and (found := self._find(index, listing, same_file=False)) is not None:
                self._move(index, found)

    def _unchanged(self) -> bool:
        """Return whether the last listing still shows what is in the folders."""
        with self._folders.open() as descriptors:
            return self._stamp is not None and self._stamp == stamp(descriptors)

    def _find(self, index: int, listing: Listing, *, same_file: bool) -> Entry | None:
        """Return where a message is now, None if it is not there.

        Args:
            index: the message's.
            listing: what is there.
            same_file: look only for other names of the same file that have the same unique part.
        """
        unique, inode = unique_part(self._names[index]), self._inodes[index]
        found = listing.entries.get((unique, inode))
        if found is not None or same_file:
            return found
        renamed = listing.by_inode.get(inode)
        if renamed is not None and self._is_renamed(index, renamed):
            return renamed
        # What another program has put in the place of a message is the message; not so a copy that was there before.
        others = listing.by_unique_part.get(unique, [])
        return others[0] if len(others) == 1 and self._ids[index] == unique_id(unique) else None

    def _is_renamed(self, index: int, file: Entry) -> bool:
        """Return whether a file with another unique part is this message, unchanged, and no other message."""
        return (
            file.links == 1
            and (file.size, file.modified) == (self._sizes[index], self._modified[index])
            and self._inodes.count(file.inode) == 1
        )

    def _move(self, index: int, to: Entry) -> None:
        self._folder[index] = to.folder
        self._names[index] = to.name
        self._inodes[index] = to.inode
        self._sizes[index] = to.size
        self._modified[index] = to.modified

    def _path(self, index: int) -> str:
        return str(self._folders.maildir / FOLDERS[self._folder[index]] / self._names[index])
