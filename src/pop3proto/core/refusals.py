"""What the procedures raise when the server answers `-ERR`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from typing_extensions import override

from .errors import Pop3Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .command import Command
    from .replies import Err, ResponseCode

__all__ = ["CommandFailed", "HasRefusal", "LoginFailed", "RefusedLogin", "SessionRefused", "by_reason"]


class HasRefusal:
    """An error that holds an `-ERR` of the server.

    Attributes:
        reply: the server's answer.
    """

    reply: Err

    @property
    def code(self) -> ResponseCode | None:
        """The response code of the answer, if it has one (RFC 2449 section 8)."""
        return self.reply.code

    @property
    def guessed_code(self) -> ResponseCode | None:
        """As `Reply.guessed_code`: a guess from the words of an answer without a response code."""
        return self.reply.guessed_code


class CommandFailed(HasRefusal, Pop3Error):
    """The server answered `-ERR`. The session goes on.

    Attributes:
        command: the command that was refused, without the secret that it held.
        reply: the server's answer.
    """

    def __init__(self, command: Command[object], reply: Err) -> None:
        super().__init__(command, reply)
        self.command = command
        self.reply = reply

    @override
    def __str__(self) -> str:
        return f"the server refused {self.command}: {self.reply.text or 'it gave no reason'}"


@attrs.frozen
class RefusedLogin:
    """A way to log in that was tried, and how the server refused it.

    Args:
        command: AUTH, APOP, USER or PASS, without its secret.
        reply: the answer.
        detail: what the server had said of it within the exchange, as JSON (RFC 7628 section 3.2.2); "": nothing.
        connection: which connection of the client it was: 1 is the first.
    """

    command: Command[object]
    reply: Err
    detail: str = ""
    connection: int = 1

    @override
    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.command}: {self.reply.text or '-ERR'}{detail}"


class LoginFailed(CommandFailed):
    """Logging in was refused. The session is in the AUTHORIZATION state, or over if the connection was lost after that.

    If the client gave up an exchange because of what the server said in it, `__cause__` tells why; or how the
    connection was lost.

    Attributes:
        attempts: what was tried, in order, and what each answer was.
        left: the names of the login methods that are left: enough was refused, or the connection was lost. One that
            was under way is among them.
        why: why they were not tried; "" if nothing is left.
        withheld: the methods that were never to be tried, because they would show too much, each with the reason.
    """

    def __init__(
        self,
        attempts: Sequence[RefusedLogin],
        left: Sequence[str] = (),
        why: str = "",
        withheld: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(attempts[-1].command, attempts[-1].reply)
        self.args: tuple[object, ...] = (attempts, left, why, withheld)
        self.attempts: tuple[RefusedLogin, ...] = tuple(attempts)
        self.left: tuple[str, ...] = tuple(left)
        self.why = why
        self.withheld: tuple[tuple[str, str], ...] = tuple(withheld)

    @override
    def __str__(self) -> str:
        several = len({attempt.connection for attempt in self.attempts}) > 1
        told: list[str] = []
        last = 0
        for attempt in self.attempts:
            number = f"connection {attempt.connection}: " if several and attempt.connection != last else ""
            told.append(f"{number}{attempt}")
            last = attempt.connection
        rest = f"; not tried: {', '.join(self.left)}, because {self.why}" if self.left else ""
        withheld = f"; withheld: {by_reason(self.withheld)}" if self.withheld else ""
        return f"login failed ({'; '.join(told)}){rest}{withheld}"


def by_reason(left_out: Sequence[tuple[str, str]]) -> str:
    """Format login methods that are left out, given with the reason of each, in one line: once for each reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in left_out:
        reasons.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())


class SessionRefused(Pop3Error):
    """The server greeted with `-ERR`: it is too busy for example, or does not serve this address. The session is over.

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
