"""What comes before a check: to learn what the server can do, to connect, and to log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import Apop, Auth, Pass, Stat
from pop3proto.core.errors import LocalProtocolError, MalformedReply, Pop3Error
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.replies import Greeting, Ok
from pop3proto.procedures.cleartext import IN_CLEAR, may_show_password
from pop3proto.procedures.client.commands import greet
from pop3proto.procedures.client.login import login
from pop3proto.procedures.client.login_plan import APOP, USER_PASS
from pop3proto.procedures.client.options import SessionOptions
from pop3proto.sasl.channel import SessionInfo

from .check import Need
from .conversation import Pause, open_conversation
from .verdicts import CheckFailed, CheckSkipped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.client import Request
    from pop3proto.core.events import ClientEvent
    from pop3proto.procedures.operations import Procedure

    from .check import Check, Stage
    from .conversation import Conversation
    from .facts import Facts
    from .target import Target

__all__ = ["LoginRefused", "begin", "enter", "learn", "log_in", "obstacle"]

_FEW: Final = 3  # messages that are delivered for checks that need some
_LONGEST_DELAY: Final = 30  # seconds that a LOGIN-DELAY is waited for
_PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds before a login is tried again


class LoginRefused(CheckSkipped):
    """A login was refused, so that it cannot be found out what comes behind it."""


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


def learn(target: Target, facts: Facts) -> Procedure[None]:
    """Find out what must be known.

    Args:
        target: the server.
        facts: what is found out goes there, also if something fails.
    """
    try:
        talk = yield from open_conversation(target, facts)
        facts.loopback = talk.loopback
        facts.timestamp = Greeting((yield from talk.greet())).timestamp
        if target.tls == "starttls":
            facts.in_clear = yield from talk.capabilities()
            yield from talk.stls()
        facts.capabilities = yield from talk.capabilities()
        if target.tls == "none":
            facts.in_clear = facts.capabilities
    except (CheckFailed, Pop3Error) as error:
        facts.trouble = str(error)
        return
    try:
        yield from log_in(talk)
    except (CheckFailed, CheckSkipped, Pop3Error) as error:
        facts.login_trouble = str(error)
        return
    try:
        facts.logged_in = yield from talk.capabilities()
        facts.count = (yield from talk.call(Stat())).count
        facts.uidl = yield from _works(talk, b"UIDL")
        announced = facts.logged_in or facts.capabilities
        facts.top = announced.top if announced is not None else (yield from _works(talk, b"TOP 1 0"))
        yield from talk.ask(b"QUIT")
    except (CheckFailed, Pop3Error):
        pass  # there is a check for it


def _works(talk: Conversation, line: bytes) -> Procedure[bool]:
    if not isinstance((yield from talk.ask(line)), Ok):
        return False
    yield from talk.body()
    return True


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
        raise LoginRefused(f"the login was refused: {error}") from error


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
    except MalformedReply:
        return _FEW  # nobody knows, and there is a check for it


def enter(state: Stage, target: Target, facts: Facts) -> Procedure[Conversation]:
    """Open a connection, and come into a state.

    A login that is refused is tried again: the server may not have noticed yet that the last session is over.

    Raises:
        CheckSkipped: the login is refused still.
    """
    for pause in (*_PAUSES, None):
        talk = yield from open_conversation(target, facts)
        if state == "connection":
            return talk
        yield from talk.begin()
        if state == "authorization":
            return talk
        try:
            yield from log_in(talk)
        except CheckSkipped:
            if pause is None:
                raise
            yield from talk.hang_up()
            delay = facts.capabilities.login_delay if facts.capabilities is not None else None
            yield from Pause(pause if delay is None else max(pause, min(delay.seconds, _LONGEST_DELAY)))
        else:
            return talk
    raise AssertionError("the last try has raised")


_ANNOUNCED: Final[dict[Need, Callable[[Capabilities], object]]] = {
    Need.SASL: lambda known: known.sasl,
    Need.PLAIN: lambda known: "PLAIN" in known.sasl,
    Need.CRAM_MD5: lambda known: "CRAM-MD5" in known.sasl,
    Need.SCRAM: lambda known: {"SCRAM-SHA-1", "SCRAM-SHA-256"}.intersection(known.sasl),
    Need.PIPELINING: lambda known: known.pipelining,
    Need.RESP_CODES: lambda known: known.resp_codes,
    Need.AUTH_RESP_CODE: lambda known: known.auth_resp_code,
    Need.LOGIN_DELAY: lambda known: known.login_delay,
    Need.EXPIRE: lambda known: known.expire,
    Need.UTF8: lambda known: known.utf8,
    Need.UTF8_USER: lambda known: known.utf8_user,
    Need.LANG: lambda known: known.lang,
}


def obstacle(check: Check, target: Target, facts: Facts) -> str | None:
    """Return why a check cannot be run; None: it can."""
    if facts.trouble is not None and check.state != "connection":
        return facts.trouble
    needs = sorted(check.needs, key=list(Need).index)
    return next((why for need in needs if (why := _lack(need, target, facts)) is not None), None)


def _lack(need: Need, target: Target, facts: Facts) -> str | None:
    """Return why a need is not met; None: it is."""
    missing = f"it needs {need.value}"
    unannounced = f"the server does not announce {need.value}"
    if need in _ANNOUNCED:
        known = facts.capabilities
        return None if known is not None and _ANNOUNCED[need](known) else unannounced
    match need:
        case Need.LOGIN:
            return facts.login_trouble
        case Need.PASSWORD:
            return _lack_of_password(target, facts)
        case Need.USER:  # a server without CAPA may have them; one that forbids them in clear does not announce them
            return None if facts.capabilities is None or facts.capabilities.user else unannounced
        case Need.CAPA:
            return None if facts.capabilities is not None else "the server has no CAPA"
        case Need.STLS:
            offered = facts.in_clear is not None and facts.in_clear.stls
            why = "the server does not announce STLS" if target.tls == "starttls" else 'it needs tls="starttls"'
            return None if target.tls == "starttls" and offered else why
        case Need.NETWORK:
            return "the server is on this machine" if facts.loopback else None
        case Need.MESSAGES:
            empty = facts.count == 0 and target.deliver is None
            return "the maildrop has no messages" if empty else None
        case Need.TWO_SESSIONS:
            return None
        case _:
            met = {
                Need.TLS: target.tls != "none",
                Need.DELETING: target.may_delete,
                Need.DELIVERY: target.deliver is not None,
                Need.SLOW: target.slow,
                Need.APOP: facts.timestamp is not None,
                Need.UIDL: facts.uidl,
                Need.TOP: facts.top,
            }
            return None if met[need] else missing


def _lack_of_password(target: Target, facts: Facts) -> str | None:
    if target.secret is None:
        return "it needs a user with a password"
    allowed = may_show_password(target.cleartext, tls=target.tls != "none", loopback=facts.loopback)
    return None if allowed else f"it would show the password, {IN_CLEAR}"
