"""`pop3proto passwd`, and functions that read passwords and tokens from files or the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.authenticators.user_table import prepare_name
from pop3proto.authenticators.users_file import remove_user, set_password, users
from pop3proto.core.errors import LocalProtocolError, forgetting_locals
from pop3proto.core.text import visible
from pop3proto.fetching.accounts.errors import SecretError
from pop3proto.fetching.accounts.origins import ask, first_line
from pop3proto.fetching.wording import cannot, reason
from pop3proto.sasl.mechanism import MechanismError

from .failures import USAGE, Failure, warn
from .paths import path_argument
from .process import warn_if_readable
from .status_help import add_statuses

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

__all__ = ["DESCRIPTION", "add_arguments", "ask_password", "read_password", "read_token", "run"]

DESCRIPTION: Final = (
    "Set a user's password in a users file, remove the user with --delete, or --list the users. The file is created if "
    "it does not exist. It holds no passwords, only hashes and keys that verify them. A running server uses the new "
    "file from the next login on."
)

_USAGE: Final = """\
%(prog)s [--password-file FILE] FILE USER
       %(prog)s --delete FILE USER
       %(prog)s --list FILE"""
_OTHERS: Final = 0o007


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser)
    parser.usage = _USAGE
    parser.add_argument("file", metavar="FILE", type=path_argument, help="the users file")
    parser.add_argument("user", metavar="USER", nargs="?", help="the user to add, change or remove")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--password-file",
        type=path_argument,
        metavar="FILE",
        help="file with the password in its first line; without it, you are asked for the password twice",
    )
    either.add_argument("--delete", action="store_true", help="remove the user instead")
    either.add_argument("--list", action="store_true", help="print the names of all users, a line each; without USER")


def run(arguments: Namespace) -> int:
    """Run the command: change the file, or print its users."""
    file: Path = arguments.file
    if arguments.list:
        return _list(file, arguments.user)
    if arguments.user is None:
        raise Failure("USER is missing: whose password?", USAGE)
    user = _checked_user(arguments.user)
    password = None if arguments.delete else _password(user, arguments.password_file)
    try:
        did = _remove(file, user) if password is None else _set(file, user, password)
        mode = file.stat().st_mode
    except OSError as error:
        raise Failure(cannot("change the users file", file, error)) from error
    print(visible(f"{did} {file}"))
    if mode & _OTHERS:
        warn(
            f"note: other users of this machine can access {file}, and passwords can be guessed from it; "
            f"to prevent that, run: chmod o= {file}"
        )
    return 0


def _list(file: Path, user: str | None) -> int:
    if user is not None:
        raise Failure("--list prints all users: leave out USER", USAGE)
    try:
        names = users(file)
    except OSError as error:
        raise Failure(cannot("read the users file", file, error)) from error
    for name in names:
        print(visible(name))
    return 0


def _checked_user(user: str) -> str:
    try:
        return prepare_name(user)
    except (MechanismError, LocalProtocolError) as error:
        raise Failure(f"this user name cannot be used to log in: {error}", USAGE) from error


def _remove(file: Path, user: str) -> str:
    if not remove_user(file, user):
        raise Failure(f"there is no user {user} in {file}")
    return f"removed {user} from"


def _set(file: Path, user: str, password: str) -> str:
    try:
        new = set_password(file, user, password)
    except MechanismError as error:
        raise Failure(f"this password cannot be used to log in: {error}") from error
    except (ValueError, MemoryError) as error:
        raise Failure(f"the hash cannot be computed: {reason(error) or 'not enough memory'}") from error
    return f"added {user} to" if new else f"changed the password of {user} in"


def _password(user: str, file: Path | None) -> str:
    if file is not None:
        return read_password(file)
    password = ask_password(user)
    if ask_password(f"{user}, again") != password:
        raise Failure("the two passwords differ; nothing has changed")
    return password


def read_password(path: Path) -> str:
    """Return the password in the first line of a file. Blanks belong to it, the line end does not.

    Raises:
        Failure: the file cannot be read, or its first line is not a password.
    """
    return _first_line(path, "password")


def read_token(path: Path) -> str:
    """Return the OAuth access token in the first line of a file, without blanks around it.

    Raises:
        Failure: the file cannot be read, or its first line is not an access token.
    """
    return _first_line(path, "token")


def _first_line(path: Path, what: str) -> str:
    try:
        with forgetting_locals():
            return first_line(path, what, lambda descriptor: warn_if_readable(descriptor, path, what))
    except SecretError as error:
        raise Failure(str(error)) from None


def ask_password(whose: str) -> str:
    """Ask for a password on the terminal, without echo.

    Raises:
        Failure: there is no terminal, or the password is empty.
    """
    try:
        return ask("password", whose, "use --password-file")
    except SecretError as error:
        raise Failure(str(error)) from None
