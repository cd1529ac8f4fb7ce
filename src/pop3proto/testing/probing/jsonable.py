"""A report as plain data, for JSON. The keys are documented, and stay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

from pop3proto.core.text import visible

if TYPE_CHECKING:
    from .before_login import Opened
    from .certificate import Certificate
    from .mailbox import Mailbox
    from .report import PortReport, Report, TlsReport

__all__ = ["VERSION", "jsonable"]

VERSION: Final = 1
"""Of the keys: another one if a key goes away or means something else. New keys do not change it."""


def jsonable(report: Report) -> dict[str, Any]:
    """Return a report as dicts, lists, strings, numbers and None.

    Args:
        report: of a probe.
    """
    mailbox = report.mailbox
    plain = {
        "version": VERSION,
        "host": report.host,
        "verdict": report.verdict,
        "status": report.status,
        "seconds": _rounded(report.seconds),
        "findings": [
            {
                "id": finding.id,
                "severity": finding.severity.name.lower(),
                "port": finding.port,
                "text": finding.text,
                "advice": finding.advice,
                "evidence": finding.evidence,
            }
            for finding in report.findings
        ],
        "ports": [_port(port) for port in report.ports],
        "login": None if mailbox is None else _login(report, mailbox),
        "quirks": sorted(quirk.name.lower() for quirk in report.quirks),
        "checks": report.checks,
        "told": report.told,
    }
    return {key: _printable(value) for key, value in plain.items()}


def _printable(value: object) -> object:
    """Return plain data with what cannot be printed escaped: JSON has no text for octets that are not UTF-8."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [_printable(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {_printable(key): _printable(each) for key, each in cast("dict[object, object]", value).items()}
    return value


def _port(port: PortReport) -> dict[str, Any]:
    return {
        "port": port.port,
        "protocol": port.protocol,
        "why": port.why,
        "first_line": port.first_line,
        "seconds": _rounded(port.seconds),
        "implementation": None if port.implementation is None else port.implementation.name,
        "stls": port.stls,
        "clear": None if port.clear is None else _opened(port.clear),
        "secure": None if port.secure is None else _opened(port.secure),
        "tls": None if port.tls is None else _tls(port.tls),
        "plan": [*port.plan],
        "left_out": dict(port.left_out),
    }


def _opened(opened: Opened) -> dict[str, Any]:
    announced = opened.capabilities
    return {
        "greeting": opened.greeting,
        "greeting_seconds": _rounded(opened.greeted_after),
        "apop": opened.timestamp is not None,
        "capabilities": None if announced is None else announced.lines(),
        "mechanisms": opened.mechanisms,
        "works": opened.works,
    }


def _tls(tls: TlsReport) -> dict[str, Any]:
    return {
        "how": tls.how,
        "version": tls.version,
        "cipher": tls.cipher,
        "versions": tls.versions,
        "trusted": tls.trusted,
        "distrust": tls.distrust,
        "days_left": tls.days_left,
        "certificates": [_certificate(certificate) for certificate in tls.certificates],
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "names": [*certificate.names],
        "issuer": certificate.issuer,
        "begins": _moment(certificate.begins),
        "ends": _moment(certificate.ends),
        "key": certificate.key,
        "pin_sha256": certificate.pin,
        "fingerprint_sha256": certificate.fingerprint,
        "self_issued": certificate.self_issued,
    }


def _login(report: Report, mailbox: Mailbox) -> dict[str, Any]:
    return {
        "port": report.login_port,
        "seconds": None if report.login_seconds is None else _rounded(report.login_seconds),
        "capabilities": None if report.announced is None else [*report.announced],
        "messages": mailbox.count,
        "octets": mailbox.octets,
        "fetched": len(mailbox.sampled),
        "unique_ids": len(mailbox.unique_ids),
        "works": mailbox.works,
        "pipelining": mailbox.pipelining,
        "lock": mailbox.lock,
        "answer_seconds": _rounded(mailbox.answer_seconds),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
