"""The command line tool: `pop3proto`, also `python -m pop3proto`."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING, Final

from pop3proto import __version__

from .failures import USAGE, Failure, guard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["main"]

_COMMANDS: Final = {
    "backup": "write maildrops into one file",
    "deliver": "deliver a message of the mail server into a maildrop",
    "demo": "show a POP3 session between a server and a client on this machine",
    "fetch": "fetch new mail into a Maildir",
    "passwd": "add, change or remove a user in a users file",
    "probe": "find out what a POP3 server can do, and what is wrong with it",
    "purge": "remove mail that was kept long enough",
    "quota": "show how much of a quota is used, and count it anew",
    "restore": "bring the messages of a backup back",
    "serve": "serve Maildirs over POP3",
    "state": "show, forget and repair what a fetch has recorded",
    "undelete": "bring back what a user has deleted",
    "verify": "compare each message of a backup with its digest",
}
"""The commands and what they do, in the order of the help.

Each is a module of this package. That takes long to import, so it is imported when the command runs, and not for the
help.
"""

_EVERYWHERE: Final = ("demo",)
"""The commands that need no POSIX system."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. A failure is reported in one line on standard error.

    Args:
        argv: the command line arguments; None takes those of the process.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for a usage error, 130 after Ctrl-C.

    Raises:
        SystemExit: from argparse, for `--help`, `--version` and usage errors.
    """
    return guard("pop3proto", lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(given: Sequence[str]) -> int:
    if given and given[0] in _COMMANDS:
        name, rest = given[0], given[1:]
    else:
        parser = _parser()
        arguments = parser.parse_args(given)
        if arguments.command is None:
            parser.print_help(sys.stderr)
            return USAGE
        name, rest = arguments.command, arguments.rest
    return guard(f"pop3proto {name}", lambda: _run_command(name, rest))


def _run_command(name: str, given: Sequence[str]) -> int:
    command = _import(name)
    status: int = command.run(_parser_of(name, command).parse_args(given))
    return status


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:  # it needs what only POSIX systems have
        raise Failure(f"it does not work on this system: {error}") from error


def _parser() -> argparse.ArgumentParser:
    """Return the parser for all that begins with no command: it has the help, and knows no arguments of commands."""
    parser = argparse.ArgumentParser(
        prog="pop3proto", description="Serve Maildirs over POP3, fetch mail by POP3, probe servers."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, does in _COMMANDS.items():
        about = does if name in _EVERYWHERE or _is_posix() else "(not on this system)"
        command = commands.add_parser(name, add_help=False, prefix_chars="\0", help=about)
        command.add_argument("rest", nargs="*")
    return parser


def _is_posix() -> bool:
    try:
        import fcntl as _  # noqa: F401, PLC0415 - as above
    except ImportError:
        return False
    return True


def _parser_of(name: str, command: ModuleType) -> argparse.ArgumentParser:
    make: type[argparse.ArgumentParser] = getattr(command, "Parser", argparse.ArgumentParser)
    parser = make(prog=f"pop3proto {name}", description=command.DESCRIPTION)
    command.add_arguments(parser)
    return parser
