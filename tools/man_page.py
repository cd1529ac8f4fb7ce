"""Write the manual pages of all commands from their parsers and exit statuses: docs/man/pop3proto*.1.

    python tools/man_page.py

A test compares the files with what this makes: run it after a change of options, their help, or statuses.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pop3proto.cli import _COMMANDS, _import, _parser, _parser_of
from pop3proto.cli.exit_statuses import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pop3proto.cli.exit_statuses import ExitStatus

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "man"

STATUS_HEADING = "exit status:"
SEE_ALSO = (".SH SEE ALSO", r"\fBpop3proto\fR(1), and the documentation of pop3proto.")

# What troff takes for something else: escapes, and characters that it prints as typographic ones.
ESCAPES = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


def man_page(parser: argparse.ArgumentParser, about: str, statuses: Sequence[ExitStatus] = ()) -> str:
    """Return a manual page in the language of man(7).

    Args:
        parser: any parser; its `prog` is the title, with a hyphen between its words.
        about: what the command does, in a few words.
        statuses: its exit statuses; the parser's epilog is left out then, as it holds the same table.
    """
    return "\n".join(_lines(parser, about, statuses)) + "\n"


def _lines(parser: argparse.ArgumentParser, about: str, statuses: Sequence[ExitStatus]) -> Iterator[str]:
    yield from _head_of_page(parser.prog, about)
    yield from _synopsis(parser)
    if parser.description:
        yield ".SH DESCRIPTION"
        yield from _paragraphs(parser.description, parser)
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no other way to ask
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]  # noqa: SLF001
        if not actions:
            continue
        yield f".SH {_text((group.title or 'options').removeprefix('positional ').upper())}"
        if group.description:
            yield from _paragraphs(group.description, parser)
        for action in actions:
            yield ".TP"
            yield _head(action)
            yield from _paragraphs(action.help or "", parser, action)
    if statuses:
        yield ".SH EXIT STATUS"
        yield "Of several, as with several accounts, the last one in this list."
        for status in statuses:
            yield ".TP"
            yield f".B {status.number}"
            yield f"{_text(_sentence(status.meaning))} {_text(_sentence(status.advice))}"
    elif parser.epilog:
        yield from _epilog(parser.epilog, parser)
    yield from SEE_ALSO


def _head_of_page(prog: str, about: str) -> Iterator[str]:
    name = prog.replace(" ", "-")
    yield '.\\" Written by tools/man_page.py: do not edit.'
    yield f'.TH {_text(name.upper())} 1 "" {_text(prog.partition(" ")[0])}'
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(about)}"
    yield ".SH SYNOPSIS"
    yield f".B {_text(prog)}"


def _epilog(text: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the text below the options: a table of exit statuses, and notes."""
    blocks = re.split(r"\n\s*\n", text.strip())
    for table in [block for block in blocks if block.startswith(STATUS_HEADING)]:
        yield ".SH EXIT STATUS"
        for number, meaning in re.findall(r"^ *(\d+)  (.+(?:\n {7,}.+)*)", table, re.MULTILINE):
            yield ".TP"
            yield f".B {number}"
            yield _text(_sentence(" ".join(meaning.split())))
    if notes := [block for block in blocks if not block.startswith(STATUS_HEADING)]:
        yield ".SH NOTES"
        yield from _paragraphs("\n\n".join(notes), parser)


def _synopsis(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options and arguments, a line each, as troff fills lines itself."""
    together = {
        id(action): group
        for group in parser._mutually_exclusive_groups  # noqa: SLF001 - as above
        for action in group._group_actions  # noqa: SLF001
    }
    optionals = [action for action in parser._actions if action.option_strings]  # noqa: SLF001
    positionals = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001
    done: set[int] = set()
    for action in [*optionals, *positionals]:
        if action.help == argparse.SUPPRESS or id(action) in done:
            continue
        group = together.get(id(action))
        members = [action] if group is None else group._group_actions  # noqa: SLF001
        done.update(map(id, members))
        text = " | ".join(_usage(each) for each in members if each.help != argparse.SUPPRESS)
        if group is not None and group.required and len(members) > 1:
            yield f"{{{text}}}"
        elif action.option_strings and not action.required:
            yield f"[{text}]"
        else:
            yield text


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return _values(action)
    return f"{_bold(action.option_strings[0])} {_values(action)}".rstrip()


def _head(action: argparse.Action) -> str:
    if not action.option_strings:
        return _values(action)
    return f"{', '.join(map(_bold, action.option_strings))} {_values(action)}".rstrip()


def _values(action: argparse.Action) -> str:
    """Return the values of an option or argument, as its help shows them."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(map(_italic, action.metavar))
    if action.metavar is None and action.choices is not None:
        value = f"{{{'|'.join(_bold(str(choice)) for choice in action.choices)}}}"
    else:
        value = _italic(action.metavar or (action.dest.upper() if action.option_strings else action.dest))
    match action.nargs:
        case int(number):
            return " ".join([value] * number)
        case "?":
            return f"[{value}]"
        case "*":
            return f"[{value} ...]"
        case "+":
            return f"{value} [{value} ...]"
        case _:
            return value


def _paragraphs(text: str, parser: argparse.ArgumentParser, action: argparse.Action | None = None) -> Iterator[str]:
    values = {"prog": parser.prog, **(vars(action) if action is not None else {})}
    filled = text % values if action is not None else text.replace("%(prog)s", parser.prog)
    for number, paragraph in enumerate(re.split(r"\n\s*\n", filled.strip())):
        if number:
            yield ".IP" if action is not None else ".PP"
        yield _text(" ".join(paragraph.split()))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _italic(text: str) -> str:
    return rf"\fI{_text(text)}\fR"


def _text(text: str) -> str:
    """Return a text that troff prints as it is: no escape of its own, no request at the start of a line."""
    escaped = "".join(
        ESCAPES.get(character, character if character.isascii() else rf"\[u{ord(character):04X}]") for character in text
    )
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def main_page() -> str:
    """Return the manual page of `pop3proto`: its commands, each with what it does."""
    parser = _parser()
    lines = [
        *_head_of_page("pop3proto", "serve, fetch and probe mail by POP3"),
        r"[\fB\-h\fR | \fB\-\-version\fR | \fICOMMAND\fR ...]",
        ".SH DESCRIPTION",
        *_paragraphs(parser.description or "", parser),
        ".PP",
        r"Each command has a page of its own, as \fBpop3proto\-fetch\fR(1), and tells its options with \fB\-\-help\fR.",
        ".SH COMMANDS",
    ]
    for name, does in _COMMANDS.items():
        lines += [".TP", f".B {name}", _text(_sentence(does))]
    return "\n".join([*lines, *SEE_ALSO]) + "\n"


def pages() -> dict[str, str]:
    """Return all manual pages by the names of their files."""
    found = {"pop3proto.1": main_page()}
    for name, about in _COMMANDS.items():
        parser = _parser_of(name, _import(name))
        found[f"pop3proto-{name}.1"] = man_page(parser, about, STATUSES if name == "fetch" else ())
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, page in pages().items():
        (FOLDER / file).write_text(page, encoding="utf-8")
        print(FOLDER / file)
