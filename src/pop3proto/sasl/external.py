"""SASL EXTERNAL (RFC 4422 appendix A) and ANONYMOUS (RFC 4505), both roles: no secret is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.names import check_name, prepare_name, read_name, read_utf8

from .answers import answered
from .authenticator import named
from .mechanism import Dialogue, DialogueServer, OneMessageClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["AnonymousClient", "AnonymousServer", "ExternalClient", "ExternalServer"]


class ExternalClient(OneMessageClient):
    """The client side of EXTERNAL.

    Args:
        authzid: the user to act as, or "" for the user that the server derives from the TLS client certificate.

    Raises:
        MechanismError: `authzid` contains control characters or surrogates.
    """

    name: str = "EXTERNAL"
    shows_secret: bool = False

    def __init__(self, authzid: str = "") -> None:
        check_name(authzid, "the authorization identity", required=False)
        super().__init__(authzid)


class ExternalServer(DialogueServer):
    """The server side of EXTERNAL.

    Args:
        identify: takes the user that the client wants to act as ("" for its own) and returns the authenticated user;
            None if the client is unknown or may not act as that user (RFC 4422 appendix A.1).
    """

    name: str = "EXTERNAL"

    def __init__(self, identify: Callable[[str], str | Awaitable[str | None] | None]) -> None:
        super().__init__()
        self._identify: Final = identify

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        message = (yield b"") if initial is None else initial
        authzid = self.claimed_user = read_name(message, "the authorization identity", required=False)
        user = named((yield from answered(self._identify(authzid))))
        if user is None:
            raise CredentialsRejected("the client is not known, or may not act as the user that it asked for")
        return Identity(user, authzid)


_LONGEST_TRACE: Final = 255  # RFC 4505 section 2; also the maximum of a mail address


class AnonymousClient(OneMessageClient):
    """The client side of ANONYMOUS.

    Args:
        trace: a mail address, or text without "@", up to 255 characters; may be empty.

    Raises:
        MechanismError: `trace` is too long, or contains control characters or surrogates.
    """

    name: str = "ANONYMOUS"
    shows_secret: bool = False

    def __init__(self, trace: str = "") -> None:
        check_name(trace, "the trace", required=False)
        _check_length(trace)
        super().__init__(trace)


class AnonymousServer(DialogueServer):
    """The server side of ANONYMOUS.

    Args:
        admit: takes the trace and returns the user whose maildrop the client gets; None to refuse the login.
    """

    name: str = "ANONYMOUS"

    def __init__(self, admit: Callable[[str], str | Awaitable[str | None] | None]) -> None:
        super().__init__()
        self._admit: Final = admit

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        trace = read_utf8((yield b"") if initial is None else initial, "the trace")
        _check_length(trace)
        user = named((yield from answered(self._admit(prepare_name(trace, "the trace") if trace else ""))))
        if user is None:
            raise CredentialsRejected("anonymous logins are not allowed")
        return Identity(user)


def _check_length(trace: str) -> None:
    if len(trace) > _LONGEST_TRACE:
        raise MechanismError(f"the trace is longer than {_LONGEST_TRACE} characters")
