"""What a SASL mechanism is, for each role (RFC 4422). Octets in, octets out; no base64, no randomness, no clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator
from enum import IntEnum
from typing import Final, Protocol, TypeAlias, cast

import attrs

from pop3proto.core.errors import Pop3Error

from .answers import Steps, settled

__all__ = [
    "ClientMechanism",
    "CredentialsRejected",
    "Dialogue",
    "DialogueServer",
    "Identity",
    "MechanismError",
    "OneMessageClient",
    "ServerMechanism",
    "Strength",
]


class Strength(IntEnum):
    """What is shown on the wire, the worst first."""

    CLEAR = 0
    """The password or the token itself."""

    DIGEST = 1
    """Something from which passwords can be guessed at leisure; the server proves nothing (CRAM-MD5, APOP)."""

    MUTUAL = 2
    """Nothing but what a guess could be tried on, and the server proves that it knows the password, too (SCRAM)."""

    BOUND = 3
    """And the proof holds for this TLS channel alone (SCRAM-...-PLUS)."""

    NO_SECRET = 4
    """There is nothing that could be shown (EXTERNAL, ANONYMOUS)."""


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

    def respond(self, response: bytes | None) -> bytes | Identity | Awaitable[bytes | Identity]:
        """Return the next challenge, or who has logged in; or an awaitable of one of these (asyncio and trio).

        It asks the authenticator, and may block if that does; it returns an awaitable if the authenticator's answer
        is one. After the identity, or an error, it is over.

        Args:
            response: what the client said; at first its initial response, None if it sent none (RFC 5034 section 4).

        Raises:
            MechanismError: it is none of the mechanism.
            CredentialsRejected: it is, and it does not prove what it should.
            Exception: whatever the authenticator raises.
        """
        ...


Dialogue: TypeAlias = Generator[bytes | Awaitable[object], bytes, Identity]
"""Yields challenges, is sent responses, returns who has logged in.

It asks the authenticator by `yield from answered(...)`, which yields what has to be awaited.
"""


class DialogueServer(ABC):
    """The server's side of a mechanism, written as one generator. Once that has ended or raised, it is over."""

    def __init__(self) -> None:
        self._dialogue: Dialogue | None = None

    @abstractmethod
    def _begin(self, initial: bytes | None) -> Dialogue:
        """Hold the exchange, given the initial response."""

    def respond(self, response: bytes | None) -> bytes | Identity | Awaitable[bytes | Identity]:
        """Return the next challenge, or who has logged in, or an awaitable of it; see `ServerMechanism`."""
        first = self._dialogue is None
        dialogue = self._dialogue = self._dialogue or self._begin(response)
        if not first and response is None:  # only the first response can be missing
            dialogue.close()
        steps = _until_challenge(dialogue, None if first else response)
        return settled(steps)


def _until_challenge(dialogue: Dialogue, response: bytes | None) -> Steps[bytes | Identity]:
    """Go on with a dialogue to its next challenge or its end; yield what it has awaited meanwhile."""
    try:
        step = next(dialogue) if response is None else dialogue.send(response)
        while not isinstance(step, bytes):
            try:
                answer = yield step
            except BaseException as error:  # noqa: BLE001 - the mechanism decides what becomes of it
                step = dialogue.throw(error)
            else:
                step = dialogue.send(cast("bytes", answer))  # `answered` waits for it, and knows its type
    except StopIteration as end:
        if isinstance(end.value, Identity):  # a generator that has ended before returns None
            return end.value
    else:
        return step
    raise MechanismError("the SASL exchange is already complete")


class OneMessageClient:
    """The client's side of a mechanism that has one message: its initial response."""

    blocks: bool = False
    complete: bool = True
    failure: str = ""

    def __init__(self, message: str) -> None:
        self.initial_response: Final = message.encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - none is due
        """Refuse: everything has been said.

        Raises:
            MechanismError: always.
        """
        raise MechanismError("the server asks for more than the mechanism has to say")
