"""The arguments of `pop3proto fetch`, and the accounts and policies that they stand for."""

from __future__ import annotations

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from pop3proto._config.units import parse_octets, parse_seconds

from .accounts import account_failures, add_config_argument
from .connecting import add_ca_file_argument, add_certificate_arguments, add_secret_arguments, seconds_argument
from .exit_statuses import epilog
from .failures import USAGE, Failure
from .fetch_url import OPTIONS, account_of_url
from .paths import TakesArguments, path_argument
from .quirks import add_quirks_argument
from .several import JOBS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from pop3proto.fetching.accounts.account import Account
    from pop3proto.fetching.policy import Policy

__all__ = ["DESCRIPTION", "add_arguments", "add_connection_arguments", "chosen_accounts", "policy_of"]

DESCRIPTION = (
    "Fetch new mail, and nothing twice. Mail is left on the server unless an option\n"
    "says to delete it, and nothing is deleted that was not stored."
)

T = TypeVar("T")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.usage = "%(prog)s [OPTION ...] [ACCOUNT ...]\n       %(prog)s [OPTION ...] URL TARGET"
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = epilog()
    parser.add_argument(
        "words",
        nargs="*",
        metavar="ACCOUNT | URL TARGET",
        help="ACCOUNT: names of accounts in the configuration file; without any, all of them.\n\n"
        "URL: pops://user@host[:port] (TLS from the start) or pop://user@host[:port] (TLS by STLS); add "
        ";AUTH=+APOP or ;AUTH= and a SASL mechanism after the user to log in by that method only.\n\n"
        "TARGET: a Maildir, which is created if it does not exist; mbox:FILE; files:FOLDER (one .eml file for each "
        "message); program:'COMMAND ARG ...' (reads a message, no shell); - (standard output)",
    )
    add_config_argument(parser)
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="fetch nothing: show what each account of the configuration file comes to, or what is wrong with it",
    )
    _add_policy_arguments(parser)
    _add_run_arguments(parser)
    _add_output_arguments(parser)
    add_connection_arguments(parser.add_argument_group("with a URL"))


def add_connection_arguments(connection: TakesArguments) -> None:
    """Add the arguments that go with a URL: what the configuration file says of an account."""
    add_secret_arguments(connection)
    connection.add_argument(
        "--allow-cleartext",
        action="store_true",
        help="with pop://, continue without TLS if the server has no STLS; others on the network can then read "
        "password and mail",
    )
    add_ca_file_argument(connection)
    add_certificate_arguments(connection)
    connection.add_argument(
        "--journal", type=path_argument, metavar="FILE", help="the file that records what is fetched"
    )
    connection.add_argument(
        "--timeout",
        type=seconds_argument,
        metavar="SECONDS",
        help="give up when the server sends nothing for this long (default: 60)",
    )
    add_quirks_argument(connection, "the server", default=None)


def _add_policy_arguments(parser: ArgumentParser) -> None:
    what = parser.add_argument_group("what is fetched and deleted (instead of what the configuration says)")
    deletion = what.add_mutually_exclusive_group()
    deletion.add_argument("--keep", action="store_true", help="delete nothing on the server (the default)")
    deletion.add_argument("--delete", action="store_true", help="delete on the server what is safely stored")
    deletion.add_argument(
        "--delete-after", type=_unit(parse_seconds), metavar="TIME", help="delete what was stored so long ago: 14d"
    )
    what.add_argument(
        "--when-gone", action="store_true", help="delete what was stored, and is no longer in the Maildir or folder"
    )
    what.add_argument(
        "--max-size",
        type=_unit(parse_octets),
        metavar="SIZE",
        help="skip larger messages: 20M; with --headers-only, fetch their headers",
    )
    what.add_argument("--headers-only", action="store_true", help="fetch the headers of new messages only")
    what.add_argument(
        "--complete", action="store_true", help="fetch the rest of messages of which the header is stored"
    )
    what.add_argument("--newest", type=_count, metavar="N", help="fetch only from the last N messages")
    what.add_argument("--since", type=_moment, metavar="DATE", help="fetch only what was received since: 2026-01-31")
    what.add_argument("--again", action="store_true", help="fetch what is stored once more, too")
    what.add_argument(
        "--message",
        action="append",
        metavar="UNIQUE-ID",
        help="fetch this message only, also if it is stored; may be repeated",
    )
    what.add_argument(
        "--on-doubt",
        choices=("again", "hold"),
        help="what a program may have taken before a crash is delivered again, or held back (default: again)",
    )
    what.add_argument(
        "--wait",
        type=_unit(parse_seconds),
        metavar="TIME",
        help="wait so long for a server that wants some time between two logins (default: 1m; Gmail: 10m)",
    )
    what.add_argument("--session-messages", type=_count, metavar="N", help="QUIT and log in again after N messages")
    what.add_argument(
        "--session-size", type=_unit(parse_octets), metavar="SIZE", help="QUIT and log in again after so many octets"
    )


def _add_run_arguments(parser: ArgumentParser) -> None:
    how = parser.add_argument_group("how often")
    how.add_argument("--dry-run", action="store_true", help="fetch nothing: show what would be done with each message")
    how.add_argument("--status", action="store_true", help="fetch nothing: show how much is new, and how much is not")
    how.add_argument(
        "--every",
        type=_pause,
        metavar="TIME",
        help="do not end: fetch again and again, with so much time between (10m); never more often than the server "
        "and the provider allow. SIGUSR1 fetches now",
    )
    how.add_argument(
        "--daemon", action="store_true", help="the same, as often as the configuration file says for each account"
    )
    how.add_argument(
        "--jobs", type=_count, default=JOBS, metavar="N", help="fetch so many accounts at once (default: %(default)s)"
    )


def _add_output_arguments(parser: ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    loudness = output.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="show problems only")
    loudness.add_argument("-v", "--verbose", action="store_true", help="show a line for each message")
    output.add_argument("--trace", action="store_true", help="show the dialogue with the server, without secrets")
    output.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="json: an object for each event, a line each"
    )


def chosen_accounts(arguments: Namespace) -> tuple[Account, ...]:
    """Return the accounts that are to be fetched.

    Raises:
        Failure: the arguments do not go together, or the configuration file has errors.
    """
    words: list[str] = arguments.words
    if any("://" in word for word in words):
        return (account_of_url(words, arguments),)
    given = [f"--{name.replace('_', '-')}" for name in OPTIONS if getattr(arguments, name) is not None]
    if given or arguments.allow_cleartext:
        raise Failure(
            f"{(given or ['--allow-cleartext'])[0]} goes with a URL; for accounts it is set in the configuration file",
            USAGE,
        )
    from pop3proto.fetching.accounts.config import config_path, read_config  # noqa: PLC0415 - a URL needs none

    with account_failures():
        config = read_config(config_path(arguments.config))
        accounts = config.chosen(words)
    if not accounts:
        raise Failure(f"{config.path} has no accounts", USAGE)
    return accounts


def policy_of(account: Account, arguments: Namespace) -> Policy:
    """Return what is to be fetched and deleted: as the account says, but for what the arguments say.

    Raises:
        Failure: they do not go together.
    """
    if arguments.when_gone:
        from pop3proto.fetching.accounts.targets import ToFiles, ToMaildir  # noqa: PLC0415 - slow to import

        if arguments.keep:
            raise Failure("--when-gone deletes on the server, and --keep does not", USAGE)
        if not all(isinstance(target, ToMaildir | ToFiles) for target in account.deliver):
            raise Failure(
                f"{account.name}: --when-gone needs a Maildir, or files: the others cannot be looked into", USAGE
            )
    given = {
        "delete_after": 0 if arguments.delete else arguments.delete_after,
        "when_gone": arguments.when_gone or None,
        "max_octets": arguments.max_size,
        "newest": arguments.newest,
        "since": arguments.since,
        "complete": arguments.complete or None,
        "again": arguments.again or None,
        "on_doubt": arguments.on_doubt,
        "patience": arguments.wait,
        "session_messages": arguments.session_messages,
        "session_octets": arguments.session_size,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if arguments.keep:
        changes |= {"delete_after": None, "when_gone": False}
    if arguments.max_size is not None:
        changes["too_large"] = "headers" if arguments.headers_only else "skip"
    elif arguments.headers_only:
        changes["headers_only"] = True
    if arguments.message:
        changes |= {"only": frozenset(arguments.message), "again": not arguments.complete}
    return attrs.evolve(account.policy, **changes)


def _unit(parse: Callable[[str], T]) -> Callable[[str], T]:
    return partial(_parsed, parse)


def _parsed(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or not (number := int(text)):
        raise ArgumentTypeError("a number above 0 is expected")
    return number


def _pause(text: str) -> float:
    if not (seconds := _parsed(parse_seconds, text)):
        raise ArgumentTypeError("a time above 0 is expected, such as 10m")
    return seconds


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("a date is expected, such as 2026-01-31, or 2026-01-31T12:00") from None
    return moment.timestamp()
