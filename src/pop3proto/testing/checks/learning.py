"""To learn what a server can do, before the checks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import Stat
from pop3proto.core.errors import ConnectionLost, MalformedReply, Pop3Error, TimedOut
from pop3proto.core.replies import Greeting, Ok

from .check import Need
from .conversation import open_conversation
from .steps import LoginRefused, enter, log_in, wait
from .verdicts import CheckFailed, CheckSkipped, ServerHungUp, ServerSilent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.procedures.operations import Procedure

    from .conversation import Conversation
    from .facts import Facts
    from .target import Target

__all__ = ["learn"]

_FIRST_PAUSES: Final = (0.2, 1.0, 2.0)
"""Seconds before another try. They are few: the password may be wrong, and the server lock the account."""


def learn(target: Target, facts: Facts) -> Procedure[None]:
    """Find out what must be known.

    Args:
        target: the server.
        facts: what is found out goes there, also if something fails.
    """
    greeted = False
    try:
        talk = yield from open_conversation(target, facts)
        facts.loopback = talk.loopback
        facts.timestamp = Greeting((yield from talk.greet())).timestamp
        greeted = True
        if target.tls == "starttls":
            facts.in_clear = yield from _announced(talk)
            yield from talk.stls()
        facts.capabilities = yield from _announced(talk)
        if target.tls == "none":
            facts.in_clear = facts.capabilities
    except (CheckFailed, Pop3Error) as error:
        facts.trouble = str(error)
        facts.silent = not greeted and isinstance(error, TimedOut | ServerSilent)
        return
    try:
        talk = yield from _first_login(talk)
    except (CheckFailed, CheckSkipped, Pop3Error) as error:
        facts.login_trouble = str(error)
        return
    yield from _look(talk)


def _look(talk: Conversation) -> Procedure[None]:
    """Find out what comes behind the login: each fact alone, while the connection is of use."""
    facts = talk.facts
    over: str | None = None
    for need, look in _LOOKS.items():
        try:
            if over is None:
                yield from look(talk)
        except (CheckFailed, Pop3Error) as error:  # there is a check for it
            facts.doubts[need.value] = str(error)
            if isinstance(error, ServerHungUp | TimedOut | ConnectionLost) or isinstance(error.__cause__, TimedOut):
                over = str(error)
        if over is not None:
            facts.doubts[need.value] = over
    if over is None:
        with suppress(CheckFailed, Pop3Error):
            yield from talk.ask(b"QUIT")


def _announced(talk: Conversation) -> Procedure[Capabilities | None]:
    try:
        return (yield from talk.capabilities())
    except MalformedReply as error:
        talk.facts.doubts[Need.CAPA.value] = str(error)
        return None


def _first_login(talk: Conversation) -> Procedure[Conversation]:
    """Log in over this connection, or, if that is refused, over others, as the refusal may be due to an old session."""
    try:
        yield from log_in(talk)
    except LoginRefused as error:
        if error.final:
            raise
    else:
        return talk
    yield from talk.hang_up()
    yield from wait(_FIRST_PAUSES[0], talk.facts)
    return (yield from enter("transaction", talk.target, talk.facts, _FIRST_PAUSES[1:]))


def _look_at_capabilities(talk: Conversation) -> Procedure[None]:
    talk.facts.logged_in = yield from talk.capabilities()


def _look_at_count(talk: Conversation) -> Procedure[None]:
    talk.facts.count = (yield from talk.call(Stat())).count


def _look_at_uidl(talk: Conversation) -> Procedure[None]:
    talk.facts.uidl = yield from _works(talk, b"UIDL")


def _look_at_top(talk: Conversation) -> Procedure[None]:
    announced = talk.facts.logged_in or talk.facts.capabilities
    talk.facts.top = announced.top if announced is not None else (yield from _works(talk, b"TOP 1 0"))


_LOOKS: Final[dict[Need, Callable[[Conversation], Procedure[None]]]] = {
    Need.CAPA: _look_at_capabilities,
    Need.MESSAGES: _look_at_count,
    Need.UIDL: _look_at_uidl,
    Need.TOP: _look_at_top,
}


def _works(talk: Conversation, line: bytes) -> Procedure[bool]:
    if not isinstance((yield from talk.ask(line)), Ok):
        return False
    yield from talk.body()
    return True
