"""`pop3proto fetch`: new mail of an account into a Maildir."""

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

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pop3proto.blocking import Client
    from pop3proto.fetching.journal import FetchJournal, Identity
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.sasl.credentials import Credentials

__all__ = ["DESCRIPTION", "HELP", "Access", "add_arguments", "run"]

_ABOUT_THE_TOKEN: Final = (None, ResponseCode.AUTH)
"""Codes of a refusal that may be the token's fault; the others are about the maildrop, or pass by waiting."""


@attrs.frozen(kw_only=True)
class Access:
    """All that it takes to begin a session.

    Args:
        account: whose mail, and where.
        credentials: what to log in with.
        context: for TLS.
        allow_cleartext: a server without STLS is no hindrance.
        timeout: seconds that the server may stay silent.
    """

    account: Account
    credentials: Credentials
    context: ssl.SSLContext = attrs.field(repr=False)
    allow_cleartext: bool
    timeout: float

    def open(self) -> Client:
        """Return a client that is logged in.

        Raises:
            Failure, Pop3Error: there is none to be had.
        """
        client = self._connect()
        try:
            self._log_in(client)
        except BaseException:
            client.close()
            raise
        return client

    def _connect(self) -> Client:
        """Connect; in clear only if the server refuses STLS. A handshake that fails is a failure, not a refusal."""
        if self.account.tls != "starttls":
            return self._connect_by(self.account.tls)
        try:
            return self._connect_by("starttls")
        except CommandFailed as refusal:
            # Addresses of this machine are no exception: a tunnel to another may begin here.
            if not self.allow_cleartext:
                raise Failure(
                    f"{refusal}; without TLS everybody on the way to {self.account.host} could read password and mail: "
                    "use pops://, or allow that with --allow-cleartext"
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
        )

    def _log_in(self, client: Client) -> None:
        way = self.account.way
        try:
            client.login(self.credentials, only=None if way is None else [way])
        except LoginFailed as failure:
            raise Failure(f"{failure}{self._more_about(failure)}") from failure

    def _more_about(self, failure: LoginFailed) -> str:
        if isinstance(cause := failure.__cause__, MechanismError | LocalProtocolError):
            return f": {cause}"  # it was we who gave up
        if isinstance(self.credentials, Token) and failure.code in _ABOUT_THE_TOKEN:
            return "; if it is the token: it may be too old (an hour is usual), another user's, or not meant for POP"
        return ""


HELP: Final = "fetch mail into a Maildir"
DESCRIPTION: Final = (
    "Fetch mail into a Maildir. It is left on the server unless --delete is given; "
    "what was fetched before is not fetched again."
)

_OUT_OF_STEP: Final = 10
"""Messages that may end early before a fetch gives up: each costs a session."""

_FEW: Final = 10
"""Messages on a server that may all be replaced by others between two fetches without anything being odd."""

_DAY: Final = 86_400
"""The longest timeout, in seconds: the system's clocks do not take every number."""


def add_arguments(parser: ArgumentParser) -> None:
    """Say what this command takes."""
    parser.add_argument(
        "url",
        metavar="URL",
        help="pops://user@host[:port] (TLS), or pop://user@host[:port] (TLS by STLS); behind the user may stand "
        ";AUTH= and the one way to log in: +APOP, or a SASL mechanism",
    )
    parser.add_argument(
        "target", metavar="TARGET-MAILDIR", type=Path, help="where to; it is created if it is not there"
    )
    secrets = parser.add_mutually_exclusive_group()
    secrets.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="its first line is the password; without this option it is asked for on the terminal",
    )
    secrets.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="its first line is an OAuth access token, to log in with (OAUTHBEARER, XOAUTH2) in place of a password",
    )
    parser.add_argument("--delete", action="store_true", help="delete on the server what is safely stored here")
    parser.add_argument(
        "--allow-cleartext",
        action="store_true",
        help="with pop://, go on without TLS if the server has no STLS: others may read password and mail",
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="trust the authorities in this file too (PEM)")
    parser.add_argument(
        "--again", action="store_true", help="fetch everything even if the server has given all mail new unique ids"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long the server may stay silent (default: %(default)g)",
    )


def run(arguments: Namespace) -> int:
    """Fetch."""
    account = Account.of_url(arguments.url)
    access = Access(
        account=account,
        context=_context(arguments.ca_file),
        credentials=_credentials(account, arguments),
        allow_cleartext=arguments.allow_cleartext,
        timeout=arguments.timeout,
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
                    left_out |= _left_out(stop, download, plan, inbox.record, full=len(left_out) >= _OUT_OF_STEP)
                    before = download.fetched
    print(download.summary)
    return FAILURE if left_out else download.status


def _left_out(stop: OutOfStep, download: Download, plan: Plan, record: FetchJournal, *, full: bool) -> set[Identity]:
    """Tell of a message that ended early, and return what to leave: the answers are lost, the other mail is not.

    Args:
        stop: says which it was.
        download: the session.
        plan: what it was to do.
        record: there it is noted, for the next fetch to take it last.
        full: as many as are bearable ended early before it. If it is one of those that come last, all of them are
            left, and the rest is finished; else there is no end in sight.
    """
    identity = plan.wanted[stop.number]
    hopeless = {each for each in plan.wanted.values() if each is not None and record.is_suspect(each)}
    known = identity in hopeless
    if identity is not None:
        record.suspect(identity)
    if identity is None or (full and not known):
        raise Failure(f"{stop} ({download.summary} before that; nothing was deleted)") from stop
    warn(f"pop3proto fetch: {stop}")
    if not full:
        return {identity}
    if others := len(hopeless) - 1:
        warn(f"pop3proto fetch: left on the server: {counted(others, 'other message')} that ended early before")
    return hopeless


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _DAY:
        raise ArgumentTypeError(f"a timeout is a number of seconds, at most {_DAY:,} (a day)")
    return seconds


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = client_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            why = "it holds no certificates" if isinstance(error, ssl.SSLError) else reason(error)
            raise Failure(f"cannot use the authorities in {ca_file}: {why}") from error
    return context


def _credentials(account: Account, arguments: Namespace) -> Credentials:
    if arguments.token_file is not None:
        if account.wants_token is False:
            raise Failure(f"{account.way} takes a password, no token: use --password-file", USAGE)
        return Token(account.user, read_token(arguments.token_file))
    if account.wants_token:
        raise Failure(f"{account.way} takes a token, no password: use --token-file", USAGE)
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
        warn("note: this server may delete what is fetched (it announces EXPIRE 0)")
    return plan


def _plan_by_unique_ids(client: Client, inbox: Inbox) -> Plan | None:
    try:
        listing = client.uidl()
    except CommandFailed:
        if client.capabilities is not None and client.capabilities.uidl:
            raise  # it has them, and cannot tell them now
        return None
    for unique_id, numbers in listing.shared.items():
        inbox.record.see(unique_id, len(numbers))
    return Plan.of_listing(listing, inbox.has, inbox.record.is_suspect)


def _plan_without(client: Client, *, delete: bool) -> Plan:
    if not delete:
        raise Failure(
            "the server has no unique ids (UIDL), by which mail that was fetched before is known: "
            "it can only be fetched with --delete"
        )
    return Plan.without_unique_ids(client.list())


def _check_for_new_unique_ids(plan: Plan, inbox: Inbox) -> None:
    """Stop if it looks as if the server has renamed all mail, by a move to another machine, say."""
    left = inbox.record.left
    if not plan.here and left > _FEW and len(plan.wanted) >= left:
        raise Failure(
            f"the server has {counted(len(plan.wanted), 'message')}, and not one of the {left:,} that the last fetch "
            "left there: unique ids may have changed. Nothing was fetched; --again fetches all of it"
        )
