"""`pop3proto fetch`: fetch new mail of an account into a Maildir."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.refusals import CommandFailed
from pop3proto.core.text import counted
from pop3proto.fetching.account import Account
from pop3proto.fetching.download import Download, OutOfStep
from pop3proto.fetching.failures import FAILURE, Failure, cannot, warn
from pop3proto.fetching.inbox import Inbox
from pop3proto.fetching.plan import Plan

from .access import Access
from .accounts import add_config_arguments, check_configuration
from .connecting import add_ca_file_argument, add_secret_arguments, context_of, credentials_of, seconds_argument
from .paths import path_argument
from .quirks import add_quirks_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from pop3proto.blocking import Client
    from pop3proto.fetching.journal import FetchJournal, Identity

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Fetch new mail into a Maildir. Messages that were fetched before are not fetched again. "
    "Mail is left on the server unless --delete is given."
)

_MAX_EARLY_ENDS: Final = 10
"""Messages that may end early before a fetch gives up: each one costs a session."""

_MAX_VANISHED: Final = 10
"""If no more messages than this were left on the server, it is plausible that all of them are gone now."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help="the account: pops://user@host[:port] (TLS from the start) or pop://user@host[:port] (TLS by STLS); add "
        ";AUTH=+APOP or ;AUTH= and a SASL mechanism after the user to log in by that method only",
    )
    parser.add_argument(
        "target",
        metavar="TARGET-MAILDIR",
        nargs="?",
        type=path_argument,
        help="the Maildir to store mail in; it is created if it does not exist",
    )
    parser.set_defaults(usage_error=parser.error)
    add_config_arguments(parser)
    add_secret_arguments(parser)
    parser.add_argument(
        "--delete", action="store_true", help="delete messages on the server when they are safely stored in the Maildir"
    )
    parser.add_argument(
        "--allow-cleartext",
        action="store_true",
        help="with pop://, continue without TLS if the server has no STLS; others on the network can then read "
        "password and mail",
    )
    add_ca_file_argument(parser)
    parser.add_argument(
        "--again",
        action="store_true",
        help="fetch all messages even if the unique ids of all messages have changed on the server",
    )
    parser.add_argument(
        "--timeout",
        type=seconds_argument,
        default=60.0,
        metavar="SECONDS",
        help="give up when the server sends nothing for this long (default: %(default)g)",
    )
    add_quirks_argument(parser, "the server")


def run(arguments: Namespace) -> int:
    """Run the command: fetch, or check the configuration."""
    if arguments.check_config:
        return check_configuration(arguments.config)
    if arguments.url is None or arguments.target is None:
        arguments.usage_error("the following arguments are required: URL, TARGET-MAILDIR")
    return _run(arguments)


def _run(arguments: Namespace) -> int:
    url: str = arguments.url
    account = Account.of_url(url)
    access = Access(
        account=account,
        context=context_of(arguments.ca_file),
        credentials=credentials_of(account, arguments),
        allow_cleartext=arguments.allow_cleartext,
        timeout=arguments.timeout,
        quirks=arguments.quirks,
        password_encoding=arguments.password_encoding,
    )
    target: Path = arguments.target
    try:
        with Inbox(target, account.key) as inbox:
            status, summary = _fetch(access, inbox, arguments)
    except OSError as error:
        raise Failure(cannot("fetch into", target, error)) from error
    print(summary)
    return status


def _fetch(access: Access, inbox: Inbox, arguments: Namespace) -> tuple[int, str]:
    """Fetch, with a new session after each message that ended early; return the exit status and what was done."""
    left_out: set[Identity] = set()
    before = 0
    while True:
        with access.session() as client:
            plan = _plan(client, inbox, arguments, first=not left_out).without(left_out)
            download = Download(client, inbox, plan, access.account.server, before)
            try:
                download.retrieve()
                if arguments.delete:
                    download.delete()
                download.finish()
            except OutOfStep as stop:
                left_out |= _left_out(stop, download, plan, inbox.journal, full=len(left_out) >= _MAX_EARLY_ENDS)
                before = download.fetched
            else:
                return FAILURE if left_out else download.status, download.summary


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
