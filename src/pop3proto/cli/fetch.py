"""`pop3proto fetch`: fetch new mail of an account into a Maildir."""

from __future__ import annotations

import math
import ssl
from argparse import ArgumentTypeError
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.tls import client_context
from pop3proto.blocking import connect
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import NO_QUIRKS, Limits, Quirk
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.core.text import counted
from pop3proto.fetching.account import Account
from pop3proto.fetching.download import Download, OutOfStep
from pop3proto.fetching.failures import FAILURE, USAGE, Failure, reason, warn
from pop3proto.fetching.inbox import Inbox
from pop3proto.fetching.plan import Plan
from pop3proto.sasl.credentials import Password, Token
from pop3proto.sasl.mechanism import MechanismError

from .passwd import ask_password, read_password, read_token
from .quirks import add_quirks_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pop3proto.blocking import Client
    from pop3proto.fetching.journal import FetchJournal, Identity
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.sasl.credentials import Credentials

__all__ = ["DESCRIPTION", "Access", "add_arguments", "run"]

_ABOUT_THE_TOKEN: Final = (None, ResponseCode.AUTH)
"""Response codes of a refusal that the token may have caused; other codes concern the maildrop or are temporary."""


@attrs.frozen(kw_only=True)
class Access:
    """The data needed to begin a session.

    Args:
        account: the account.
        credentials: the credentials to log in with.
        context: the SSL context.
        allow_cleartext: continue without TLS if the server refuses STLS.
        timeout: seconds that the server may send nothing.
        quirks: deviations of the server to tolerate.
    """

    account: Account
    credentials: Credentials
    context: ssl.SSLContext = attrs.field(repr=False)
    allow_cleartext: bool
    timeout: float
    quirks: frozenset[Quirk] = NO_QUIRKS

    def open(self) -> Client:
        """Connect and log in.

        Raises:
            Failure, Pop3Error: the connection or the login failed.
        """
        client = self._connect()
        try:
            self._log_in(client)
        except BaseException:
            client.close()
            raise
        return client

    def _connect(self) -> Client:
        """Connect; without TLS only if the server refuses STLS. A failed handshake is never followed by cleartext."""
        if self.account.tls != "starttls":
            return self._connect_by(self.account.tls)
        try:
            return self._connect_by("starttls")
        except CommandFailed as refusal:
            # Loopback addresses too: a tunnel to another machine may begin there.
            if not self.allow_cleartext:
                raise Failure(
                    f"{refusal}; without TLS, others on the network between here and {self.account.host} could read "
                    "password and mail: use a pops:// URL, or --allow-cleartext if you accept that"
                ) from refusal
        return self._connect_by("none")

    def _connect_by(self, tls: TlsMode) -> Client:
        return connect(
            self.account.host,
            self.account.port,
            tls=tls,
            context=self.context,
            cleartext="always" if self.allow_cleartext else "loopback",
            connect_timeout=self.timeout,
            timeout=self.timeout,
            limits=_LIMITS,
            quirks=self.quirks,
        )

    def _log_in(self, client: Client) -> None:
        way = self.account.way
        try:
            client.login(self.credentials, only=None if way is None else [way])
        except LoginFailed as failure:
            raise Failure(f"{failure}{self._more_about(failure)}") from failure

    def _more_about(self, failure: LoginFailed) -> str:
        if isinstance(cause := failure.__cause__, MechanismError | LocalProtocolError):
            return f": {cause}"  # the client gave up, not the server
        if isinstance(self.credentials, Token) and failure.code in _ABOUT_THE_TOKEN:
            return (
                "; check the token: it may have expired (one hour is usual), belong to another user, or not allow POP"
            )
        return ""


DESCRIPTION: Final = (
    "Fetch new mail into a Maildir. Messages that were fetched before are not fetched again. "
    "Mail is left on the server unless --delete is given."
)

_MAX_EARLY_ENDS: Final = 10
"""Messages that may end early before a fetch gives up: each one costs a session."""

_MAX_VANISHED: Final = 10
"""If no more messages than this were left on the server, it is plausible that all of them are gone now."""

_LIMITS: Final = Limits(least_rate=100)
"""A fetch runs unattended, and must come to an end although a server sends an octet now and then."""

_DAY: Final = 86_400
"""The longest timeout, in seconds: the system does not support timeouts of any length."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "url",
        metavar="URL",
        help="the account: pops://user@host[:port] (TLS from the start) or pop://user@host[:port] (TLS by STLS); add "
        ";AUTH=+APOP or ;AUTH= and a SASL mechanism after the user to log in by that method only",
    )
    parser.add_argument(
        "target",
        metavar="TARGET-MAILDIR",
        type=Path,
        help="the Maildir to store mail in; it is created if it does not exist",
    )
    secrets = parser.add_mutually_exclusive_group()
    secrets.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="file with the password in its first line; without it, you are asked for the password",
    )
    secrets.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with an OAuth access token in its first line, to use instead of a password (OAUTHBEARER, XOAUTH2)",
    )
    parser.add_argument(
        "--delete", action="store_true", help="delete messages on the server when they are safely stored in the Maildir"
    )
    parser.add_argument(
        "--allow-cleartext",
        action="store_true",
        help="with pop://, continue without TLS if the server has no STLS; others on the network can then read "
        "password and mail",
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="trust the certificate authorities in this file too (PEM)"
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="fetch all messages even if the unique ids of all messages have changed on the server",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="give up when the server sends nothing for this long (default: %(default)g)",
    )
    add_quirks_argument(parser, "the server")


def run(arguments: Namespace) -> int:
    """Run the command: fetch, with a new session after each message that ended early."""
    account = Account.of_url(arguments.url)
    access = Access(
        account=account,
        context=_context(arguments.ca_file),
        credentials=_credentials(account, arguments),
        allow_cleartext=arguments.allow_cleartext,
        timeout=arguments.timeout,
        quirks=arguments.quirks,
    )
    left_out: set[Identity] = set()
    before = 0
    with Inbox(arguments.target, account.key) as inbox:
        while True:
            with closing(access.open()) as client:
                plan = _plan(client, inbox, arguments, first=not left_out).without(left_out)
                download = Download(client, inbox, plan, before)
                try:
                    download.retrieve()
                    if arguments.delete:
                        download.delete()
                    download.finish()
                    break
                except OutOfStep as stop:
                    left_out |= _left_out(stop, download, plan, inbox.journal, full=len(left_out) >= _MAX_EARLY_ENDS)
                    before = download.fetched
    print(download.summary)
    return FAILURE if left_out else download.status


def _left_out(stop: OutOfStep, download: Download, plan: Plan, journal: FetchJournal, *, full: bool) -> set[Identity]:
    """Report a message that ended early; return the messages to leave out of the next session of this fetch.

    The session is lost, but the other messages can be fetched in a new one.

    Args:
        stop: names the message.
        download: the session that broke.
        plan: the plan of the session.
        journal: records the message, so that the next fetch tries it last.
        full: whether the limit of messages that ended early in this fetch is reached. Then, if this message had
            already ended early in an earlier fetch, all such messages are left out; otherwise the fetch fails.
    """
    identity = plan.wanted[stop.number]
    suspects = {each for each in plan.wanted.values() if each is not None and journal.is_suspect(each)}
    known = identity in suspects
    if identity is not None:
        journal.suspect(identity)
    if identity is None or (full and not known):
        raise Failure(f"{stop} ({download.summary} before this; nothing was deleted)") from stop
    warn(f"pop3proto fetch: {stop}")
    if not full:
        return {identity}
    if others := len(suspects) - 1:
        warn(f"pop3proto fetch: {counted(others, 'other message')} left on the server: ended early in an earlier fetch")
    return suspects


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _DAY:
        raise ArgumentTypeError(f"the timeout must be a number of seconds above 0, at most {_DAY:,} (a day)")
    return seconds


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = client_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            why = "it holds no certificates (PEM)" if isinstance(error, ssl.SSLError) else reason(error)
            raise Failure(f"cannot read certificate authorities from {ca_file}: {why}") from error
    return context


def _credentials(account: Account, arguments: Namespace) -> Credentials:
    if arguments.token_file is not None:
        if account.wants_token is False:
            raise Failure(f"{account.way} takes a password, not a token: use --password-file", USAGE)
        return Token(account.user, read_token(arguments.token_file))
    if account.wants_token:
        raise Failure(f"{account.way} takes a token, not a password: use --token-file", USAGE)
    password = read_password(arguments.password_file) if arguments.password_file else ask_password(str(account))
    return Password(account.user, password)


def _plan(client: Client, inbox: Inbox, arguments: Namespace, *, first: bool) -> Plan:
    plan = _plan_by_unique_ids(client, inbox) or _plan_without(client, delete=arguments.delete)
    if not first:
        return plan
    if not arguments.again:
        _check_for_new_unique_ids(plan, inbox)
    for note in plan.notes:
        warn(note)
    expire = client.capabilities.expire if client.capabilities is not None else None
    if plan.wanted and expire is not None and expire.days == 0:
        warn("note: this server may delete messages once they are fetched (it announces EXPIRE 0)")
    return plan


def _plan_by_unique_ids(client: Client, inbox: Inbox) -> Plan | None:
    try:
        listing = client.uidl()
    except CommandFailed:
        if client.capabilities is not None and client.capabilities.uidl:
            raise  # the server supports UIDL but cannot list the unique ids now
        return None
    for unique_id, numbers in listing.shared.items():
        inbox.journal.see(unique_id, len(numbers))
    return Plan.of_listing(listing, inbox.has, inbox.journal.is_suspect)


def _plan_without(client: Client, *, delete: bool) -> Plan:
    if not delete:
        raise Failure(
            "the server has no unique ids (UIDL), which are needed to know what was fetched before: "
            "use --delete, which fetches all messages and deletes them on the server"
        )
    return Plan.without_unique_ids(client.list())


def _check_for_new_unique_ids(plan: Plan, inbox: Inbox) -> None:
    """Stop if it looks as if all unique ids have changed; for example, after a server migration."""
    left = inbox.journal.left
    if not plan.here and left > _MAX_VANISHED and len(plan.wanted) >= left:
        raise Failure(
            f"the server has {counted(len(plan.wanted), 'message')}, but none of the {left:,} that the last fetch left "
            "there: its unique ids may have changed. Nothing was fetched; use --again to fetch all messages"
        )
