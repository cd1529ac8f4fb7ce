"""SASL PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login), both roles: the password itself."""

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
    """The client's side of PLAIN: `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).

    Args:
        authcid: whose password it is; not empty.
        password: not empty. It is sent as it is: the server prepares it.
        authzid: on whose behalf; "" is the same one.

    Raises:
        MechanismError: a part cannot be said in PLAIN.
    """

    name: str = "PLAIN"
    shows_secret: bool = True

    def __init__(self, authcid: str, password: str, authzid: str = "") -> None:
        check_name(authcid, "the name")
        check_name(authzid, "the name to act for", required=False)
        check_password(password)
        super().__init__(f"{authzid}\0{authcid}\0{password}")


class PlainServer(DialogueServer):
    """The server's side of PLAIN. Whether `authcid` may act for `authzid` is for its caller to ask.

    Args:
        check_password: returns whether this is the user's password.
    """

    name: str = "PLAIN"

    def __init__(self, check_password: Callable[[str, str], bool | Awaitable[bool]]) -> None:
        super().__init__()
        self._check_password: Final = check_password

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        parts = ((yield b"") if initial is None else initial).split(b"\0")
        if len(parts) != _PARTS:
            raise MechanismError("a PLAIN message has three parts, with NUL between them")
        authzid = read_name(parts[0], "the name to act for", required=False)
        authcid = read_name(parts[1], "the name")
        if not verdict((yield from answered(self._check_password(authcid, read_password(parts[2]))))):
            raise CredentialsRejected("the name or the password is wrong")
        return Identity(authcid, authzid)


class LoginClient:
    """The client's side of LOGIN: the server asks twice, whatever the words.

    Args:
        user: not empty. The draft stops at 63 characters; mail addresses do not.
        password: not empty.

    Raises:
        MechanismError: one of them cannot be said.
    """

    name: str = "LOGIN"
    shows_secret: bool = True
    blocks: bool = False
    initial_response: bytes | None = None
    failure: str = ""

    def __init__(self, user: str, password: str) -> None:
        check_name(user, "the name")
        check_password(password)
        self._unsaid: Final = [password.encode(), user.encode()]

    @property
    def complete(self) -> bool:
        """Whether both have been said."""
        return not self._unsaid

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - section 2 of the draft: the client ignores it
        """Return the name, then the password.

        Raises:
            MechanismError: the server asks a third time.
        """
        if not self._unsaid:
            raise MechanismError("LOGIN has no third challenge")
        return self._unsaid.pop()


class LoginServer(DialogueServer):
    """The server's side of LOGIN. It begins: there is no initial response (RFC 5034 section 4).

    Args:
        check_password: returns whether this is the user's password.
    """

    name: str = "LOGIN"

    def __init__(self, check_password: Callable[[str, str], bool | Awaitable[bool]]) -> None:
        super().__init__()
        self._check_password: Final = check_password

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        if initial is not None:
            raise MechanismError("LOGIN has no initial response")
        # The draft says "User Name" and "Password"; clients that do read them know these.
        user = read_name((yield b"Username:"), "the name")
        password = read_password((yield b"Password:"))
        if not verdict((yield from answered(self._check_password(user, password)))):
            raise CredentialsRejected("the name or the password is wrong")
        return Identity(user)
