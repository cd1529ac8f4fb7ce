"""Options of all commands that connect to a server: authorities, time limits, passwords and tokens."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Final

from pop3proto._io.tls import client_context
from pop3proto.fetching.accounts.errors import AccountError
from pop3proto.fetching.accounts.tls_files import trust_authorities
from pop3proto.fetching.accounts.url import EXTERNAL
from pop3proto.sasl.credentials import Password, Token

from .failures import USAGE, Failure
from .passwd import ask_password, read_password, read_token
from .paths import TakesArguments, path_argument

if TYPE_CHECKING:
    import ssl
    from argparse import Namespace
    from pathlib import Path

    from pop3proto.fetching.accounts.url import Address
    from pop3proto.sasl.credentials import Credentials

__all__ = [
    "add_ca_file_argument",
    "add_certificate_arguments",
    "add_secret_arguments",
    "context_of",
    "credentials_of",
    "seconds_argument",
]

_DAY: Final = 86_400
"""The longest timeout, in seconds: the system does not support timeouts of any length."""


def add_secret_arguments(parser: TakesArguments) -> None:
    """Add the arguments that say where password or token are, and how they are encoded."""
    secrets = parser.add_mutually_exclusive_group()
    secrets.add_argument(
        "--password-file",
        type=path_argument,
        metavar="FILE",
        help="file with the password in its first line; without it, you are asked for the password",
    )
    secrets.add_argument(
        "--token-file",
        type=path_argument,
        metavar="FILE",
        help="file with an OAuth access token in its first line, to use instead of a password (OAUTHBEARER, XOAUTH2)",
    )
    parser.add_argument(
        "--password-encoding",
        type=_encoding,
        metavar="NAME",
        help="the encoding of a user name or password that is not ASCII, such as latin-1, in a login by USER and PASS "
        "(default: UTF-8)",
    )


def add_ca_file_argument(parser: TakesArguments) -> None:
    """Add the argument that names authorities to trust."""
    parser.add_argument(
        "--ca-file", type=path_argument, metavar="FILE", help="trust the certificate authorities in this file too (PEM)"
    )


def add_certificate_arguments(parser: TakesArguments) -> None:
    """Add the arguments that name the client's certificate and its key."""
    parser.add_argument(
        "--certificate",
        type=path_argument,
        metavar="FILE",
        help="show the server your certificate in this file (PEM). Without --password-file and --token-file it is what "
        "logs in (EXTERNAL)",
    )
    parser.add_argument(
        "--certificate-key",
        type=path_argument,
        metavar="FILE",
        help="the private key (PEM), if it is not in the --certificate file",
    )


def seconds_argument(text: str) -> float:
    """Return a timeout.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _DAY:
        raise ArgumentTypeError(f"the timeout must be a number of seconds above 0, at most {_DAY:,} (a day)")
    return seconds


def context_of(ca_file: Path | None) -> ssl.SSLContext:
    """Return a client's TLS context, which trusts the authorities of a file, too.

    Raises:
        Failure: the file cannot be read, or holds none.
    """
    context = client_context()
    if ca_file is not None:
        try:
            trust_authorities(context, ca_file)
        except AccountError as error:
            raise Failure(str(error)) from error
    return context


def credentials_of(account: Address, arguments: Namespace) -> Credentials:
    """Return what to log in with: from a file, or typed.

    Args:
        account: whose.
        arguments: those of `add_secret_arguments`.

    Raises:
        Failure: they cannot be had, or do not fit to the login method of the account.
    """
    if account.way == EXTERNAL:
        raise Failure(
            "EXTERNAL logs in by a certificate of the client, and this command shows none: name another one, or none",
            USAGE,
        )
    if arguments.token_file is not None:
        if account.wants_token is False:
            raise Failure(f"{account.way} takes a password, not a token: use --password-file", USAGE)
        if arguments.password_encoding is not None:
            raise Failure("--password-encoding cannot be used with --token-file", USAGE)
        return Token(account.user, read_token(arguments.token_file))
    if account.wants_token:
        raise Failure(f"{account.way} takes a token, not a password: use --token-file", USAGE)
    password = read_password(arguments.password_file) if arguments.password_file else ask_password(str(account))
    return Password(account.user, password)


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except (LookupError, UnicodeError):
        raise ArgumentTypeError(f"there is no encoding {name!r}; latin-1 and utf-8 are two of them") from None
    return name
