"""A server as its configuration file says, over asyncio: from the file to its end, with reloads between."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

import attrs

from pop3proto._config.errors import ConfigError, MissingExtra
from pop3proto._io.listener import Listener
from pop3proto._io.listening import Listeners
from pop3proto.asyncio import serve
from pop3proto.core.errors import Pop3Error
from pop3proto.core.text import visible

from .access.login_times import LoginTimes
from .accounts import open_accounts
from .activation import inherited_sockets
from .assembly import Lasting, certificates_of, listener_of, service_of
from .config.reading import read_config
from .log.setup import ServerLog
from .metrics.figures import ServerMetrics
from .metrics.http import MetricsServer
from .notifier import Notifier
from .privileges import drop_privileges
from .purging import SitePurge
from .retention.job import PurgeJob
from .site import Site

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from pop3proto._io.certificates import Certificates
    from pop3proto.asyncio import Server
    from pop3proto.procedures.server.service import Service

    from .accounts import Accounts
    from .config.main import ServeConfig

__all__ = ["CannotServe", "SiteServer"]

_log: Final = logging.getLogger("pop3proto.serving")

_FIXED: Final = ("listen", "run", "log", "metrics")
"""Tables whose changes need a new start; so does `tls` where it comes or goes, for that decides on STLS. A reload
builds all else on those of the start: who asks on a listener and what it means must not part."""

_LISTS_EVERY: Final = 3_600  # seconds between two looks at the lists of revoked certificates
_PURGE_ENDS: Final = 30  # seconds for the maildrop that is being purged


class CannotServe(Exception):
    """The server cannot begin. The message says why."""


class SiteServer:
    """Serves what a configuration file says.

        server = SiteServer(Path("/etc/pop3proto/serve.toml"))
        await server.__aenter__()  # or: async with server
        await server.reload()
        await server.close()

    It binds its sockets, goes on as the user that the file names, and opens all else as that user. `reload` reads the
    file, the users and the certificates again, all of them or none. Its end is that of `serve`: graceful.

    Args:
        path: the configuration file.
        config: what it says; None: it is read.

    Raises:
        ValueError, OSError: as `read_config`.
    """

    def __init__(self, path: Path, config: ServeConfig | None = None) -> None:
        self._path: Final = path
        self.config: ServeConfig = read_config(path) if config is None else config
        self.notifier: Final[Notifier] = Notifier.of_environment(os.environ, os.getpid())
        self._stack: Final = AsyncExitStack()
        self._stopping: Final = threading.Event()
        self._begun: Final = self.config  # that of the start
        self._accounts: Accounts | None = None
        self._site: Site | None = None
        self._server: Server | None = None
        self._certificates: Certificates | None = None
        self._lasting: Lasting | None = None
        self._log: ServerLog | None = None
        self._keep = AsyncExitStack()
        self._reloading: Final = asyncio.Lock()
        self._told: Final[set[str]] = set()  # faults of lists of revoked certificates
        self.metrics_address: tuple[str, int] | None = None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Addresses and ports where it listens."""
        return () if self._server is None else self._server.addresses

    async def __aenter__(self) -> Self:
        """Begin to serve.

        Raises:
            CannotServe: it is not possible, and why. Nothing is left open.
        """
        try:
            async with self._stack:
                await self._begin()
                self._keep = self._stack.pop_all()
        except (OSError, ValueError, RuntimeError, Pop3Error, MissingExtra) as error:
            raise CannotServe(_words(error)) from error
        self.notifier.ready(f"listening on {', '.join(f'{host} port {port}' for host, port in self.addresses)}")
        return self

    async def __aexit__(self, *error: object) -> None:
        """End it: sessions finish the command in hand, for a while."""
        await self.close()

    async def close(self) -> None:
        """End gracefully."""
        self.notifier.stopping()
        self._stopping.set()
        await self._keep.aclose()

    async def abort(self) -> None:
        """End at once."""
        self._stopping.set()
        if self._server is not None:
            await self._server.abort()

    async def reload(self) -> bool:
        """Read the configuration, the users and the certificates again; return whether they are used now.

        If one of them is wrong, all stay as they were, and the log says why. Sessions live on. Logs are opened again.
        """
        if self._server is None:  # it has just read all of it
            return False
        async with self._reloading:
            self.notifier.reloading()
            try:
                return await self._reload(self._server)
            finally:
                self.notifier.ready()  # systemd waits for it

    async def _reload(self, server: Server) -> bool:
        if self._log is not None:
            for problem in self._log.reopen():
                _log.error("%s", visible(problem))
        try:
            read, accounts, site, service, certificates = await asyncio.to_thread(self._load_again)
            server.use(service)  # if it fails, nothing has changed; nothing behind it can fail
            if self._certificates is not None and certificates is not None:
                self._certificates.use(certificates)
        except (OSError, ValueError, Pop3Error, MissingExtra) as error:
            for line in error.errors if isinstance(error, ConfigError) else [_words(error)]:
                _log.error("nothing was reloaded: %s", visible(line))
            return False
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on
            _log.exception("nothing was reloaded, by a fault of this program")
            return False
        if changed := _changed(self._begun, read):
            _log.warning("changes of %s count from the next start", ", ".join(changed))
        self.config, self._accounts, self._site = site.config, accounts, site
        self._told.clear()
        self._tell_lists()
        _log.info("reloaded %s", visible(str(self._path)))
        return True

    async def _begin(self) -> None:
        config = self.config
        listeners = self._bind(config)
        for sock in [sock for listener in listeners for sock in listener.sockets or ()]:
            self._stack.callback(sock.close)
        if any(listener.tls != "none" for listener in listeners):
            self._certificates = certificates_of(config.tls)
        # An extra is imported while its files can be read: the user need not be able to read those of the interpreter.
        metrics = None if config.metrics is None else ServerMetrics()
        if config.run.user is not None:
            drop_privileges(config.run.user, config.run.group)
        self._log = ServerLog(config.log)
        self._stack.callback(self._log.close)
        if metrics is not None:
            self._count_refusals(metrics)
        self._lasting = Lasting(times=LoginTimes(config.login.delay_file), job=self._job(metrics), metrics=metrics)
        self._accounts, self._site, service = self._assemble(config)
        self._start_purging()
        if metrics is not None and config.metrics is not None:
            figures = MetricsServer(metrics, lambda: not self._stopping.is_set())
            address = config.metrics.address
            self.metrics_address = await figures.start(address.host, address.port)
            self._stack.push_async_callback(figures.close)
        self._server = await self._stack.enter_async_context(
            serve(service, listeners=listeners, certificates=self._certificates)
        )
        self._tell_lists()
        if self._certificates is not None:
            looking = asyncio.create_task(self._look_at_lists(), name="pop3proto-revoked")
            self._stack.push_async_callback(_cancelled, looking)
        if (interval := self.notifier.interval) is not None:
            watching = asyncio.create_task(self._tell_alive(interval), name="pop3proto-watchdog")
            self._stack.push_async_callback(_cancelled, watching)

    def _bind(self, config: ServeConfig) -> list[Listener]:
        """Return the listeners with their sockets bound.

        Raises:
            OSError: it cannot listen there.
            ValueError: systemd has not opened what the configuration names.
        """
        inherited = inherited_sockets()
        bound: list[Listener] = []
        with ExitStack() as stack:
            for listen in config.listen:
                if listen.address is None:
                    if not (sockets := inherited.pop(listen.systemd or "", [])):
                        raise ValueError(f"systemd has opened no socket of the name {listen.systemd!r}")
                else:
                    sockets = _opened(listen.address.host, listen.address.port)
                for sock in sockets:
                    stack.callback(sock.close)
                bound.append(listener_of(listen, sockets, tls=config.tls is not None))
            stack.pop_all()
        for name in inherited:
            _log.warning("no listener takes the sockets %r that systemd has opened", name)
        return bound

    def _assemble(self, config: ServeConfig) -> tuple[Accounts, Site, Service]:
        """Return the users, read, the site and its service."""
        assert self._lasting is not None  # noqa: S101 - `_begin` has made it
        accounts = open_accounts(config, self._accounts)
        site = Site(config, accounts.directory)
        return accounts, site, service_of(site, accounts, self._lasting)

    def _load_again(self) -> tuple[ServeConfig, Accounts, Site, Service, Certificates | None]:
        """Return what the file says now, and what it comes to, all of it read; nothing is used yet."""
        read = read_config(self._path)
        begun = self._begun
        kept = {name: getattr(begun, name) for name in _FIXED}
        if (read.tls is None) != (begun.tls is None):
            kept["tls"] = begun.tls
        config = attrs.evolve(read, **kept)
        certificates = None if self._certificates is None else certificates_of(config.tls)
        return read, *self._assemble(config), certificates

    def _current_site(self) -> Site:
        assert self._site is not None  # noqa: S101 - the job begins after it was made
        return self._site

    def _job(self, metrics: ServerMetrics | None) -> PurgeJob | None:
        if (every := _purge_interval(self.config)) is None:
            return None
        purging = SitePurge(self._current_site, metrics, self._stopping.is_set, self._beat)
        return PurgeJob(purging, every=every, failed=purging.failed)

    def _beat(self) -> None:
        if self._lasting is not None and self._lasting.job is not None:
            self._lasting.job.beat()

    def _start_purging(self) -> None:
        if self._lasting is None or (job := self._lasting.job) is None:
            return
        thread = threading.Thread(target=job.run, args=(self._stopping,), name="pop3proto-purge", daemon=True)
        thread.start()
        self._stack.push_async_callback(asyncio.to_thread, thread.join, _PURGE_ENDS)
        self._stack.callback(self._stopping.set)

    def _count_refusals(self, metrics: ServerMetrics) -> None:
        logger, handler = logging.getLogger("pop3proto.server"), metrics.counting_refusals()
        logger.addHandler(handler)
        self._stack.callback(logger.removeHandler, handler)

    async def _look_at_lists(self) -> None:
        while True:
            await asyncio.sleep(_LISTS_EVERY)
            self._tell_lists()

    def _tell_lists(self) -> None:
        """Log, once, which lists of revoked certificates are out of date, or will be soon."""
        if self._certificates is None:
            return
        now = time.time()
        for fault in (*self._certificates.faults(now), *self._certificates.ending(now)):
            if fault not in self._told:
                self._told.add(fault)
                _log.warning("certificates of clients: %s", visible(fault))

    async def _tell_alive(self, interval: float) -> None:
        while True:
            self.notifier.alive()
            await asyncio.sleep(interval)


def _changed(begun: ServeConfig, read: ServeConfig) -> list[str]:
    """Return what of a configuration counts from the next start, in words."""
    changed = [name for name in _FIXED if getattr(read, name) != getattr(begun, name)]
    if (read.tls is None) != (begun.tls is None):
        changed.append("tls")
    if read.login.delay_file != begun.login.delay_file:
        changed.append("login.delay_file")
    if _purge_interval(read) != _purge_interval(begun):
        changed.append("retain (whether and how often mail is purged)")
    return changed


def _purge_interval(config: ServeConfig) -> float | None:
    """Return how often mail is purged, in seconds; None: all of it is kept for any time."""
    kept = config.on_delete.to == "remove" or config.on_delete.keep is None
    return None if kept and config.retain.shortest is None else config.retain.every


def _opened(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen.

    Raises:
        OSError: it is not possible there, and where that is.
    """
    try:
        return Listeners([Listener(address=host, port=port)]).open()
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]  # Python adds the address
        if isinstance(error, PermissionError):
            why += "; ports below 1024 are for root, or for systemd to open"
        raise OSError(error.errno, f"cannot listen on {host} port {port}: {why}") from error


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _words(error: Exception) -> str:
    """Return the message of an error, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)
