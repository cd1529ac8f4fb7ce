"""LOGIN: name and password in two messages, in clear (draft-murchison-sasl-login). Obsolete, and still asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .dialogue import Dialogue, DialogueServer
from .mechanism import CredentialsRejected, Identity, MechanismError
from .names import check_name, read_name
from .passwords import check_password, read_password

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoginClient", "LoginServer"]


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

    def __init__(self, check_password: Callable[[str, str], bool]) -> None:
        super().__init__()
        self._check_password: Final = check_password

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        if initial is not None:
            raise MechanismError("LOGIN has no initial response")
        # The draft says "User Name" and "Password"; clients that do read them know these.
        user = read_name((yield b"Username:"), "the name")
        password = read_password((yield b"Password:"))
        if not self._check_password(user, password):
            raise CredentialsRejected("the name or the password is wrong")
        return Identity(user)
