"""Open a session of an account: connect, begin TLS, check the pins, log in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pop3proto._io.pins import pin_server
from pop3proto._io.tls import client_context
from pop3proto._io.tls_channel import client_channel
from pop3proto.blocking.connecting import connect_by, sockets_to
from pop3proto.core.commands import Stls
from pop3proto.core.errors import LocalProtocolError, Pop3Error, TlsAlert
from pop3proto.core.limits import Limits
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.fetching.wording import reason
from pop3proto.procedures.client.commands import learn_or_do_without
from pop3proto.procedures.client.login_plan import UNANNOUNCED
from pop3proto.procedures.client.options import SessionOptions
from pop3proto.sasl.credentials import Token
from pop3proto.sasl.mechanism import MechanismError

from .certificate_facts import CertificateFacts
from .connections import open_socket
from .errors import SecretError
from .tls_files import show_certificate, trust_authorities
from .url import EXTERNAL

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from pop3proto.blocking import Client
    from pop3proto.blocking.connecting import OpenSocket
    from pop3proto.blocking.interruption import Interruption
    from pop3proto.procedures.cleartext import Cleartext, TlsMode
    from pop3proto.procedures.observer import ClientObserver
    from pop3proto.sasl.credentials import Credentials

    from .access import Access
    from .secrets import SecretSource

__all__ = ["connect_account", "connect_interruptibly", "explain_failure", "login", "open_session", "tls_context"]

_OFFERED: Final = (
    "a server offers EXTERNAL only to clients whose certificate it asks for and accepts, and takes it for the users "
    "that the certificate names"
)
_NOT_FOR_THIS_USER: Final = "the server does not take the client certificate for this user: its log says why"
_EXPIRED: Final = "certificate expired"
_WHY_NOT: Final = {
    _EXPIRED: "it has expired, or the server's list of revoked certificates is out of date",
    "bad certificate": "it cannot be verified, or the server's list of revoked certificates is not valid yet",
    "certificate required": "it was not shown, or the server wants another one",
    "certificate revoked": "its authority has revoked it",
    "unknown ca": "the server does not know its authority, or has no list of revoked certificates of that authority",
    "unsupported certificate": "it is not one for clients",
}
"""What a server means by an alert about the client's certificate."""

_ABOUT_THE_SECRET: Final = (None, ResponseCode.AUTH)
"""Response codes of a refusal that the secret may have caused; other codes concern the maildrop or are temporary."""

_LIMITS: Final = Limits(least_rate=100)
"""A fetch runs unattended, and must come to an end although a server sends an octet now and then."""


def tls_context(access: Access) -> ssl.SSLContext:
    """Return the TLS context of an account: authorities, pins, and the client's certificate.

    The pins hold for every handshake of the context, also where a client connects again within a login.

    Raises:
        AccountError: a file cannot be read, or does not hold what it should.
    """
    context = client_context()
    if access.ca_file is not None:
        trust_authorities(context, access.ca_file)
    if access.certificate is not None:
        show_certificate(context, access.certificate, access.certificate_key)
    if access.pin:
        pin_server(context, access.pin, only=access.pin_only)
    return context


def connect_account(access: Access, *, observer: ClientObserver | Sequence[ClientObserver] = ()) -> Client:
    """Connect to the server of an account; TLS is up if the account demands it.

    With `tls = "starttls"` and cleartext allowed everywhere, the server is asked for STLS by CAPA. Where CAPA does not
    list it, or tells nothing and STLS is refused, the session goes on in clear, over the same connection. In each other
    case STLS must work, as where there are pins, and where the account logs in by its certificate. A handshake that
    fails is the end.

    Args:
        access: of the account.
        observer: as in `pop3proto.blocking.connect`.

    Returns:
        The client, which connects again by itself within a login, also through a proxy or a program.

    Raises:
        AccountError: what the account names cannot be used: a file, an extra.
        Pop3Error: as `pop3proto.blocking.connect`. The connection is closed.
    """
    return connect_interruptibly(access, None, observer=observer)


def connect_interruptibly(
    access: Access, interruption: Interruption | None, *, observer: ClientObserver | Sequence[ClientObserver] = ()
) -> Client:
    """As `connect_account`, but another thread may end it.

    Args:
        access: of the account.
        interruption: ends it, except while a proxy or a program connects; None: nothing does.
        observer: as in `connect_account`.
    """
    asks = access.tls == "starttls" and access.cleartext == "always" and not access.pin and access.way != EXTERNAL
    client = _connect(access, "none" if asks else access.tls, observer, interruption)
    if asks:
        try:
            _begin_tls_if_there(client)
        except BaseException:
            client.close()
            raise
    return client


def _connect(
    access: Access,
    tls: TlsMode,
    observer: ClientObserver | Sequence[ClientObserver],
    interruption: Interruption | None,
) -> Client:
    timeout: float = access.timeout
    cleartext: Cleartext = access.cleartext
    opened: OpenSocket = sockets_to((access.host, access.port), timeout)

    def by_detour(left: float | None, _: object) -> socket.socket:
        return open_socket(access, timeout if left is None else min(left, timeout))

    if access.proxy or access.via:
        # The other end of the socket is a proxy or a program on this machine: the server is not.
        opened, cleartext = by_detour, "never" if cleartext == "loopback" else cleartext
    elif access.source_address:
        opened = by_detour
    options = SessionOptions(
        tls=tls, cleartext=cleartext, timeout=timeout, limits=_LIMITS, quirks=access.quirks, observer=observer
    )
    special = tls != "none" or access.ca_file or access.certificate or access.pin
    channel = client_channel(tls_context(access) if special else None, access.host, access.port)
    return connect_by(opened, options, access.host, access.port, channel=channel, interruption=interruption)


def _begin_tls_if_there(client: Client) -> None:
    client.perform(learn_or_do_without(client.session))
    if client.capabilities is not None and not client.capabilities.stls:
        return
    try:
        client.start_tls()
    except CommandFailed:
        if client.capabilities is not None:  # it was announced
            raise


def login(client: Client, access: Access, credentials: Credentials) -> None:
    """Log in as an account demands.

    Args:
        client: connected by `connect_account`.
        access: of the account.
        credentials: of `SecretSource.get`.

    Raises:
        Pop3Error: as `Client.login`.
    """
    client.login(
        credentials,
        only=None if access.login is None else [access.login],
        password_encoding=access.password_encoding,
    )


def open_session(
    access: Access, secrets: SecretSource, *, observer: ClientObserver | Sequence[ClientObserver] = ()
) -> Client:
    """Connect and log in. If the server refuses the secret, and another is to be had, log in by that.

    Args:
        access: of the account.
        secrets: of the account; keep it for all sessions of a run.
        observer: as in `connect_account`.

    Returns:
        The client, logged in. Close it by `quit`, `close` or a `with` block.

    Raises:
        AccountError: as `connect_account`, and as `SecretSource.get` before anything was refused.
        LoginFailed: the server has refused the login. `explain_failure` has the words for it.
        Pop3Error: as `connect_account` and `Client.login`.
    """
    credentials = secrets.get()  # before anything is opened: a program may take its time, a user, too
    try:
        return _logged_in(access, credentials, observer)
    except LoginFailed as failure:
        if not isinstance(credentials, Token) or failure.code not in _ABOUT_THE_SECRET:
            raise
        try:
            credentials = secrets.get(refused=True)
        except SecretError as error:
            secrets.note(f"note: {error}")
            raise failure from failure.__cause__
    return _logged_in(access, credentials, observer)  # over another connection: many servers hang up


def _logged_in(access: Access, credentials: Credentials, observer: ClientObserver | Sequence[ClientObserver]) -> Client:
    client = connect_account(access, observer=observer)
    try:
        login(client, access, credentials)
    except BaseException:
        client.close()
        raise
    return client


def explain_failure(access: Access, error: Pop3Error) -> str:
    """Return the words for a session that could not be opened: where, why, and what to do.

    Args:
        access: of the account.
        error: of `open_session`, `connect_account` or `login`.
    """
    if isinstance(error, LoginFailed):
        return f"{access.server}, user {access.user}: {reason(error)}{_more_about(access, error)}"
    if isinstance(error, LocalProtocolError) and access.way == EXTERNAL and UNANNOUNCED in str(error):
        return f"{reason(error, access.server)}; {_OFFERED}"
    if isinstance(error, TlsAlert) and error.about_certificate and access.certificate is not None:
        return f"{access.server}: {_about_certificate(access.certificate, error.alert)}"
    if isinstance(error, CommandFailed) and isinstance(error.command, Stls):
        return (
            f"{access.server}: {error}; without TLS, others on the network between here and there could read password "
            "and mail: use TLS at once (pops://), or allow cleartext if you accept that"
        )
    return reason(error, access.server)


def _about_certificate(certificate: Path, alert: str) -> str:
    """Return what an alert about certificates means: the client's is meant, and not the server's."""
    why = _WHY_NOT.get(alert, "its log says why")
    if alert == _EXPIRED and (facts := CertificateFacts.of(certificate)) is not None:
        until = facts.until_words
        why = f"it was valid until {until}"
        if facts.until >= time.time():
            why = f"it is valid until {until}, but the server's list of revoked certificates may be out of date"
    return f"the server does not accept the client certificate {certificate} (alert {alert!r}): {why}"


def _more_about(access: Access, failure: LoginFailed) -> str:
    if isinstance(cause := failure.__cause__, MechanismError | LocalProtocolError):
        return f": {cause}"  # the client gave up, not the server
    if failure.code not in _ABOUT_THE_SECRET:
        return ""
    if access.way == EXTERNAL:
        return f"; {_OFFERED if failure.code is None else _NOT_FOR_THIS_USER}"
    if access.token is not None:
        return "; check the token: it may have expired (one hour is usual), belong to another user, or not allow POP"
    return f"; {access.facts.login}" if access.facts is not None and access.facts.login else ""
