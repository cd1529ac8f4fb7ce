"""Where an account's mail goes, as the configuration says it: data, without the destinations themselves."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cattrs reads the annotations
from typing import Final, Literal, TypeAlias

import attrs
from typing_extensions import override

from pop3proto._config.keys import about

from .errors import AccountError

__all__ = ["JOURNAL_NAME", "Target", "ToFiles", "ToMaildir", "ToMbox", "ToProgram", "ToStdout"]

JOURNAL_NAME: Final = ".pop3proto-fetched"
"""The name of the file that records what was fetched."""

_FLAGS: Final = "DFPRS"


@attrs.frozen
class ToMaildir:
    """A Maildir, or a folder in it (Maildir++)."""

    maildir: Path = attrs.field(metadata=about("the Maildir; it is created if it does not exist"))
    folder: str = attrs.field(
        default="", metadata=about("a folder in it, such as `Junk` or `Lists.python`; its name has no leading dot")
    )
    flags: str = attrs.field(
        default="",
        metadata=about("flags of new messages, such as `S` (seen): letters of `DFPRS`. Without any they are new"),
    )

    def __attrs_post_init__(self) -> None:
        parts = self.folder.split(".")
        if self.folder and ("/" in self.folder or "\0" in self.folder or not all(parts)):
            raise AccountError("folder is a name such as Junk or Lists.python: no slash, no dot at its ends")
        if len({*self.flags} & {*_FLAGS}) != len(self.flags):
            raise AccountError(f"flags are different letters of {_FLAGS}")

    @property
    def path(self) -> Path:
        """The folder that has `new`, `cur` and `tmp`."""
        return self.maildir / f".{self.folder}" if self.folder else self.maildir

    @property
    def journal(self) -> Path | None:
        """Where the journal is by default: in the folder."""
        return self.path / JOURNAL_NAME

    @override
    def __str__(self) -> str:
        flags = f", flags {self.flags}" if self.flags else ""
        return f"the Maildir {self.path}{flags}"


@attrs.frozen
class ToMbox:
    """A file in mbox format (mboxrd)."""

    mbox: Path = attrs.field(metadata=about("the mbox file; messages are appended"))

    @property
    def journal(self) -> Path | None:
        """Where the journal is by default: beside the file."""
        return self.mbox.with_name(f".{self.mbox.name}{JOURNAL_NAME}")

    @override
    def __str__(self) -> str:
        return f"the mbox file {self.mbox}"


@attrs.frozen
class ToFiles:
    """A folder with one `.eml` file for each message."""

    files: Path = attrs.field(metadata=about("the folder; each message becomes a file `.eml` in it"))

    @property
    def journal(self) -> Path | None:
        """Where the journal is by default: in the folder."""
        return self.files / JOURNAL_NAME

    @override
    def __str__(self) -> str:
        return f"files in {self.files}"


@attrs.frozen
class ToProgram:
    """A program that reads each message from its standard input."""

    program: tuple[str, ...] = attrs.field(
        metadata=about("the program and its arguments, without a shell; it reads a message from standard input")
    )

    @property
    def journal(self) -> Path | None:
        """Where the journal is by default: None is the user's state folder."""
        return None

    @override
    def __str__(self) -> str:
        return f"the program {' '.join(self.program)}"


@attrs.frozen
class ToStdout:
    """Standard output."""

    stdout: Literal[True] = attrs.field(metadata=about("`true`: messages are written to standard output"))

    @property
    def journal(self) -> Path | None:
        """Where the journal is by default: None is the user's state folder."""
        return None

    @override
    def __str__(self) -> str:
        return "standard output"


Target: TypeAlias = ToMaildir | ToMbox | ToFiles | ToProgram | ToStdout
