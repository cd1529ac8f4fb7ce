"""A terminal as wide as it is told to be: what stands on it after a program has written to it."""

from __future__ import annotations

import re

try:
    from rich.cells import cell_len
except ImportError:
    from pop3proto.cli.fetch_words import columns as cell_len

_PART = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """Knows text, carriage returns, line feeds, and the sequences for the cursor, for erasing and for colours.

    Anything else fails, as do lines that are longer than the screen is wide: they would break what is drawn over them.
    """

    def __init__(self, width: int = 80) -> None:
        self.width = width
        self.lines = [""]
        self.row = self.column = 0
        self.cursor = True
        self.coloured = False
        self.wrapped: list[str] = []

    def feed(self, text: str) -> None:
        end = 0
        for part in _PART.finditer(text):
            assert part.start() == end, f"unknown: {text[end : part.start()]!r}"
            end = part.end()
            argument, command, motion, written = part.groups()
            if written is not None:
                self._write(written)
            elif motion == "\r":
                self.column = 0
            elif motion == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            else:
                self._obey(argument, command)
        assert end == len(text), f"unknown: {text[end:]!r}"

    def _write(self, text: str) -> None:
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)
        line = self.lines[self.row]
        # Combining characters take no column; which take two, terminals do not agree on.
        if min(len(line), cell_len(line)) > self.width:
            self.wrapped.append(line)

    def _obey(self, argument: str, command: str) -> None:
        match command, argument:
            case "A", _:
                self.row -= int(argument or 1)
                assert self.row >= 0
            case "K", "2":
                self.lines[self.row] = ""
            case (("h" | "l"), "?25"):
                self.cursor = command == "h"
            case "m", _:
                self.coloured |= argument not in {"", "0"}
            case _:
                raise AssertionError(f"unknown: {argument}{command}")

    @property
    def shown(self) -> list[str]:
        """The lines that are not empty."""
        return [line.rstrip() for line in self.lines if line.strip()]
