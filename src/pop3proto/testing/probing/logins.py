"""What needs a login: the maildrop, in several sessions. Nothing is changed by it."""

from __future__ import annotations

import math
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.blocking import connect
from pop3proto.core.errors import CertificateError, ConnectionLost, LocalProtocolError, Pop3Error, TimedOut
from pop3proto.core.limits import Quirk
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.replies import ResponseCode

from .deep import wait_idle
from .findings import Findings, Severity
from .mailbox import Mailbox, compare_with_capa, listings, sample_of
from .messages import burst, compare_sessions, fetch_all
from .talk import Talk

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection

    from pop3proto.blocking import Client
    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.sasl.credentials import Credentials

    from .connections import Connections
    from .report import PortReport, Report

__all__ = ["Logins"]

_QUIRKS: Final = frozenset(Quirk)
_AT_ONCE: Final = 1.0  # seconds in which a server may notice that a client has hung up
_FIRST_PAUSE: Final = 0.1  # seconds before a login is tried again that found the maildrop locked


@attrs.define(kw_only=True)
class Logins:
    """The sessions after login at one port. Each ends by a hang-up, so that nothing is deleted, hidden or moved.

    Args:
        connections: to it.
        findings: what is found.
        port: what is known of it.
        report: what becomes known.
        credentials: what to log in with.
        only: names of the methods that may be tried; None: all.
        password_encoding: as in `Client.login`.
        context: for TLS.
        cleartext: when passwords may be sent without verified TLS.
        messages: how many to fetch.
    """

    connections: Connections
    findings: Findings
    port: PortReport
    report: Report
    credentials: Credentials
    only: Collection[str] | None
    password_encoding: str | None
    context: ssl.SSLContext | None
    cleartext: Cleartext
    messages: int

    def run(self) -> bool:
        """Look at the maildrop; return whether there was a login."""
        begun = time.monotonic()
        try:
            client, _ = self._log_in_when_free()
        except Pop3Error as error:
            self._not_logged_in(error, time.monotonic() - begun)
            return False
        if refused := client.session.attempts:
            text = "The best login method that is offered was refused; another one worked."
            self.findings.add("login-detour", text, evidence="; ".join(map(str, refused)))
        report, mailbox = self.report, Mailbox()
        report.login_seconds = time.monotonic() - begun
        report.login_port, report.mailbox = self.port.port, mailbox
        with closing(client):
            self._look(client, mailbox)
        delay = client.capabilities.login_delay if client.capabilities is not None else None
        if delay is not None and delay.seconds:
            text = f"It wants {delay.seconds} seconds between two logins, so there was one only."
            self.findings.add("login-delay", text)
        else:
            self._look_again(mailbox)
        return True

    def wait_idle(self, seconds: float) -> str | None:
        """Wait until the server hangs up on a session that says nothing; return in words when it does."""
        with self.findings.failing("when nothing was said"):
            if (client := self.log_in_later()) is not None:
                with closing(client):
                    return client.perform(wait_idle(self.talk(), seconds, self.findings, logged_in=True))
        return None

    # Sessions.

    def talk(self) -> Talk:
        """Return a dialogue that begins behind the login of a client."""
        return Talk(self.connections.budget)

    def log_in(self) -> Client:
        """Return a client that has logged in.

        Raises:
            Pop3Error: it has not.
        """
        budget = self.connections.budget
        wait = max(min(budget.wait, budget.until - time.monotonic()), 0.001)
        client = connect(
            self.connections.host,
            self.connections.port,
            tls=self.port.mode,
            context=self.context,
            cleartext=self.cleartext,
            connect_timeout=wait,
            timeout=wait,
            quirks=_QUIRKS,
        )
        try:
            client.login(self.credentials, only=self.only, password_encoding=self.password_encoding)
        except BaseException:
            client.close()
            raise
        return client

    def log_in_later(self) -> Client | None:
        """As `log_in`, behind another session, which may keep the maildrop locked; None: it is refused, as is noted."""
        try:
            client, locked = self._log_in_when_free()
        except LoginFailed as refusal:
            text = "Another login, behind a session that has ended, is refused."
            self.findings.add("second-login-refused", text, evidence=refusal.reply.text)
            return None
        if locked > _AT_ONCE:
            text = "The maildrop stays locked for a while after a client has hung up."
            self.findings.add("lock-stays", text, evidence=f"{locked:.1f} seconds at least")
        return client

    def _log_in_when_free(self) -> tuple[Client, float]:
        """As `log_in`, and try again while the maildrop is locked; return the seconds from first to last refusal."""
        pause, first, locked = _FIRST_PAUSE, math.inf, 0.0
        while True:
            try:
                return self.log_in(), locked
            except LoginFailed as refusal:
                now = time.monotonic()
                first = min(first, now)
                locked = now - first
                if not _is_locked(refusal) or locked + pause > self.connections.budget.wait:
                    raise
            time.sleep(pause)
            pause *= 2

    def _not_logged_in(self, error: Pop3Error, seconds: float) -> None:
        if isinstance(error, LoginFailed):
            self._refused(error)
        elif isinstance(error, CertificateError):
            self.findings.add("login-not-tried", "The login was not tried, as the certificate is not trusted.")
        elif isinstance(error, LocalProtocolError):
            self.findings.add("login-not-tried", "The login was not tried.", evidence=str(error))
        elif isinstance(error, TimedOut) and seconds < 0.9 * self.connections.budget.wait:
            self.findings.add("failed", "The time was up before the login was answered.", evidence=str(error))
        else:
            self.findings.breaks_off("the login", error)

    def _refused(self, refusal: LoginFailed) -> None:
        code, evidence = refusal.code, str(refusal)
        if _is_locked(refusal):
            self.findings.add("maildrop-in-use", "The login is refused: the maildrop is locked.", evidence=evidence)
        elif code is not None and code.within(ResponseCode.LOGIN_DELAY):
            text = "The login is refused: it comes too soon behind another one."
            self.findings.add("logins-too-often", text, evidence=evidence)
        elif code is not None and code.within(ResponseCode.SYS):
            self.findings.add("back-end-fails", f"The login is refused: {code}.", evidence=evidence)
        elif isinstance(refusal.__cause__, ConnectionLost | TimedOut):
            self.findings.breaks_off("the login", refusal)
        else:
            self.findings.add("login-refused", "The login is refused.", evidence=evidence)

    # The maildrop.

    def _look(self, client: Client, mailbox: Mailbox) -> None:
        findings, talk, announced = self.findings, self.talk(), client.capabilities
        self.report.announced = None if announced is None else tuple(announced.lines())
        mailbox.quirks |= client.tolerated - {Quirk.NO_PIPELINING}
        with self.findings.failing("while the maildrop was looked at", talk):
            client.perform(listings(talk, announced, mailbox, findings))
            if not mailbox.sizes:
                findings.add("maildrop-empty", "The maildrop is empty, so no message could be looked at.")
            elif announced is not None and announced.expire is not None and announced.expire.days == 0:
                text = "No message was fetched: the server may delete what is fetched (EXPIRE 0)."
                findings.add("maildrop-expires", text)
            else:
                client.perform(fetch_all(talk, sample_of(mailbox.sizes, self.messages), mailbox, findings))
            compare_with_capa(announced, mailbox, findings)
            if announced is None or announced.login_delay is None or not announced.login_delay.seconds:
                self._try_lock(mailbox)
            pipelining = announced is not None and announced.pipelining
            client.perform(burst(talk, mailbox, findings, announced=pipelining))

    def _try_lock(self, mailbox: Mailbox) -> None:
        """Log in while another session is open."""
        try:
            self.log_in().close()
        except LoginFailed as refusal:
            mailbox.lock = "exclusive"
            if refusal.code is None or not refusal.code.within(ResponseCode.IN_USE):
                announced = self.report.announced is not None and "RESP-CODES" in self.report.announced
                self.findings.add(
                    "lock-without-code",
                    "A second login at the same time is refused without the code [IN-USE].",
                    evidence=refusal.reply.text,
                    severity=Severity.WARNING if announced else None,
                )
        except Pop3Error as error:
            self.findings.add("failed", "A second connection failed while the first was open.", evidence=str(error))
        else:
            mailbox.lock = "shared"

    def _look_again(self, mailbox: Mailbox) -> None:
        """Compare the unique ids with those of another session."""
        again = Mailbox()
        with self.findings.failing("in another session"):
            if (client := self.log_in_later()) is None:
                return
            with closing(client):
                talk = self.talk()
                client.perform(listings(talk, client.capabilities, again, Findings()))
                client.perform(compare_sessions(talk, mailbox, again, self.findings))


def _is_locked(refusal: LoginFailed) -> bool:
    return ResponseCode.IN_USE in {refusal.code, refusal.guessed_code}
