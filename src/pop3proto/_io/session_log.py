"""The lines that a server logs about its sessions: each login that did not work, each end of a session, each refusal.

The lines are stable: `docs/logs.md` describes them, and programs such as fail2ban read them.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.server.session_record import SessionRecord

if TYPE_CHECKING:
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["LoggedSession", "end_of"]

_log: Final = logging.getLogger("pop3proto.server")

_LONGEST: Final = 128  # characters of a name that are logged

# The first that fits.
_ENDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TimedOut, "timeout"),
    (ConnectionLost, "connection lost"),
    (RemoteProtocolError, "protocol error"),
    (Exception, "fault"),
    (BaseException, "cut off"),
)


class LoggedSession(SessionRecord):
    """Logs one session.

    Args:
        info: its number and the client's address.
    """

    def __init__(self, info: SessionInfo) -> None:
        super().__init__()
        self._name: Final = f"session {info.id} from {_column(info.address)}"
        self._fields: Final = {"session": info.id, "address": info.address, "listener": info.listener}
        self._began: Final = time.monotonic()

    @override
    def login_failed(self, method: str, user: str) -> None:
        """Log that a login failed."""
        extra = self._extra("login failed", method=method, user=user)
        _log.info("%s: login failed: method=%s user=%s", self._name, _column(method), _column(user), extra=extra)

    @override
    def login_refused(self, method: str, user: str, reason: str) -> None:
        """Log that the policy has refused a login."""
        _log.info(
            "%s: login refused: method=%s user=%s reason=%s",
            self._name,
            _column(method),
            _column(user),
            _column(reason),
            extra=self._extra("login refused", method=method, user=user, reason=reason),
        )

    @override
    def login_not_checked(self, method: str, user: str) -> None:
        """Log that the server does not know whether a login would have failed."""
        extra = self._extra("login not checked", method=method, user=user)
        _log.info("%s: login not checked: method=%s user=%s", self._name, _column(method), _column(user), extra=extra)

    def refused(self, reason: str) -> None:
        """Log that the server had no room for the session."""
        _log.info("%s: refused: %s", self._name, reason, extra=self._extra("refused", reason=reason))

    def ended(self, error: BaseException | None, *, displaced: bool = False, shutdown: bool = False) -> None:
        """Log that the session has ended.

        Args:
            error: by which error; None: as `end` says.
            displaced: it had to make room for a newer one.
            shutdown: the server was shutting down.
        """
        if not _log.isEnabledFor(logging.INFO):
            return
        end, why = self.end, ""
        if error is not None:
            end = next(word for kind, word in _ENDS if isinstance(error, kind))
            why = f": {error}" if isinstance(error, Exception) and str(error) else ""
            if shutdown and not isinstance(error, RemoteProtocolError) and end != "fault":
                end, why = "shutdown", ""
        if displaced:
            end, why = "displaced", ""
        _log.info(
            "%s: ended: user=%s method=%s retrieved=%d deleted=%d octets=%d end=%s%s",
            self._name,
            _column(self.user or ""),
            _column(self.method),
            self.retrieved,
            self.deleted,
            self.octets,
            end.replace(" ", "-"),
            why.encode("unicode_escape").decode("ascii"),
            extra=self._extra(
                "ended",
                user=self.user,
                method=self.method,
                tls=self.tls,
                retrieved=self.retrieved,
                deleted=self.deleted,
                octets=self.octets,
                seconds=round(time.monotonic() - self._began, 3),
                end=end.replace(" ", "-"),
                reason=why.removeprefix(": "),
            ),
        )

    def _extra(self, event: str, **fields: object) -> dict[str, object]:
        """Return what the record has beside its text: `record.pop3proto`, for logs that are read by programs."""
        return {"pop3proto": {"event": event, **self._fields, **fields}}


def end_of(record: SessionRecord, error: BaseException | None) -> str:
    """Return why a session has ended, in a word, as its line in the log has it.

    Args:
        record: of the session.
        error: by which it has ended; None: as the record says.
    """
    if error is None:
        return record.end.replace(" ", "-") or "closed"
    for kind, word in _ENDS[:-1]:
        if isinstance(error, kind):
            return word.replace(" ", "-")
    return _ENDS[-1][1].replace(" ", "-")


def _column(text: str) -> str:
    """Return text without spaces, line ends and control characters: no peer can forge a line or a column."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return shown.encode("unicode_escape").decode("ascii").replace(" ", r"\x20") or "-"
