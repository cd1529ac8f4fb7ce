"""What can go wrong, and whose fault it was.

The connections raise `LocalProtocolError`, `RemoteProtocolError` and, at end of stream, `ConnectionLost` or
`UncertainUpdate`; parsing a reply raises `MalformedReply`. The rest are raised by the procedures and the adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        command: the command that was refused.
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


class LoginFailed(CommandFailed):
    """Every way to log in was refused. The session is in the AUTHORIZATION state and goes on.

    Attributes:
        attempts: the commands that were tried and their answers, in order.
    """

    def __init__(self, attempts: Sequence[tuple[Command[object], Err]]) -> None:
        super().__init__(*attempts[-1])
        self.args = (attempts,)
        self.attempts = tuple(attempts)

    @override
    def __str__(self) -> str:
        tried = "; ".join(f"{command}: {reply.text or '-ERR'}" for command, reply in self.attempts)
        return f"login failed ({tried})"


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
