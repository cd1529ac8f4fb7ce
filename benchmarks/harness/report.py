"""Tables of figures: as text, as JSON, and as a drawing."""

from __future__ import annotations

import json
import math
import platform
import sys
import sysconfig
from collections.abc import Sequence
from xml.sax.saxutils import escape

from attrs import asdict, field, frozen

import pop3proto


@frozen
class Row:
    """A row of a table.

    Args:
        name: what was measured.
        figures: one for each column, as far as there are any; None: not measured.
        note: what to know about it: that it gives up, or that its output is wrong.
        rounds: the seconds of all rounds, for those who want to compute their own figures.
    """

    name: str
    figures: tuple[float | str | None, ...] = ()
    note: str = ""
    rounds: dict[str, list[float]] = field(factory=dict)


@frozen
class Table:
    """Figures of several contenders, side by side."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        """Return it as plain text."""
        cells = [[self.title, *self.columns]]
        for row in self.rows:
            figures = [*row.figures, *[None] * (len(self.columns) - len(row.figures))]
            cells.append(["  " + row.name, *map(shown, figures)])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        notes = ["", *(row.note for row in self.rows)]
        lines: list[str] = []
        for (name, *figures), note in zip(cells, notes, strict=True):
            aligned = [name.ljust(widths[0]), *map(str.rjust, figures, widths[1:]), note]
            lines.append("  ".join(aligned).rstrip())
        return "\n".join(lines)


def shown(figure: float | str | None) -> str:
    if figure is None:
        return "-"
    if isinstance(figure, str):
        return figure
    return f"{figure:.0f}" if figure >= 100 or figure == int(figure) else f"{figure:.2f}"


def build() -> str:
    """Say which Python this is, and how it was built: the same version may differ twofold between builds."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimized = [word for word in ("enable-optimizations", "with-lto") if word in options]
    how = f"built {'with ' + ', '.join(optimized) if optimized else 'without PGO'}"
    return f"{platform.python_implementation()} {platform.python_version()} ({sys.executable}, {how})"


def as_json(tables: Sequence[Table]) -> str:
    machine = {"python": build(), "machine": platform.machine(), "pop3proto": pop3proto.__version__}
    return json.dumps({**machine, "tables": [asdict(table) for table in tables]}, indent=1)


BAR, LEFT, WIDTH = 16, 330, 420


def as_svg(tables: Sequence[Table]) -> str:
    """Draw, for each table that compares, how many times as fast as its first reference each row is; logarithmic."""
    drawn: list[str] = []
    y = BAR
    for table in tables:
        at = next((at for at, column in enumerate(table.columns) if column.startswith("x ")), None)
        speeds = [] if at is None else speeds_of(table, at)
        if at is None or not speeds:
            continue
        drawn.append(text(0, y, f"{table.title} ({table.columns[at]})", "bold"))
        y += BAR
        most = max(max(speed, 1 / speed, 2) for _, speed in speeds)
        for name, speed in speeds:
            length = max(1.0, WIDTH * share(speed, most))
            drawn.append(text(10, y, name))
            drawn.append(f'<rect x="{LEFT}" y="{y - BAR + 5}" width="{length:.0f}" height="{BAR - 4}" fill="#4a7fb5"/>')
            drawn.append(text(LEFT + length + 6, y, f"{speed:.2f}"))
            y += BAR
        one = LEFT + WIDTH * share(1, most)
        top = y - BAR * len(speeds) - BAR + 5
        drawn.append(f'<line x1="{one:.0f}" x2="{one:.0f}" y1="{top}" y2="{y - BAR + 5}" stroke="#888"/>')
        y += BAR
    size = f'width="{LEFT + WIDTH + 60}" height="{y}"'
    style = 'font-family="sans-serif" font-size="11" fill="#888"'  # legible on light and on dark
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(drawn) + "\n</svg>\n"


def speeds_of(table: Table, at: int) -> list[tuple[str, float]]:
    figures = [(row.name, row.figures[at]) for row in table.rows if len(row.figures) > at]
    return [(name, figure) for name, figure in figures if isinstance(figure, float | int)]


def share(speed: float, most: float) -> float:
    """Return how long a bar is, of the longest possible one: the speeds lie between 1/most and most."""
    return (math.log(speed * most) + 0.1) / (2 * math.log(most) + 0.1)


def text(x: float, y: float, words: str, weight: str = "normal") -> str:
    return f'<text x="{x:.0f}" y="{y}" font-weight="{weight}">{escape(words)}</text>'
