"""`pop3proto serve`: one user's Maildir over POP3."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
from argparse import ArgumentTypeError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.blocking import serve
from pop3proto.core.commands import User
from pop3proto.core.errors import LocalProtocolError
from pop3proto.maildrops import MaildirStore
from pop3proto.procedures.service import Service

from .failures import USAGE, Failure, reason, warn
from .one_user import OneUser
from .passwords import read_password
from .terminal import visible

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Generator

    from pop3proto.blocking import Server

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP: Final = "serve a Maildir"
DESCRIPTION: Final = "Serve a Maildir to one user, without TLS, until Ctrl-C or SIGTERM."

_ENDS: Final = (signal.SIGINT, signal.SIGTERM)
_HIGHEST_PORT: Final = 65_535


def add_arguments(parser: ArgumentParser) -> None:
    """Say what this command takes."""
    parser.add_argument("maildir", metavar="MAILDIR", type=Path, help="the folder that holds new and cur")
    parser.add_argument("--user", required=True, help="who may log in")
    parser.add_argument(
        "--password-file", required=True, type=Path, metavar="FILE", help="its first line is the password"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", default=1110, type=_port, help="the port to listen on, 0 for any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-cleartext", action="store_true", help="take passwords without TLS from other machines too"
    )


def run(arguments: Namespace) -> int:
    """Serve until a signal ends it."""
    maildir: Path = arguments.maildir
    service = Service(
        store=MaildirStore({_checked_user(arguments.user): _checked_maildir(maildir)}),
        authenticator=OneUser(arguments.user, read_password(arguments.password_file)),
        allow_cleartext=arguments.allow_cleartext,
    )
    # Blocked from before the first thread exists, so that the signals wait for this one and interrupt nothing.
    with _logging_in_lines(), _blocked(_ENDS) as ends, _listen(service, arguments.host, arguments.port) as server:
        host, port = server.address
        _speak_of_cleartext(host, allowed=arguments.allow_cleartext)
        print(
            visible(f"serving {maildir} for {arguments.user} on {host} port {port}; Ctrl-C ends it"),
            flush=True,
        )
        signal.sigwait(ends)
    return 0


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= _HIGHEST_PORT:
        raise ArgumentTypeError(f"a port is a number from 0 to {_HIGHEST_PORT}")
    return port


def _checked_user(user: str) -> str:
    try:
        return User(user).name
    except LocalProtocolError as error:
        raise Failure(f"--user: {error}", USAGE) from error


def _checked_maildir(maildir: Path) -> Path:
    for folder in ("new", "cur"):
        try:
            os.scandir(maildir / folder).close()
        except (FileNotFoundError, NotADirectoryError):
            raise Failure(f"{maildir} is no Maildir: there is no folder {folder!r} in it") from None
    return maildir


def _listen(service: Service, host: str, port: int) -> Server:
    try:
        return serve(service, host, port)
    except OSError as error:
        raise Failure(f"cannot listen on {host} port {port}: {reason(error)}") from error
    except UnicodeError as error:
        raise Failure(f"cannot listen on {host} port {port}: that is no host name") from error


def _speak_of_cleartext(host: str, *, allowed: bool) -> None:
    if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        return
    if allowed:
        warn("note: there is no TLS here, and others on the network can read passwords and mail")
    else:
        warn("note: there is no TLS here, so logins are refused except from this machine (see --allow-cleartext)")


@contextmanager
def _blocked(signals: tuple[signal.Signals, ...]) -> Generator[set[signal.Signals]]:
    """Let signals wait, all but those that are ignored: a shell does that for what runs in the background."""
    waiting = {each for each in signals if signal.getsignal(each) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    try:
        yield waiting
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _logging_in_lines() -> Generator[None]:
    """Let the library's warnings be lines like all others. Nobody else has set its logger up: this is the program."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    logger = logging.getLogger("pop3proto")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Line(logging.Formatter):
    """A record as one line: the error in place of its traceback."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        why = "" if error is None else f": {error}"
        return visible(f"pop3proto serve: {record.getMessage()}{why}")
