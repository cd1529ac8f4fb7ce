"""How an account is reached: by TLS unless the user has allowed clear text, and with which credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.blocking import connect
from pop3proto.core.errors import CommandFailed, LocalProtocolError, LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.sasl.credentials import Token
from pop3proto.sasl.mechanism import MechanismError

from .failures import Failure

if TYPE_CHECKING:
    import ssl

    from pop3proto.blocking import Client
    from pop3proto.procedures.policy import TlsMode
    from pop3proto.sasl.credentials import Credentials

    from .account import Account

__all__ = ["Access"]

_ABOUT_THE_TOKEN: Final = (None, ResponseCode.AUTH)
"""Codes of a refusal that may be the token's fault; the others are about the maildrop, or pass by waiting."""


@attrs.frozen(kw_only=True)
class Access:
    """All that it takes to begin a session.

    Args:
        account: whose mail, and where.
        credentials: what to log in with.
        context: for TLS.
        allow_cleartext: a server without STLS is no hindrance.
        timeout: seconds that the server may stay silent.
    """

    account: Account
    credentials: Credentials
    context: ssl.SSLContext = attrs.field(repr=False)
    allow_cleartext: bool
    timeout: float

    def open(self) -> Client:
        """Return a client that is logged in.

        Raises:
            Failure, Pop3Error: there is none to be had.
        """
        client = self._connect()
        try:
            self._log_in(client)
        except BaseException:
            client.close()
            raise
        return client

    def _connect(self) -> Client:
        """Connect; in clear only if the server refuses STLS. A handshake that fails is a failure, not a refusal."""
        if self.account.tls != "starttls":
            return self._connect_by(self.account.tls)
        try:
            return self._connect_by("starttls")
        except CommandFailed as refusal:
            # Addresses of this machine are no exception: a tunnel to another may begin here.
            if not self.allow_cleartext:
                raise Failure(
                    f"{refusal}; without TLS everybody on the way to {self.account.host} could read password and mail: "
                    "use pops://, or allow that with --allow-cleartext"
                ) from refusal
        return self._connect_by("none")

    def _connect_by(self, tls: TlsMode) -> Client:
        return connect(
            self.account.host,
            self.account.port,
            tls=tls,
            context=self.context,
            allow_cleartext=self.allow_cleartext,
            connect_timeout=self.timeout,
            timeout=self.timeout,
        )

    def _log_in(self, client: Client) -> None:
        way = self.account.way
        try:
            client.login(self.credentials, only=None if way is None else [way])
        except LoginFailed as failure:
            raise Failure(f"{failure}{self._more_about(failure)}") from failure

    def _more_about(self, failure: LoginFailed) -> str:
        if isinstance(cause := failure.__cause__, MechanismError | LocalProtocolError):
            return f": {cause}"  # it was we who gave up
        if isinstance(self.credentials, Token) and failure.code in _ABOUT_THE_TOKEN:
            return "; if it is the token: it may be too old (an hour is usual), another user's, or not meant for POP"
        return ""
