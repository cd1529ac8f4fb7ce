"""Which output `pop3proto fetch` has: by its options, and by what it writes to."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TextIO

from .fetch_json import JsonOutput
from .fetch_output import Quiet, Summaries, Verbose
from .fetch_progress import PlainPainter, Progress
from .fetch_rich import RichPainter
from .trace import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .fetch_output import Output
    from .fetch_progress import Painter

__all__ = ["choose_output", "transcript"]

_WIDTH: Final = 80
"""Columns of a terminal that does not tell."""
_UNBOUNDED: Final = 1 << 16
"""Columns where there is no terminal."""
_LISTING_LINES: Final = 10


def choose_output(  # noqa: PLR0913 - all that it depends on
    *,
    out: TextIO,
    err: TextIO,
    environment: Mapping[str, str],
    clock: Callable[[], float],
    now: Callable[[], float],
    quiet: bool = False,
    verbose: bool = False,
    bar: bool = True,
    log_format: Literal["text", "json"] = "text",
) -> Output:
    """Return the output for these options and streams.

    A bar is drawn if standard error is a terminal that can move its cursor, with rich if that is installed.

    Args:
        out: for results: standard output. Where messages themselves go there, pass standard error.
        err: for notes, problems, progress and the log of events: standard error.
        environment: that of the process: TERM, NO_COLOR, COLUMNS.
        clock: returns seconds, and never goes back: `time.monotonic`.
        now: returns the seconds since 1970: `time.time`.
        quiet: show problems alone.
        verbose: show a line for each message.
        bar: a bar may be drawn; not beside the lines of `--trace`.
        log_format: "json": a JSON object for each event.
    """
    width = partial(_columns, environment=environment)
    if log_format == "json":
        return JsonOutput(out, err, now, quiet=quiet)
    if quiet:
        return Quiet(out, err, width(out))
    if verbose:
        return Verbose(out, err, width(out))
    if bar and err.isatty() and environment.get("TERM", "") not in {"", "dumb"}:
        return Progress(out, err, _painter(err, partial(width, err), environment), clock, width(out))
    return Summaries(out, err, width(out), always=out.isatty() or err.isatty())


def transcript(output: Output, account: str | None) -> Transcript:
    """Return the observer for `--trace`: the dialogue without secrets, of messages their octets alone.

    Args:
        output: shows it.
        account: begins each line, if there are several; None: there is one.
    """
    return Transcript(partial(output.say, account), message_lines=0, listing_lines=_LISTING_LINES)


def _painter(stream: TextIO, width: Callable[[], int], environment: Mapping[str, str]) -> Painter:
    try:
        return RichPainter(stream, width, environment)
    except ImportError:  # it is an extra
        return PlainPainter(stream, width)


def _columns(stream: TextIO, environment: Mapping[str, str]) -> int:
    """Return the columns of a terminal; COLUMNS goes before what it says itself. In a file nothing is cut."""
    if (said := environment.get("COLUMNS", "")).isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH
    except (OSError, ValueError):
        return _WIDTH if stream.isatty() else _UNBOUNDED
