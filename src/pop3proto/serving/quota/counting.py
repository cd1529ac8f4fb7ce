"""What a Maildir holds, counted on the disk: `new` and `cur` of it and of its folders."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.maildrops.holding import held, held_inside
from pop3proto.maildrops.listing import stamp
from pop3proto.maildrops.names import is_trashed, stored_size

from .rules import Usage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from pop3proto.maildrops.folders import HeldFolders

__all__ = ["TRASH", "Counted", "count", "folders_of", "stamp_of"]

TRASH: Final = ".Trash"
"""The folder of deleted messages, in Maildir++."""


@attrs.frozen
class Counted:
    """What was counted.

    Args:
        usage: what the Maildir holds.
        stamp: when its folders were changed last, in nanoseconds; another stamp means that the count may be old.
        whole: whether all folders could be read; what is in others is not counted.
    """

    usage: Usage
    stamp: tuple[int, ...]
    whole: bool = True


@contextmanager
def folders_of(maildir: Path, *, follow_links: bool = False) -> Generator[Iterator[HeldFolders]]:
    """Open a Maildir and the folders in it (Maildir++), those whose names begin with a dot, one after the other.

    Args:
        maildir: the Maildir.
        follow_links: whether its `new` and `cur` may be links. The folders in it are never followed.

    Raises:
        OSError: the Maildir cannot be read.
    """
    with held(maildir, follow_links=True) as whole:  # the caller has looked at its name
        yield _folders_in(attrs.evolve(whole, follow_links=follow_links))


def _folders_in(whole: HeldFolders) -> Iterator[HeldFolders]:
    yield whole
    with os.scandir(whole.held) as entries:
        inner = [entry.name for entry in entries if entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)]
    plain = attrs.evolve(whole, follow_links=False)
    for name in sorted(inner):
        with held_inside(plain, name) as folder:
            if folder is not None and _has_cur(folder):
                yield folder


def _has_cur(folder: HeldFolders) -> bool:
    try:
        return stat.S_ISDIR(os.stat("cur", dir_fd=folder.held).st_mode)
    except OSError:
        return False


def stamp_of(maildir: Path, *, follow_links: bool = False) -> tuple[int, ...]:
    """Return when the folders of a Maildir were changed last, as `Counted.stamp`.

    Raises:
        OSError: the Maildir cannot be read.
    """
    stamps: list[int] = []
    with folders_of(maildir, follow_links=follow_links) as folders:
        for folder in folders:
            with suppress(OSError), folder.open() as descriptors:
                stamps += stamp(descriptors)
    return tuple(stamps)


def count(maildir: Path, *, trash: bool, follow_links: bool = False) -> Counted:
    """Count a Maildir with its folders.

    A name with `,S=` tells the size, so that the file need not be looked at; the others are looked at.

    Args:
        maildir: the Maildir.
        trash: whether deleted messages that are kept count: the folder `.Trash`, and those flagged T.
        follow_links: as in `folders_of`.

    Raises:
        OSError: the Maildir cannot be read.
    """
    octets = messages = 0
    stamps: list[int] = []
    whole = True
    with folders_of(maildir, follow_links=follow_links) as folders:
        for folder in folders:
            try:
                with folder.open() as descriptors:
                    stamps += stamp(descriptors)
                    if folder.maildir == maildir / TRASH and not trash:
                        continue
                    seen: set[int] = set()
                    for descriptor in descriptors:
                        for size in _sizes(descriptor, seen, trash=trash):
                            octets += size
                            messages += 1
            except OSError:
                if folder.maildir == maildir:
                    raise
                whole = False
    return Counted(Usage(octets, messages), tuple(stamps), whole)


def _sizes(folder: int, seen: set[int], *, trash: bool) -> Iterator[int]:
    """Yield the size of each message in a folder.

    Args:
        folder: its descriptor.
        seen: inodes that are not counted again: a file moves from `new` to `cur`, or has two names.
        trash: as in `count`.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or (not trash and is_trashed(name)) or entry.inode() in seen:
                continue
            with suppress(OSError):  # it has just been removed
                if not entry.is_file(follow_symlinks=False):
                    continue
                size = stored_size(name)
                yield entry.stat(follow_symlinks=False).st_size if size is None else size
                seen.add(entry.inode())
