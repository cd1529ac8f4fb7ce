"""SASL PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login), both roles: the password is sent in clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.names import check_name, read_name

from .answers import answered
from .authenticator import verdict
from .mechanism import Dialogue, DialogueServer, OneMessageClient
from .names import check_password, read_password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["LoginClient", "LoginServer", "PlainClient", "PlainServer"]

_PARTS: Final = 3


class PlainClient(OneMessageClient):
    """The client side of PLAIN: `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).

    Args:
        authcid: the user whose password it is, not empty.
        password: the password, not empty. It is sent unchanged: the server prepares it.
        authzid: the user to act as, or "" for `authcid`.

    Raises:
        MechanismError: an argument contains characters that PLAIN cannot send, or is empty and must not be.
    """

    name: str = "PLAIN"
    shows_secret: bool = True

    def __init__(self, authcid: str, password: str, authzid: str = "") -> None:
        check_name(authcid, "the user name")
        check_name(authzid, "the authorization identity", required=False)
        check_password(password)
        super().__init__(f"{authzid}\0{authcid}\0{password}")


class PlainServer(DialogueServer):
    """The server side of PLAIN. The caller must check whether `authcid` may act as `authzid`.

    Args:
        check_password: takes a user name and a password, and returns whether the password is right.
    """

    name: str = "PLAIN"

    def __init__(self, check_password: Callable[[str, str], bool | Awaitable[bool]]) -> None:
        super().__init__()
        self._check_password: Final = check_password

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        parts = ((yield b"") if initial is None else initial).split(b"\0")
        if len(parts) != _PARTS:
            raise MechanismError("a PLAIN message must have three parts, separated by NUL")
        authzid = read_name(parts[0], "the authorization identity", required=False)
        authcid = self.claimed_user = read_name(parts[1], "the user name")
        if not verdict((yield from answered(self._check_password(authcid, read_password(parts[2]))))):
            raise CredentialsRejected("the user name or the password is wrong")
        return Identity(authcid, authzid)


class LoginClient:
    """The client side of LOGIN: answers two challenges, whatever their text.

    Args:
        user: the user name, not empty. The draft allows 63 characters; mail addresses may be longer.
        password: the password, not empty.

    Raises:
        MechanismError: an argument is empty or contains characters that cannot be sent.
    """

    name: str = "LOGIN"
    shows_secret: bool = True
    blocks: bool = False
    initial_response: bytes | None = None
    failure: str = ""

    def __init__(self, user: str, password: str) -> None:
        check_name(user, "the user name")
        check_password(password)
        self._remaining: Final = [password.encode(), user.encode()]

    @property
    def complete(self) -> bool:
        """Whether the user name and the password were sent."""
        return not self._remaining

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - section 2 of the draft: the client ignores it
        """Return the user name, then the password.

        Raises:
            MechanismError: it is the third challenge.
        """
        if not self._remaining:
            raise MechanismError("LOGIN has no third challenge")
        return self._remaining.pop()


class LoginServer(DialogueServer):
    """The server side of LOGIN. The server speaks first: there is no initial response (RFC 5034 section 4).

    Args:
        check_password: takes a user name and a password, and returns whether the password is right.
    """

    name: str = "LOGIN"

    def __init__(self, check_password: Callable[[str, str], bool | Awaitable[bool]]) -> None:
        super().__init__()
        self._check_password: Final = check_password

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        if initial is not None:
            raise MechanismError("LOGIN has no initial response")
        # The draft has "User Name" and "Password"; clients that read the challenges know these two.
        user = self.claimed_user = read_name((yield b"Username:"), "the user name")
        password = read_password((yield b"Password:"))
        if not verdict((yield from answered(self._check_password(user, password)))):
            raise CredentialsRejected("the user name or the password is wrong")
        return Identity(user)
