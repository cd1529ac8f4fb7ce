"""The lines that a server logs about its sessions: each login that did not work, each end of a session, each refusal.

The lines are stable: `docs/logs.md` describes them, and programs such as fail2ban read them.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.procedures.server.session_record import SessionRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["LoggedSession"]

_log: Final = logging.getLogger("pop3proto.server")

_OWN: Final = ("protocol-error", "fault")  # what a session ends by that the end of the server does not bring about
_LONGEST: Final = 128  # characters of a name that are logged


class LoggedSession(SessionRecord):
    """Logs one session.

    Args:
        info: its number and the client's address.
        displaced: returns whether it had to make room for a newer one.
        shutdown: returns whether the server is shutting down.
    """

    def __init__(
        self,
        info: SessionInfo,
        *,
        displaced: Callable[[], bool] = bool,
        shutdown: Callable[[], bool] = bool,
    ) -> None:
        super().__init__()
        self._displaced: Final = displaced
        self._shutdown: Final = shutdown
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

    @override
    def why_ended(self, error: BaseException | None) -> str:
        """As that of the record: what the server has done to the session counts for more than how it went down."""
        why = super().why_ended(error)
        if self._displaced():
            return "displaced"
        return "shutdown" if error is not None and why not in _OWN and self._shutdown() else why

    def ended(self, error: BaseException | None) -> None:
        """Log that the session has ended.

        Args:
            error: by which error; None: as `end` says.
        """
        if not _log.isEnabledFor(logging.INFO):
            return
        end, why = self.why_ended(error), ""
        if isinstance(error, Exception) and end not in ("displaced", "shutdown") and str(error):
            why = f": {error}"
        _log.info(
            "%s: ended: user=%s method=%s retrieved=%d deleted=%d octets=%d end=%s%s",
            self._name,
            _column(self.user or ""),
            _column(self.method),
            self.retrieved,
            self.deleted,
            self.octets,
            end,
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
                end=end,
                reason=why.removeprefix(": "),
            ),
        )

    def _extra(self, event: str, **fields: object) -> dict[str, object]:
        """Return what the record has beside its text: `record.pop3proto`, for logs that are read by programs."""
        return {"pop3proto": {"event": event, **self._fields, **fields}}


def _column(text: str) -> str:
    """Return text without spaces, line ends and control characters: no peer can forge a line or a column."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return shown.encode("unicode_escape").decode("ascii").replace(" ", r"\x20") or "-"
