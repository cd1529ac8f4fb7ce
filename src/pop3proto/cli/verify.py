"""`pop3proto verify`: compare each message of a backup with its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted, visible
from pop3proto.fetching.wording import cannot
from pop3proto.serving.backup.errors import BadBackup
from pop3proto.serving.backup.verifying import verify_backup

from .failures import FAILURE, Failure, warn
from .paths import path_argument
from .status_help import add_statuses

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION: Final = "Read a backup to its end, and compare each message with its size and its digest."


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser)
    parser.add_argument("file", metavar="FILE.tar", type=path_argument, help="the backup")


def run(arguments: Namespace) -> int:
    """Run the command."""
    try:
        report = verify_backup(arguments.file)
    except BadBackup as error:
        raise Failure(visible(str(error))) from error
    except OSError as error:
        raise Failure(cannot("read", arguments.file, error)) from error
    for problem in report.problems:
        warn(f"pop3proto verify: {problem}")
    right = "" if report.problems else ": all are right"
    octets = counted(report.octets, "octet")
    print(f"{counted(len(report.users), 'maildrop')}, {counted(report.messages, 'message')} ({octets}){right}")
    return FAILURE if report.problems else 0
