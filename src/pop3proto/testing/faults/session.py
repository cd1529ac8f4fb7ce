"""A server's session with faults in its line: a procedure around a procedure, for every driver."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError
from pop3proto.procedures.operations import (
    Displaced,
    Operation,
    Procedure,
    Read,
    Reset,
    ShuttingDown,
    Sleep,
    StartTls,
    Write,
)

from .dialogue import Asked
from .line import HangUp, Hold, Octets, Wait, joined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .faulty_line import FaultyLine
    from .line import Action

__all__ = ["faulty_session"]


def faulty_session(session: Procedure[None], line: FaultyLine) -> Procedure[None]:
    """Return a procedure that performs a session over a faulty line.

    Args:
        session: of the server.
        line: to its client.
    """
    return _FaultySession(session, line).run()


class _FaultySession:
    """One session: what it writes and reads goes through a faulty line.

    Args:
        session: of the server.
        line: to its client.
    """

    def __init__(self, session: Procedure[None], line: FaultyLine) -> None:
        self._session: Final = session
        self._line: Final = line
        self._for_server: Final[list[bytes]] = []
        self._held = False  # the client gets nothing more
        self._gone = False  # the connection with the client has ended

    def run(self) -> Procedure[None]:
        result: object = None
        error: BaseException | None = None
        while True:
            try:
                operation = self._session.send(result) if error is None else self._session.throw(error)
            except StopIteration:
                break
            result = error = None
            try:
                result = yield from self._perform(operation)
            except BaseException as raised:  # noqa: BLE001 - it belongs to the session
                error = raised
        with suppress(ShuttingDown, Displaced):
            while self._held and not self._gone and (yield from Read()):
                pass  # the client shall see no end

    def _perform(self, operation: Operation[object]) -> Procedure[object]:
        match operation:
            case Write(octets, until):
                yield from self._carry_out(self._line.server(octets), until)
            case Read(until):
                return (yield from self._read(until))
            case StartTls(last_words, until):
                return (yield from self._start_tls(last_words, until))
            case _:
                return (yield operation)
        return None

    def _read(self, until: float | None) -> Procedure[bytes]:
        """Return what the client has said; once it is gone, what is still to be done, and then the end."""
        while not self._for_server:
            if self._gone:
                return b""
            octets = yield from Read(until)
            yield from self._carry_out(self._line.client(octets), until)
            if not octets:
                self._gone = True
        octets = b"".join(self._for_server)
        self._for_server.clear()
        return octets

    def _start_tls(self, last_words: bytes, until: float | None) -> Procedure[object]:
        steps = [*self._line.server(last_words), *self._line.before_tls()]
        words = b"".join(step.octets for step in joined(steps) if isinstance(step, Octets))
        rest = [step for step in steps if not isinstance(step, Octets)]
        if rest and words:
            yield from Write(words, until)
            words = b""
        yield from self._carry_out(rest, until)
        if self._gone:
            raise ConnectionLost("a fault has ended the connection")
        if self._line.unfinished or self._for_server:
            raise RemoteProtocolError("the client sent octets in clear behind STLS")
        return (yield StartTls(words, until))

    def _carry_out(self, steps: Iterable[Action], until: float | None) -> Procedure[None]:
        for step in joined(steps):
            if self._gone:
                return  # what would come behind the end of a connection never happens
            match step:
                case Asked(octets):
                    self._for_server.append(octets)
                case Octets(_, octets) if octets and not self._held:
                    yield from self._write(octets, until)
                case Wait(seconds) if not self._held:
                    yield from Sleep(seconds)
                    until = None if until is None else until + seconds
                case Hold():
                    self._held = True
                case HangUp(reset):
                    self._end()
                    if reset:
                        yield from Reset()
                case _:
                    pass

    def _write(self, octets: bytes, until: float | None) -> Procedure[None]:
        try:
            yield from Write(octets, until)
        except ConnectionLost:
            self._end()

    def _end(self) -> None:
        """Note that the client is gone: the server is told at its next `Read`, as after any hang-up."""
        self._gone = True
        self._for_server.extend(step.octets for step in self._line.client(b"") if isinstance(step, Asked))
