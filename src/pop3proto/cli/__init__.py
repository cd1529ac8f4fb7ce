"""The command line tool: `pop3proto`, also `python -m pop3proto`."""

from __future__ import annotations

import argparse
import importlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from pop3proto import __version__
from pop3proto.fetching.failures import USAGE, Failure

from .failures import guard

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS: Final = ("demo", "fetch", "passwd", "serve")
"""The commands, in the order of the help. Each is a module of this package."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. A failure is reported in one line on standard error.

    Args:
        argv: the command line arguments; None takes those of the process.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for a usage error, 130 after Ctrl-C.

    Raises:
        SystemExit: from argparse, for `--help`, `--version` and usage errors.
    """
    return guard("pop3proto", lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = sys.argv[1:] if argv is None else argv
    # The modules of all commands take much longer to import than those of one.
    named = given[:1] if given and given[0] in _COMMANDS else ()
    parser = _parser(named or _COMMANDS)
    arguments, unknown = parser.parse_known_args(given)
    if unknown:  # `parse_args` would show the usage of the program, not that of its command
        (arguments.parser if named else parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    return guard(f"pop3proto {arguments.command}", lambda: arguments.run(arguments))


def _parser(names: Sequence[str] = _COMMANDS) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pop3proto", description="Serve Maildirs over POP3, and fetch mail by POP3.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in names:
        try:
            command = importlib.import_module(f"{__name__}.{name}")
        except ImportError as error:  # it needs what only POSIX systems have
            subparser = commands.add_parser(name, add_help=False, prefix_chars="\0", help="(not on this system)")
            subparser.add_argument("rest", nargs="*")
            subparser.set_defaults(run=partial(_refuse, str(error)))
        else:
            subparser = commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION)
            command.add_arguments(subparser)
            subparser.set_defaults(run=command.run, parser=subparser)
    return parser


def _refuse(reason: str, _arguments: argparse.Namespace) -> NoReturn:
    raise Failure(f"it does not work on this system: {reason}")
