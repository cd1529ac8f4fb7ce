"""`pop3proto restore`: bring the messages of a backup back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted, visible
from pop3proto.fetching.wording import cannot
from pop3proto.maildrops.delivery import NotMaildir
from pop3proto.serving.backup.archive import open_archive
from pop3proto.serving.backup.errors import BackupConflict, BadBackup
from pop3proto.serving.backup.restoring import restore_backup
from pop3proto.serving.backup.writing import MaildropPlace
from pop3proto.serving.retention.purge import MaildropInUse

from .backup import Parser
from .exit_statuses import LATER
from .failures import USAGE, Failure
from .maildrop_arguments import add_maildrop_arguments, chosen_maildrops
from .paths import path_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

__all__ = ["DESCRIPTION", "Parser", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Bring the messages of a backup back, with their unique ids. What is there already is left alone. If a unique id "
    "is that of another message, or anything in the backup is wrong, nothing is changed."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_maildrop_arguments(parser)
    parser.add_argument("file", metavar="FILE.tar", type=path_argument, help="the backup")
    parser.add_argument("--dry-run", action="store_true", help="show what would be restored, and change nothing")


def run(arguments: Namespace) -> int:
    """Run the command."""
    file: Path = arguments.file
    try:
        with open_archive(file) as archive:
            users = archive.users
        reports = restore_backup(file, _places(arguments, users), dry_run=arguments.dry_run)
    except MaildropInUse as error:
        raise Failure(f"{error}; try again later", LATER) from error
    except (BadBackup, BackupConflict, NotMaildir) as error:
        raise Failure(visible(str(error))) from error
    except OSError as error:
        raise Failure(cannot("restore", file, error)) from error
    would = "would be restored" if arguments.dry_run else "restored"
    for report in reports:
        name = visible(report.user or str(arguments.maildir))
        print(f"{name}: {counted(len(report.restored), 'message')} {would}, {report.skipped:,} already there")
    return 0


def _places(arguments: Namespace, users: tuple[str, ...]) -> list[MaildropPlace]:
    """Return which maildrops of the backup are to be restored, and where they are.

    Raises:
        Failure: they are not in the backup, or the command line is wrong.
    """
    if arguments.maildir is not None and arguments.user is None and not arguments.all:
        if len(users) != 1:
            raise Failure(f"the backup has {counted(len(users), 'maildrop')}: name the USER", USAGE)
        arguments.user = users[0]
    chosen = [
        MaildropPlace(each.user, each.maildir, each.rules.quota, each.follow_links)
        for each in chosen_maildrops(arguments)
    ]
    if arguments.all:
        return [each for each in chosen if each.user in users]
    missing = [each.user for each in chosen if each.user not in users]
    if missing:
        raise Failure(f"there is no maildrop of {visible(missing[0])} in the backup")
    return chosen
