"""The progress bar of `pop3proto fetch` as rich draws it. rich is an extra, and imported when a bar is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from typing_extensions import override

from .fetch_progress import NUMBERS, Painter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.live import Live
    from rich.table import Table

    from .fetch_progress import Meter

__all__ = ["RichPainter"]


class RichPainter(Painter):
    """Draws with rich, in colours unless NO_COLOR is set.

    Args:
        stream: the terminal.
        width: returns its columns.
        environment: that of the process.

    Raises:
        ImportError: rich is not installed.
    """

    def __init__(self, stream: TextIO, width: Callable[[], int], environment: Mapping[str, str]) -> None:
        from rich.console import Console  # noqa: PLC0415 - as above

        self._width = width
        self._console = Console(
            file=stream, force_terminal=True, highlight=False, markup=False, emoji=False, _environ=environment
        )
        self._live: Live | None = None

    @override
    def draw(self, meters: Sequence[Meter], /) -> None:
        from rich.live import Live  # noqa: PLC0415 - as above

        self._console.width = self._width()
        lines = _lines(meters)
        if self._live is not None:
            self._live.update(lines, refresh=True)
        else:
            # Without a thread of its own, and without hands on sys.stdout: it draws when it is told to.
            self._live = Live(
                lines,
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)
            self._console.show_cursor(True)  # noqa: FBT003 - its own way. A process that is killed would leave it hidden

    @override
    def clear(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _lines(meters: Sequence[Meter]) -> Table:
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, min_width=NUMBERS)
    for meter in meters:
        idle = bool(meter.waiting) or not meter.all_messages
        bar = Text("") if idle else ProgressBar(total=1.0, completed=meter.fraction)
        table.add_row(Text(meter.name), bar, Text(meter.text(), overflow="ellipsis"))
    return table
