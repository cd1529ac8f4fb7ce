"""What a client does: greet, call, log in, quit.

Each is a procedure: a generator that a driver runs. `Exchange` is for what streams, and for what is pipelined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pop3proto.core.commands import Auth, Capa, Command, Pass, Quit, User
from pop3proto.core.errors import (
    CommandFailed,
    ConnectionLost,
    LocalProtocolError,
    LoginFailed,
    Pop3Error,
    RemoteProtocolError,
    SessionRefused,
    TimedOut,
    UncertainUpdate,
)
from pop3proto.core.events import Answer, AuthCancel, AuthResponse, ClientEvent, Signal
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.core.states import State
from pop3proto.sasl import ClientMechanism, MechanismError, PlainClient

from .exchange import Exchange
from .operations import Procedure, Read, StartTls, Write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pop3proto.core.client import Request

    from .session import Session

__all__ = ["authenticate", "call", "call_all", "greet", "learn_capabilities", "login", "quit_session"]

T = TypeVar("T")


def greet(session: Session, *, handshake: bool = False) -> Procedure[Greeting]:
    """Wait for the greeting.

    Args:
        session: a new one.
        handshake: begin with the handshake of implicit TLS.

    Raises:
        SessionRefused: it is `-ERR`. The session is over.
        RemoteProtocolError, ConnectionLost: this is no POP3 server, or it hung up.
    """
    if handshake:
        yield from StartTls(until=(yield from session.deadline()))
    event = yield from session.in_time(_next_event(session))
    if not isinstance(event, Greeting):
        raise LocalProtocolError("the greeting was taken before")
    session.greeting = event
    if isinstance(event.reply, Err):
        raise SessionRefused(event.reply)
    return event


def call(session: Session, command: Command[T]) -> Procedure[T]:
    """Send a command and return what its answer means.

    Raises:
        CommandFailed: the server answered `-ERR`. The session goes on.
        MalformedReply: the answer makes no sense, or its body has more than `limits.body` octets. The session goes on.
        LocalProtocolError, Busy: it cannot be sent now. Nothing was sent.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    exchange = Exchange(session, [command])
    yield from exchange.begin()
    result = yield from exchange.result()
    if isinstance(result, CommandFailed):
        raise result
    return result


def call_all(session: Session, commands: Iterable[Command[T]]) -> Procedure[list[T | CommandFailed]]:
    """Send commands, pipelined if the server announces that, and return what their answers mean, in order.

    Raises:
        MalformedReply: as `call`; the answers behind it are thrown away.
        LocalProtocolError: a command cannot be sent; those before it were, and were answered.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    exchange = Exchange(session, commands)
    yield from exchange.begin()
    return (yield from exchange.results())


def learn_capabilities(session: Session) -> Procedure[None]:
    """Ask what the server can do, and keep it in the session; unknown if it does not know CAPA (RFC 2449 section 5).

    Raises:
        ConnectionLost: some old servers hang up; the message names CAPA, so that a caller can do without.
    """
    try:
        session.capabilities = yield from call(session, Capa())
    except CommandFailed:
        session.capabilities = None


def login(session: Session, user: str, password: str) -> Procedure[None]:
    """Log in with a password, and learn the capabilities before and after.

    AUTH PLAIN where it is announced (RFC 4616), else USER and PASS (RFC 1939 section 7).

    Args:
        session: in the AUTHORIZATION state.
        user: the mailbox.
        password: its password.

    Raises:
        LocalProtocolError: the password would cross the wire in clear, or name and password cannot be sent. Nothing
            of either was sent.
        LoginFailed: the server refused. The session is in the AUTHORIZATION state.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    if not session.may_show_password:
        raise LocalProtocolError("a password is not sent in clear: use TLS, or allow cleartext explicitly")
    yield from session.in_time(_login(session, user, password))


def _login(session: Session, user: str, password: str) -> Procedure[None]:
    if session.capabilities is None:
        yield from learn_capabilities(session)
    announced = session.capabilities
    if announced is not None and "PLAIN" in announced.sasl:
        try:
            mechanism = PlainClient(user, password)
        except MechanismError as error:
            raise LocalProtocolError(str(error)) from None
        yield from authenticate(session, mechanism)
    else:
        if not (user + password).isascii() and not (announced is not None and announced.utf8_user):
            raise LocalProtocolError("the server takes only ASCII in USER and PASS (RFC 6856 section 2.2)")
        commands = [User(user), Pass(password)]  # both must be valid before the first is sent
        limit = session.connection.limits.command_line
        if max(len(command.encode()) for command in commands) > limit:
            raise LocalProtocolError(f"name and password must each fit into a line of {limit} octets")
        for command in commands:
            try:
                yield from call(session, command)
            except CommandFailed as failure:
                raise LoginFailed([(command, failure.reply)]) from None
    if announced is not None:
        yield from learn_capabilities(session)  # some servers tell more, or less, after login


def authenticate(session: Session, mechanism: ClientMechanism) -> Procedure[None]:
    """Log in by one SASL mechanism (RFC 5034 section 4).

    The initial response goes with AUTH if the server announces SASL and the line has room, else on its own.

    Raises:
        LoginFailed: the server refused; or the exchange was cancelled, as a challenge did not belong to the mechanism
            or the response was too long: `__cause__` says so. The session is in the AUTHORIZATION state.
        LocalProtocolError, Busy: it cannot be sent now. Nothing was sent.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    yield from session.claim(None)
    connection = session.connection
    command = Auth(mechanism.name, mechanism.initial_response)
    announced = session.capabilities is not None and session.capabilities.sasl
    if not announced or not connection.can_send(command):
        command = Auth(mechanism.name)
    owed = mechanism.initial_response if command.initial_response is None else None
    item: Request = command
    cause: Pop3Error | None = None  # why it was cancelled
    while True:
        try:
            octets = connection.send(item)
        except LocalProtocolError as error:
            if item is command:
                raise
            octets, cause = connection.send(AuthCancel()), error  # the response is too long
        yield from Write(octets, (yield from session.deadline()))
        event = yield from _next_event(session)
        match event:
            case Challenge(data):
                if owed is not None and not data:
                    item, owed = AuthResponse(owed), None
                    continue
                try:
                    item = AuthResponse(mechanism.respond(data))
                except MechanismError as error:
                    item, cause = AuthCancel(), error
            case Answer(_, Ok()):
                return
            case Answer(_, Err() as reply):
                raise LoginFailed([(command, reply)]) from cause
            case _:
                raise RemoteProtocolError("the server sent something that is no part of a SASL exchange")


def quit_session(session: Session) -> Procedure[None]:
    """End the session; after login the server now removes what was deleted (RFC 1939 section 6).

    Raises:
        CommandFailed: some deleted messages were not removed. The session is over all the same.
        UncertainUpdate: there was no answer; after login, the server may have removed them or not.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    try:
        yield from call(session, Quit())
    except (ConnectionLost, TimedOut) as error:
        if session.connection.state is State.TRANSACTION and session.connection.outstanding:
            raise UncertainUpdate(f"{error}; deletions may or may not have happened") from error
        raise


def _next_event(session: Session) -> Procedure[ClientEvent]:
    connection = session.connection
    deadline = yield from session.deadline()
    while isinstance(event := connection.next_event(), Signal):
        connection.receive_data((yield from Read(deadline)))
    return event
