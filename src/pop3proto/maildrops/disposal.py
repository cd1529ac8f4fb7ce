"""What is done with the files of deleted messages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

if TYPE_CHECKING:
    from pop3proto.core.results import UniqueId

__all__ = ["UNLINKING", "Disposal"]


class Disposal(Protocol):
    """Takes deleted messages out of a maildrop."""

    def dispose(self, name: str, folder: int, unique_id: UniqueId) -> None:
        """Take one name of a message out of a folder.

        Args:
            name: the file's name.
            folder: descriptor of its folder.
            unique_id: the message's unique id.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it is still there.
        """
        ...

    def is_gone(self, name: str) -> bool:
        """Return whether a file of this name, in the folders, is one that was taken out of the maildrop."""
        ...

    def sync(self) -> None:
        """Wait until the files are on the disk where they are now, before the folders are synced that they were in.

        Raises:
            OSError: they may not be on the disk.
        """
        ...


class _Unlinking(Disposal):
    @override
    def dispose(self, name: str, folder: int, unique_id: UniqueId) -> None:
        os.unlink(name, dir_fd=folder)

    @override
    def is_gone(self, name: str) -> bool:
        return False

    @override
    def sync(self) -> None:
        pass


UNLINKING: Final[Disposal] = _Unlinking()
"""They are removed for good."""
