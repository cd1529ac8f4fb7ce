"""A server with a thread for each connection: `serve`."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from pop3proto._io.listening import accepted
from pop3proto._io.sessions import ACCEPT_PAUSE, log
from pop3proto._io.setting_up import set_up
from pop3proto._io.sockets import Selector
from pop3proto.procedures.server.service import Service

from .stream import SocketDriver, run_blocking

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from pop3proto._io.certificates import Certificates
    from pop3proto._io.listener import Listener
    from pop3proto._io.listening import Listeners
    from pop3proto._io.sessions import Entrance, Sessions
    from pop3proto.procedures.cleartext import TlsMode

__all__ = ["Server", "serve"]


def serve(  # noqa: PLR0913 - each has its default, and a name
    service: Service,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 0,
    *,
    sockets: Sequence[socket.socket] | None = None,
    listeners: Sequence[Listener] | None = None,
    tls: TlsMode = "none",
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    client_ca: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
    certificates: Certificates | None = None,
) -> Server:
    """Serve maildrops, in threads.

    Args:
        service: what to serve, and to whom.
        host: the address to listen on, or several.
        port: the port of each address; 0 is any free one (see `Server.address`).
        sockets: bound stream sockets to listen on in place of host and port, from systemd for example. The server
            closes them when it ends. To stop accepting on one of several before, close it.
        listeners: several of them in place of host, port, sockets and tls, each with its own (`pop3proto.serving`).
        tls: where TLS comes in: "implicit", "starttls" or "none".
        certificate: a file with the server's certificate and those between it and its authority, PEM.
        key: a file with its private key; None: it is in the same file.
        client_ca: a file with the authorities whose certificates clients may show (EXTERNAL), PEM.
        context: for TLS in place of these files; SCRAM cannot bind to the server's certificate then.
        certificates: in place of all these: one for each host name, and read again while the server runs.

    Returns:
        The server, which listens already.

    Raises:
        OSError: it cannot listen there, or a file cannot be used.
        ValueError: TLS is wanted and there is no certificate or context, or the other way round; the context is for a
            client; there is no such port; or there is nothing to listen on, or a socket on which nothing can listen.
        TypeError: it is not a `Service`, or has coroutine methods, which only asyncio and trio can await.
    """
    sessions, listening = set_up(
        service,
        host,
        port,
        sockets=sockets,
        listeners=listeners,
        tls=tls,
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        context=context,
        certificates=certificates,
    )
    service.check_plain()
    return Server(sessions, listening)


class Server:
    """A server that is running, with a thread for each connection, until `close` or `abort`.

    The end of a `with` block closes it; an exception that leaves the block aborts it.
    """

    def __init__(self, sessions: Sessions, listeners: Listeners) -> None:
        """Begin to serve; what cannot begin leaves nothing open."""
        self._sessions: Final = sessions
        self._listeners: Final = listeners
        self._lock: Final = threading.Lock()
        self._threads: Final[dict[SocketDriver, threading.Thread]] = {}
        self._closed = False
        self._ended: Final = threading.Event()
        with contextlib.ExitStack() as undo:
            undo.callback(listeners.close)
            listeners.open()
            # To close the sender wakes the thread that accepts, and the sessions.
            self._wakeup_sender, self._wakeup = map(undo.enter_context, socket.socketpair())
            self._acceptor: Final = threading.Thread(target=self._accept, name="pop3proto-accept", daemon=True)
            self._acceptor.start()
            undo.pop_all()

    @property
    def address(self) -> tuple[str, int]:
        """Address and port where it listens, or the first of several."""
        return self.addresses[0]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """All addresses and ports where it listens."""
        return self._listeners.addresses

    def wait(self) -> None:
        """Wait until the server has ended."""
        self._ended.wait()

    def use(self, service: Service) -> None:
        """Serve the sessions that begin from now on by another service: its users, store, policy and limits.

        Sessions under way go on with theirs. Sessions and failed logins that were counted still count.

        Raises:
            TypeError: as `serve`; nothing has changed.
        """
        if isinstance(service, Service):  # pyright: ignore[reportUnnecessaryIsInstance]
            service.check_plain()
        self._sessions.use(service)

    def close(self) -> None:
        """End gracefully.

        Stop listening. Each session finishes the command in hand, and answers the next that arrives within the grace
        time with [SYS/TEMP], except QUIT, which works as ever. After that time sessions are cut off, and none of their
        deletions happen. Returns when all maildrops are closed. It may be called in any state, and more than once.

        A session of this server, an authenticator's for example, cannot wait for its own end: called there, this
        begins the end and returns at once, and `wait` waits for it.
        """
        self._stop_listening()
        if self._in_session():
            self._do_later(self.close)
            return
        until = time.monotonic() + self._sessions.grace
        for thread in self._running().values():
            thread.join(max(until - time.monotonic(), 0))
        self.abort()

    def abort(self) -> None:
        """End at once: stop listening, cut off all sessions, and wait until all maildrops are closed.

        Called by a session of this server, it begins that and returns at once, as `close` does.
        """
        self._stop_listening()
        if self._in_session():
            self._do_later(self.abort)
            return
        running = self._running()
        for driver in running:
            driver.interrupt()
        for thread in running.values():
            thread.join()
        self._close_wakeup()
        self._ended.set()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        if error is None:
            self.close()
        else:
            self.abort()

    def _stop_listening(self) -> None:
        with self._lock:
            self._closed = self._sessions.ending = True
        self._wakeup_sender.close()
        self._acceptor.join()

    def _running(self) -> dict[SocketDriver, threading.Thread]:
        with self._lock:
            return self._threads.copy()

    def _in_session(self) -> bool:
        return threading.current_thread() in self._running().values()

    def _do_later(self, work: Callable[[], None]) -> None:
        """Do some work outside of all sessions."""
        threading.Thread(target=work, name="pop3proto-end", daemon=True).start()

    def _accept(self) -> None:
        with Selector() as selector:
            selector.register(self._wakeup, selectors.EVENT_READ)
            for listener in self._listeners.sockets:
                selector.register(listener, selectors.EVENT_READ, listener)
            while not self._closed:
                for key, _ in selector.select():
                    if key.data is not None and not self._accept_from(key.data):
                        selector.unregister(key.data)
                        key.data.close()
        self._listeners.close()

    def _accept_from(self, listener: socket.socket) -> bool:
        """Accept the connections that wait; return whether to go on with that."""
        try:
            for sock in accepted(listener):
                if self._listeners.is_withdrawn(listener):
                    sock.close()
                    return False
                self._admit(sock, self._listeners.of(listener))
        except OSError as error:
            log.warning("accepting a connection failed: %s", error)
            time.sleep(ACCEPT_PAUSE)
        return True

    def _admit(self, sock: socket.socket, entrance: Entrance) -> None:
        driver = SocketDriver(sock, self._sessions.channel, wakeup=self._wakeup)
        if entrance[0].proxy_protocol is not None:  # who the client is, is not known yet
            if self._begin_session(driver, entrance, admitted=False) is not None:
                run_blocking(driver.abort())
            return
        if (reason := self._sessions.admit(driver, driver.interrupt)) is None:
            reason = self._begin_session(driver, entrance, admitted=True)
        if reason is not None:
            run_blocking(self._sessions.refuse(driver, reason, entrance))

    def _begin_session(self, driver: SocketDriver, entrance: Entrance, *, admitted: bool) -> str | None:
        """Begin a session in a thread; return why it cannot be."""
        arguments = (driver, entrance, admitted)
        thread = threading.Thread(target=self._serve, args=arguments, name="pop3proto-session", daemon=True)
        with self._lock:
            self._threads[driver] = thread
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads
            log.warning("a session could not begin: %s", error)
            if admitted:
                self._sessions.leave(driver)
            self._forget(driver)
            return "too many sessions"
        return None

    def _serve(self, driver: SocketDriver, entrance: Entrance, admitted: bool) -> None:  # noqa: FBT001 - of a thread
        sessions = self._sessions
        try:
            run_blocking(
                sessions.serve(driver, entrance) if admitted else sessions.handle(driver, driver.interrupt, entrance)
            )
        finally:
            self._forget(driver)

    def _forget(self, driver: SocketDriver) -> None:
        with self._lock:
            del self._threads[driver]
        self._close_wakeup()

    def _close_wakeup(self) -> None:
        """Close the wakeup socket if nothing waits for it any more: neither the acceptor nor a session."""
        with self._lock:
            if not self._threads and not self._acceptor.is_alive():
                self._wakeup.close()
