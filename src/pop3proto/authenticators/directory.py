"""What a source of users knows of them beside their passwords: whether they exist, their home, their quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["UserDirectory", "UserEntry"]


@attrs.frozen
class UserEntry:
    """A user.

    Args:
        name: as in `SessionInfo.user`.
        home: the home folder; None: the source names none.
        quota_octets: the largest size of all messages, 0: there is no limit; None: the source says nothing of it.
        quota_messages: the largest number of messages; None: as above.
    """

    name: str
    home: Path | None = attrs.field(default=None, kw_only=True)
    quota_octets: int | None = attrs.field(default=None, kw_only=True)
    quota_messages: int | None = attrs.field(default=None, kw_only=True)


@runtime_checkable
class UserDirectory(Protocol):
    """A source of users that can be asked without a password. Its methods may block."""

    def find(self, user: str, /) -> UserEntry | None:
        """Return a user; None if there is no such user.

        Raises:
            Unavailable: the source cannot be asked now.
        """
        ...

    def names(self) -> Sequence[str]:
        """Return the names of all users.

        Raises:
            Unavailable: the source cannot be asked now, or does not know.
        """
        ...
