"""What can go wrong, and whose fault it was.

The connections raise `LocalProtocolError`, `RemoteProtocolError` and, at end of stream, `ConnectionLost` or
`UncertainUpdate`; parsing a reply raises `MalformedReply`. The rest are raised by the procedures and the adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .commands import Command
    from .replies import Err, ResponseCode

__all__ = [
    "Broken",
    "Busy",
    "CommandFailed",
    "ConnectionLost",
    "LocalProtocolError",
    "LoginAttempt",
    "LoginFailed",
    "MalformedReply",
    "Pop3Error",
    "ProtocolError",
    "RemoteProtocolError",
    "SessionRefused",
    "TimedOut",
    "UncertainUpdate",
]


class Pop3Error(Exception):
    """The base of everything that this library raises on purpose."""


class ProtocolError(Pop3Error):
    """Somebody broke the protocol; the two subclasses say who."""


class LocalProtocolError(ProtocolError):
    """You asked for something that the protocol forbids.

    Nothing was sent and nothing has changed: the connection can still be used.
    """


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. The connection is over."""


class MalformedReply(Pop3Error):
    """A positive reply, or its body, does not mean what the command asked for.

    Framing is intact, so the session is in step and goes on.
    """


class CommandFailed(Pop3Error):
    """The server answered `-ERR`. The session goes on.

    Attributes:
        command: the command that was refused, without the secret that it held.
        reply: the server's answer.
    """

    def __init__(self, command: Command[object], reply: Err) -> None:
        super().__init__(command, reply)
        self.command = command
        self.reply = reply

    @property
    def code(self) -> ResponseCode | None:
        """The response code of the answer, if it has one (RFC 2449 section 8)."""
        return self.reply.code

    @override
    def __str__(self) -> str:
        return f"the server refused {self.command}: {self.reply.text or 'it gave no reason'}"


@attrs.frozen
class LoginAttempt:
    """One way to log in, and how the server refused it.

    Args:
        command: AUTH, APOP, USER or PASS, without its secret.
        reply: the answer.
        detail: what the server had said of it within the exchange, JSON (RFC 7628 section 3.2.2) say; "" is nothing.
    """

    command: Command[object]
    reply: Err
    detail: str = ""

    @override
    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.command}: {self.reply.text or '-ERR'}{detail}"


class LoginFailed(CommandFailed):
    """Every way to log in was refused. The session is in the AUTHORIZATION state, or over if the server hung up.

    If the client gave up an exchange because of what the server said in it, `__cause__` tells why.

    Attributes:
        attempts: what was tried, in order, and what each answer was.
    """

    def __init__(self, attempts: Sequence[LoginAttempt]) -> None:
        super().__init__(attempts[-1].command, attempts[-1].reply)
        self.args = (attempts,)
        self.attempts = tuple(attempts)

    @override
    def __str__(self) -> str:
        return f"login failed ({'; '.join(map(str, self.attempts))})"


class SessionRefused(Pop3Error):
    """The server greeted with `-ERR`: it is too busy, say, or does not serve this address. The session is over.

    Attributes:
        reply: the greeting.
    """

    def __init__(self, reply: Err) -> None:
        super().__init__(reply)
        self.reply = reply

    @property
    def code(self) -> ResponseCode | None:
        """The response code of the greeting, if it has one."""
        return self.reply.code

    @override
    def __str__(self) -> str:
        return f"the server refused the session: {self.reply.text or 'it gave no reason'}"


class ConnectionLost(Pop3Error):
    """The stream ended while something was still owed. The message says what."""


class UncertainUpdate(ConnectionLost):
    """The stream ended before QUIT was answered: deletions may or may not have happened (RFC 1939 section 6)."""


class TimedOut(Pop3Error, TimeoutError):
    """A deadline passed. The connection is over."""


class Busy(Pop3Error):
    """Two tasks used one client at once, or a body was still open. Nothing was sent."""


class Broken(Pop3Error):
    """The client cannot be used after an earlier failure, which the message names."""
