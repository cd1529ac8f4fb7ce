"""Begin a session of a fetch: connect and log in, as the account and the options say."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.blocking import connect
from pop3proto.core.errors import LocalProtocolError, Pop3Error
from pop3proto.core.limits import NO_QUIRKS, Limits, Quirk
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.fetching.failures import Failure, reason
from pop3proto.sasl.credentials import Token
from pop3proto.sasl.mechanism import MechanismError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

    from pop3proto.blocking import Client
    from pop3proto.fetching.account import Account
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.sasl.credentials import Credentials

__all__ = ["Access"]

_ABOUT_THE_TOKEN: Final = (None, ResponseCode.AUTH)
"""Response codes of a refusal that the token may have caused; other codes concern the maildrop or are temporary."""

_LIMITS: Final = Limits(least_rate=100)
"""A fetch runs unattended, and must come to an end although a server sends an octet now and then."""


@attrs.frozen(kw_only=True)
class Access:
    """The data needed to begin a session.

    Args:
        account: the account.
        credentials: the credentials to log in with.
        context: the SSL context.
        allow_cleartext: continue without TLS if the server refuses STLS.
        timeout: seconds that the server may send nothing.
        quirks: deviations of the server to tolerate.
        password_encoding: of a name or password that is not ASCII, in USER and PASS; None: as `Client.login` chooses.
    """

    account: Account
    credentials: Credentials
    context: ssl.SSLContext = attrs.field(repr=False)
    allow_cleartext: bool
    timeout: float
    quirks: frozenset[Quirk] = NO_QUIRKS
    password_encoding: str | None = None

    @contextmanager
    def session(self) -> Generator[Client]:
        """Connect, log in, and close the client at the end of the block.

        Raises:
            Failure: the connection, the login or the session failed.
        """
        try:
            with closing(self._connect()) as client:
                self._log_in(client)
                yield client
        except Pop3Error as error:
            raise Failure(reason(error, self.account.server)) from error

    def _connect(self) -> Client:
        """Connect; without TLS only if the server refuses STLS. A failed handshake is never followed by cleartext."""
        if self.account.tls != "starttls":
            return self._connect_by(self.account.tls)
        try:
            return self._connect_by("starttls")
        except CommandFailed as refusal:
            # Loopback addresses too: a tunnel to another machine may begin there.
            if not self.allow_cleartext:
                raise Failure(
                    f"{self.account.server}: {refusal}; without TLS, others on the network between here and there "
                    "could read password and mail: use a pops:// URL, or --allow-cleartext if you accept that"
                ) from refusal
        return self._connect_by("none")

    def _connect_by(self, tls: TlsMode) -> Client:
        return connect(
            self.account.host,
            self.account.port,
            tls=tls,
            context=self.context,
            cleartext="always" if self.allow_cleartext else "loopback",
            connect_timeout=self.timeout,
            timeout=self.timeout,
            limits=_LIMITS,
            quirks=self.quirks,
        )

    def _log_in(self, client: Client) -> None:
        way = self.account.way
        try:
            client.login(
                self.credentials,
                only=None if way is None else [way],
                password_encoding=self.password_encoding,
            )
        except LoginFailed as failure:
            where = f"{self.account.server}, user {self.account.user}"
            raise Failure(f"{where}: {reason(failure)}{self._more_about(failure)}") from failure

    def _more_about(self, failure: LoginFailed) -> str:
        if isinstance(cause := failure.__cause__, MechanismError | LocalProtocolError):
            return f": {cause}"  # the client gave up, not the server
        if isinstance(self.credentials, Token) and failure.code in _ABOUT_THE_TOKEN:
            return (
                "; check the token: it may have expired (one hour is usual), belong to another user, or not allow POP"
            )
        return ""
