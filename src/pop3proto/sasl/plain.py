"""PLAIN: name and password in one message, in clear (RFC 4616). Use it under TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .dialogue import Dialogue, DialogueServer, OneMessageClient
from .mechanism import CredentialsRejected, Identity, MechanismError
from .names import check_name, read_name
from .passwords import check_password, read_password

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PlainClient", "PlainServer"]

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

    def __init__(self, check_password: Callable[[str, str], bool]) -> None:
        super().__init__()
        self._check_password: Final = check_password

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        parts = ((yield b"") if initial is None else initial).split(b"\0")
        if len(parts) != _PARTS:
            raise MechanismError("a PLAIN message has three parts, with NUL between them")
        authzid = read_name(parts[0], "the name to act for", required=False)
        authcid = read_name(parts[1], "the name")
        if not self._check_password(authcid, read_password(parts[2])):
            raise CredentialsRejected("the name or the password is wrong")
        return Identity(authcid, authzid)
