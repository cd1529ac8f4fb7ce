"""`pop3proto backup`: write maildrops into one file."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.text import counted, visible
from pop3proto.fetching.wording import cannot
from pop3proto.serving.backup.errors import BadBackup, NothingToBackUp
from pop3proto.serving.backup.writing import MaildropPlace, write_backup
from pop3proto.serving.retention.purge import MaildropInUse

from .exit_statuses import CONFIGURATION, LATER
from .failures import FAILURE, USAGE, Failure, warn
from .maildrop_arguments import add_maildrop_arguments, chosen_maildrops
from .paths import path_argument
from .status_help import add_statuses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .maildrop_arguments import ChosenMaildrop

__all__ = ["DESCRIPTION", "Parser", "add_arguments", "place_of", "run"]

DESCRIPTION: Final = (
    "Write a user's maildrop, or those of all users, into one tar file: messages with their unique ids, digests, and "
    "whether they were retrieved. Each maildrop is locked meanwhile; one that is in use is left out, and the exit "
    "status is 75 then; one that cannot be read likewise, with 1. The file appears when it is complete."
)


class Parser(ArgumentParser):
    """Takes options before, between and behind USER and FILE."""

    @override
    def parse_args(  # type: ignore[override]  # it is overloaded there
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        return self.parse_intermixed_args(args, Namespace() if namespace is None else namespace)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, LATER, CONFIGURATION)
    add_maildrop_arguments(parser)
    parser.add_argument("file", metavar="FILE.tar", type=path_argument, help="the file; one that is there is replaced")
    parser.add_argument(
        "--since",
        type=_date,
        metavar="DATE",
        help="only messages that arrived since then: 2026-01-31, in UTC; it does not replace a whole backup",
    )


def _date(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ArgumentTypeError("a date is expected, such as 2026-01-31") from None


def run(arguments: Namespace) -> int:
    """Run the command."""
    if arguments.maildir is not None and not arguments.user:
        raise Failure("name the USER whose maildrop it is", USAGE)
    places = [place_of(each) for each in chosen_maildrops(arguments, keep_root=True)]
    try:
        report = write_backup(arguments.file, places, since=arguments.since)
    except BlockingIOError as error:
        raise Failure(f"another backup is being written into {visible(str(arguments.file))}", LATER) from error
    except MaildropInUse as error:
        raise Failure(f"{error}; nothing was written", LATER) from error
    except (BadBackup, NothingToBackUp) as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(_why_not_written(arguments.file, error)) from error
    octets = counted(report.octets, "octet")
    print(f"{counted(len(report.users), 'maildrop')}, {counted(report.messages, 'message')} ({octets})")
    if report.gone:
        warn(f"pop3proto backup: other programs removed {counted(report.gone, 'message')} meanwhile")
    for user in report.absent:
        warn(f"note: {visible(user)} has no maildrop yet, and is not in the backup")
    for user in report.in_use:
        warn(f"pop3proto backup: the maildrop of {visible(user)} is in use, and is not in the backup")
    for user, why in report.failed.items():
        warn(f"pop3proto backup: the maildrop of {visible(user)} cannot be read, and is not in the backup: {why}")
    return FAILURE if report.failed else LATER if report.in_use else 0


def _why_not_written(file: Path, error: OSError) -> str:
    folder = file.absolute().parent
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return f"cannot write {file}: there is no folder {folder}"
    return cannot("write", file, error)


def place_of(chosen: ChosenMaildrop) -> MaildropPlace:
    """Return a maildrop as a backup takes it. A server with a configuration hides messages flagged T."""
    hides = chosen.log is not None
    return MaildropPlace(chosen.user, chosen.maildir, chosen.rules.quota, chosen.follow_links, hides)
