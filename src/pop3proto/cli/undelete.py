"""`pop3proto undelete`: bring back what a user has deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted, visible
from pop3proto.fetching.wording import cannot
from pop3proto.serving.retention.purge import MaildropInUse
from pop3proto.serving.retention.undelete import undelete

from .exit_statuses import CONFIGURATION, LATER
from .failures import Failure
from .maildrop_arguments import add_maildrop_arguments, add_rules_arguments, chosen_maildrops
from .status_help import add_statuses

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Bring back messages that a user has deleted by POP3, if the server keeps them (on_delete = trash or hide). They "
    "have their unique ids again: a client that remembers these may not fetch them a second time by itself."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, LATER, CONFIGURATION)
    add_maildrop_arguments(parser, all_=False)
    parser.add_argument(
        "--uid", action="append", metavar="UNIQUE-ID", help="bring back this message only; may be given several times"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the unique ids, and bring nothing back")
    add_rules_arguments(parser, "quota")


def run(arguments: Namespace) -> int:
    """Run the command."""
    [maildrop] = chosen_maildrops(arguments)
    try:
        back = undelete(
            maildrop.maildir,
            maildrop.rules,
            arguments.uid,
            dry_run=arguments.dry_run,
            follow_links=maildrop.follow_links,
        )
    except MaildropInUse as error:
        raise Failure(f"{error}; try again later", LATER) from error
    except OSError as error:
        raise Failure(cannot("bring messages back to", maildrop.maildir, error)) from error
    missing = sorted({*(arguments.uid or ())} - {*map(str, back)})
    if arguments.dry_run:
        for unique_id in back:
            print(unique_id)
    elif back or not missing:
        print(f"{maildrop.name}: {counted(len(back), 'message')} brought back")
    if missing:
        raise Failure(f"no deleted message has the unique id {visible(missing[0])}, or it is in use")
    return 0
