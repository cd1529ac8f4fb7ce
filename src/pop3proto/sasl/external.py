"""EXTERNAL: the server knows the client already, by the certificate of the TLS handshake (RFC 4422 appendix A)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .dialogue import Dialogue, DialogueServer, OneMessageClient
from .mechanism import CredentialsRejected, Identity
from .names import check_name, read_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ExternalClient", "ExternalServer"]


class ExternalClient(OneMessageClient):
    """The client's side of EXTERNAL.

    Args:
        authzid: on whose behalf; "" is whoever the server takes the client for.

    Raises:
        MechanismError: it holds control characters or surrogates.
    """

    name: str = "EXTERNAL"
    shows_secret: bool = False

    def __init__(self, authzid: str = "") -> None:
        check_name(authzid, "the name to act for", required=False)
        super().__init__(authzid)


class ExternalServer(DialogueServer):
    """The server's side of EXTERNAL.

    Args:
        identify: returns who the client is, given on whose behalf it wants to act ("": itself); None if nobody, or
            if it may not (RFC 4422 appendix A.1).
    """

    name: str = "EXTERNAL"

    def __init__(self, identify: Callable[[str], str | None]) -> None:
        super().__init__()
        self._identify: Final = identify

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        message = (yield b"") if initial is None else initial
        authzid = read_name(message, "the name to act for", required=False)
        user = self._identify(authzid)
        if user is None:
            raise CredentialsRejected("the client is not known, or may not act for whom it says")
        return Identity(user, authzid)
