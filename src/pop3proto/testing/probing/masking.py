"""A report without the secret that was used: a server may repeat it anywhere."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.text import visible
from pop3proto.sasl.credentials import Password, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.sasl.credentials import Credentials

    from .before_login import Opened
    from .report import Report

__all__ = ["forms_of", "mask"]

_MASK: Final = "***"
_LEAST: Final = 6
"""Characters of base64 that count as part of a secret: fewer may be anything."""


def forms_of(credentials: Credentials, encoding: str | None = None) -> list[str]:
    """Return the forms in which a report may have a secret, the longest first; none if it is empty.

    Args:
        credentials: they hold the secret.
        encoding: of a password, beside UTF-8.
    """
    match credentials:
        case Password(password=secret) | Token(token=secret):
            pass
        case _:
            return []
    if not secret:
        return []
    forms = {secret, visible(secret)}
    for name in {"utf-8", encoding or "utf-8"}:
        octets = secret.encode(name, "replace")
        escaped = octets.decode("utf-8", "surrogateescape")  # as capabilities have it
        forms |= {
            escaped,
            visible(escaped),
            visible(octets.decode("latin-1")),
            repr(octets)[2:-1],
            base64.b64encode(octets).decode(),
        }
        forms |= {form for before in range(3) if len(form := _within_base64(octets, before)) >= _LEAST}
    return sorted(forms, key=len, reverse=True)


def _within_base64(octets: bytes, before: int) -> str:
    """Return the base64 of octets that stand behind others, as far as it does not depend on these or later ones."""
    text = base64.b64encode(bytes(before) + octets).decode()
    end = (before + len(octets)) * 8 // 6
    return text[-(-before * 8 // 6) : end]


def mask(report: Report, secrets: Sequence[str]) -> None:
    """Mask secrets in all of a report that a server may have said.

    Args:
        report: it is changed.
        secrets: the longest first.
    """

    def masked(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, _MASK)
        return text

    def mask_opened(opened: Opened) -> None:
        opened.greeting = None if opened.greeting is None else masked(opened.greeting)
        opened.timestamp = None if opened.timestamp is None else masked(opened.timestamp)
        opened.mechanisms = {masked(name): result for name, result in opened.mechanisms.items()}
        if opened.capabilities is not None:
            lines = "".join(f"{masked(line)}\r\n" for line in opened.capabilities.lines())
            opened.capabilities = Capabilities.parse(lines.encode("utf-8", "surrogateescape"))

    report.findings = tuple(
        attrs.evolve(finding, text=masked(finding.text), evidence=masked(finding.evidence))
        for finding in report.findings
    )
    report.told = [masked(text) for text in report.told]
    if report.announced is not None:
        report.announced = tuple(map(masked, report.announced))
    if (mailbox := report.mailbox) is not None:
        mailbox.unique_ids = {number: masked(uid) for number, uid in mailbox.unique_ids.items()}
    for port in report.ports:
        port.why, port.first_line = masked(port.why), masked(port.first_line)
        port.left_out = tuple((masked(name), masked(why)) for name, why in port.left_out)
        for opened in filter(None, (port.clear, port.secure)):
            mask_opened(opened)
        if port.implementation is not None:
            port.implementation = attrs.evolve(port.implementation, name=masked(port.implementation.name))
