"""`pop3proto restore`: bring the messages of a backup back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.text import ascii_lower, counted, visible
from pop3proto.fetching.wording import cannot
from pop3proto.maildrops.delivery import NotMaildir
from pop3proto.serving.backup.archive import open_archive
from pop3proto.serving.backup.errors import BackupConflict, BadBackup
from pop3proto.serving.backup.restoring import restore_backup
from pop3proto.serving.retention.purge import MaildropInUse

from .backup import Parser, place_of
from .exit_statuses import CONFIGURATION, LATER
from .failures import FAILURE, USAGE, Failure, warn
from .lacking_folder import lacking_folder
from .maildrop_arguments import add_maildrop_arguments, chosen_maildrops
from .paths import path_argument
from .status_help import add_statuses

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from pop3proto.serving.backup.archive import Archive
    from pop3proto.serving.backup.restoring import RestoreReport
    from pop3proto.serving.backup.writing import MaildropPlace

__all__ = ["DESCRIPTION", "Parser", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Bring the messages of a backup back, with their unique ids. What is there already is left alone. If a unique id "
    "is that of another message, or anything in the backup is wrong, nothing is changed."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, LATER, CONFIGURATION)
    add_maildrop_arguments(parser)
    parser.add_argument("file", metavar="FILE.tar", type=path_argument, help="the backup")
    parser.add_argument("--dry-run", action="store_true", help="show what would be restored, and change nothing")


def run(arguments: Namespace) -> int:
    """Run the command."""
    file: Path = arguments.file

    def tell(report: RestoreReport) -> None:
        name = visible(report.user or str(arguments.maildir))
        would = "would be restored" if arguments.dry_run else "restored"
        print(
            f"{name}: {counted(len(report.restored), 'message')} {would}, {report.skipped:,} already there", flush=True
        )

    try:
        with open_archive(file) as archive:
            index = archive.index
            places = _places(arguments, archive)
            kept = {place.user for place in places}
            others = [user for user in index.users if user not in kept and archive.manifest(user).messages]
        reports = restore_backup(file, places, dry_run=arguments.dry_run, done=tell)
    except MaildropInUse as error:
        raise Failure(f"{error}; try again later", LATER) from error
    except (BadBackup, BackupConflict, NotMaildir) as error:
        raise Failure(visible(str(error))) from error
    except OSError as error:
        raise Failure(cannot("restore", file, error)) from error
    if arguments.dry_run:
        for report in reports:
            tell(report)
    return _say_left_out(others, index.left_out) if arguments.all else 0


def _say_left_out(others: Sequence[str], left_out: Sequence[str]) -> int:
    """Tell who was not restored, and why; return the exit status."""
    for user in others:
        warn(f"pop3proto restore: {visible(user)} is in the backup, and is no user of the configuration: not restored")
    for user in left_out:
        name = visible(user)
        warn(f"pop3proto restore: the maildrop of {name} is not in the backup: it was in use, or could not be read")
    return FAILURE if others or left_out else 0


def _places(arguments: Namespace, archive: Archive) -> list[MaildropPlace]:
    """Return which maildrops of the backup are to be restored, and where they are.

    Raises:
        Failure: they are not in the backup, a folder is missing, or the command line is wrong.
    """
    users = archive.index.users
    if arguments.maildir is not None and arguments.user is None and not arguments.all:
        if len(users) != 1:
            raise Failure(f"the backup has {counted(len(users), 'maildrop')}: name the USER", USAGE)
        arguments.user = users[0]
    chosen = chosen_maildrops(arguments, keep_root=True)
    if arguments.all:
        chosen = [each for each in chosen if each.user in users]
    missing = [each.user for each in chosen if each.user not in users]
    if missing:
        like = next((user for user in users if ascii_lower(user) == missing[0]), None)
        hint = "" if like is None else f"; it has one of {visible(like)}, which --maildir restores"
        raise Failure(f"there is no maildrop of {visible(missing[0])} in the backup{hint}")
    lacking = {each.user: words for each in chosen if (words := lacking_folder(each.maildir, each.owner))}
    if needed := [words for user, words in lacking.items() if archive.manifest(user).messages]:
        raise Failure("nothing was restored", details=needed)
    return [place_of(each) for each in chosen if each.user not in lacking]  # those have no messages
