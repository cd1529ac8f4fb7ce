"""The procedures of a client: greet, start TLS, learn capabilities, keep the session alive, quit.

Other commands are in `calls`, and logging in is in `login`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from pop3proto.core.commands import Capa, Noop, Quit, Stls
from pop3proto.core.errors import (
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
    TlsAlert,
    UncertainUpdate,
)
from pop3proto.core.events import Answer
from pop3proto.core.refusals import CommandFailed, SessionRefused
from pop3proto.core.replies import Err, Greeting
from pop3proto.core.states import State
from pop3proto.procedures.cleartext import TLS_BEFORE, TlsMode
from pop3proto.procedures.client.calls import call
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.procedures.operations import Now, Procedure, Read, Reconnect, ShuttingDown, StartTls, Write

if TYPE_CHECKING:
    from pop3proto.procedures.client.session import Session
    from pop3proto.sasl.channel import TlsInfo

__all__ = [
    "establish",
    "greet",
    "keep_alive",
    "learn_capabilities",
    "learn_or_do_without",
    "leave",
    "quit_session",
    "reconnect",
    "relearn_capabilities",
    "start_tls",
]

T = TypeVar("T")

_QUIT: Final = "it has said QUIT"


def establish(session: Session, tls: TlsMode) -> Procedure[None]:
    """Begin a session: the handshake of implicit TLS, the greeting, and STLS.

    Args:
        session: a new one.
        tls: where TLS begins.

    Raises:
        CommandFailed: the server refused STLS. Nothing else was sent, and nothing must be (RFC 2595 section 9).
        SessionRefused: it greeted with `-ERR`. The session is over.
        RemoteProtocolError, ConnectionLost, TimedOut: it is not a POP3 server, it hung up, or the handshake failed.
    """
    if tls == "implicit":
        session.secured((yield from StartTls(until=(yield from session.deadline()))))
    yield from greet(session)
    if tls == "starttls":
        yield from start_tls(session)


def greet(session: Session) -> Procedure[Greeting]:
    """Wait for the greeting.

    Raises:
        SessionRefused: it is `-ERR`. The session is over.
        RemoteProtocolError, ConnectionLost, TimedOut: it is not a POP3 server, or it hung up.
    """
    event = yield from session.in_time(session.next_event())
    if not isinstance(event, Greeting):
        raise LocalProtocolError("the greeting was taken before")
    session.greeted(event)
    if isinstance(event.reply, Err):
        raise SessionRefused(event.reply)
    return event


def start_tls(session: Session) -> Procedure[TlsInfo]:
    """Begin TLS by STLS (RFC 2595 section 4). What the server has said before is forgotten, and asked for again.

    Raises:
        CommandFailed: the server refused. The session goes on, in clear.
        LocalProtocolError, Busy: it cannot be sent now, because TLS is active for example. Nothing was sent.
        RemoteProtocolError: the server sent octets in clear behind its answer. The session is over.
        ConnectionLost, TimedOut: the handshake failed, or the server hung up. Likewise.
    """
    return (yield from session.in_time(_start_tls(session)))


def _start_tls(session: Session) -> Procedure[TlsInfo]:
    yield from session.acquire()
    connection, command = session.connection, Stls()
    deadline = yield from session.deadline()
    yield from Write(session.send(command), deadline)
    event = yield from session.next_event()
    if not isinstance(event, Answer):
        raise RemoteProtocolError("the server sent something that is no answer to STLS")
    if isinstance(event.reply, Err):
        raise CommandFailed(command, event.reply)
    connection.next_event()  # raises if octets came behind the answer
    try:
        tls = yield from StartTls(until=deadline)
    except BaseException:
        connection.fail("the TLS handshake failed")  # there is no way back to clear text
        raise
    connection.tls_established()
    session.secured(tls)
    yield from learn_or_do_without(session)
    return session.tls or tls  # that of another connection, if the server has hung up on CAPA


def learn_capabilities(session: Session) -> Procedure[None]:
    """Ask what the server can do, and keep it in the session; unknown if it does not know CAPA (RFC 2449 section 5).

    Raises:
        ConnectionLost: some old servers hang up; the message names CAPA, so that a caller can do without.
    """
    try:
        session.learn((yield from call(session, Capa())))
    except CommandFailed:
        session.learn(None)


def relearn_capabilities(session: Session) -> Procedure[None]:
    """As `learn_capabilities`, within a login or STLS, whose reply is still the session's last.

    An answer that makes no sense tells nothing; a login or STLS that has worked does not fail by it.
    """
    reply = session.last_reply
    try:
        yield from learn_capabilities(session)
    except MalformedReply:
        session.learn(None)
    session.last_reply = reply


def learn_or_do_without(session: Session) -> Procedure[None]:
    """As `relearn_capabilities`, before login; if the server hangs up on CAPA, connect again, and do not ask any more.

    Raises:
        TlsAlert: it does not accept the client's certificate, which with TLS 1.3 it says behind the handshake.
        ConnectionLost: it has hung up, and this session cannot connect again.
        Pop3Error: as `reconnect`.
    """
    if not session.asks:
        session.learn(None)
        return
    try:
        yield from relearn_capabilities(session)
    except ConnectionLost as lost:
        if not session.reconnects or (isinstance(lost, TlsAlert) and lost.about_certificate):
            raise
        session.asks = False
        yield from reconnect(session, lost)
        session.learn(None)


def reconnect(session: Session, lost: ConnectionLost) -> Procedure[None]:
    """Begin the session again over another connection: TLS where it began before, and the greeting.

    Args:
        session: not logged in; it `reconnects`.
        lost: how its connection has ended.

    Raises:
        ConnectionLost: there is no connection, or the server refused STLS: there is no way without TLS. The session is
            over.
        SessionRefused, RemoteProtocolError, TimedOut: as `establish`. The session is over.
    """
    session.fail(lost)
    session.renew((yield from Reconnect((yield from session.deadline()))))
    try:
        yield from establish(session, session.tls_mode)
    except BaseException as error:
        session.fail(error)
        if isinstance(error, CommandFailed):  # it says that the session goes on
            raise ConnectionLost(f"on another connection {error}; {TLS_BEFORE}") from error
        raise


def leave(session: Session) -> Procedure[None]:
    """End the session as `quit_session` does; but before login nothing can be lost, so that a hang-up is an end, too.

    Raises:
        CommandFailed, UncertainUpdate, RemoteProtocolError, ConnectionLost, TimedOut: as `quit_session`.
    """
    logged_in = session.connection.state is State.TRANSACTION
    try:
        yield from quit_session(session)
    except (ConnectionLost, TimedOut):
        if logged_in:
            raise


def quit_session(session: Session) -> Procedure[None]:
    """End the session; after login the server now removes what was deleted (RFC 1939 section 6).

    Answers that were left unread are discarded first, however many octets they have. All of it must be done within
    the session's timeout.

    Raises:
        CommandFailed: some deleted messages were not removed. The session is over all the same.
        UncertainUpdate: there was no answer; after login, the server may have removed them or not.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    try:
        yield from session.in_time(_quit(session))
    except (ConnectionLost, TimedOut) as error:
        # What is outstanding may be an answer that was left unread, and QUIT not sent yet.
        sent = any(isinstance(command, Quit) for command in session.connection.outstanding)
        if sent and session.connection.state is State.TRANSACTION:
            raise UncertainUpdate(f"{error}; deletions may or may not have happened") from error
        raise
    except CommandFailed:
        session.end(_QUIT)
        raise
    session.end(_QUIT)


def _quit(session: Session) -> Procedure[None]:
    yield from session.acquire(discard_all=True)
    yield from call(session, Quit())


def keep_alive(session: Session, every: float) -> Procedure[None]:
    """Send NOOP at intervals until `ShuttingDown` is thrown in: some servers hang up after a minute without a command.

    Args:
        session: logged in; nothing else may use it meanwhile.
        every: seconds.

    Raises:
        LocalProtocolError: there would be no time between two.
        Busy: a message is being read. Nothing was sent.
        ConnectionLost: the server has ended the session.
        RemoteProtocolError, TimedOut: the session is over.
    """
    if not every > 0:
        raise LocalProtocolError("there must be some time between two NOOPs")
    with suppress(ShuttingDown):  # only an answer to NOOP is waited for all the same
        yield from session.acquire()
        while True:
            try:
                session.connection.receive_data((yield from Read((yield from Now()) + every)))
                session.check_idle()
            except TimedOut:
                if not (yield from _noop(session)):
                    return


def _noop(session: Session) -> Procedure[bool]:
    """Send NOOP and wait for the answer in any case; return whether to go on. A refusal keeps it alive, too."""
    going_on, exchange = True, Pipeline(session, [Noop()])
    yield from exchange.begin()
    while exchange.command is not None:
        try:
            yield from exchange.result(return_exceptions=True)
        except ShuttingDown:  # thrown in once, and the answer is still due
            going_on = False
    exchange.poll()
    return going_on
