"""All commands, and the parser of command lines (`Vocabulary`) that servers use."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from .authorization import Apop, Auth, AuthList, Pass, Stls, User, Utf8
from .command import Command, NumberedCommand, PlainCommand
from .errors import LocalProtocolError
from .transaction import Capa, Dele, Lang, LangList, List, ListOne, Noop, Quit, Retr, Rset, Stat, Top, Uidl, UidlOne

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = [
    "STANDARD",
    "Apop",
    "Auth",
    "AuthList",
    "Capa",
    "Command",
    "Dele",
    "Lang",
    "LangList",
    "List",
    "ListOne",
    "Noop",
    "NumberedCommand",
    "Pass",
    "PlainCommand",
    "Quit",
    "Retr",
    "Rset",
    "Stat",
    "Stls",
    "Top",
    "Uidl",
    "UidlOne",
    "User",
    "Utf8",
    "Vocabulary",
    "vocabulary_of",
]

AnyCommand: TypeAlias = "type[Command[object]]"

_BEFORE_LOGIN: Final = frozenset[AnyCommand]((User, Pass, Apop, Auth, AuthList, Stls, Utf8))
_ANYWHERE: Final = frozenset[AnyCommand]((Capa, Lang, LangList, Quit))
_AFTER_LOGIN: Final = frozenset[AnyCommand]((Stat, List, ListOne, Uidl, UidlOne, Retr, Top, Dele, Noop, Rset))
STANDARD: Final = _BEFORE_LOGIN | _ANYWHERE | _AFTER_LOGIN
"""The commands that servers accept by default. To add a private verb: `STANDARD | {XtndXmit}`."""


class Vocabulary:
    """A set of commands, by verb; parses command lines on the server's side."""

    __slots__ = ("_bare", "_with_arguments")

    def __init__(self, commands: AbstractSet[AnyCommand] = STANDARD) -> None:
        """Build the tables of verbs.

        Args:
            commands: the command classes.

        Raises:
            LocalProtocolError: two classes have the same verb and `takes_arguments`; or a class lacks `legal_in`, or
                its verb is not in upper case.
        """
        self._bare: dict[bytes, AnyCommand] = {}
        self._with_arguments: dict[bytes, AnyCommand] = {}
        for command in commands:
            if not hasattr(command, "legal_in") or command.verb != command.verb.upper():
                raise LocalProtocolError(f"command class {command.__name__} must set legal_in, and verb in upper case")
            forms = self._with_arguments if command.takes_arguments else self._bare
            if forms.setdefault(command.verb.encode(), command) is not command:
                raise LocalProtocolError(
                    f"two command classes have the verb {command.verb} and the same takes_arguments"
                )

    def parse(self, line: bytes) -> Command[object]:
        """Parse a command line without its CRLF.

        The verb may have any case. Spaces at the end are ignored, except in a password.

        Raises:
            LocalProtocolError: it is not a valid command; the message is suitable as the text of the reply.
        """
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise LocalProtocolError("a command must not contain CR, LF or NUL")
        verb, _, rest = line.partition(b" ")
        if verb not in self._bare and verb not in self._with_arguments:
            verb = verb.upper()
        bare, full = self._bare.get(verb), self._with_arguments.get(verb)
        arguments = rest if full is not None and full.trailing_blanks else rest.rstrip(b" ")
        if arguments and (command := full or bare) is not None:
            return command.from_arguments(arguments)
        if not arguments and bare is not None:
            return bare()
        raise LocalProtocolError("unknown command" if full is None else f"{full.verb} needs an argument")


@lru_cache(maxsize=32)
def vocabulary_of(commands: frozenset[AnyCommand]) -> Vocabulary:
    """Return the vocabulary of these commands: the same one each time, which connections share."""
    return Vocabulary(commands)
