"""`pop3proto purge`: remove what has expired."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import counted
from pop3proto.fetching.wording import cannot, reason
from pop3proto.serving.log.setup import ServerLog
from pop3proto.serving.purging import note_purged
from pop3proto.serving.retention.purge import MaildropInUse, purge

from .exit_statuses import CONFIGURATION, LATER
from .failures import FAILURE, Failure, warn
from .maildrop_arguments import add_maildrop_arguments, add_rules_arguments, chosen_maildrops
from .status_help import add_statuses

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Generator

    from pop3proto.serving.config.reporting import Log
    from pop3proto.serving.retention.purge import Purged
    from pop3proto.serving.retention.rules import MaildropRules

    from .maildrop_arguments import ChosenMaildrop

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Remove messages that are older than the server's configuration keeps them, and deleted ones that were kept long "
    "enough. A maildrop that is in use is left out: the exit status is 75 then. The server does the same by itself."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, LATER, CONFIGURATION)
    add_maildrop_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed, and remove nothing")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each message")
    add_rules_arguments(parser, "quota", "retain", "deleted")


def run(arguments: Namespace) -> int:
    """Run the command."""
    chosen = chosen_maildrops(arguments)
    if chosen and not any(_expires(maildrop.rules) for maildrop in chosen):
        warn("note: nothing expires: there is neither retain nor on_delete")
    with _audit(chosen[0].log if chosen and not arguments.dry_run else None):
        statuses = {_purge(maildrop, arguments) for maildrop in chosen}
    return FAILURE if FAILURE in statuses else max(statuses, default=0)


def _expires(rules: MaildropRules) -> bool:
    return rules.retain.shortest is not None or rules.on_delete.to != "remove"


@contextmanager
def _audit(log: Log | None) -> Generator[None]:
    """Let the lines of the audit go where those of the server go.

    Raises:
        Failure: they cannot be written.
    """
    if log is None or log.audit is None:
        yield
        return
    try:
        written = ServerLog(attrs.evolve(log, to="stderr"))
    except OSError as error:
        raise Failure(f"the audit cannot be written, so nothing was removed: {reason(error)}") from error
    try:
        yield
    finally:
        written.close()


def _purge(maildrop: ChosenMaildrop, arguments: Namespace) -> int:
    try:
        report = purge(
            maildrop.user,
            maildrop.maildir,
            maildrop.rules,
            audit=note_purged,
            dry_run=arguments.dry_run,
            follow_links=maildrop.follow_links,
        )
    except MaildropInUse:
        warn(f"pop3proto purge: {maildrop.name} is in use, and was left out")
        return LATER
    except FileNotFoundError as error:
        if getattr(arguments, "all", False):  # no mail has come yet
            return 0
        warn(f"pop3proto purge: {cannot('purge', maildrop.maildir, error)}")
        return FAILURE
    except OSError as error:
        warn(f"pop3proto purge: {cannot('purge', maildrop.maildir, error)}")
        return FAILURE
    for each in report.purged:
        if arguments.json:
            print(json.dumps({**attrs.asdict(each), "removed": not arguments.dry_run}))
        elif arguments.dry_run:
            print(_line(maildrop, each))
    for failure in report.failures:
        warn(f"pop3proto purge: {maildrop.name}: not removed: {reason(failure)}")
    if not arguments.json:
        octets = counted(sum(each.octets for each in report.purged), "octet")
        would = "would be removed" if arguments.dry_run else "removed"
        print(f"{maildrop.name}: {counted(len(report.purged), 'message')} ({octets}) {would}")
    return FAILURE if report.failures else 0


def _line(maildrop: ChosenMaildrop, each: Purged) -> str:
    arrived = datetime.fromtimestamp(each.arrived, UTC).strftime("%Y-%m-%d")
    return f"{maildrop.name}: {each.unique_id}  {arrived}  {counted(each.octets, 'octet')}  {each.reason}"
