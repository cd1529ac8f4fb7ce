"""Find out what a POP3 server can do, by trying it, and what is wrong with it.

    report = probe("pop.example.org", credentials=Password("ann", "tanstaaf"))
    print(report.verdict)
    for finding in report.findings:
        print(finding.severity.name, finding.text, finding.advice)

`pop3proto probe` does it on the command line.
"""

from __future__ import annotations

from .before_login import Opened
from .certificate import Certificate
from .findings import Finding, Severity
from .implementations import Implementation
from .jsonable import jsonable
from .mailbox import Mailbox
from .report import PortReport, Report, TlsReport
from .running import probe

__all__ = [
    "Certificate",
    "Finding",
    "Implementation",
    "Mailbox",
    "Opened",
    "PortReport",
    "Report",
    "Severity",
    "TlsReport",
    "jsonable",
    "probe",
]
