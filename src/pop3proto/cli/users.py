"""The users of `pop3proto serve` and their Maildirs: one user, a users file, or a checkpassword program."""

from __future__ import annotations

import os
import shlex
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.authenticators import CheckPassword, MemoryAuthenticator, UsersFile
from pop3proto.authenticators.user_table import prepare_name
from pop3proto.core.errors import LocalProtocolError
from pop3proto.fetching.wording import cannot
from pop3proto.maildrops import MaildirStore
from pop3proto.maildrops.folders import FOLDERS, complete, is_maildir
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.saslprep import prepare

from .failures import USAGE, Failure
from .passwd import read_password
from .paths import path_argument
from .process import warn_if_readable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from pop3proto.procedures.maildrop import MaildropStore
    from pop3proto.sasl.authenticator import Authenticator

__all__ = ["SERVE_USAGE", "Users", "add_user_arguments"]

SERVE_USAGE: Final = """\
%(prog)s --config FILE [--check-config]
       %(prog)s [OPTION ...] --user USER --password-file FILE MAILDIR
       %(prog)s [OPTION ...] --users FILE MAILDIR
       %(prog)s [OPTION ...] --checkpassword COMMAND MAILDIR"""
"""The ways to call `pop3proto serve`."""


def add_user_arguments(parser: ArgumentParser) -> None:
    """Add the arguments about users to a parser."""
    parser.add_argument(
        "maildir",
        metavar="MAILDIR",
        type=path_argument,
        nargs="?",
        help="with --user, that user's Maildir (the folder that holds new and cur); with --users or --checkpassword, "
        "a folder that holds one Maildir for each user, named like the user",
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--user", help="serve one user, whose password is in --password-file")
    ways.add_argument(
        "--users", type=path_argument, metavar="FILE", help="serve the users in a file made by pop3proto passwd"
    )
    ways.add_argument(
        "--checkpassword",
        metavar="COMMAND",
        help="check passwords with a program, given with its arguments: it reads user name and password from "
        "descriptor 3 and exits with 0 (right) or 1 (wrong), like qmail's checkpassword",
    )
    parser.add_argument(
        "--follow-links",
        action="store_true",
        help="let Maildirs in MAILDIR, and their folders new and cur, be symbolic links; a user who may write to "
        "a Maildir can make them lead to the mail of others",
    )
    parser.add_argument(
        "--password-file", type=path_argument, metavar="FILE", help="file with the password of --user in its first line"
    )


@attrs.frozen
class Users:
    """The users that a server serves, and their maildrops.

    Args:
        whom: description of the users, for messages.
        authenticator: checks their passwords.
        store: holds their maildrops.
    """

    whom: str
    authenticator: Authenticator
    store: MaildropStore

    @classmethod
    def of(cls, arguments: Namespace) -> Users:
        """Return the users that the arguments select.

        Raises:
            Failure, Pop3Error, OSError: the arguments are not valid, or a file or folder cannot be used.
        """
        maildir: Path = arguments.maildir
        if arguments.password_file is not None and arguments.user is None:
            raise Failure("--password-file can only be used with --user", USAGE)
        if arguments.user is not None:
            if arguments.password_file is None:
                raise Failure("--user needs --password-file", USAGE)
            return cls._one(maildir, arguments.user, arguments.password_file, follow_links=arguments.follow_links)
        store = MaildirStore.of_folder(_checked_folder(maildir), follow_links=arguments.follow_links)
        if arguments.users is not None:
            return cls._of_file(store, arguments.users)
        return cls._of_program(store, arguments.checkpassword)

    @classmethod
    def _one(cls, maildir: Path, user: str, password_file: Path, *, follow_links: bool) -> Users:
        name = _checked_user(user)
        store = MaildirStore({name: _checked_maildir(maildir)}, follow_links=follow_links)
        return cls(user, MemoryAuthenticator({name: _checked_password(read_password(password_file))}), store)

    @classmethod
    def _of_file(cls, store: MaildropStore, file: Path) -> Users:
        try:
            warn_if_readable(file, file, "users")
            return cls(f"the users in {file}", UsersFile(file), store)
        except OSError as error:
            raise Failure(cannot("read the users file", file, error)) from error

    @classmethod
    def _of_program(cls, store: MaildropStore, line: str) -> Users:
        command = _checked_command(line)
        # The arguments are not shown: they may hold a password, for example of a directory server.
        return cls(f"the users of {command[0]}", CheckPassword(command), store)


def _checked_user(user: str) -> str:
    try:
        return prepare_name(user)
    except (MechanismError, LocalProtocolError) as error:
        raise Failure(f"--user: {error}", USAGE) from error


def _checked_password(password: str) -> str:
    """Return a prepared password. One that cannot be prepared is refused now, because every login would fail."""
    try:
        prepared = prepare(password, stored=True)
    except MechanismError as error:
        raise Failure(f"this password cannot be used to log in: {error}") from error
    if not prepared:
        raise Failure("this password cannot be used to log in: it is empty after SASLprep (RFC 4013)")
    return prepared


def _checked_maildir(maildir: Path) -> Path:
    _check_folder(maildir)
    if maildir.is_dir() and is_maildir(maildir):
        with suppress(OSError):  # a read-only one can be served if new and cur are there
            complete(maildir)
    for folder in FOLDERS:
        try:
            os.scandir(maildir / folder).close()
        except (FileNotFoundError, NotADirectoryError):
            raise Failure(f"{maildir} is not a Maildir: it has no folder {folder!r}") from None
        except OSError as error:
            raise Failure(cannot("serve", maildir, error)) from error
    return maildir


def _check_folder(folder: Path) -> None:
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise Failure(cannot("serve", folder, error)) from error


def _checked_folder(folder: Path) -> Path:
    _check_folder(folder)
    if all((folder / name).is_dir() for name in ("new", "cur")):
        raise Failure(
            f"{folder} is itself a Maildir; with --users or --checkpassword, give a folder that holds one Maildir for "
            "each user, named like the user"
        )
    return folder


def _checked_command(line: str) -> list[str]:
    try:
        command = shlex.split(line)
    except ValueError as error:
        raise Failure(f"--checkpassword is not a valid command line: {str(error).lower()}", USAGE) from error
    if not command or not command[0]:
        raise Failure("--checkpassword must name a program", USAGE)
    if shutil.which(command[0]) is None:
        raise Failure(f"--checkpassword: {command[0]} does not exist or is not executable")
    return command
