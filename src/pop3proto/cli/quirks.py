"""The argument `--quirks` of `serve` and `fetch`."""

from __future__ import annotations

from argparse import ArgumentTypeError
from functools import partial
from typing import TYPE_CHECKING

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import NO_QUIRKS, Quirk
from pop3proto.core.quirks import quirks_named

if TYPE_CHECKING:
    from .paths import TakesArguments

__all__ = ["add_quirks_argument"]


def add_quirks_argument(
    parser: TakesArguments,
    peers: str,
    known: frozenset[Quirk] = frozenset(Quirk),
    *,
    default: frozenset[Quirk] | None = NO_QUIRKS,
) -> None:
    """Add `--quirks` to a parser.

    Args:
        parser: the parser.
        peers: whose deviations they are, for the help.
        known: the quirks that have an effect.
        default: the value without the argument.
    """
    parser.add_argument(
        "--quirks",
        type=partial(_parse, known),
        default=default,
        metavar="NAMES",
        help=f"tolerate deviations of {peers}: names of quirks or profiles, separated by commas, such as bare_lf or "
        "lenient (default: strict)",
    )


def _parse(known: frozenset[Quirk], names: str) -> frozenset[Quirk]:
    if not names.strip(", "):
        raise ArgumentTypeError("it must be a name of a quirk or profile, or several, separated by commas")
    try:
        return quirks_named(names, known=known)
    except LocalProtocolError as error:
        raise ArgumentTypeError(str(error)) from error
