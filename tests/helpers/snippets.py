"""The Python in README.md and the pages of docs, and what each block is said to print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs
from typing_extensions import override

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)

_SNIPPET = re.compile(r"^```python\n(.*?)^```\n(?:\s*^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^```sh\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Snippet:
    """A block of Python, and what it prints if a block of text follows at once."""

    page: Path
    line: int
    code: str
    output: str | None

    @override
    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def snippets(*pages: Path) -> Iterator[Snippet]:
    for page in pages:
        text = page.read_text("utf-8")
        for match in _SNIPPET.finditer(text):
            yield Snippet(page, text.count("\n", 0, match.start()) + 2, match[1], match[2])


def shell_commands(page: Path) -> list[str]:
    """The lines of the shell blocks of a page."""
    return [line for block in _COMMANDS.findall(page.read_text("utf-8")) for line in block.splitlines()]
