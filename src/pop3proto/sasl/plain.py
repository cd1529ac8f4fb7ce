"""PLAIN: name and password in one message, in clear (RFC 4616). Use it under TLS."""

from __future__ import annotations

from typing import Final, Self

import attrs

from .mechanism import MechanismError

__all__ = ["PlainClient", "PlainCredentials"]


@attrs.frozen
class PlainCredentials:
    """The message of a client: `[authzid] NUL authcid NUL passwd` in UTF-8 (RFC 4616 section 2).

    Args:
        authcid: whose password it is; not empty.
        password: not empty.
        authzid: on whose behalf; "" is the same one.

    Raises:
        MechanismError: a part is empty, holds NUL, CR or LF, or is not Unicode.
    """

    authcid: str
    password: str = attrs.field(repr=False)
    authzid: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.authcid or not self.password:
            raise MechanismError("PLAIN needs a name and a password")
        # NUL separates the parts. CR and LF are legal here, but no name or password that POP3 knows holds them, and
        # a name with a line end in it would write lines of its own into replies and logs.
        if any(character in part for part in attrs.astuple(self) for character in "\0\r\n"):
            raise MechanismError("a name or password must not hold NUL, CR or LF")
        try:
            self.encode()
        except UnicodeEncodeError:
            raise MechanismError("a name or password holds surrogates") from None

    def encode(self) -> bytes:
        """Return the octets of the message."""
        return f"{self.authzid}\0{self.authcid}\0{self.password}".encode()

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return the credentials in a message, on the server's side.

        Raises:
            MechanismError: it does not have three parts, or one is not what it must be.
        """
        try:
            authzid, authcid, password = message.decode().split("\0")
        except ValueError:  # UnicodeDecodeError is one
            raise MechanismError("a PLAIN message has three parts in UTF-8, with NUL between them") from None
        return cls(authcid, password, authzid)


class PlainClient:
    """The client's side of PLAIN."""

    def __init__(self, authcid: str, password: str, authzid: str = "") -> None:
        """Take the credentials, as `PlainCredentials` does."""
        self.name: Final = "PLAIN"
        self.initial_response: Final[bytes] = PlainCredentials(authcid, password, authzid).encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - none is due
        """Refuse: the one message of PLAIN is the initial response."""
        raise MechanismError("PLAIN has no second challenge")
