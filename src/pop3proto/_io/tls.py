"""TLS contexts, certificates, and the result of a handshake."""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from typing import TYPE_CHECKING, Final, cast

from pop3proto.core.errors import ABOUT_CERTIFICATES, CertificateError, ConnectionLost, TimedOut, TlsAlert
from pop3proto.core.replies import looks_like
from pop3proto.core.text import excerpt
from pop3proto.procedures.cleartext import TLS_BEFORE
from pop3proto.sasl.channel import ChannelBinding, TlsInfo, server_end_point

from .alpn import ForeignProtocol, allow_pop3_only
from .pins import NotPinned, has_pins
from .server_name import certificate_of, server_name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = [
    "check_role",
    "client_context",
    "handshake_failure",
    "peer_chain",
    "tls_broken",
    "tls_info",
    "verifies_peer",
    "words_of",
]

_OLD: Final = ("TLSv1", "TLSv1.1", "TLSv1.2")  # where tls-unique is defined (RFC 9266 section 3)


def client_context() -> ssl.SSLContext:
    """Return a context that verifies the server's certificate and name, with TLS 1.2 at least (RFC 8314 section 4)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    allow_pop3_only(context)
    return context


def check_role(context: ssl.SSLContext, *, server_side: bool) -> None:
    """Refuse a context that can only take the other role. `ssl.PROTOCOL_TLS` takes both.

    Raises:
        ValueError: it is for the other role.
        TypeError: it is not a context.
    """
    if not isinstance(given := cast("object", context), ssl.SSLContext):
        raise TypeError(f"context must be an ssl.SSLContext, not of type {type(given).__name__}")
    if server_side and context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError(
            "context is for a client: a server needs ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), with a "
            "certificate and its key"
        )
    if not server_side and context.protocol is ssl.PROTOCOL_TLS_SERVER:
        raise ValueError("context is for a server: a client needs ssl.create_default_context()")


def verifies_peer(context: ssl.SSLContext, *, server_side: bool) -> bool:
    """Return whether the handshake verifies the peer's certificate, and for a client the server's name or its pins."""
    return has_pins(context) or (context.verify_mode is ssl.CERT_REQUIRED and (server_side or context.check_hostname))


def tls_info(tls: ssl.SSLSocket | ssl.SSLObject, own: bytes | None = None) -> TlsInfo:
    """Return the result of a handshake that is done.

    Args:
        tls: the channel.
        own: the server's certificate, on the server's side.
    """
    version = tls.version() or ""
    certificate = tls.getpeercert(binary_form=True)
    verified = verifies_peer(tls.context, server_side=tls.server_side) and (
        tls.server_side or bool(tls.server_hostname) or has_pins(tls.context)
    )
    if tls.server_side and tls.context.verify_mode is ssl.CERT_OPTIONAL:
        # One that is not to be trusted would have ended the handshake. With a session that is resumed it was not looked
        # at: it may have ended since, or the list of those that are revoked.
        verified = certificate is not None and not tls.session_reused
    servers = certificate_of(tls, own) if tls.server_side else certificate
    bindings = (_tls_unique(tls, version), None if servers is None else server_end_point(servers))
    names = _names(tls) if tls.server_side and verified else ()
    return TlsInfo(version, verified, certificate, tuple(filter(None, bindings)), server_name_of(tls), names)


def _names(tls: ssl.SSLSocket | ssl.SSLObject) -> tuple[tuple[str, str], ...]:
    """Return the names in the peer's certificate, those of the subjectAltName first; none if they cannot be read."""
    try:
        found = cast("dict[str, Any]", tls.getpeercert() or {})
    except ValueError:  # a name is not in the encoding that it says
        return ()
    subject: Iterable[tuple[str, str]] = (pair for part in found.get("subject", ()) for pair in part)
    alternatives: Iterable[tuple[str, object]] = found.get("subjectAltName", ())
    return tuple((kind, value) for kind, value in (*alternatives, *subject) if isinstance(value, str))


def _tls_unique(tls: ssl.SSLSocket | ssl.SSLObject, version: str) -> ChannelBinding | None:
    # After a resumption it is not unique (RFC 7677 section 4).
    if version not in _OLD or tls.session_reused or not (octets := tls.get_channel_binding("tls-unique")):
        return None
    return ChannelBinding("tls-unique", octets)


def peer_chain(tls: ssl.SSLSocket | ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the certificates that the peer has sent, DER, its own first. None of them need be verified.

    Python has a public method for it since 3.13; before, a private one. Where there is neither, it is the first alone.
    """
    public: Callable[[], list[bytes]] | None = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return tuple(public())
    with contextlib.suppress(Exception):  # it may be missing, or be another in another Python
        return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in _private_chain(tls))
    certificate = tls.getpeercert(binary_form=True)
    return () if certificate is None else (certificate,)


def _private_chain(tls: ssl.SSLSocket | ssl.SSLObject) -> Iterable[Any]:
    """Return the certificates that the peer has sent, by a private method of Python, which may raise anything."""
    chain: Iterable[Any] = getattr(tls, "_sslobj").get_unverified_chain()  # noqa: B009 - nothing is known of it
    return chain


TLS_LATER: Final = "use another port, or begin TLS after the greeting"
TRUST_ISSUER: Final = "to trust its issuer, pass context=ssl.create_default_context(cafile=...)"

_RECORD: Final = re.compile(rb"[\x14-\x17](?:\x03|\Z)")  # RFC 8446 section 5.1: type and version


_OPENSSL: Final = re.compile(r"\[[^]]*\] (.*?)(?: \(_ssl\.c:[0-9]+\))?")
_ALERT: Final = re.compile(r"\S+ alert (.+)|tlsv1 (unrecognized name|unsupported extension)")
_ALERTS: Final = {
    **dict.fromkeys(
        ABOUT_CERTIFICATES, "it does not accept the certificate that it was shown, or cannot verify it now"
    ),
    "certificate required": "it wants a certificate of the client",
    "handshake failure": "the two may have no version of TLS or no cipher in common",
    "no application protocol": "it does not offer POP3 on this port (ALPN)",
    "protocol version": "the two have no version of TLS in common",
    "unrecognized name": "it does not know the host name",
}
"""What a server means by an alert (RFC 8446 section 6.2), where the name alone does not say it."""


def words_of(error: ssl.SSLError) -> str:
    """Return what went wrong in TLS, without what OpenSSL adds for programmers. An alert is named as the peer's."""
    if not (alert := _alert(error)):
        return _text(error)
    return f"the peer sent the alert {alert!r}" + (f": {_ALERTS[alert]}" if alert in _ALERTS else "")


def tls_broken(what: str, error: ssl.SSLError) -> ConnectionLost:
    """Return what to raise where something broke for an error of TLS."""
    message = f"{what}: {words_of(error)}"
    return TlsAlert(message, alert=alert) if (alert := _alert(error)) else ConnectionLost(message)


def _alert(error: ssl.SSLError) -> str:
    """Return the name of the peer's alert; "" if it is something else."""
    match = _ALERT.fullmatch(_text(error))
    return (match[1] or match[2]) if match else ""


def _text(error: ssl.SSLError) -> str:
    match = _OPENSSL.fullmatch(str(error))
    return match[1] if match else str(error)


_NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID
_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_REMEDIES: Final = {
    _NOT_YET_VALID: "check the clock of this machine",
    _EXPIRED: "the server needs a new one; check the clock of this machine, too",
    62: "connect to a name that the certificate is for",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "connect to a name that the certificate is for",  # X509_V_ERR_IP_ADDRESS_MISMATCH
}


def _validity(tls: ssl.SSLSocket | ssl.SSLObject, code: int) -> str:
    """Return since when or until when a certificate is valid, as text: the first of the chain that is not valid now.

    Returns:
        "" if that is not what is wrong, or cannot be known: before 3.13 only a private method of Python tells it.
    """
    if code not in (_NOT_YET_VALID, _EXPIRED):
        return ""
    field, words = ("notAfter", "valid until") if code == _EXPIRED else ("notBefore", "valid from")
    with contextlib.suppress(Exception):  # it may be missing, or be another in another Python
        for certificate in _private_chain(tls):
            moment = ssl.cert_time_to_seconds(certificate.get_info()[field])
            if (moment < time.time()) == (code == _EXPIRED):
                return f" ({words} {time.strftime('%Y-%m-%d %H:%M', time.gmtime(moment))} UTC)"
    return ""


def handshake_failure(  # noqa: PLR0913 - each has its default, and a name
    error: Exception,
    tls: ssl.SSLSocket | ssl.SSLObject | None = None,
    *,
    port: int = 0,
    first: bytes = b"",
    announced: bool = False,
    before: bool = False,
) -> ConnectionLost | TimedOut:
    """Return what to raise for a handshake that failed, in words for people.

    Args:
        error: why; `TimedOut`: it was not done in time.
        tls: the channel; None: it could not be made.
        port: the server's; 0: it is unknown.
        first: what the peer has sent first.
        announced: both sides have agreed in clear to begin TLS now.
        before: TLS was active over an earlier connection to the same peer: neither to do without it now nor to trust
            another certificate is a remedy.
    """
    if tls is not None and not tls.server_side and isinstance(error, ssl.SSLCertVerificationError):
        return _not_accepted(error, tls, port, before=before)
    at_once = tls is not None and not tls.server_side and not announced
    silent = f", and may not use TLS on this port: {TLS_LATER}" if at_once and not first else ""
    if silent and before:
        silent = f"; {TLS_BEFORE}"
    if isinstance(error, TimedOut):
        what = "" if first else f": the peer has sent nothing{silent}"
        return TimedOut(f"the TLS handshake was not done in time{what}")
    if tls is not None and first and not _RECORD.match(first):
        why = (
            "the client sent octets in clear"
            if tls.server_side
            else _in_clear(first, announced=announced, before=before)
        )
    elif isinstance(error, ForeignProtocol):
        why = str(error.strerror)
    # Some Pythons, as 3.11.2, take any end of the stream for an orderly end of TLS.
    elif isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        why = f"the peer closed the connection{silent}"
    elif isinstance(error, ssl.SSLError):
        return tls_broken("the TLS handshake failed", error)
    else:
        why = str(error)
    return ConnectionLost(f"the TLS handshake failed: {why}")


def _in_clear(octets: bytes, *, announced: bool, before: bool) -> str:
    sent = f"sent {excerpt(octets.splitlines()[0])}"
    if announced or before:
        return f"the server {sent} in clear where the TLS handshake was due" + (f"; {TLS_BEFORE}" if before else "")
    if other := looks_like(octets):
        return f"the server {sent}{other}; use another port"
    return f"the server does not begin TLS at once on this port: it {sent}; {TLS_LATER}"


def _not_accepted(
    error: ssl.SSLCertVerificationError, tls: ssl.SSLSocket | ssl.SSLObject, port: int, *, before: bool
) -> CertificateError:
    host = tls.server_hostname or ""
    reason = error.verify_message.rstrip(".") + _validity(tls, error.verify_code)
    remedy = _REMEDIES.get(error.verify_code, TRUST_ISSUER)
    if before:
        remedy = TLS_BEFORE
    elif isinstance(error, NotPinned):
        remedy = error.remedy
    whose = (host or "the server") + (f", port {port}," if port else "")
    message = f"the certificate of {whose} was not accepted: {reason}; {remedy}"
    return CertificateError(message, host=host, port=port, reason=reason)
