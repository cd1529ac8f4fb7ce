"""What a Maildir holds, counted on the disk: `new` and `cur` of it and of its folders."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.maildrops.folders import MessageFolders
from pop3proto.maildrops.listing import stamp
from pop3proto.maildrops.names import is_trashed, stored_size

from .rules import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["TRASH", "Counted", "count", "folders_of", "stamp_of"]

TRASH: Final = ".Trash"
"""The folder of deleted messages, in Maildir++."""


@attrs.frozen
class Counted:
    """What was counted.

    Args:
        usage: what the Maildir holds.
        stamp: when its folders were changed last, in nanoseconds; another stamp means that the count may be old.
    """

    usage: Usage
    stamp: tuple[int, ...]


def folders_of(maildir: Path) -> Iterator[Path]:
    """Yield a Maildir and the folders in it (Maildir++), those whose names begin with a dot. Links are not followed.

    Raises:
        OSError: the Maildir cannot be read.
    """
    yield maildir
    with os.scandir(maildir) as entries:
        inner = [entry.name for entry in entries if entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)]
    for name in sorted(inner):
        if (maildir / name / "cur").is_dir():
            yield maildir / name


def stamp_of(maildir: Path) -> tuple[int, ...]:
    """Return when the folders of a Maildir were changed last, as `Counted.stamp`.

    Raises:
        OSError: the Maildir cannot be read.
    """
    stamps: list[int] = []
    for folder in folders_of(maildir):
        with suppress(OSError), MessageFolders(folder, follow_links=True).open() as descriptors:
            stamps += stamp(descriptors)
    return tuple(stamps)


def count(maildir: Path, *, trash: bool) -> Counted:
    """Count a Maildir with its folders.

    Its `new` and `cur` may be symbolic links: sizes are read, and nothing else. A name with `,S=` tells the size, so
    that the file need not be looked at; the others are looked at.

    Args:
        maildir: the Maildir.
        trash: whether deleted messages that are kept count: the folder `.Trash`, and those flagged T.

    Raises:
        OSError: the Maildir cannot be read.
    """
    octets = messages = 0
    stamps: list[int] = []
    for folder in folders_of(maildir):
        try:
            with MessageFolders(folder, follow_links=True).open() as descriptors:
                stamps += stamp(descriptors)
                if folder.name == TRASH and folder != maildir and not trash:
                    continue
                seen: set[int] = set()
                for descriptor in descriptors:
                    for size in _sizes(descriptor, seen, trash=trash):
                        octets += size
                        messages += 1
        except OSError:
            if folder == maildir:
                raise
    return Counted(Usage(octets, messages), tuple(stamps))


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
