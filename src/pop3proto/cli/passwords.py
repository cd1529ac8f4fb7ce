"""Where a password or a token comes from: the first line of a file, or the terminal."""

from __future__ import annotations

import getpass
import warnings
from typing import TYPE_CHECKING, Final

from pop3proto.sasl.bearer import check_visible
from pop3proto.sasl.mechanism import MechanismError

from .failures import Failure, reason

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ask_password", "read_password", "read_token"]

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
