"""What comes before a check: to learn what the server can do, to connect, and to log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import Apop, Auth, Pass, Stat
from pop3proto.core.errors import LocalProtocolError, MalformedReply
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.client.commands import greet
from pop3proto.procedures.client.login import login
from pop3proto.procedures.client.login_plan import APOP, USER_PASS
from pop3proto.procedures.client.options import SessionOptions
from pop3proto.sasl.channel import SessionInfo

from .check import Need
from .conversation import Pause, open_conversation
from .verdicts import CheckFailed, CheckSkipped

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pop3proto.core.client import Request
    from pop3proto.core.events import ClientEvent
    from pop3proto.procedures.operations import Procedure

    from .check import Check, Stage
    from .conversation import Conversation
    from .facts import Facts
    from .target import Target

__all__ = ["LoginRefused", "begin", "enter", "log_in", "wait"]

_FEW: Final = 3  # messages that are delivered for checks that need some
_LONGEST_DELAY: Final = 30  # seconds that a LOGIN-DELAY is waited for
_PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds before a login is tried again


class LoginRefused(CheckSkipped):
    """A login was refused, so that it cannot be found out what comes behind it.

    Args:
        error: how.

    Attributes:
        code: the response code of the refusal; None: there is none.
        final: the code says that the credentials are wrong: to try again is of no use, and may lock the account.
    """

    def __init__(self, error: LoginFailed) -> None:
        super().__init__(f"the login was refused: {error}")
        self.code: Final = error.code
        self.final: Final = error.reply.has(ResponseCode.AUTH)


class _LoginWitness:
    """An observer of a login.

    Attributes:
        method: the one that was tried last, by the name that `login` has for it.
    """

    def __init__(self) -> None:
        self.method: str | None = None

    def said(self, _session: SessionInfo, request: Request, /) -> None:
        match request:
            case Auth(mechanism):
                self.method = mechanism
            case Apop():
                self.method = APOP
            case Pass():
                self.method = USER_PASS
            case _:
                pass

    def heard(self, _session: SessionInfo, _event: ClientEvent, /) -> None:
        pass

    def ended(self, _session: SessionInfo, _error: BaseException | None, /) -> None:
        pass


def log_in(talk: Conversation, only: Collection[str] | None = None) -> Procedure[None]:
    """Log in over a connection in the AUTHORIZATION state, by a client's procedure.

    Args:
        talk: the connection.
        only: as in `login`.

    Raises:
        CheckSkipped: there is no way to log in.
        LoginRefused: it was refused.
    """
    credentials = talk.target.login
    if credentials is None:
        raise CheckSkipped("nobody is named who could log in")
    witness = _LoginWitness()
    options = SessionOptions(
        observer=witness,
        tls="none" if talk.tls is None else "implicit",
        cleartext=talk.target.cleartext,
        timeout=talk.target.timeout,
        quirks=talk.target.quirks,
    )
    session = options.session(SessionInfo(), talk.target.host or None, loopback=talk.loopback)
    session.connection.receive_data(talk.greeting)
    try:
        yield from talk.run(greet(session))
        if talk.tls is not None:
            session.secured(talk.tls)
        if talk.facts.capabilities is not None:
            session.learn(talk.facts.capabilities)
        if only is None and talk.facts.method is not None:
            only = {talk.facts.method}
        yield from talk.run(login(session, credentials, only=only))
        talk.facts.method = talk.facts.method or witness.method
    except LocalProtocolError as error:
        raise CheckSkipped(str(error)) from error
    except LoginFailed as error:
        raise LoginRefused(error) from error


def begin(check: Check, target: Target, facts: Facts) -> Procedure[Conversation]:
    """Open a connection, and come into the state in which a check begins; with some messages, if it needs any."""
    talk = yield from enter(check.state, target, facts)
    if not check.needs & {Need.MESSAGES, Need.DELETING}:
        return talk
    count = yield from _count(talk)
    if count < _FEW and target.deliver is not None:
        for number in range(count, _FEW):
            yield from talk.deliver(b"Subject: message %d\r\n\r\nFor the checks.\r\n" % number)
        yield from talk.hang_up()
        talk = yield from enter(check.state, target, facts)
        count = yield from _count(talk)
    if count == 0:
        raise CheckSkipped("the maildrop has no messages")
    return talk


def _count(talk: Conversation) -> Procedure[int]:
    try:
        return (yield from talk.call(Stat())).count
    except (CheckFailed, MalformedReply):
        return _FEW  # nobody knows, and there is a check for it


def enter(state: Stage, target: Target, facts: Facts, pauses: Sequence[float] = _PAUSES) -> Procedure[Conversation]:
    """Open a connection, and come into a state.

    A login that is refused is tried again: the server may not have noticed yet that the last session is over.

    Args:
        state: the state.
        target: the server.
        facts: what is known of it.
        pauses: seconds before each further try.

    Raises:
        CheckSkipped: the login is refused still.
    """
    for pause in (*pauses, None):
        talk = yield from open_conversation(target, facts)
        if state == "connection":
            return talk
        yield from talk.begin()
        if state == "authorization":
            return talk
        try:
            yield from log_in(talk)
        except LoginRefused as error:
            if pause is None or error.final:
                raise
            yield from talk.hang_up()
            yield from wait(pause, facts)
        else:
            return talk
    raise AssertionError("the last try has raised")


def wait(pause: float, facts: Facts) -> Procedure[None]:
    """Wait before a login is tried again, also for a LOGIN-DELAY that is announced."""
    delay = facts.capabilities.login_delay if facts.capabilities is not None else None
    yield from Pause(pause if delay is None else max(pause, min(delay.seconds, _LONGEST_DELAY)))
