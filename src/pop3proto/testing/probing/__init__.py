"""Find out what a POP3 server can do, by trying it, and what is wrong with it: the library behind `pop3proto probe`.

report = probe("pop.example.org", credentials=Password("ann", "tanstaaf"))
print(report.verdict)
for finding in report.findings:
    print(finding.severity.name, finding.text, finding.advice)
"""

from __future__ import annotations

from .before_login import Opened
from .certificate import Certificate
from .findings import Finding, Severity
from .jsonable import jsonable
from .mailbox import Mailbox
from .report import PortReport, Report, TlsReport
from .running import probe

__all__ = [
    "Certificate",
    "Finding",
    "Mailbox",
    "Opened",
    "PortReport",
    "Report",
    "Severity",
    "TlsReport",
    "jsonable",
    "probe",
]
