"""What Prometheus is told of a server. No label names a user, an address or anything else that a client chooses."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto._config.errors import MissingExtra
from pop3proto.core.command import Command
from pop3proto.core.events import BadCommand
from pop3proto.core.replies import Err, Greeting, ResponseCode
from pop3proto.core.transaction import Quit
from pop3proto.serving.log.fields import fields_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.core.events import ServerEvent
    from pop3proto.core.server import Response
    from pop3proto.procedures.maildrop import Message
    from pop3proto.procedures.server.session_events import LoginFailure
    from pop3proto.procedures.server.session_record import SessionRecord
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["ServerMetrics"]

_SECONDS: Final = (0.1, 0.5, 1, 5, 30, 60, 300, 600, 1_800)


class ServerMetrics:
    """An observer that counts, for Prometheus.

        metrics = ServerMetrics()
        service = Service(store=store, authenticator=users, observer=metrics)
        page = metrics.page()

    The figures have a registry of their own. One object is for one server; several threads may call it.

    Raises:
        MissingExtra: the extra `metrics` is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import (  # noqa: PLC0415 - an extra
                CONTENT_TYPE_LATEST,
                CollectorRegistry,
                Counter,
                Gauge,
                Histogram,
            )
        except ImportError as error:
            raise MissingExtra("metrics", "metrics", error) from None
        self.content_type: Final[str] = CONTENT_TYPE_LATEST
        registry = CollectorRegistry()
        self._registry: Final = registry
        self._open: Final = Gauge("pop3_sessions_open", "Sessions that are open now", registry=registry)
        self._begun: Final = Counter("pop3_sessions", "Sessions that were greeted", ["tls"], registry=registry)
        self._ended: Final = Counter("pop3_sessions_ended", "Sessions by why they ended", ["end"], registry=registry)
        self._refused: Final = Counter("pop3_sessions_refused", "Sessions without a place", registry=registry)
        self._seconds: Final = Histogram(
            "pop3_session_seconds", "How long sessions were", buckets=_SECONDS, registry=registry
        )
        self._logins: Final = Counter(
            "pop3_logins", "Logins by result and login method", ["result", "method"], registry=registry
        )
        self._commands: Final = Counter("pop3_commands", "Commands by verb", ["command"], registry=registry)
        self._octets: Final = Counter("pop3_sent_octets", "Octets that were sent, before TLS", registry=registry)
        self._retrieved: Final = Counter("pop3_retrieved_messages", "Messages sent by RETR", registry=registry)
        self._deleted: Final = Counter("pop3_deleted_messages", "Messages that QUIT has deleted", registry=registry)
        self._commit_failures: Final = Counter(
            "pop3_commit_failures", "QUIT after login that was answered with -ERR", registry=registry
        )
        self._in_use: Final = Counter(
            "pop3_maildrop_in_use", "Logins to a maildrop that another session had open", registry=registry
        )
        self._by_quota: Final = Counter(
            "pop3_logins_by_quota", "Logins by how full the maildrop was", ["quota"], registry=registry
        )
        self._purges: Final = Counter("pop3_purges", "Runs of the purge job", ["result"], registry=registry)
        self._purged: Final = Counter("pop3_purged_messages", "Messages that have expired", registry=registry)
        self._purged_octets: Final = Counter("pop3_purged_octets", "Octets that have expired", registry=registry)
        self._purged_at: Final = Gauge(
            "pop3_last_purge_timestamp_seconds", "When the purge job last ended well", registry=registry
        )
        self._maildrops: Final = Gauge(
            "pop3_maildrops", "Maildrops by how full they are, as the purge job saw them", ["quota"], registry=registry
        )
        self._moments: Final[dict[int, float]] = {}  # when each open session began
        self._quitting: Final[set[int]] = set()  # sessions whose QUIT is under way

    def page(self) -> bytes:
        """Return the figures in the text format of Prometheus."""
        from prometheus_client import generate_latest  # noqa: PLC0415 - an extra

        return generate_latest(self._registry)

    def heard(self, session: SessionInfo, event: ServerEvent, /) -> None:
        """Count a command."""
        if isinstance(event, Command):
            self._commands.labels(type(event).verb).inc()
            if isinstance(event, Quit) and session.user is not None:
                self._quitting.add(session.id)
        elif isinstance(event, BadCommand):
            self._commands.labels("bad").inc()

    def said(self, session: SessionInfo, item: Response, /) -> None:
        """Count a session, and refusals that matter."""
        if isinstance(item, Greeting):
            self._begun.labels("no" if session.tls is None else "yes").inc()
            self._open.inc()
            self._moments[session.id] = time.monotonic()
        elif isinstance(item, Err):
            if item.code == ResponseCode.IN_USE:
                self._in_use.inc()
            if session.id in self._quitting:
                self._commit_failures.inc()

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        """Count nothing: `session_ended` does."""

    def logged_in(self, _: SessionInfo, method: str, /) -> None:
        """Count a login."""
        self._logins.labels("ok", method).inc()

    def login_failed(self, _: SessionInfo, method: str, __: str, why: LoginFailure, /) -> None:
        """Count a login."""
        self._logins.labels(why, method).inc()

    def committed(self, _: SessionInfo, deleted: Sequence[Message], __: Sequence[Message], /) -> None:
        """Count what was deleted."""
        self._deleted.inc(len(deleted))

    def session_ended(self, session: SessionInfo, record: SessionRecord, error: BaseException | None, /) -> None:
        """Count what the session has done."""
        self._quitting.discard(session.id)
        self._octets.inc(record.octets)
        self._retrieved.inc(record.retrieved)
        if (began := self._moments.pop(session.id, None)) is not None:
            self._open.dec()
            self._seconds.observe(time.monotonic() - began)
            self._ended.labels(record.why_ended(error)).inc()

    def opened(self, level: str) -> None:
        """Count a login by how full its maildrop is.

        Args:
            level: "ok", "warn" or "full".
        """
        self._by_quota.labels(level).inc()

    def purged(self, messages: int, octets: int, *, well: bool = True) -> None:
        """Take note that the purge job has run.

        Args:
            messages: that were removed.
            octets: their size.
            well: whether all that has expired could be removed.
        """
        self._purges.labels("ok" if well else "failed").inc()
        self._purged.inc(messages)
        self._purged_octets.inc(octets)
        self._purged_at.set_to_current_time()

    def purge_failed(self) -> None:
        """Take note that the purge job has failed."""
        self._purges.labels("failed").inc()

    def fill(self, *, ok: int, warned: int, full: int) -> None:
        """Take note how full the maildrops are.

        Args:
            ok: number of maildrops below the warning level.
            warned: number of those above it.
            full: number of those that take no message.
        """
        for name, number in (("ok", ok), ("warn", warned), ("full", full)):
            self._maildrops.labels(name).set(number)

    def counting_refusals(self) -> logging.Handler:
        """Return a handler for the logger "pop3proto.server": no observer sees the sessions that had no place."""
        return _Refusals(self._refused.inc)


class _Refusals(logging.Handler):
    def __init__(self, count: object) -> None:
        super().__init__()
        self._count = count

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if fields_of(record).get("event") == "refused" and callable(self._count):
            self._count()
