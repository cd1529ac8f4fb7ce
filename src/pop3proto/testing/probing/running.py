"""A probe from its beginning to its end: which questions are asked over which connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.procedures.cleartext import check_cleartext, check_port, default_port, may_show_password
from pop3proto.testing.masking import Secrets

from .catalogue import ANSWERS
from .connections import Connections, budget_of
from .deletion import delete_test_message
from .findings import Findings, Severity
from .logins import Logins
from .masking import mask
from .ports import PortProbe
from .report import PortReport, Report

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection

    from pop3proto.procedures.cleartext import Cleartext, TlsMode
    from pop3proto.sasl.credentials import Credentials

    from .findings import Finding

__all__ = ["ASIDE", "IDLE", "probe"]

IDLE: Final = 620.0
"""Seconds of silence that `deep` waits for: a little more than RFC 1939 section 3 wants."""

_WAIT: Final = 10.0
"""The most seconds for one answer."""
_STANDARD: Final[tuple[tuple[int, TlsMode], ...]] = ((995, "implicit"), (110, "starttls"))
_WITH_TLS: Final = frozenset({"implicit", "starttls"})
ASIDE: Final = 60.0
"""Seconds that the other slow questions of `deep` may take."""


def probe(  # noqa: PLR0913 - each has its default, and a name
    host: str,
    port: int | None = None,
    *,
    tls: TlsMode | None = None,
    context: ssl.SSLContext | None = None,
    credentials: Credentials | None = None,
    only: Collection[str] | None = None,
    password_encoding: str | None = None,
    cleartext: Cleartext = "loopback",
    timeout: float = 30,
    messages: int = 10,
    days: int = 14,
    checks: bool = False,
    deep: bool = False,
    idle: float = IDLE,
    destructive: bool = False,
    deliver: Callable[[bytes], object] | None = None,
) -> Report:
    """Find out what a server can do, by trying it, and what is wrong with it.

    It blocks. Without `destructive` it deletes nothing, and each session after login ends by a hang-up, so that a
    server does not hide what was fetched either.

    Args:
        host: its name or address.
        port: None: 995 and 110, or that of `tls`.
        tls: what is expected: "implicit", "starttls" or "none"; None: whatever answers is right.
        context: for TLS; it decides whether the certificate is trusted. None: that of a client.
        credentials: what to log in with; None: there is no login.
        only: names of the login methods that may be tried; None: all.
        password_encoding: as in `Client.login`.
        cleartext: when passwords and tokens may be sent without verified TLS.
        timeout: seconds for all of it, without what `checks` and `deep` add; one answer is waited for at most a third
            of that, or 10 seconds.
        messages: how many messages are fetched at most.
        days: of fewer days left of the certificate is warned.
        checks: run the conformance checks, too: they need many connections and logins, some with a wrong password. None
            of them deletes, not even with `destructive`.
        deep: ask what takes long: bad commands, long lines, and a silence of `idle` seconds.
        idle: see `deep`; 0: leave that out.
        destructive: delete a message; for that it needs credentials, and a message with the subject "pop3proto probe".
        deliver: puts a message with CRLF line ends into the maildrop, for `destructive`; None: it is there already.

    Returns:
        The report; also if nothing was reached.

    Raises:
        ValueError: there is no such port, `tls` or `cleartext`; or an argument needs credentials, and there are none.
    """
    begun = time.monotonic()
    check_cleartext(cleartext)
    if destructive and credentials is None:
        raise ValueError("destructive needs credentials: those of a test account")
    if timeout <= 0:
        raise ValueError("timeout must be above 0")
    run = _Run(host, Report(host=host), timeout, context, cleartext, days)
    run.ask_ports(_ports(port, tls), share=0.6 if credentials is not None else 1)
    best = run.best
    if best is not None:
        logins = None
        if credentials is not None:
            connections, findings = run.connections(best.port, timeout), run.findings[best.port]
            logins = Logins(
                connections=connections,
                findings=findings,
                port=best,
                report=run.report,
                credentials=credentials,
                only=only,
                password_encoding=password_encoding,
                context=context,
                cleartext=cleartext,
                messages=messages,
            )
            if not run.may_log_in(best, tls) or not logins.run():
                logins = None
            if destructive and logins is not None:
                run.delete(logins, deliver)
            run.note_time(connections)
        if checks:
            run.check(best, credentials if logins is not None else None, slow=deep)
        if deep:
            run.look_deeper(best, logins, idle)
    run.conclude()
    if credentials is not None:
        mask(run.report, Secrets(credentials, password_encoding))
    run.report.seconds = time.monotonic() - begun
    return run.report


def _ports(port: int | None, tls: TlsMode | None) -> tuple[tuple[int, TlsMode | None], ...]:
    if port is not None:
        if tls is not None:
            default_port(tls)
        return ((check_port(port, least=1), tls),)
    return ((default_port(tls), tls),) if tls is not None else _STANDARD


@attrs.define
class _Run:
    """A probe that is under way."""

    host: str
    report: Report
    timeout: float
    context: ssl.SSLContext | None
    cleartext: Cleartext
    days: int
    findings: dict[int, Findings] = attrs.field(factory=dict[int, Findings])
    probes: dict[int, PortProbe] = attrs.field(factory=dict[int, PortProbe])
    begun: float = attrs.field(factory=time.monotonic)

    def connections(self, port: int, seconds: float) -> Connections:
        """Return the connections to a port, for so many seconds since the probe began."""
        left = seconds - (time.monotonic() - self.begun)
        return Connections(self.host, port, budget_of(min(_WAIT, self.timeout / 3), left))

    def ask_ports(self, ports: tuple[tuple[int, TlsMode | None], ...], *, share: float) -> None:
        """Ask each port what can be asked before login, within a share of the time."""
        for index, (port, expected) in enumerate(ports, 1):
            connections = self.connections(port, self.timeout * share * index / len(ports))
            findings = self.findings[port] = Findings(port)
            known = PortReport(port=port)
            self.report.ports.append(known)
            one = PortProbe(connections, findings, expected, self.context, self.cleartext, self.days, known)
            self.probes[port] = one
            one.run()
            if known.protocol != "nothing":
                self.note_time(connections)

    def note_time(self, connections: Connections) -> None:
        """Note if the time was up."""
        if connections.budget.until <= time.monotonic():
            self.findings[connections.port].add("time-up", "The time was up before all was asked.")

    @property
    def best(self) -> PortReport | None:
        """The port to log in at: with trusted TLS, if there is one; None: there is no POP3 server."""
        serving = [port for port in self.report.ports if port.speaks_pop3]
        return max(
            serving, key=lambda port: (port.tls is not None and port.tls.trusted, port.tls is not None), default=None
        )

    def may_log_in(self, port: PortReport, asked: TlsMode | None) -> bool:
        """Return whether there may be a login, by any method: mail is as secret as the password; note if not.

        Args:
            port: where.
            asked: where TLS was asked for.
        """
        if port.tls is None and asked in _WITH_TLS:
            why = "TLS was asked for, and there is none"
        elif not may_show_password(
            self.cleartext, tls=port.tls is not None and port.tls.trusted, loopback=port.loopback
        ):
            why = "there is no TLS" if port.tls is None else "the certificate is not trusted"
        else:
            return True
        self.findings[port.port].add("login-not-tried", f"The login was not tried: {why}.")
        return False

    def look_deeper(self, port: PortReport, logins: Logins | None, idle: float) -> None:
        """Ask what takes long."""
        one = self.probes[port.port]
        budget = budget_of(one.connections.budget.wait, ASIDE + idle)
        one.connections = attrs.evolve(one.connections, budget=budget)
        self.report.told += one.look_deeper(0 if logins is not None else idle)
        if logins is not None and idle:
            logins.connections = one.connections
            if told := logins.wait_idle(idle):
                self.report.told.append(told)

    def delete(self, logins: Logins, deliver: Callable[[bytes], object] | None) -> None:
        """Delete the test message."""
        with logins.findings.failing("while a message was deleted"):
            if told := delete_test_message(logins, logins.findings, deliver):
                self.report.told.append(told)

    def check(self, port: PortReport, credentials: Credentials | None, *, slow: bool) -> None:
        """Run the conformance checks. They have no leave to delete: those that need it delete any message."""
        from pop3proto.testing.checks import CHECKS, Target, run_checks  # noqa: PLC0415 - most probes do without

        from .conformance import add_outcomes  # noqa: PLC0415 - as above

        target = Target(
            self.host,
            port.port,
            tls=port.mode,
            context=self.context,
            credentials=credentials,
            cleartext=self.cleartext,
            timeout=min(_WAIT, self.timeout / 3),
            slow=slow,
        )
        self.report.checks = add_outcomes(run_checks(target, CHECKS), self.findings[port.port])

    def conclude(self) -> None:
        """Judge the ports together, and put the worst findings first."""
        reached = [port for port in self.report.ports if port.protocol != "nothing"]
        if not reached:
            ports = self.report.ports
            which = " or ".join(str(port.port) for port in ports)
            self.findings[ports[0].port].add(
                "not-reached", f"There is no connection to port {which}.", evidence=ports[0].why
            )
        for port in self.report.ports:
            if port in reached or not reached:
                continue
            findings = self.findings[port.port]
            if port.port == default_port("implicit"):
                text = "Port 995 is not reached: there is no TLS from the start."
                findings.add("port-closed", text, evidence=port.why, severity=Severity.WARNING)
            else:
                findings.add("port-closed", f"Port {port.port} is not reached, which is fine.", evidence=port.why)
        found = [finding for findings in self.findings.values() for finding in findings.found]
        self.report.findings = tuple(sorted(found, key=_rank))


def _rank(finding: Finding) -> tuple[int, bool, bool]:
    """Return the place of a finding: the worst first; of those that are as bad, what tells least comes last."""
    return -finding.severity, finding.id not in ANSWERS, finding.id == "time-up"
