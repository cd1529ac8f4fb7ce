"""`pop3proto deliver`: take a message from the mail server of this machine, and put it into a maildrop."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from typing_extensions import override

from pop3proto._config.units import parse_octets, parse_seconds
from pop3proto.core.text import visible
from pop3proto.serving.delivery.deliver import deliver_message
from pop3proto.serving.delivery.errors import DeliverLater, DeliveryRefused
from pop3proto.serving.delivery.filtering import Filtering
from pop3proto.serving.delivery.header import Envelope

from .exit_statuses import LATER, REFUSED
from .failures import USAGE, Failure
from .lacking_folder import lacking_folder
from .maildrop_arguments import NoUser, add_maildrop_arguments, add_rules_arguments, chosen_maildrops
from .quiet import no_log
from .status_help import set_statuses

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DESCRIPTION", "Parser", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Deliver a message into a user's maildrop: the command that a mail server (Postfix, Exim) runs for each message, "
    "which it gives on standard input. Quota and filters are those of the server's configuration."
)

_EX_USAGE: Final = 64  # sysexits.h: what mail servers know
_STATUSES: Final = {
    os.EX_OK: "the message is delivered, and on the disk",
    _EX_USAGE: "the command line is wrong",
    LATER: (
        "the message was not delivered, and may be later: the disk, a filter, the configuration, or a full maildrop; "
        "the mail server tries again"
    ),
    REFUSED: (
        "the message is refused: there is no such user, a filter found what is to be refused, or the maildrop is full "
        "and that is to be refused"
    ),
}
_NOTE: Final = "A filter that fails, or is too slow, means 75: never that a message is clean."
_ADDRESSES: Final = {
    "-f": "--from",
    "--from": "--from",
    "--delivered-to": "--delivered-to",
    "-a": "--original-to",
    "--original-to": "--original-to",
}
_FILTERS: Final = (
    "clamd",
    "rspamd",
    "spamd",
    "filter",
    "filter_timeout",
    "filter_largest",
    "junk",
    "virus",
    "junk_folder",
)


class Parser(ArgumentParser):
    """Tells a mail server, by its exit status, that the command line is wrong.

    Names and addresses of strangers are on it: no option is known by its beginning, and what follows an option that
    takes an address is one, even if it begins with a hyphen.
    """

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    @override
    def parse_args(  # type: ignore[override]  # it is overloaded there
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        words = iter(sys.argv[1:] if args is None else args)
        joined: list[str] = []
        for word in words:
            if word == "--":
                joined += [word, *words]
            elif word in _ADDRESSES and (address := next(words, None)) is not None:
                joined.append(f"{_ADDRESSES[word]}={address}")
            else:
                joined.append(word)
        return super().parse_args(joined, Namespace() if namespace is None else namespace)

    @override
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(_EX_USAGE, f"{self.prog}: {message}\n")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    set_statuses(parser, _STATUSES, _NOTE)
    add_maildrop_arguments(parser, all_=False)
    envelope = parser.add_argument_group("what the mail server knows of the message")
    envelope.add_argument(
        "-f", "--from", dest="sender", metavar="ADDRESS", help="its sender, for Return-Path; '' for none"
    )
    envelope.add_argument("--delivered-to", metavar="ADDRESS", help="its final address, for Delivered-To")
    envelope.add_argument("-a", "--original-to", metavar="ADDRESS", help="as the sender wrote it, for X-Original-To")
    add_rules_arguments(parser, "quota", "full")
    filters = parser.add_argument_group("filters, with --maildir")
    filters.add_argument("--clamd", metavar="PLACE", help="ask ClamAV at HOST:PORT, or at the socket /PATH")
    filters.add_argument("--rspamd", metavar="URL", help="ask Rspamd at http://HOST:PORT")
    filters.add_argument(
        "--spamd", metavar="PLACE", help="ask SpamAssassin's spamd at HOST:PORT, or at the socket /PATH"
    )
    filters.add_argument(
        "--filter", metavar="COMMAND", help="ask a program: 0 is clean, 98 junk, 99 virus, else no verdict"
    )
    filters.add_argument("--filter-timeout", metavar="TIME", help="how long a filter may take, as 30s (default: 1m)")
    filters.add_argument(
        "--filter-largest", metavar="SIZE", help="do not show larger messages to filters: 20M, for example"
    )
    actions = ("deliver", "tag", "folder", "refuse")
    filters.add_argument("--junk", choices=actions, help="what to do with junk (default: folder)")
    filters.add_argument("--virus", choices=actions, help="what to do with a virus (default: refuse)")
    filters.add_argument("--junk-folder", metavar="NAME", help="the folder for them (default: .Junk)")


def run(arguments: Namespace) -> int:
    """Run the command. Whatever goes wrong, the message is not lost: the mail server keeps it, or returns it."""
    try:
        with no_log():  # the mail server shows to strangers what a command prints
            return _run(arguments)
    except Failure:
        raise
    except (Exception, KeyboardInterrupt) as error:
        raise Failure(f"it failed: {visible(f'{type(error).__name__}: {error}')}", LATER) from error


def _run(arguments: Namespace) -> int:
    try:
        filtering = _filtering(arguments)
    except ValueError as error:
        raise Failure(str(error), _EX_USAGE) from error
    try:
        [maildrop] = chosen_maildrops(arguments, filtering)
    except NoUser as error:
        if error.doubt:
            raise Failure(f"{error}, but {error.doubt}", LATER) from error
        raise Failure(str(error), REFUSED) from error
    except Failure as error:  # mail waits until the configuration is right again
        raise Failure(str(error), _EX_USAGE if error.status == USAGE else LATER) from error
    if lacking := lacking_folder(maildrop.maildir, maildrop.owner):
        raise Failure(lacking, LATER)
    try:
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as source:
            deliver_message(
                source,
                maildrop.maildir,
                user=maildrop.user,
                envelope=_envelope(arguments),
                quota=maildrop.rules.quota,
                filtering=maildrop.filtering,
                follow_links=maildrop.follow_links,
            )
    except DeliverLater as error:
        raise Failure(str(error), LATER) from error
    except DeliveryRefused as error:
        raise Failure(str(error), REFUSED) from error
    return os.EX_OK


def _envelope(arguments: Namespace) -> Envelope:
    """Return the envelope; an address of strangers that no field can hold is left out, and their mail comes."""
    given = {name: getattr(arguments, name) for name in ("sender", "delivered_to", "original_to")}
    known: dict[str, str | None] = {}
    for name, value in given.items():
        with suppress(ValueError):
            Envelope(**{name: value})
            known[name] = value
    return Envelope(**known)


def _filtering(arguments: Namespace) -> Filtering:
    """Return the filters that options name.

    Raises:
        ValueError: an option has no meaning.
        Failure: options are given that belong to --maildir.
    """
    given = {name: value for name in _FILTERS if (value := getattr(arguments, name)) is not None}
    if given and arguments.maildir is None:
        name = next(iter(given)).replace("_", "-")
        raise Failure(f"--{name} belongs to --maildir; the configuration has the table `filter`", _EX_USAGE)
    if "filter" in given:
        given["command"] = shlex.split(given.pop("filter"))
        if not given["command"]:
            raise ValueError("--filter must name a program")
    if "filter_timeout" in given:
        given["timeout"] = parse_seconds(given.pop("filter_timeout"))
    if "filter_largest" in given:
        given["largest"] = parse_octets(given.pop("filter_largest"))
    if "junk_folder" in given:
        given["folder"] = given.pop("junk_folder")
    return Filtering(**given)
