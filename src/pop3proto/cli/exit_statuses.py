"""The exit statuses of `pop3proto fetch`: what they are, what they mean, and which of several is the worst.

`--help`, the man page and the page of the documentation show the same table.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.fetching.report import ProblemKind

from .failures import FAILURE, USAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pop3proto.fetching.report import Report

__all__ = [
    "CONFIGURATION",
    "INTERRUPTED",
    "LATER",
    "OK",
    "REFUSED",
    "STATUSES",
    "ExitStatus",
    "epilog",
    "status_of",
    "worst",
]

OK: Final = 0
LATER: Final = 75  # EX_TEMPFAIL of sysexits.h
REFUSED: Final = 77  # EX_NOPERM
CONFIGURATION: Final = 78  # EX_CONFIG
INTERRUPTED: Final = 130  # 128 + SIGINT, the convention of shells


@attrs.frozen
class ExitStatus:
    """One exit status.

    Args:
        number: the status.
        meaning: what happened.
        advice: what to do.
    """

    number: int
    meaning: str
    advice: str


STATUSES: Final = (
    ExitStatus(OK, "nothing went wrong; also when there was no new mail", "there is nothing to do"),
    ExitStatus(
        FAILURE,
        "some message could not be fetched, stored or deleted; it is still on the server",
        "read the line about it: it is tried again, by the next run or after the time that the line names",
    ),
    ExitStatus(
        LATER,
        "the network, the server or the disk does not work now: no connection, [IN-USE], [LOGIN-DELAY], [SYS/TEMP], "
        "a full disk",
        "run it again later; make room if the disk is full",
    ),
    ExitStatus(
        REFUSED,
        "the server has refused the login or STLS, or its certificate is not trusted",
        "correct user, password, token, trust or TLS: to repeat it does not help, and may lock the account",
    ),
    ExitStatus(
        CONFIGURATION,
        "the configuration file is wrong, or what it names is not there: a folder, a program",
        "correct what the line names",
    ),
    ExitStatus(USAGE, "the command line is wrong", "see --help"),
    ExitStatus(INTERRUPTED, "it was interrupted (Ctrl-C)", "run it again: what was stored is recorded"),
)
"""All statuses, best first: of several, the last in this order is the status of the command.

What passes by itself (75) is worse than one message (1), as all messages of an account wait; what a person must correct
(77, 78) is worse than what passes by itself.
"""

_ORDER: Final = {status.number: rank for rank, status in enumerate(STATUSES)}
_OF_KIND: Final = {
    ProblemKind.MESSAGE: FAILURE,
    ProblemKind.SERVER: FAILURE,
    ProblemKind.LATER: LATER,
    ProblemKind.STORAGE: LATER,
    ProblemKind.REFUSED: REFUSED,
    ProblemKind.CONFIGURATION: CONFIGURATION,
}


def status_of(report: Report) -> int:
    """Return the exit status of a run for one account.

    Messages that are left on the server and should have been fetched are a failure, also if no problem was told.
    """
    statuses = [_OF_KIND[problem.kind] for problem in report.problems]
    return worst([*statuses, FAILURE] if report.more else statuses)


def worst(statuses: Iterable[int]) -> int:
    """Return the worst of several statuses, by the order of `STATUSES`; 0 if there are none."""
    return max(statuses, key=_ORDER.__getitem__, default=OK)


def epilog() -> str:
    """Return the table for `--help`, lines of at most 79 columns; it needs `RawDescriptionHelpFormatter`."""
    lines = ["exit status (of several, the last in this list):"]
    for status in STATUSES:
        head = f"  {status.number:>3}  "
        lines += textwrap.wrap(status.meaning, 79, initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join(lines)
