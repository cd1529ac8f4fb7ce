"""Sessions of a service in memory: nothing but calls, no socket, no thread and no waiting.

A session runs whenever its client has said something, until it waits for more. So a test takes microseconds, and all
happens in the same order each time. TLS takes sockets: `pop3_server`.
"""

from __future__ import annotations

import logging
import secrets
import weakref
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from pop3proto.procedures.operations import (
    Displaced,
    Now,
    Operation,
    Random,
    Read,
    Reset,
    Run,
    Sleep,
    Turn,
    UtcNow,
    Write,
)
from pop3proto.procedures.server.loop import refuse, serve_session
from pop3proto.sasl.channel import SessionInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.procedures.operations import Procedure
    from pop3proto.procedures.server.service import Service

__all__ = ["MemorySession", "MemorySessions"]

_log: Final = logging.getLogger("pop3proto")


class MemorySessions:
    """The sessions of one service: what they share.

    Args:
        service: its store and authenticator have plain methods.

    Attributes:
        now: the time in seconds. It passes only where a session waits for it.
    """

    def __init__(self, service: Service) -> None:
        self.now: float = 0.0
        self._service: Final = service
        self._limiter: Final = service.limiter(secrets.token_bytes(32))
        self._begun = 0

    def begin(self) -> MemorySession:
        """Begin a session of a client on this machine; it is refused if there are too many."""
        self._begun += 1
        info = SessionInfo("127.0.0.1", id=self._begun)
        begun: weakref.WeakSet[MemorySession] = weakref.WeakSet()  # one that is dropped ends

        def displace() -> None:
            for each in begun:
                each.displace()

        place = self._limiter.enter("127.0.0.1", displace)
        connection = self._service.connection(tls=False)
        if isinstance(place, str):
            return MemorySession(self, refuse(connection, self._service, place), info.id)
        session = serve_session(self._service, connection, info, loopback=True, awaits=False, place=place)
        begins = MemorySession(self, self._service.around(session), info.id, place.leave)
        begun.add(begins)
        return begins


class MemorySession:
    """One session in memory, which its client drives. A `with` block hangs up at its end.

    If the store or the authenticator has a fault, the client is told [SYS/TEMP] and the logger "pop3proto" the
    traceback, as by a real server.

    Attributes:
        ended: the session is over: the server has hung up.
        reset: it has done so by a reset.
    """

    def __init__(
        self,
        sessions: MemorySessions,
        procedure: Procedure[None],
        number: int,
        leave: Callable[[], object] = lambda: None,
    ) -> None:
        self.ended: bool = False
        self.reset: bool = False
        self._sessions: Final = sessions
        self._procedure: Final = procedure
        self._number: Final = number
        self._leave: Final = leave
        self._heard: Final[deque[bytes]] = deque()
        self._said: Final[deque[bytes]] = deque()
        self._running = False
        self._go_on(lambda: next(procedure))

    def hear(self, octets: bytes) -> None:
        """Take what the client sends; empty: it has hung up. What is heard within `hear` waits for its end."""
        if self.ended:
            return
        self._heard.append(octets)
        if not self._running:
            self._go_on(lambda: self._procedure.send(self._heard.popleft()))

    def take_piece(self) -> bytes:
        """Return what the server has said at once, the first that was not taken; empty: nothing is left."""
        return self._said.popleft() if self._said else b""

    def take(self) -> bytes:
        """Return what the server has said since the last time."""
        octets = b"".join(self._said)
        self._said.clear()
        return octets

    @property
    def waiting(self) -> bool:
        """Whether something that the server has said was not taken."""
        return bool(self._said)

    def close(self) -> None:
        """Hang up."""
        self.hear(b"")

    def displace(self) -> None:
        """End it: it has not logged in, and there are too many."""
        if not self.ended and not self._running:
            self._go_on(lambda: self._procedure.throw(Displaced("too many sessions before login")))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.close()

    def __del__(self) -> None:
        """Hang up: else the maildrop would stay locked."""
        if hasattr(self, "_running"):
            self.close()

    def _go_on(self, begin: Callable[[], Operation[object]]) -> None:
        """Run until the session waits for its client, or is over."""
        self._running = True
        try:
            operation = begin()
            while self._heard or not self._waits(operation):
                try:
                    result = self._result(operation)
                except Exception as error:  # noqa: BLE001 - it belongs to the session
                    operation = self._procedure.throw(error)
                else:
                    operation = self._procedure.send(result)
        except StopIteration:
            self._end()
        except (ConnectionLost, RemoteProtocolError, TimedOut):  # observers have been told
            self._end()
        except Exception:  # noqa: BLE001 - it is logged, as by a real server
            self._end()
            _log.exception("session %d in memory failed", self._number)
        except BaseException:
            self._end()
            raise
        finally:
            self._running = False

    def _end(self) -> None:
        self.ended = True
        self._leave()

    def _waits(self, operation: Operation[object]) -> bool:
        """Return whether it is a `Read` whose deadline has not passed."""
        return isinstance(operation, Read) and (operation.until is None or self._sessions.now < operation.until)

    def _result(self, operation: Operation[object]) -> object:
        match operation:
            case Read():
                if not self._waits(operation):
                    raise TimedOut("the deadline has passed")
                return self._heard.popleft()
            case Write(octets):
                self._said.append(octets)
            case Now():
                return self._sessions.now
            case Sleep(seconds):
                self._sessions.now += seconds
            case Run():
                return operation.call()
            case Random() | UtcNow():
                return datetime.now(UTC) if isinstance(operation, UtcNow) else secrets.token_bytes(operation.count)
            case Reset():
                self.reset = True
            case Turn(has_come=True):
                pass
            case _:
                raise LocalProtocolError(f"{type(operation).__name__} cannot be done in memory: use pop3_server")
        return None
