"""The client of this library over the socket and the file of a POP3 object."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar, cast

from typing_extensions import override

from pop3proto._io.peers import new_session_info
from pop3proto._io.tls import tls_info
from pop3proto.blocking.client import Client
from pop3proto.blocking.stream import SocketStream
from pop3proto.core.commands import Command, Pass, User
from pop3proto.core.errors import Busy, LocalProtocolError
from pop3proto.core.events import Answer, BadChallenge
from pop3proto.core.replies import Challenge, Greeting
from pop3proto.core.states import State
from pop3proto.procedures.client.options import SessionOptions
from pop3proto.procedures.observer import ClientObserver

from .trace import MASK, tell

if TYPE_CHECKING:
    import socket

    from pop3proto.core.client import Request
    from pop3proto.core.events import ClientEvent
    from pop3proto.core.limits import Limits
    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.procedures.client.session import Session
    from pop3proto.procedures.operations import Procedure
    from pop3proto.sasl.channel import SessionInfo, TlsInfo

    from .answers import AnswerFile

__all__ = ["ClientBeneath", "client_beneath"]

T = TypeVar("T")


class _Joined:
    """A socket that is read by way of a file, which holds what came before."""

    def __init__(self, sock: socket.socket, answers: AnswerFile) -> None:
        self._sock = sock
        self._answers = answers

    def recv(self, size: int) -> bytes:
        """As that of a socket."""
        return self._answers.receive(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


class ClientBeneath(Client):
    """The client beneath a POP3 object. What it does is done over that object's connection.

    Args:
        session: as it is now.
        stream: over the object's connection.
        sock: of the object. Its timeout is the same before and after each call.
        answers: its file.
        trace: what is said is printed.
    """

    def __init__(
        self, session: Session, stream: SocketStream, sock: socket.socket, answers: AnswerFile, *, trace: bool
    ) -> None:
        super().__init__(session, stream)
        self._sock: Final = sock
        self._answers: Final = answers
        self._trace: Final = trace

    def fits(self, sock: socket.socket, *, cleartext: Cleartext, trace: bool, logged_in: bool) -> bool:
        """Whether it is what would be made now for a POP3 object."""
        return (
            self._sock is sock
            and self.session.context.cleartext == cleartext
            and self._trace is trace
            and self.session.timeout == sock.gettimeout()
            and (self.logged_in or not logged_in)
        )

    @property
    def unfinished(self) -> bool:
        """Whether there is an answer that was not read to its end."""
        return bool(self.session.connection.outstanding)

    @property
    def logged_in(self) -> bool:
        """Whether the server has accepted a user, as far as the client knows."""
        return self.state is State.TRANSACTION

    def end(self, why: str) -> None:
        """Refuse whatever it is asked from now on, with these words."""
        self.session.end(why)

    @override
    def _perform(self, procedure: Procedure[T]) -> T:
        if self.session.broken is None and not self.unfinished:
            self._check()
        before = self._sock.gettimeout()
        try:
            return super()._perform(procedure)
        finally:
            with suppress(OSError):  # it is closed
                self._sock.settimeout(before)

    def _check(self) -> None:
        """Refuse to send where the answer to something else could be taken for that to what is sent.

        Raises:
            Busy: the POP3 object has sent a command whose answer was not read.
            OutOfStep, EndOfStream: as `AnswerFile.check`.
        """
        if self._answers.due:
            raise Busy("an answer to a command of the POP3 object is due: read that first")
        self._answers.check_stream()

    @override
    def start_tls(self, context: ssl.SSLContext | None = None) -> TlsInfo:
        """Refuse: it is the POP3 object that has the socket.

        Raises:
            LocalProtocolError: always. Nothing was sent.
        """
        raise LocalProtocolError("use stls() of the POP3 object: its sock becomes another by that")

    def settle(self) -> None:
        """Read what is left of earlier answers, so that a command can be sent without this client.

        Raises:
            Pop3Error: it cannot be.
        """
        self.perform(self._settle())

    def _settle(self) -> Procedure[None]:
        yield from self.session.acquire()


class _Tracer(ClientObserver):
    """Prints what the client beneath says and hears."""

    @override
    def said(self, session: SessionInfo, item: Request, /) -> None:
        tell("cmd", str(item) if isinstance(item, Command) else MASK)

    @override
    def heard(self, session: SessionInfo, event: ClientEvent, /) -> None:
        match event:
            case Answer(_, reply) | Greeting(reply):
                tell("resp", reply.encode().removesuffix(b"\r\n"))
            case Challenge() | BadChallenge():
                tell("resp", f"+ {MASK}")
            case _:
                pass

    @override
    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        pass


def client_beneath(  # noqa: PLR0913 - each has its name
    sock: socket.socket,
    answers: AnswerFile,
    *,
    host: str,
    port: int,
    welcome: bytes,
    in_clear: bool,
    logged_in: bool,
    cleartext: Cleartext,
    limits: Limits,
    trace: bool,
) -> ClientBeneath:
    """Return a client that goes on where a POP3 object is.

    Args:
        sock: of the object; its timeout is that of the client.
        answers: its file.
        host: the server's name.
        port: its port; 0: it is unknown.
        welcome: its greeting.
        in_clear: the greeting came before TLS, so that nothing protected it.
        logged_in: the server has accepted a user.
        cleartext: when passwords may be sent without verified TLS.
        limits: of the connection.
        trace: print what is said.
    """
    tls = tls_info(sock) if isinstance(sock, ssl.SSLSocket) else None
    options = SessionOptions(
        tls="none" if tls is None else "implicit",
        cleartext=cleartext,
        timeout=sock.gettimeout(),
        limits=limits,
        observer=(_Tracer(),) if trace else (),
    )
    stream = SocketStream(cast("socket.socket", _Joined(sock, answers)), stall=options.timeout)
    session = options.session(new_session_info(stream.peer), host, port, loopback=stream.peer.loopback)
    if tls is not None:
        session.secured(tls)
    _replay(session, b"+OK" if in_clear and tls is not None else welcome, logged_in=logged_in)
    return ClientBeneath(session, stream, sock, answers, trace=trace)


def _replay(session: Session, welcome: bytes, *, logged_in: bool) -> None:
    """Tell a session what was said before there was one."""
    connection = session.connection
    connection.receive_data((welcome if welcome[:3].upper() == b"+OK" else b"+OK") + b"\r\n")
    session.greeted(cast("Greeting", connection.next_event()))
    if logged_in:
        for command in (User("?"), Pass("?")):  # who it was does not matter
            connection.send(command)
            connection.receive_data(b"+OK\r\n")
            connection.next_event()
        session.logged_in(None)
