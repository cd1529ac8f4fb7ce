"""The vocabulary: every command, and how a server reads a line."""

from __future__ import annotations

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
]

AnyCommand: TypeAlias = "type[Command[object]]"

_BEFORE_LOGIN: Final = frozenset[AnyCommand]((User, Pass, Apop, Auth, AuthList, Stls, Utf8))
_ANYWHERE: Final = frozenset[AnyCommand]((Capa, Lang, LangList, Quit))
_AFTER_LOGIN: Final = frozenset[AnyCommand]((Stat, List, ListOne, Uidl, UidlOne, Retr, Top, Dele, Noop, Rset))
STANDARD: Final = _BEFORE_LOGIN | _ANYWHERE | _AFTER_LOGIN
"""The commands that a server reads if it is not told otherwise. A private verb: `STANDARD | {XtndXmit}`."""


class Vocabulary:
    """The commands that a server reads."""

    __slots__ = ("_bare", "_with_arguments")

    def __init__(self, commands: AbstractSet[AnyCommand] = STANDARD) -> None:
        """Build the tables.

        Args:
            commands: the classes.

        Raises:
            LocalProtocolError: two of them claim the same form of a verb, or one lacks a declaration.
        """
        self._bare: dict[bytes, AnyCommand] = {}
        self._with_arguments: dict[bytes, AnyCommand] = {}
        for command in commands:
            if not hasattr(command, "legal_in") or command.verb != command.verb.upper():
                raise LocalProtocolError(f"{command.__name__} must declare legal_in, and a verb in upper case")
            forms = self._with_arguments if command.takes_arguments else self._bare
            if forms.setdefault(command.verb.encode(), command) is not command:
                raise LocalProtocolError(f"two commands claim the same form of {command.verb}")

    def parse(self, line: bytes) -> Command[object]:
        """Return the command of a line without its CRLF.

        The verb may have any case; blanks at the end mean nothing, except in a password.

        Raises:
            LocalProtocolError: it is none; the message is fit to be answered.
        """
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise LocalProtocolError("a command must not hold CR, LF or NUL")
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
