"""`pop3proto quota`: show how much of a quota is used, and count it anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import counted
from pop3proto.fetching.wording import cannot
from pop3proto.serving.quota.maildir_quota import MaildirQuota

from .exit_statuses import CONFIGURATION
from .failures import FAILURE, Failure, warn
from .maildrop_arguments import add_maildrop_arguments, add_rules_arguments, chosen_maildrops
from .status_help import add_statuses

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pop3proto.serving.quota.rules import Usage

    from .maildrop_arguments import ChosenMaildrop

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Show how much of a quota maildrops use, counted on the disk, and what the file maildirsize says, which other mail "
    "programs read. Or write that file anew."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, CONFIGURATION)
    parser.add_argument(
        "action",
        choices=("show", "recalc"),
        help="show: count, and change nothing.\n\nrecalc: count, and write maildirsize anew",
    )
    add_maildrop_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object for each maildrop")
    add_rules_arguments(parser, "quota")


def run(arguments: Namespace) -> int:
    """Run the command."""
    status = 0
    for maildrop in chosen_maildrops(arguments):
        quota = MaildirQuota(maildrop.maildir, maildrop.rules.quota, follow_links=maildrop.follow_links)
        try:
            recorded = quota.recorded()
            usage = quota.recalculate() if arguments.action == "recalc" else quota.counted()
        except FileNotFoundError as error:
            if getattr(arguments, "all", False):  # no mail has come yet
                continue
            raise Failure(cannot("count", maildrop.maildir, error)) from error
        except OSError as error:
            warn(f"pop3proto quota: {cannot('count', maildrop.maildir, error)}")
            status = FAILURE
            continue
        print(_json(maildrop, usage, recorded) if arguments.json else _line(maildrop, usage, recorded))
    return status


def _line(maildrop: ChosenMaildrop, usage: Usage, recorded: Usage | None) -> str:
    quota = maildrop.rules.quota
    words = [f"{counted(usage.messages, 'message')} ({counted(usage.octets, 'octet')})"]
    if quota.is_limited:
        level = ", full" if quota.is_full(usage) else ", near the limit" if quota.warns(usage) else ""
        words.append(quota.describe(usage) + level)
    if recorded not in (None, usage):
        words.append(f"maildirsize said {counted(recorded.messages, 'message')} ({counted(recorded.octets, 'octet')})")
    return f"{maildrop.name}: {'; '.join(words)}"


def _json(maildrop: ChosenMaildrop, usage: Usage, recorded: Usage | None) -> str:
    quota = maildrop.rules.quota
    return json.dumps(
        {
            "user": maildrop.user,
            "maildir": str(maildrop.maildir),
            **attrs.asdict(usage),
            "limit_octets": quota.octets,
            "limit_messages": quota.messages,
            "level": round(quota.level(usage), 4),
            "warns": quota.warns(usage),
            "full": quota.is_full(usage),
            "recorded": None if recorded is None else attrs.asdict(recorded),
        }
    )
