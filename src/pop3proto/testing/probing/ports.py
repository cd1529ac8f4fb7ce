"""One port: what answers, TLS and its certificate, and what is asked before login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import ConnectionLost, Pop3Error, TimedOut
from pop3proto.procedures.client.login_plan import LoginContext, plan_login
from pop3proto.sasl.channel import ChannelBinding, TlsInfo
from pop3proto.sasl.credentials import Password

from .before_login import (
    Opened,
    ask_capabilities,
    get_greeting,
    inject_behind_stls,
    say_goodbye,
    try_extensions,
    try_sasl,
)
from .deep import count_bad_commands, try_long_line, wait_idle
from .findings import Severity
from .handshakes import TlsProbe, begin, handshake
from .implementations import implementation_of
from .sniffing import sniff
from .talk import Talk

if TYPE_CHECKING:
    import ssl

    from pop3proto.procedures.cleartext import Cleartext, TlsMode

    from .connections import Connections
    from .findings import Findings
    from .report import PortReport, TlsReport

__all__ = ["PortProbe"]

_NOT_TRIED: Final = {"EXTERNAL"}
"""Mechanisms that a server rightly refuses to a client without a certificate."""
_MECHANISMS: Final = 20
"""How many mechanisms are tried."""
_HANG_UPS: Final = 3
"""After so many the server may count the client among attackers: no more mechanisms are tried."""
_LINES: Final = (255, 1_000, 10_000, 100_000)
"""Octets of the long lines that `look_deeper` sends."""
_REGISTERED: Final[dict[int, TlsMode]] = {995: "implicit", 110: "starttls"}


@attrs.define
class PortProbe:
    """The probe of one port.

    Args:
        connections: to it.
        findings: what is found.
        expected: where TLS should begin; None: nothing is expected, unless the port is a registered one.
        context: the caller's TLS context, which decides about trust; None: the system's authorities do.
        cleartext: the policy of the client whose login plan is told.
        days: of fewer days left of a certificate is warned.
        report: what becomes known.
    """

    connections: Connections
    findings: Findings
    expected: TlsMode | None
    context: ssl.SSLContext | None
    cleartext: Cleartext
    days: int
    report: PortReport

    def run(self) -> None:
        """Ask all that can be asked before login."""
        if not self._sniff():
            return
        if self.report.protocol == "POP3":
            self._talk_in_clear()
        if self.report.protocol == "TLS" or self.report.stls:
            self._look_at_tls()
        if self.report.tls is not None:
            self._talk_over_tls(self.report.tls)
        if self.report.stls:
            self._inject()
        if self.report.speaks_pop3:
            self._conclude()

    # What answers.

    def _sniff(self) -> bool:
        report, connections = self.report, self.connections
        expected = self.expected or _REGISTERED.get(report.port)
        try:
            with connections.open() as connection:
                report.loopback = connection.stream.peer.loopback
                hello = connections.hello()
                sniffed = connection.perform(sniff(connections.budget, hello, hello_first=expected == "implicit"))
        except (ConnectionLost, TimedOut) as error:
            report.why = str(error)
            return False
        report.protocol, report.first_line, report.seconds = sniffed.protocol, sniffed.first_line, sniffed.seconds
        where = f"Port {report.port}"
        match sniffed.protocol:
            case "POP3":
                if expected == "implicit":
                    text = f"{where} begins in clear, where TLS was expected."
                    self.findings.add("clear-where-tls", text, evidence=sniffed.first_line)
                return True
            case "TLS":
                report.first_line = ""
                if expected in {"starttls", "none"}:
                    text = f"{where} begins with TLS, where clear text was expected."
                    self.findings.add("tls-where-clear", text)
                return True
            case "silent":
                text = f"{where} takes the connection and says nothing, neither in clear nor to a TLS handshake."
                self.findings.add("silent", text)
            case "closed":
                self.findings.add("hangs-up", f"{where} takes the connection and closes it without a word.")
            case "other":
                text = f"{where} is not a POP3 server: it speaks an unknown protocol."
                self.findings.add("wrong-protocol", text, evidence=sniffed.first_line)
            case name:
                text = f"{where} speaks {name}, not POP3."
                self.findings.add("wrong-protocol", text, evidence=sniffed.first_line)
        return False

    # In clear.

    def _talk_in_clear(self) -> None:
        report = self.report
        opened = report.clear = Opened()
        talk = self._talk()
        with self.findings.failing("in clear before login", talk), self.connections.open() as connection:
            if not connection.perform(get_greeting(talk, opened, self.findings)):
                return
            connection.perform(ask_capabilities(talk, opened, self.findings))
            connection.perform(try_extensions(talk, opened, self.findings))
            connection.perform(say_goodbye(talk))
        self._try_mechanisms(opened, "none")
        announced = opened.capabilities is not None and opened.capabilities.stls
        talk = self._talk()
        with self.findings.failing("at STLS", talk), self.connections.open() as connection:
            connection.perform(talk.hear())
            said = connection.perform(talk.ask("STLS"))
            report.stls = said.positive
            if announced and not said.positive:
                self.findings.add("stls-refused", "STLS is announced, and refused.", evidence=said.text)
            elif said.positive and not announced:
                self.findings.add("stls-unannounced", "STLS works, and is not announced.")

    # Over TLS.

    def _look_at_tls(self) -> None:
        how: TlsMode = "starttls" if self.report.stls else "implicit"
        self.report.tls = TlsProbe(self.connections, self.findings, how, self.context, self.days).run()

    def _talk_over_tls(self, tls: TlsReport) -> None:
        opened = self.report.secure = Opened()
        talk = self._talk()
        with self.findings.failing("over TLS before login", talk), self.connections.open() as connection:
            connection.perform(handshake(talk, tls.how, self.findings))
            if tls.how == "implicit" and not connection.perform(get_greeting(talk, opened, self.findings)):
                return
            connection.perform(ask_capabilities(talk, opened, self.findings))
            connection.perform(try_extensions(talk, opened, self.findings))
            connection.perform(say_goodbye(talk))
        self._try_mechanisms(opened, tls.how)

    def _inject(self) -> None:
        with self.findings.failing("when octets were sent behind STLS"), self.connections.open() as connection:
            talk = self._talk()
            connection.perform(talk.hear())
            connection.perform(inject_behind_stls(talk, self.findings))

    # Both.

    def _try_mechanisms(self, opened: Opened, how: str) -> None:
        announced = () if opened.capabilities is None else opened.capabilities.sasl
        names = [name for name in announced if name not in _NOT_TRIED][:_MECHANISMS]
        hung_up = 0
        while hung_up < _HANG_UPS and (left := [name for name in names if name not in opened.mechanisms]):
            before = len(opened.mechanisms)
            try:
                with self.connections.open() as connection:
                    talk = self._talk()
                    connection.perform(begin(talk, how, self.findings))
                    connection.perform(try_sasl(talk, left, opened, self.findings))
            except TimedOut as error:
                self.findings.add("failed", "It does not answer while mechanisms are tried.", evidence=str(error))
                return
            except Pop3Error:
                if len(opened.mechanisms) == before:
                    opened.mechanisms[left[0]] = "hangs up"
                    hung_up += 1
        if wrong := [name for name, result in opened.mechanisms.items() if result != "works"]:
            text = f"Mechanisms that are announced, and fail when tried: {', '.join(wrong)}."
            self.findings.add("mechanism-fails", text)

    def _talk(self) -> Talk:
        return Talk(self.connections.budget)

    def _conclude(self) -> None:
        report = self.report
        here = report.secure or report.clear or Opened()
        announced = here.capabilities
        report.implementation = implementation_of(
            (report.clear or here).greeting or "", announced.implementation if announced is not None else None
        )
        unencrypted = Severity.NOTE if report.loopback else None
        if report.tls is None and report.stls is False:
            severity = Severity.BROKEN if self.expected in {"implicit", "starttls"} else unencrypted
            self.findings.add("no-tls", "There is no TLS on this port, not even by STLS.", severity=severity)
        if report.clear is not None and (ways := _shown_in_clear(report.clear)):
            text = f"Before TLS it offers logins that show the password: {', '.join(ways)}."
            self.findings.add("password-in-clear", text, severity=unencrypted)
        tls = (
            None
            if report.tls is None
            else TlsInfo(report.tls.version, report.tls.trusted, bindings=_bindings(report.tls))
        )
        plan = plan_login(
            Password("user", "password"),
            LoginContext(
                capabilities=announced,
                asked=True,
                timestamp=here.timestamp,
                tls=tls,
                loopback=report.loopback,
                cleartext=self.cleartext,
            ),
        )
        report.plan = tuple(step.name for step in plan.steps)
        report.left_out = plan.left_out
        if not report.plan and (report.loopback if report.tls is None else report.tls.trusted):
            text = "With a password our client finds no way to log in."
            self.findings.add("no-way-to-log-in", text, evidence=plan.objections)

    def look_deeper(self, idle: float) -> list[str]:
        """Ask what takes long before login; return in words what came of it."""
        how, told = self.report.mode, list[str]()
        with self.findings.failing("when bad commands were sent"), self.connections.open() as connection:
            talk = self._talk()
            connection.perform(begin(talk, how, self.findings))
            told.append(connection.perform(count_bad_commands(talk, self.findings)))
        for octets in _LINES:
            with self.findings.failing("when long lines were sent"), self.connections.open() as connection:
                talk = self._talk()
                connection.perform(begin(talk, how, self.findings))
                told.append(connection.perform(try_long_line(talk, octets, self.findings)))
        if idle:
            with self.findings.failing("when nothing was said"), self.connections.open() as connection:
                talk = self._talk()
                connection.perform(begin(talk, how, self.findings))
                told.append(connection.perform(wait_idle(talk, idle, self.findings, logged_in=False)))
        return told


def _shown_in_clear(opened: Opened) -> list[str]:
    announced = opened.capabilities
    if announced is None:
        return []
    ways = ["USER"] if announced.user else []
    return ways + [name for name in announced.sasl if name in {"PLAIN", "LOGIN"}]


def _bindings(tls: TlsReport) -> tuple[ChannelBinding, ...]:
    """Return a channel binding in place of the one that a client would find."""
    return (ChannelBinding("tls-server-end-point", b"-"),) if tls.certificates else ()
