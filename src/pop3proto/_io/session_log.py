"""The lines that a server logs about its sessions: each login that did not work, each end of a session, each refusal.

The lines are stable: `docs/logs.md` describes them, and programs such as fail2ban read them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.server.session_record import SessionRecord

if TYPE_CHECKING:
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["LoggedSession"]

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

    @override
    def login_failed(self, method: str, user: str) -> None:
        """Log that a login failed."""
        _log.info("%s: login failed: method=%s user=%s", self._name, _column(method), _column(user))

    @override
    def login_refused(self, method: str, user: str, reason: str) -> None:
        """Log that the policy has refused a login."""
        _log.info(
            "%s: login refused: method=%s user=%s reason=%s",
            self._name,
            _column(method),
            _column(user),
            _column(reason),
        )

    @override
    def login_not_checked(self, method: str, user: str) -> None:
        """Log that the server does not know whether a login would have failed."""
        _log.info("%s: login not checked: method=%s user=%s", self._name, _column(method), _column(user))

    def refused(self, reason: str) -> None:
        """Log that the server had no room for the session."""
        _log.info("%s: refused: %s", self._name, reason)

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
        )


def _column(text: str) -> str:
    """Return text without spaces, line ends and control characters: no peer can forge a line or a column."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return shown.encode("unicode_escape").decode("ascii").replace(" ", r"\x20") or "-"
