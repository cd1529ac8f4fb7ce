"""The destinations of `pop3proto fetch`, for trials: how the command line names them, and what is in them."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

import attrs

from pop3proto.blocking.stream import SocketDriver
from pop3proto.cli import main

__all__ = ["TARGETS", "Target", "appending", "hurried"]

PROGRAM: Final = 'cat > "$0/$$.part" && mv "$0/$$.part" "$0/$$.eml"'
"""A shell script that stores a message in a folder, or not at all."""


@attrs.frozen(kw_only=True)
class Target:
    """A destination in a folder.

    Args:
        word: what the command line says, from the folder.
        deliver: what the configuration file says instead, from the folder; "": `word` is said.
        journal: where the journal is in the folder.
        contents: returns the whole messages in it, with LF at the end of each line. Headers alone do not count.
        headers: returns how many messages there are of which only the header is there.
        is_temporary: returns whether nothing is lost with a file that it has made.
        recalls: it can tell which messages it has.
        program: `module:function` that runs the command.
        prepare: makes what must be there before.
    """

    word: Callable[[Path], str]
    deliver: Callable[[Path], str] | None = None
    journal: str
    contents: Callable[[Path], Sequence[bytes]]
    headers: Callable[[Path], int] = lambda _: 0
    is_temporary: Callable[[PurePath], bool] = lambda _: False
    recalls: bool = True
    program: str = "pop3proto.cli:main"
    prepare: Callable[[Path], object] = lambda _: None


def appending(arguments: Sequence[str]) -> int:
    """Run the command with standard output at the end of a file, the first argument."""
    try:
        descriptor = os.open(arguments[0], os.O_WRONLY | os.O_APPEND)
    except OSError as error:  # a shell says it
        sys.stderr.write(f"{error}\n")
        return 1
    os.dup2(descriptor, 1)
    os.close(descriptor)
    try:
        return main(list(arguments[1:]))
    finally:
        sys.stdout.flush()


def hurried(arguments: Sequence[str]) -> int:
    """Run the command without the pauses between two sessions."""
    SocketDriver.sleep = _no_pause
    return main(list(arguments))


async def _no_pause(*_: object) -> None:
    pass


def _unix(octets: bytes) -> bytes:
    return b"".join(line + b"\n" for line in octets.splitlines())


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _of_maildir(kind: str, place: str) -> Callable[[Path], list[bytes]]:
    is_kind = re.compile(rf"[0-9]+\.M[0-9]+{kind}").match

    def contents(folder: Path) -> list[bytes]:
        return [
            _unix(path.read_bytes())
            for where in ("new", "cur")
            for path in _files(folder / place / where, "*")
            if is_kind(path.name) or (kind == "U" and ".M" not in path.name)
        ]

    return contents


def _of_mbox(folder: Path) -> list[bytes]:
    box = folder / "box"
    entries = re.split(rb"(?m)^From pop3proto-([UH])[^\n]*\n", box.read_bytes())[1:] if box.exists() else []
    return [part.removesuffix(b"\n") for kind, part in zip(entries[::2], entries[1::2], strict=True) if kind == b"U"]


def _of_stream(folder: Path) -> list[bytes]:
    """Return all messages but those that are torn: nothing can take octets back that are in a stream."""
    entries = re.split(rb"From pop3proto [^\n]*\n", (folder / "stream").read_bytes())[1:]
    return [part[:-1] for part in entries if part.endswith(b"\n\n")]


def _in_tmp(path: PurePath) -> bool:
    return path.parent.name == "tmp"


TARGETS: Final[Mapping[str, Target]] = {
    "Maildir": Target(
        word=lambda folder: str(folder / "mail"),
        journal="mail/.pop3proto-fetched",
        contents=_of_maildir("U", "mail"),
        headers=lambda folder: len(_of_maildir("H", "mail")(folder)),
        is_temporary=_in_tmp,
    ),
    "folder of a Maildir": Target(
        word=lambda _: "it",
        deliver=lambda folder: f'{{ maildir = "{folder}/mail", folder = "Lists.python", flags = "FS" }}',
        journal="mail/.Lists.python/.pop3proto-fetched",
        contents=_of_maildir("U", "mail/.Lists.python"),
        headers=lambda folder: len(_of_maildir("H", "mail/.Lists.python")(folder)),
        is_temporary=_in_tmp,
    ),
    "mbox": Target(
        word=lambda folder: f"mbox:{folder}/box",
        journal=".box.pop3proto-fetched",
        contents=_of_mbox,
        is_temporary=lambda path: path.suffix == ".lock" or path.name.startswith("#"),
    ),
    "files": Target(
        word=lambda folder: f"files:{folder}/mail",
        journal="mail/.pop3proto-fetched",
        contents=lambda folder: [
            _unix(path.read_bytes()) for path in _files(folder / "mail", "*.eml") if ".header." not in path.name
        ],
        headers=lambda folder: len(_files(folder / "mail", "*.header.eml")),
        is_temporary=lambda path: path.suffix == ".part",
    ),
    "program": Target(
        word=lambda folder: f"program:/bin/sh -c '{PROGRAM}' {folder}/mail",
        journal="journal",
        contents=lambda folder: [path.read_bytes() for path in _files(folder / "mail", "*.eml")],
        recalls=False,
        prepare=lambda folder: (folder / "mail").mkdir(),
    ),
    "stdout": Target(
        word=lambda _: "-",
        journal="journal",
        contents=_of_stream,
        recalls=False,
        program="tests.helpers.fetch_targets:appending",
        prepare=lambda folder: (folder / "stream").touch(),
    ),
}
