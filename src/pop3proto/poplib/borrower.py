"""What may use a connection between the commands of a POP3 object."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Borrower"]


class Borrower(Protocol):
    """The client beneath, as the file knows it: it may leave an answer before its end."""

    @property
    def unfinished(self) -> bool:
        """Whether there is an answer that it has not read to its end."""
        ...

    @property
    def logged_in(self) -> bool:
        """Whether the server has accepted a user, as far as it knows."""
        ...

    def settle(self) -> None:
        """Read what is left of answers.

        Raises:
            Busy: one is being read.
            Pop3Error: it cannot be read to its end.
        """
        ...

    def end(self, why: str) -> None:
        """Refuse whatever it is asked from now on, with these words."""
        ...
