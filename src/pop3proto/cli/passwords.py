"""Where a password comes from: the first line of a file, or the terminal."""

from __future__ import annotations

import getpass
import warnings
from typing import TYPE_CHECKING, Final

from .failures import Failure, reason

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ask_password", "read_password"]

_LONGEST: Final = 4_096  # octets; somebody may name a file that is none of passwords


def read_password(path: Path) -> str:
    """Return the first line of a file without its line end. Anything else, blanks too, belongs to the password.

    Raises:
        Failure: there is none to be had.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST)
    except OSError as error:
        raise Failure(f"cannot read the password file: {reason(error)}") from error
    try:
        password = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise Failure(f"the password file {path} is not UTF-8") from None
    if not password:
        raise Failure(f"the first line of the password file {path} is empty")
    if len(line) == _LONGEST:
        raise Failure(f"the first line of the password file {path} is too long for a password")
    return password


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
