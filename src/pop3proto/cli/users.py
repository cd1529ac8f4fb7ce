"""Who may log in at `serve`, and where each one's mail is: one user, a file of users, or whom a program knows."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from pop3proto.authenticators import CheckPassword, MemoryAuthenticator, UsersFile
from pop3proto.authenticators.user_table import prepare_name
from pop3proto.core.errors import LocalProtocolError
from pop3proto.fetching.failures import USAGE, Failure
from pop3proto.maildrops import MaildirStore
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.saslprep import prepare

from .passwd import read_password

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pop3proto.procedures.maildrop import MaildropStore
    from pop3proto.sasl.authenticator import Authenticator

__all__ = ["Users", "add_user_arguments"]


def add_user_arguments(parser: ArgumentParser) -> None:
    """Say which arguments tell of users."""
    parser.add_argument(
        "maildir",
        metavar="MAILDIR",
        type=Path,
        help="the Maildir of the one --user: the folder that holds new and cur; with --users or --checkpassword, a "
        "folder that holds a Maildir for each user, named as the user",
    )
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--user", help="the one who may log in, with the password in --password-file")
    ways.add_argument(
        "--users", type=Path, metavar="FILE", help="the users in a file that `pop3proto passwd` has made may log in"
    )
    ways.add_argument(
        "--checkpassword",
        metavar="COMMAND",
        help="a program, with its arguments, tells who may log in: it reads name and password from descriptor 3 and "
        "exits with 0 or 1, as qmail's checkpassword does",
    )
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="its first line is the password of --user")


@attrs.frozen
class Users:
    """Who may log in, and where each one's mail is.

    Args:
        whom: who it is, for people.
        authenticator: knows them.
        store: holds their mail.
    """

    whom: str
    authenticator: Authenticator
    store: MaildropStore

    @classmethod
    def of(cls, arguments: Namespace) -> Users:
        """Return those whom the arguments name.

        Raises:
            Failure, Pop3Error, OSError: nobody could log in that way.
        """
        maildir: Path = arguments.maildir
        if arguments.password_file is not None and arguments.user is None:
            raise Failure("--password-file goes with --user", USAGE)
        if arguments.user is not None:
            if arguments.password_file is None:
                raise Failure("--user needs --password-file", USAGE)
            return cls._one(maildir, arguments.user, arguments.password_file)
        if arguments.users is not None:
            return cls._of_file(maildir, arguments.users)
        return cls._of_program(maildir, arguments.checkpassword)

    @classmethod
    def _one(cls, maildir: Path, user: str, password_file: Path) -> Users:
        name = _checked_user(user)
        store = MaildirStore({name: _checked_maildir(maildir)})
        return cls(user, MemoryAuthenticator({name: _checked_password(read_password(password_file))}), store)

    @classmethod
    def _of_file(cls, folder: Path, file: Path) -> Users:
        store = MaildirStore.of_folder(_checked_folder(folder))
        try:
            return cls(f"the users in {file}", UsersFile(file), store)
        except OSError as error:
            raise Failure(f"cannot read the file of users {file}: {error.strerror or error}") from error

    @classmethod
    def _of_program(cls, folder: Path, line: str) -> Users:
        store = MaildirStore.of_folder(_checked_folder(folder))
        command = _checked_command(line)
        # Its arguments are not told: there may be a password for a directory among them.
        return cls(f"the users that {command[0]} knows", CheckPassword(command), store)


def _checked_user(user: str) -> str:
    try:
        return prepare_name(user)
    except (MechanismError, LocalProtocolError) as error:
        raise Failure(f"--user: {error}", USAGE) from error


def _checked_password(password: str) -> str:
    """Return a password as it is stored. With one that no client could say, the server would refuse everybody."""
    try:
        prepared = prepare(password, stored=True)
    except MechanismError as error:
        raise Failure(f"nobody could log in with this password: {error}") from error
    if not prepared:
        raise Failure("nobody could log in with this password: nothing is left of it when it is prepared")
    return prepared


def _checked_maildir(maildir: Path) -> Path:
    for folder in ("new", "cur"):
        try:
            os.scandir(maildir / folder).close()
        except (FileNotFoundError, NotADirectoryError):
            raise Failure(f"{maildir} is no Maildir: there is no folder {folder!r} in it") from None
    return maildir


def _checked_folder(folder: Path) -> Path:
    os.scandir(folder).close()
    if all((folder / name).is_dir() for name in ("new", "cur")):
        raise Failure(f"{folder} is itself a Maildir; for many users it must hold one for each, named as the user")
    return folder


def _checked_command(line: str) -> list[str]:
    try:
        command = shlex.split(line)
    except ValueError as error:
        raise Failure(f"--checkpassword is no command line: {str(error).lower()}", USAGE) from error
    if not command or not command[0]:
        raise Failure("--checkpassword names no program", USAGE)
    if shutil.which(command[0]) is None:
        raise Failure(f"--checkpassword: there is no program {command[0]} that can be run")
    return command
