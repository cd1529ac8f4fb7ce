"""Write the manual pages of all commands from their parsers: docs/man/pop3proto*.1.

    python tools/man_page.py

A test compares the files with what this makes: run it after a change of options, their help, statuses, or the version.
The pages have no date, so that the same source makes the same pages.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import man_tables

from pop3proto import __version__
from pop3proto.cli import _COMMANDS, _import, _parser, _parser_of
from pop3proto.cli.exit_statuses import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pop3proto.cli.exit_statuses import ExitStatus

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "man"

STATUS_HEADING = "exit status:"
LINE = 78  # octets; mandoc complains of lines longer than 80

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


def main_page() -> str:
    """Return the manual page of `pop3proto`: its commands, each with what it does."""
    parser = _parser()
    lines = [
        *_head_of_page("pop3proto", "serve and fetch mail by POP3, and probe servers"),
        *_usage_block("pop3proto", [r"\fICOMMAND\fR", r"[\fIARGUMENT\fR ...]"]),
        *_usage_block("pop3proto", [r"{\fB\-h\fR | \fB\-\-version\fR}"]),
        ".SH DESCRIPTION",
        *_paragraphs(parser.description or ""),
        ".PP",
        r"Each command has a page of its own, and tells its options with \fB\-\-help\fR.",
        ".SH COMMANDS",
    ]
    for name, does in _COMMANDS.items():
        lines += [*_entry(f"{_bold(f'pop3proto-{name}')}(1)"), *_filled(_sentence(does))]
    lines.append(".SH OPTIONS")
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if action.option_strings:
            lines += [*_entry(_head(action)), *_paragraphs(action.help or "", parser, action)]
    lines += [".SH EXIT STATUS", "That of the command. Without a command it is 2."]
    return "\n".join([*lines, *_below("pop3proto")]) + "\n"


def pages() -> dict[str, str]:
    """Return all manual pages by the names of their files."""
    found = {"pop3proto.1": main_page()}
    for name, about in _COMMANDS.items():
        parser = _parser_of(name, _import(name))
        found[f"pop3proto-{name}.1"] = man_page(parser, about, STATUSES if name == "fetch" else ())
    return found


# ------------------------------------------------------------------------------------------- sections


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
        yield _heading(group.title or "options")
        if group.description:
            yield from _paragraphs(group.description, parser)
        for action in actions:
            yield from _described(action, parser)
    if statuses:
        yield ".SH EXIT STATUS"
        yield "Of several, as with several accounts, the last one in this list."
        for status in statuses:
            yield from _entry(_bold(str(status.number)))
            yield from _filled(f"{_sentence(status.meaning)} {_sentence(status.advice)}")
    elif parser.epilog:
        yield from _epilog(parser.epilog, parser)
    yield from _units(parser)
    yield from _below(parser.prog.replace(" ", "-"))


def _head_of_page(prog: str, about: str) -> Iterator[str]:
    name = prog.replace(" ", "-")
    yield '.\\" Written by tools/man_page.py: do not edit.'
    yield f'.TH {_text(name.upper())} 1 "" "pop3proto {_text(__version__)}"'
    yield from (".nh", ".ad l")  # an option with a hyphen in it can be neither found nor copied
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(about)}"
    yield ".SH SYNOPSIS"


def _heading(title: str) -> str:
    """Return the heading of a group; those beside arguments and options are parts of the options."""
    title = title.removeprefix("positional ")
    return (
        f".SH {title.upper()}" if title in {"arguments", "options"} else f".SS {_text(title[:1].upper() + title[1:])}"
    )


def _described(action: argparse.Action, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield an option or argument with its help.

    An argument that stands for several things has an entry for each: a paragraph of its help that begins with its name.
    """
    paragraphs = (action.help or "").split("\n\n")
    things = re.findall(r"^(\w[\w .-]*): (.+)", action.help or "", re.MULTILINE)
    if not action.option_strings and len(things) == len(paragraphs) > 1:
        for name, text in things:
            yield from _entry(_words(name))
            yield from _paragraphs(text.removesuffix("."), parser, action)
        return
    yield from _entry(_head(action))
    yield from _paragraphs(action.help or "", parser, action)


def _epilog(text: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the text below the options: a table of exit statuses with what is said of them, and notes."""
    table, _, after = text.strip().partition("\n\n") if text.startswith(STATUS_HEADING) else ("", "", text)
    if table:
        yield ".SH EXIT STATUS"
        for number, meaning in re.findall(r"^ *(\d+)  (.+(?:\n {7,}.+)*)", table, re.MULTILINE):
            yield from _entry(_bold(number))
            yield from _filled(_sentence(" ".join(meaning.split())))
    if after:
        yield ".PP" if table else ".SH NOTES"
        yield from _paragraphs(after, parser)


def _units(parser: argparse.ArgumentParser) -> Iterator[str]:
    metavars = {action.metavar for action in parser._actions}  # noqa: SLF001 - as above
    if units := [name for name in man_tables.UNITS if name in metavars]:
        yield ".SH SIZES AND TIMES"
        for name in units:
            yield from _entry(_italic(name))
            yield from _filled(man_tables.UNITS[name])


def _below(page: str) -> Iterator[str]:
    """Yield the sections at the end: files and the like, and other pages."""
    for heading, entries in man_tables.sections(page):
        yield f".SH {heading}"
        for name, text in entries:
            yield from _entry(_bold(name))
            yield from _filled(text)
    yield ".SH SEE ALSO"
    others = man_tables.SEE_ALSO.get(page, ["pop3proto"])
    yield from (f".BR {_text(other)} (1)," for other in others[:-1])
    yield f".BR {_text(others[-1])} (1)"
    yield ".PP"
    yield from _filled(man_tables.documentation(page))


# ------------------------------------------------------------------------------------------- synopsis


def _usage_block(prog: str, parts: Iterable[str]) -> Iterator[str]:
    """Yield a command with its arguments; lines that are continued are indented as far as the first argument."""
    yield f'.SY "{_text(prog)}"'
    for part in parts:
        yield from _wrapped(part)
    yield ".YS"
    yield ".nh"  # .YS turns hyphenation on again


def _synopsis(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the usage as the parser has it; else its options and arguments."""
    if parser.usage:
        for line in parser.usage.splitlines():
            yield from _usage_block(parser.prog, [_words(line.strip().removeprefix("%(prog)s "))])
    else:
        yield from _usage_block(parser.prog, _usages(parser))


def _usages(parser: argparse.ArgumentParser) -> Iterator[str]:
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
    # The blanks do not let a line break between an option and its value.
    return f"{_bold(action.option_strings[0])} {_values(action)}".rstrip().replace(" ", r"\~")


def _head(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"{_value(action)} ..." if action.nargs in {"*", "+"} else _value(action)
    return f"{', '.join(map(_bold, action.option_strings))} {_values(action)}".rstrip()


def _values(action: argparse.Action) -> str:
    """Return the values of an option or argument, as its help shows them."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(map(_italic, action.metavar))
    value = _value(action)
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


def _value(action: argparse.Action) -> str:
    if action.metavar is None and action.choices is not None:
        return f"{{{'|'.join(_bold(str(choice)) for choice in action.choices)}}}"
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    return _italic(name if isinstance(name, str) else " ".join(name))


# ----------------------------------------------------------------------------------------------- text


def _entry(head: str) -> Iterator[str]:
    yield ".TP"
    yield head


def _paragraphs(
    text: str, parser: argparse.ArgumentParser | None = None, action: argparse.Action | None = None
) -> Iterator[str]:
    prog = "" if parser is None else parser.prog
    filled = text.replace("%(prog)s", prog) if action is None else text % {"prog": prog, **vars(action)}
    for number, paragraph in enumerate(re.split(r"\n\s*\n", filled.strip())):
        if number:
            yield ".IP" if action is not None else ".PP"
        yield from _filled(paragraph)


def _filled(text: str) -> Iterator[str]:
    """Yield a paragraph in lines, each sentence on its own, so that troff knows where it ends."""
    for sentence in re.split(r"(?<=[.!?]) (?=[A-Z]|--)", " ".join(text.split())):
        yield from _wrapped(_text(sentence))


def _wrapped(text: str) -> Iterator[str]:
    """Yield what troff puts together again, in lines of which none is a request."""
    for line in textwrap.wrap(text, LINE, break_long_words=False, break_on_hyphens=False):
        yield rf"\&{line}" if line.startswith(".") else line


def _words(text: str) -> str:
    """Return a usage: names of values in italics, what is typed as it stands in bold."""
    return re.sub(r"[A-Za-z-][A-Za-z-]*", lambda word: _italic(word[0]) if word[0].isupper() else _bold(word[0]), text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _italic(text: str) -> str:
    return rf"\fI{_text(text)}\fR"


def _text(text: str) -> str:
    """Return a text that troff prints as it is: no escape of its own."""
    return "".join(
        ESCAPES.get(character, character if character.isascii() else rf"\[u{ord(character):04X}]") for character in text
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, page in pages().items():
        (FOLDER / file).write_text(page, encoding="utf-8")
        print(FOLDER / file)
