"""The exit statuses of a command in its `--help`; the manual pages show the same table."""

from __future__ import annotations

import textwrap
from argparse import HelpFormatter
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .exit_statuses import CONFIGURATION, INTERRUPTED, LATER, OK
from .failures import FAILURE, USAGE

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping

__all__ = ["OF_SERVER", "add_statuses", "set_statuses"]

_HEADING: Final = "exit status:"
_WIDTH: Final = 79
_MEANINGS: Final = {
    OK: "it is done",
    FAILURE: "something is wrong, or could not be done: the lines say what",
    USAGE: "the command line is wrong",
    LATER: "something is in use: the lines say what; run it again later",
    CONFIGURATION: "the configuration is wrong, or what it names cannot be used",
    INTERRUPTED: "it was interrupted (Ctrl-C)",
}
OF_SERVER: Final = {
    OK: "a signal (SIGINT, SIGTERM) has ended it; or --check-config has found nothing wrong",
    INTERRUPTED: "it was interrupted (Ctrl-C) before it served",
}
"""What two of them mean for a command that runs until a signal ends it."""


class _Formatter(HelpFormatter):
    """Leaves the lines of the statuses as they are."""

    @override
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_HEADING) else super()._fill_text(text, width, indent)


def add_statuses(parser: ArgumentParser, *numbers: int, own: Mapping[int, str] | None = None, note: str = "") -> None:
    """Add the table of exit statuses to a command's help.

    Args:
        parser: gets it.
        numbers: the statuses that the command has, beside 0, 1, 2 and 130.
        own: what statuses mean here, where it is something else than for other commands.
        note: what is to be said below the table.
    """
    meanings = {number: _MEANINGS[number] for number in (OK, FAILURE, USAGE, *numbers, INTERRUPTED)}
    set_statuses(parser, {**meanings, **(own or {})}, note)


def set_statuses(parser: ArgumentParser, meanings: Mapping[int, str], note: str = "") -> None:
    """Set the table of exit statuses of a command that shares none with the others.

    Args:
        parser: gets it.
        meanings: all statuses, and what they mean.
        note: what is to be said below the table.
    """
    parser.formatter_class = _Formatter
    lines = [_HEADING]
    for number, meaning in sorted(meanings.items()):
        head = f"{number:5}  "
        lines += textwrap.wrap(meaning, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    parser.epilog = "\n".join([*lines, "", *textwrap.wrap(note, _WIDTH)] if note else lines)
