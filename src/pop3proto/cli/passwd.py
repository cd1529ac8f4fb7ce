"""`pop3proto passwd`, and how commands get passwords: from files, from the terminal."""

from __future__ import annotations

import getpass
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pop3proto.authenticators.user_table import prepare_name
from pop3proto.authenticators.users_file import remove_user, set_password
from pop3proto.core.errors import LocalProtocolError
from pop3proto.fetching.failures import USAGE, Failure, reason, visible, warn
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.oauth import check_visible

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "ask_password", "read_password", "read_token", "run"]

HELP: Final = "set a user's password"
DESCRIPTION: Final = (
    "Set a user's password in a file of users, which is made if there is none, or remove the user. The file holds no "
    "passwords; what it holds verifies them. A server that runs takes note."
)

_OTHERS: Final = 0o007


def add_arguments(parser: ArgumentParser) -> None:
    """Say what this command takes."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the file of users")
    parser.add_argument("user", metavar="USER", help="whose password it is")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="its first line is the password; without this option it is asked for on the terminal, twice",
    )
    either.add_argument("--delete", action="store_true", help="remove the user instead")


def run(arguments: Namespace) -> int:
    """Change the file."""
    file: Path = arguments.file
    user = _checked_user(arguments.user)
    did = _remove(file, user) if arguments.delete else _set(file, user, arguments.password_file)
    print(visible(f"{did} {file}"))
    if file.stat().st_mode & _OTHERS:
        warn(f"note: {file} is open to everybody on this machine, and passwords can be guessed from it")
    return 0


def _checked_user(user: str) -> str:
    try:
        return prepare_name(user)
    except (MechanismError, LocalProtocolError) as error:
        raise Failure(f"nobody could log in with this name: {error}", USAGE) from error


def _remove(file: Path, user: str) -> str:
    if not remove_user(file, user):
        raise Failure(f"there is no user {user} in {file}")
    return f"removed {user} from"


def _set(file: Path, user: str, password_file: Path | None) -> str:
    password = _ask_twice(user) if password_file is None else read_password(password_file)
    try:
        new = set_password(file, user, password)
    except MechanismError as error:
        raise Failure(f"nobody could log in with this password: {error}") from error
    except (ValueError, MemoryError) as error:
        raise Failure(f"the hash cannot be computed: {reason(error) or 'not enough memory'}") from error
    return f"added {user} to" if new else f"changed the password of {user} in"


def _ask_twice(user: str) -> str:
    password = ask_password(user)
    if ask_password(f"{user}, again") != password:
        raise Failure("the two passwords are not the same; nothing has changed")
    return password


# Octets; somebody may name a file that is none of these.
_LONGEST_PASSWORD: Final = 4_096
_LONGEST_TOKEN: Final = 65_536


def read_password(path: Path) -> str:
    """Return the first line of a file without its line end. Anything else, blanks too, belongs to the password.

    Raises:
        Failure: there is none to be had.
    """
    return _first_line(path, "password", _LONGEST_PASSWORD)


def read_token(path: Path) -> str:
    """Return the OAuth access token in the first line of a file, without blanks around it.

    Raises:
        Failure: there is none to be had.
    """
    token = _first_line(path, "token", _LONGEST_TOKEN).strip()
    try:
        check_visible(token, "an access token")
    except MechanismError as error:
        raise Failure(f"the first line of the token file {path} is none: {error}") from None
    return token


def _first_line(path: Path, what: str, longest: int) -> str:
    try:
        with path.open("rb") as file:
            line = file.readline(longest)
    except OSError as error:
        raise Failure(f"cannot read the {what} file: {reason(error)}") from error
    try:
        # With "sig": some editors begin a file with U+FEFF, which nobody sees.
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None  # the error holds the line, so nothing is raised while it is handled
    if text is None:
        raise Failure(f"the {what} file {path} is not UTF-8")
    if not text:
        raise Failure(f"the first line of the {what} file {path} is empty")
    if len(line) == longest:
        raise Failure(f"the first line of the {what} file {path} is too long for a {what}")
    return text


def ask_password(whose: str) -> str:
    """Ask for a password on the terminal, without showing it.

    Raises:
        Failure: there is no terminal, or no answer.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would be shown, or read from a pipe
            password = getpass.getpass(f"Password for {whose}: ")
    except (EOFError, OSError, getpass.GetPassWarning):
        raise Failure("there is no terminal to ask for the password on: use --password-file") from None
    if not password:
        raise Failure("no password was given")
    return password
