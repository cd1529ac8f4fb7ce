"""The report of a probe: what is known of a server, what was found, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.limits import Quirk

from .findings import Finding, Severity

if TYPE_CHECKING:
    from pop3proto.procedures.cleartext import TlsMode

    from .before_login import Opened
    from .certificate import Certificate
    from .implementations import Implementation
    from .mailbox import Mailbox

__all__ = ["CONCLUSIONS", "PortReport", "Report", "TlsReport"]

CONCLUSIONS: Final = {
    Severity.NOTE: "fine",
    Severity.WARNING: "warnings",
    Severity.BROKEN: "broken",
    Severity.UNREACHABLE: "not reached",
}
"""The verdict in a word, by the worst finding."""


@attrs.define(kw_only=True)
class TlsReport:
    """What is known of TLS on a port.

    Args:
        how: "implicit" or "starttls".
        version: what both sides have chosen.
        cipher: its name.
        versions: "1.0" to "1.3", each with whether the server does it: "yes", "no", or "unknown", where this machine
            cannot do it, or there was no handshake.
        trusted: the certificate is valid for the name.
        distrust: why not; "" if it is.
        certificates: those that the server sends, its own first.
        days_left: of its own.
    """

    how: TlsMode
    version: str = ""
    cipher: str = ""
    versions: dict[str, str] = attrs.field(factory=dict[str, str])
    trusted: bool = False
    distrust: str = ""
    certificates: tuple[Certificate, ...] = ()
    days_left: int | None = None


@attrs.define(kw_only=True)
class PortReport:
    """What is known of a port.

    Args:
        port: its number.
        protocol: what answers, as `Sniffed` has it; "nothing", if there was no connection.
        why: why there was no connection; "" if there was one.
        seconds: until the first octets came.
        first_line: what it says first.
        clear: before login, in clear; None: it was not asked in clear.
        secure: before login, over TLS; None: there is no TLS.
        tls: TLS; None: there is none.
        stls: STLS works; None: it was not tried.
        loopback: it is on this machine.
        implementation: which program it is; None: unknown.
        plan: the methods by which our client would log in with a password, the best first.
        left_out: those that it would not use, each with the reason.
    """

    port: int
    protocol: str = "nothing"
    why: str = ""
    seconds: float = 0.0
    first_line: str = ""
    clear: Opened | None = None
    secure: Opened | None = None
    tls: TlsReport | None = None
    stls: bool | None = None
    loopback: bool = False
    implementation: Implementation | None = None
    plan: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def speaks_pop3(self) -> bool:
        """Whether a POP3 server has greeted."""
        return any(
            opened is not None and (opened.greeting or "")[:3].upper() == "+OK" for opened in (self.clear, self.secure)
        )

    @property
    def mode(self) -> TlsMode:
        """How a client should connect: "implicit", "starttls" or "none"."""
        return self.tls.how if self.tls is not None else "none"


@attrs.define(kw_only=True)
class Report:
    """What a probe has found.

    Args:
        host: the server.
        ports: what is known of each port that was asked for.
        findings: all of them, the worst first.
        login_port: where there was a login; None: there was none.
        login_seconds: how long the login took.
        announced: what CAPA announces after login; None: nothing.
        mailbox: what is known of the maildrop; None: there was no login.
        told: what the slow questions and the deletion have shown, in words.
        checks: how many checks have passed, failed, were skipped; None: none were run.
        seconds: how long all of it took.
    """

    host: str
    ports: list[PortReport] = attrs.field(factory=list[PortReport])
    findings: tuple[Finding, ...] = ()
    login_port: int | None = None
    login_seconds: float | None = None
    announced: tuple[str, ...] | None = None
    mailbox: Mailbox | None = None
    told: list[str] = attrs.field(factory=list[str])
    checks: dict[str, int] | None = None
    seconds: float = 0.0

    @property
    def severity(self) -> Severity:
        """How bad the worst finding is; `UNREACHABLE` only if nothing was reached."""
        return max((finding.severity for finding in self.findings), default=Severity.NOTE)

    @property
    def status(self) -> int:
        """The exit status: 0 fine, 1 warnings, 2 broken, 3 not reached."""
        return int(self.severity)

    @property
    def verdict(self) -> str:
        """The verdict in a word or two, of `CONCLUSIONS`."""
        return CONCLUSIONS[self.severity]

    @property
    def quirks(self) -> frozenset[Quirk]:
        """The quirks that a client needs for this server, as far as the probe can tell: for `connect(quirks=...)`."""
        found = set(self.mailbox.quirks) if self.mailbox is not None else set[Quirk]()
        by_finding = {
            "bare-lf": Quirk.BARE_LF,
            "ok-as-challenge": Quirk.OK_AS_CHALLENGE,
            "unencoded-challenge": Quirk.UNENCODED_CHALLENGE,
        }
        return frozenset(
            found | {quirk for name, quirk in by_finding.items() if any(each.id == name for each in self.findings)}
        )
