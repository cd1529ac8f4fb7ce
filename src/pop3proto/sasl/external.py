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

    def __init__(self, identify: Callable[[str], str | Awaitable[str | None] | None]) -> None:
        super().__init__()
        self._identify: Final = identify

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        message = (yield b"") if initial is None else initial
        authzid = read_name(message, "the name to act for", required=False)
        user = named((yield from answered(self._identify(authzid))))
        if user is None:
            raise CredentialsRejected("the client is not known, or may not act for whom it says")
        return Identity(user, authzid)


_LONGEST_TRACE: Final = 255  # RFC 4505 section 2; mail addresses are no longer either


class AnonymousClient(OneMessageClient):
    """The client's side of ANONYMOUS.

    Args:
        trace: a mail address, or a word without "@", up to 255 characters; it may be empty.

    Raises:
        MechanismError: it is too long, or holds control characters or surrogates.
    """

    name: str = "ANONYMOUS"
    shows_secret: bool = False

    def __init__(self, trace: str = "") -> None:
        check_name(trace, "the trace", required=False)
        _check_length(trace)
        super().__init__(trace)


class AnonymousServer(DialogueServer):
    """The server's side of ANONYMOUS.

    Args:
        admit: returns the user whose maildrop a client gets that has left this trace; None if it is not let in.
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
            raise CredentialsRejected("nobody is let in without a name")
        return Identity(user)


def _check_length(trace: str) -> None:
    if len(trace) > _LONGEST_TRACE:
        raise MechanismError(f"the trace is longer than {_LONGEST_TRACE} characters")
