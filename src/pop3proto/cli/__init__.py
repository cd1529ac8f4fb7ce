"""The command line tool: `pop3proto`, also `python -m pop3proto`."""

from __future__ import annotations

import argparse
import importlib
import sys
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pop3proto import __version__
from pop3proto.fetching.failures import USAGE, Failure

from .failures import guard

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


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
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    return guard(f"pop3proto {arguments.command}", lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pop3proto", description="Serve Maildirs over POP3, and fetch mail by POP3.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in ("demo", "fetch", "passwd", "serve"):
        try:
            command = importlib.import_module(f".{name}", __package__)
        except ImportError as error:  # it needs what only POSIX systems have
            subparser = commands.add_parser(name, add_help=False, prefix_chars="\0", help="(not on this system)")
            subparser.add_argument("rest", nargs="*")
            subparser.set_defaults(run=partial(_refuse, str(error)))
        else:
            subparser = commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION)
            command.add_arguments(subparser)
            subparser.set_defaults(run=command.run)
    return parser


def _refuse(reason: str, _arguments: argparse.Namespace) -> NoReturn:
    raise Failure(f"it does not work on this system: {reason}")
