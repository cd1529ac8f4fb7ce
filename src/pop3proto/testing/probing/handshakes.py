"""TLS on one port: which versions, whether the certificate is trusted, and what it says."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.tls import client_context
from pop3proto.core.errors import CertificateError, ConnectionLost, Pop3Error, TimedOut
from pop3proto.core.text import counted
from pop3proto.procedures.operations import StartTls

from .before_login import ask_for_tls
from .certificate import Certificate
from .connections import VERSIONS, Connections, untrusting
from .report import TlsReport
from .talk import Talk

if TYPE_CHECKING:
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.operations import Procedure
    from pop3proto.sasl.channel import TlsInfo

    from .findings import Findings

__all__ = ["TlsProbe", "begin", "handshake"]

_OLD: Final = ("1.0", "1.1")
_LEAST_RSA: Final = 2048  # bits


def handshake(talk: Talk, how: str, findings: Findings) -> Procedure[TlsInfo]:
    """Begin TLS, behind the greeting and STLS if `how` is "starttls".

    Raises:
        ConnectionLost: it does not work.
    """
    yield from _before_tls(talk, how, findings)
    return (yield from StartTls(until=(yield from talk.budget.deadline())))


def _before_tls(talk: Talk, how: str, findings: Findings) -> Procedure[None]:
    if how == "starttls":
        yield from talk.hear()
        if not (yield from ask_for_tls(talk, findings)):
            raise ConnectionLost("the server refuses STLS")


def begin(talk: Talk, how: str, findings: Findings) -> Procedure[None]:
    """Begin a session in clear ("none") or over TLS, up to its greeting."""
    if how != "none":
        yield from handshake(talk, how, findings)
    if how != "starttls":
        yield from talk.hear()


@attrs.frozen
class TlsProbe:
    """The handshakes on one port.

    Args:
        connections: to it.
        findings: what is found.
        how: "implicit" or "starttls".
        context: decides about trust; None: that of a client.
        days: of fewer days left of the certificate is warned.
    """

    connections: Connections
    findings: Findings
    how: TlsMode
    context: ssl.SSLContext | None
    days: int

    def run(self) -> TlsReport | None:
        """Do the handshakes; None: none works."""
        report = TlsReport(how=self.how)
        try:
            with self.connections.open() as connection:
                info = connection.perform(handshake(self._talk(), self.how, self.findings))
                chain, report.cipher = connection.chain, connection.cipher
        except Pop3Error as error:
            self.findings.add("tls-fails", "The TLS handshake does not work.", evidence=str(error))
            return None
        report.version = info.version
        self._read(chain, report)
        self._judge(report)
        self._try_versions(report)
        self._look_without_sni(chain)
        return report

    def _talk(self) -> Talk:
        return Talk(self.connections.budget)

    def _try(self, context: ssl.SSLContext, *, sni: bool = True) -> tuple[bytes, ...]:
        """Return the certificates of a handshake.

        Raises:
            Pop3Error: it does not work.
        """
        with self.connections.open(context, sni=sni) as connection:
            connection.perform(handshake(self._talk(), self.how, self.findings))
            return connection.chain

    # The certificate.

    def _read(self, chain: tuple[bytes, ...], report: TlsReport) -> None:
        try:
            report.certificates = tuple(map(Certificate.parse, chain))
        except ValueError as error:
            self.findings.add("certificate-weak", "Its certificate cannot be read.", evidence=str(error))
        if not report.certificates:
            return
        own, now = report.certificates[0], time.time()
        report.days_left = own.days_left(now)
        if 0 <= report.days_left < self.days and own.begins <= now:
            text = f"The certificate ends in {counted(report.days_left, 'day')}, on {_date(own.ends)}."
            self.findings.add("certificate-ends-soon", text)
        weak = [f"its key is {own.key}"] if own.key.startswith("RSA") and int(own.key.split()[1]) < _LEAST_RSA else []
        if own.old_signature is not None:
            weak.append(f"its signature uses {own.old_signature}")
        if weak:
            self.findings.add("certificate-weak", f"The certificate is weak: {' and '.join(weak)}.")

    def _judge(self, report: TlsReport) -> None:
        """Do a handshake as a client does it that wants to know whom it talks to."""
        context = self.context or client_context()
        if context.verify_mode is not ssl.CERT_REQUIRED:
            report.distrust = "the given context verifies nothing"
            return
        try:
            self._try(context)
            report.trusted = True
        except CertificateError as error:
            report.distrust = error.reason
            self._explain(error.reason, report)
        except Pop3Error as error:
            report.distrust = str(error)
            self.findings.add("tls-fails", "A client of today cannot do the TLS handshake.", evidence=str(error))

    def _explain(self, reason: str, report: TlsReport) -> None:
        host = self.connections.host
        own = report.certificates[0] if report.certificates else None
        now, lower = time.time(), reason.lower()
        if own is not None and own.ends < now:
            text = f"The certificate has expired on {_date(own.ends)}."
            self.findings.add("certificate-expired", text, evidence=reason)
        elif own is not None and own.begins > now:
            text = f"The certificate is valid from {_date(own.begins)} on, not yet."
            self.findings.add("certificate-early", text, evidence=reason)
        elif "mismatch" in lower or "not valid for" in lower:
            names = ", ".join(own.names[:5]) if own is not None else ""
            text = f"The certificate is not for {host}, but for {names or 'no name at all'}."
            self.findings.add("certificate-name", text, evidence=reason)
        elif own is not None and own.self_issued:
            text = "The certificate is self-signed: the server vouches for itself, and no authority does."
            self.findings.add("certificate-self-signed", text, evidence=reason)
        else:
            issuer = f", {own.issuer}," if own is not None else ""
            alone = " It sends no other certificate along." if len(report.certificates) == 1 else ""
            text = f"The issuer of the certificate{issuer} is not trusted here.{alone}"
            self.findings.add("certificate-untrusted", text, evidence=reason)

    def _look_without_sni(self, chain: tuple[bytes, ...]) -> None:
        try:
            other = self._try(untrusting(), sni=False)
        except (ConnectionLost, TimedOut) as error:
            text = "Without a server name in the handshake (SNI), TLS does not work."
            self.findings.add("certificate-without-sni", text, evidence=str(error))
            return
        if other[:1] != chain[:1]:
            text = "Without a server name in the handshake (SNI), another certificate comes."
            self.findings.add("certificate-without-sni", text)

    # The versions.

    def _try_versions(self, report: TlsReport) -> None:
        for version in VERSIONS:  # the one that was chosen works
            report.versions[version] = "yes" if report.version == f"TLSv{version}" else self._try_version(version)
        works = [version for version, result in report.versions.items() if result == "yes"]
        if old := [version for version in _OLD if version in works]:
            self.findings.add("old-tls", f"It still does TLS {' and '.join(old)}.")
        if works and works[-1] in _OLD:
            self.findings.add("no-modern-tls", f"It does no TLS above {works[-1]}.")
        elif works and report.versions["1.3"] == "no":
            self.findings.add("no-tls-1.3", "It does not do TLS 1.3.")

    def _try_version(self, version: str) -> str:
        try:
            context = untrusting(version)
            self.connections.channel(context).handshake()  # this machine may be unable to
        except (ssl.SSLError, ValueError):
            return "unknown"
        shaking = False
        try:
            with self.connections.open(context) as connection:
                talk = self._talk()
                connection.perform(_before_tls(talk, self.how, self.findings))
                shaking = True
                connection.perform(handshake(talk, "implicit", self.findings))
        except TimedOut:
            return "unknown"
        except Pop3Error as error:
            if shaking:
                return "no"
            text = "Connections are limited: one of many in a row did not get as far as TLS."
            self.findings.add("connections-limited", text, evidence=str(error))
            return "unknown"
        return "yes"


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
