"""Interfaces and base classes of SASL mechanisms, for both roles (RFC 4422).

Octets in, octets out: mechanisms do no base64, and use no randomness and no clock.
"""

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
    """How well a mechanism protects the secret on the wire; a greater value is better."""

    CLEAR = 0
    """Sends the password or token itself (PLAIN, LOGIN, OAUTHBEARER, XOAUTH2)."""

    DIGEST = 1
    """Sends a digest that allows offline guessing; does not authenticate the server (CRAM-MD5, APOP)."""

    MUTUAL = 2
    """Sends a proof against which guesses are slow; the server proves that it knows the password as well (SCRAM)."""

    BOUND = 3
    """Like MUTUAL, and the proof is valid for this TLS channel only (SCRAM-...-PLUS)."""

    NO_SECRET = 4
    """Sends no secret (EXTERNAL, ANONYMOUS)."""


class MechanismError(Pop3Error):
    """A challenge or response is not valid for this mechanism, or the credentials cannot be used with it.

    The exchange cannot succeed. The error message never contains what was sent.
    """


class CredentialsRejected(Pop3Error):
    """The exchange is complete, but the credentials are wrong, or the client may not act as the user that it named."""


@attrs.frozen
class Identity:
    """The authenticated user: the result of a successful exchange.

    Args:
        authcid: the user whose credentials were verified (authentication identity).
        authzid: the user to act as (authorization identity), or "" for `authcid` (RFC 4422 section 3.4.1).
    """

    authcid: str
    authzid: str = ""


class ClientMechanism(Protocol):
    """The client side of one SASL exchange. Each exchange needs a new object."""

    @property
    def name(self) -> str:
        """The name of the mechanism, as servers announce it."""
        ...

    @property
    def shows_secret(self) -> bool:
        """Whether it sends a readable password or token, so that it needs verified TLS."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether `respond` may compute for long or block, so that it must run in a worker thread."""
        ...

    @property
    def initial_response(self) -> bytes | None:
        """The first message of the client; None if the server speaks first (RFC 4422 section 5)."""
        ...

    @property
    def complete(self) -> bool:
        """Whether a positive answer of the server is acceptable now.

        It is not while the client has more to send, or while the server has not proved that it knows the password
        (RFC 5802 section 5). The initial response, if any, counts as sent.
        """
        ...

    @property
    def failure(self) -> str:
        """The reason that the server gave for a refusal within the exchange, as in RFC 7628 section 3.2.2; or ""."""
        ...

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to a challenge, other than the empty one that asks for the initial response.

        Raises:
            MechanismError: the challenge is not valid now; the client should cancel the exchange.
        """
        ...


class ServerMechanism(Protocol):
    """The server side of one SASL exchange. Each exchange needs a new object."""

    @property
    def name(self) -> str:
        """The name of the mechanism, as it is announced."""
        ...

    def respond(self, response: bytes | None) -> bytes | Identity | Awaitable[bytes | Identity]:
        """Return the next challenge, or the authenticated user; or an awaitable of one of these (asyncio and trio).

        It calls the authenticator, and blocks if that does; it returns an awaitable if the answer of the authenticator
        is one. After an `Identity` or an error, the exchange is over.

        Args:
            response: the response of the client. In the first call its initial response, or None if there was none
                (RFC 5034 section 4).

        Raises:
            MechanismError: the response is not valid for this mechanism.
            CredentialsRejected: the response is valid, but the credentials are wrong.
            Exception: any exception of the authenticator.
        """
        ...


Dialogue: TypeAlias = Generator[bytes | Awaitable[object], bytes, Identity]
"""A server-side exchange as a generator: yields challenges, receives responses, returns the authenticated user.

It calls the authenticator by `yield from answered(...)`, which yields what has to be awaited.
"""


class DialogueServer(ABC):
    """The base class of server mechanisms that are written as a generator (`_begin`).

    Attributes:
        claimed_user: whose credentials the client says that it has, for the log; "" until it has said that.
        rejected: the last challenge says that the credentials are wrong. The server counts the failure then: the client
            knows all that it will, and may cancel. Whatever it answers, the exchange fails.
        proven: who the client has shown to be, if the last challenge tells it that its credentials are right. A server
            that has another reason to refuse this login, and must not tell it, refuses before that challenge is sent.
    """

    def __init__(self) -> None:
        self.claimed_user: str = ""
        self.rejected: bool = False
        self.proven: Identity | None = None
        self._dialogue: Dialogue | None = None

    def _claim(self, user: str) -> str:
        """Note whose credentials the client says that it has, and return that."""
        self.claimed_user = user
        return user

    def deny(self) -> bytes | None:
        """Return the challenge that tells a client that its credentials are wrong; None: the negative reply tells it.

        A server calls this where it has another reason to refuse a login whose credentials are right, and must not tell
        it. `rejected` is true then, if there is such a challenge.
        """
        return None

    @abstractmethod
    def _begin(self, initial: bytes | None) -> Dialogue:
        """Run the exchange; `initial` is the initial response, or None."""

    def respond(self, response: bytes | None) -> bytes | Identity | Awaitable[bytes | Identity]:
        """Return the next challenge or the authenticated user, or an awaitable of it; see `ServerMechanism`."""
        first = self._dialogue is None
        dialogue = self._dialogue = self._dialogue or self._begin(response)
        if not first and response is None:  # only the first response can be None
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
        if isinstance(end.value, Identity):  # a generator that ended earlier returns None
            return end.value
    else:
        return step
    raise MechanismError("the SASL exchange is already complete")


class OneMessageClient:
    """The base class of client mechanisms whose only message is the initial response."""

    blocks: bool = False
    complete: bool = True
    failure: str = ""

    def __init__(self, message: str) -> None:
        self.initial_response: Final = message.encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - every challenge is refused
        """Refuse any challenge: the only message was the initial response.

        Raises:
            MechanismError: always.
        """
        raise MechanismError("the server sent a challenge, but the mechanism has only an initial response")
