"""What a session has done, for its line in the log."""

from __future__ import annotations

from typing import Final

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut

__all__ = ["SessionRecord"]

# The first that fits.
_ENDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TimedOut, "timeout"),
    (ConnectionLost, "connection-lost"),
    (RemoteProtocolError, "protocol-error"),
    (Exception, "fault"),
    (BaseException, "cut-off"),
)


class SessionRecord:
    """What one session has done so far. An adapter logs it when the session has ended.

    Attributes:
        user: whose credentials were right, whether or not the maildrop was then opened; None before.
        method: how the user has logged in: a SASL mechanism, "USER/PASS" or "APOP"; "" while nobody is logged in.
        retrieved: number of messages sent by RETR, each time that they were.
        deleted: number of messages that QUIT deleted.
        octets: number of octets sent, in clear.
        tls: the version of TLS, as `TlsInfo` has it; "" without TLS.
        end: why the session ended, in a word, if it ended without an error; "" before.
    """

    def __init__(self) -> None:
        self.user: str | None = None
        self.method: str = ""
        self.retrieved: int = 0
        self.deleted: int = 0
        self.octets: int = 0
        self.tls: str = ""
        self.end: str = ""

    def why_ended(self, error: BaseException | None) -> str:
        """Return why the session has ended, in a word, as its line in the log has it.

        Args:
            error: by which it has ended; None: as `end` says.
        """
        if error is None:
            return self.end.replace(" ", "-") or "closed"
        return next(word for kind, word in _ENDS if isinstance(error, kind))

    def login_failed(self, method: str, user: str) -> None:
        """Take note that credentials were wrong. Nothing is done here.

        Args:
            method: the login method.
            user: the name that the client gave; "" if it gave none.
        """

    def login_refused(self, method: str, user: str, reason: str) -> None:
        """Take note that the policy has refused a login whose credentials were right. Nothing is done here.

        Args:
            method: the login method.
            user: whose maildrop was to be opened.
            reason: what the policy says of it; "" if it says nothing.
        """

    def login_not_checked(self, method: str, user: str) -> None:
        """Take note that it is not known whether credentials were right. Nothing is done here.

        The deadline of the login has passed, or the authenticator could not tell, or the client has sent what is no
        message of the mechanism.

        Args:
            method: the login method.
            user: the name that the client gave; "" if it gave none, or the server has not looked at it.
        """
