"""The loop of a server's session: greet, read commands, have them answered, keep the deadlines."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from pop3proto.core.commands import Quit
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.events import (
    NEED_DATA,
    PAUSED,
    AuthCancel,
    AuthResponse,
    BadCommand,
    ConnectionClosed,
    Tolerated,
)
from pop3proto.core.replies import Err, Greeting, ResponseCode
from pop3proto.core.states import State
from pop3proto.procedures.maildrop import Refused
from pop3proto.procedures.operations import Displaced, Now, Procedure, Random, Read, ShuttingDown, Write
from pop3proto.sasl.channel import SessionInfo

from .calls import CLIENT_ERRORS, fault
from .output import NONCE
from .session import ServerSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pop3proto.core.commands import Command
    from pop3proto.core.server import ServerConnection
    from pop3proto.procedures.cleartext import TlsMode

    from .limits import Place
    from .service import Service
    from .session_record import SessionRecord

__all__ = ["refuse", "serve_session"]

Asked: TypeAlias = "Command[object] | AuthResponse | AuthCancel | BadCommand | Tolerated"


_FAULT: Final = Err.coded(ResponseCode.SYS_TEMP, "the server has a fault, and ends the session")


class _Loop:
    """Reads the commands of one session and calls their handlers.

    Args:
        service: has the handlers and the deadlines.
        session: before its greeting.
    """

    def __init__(self, service: Service, session: ServerSession) -> None:
        self._service: Final = service
        self._handlers: Final[Mapping[type[object], Callable[[ServerSession, Any], Procedure[None] | None]]] = (
            service.handlers
        )
        self._session: Final = session
        self._grace_until = math.inf  # finite: the server is shutting down
        self._idle_until: float | None = None  # None: not waiting for a command

    def run(self, tls: TlsMode) -> Procedure[None]:
        """Serve the session to its end; however it ends, release the lock, and tell the authenticator."""
        session = self._session
        session.logins.until = (yield from Now()) + self._service.deadlines.login
        try:
            if tls == "implicit":
                yield from session.shake_hands()
            if (refusal := (yield from self._ask_policy())) is None:
                yield from self._converse()
            else:
                yield from self._refuse_connection(refusal)
        finally:
            try:
                yield from session.close_maildrop()
            finally:
                yield from session.tell_authenticator()

    def _ask_policy(self) -> Procedure[Refused | None]:
        """Return why the connection is refused; None: it is not. If the policy fails, that is the greeting."""
        session = self._session
        try:
            return (yield from session.policy.at_connect(session.info))
        except Exception:
            session.say(Greeting(_FAULT))
            with suppress(ConnectionLost, TimedOut):
                yield from session.flush()
            raise

    def _converse(self) -> Procedure[None]:
        """Greet, and answer commands until the session is over."""
        session = self._session
        greeting = self._service.greet((yield from Random(NONCE)))
        session.timestamp = greeting.timestamp
        session.say(greeting)
        record = session.record
        next_event = session.connection.next_event
        while not isinstance(event := next_event(), ConnectionClosed):
            if event is NEED_DATA:
                if session.collected:
                    yield from session.flush()
                yield from self._read()
                session.worked = 0
            elif event is PAUSED:
                yield from self._check_answered()
                break
            else:
                self._idle_until = None
                if type(event) is Quit:
                    record.end = "quit"
                try:
                    if (steps := self._answer(event)) is not None:
                        yield from self._go_on(steps)
                except Exception:
                    yield from self._report_fault()
                    raise
                if steps is not None and session.maildrop is None:
                    yield from self._check_login_deadline()
                session.worked += 1
                if session.has_worked:
                    yield from session.give_way()
        record.end = record.end or ("closed" if isinstance(event, ConnectionClosed) else "bad commands")
        yield from session.flush()

    def _refuse_connection(self, refusal: Refused) -> Procedure[None]:
        """Greet with `-ERR`, which ends the session."""
        session = self._session
        if refusal.delay:
            yield from session.delay(refusal.delay)
        session.say(Greeting(session.cut(refusal.reply)))
        session.record.end = "refused"
        yield from session.flush()

    def _read(self) -> Procedure[None]:
        session = self._session
        if self._idle_until is None:  # a part of a command does not extend it
            self._idle_until = cast("float", (yield Now())) + self._service.deadlines.idle
        login_until = math.inf if session.maildrop is not None else session.logins.until
        try:
            octets = yield Read(min(self._idle_until, login_until, self._grace_until))
            session.connection.receive_data(cast("bytes", octets))
        except ShuttingDown:
            self._grace_until = (yield from Now()) + self._service.deadlines.grace
        except Displaced as error:
            yield from self._session.say_farewell(Err.coded(ResponseCode.SYS_TEMP, str(error)))

    def _check_answered(self) -> Procedure[None]:
        """Check that the session is over, now that nothing more is read.

        Raises:
            LocalProtocolError: it waits for an answer.
        """
        connection = self._session.connection
        if connection.state is not State.CLOSED:
            command = connection.current
            yield from self._report_fault()
            raise LocalProtocolError(f"the handler of {command} has not answered")

    def _check_login_deadline(self) -> Procedure[None]:
        """End the session if the login has taken too long. Else commands that had come already would be answered.

        Raises:
            TimedOut: it has.
        """
        session = self._session
        if session.connection.state is State.CLOSED or (yield from Now()) < session.logins.until:
            return
        yield from session.flush()
        raise TimedOut("the client was not logged in by the deadline")

    def _answer(self, event: Asked) -> Procedure[None] | None:
        """Answer an event; return what is still to be done, if that can wait for something."""
        session = self._session
        if session.observed:
            session.hear(event)
        try:
            if self._grace_until < math.inf and not isinstance(event, (Quit, Tolerated)):
                self._refuse_during_shutdown()
                return None
            if (handler := self._handlers.get(type(event))) is not None:
                return handler(session, event)
            return self._handle(event)
        except Refused as refusal:
            if refusal.delay:
                return self._refuse_late(refusal)
            self._refuse(refusal)
            return None
        except CLIENT_ERRORS as error:  # nothing was asked of the client
            raise fault(f"the handler of {type(event).__name__}", error) from error

    def _go_on(self, steps: Procedure[None]) -> Procedure[None]:
        try:
            yield from steps
        except Refused as raised:
            refusal = raised
        else:
            return
        yield from self._refuse_late(refusal)

    def _refuse_late(self, refusal: Refused) -> Procedure[None]:
        if refusal.delay:
            yield from self._session.flush()
            yield from self._session.delay(refusal.delay)
        self._refuse(refusal)

    def _refuse(self, refusal: Refused) -> None:
        session = self._session
        session.refuse(refusal)
        self._bound_failures()
        if refusal.close:
            session.connection.fail("the session was refused")
            session.record.end = session.record.end or "refused"

    def _handle(self, event: Asked) -> Procedure[None] | None:
        """Answer what has no handler."""
        match event:
            case BadCommand():
                return self._drop_exchange(event.reply)
            case AuthCancel():
                return self._drop_exchange(Err("the exchange is cancelled"))
            case AuthResponse():
                raise LocalProtocolError("nothing answers AuthResponse: the handlers of this service lack it")
            case Tolerated():
                return None
            case command:
                raise Refused(f"{command.verb} is not supported here")

    def _drop_exchange(self, reply: Err) -> Procedure[None]:
        """Answer what ends an exchange without a response; late, if the client knows that its credentials are wrong."""
        session = self._session
        rejected = session.exchange_rejected
        session.exchange = None
        if rejected:
            yield from session.flush()
            yield from session.delay(self._service.failure_delay)
        session.say(reply)
        if rejected:
            self._bound_failures()

    def _bound_failures(self) -> None:
        session = self._session
        if session.logins.failed >= self._service.login_attempts:
            session.connection.fail("too many logins have failed")
            session.record.end = "failed logins"

    def _refuse_during_shutdown(self) -> None:
        """Answer any command with [SYS/TEMP] and end the session."""
        session = self._session
        session.say(Err.coded(ResponseCode.SYS_TEMP, "the server is going down"))
        session.connection.fail("the server is going down")
        session.record.end = "shutdown"

    def _report_fault(self) -> Procedure[None]:
        """Tell the client that the server has a fault. The fault is raised, whether or not that answer arrives."""
        session = self._session
        with suppress(LocalProtocolError):  # inside a body, for example, or after the connection failed
            session.say(_FAULT)
        with suppress(ConnectionLost, TimedOut):
            yield from session.flush()


def serve_session(  # noqa: PLR0913 - each has its default, and a name
    service: Service,
    connection: ServerConnection,
    info: SessionInfo | None = None,
    *,
    loopback: bool = False,
    tls: TlsMode = "none",
    awaits: bool = True,
    place: Place | None = None,
    record: SessionRecord | None = None,
) -> Procedure[None]:
    """Serve one session, from its greeting to its end. However it ends, the maildrop is closed.

    Args:
        service: the server's service.
        connection: the protocol, before the greeting; it knows whether TLS is implicit.
        info: the client, as the store and the authenticator see it.
        loopback: the client is on this machine.
        tls: where TLS begins.
        awaits: the driver performs `Await`; if not, a maildrop with coroutine methods is refused when it is opened.
        place: from the `SessionLimiter` that all sessions of the server share; None: this session alone has one.
        record: notes what the session has done.

    Raises:
        RemoteProtocolError: the client broke the protocol.
        ConnectionLost: it was gone before it had all answers.
        TimedOut: a deadline passed. RFC 1939 section 3 wants silence then.
        Exception: what the store or the authenticator raised; the client was told [SYS/TEMP] if that was possible.
    """
    session = ServerSession(
        service,
        connection,
        attrs.evolve(info or SessionInfo(), lower_case=service.lower_case_users),
        loopback=loopback,
        starttls=tls == "starttls",
        awaits=awaits,
        place=place,
        record=record,
    )
    failure: BaseException | None = None
    try:
        yield from _Loop(service, session).run(tls)
    except BaseException as error:
        failure = error
        raise
    finally:
        try:
            session.end(failure)
        finally:
            failure = None  # it holds this frame


def refuse(connection: ServerConnection, service: Service, text: str) -> Procedure[None]:
    """Greet with `-ERR [SYS/TEMP]`, which ends the session."""
    octets = connection.send(Greeting(Err.coded(ResponseCode.SYS_TEMP, text)))
    yield from Write(octets, (yield from Now()) + service.deadlines.write)
