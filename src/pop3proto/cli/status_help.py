"""The exit statuses of a command in its `--help`."""

from __future__ import annotations

from argparse import HelpFormatter
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .exit_statuses import CONFIGURATION, LATER, OK
from .failures import FAILURE, USAGE

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ["add_statuses"]

_HEADING: Final = "exit status:"
_MEANINGS: Final = {
    OK: "it is done",
    FAILURE: "something is wrong, or could not be done: the lines say what",
    USAGE: "the command line is wrong",
    LATER: "something is in use: the lines say what; run it again later",
    CONFIGURATION: "the configuration is wrong, or what it names cannot be used",
}


class _Formatter(HelpFormatter):
    """Leaves the lines of the statuses as they are."""

    @override
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_HEADING) else super()._fill_text(text, width, indent)


def add_statuses(parser: ArgumentParser, *numbers: int) -> None:
    """Add the table of exit statuses to a command's help.

    Args:
        parser: gets it.
        numbers: the statuses that the command has, beside 0, 1 and 2.
    """
    parser.formatter_class = _Formatter
    lines = (f"{number:5}  {_MEANINGS[number]}" for number in sorted({OK, FAILURE, USAGE, *numbers}))
    parser.epilog = "\n".join([_HEADING, *lines])
