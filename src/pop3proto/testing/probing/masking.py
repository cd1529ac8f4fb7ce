"""A report without the secret that was used: a server may repeat it anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto.core.capabilities import Capabilities

if TYPE_CHECKING:
    from pop3proto.testing.masking import Secrets

    from .before_login import Opened
    from .report import Report

__all__ = ["mask"]


def mask(report: Report, secrets: Secrets) -> None:
    """Mask secrets in all of a report that a server may have said.

    Args:
        report: it is changed.
        secrets: of the credentials that were used.
    """
    masked = secrets.masked

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
