"""Who may log in: the protocol that an authenticator implements."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Authenticator"]


class Authenticator(Protocol):
    """Knows the users of a server. It may be called from several threads at once."""

    @property
    def blocks(self) -> bool:
        """Whether calls may wait for a disk or a network, or compute for long."""
        ...

    def check_password(self, user: str, password: str) -> bool:
        """Return whether this is the user's password.

        It should take the same time whether or not there is such a user.
        """
        ...
