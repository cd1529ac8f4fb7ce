"""Count the code lines of each package: without docstrings, comments, blank lines, imports and `__all__`.

A count above its limit is marked with `!`. The exit status is always 0: clarity comes before the limits.

    python tools/count_lines.py
"""

import ast
import io
import token
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src" / "pop3proto"
QUIET = {token.NEWLINE, token.NL, token.INDENT, token.DEDENT, token.COMMENT, token.ENDMARKER, token.ENCODING}

CORE = 2_000
ADAPTERS = 1_500
FILES = 100
LONGEST, SHORTEST = 350, 40  # total lines of a module
ADAPTER_PACKAGES = ("_io", "_aio", "asyncio", "blocking", "trio")


def code_lines(source: bytes) -> int:
    """Return the number of code lines of a module."""
    lines: set[int] = set()
    for item in tokenize.tokenize(io.BytesIO(source).readline):
        if item.type not in QUIET:
            lines |= set(range(item.start[0], item.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and is_quiet(node):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def is_quiet(node: ast.AST) -> bool:
    """Return whether a statement does not count: docstring, import, `__all__`, or `if TYPE_CHECKING`."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


def main() -> None:
    """Print the table."""
    packages: Counter[str] = Counter()
    modules = sorted(SOURCE.rglob("*.py"))
    notes: list[str] = []
    for path in modules:
        octets = path.read_bytes()
        name = str(path.relative_to(SOURCE))
        packages[name.partition("/")[0] if "/" in name else "."] += code_lines(octets)
        length = len(octets.splitlines())
        if length > LONGEST:
            notes.append(f"! {name} has {length} lines, more than {LONGEST}")
        if length < SHORTEST and path.name not in {"__init__.py", "__main__.py"}:
            notes.append(f"! {name} has {length} lines, fewer than {SHORTEST}")
    for package, count in sorted(packages.items()):
        print(f"{count:6,}  {package}")
    adapters = sum(packages[package] for package in ADAPTER_PACKAGES)
    files = sum(path.name != "__init__.py" for path in modules)
    for what, count, bound in (
        ("code lines of core", packages["core"], CORE),
        ("code lines of the three adapters with _io and _aio", adapters, ADAPTERS),
        (f"modules, and {len(modules) - files} __init__.py", files, FILES),
    ):
        print(f"{'!' if count >= bound else ' '} {count:,} {what} (under {bound:,})")
    print(*notes, sep="\n")


if __name__ == "__main__":
    main()
