"""What a SASL mechanism is, for each role (RFC 4422). Octets in, octets out; no base64, no chance, no clock."""

from __future__ import annotations

from typing import Protocol

import attrs

from pop3proto.core.errors import Pop3Error

__all__ = ["ClientMechanism", "CredentialsRejected", "Identity", "MechanismError", "ServerMechanism"]


class MechanismError(Pop3Error):
    """A challenge or response is none of the mechanism, or credentials cannot be put into it.

    The exchange cannot succeed. The message says what is wrong, and never holds what was sent.
    """


class CredentialsRejected(Pop3Error):
    """The exchange came to its end, and the client is not who it says, or may not do what it wants."""


@attrs.frozen
class Identity:
    """Who an exchange has proved the client to be.

    Args:
        authcid: whose credentials they are.
        authzid: on whose behalf the client wants to act; "" is the same one (RFC 4422 section 3.4.1).
    """

    authcid: str
    authzid: str = ""


class ClientMechanism(Protocol):
    """The client's side of one exchange; made anew for each."""

    @property
    def name(self) -> str:
        """The name under which servers announce it."""
        ...

    @property
    def shows_secret(self) -> bool:
        """Whether a password or token can be read from what it sends, so that it must go under verified TLS."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether `respond` may compute for long, or wait, so that it must not be called in an event loop."""
        ...

    @property
    def initial_response(self) -> bytes | None:
        """What the client says first; None if the server begins (RFC 4422 section 5)."""
        ...

    @property
    def complete(self) -> bool:
        """Whether a positive answer may be believed now.

        Before, secrets are still to be sent, or the server has still to prove itself (RFC 5802 section 5). Where there
        is an initial response, it counts as sent.
        """
        ...

    @property
    def failure(self) -> str:
        """What the server has said inside the exchange of why it refuses: JSON (RFC 7628 section 3.2.2), say; or ""."""
        ...

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to a challenge that is not the request for the initial response.

        Raises:
            MechanismError: no such challenge belongs here; the client should cancel.
        """
        ...


class ServerMechanism(Protocol):
    """The server's side of one exchange; made anew for each."""

    @property
    def name(self) -> str:
        """The name under which it is announced."""
        ...

    def respond(self, response: bytes | None) -> bytes | Identity:
        """Return the next challenge, or who has logged in.

        It asks the authenticator, and may block if that does. After the identity, or an error, it is over.

        Args:
            response: what the client said; at first its initial response, None if it sent none (RFC 5034 section 4).

        Raises:
            MechanismError: it is none of the mechanism.
            CredentialsRejected: it is, and it does not prove what it should.
            Exception: whatever the authenticator raises.
        """
        ...
