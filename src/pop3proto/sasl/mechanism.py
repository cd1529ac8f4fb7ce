"""What a SASL mechanism is (RFC 4422)."""

from __future__ import annotations

from typing import Protocol

from pop3proto.core.errors import Pop3Error

__all__ = ["ClientMechanism", "MechanismError"]


class MechanismError(Pop3Error):
    """A challenge or response is none of the mechanism. The exchange cannot succeed."""


class ClientMechanism(Protocol):
    """The client's side of one exchange; made anew for each."""

    @property
    def name(self) -> str:
        """The name under which servers announce it."""
        ...

    @property
    def initial_response(self) -> bytes | None:
        """What the client says first; None if the server begins (RFC 4422 section 5)."""
        ...

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to a challenge that is not the request for the initial response.

        Raises:
            MechanismError: no such challenge belongs here; the client should cancel.
        """
        ...
