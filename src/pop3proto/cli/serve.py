"""`pop3proto serve`: serve Maildirs over POP3."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import shlex
import signal
import ssl
from argparse import ArgumentTypeError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
from typing_extensions import override

from pop3proto._io.listening import FEW_DESCRIPTORS
from pop3proto.asyncio import serve
from pop3proto.cli.paths import path_argument
from pop3proto.cli.process import disable_core_dumps, raise_descriptor_limit, warn_if_readable
from pop3proto.cli.protection import add_protection_arguments, check_logins, protected
from pop3proto.cli.quirks import add_quirks_argument
from pop3proto.cli.users import SERVE_USAGE, Users, add_user_arguments
from pop3proto.core.quirks import SERVER_QUIRKS
from pop3proto.core.text import visible
from pop3proto.fetching.wording import cannot, reason
from pop3proto.logs import LogObserver
from pop3proto.procedures.server.service import Service
from pop3proto.serving.log.stderr import StderrLines

from .exit_statuses import CONFIGURATION
from .failures import USAGE, Failure, warn
from .status_help import OF_SERVER, add_statuses

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Generator
    from pathlib import Path

    from pop3proto.asyncio import Server
    from pop3proto.procedures.cleartext import TlsMode

__all__ = ["DESCRIPTION", "ServerTls", "add_arguments", "add_tls_arguments", "run"]

_PEM_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----")
_PEM_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")


def add_tls_arguments(parser: ArgumentParser) -> None:
    """Add the arguments about TLS to a parser."""
    parser.add_argument(
        "--certificate",
        type=path_argument,
        metavar="FILE",
        help="offer TLS, with the certificate chain in this file (PEM): the server's certificate, then intermediate "
        "certificates",
    )
    parser.add_argument(
        "--key",
        type=path_argument,
        metavar="FILE",
        help="the private key (PEM), if it is not in the --certificate file",
    )
    parser.add_argument(
        "--tls",
        choices=("starttls", "implicit"),
        help="how TLS starts: by STLS (starttls, the default with --certificate), or from the start of the connection "
        "(implicit)",
    )


@attrs.frozen
class ServerTls:
    """How TLS starts, and the certificate and key files.

    Args:
        mode: how TLS starts.
        certificate: path of the certificate file; None without TLS.
        key: path of the private key file; None if the key is in the certificate file.
    """

    mode: TlsMode
    certificate: Path | None
    key: Path | None

    @classmethod
    def of(cls, arguments: Namespace) -> ServerTls:
        """Return the TLS settings from the arguments.

        Raises:
            Failure: the arguments do not go together, or the files cannot be used.
        """
        certificate: Path | None = arguments.certificate
        key: Path | None = arguments.key
        mode: TlsMode | None = arguments.tls
        if certificate is None:
            if mode is not None or key is not None:
                raise Failure(f"{'--key' if mode is None else '--tls'} needs --certificate", USAGE)
            return cls("none", None, None)
        _check(certificate, key)
        return cls(mode or "starttls", certificate, key)

    @property
    def port(self) -> int:
        """The default port: the registered one plus 1000, so that the server does not need root."""
        return 1995 if self.mode == "implicit" else 1110

    @property
    def words(self) -> str:
        """How TLS starts, in words for the user."""
        return {"none": "without TLS", "starttls": "with STLS", "implicit": "over TLS"}[self.mode]


def _check(certificate: Path, key: Path | None) -> None:
    """Check certificate and key, for error messages that name the file at fault; those of OpenSSL do not.

    A key that all users of this machine can read is used, and the user is warned.
    """
    if _PEM_CERTIFICATE.search(_read(certificate, "certificate")) is None:
        raise Failure(f"{certificate} holds no certificate (PEM)")
    key_file = key or certificate
    if _PEM_KEY.search(_read(key_file, "private key")) is None:
        raise Failure(f"{key_file} holds no private key (PEM){'' if key else '; give the key file with --key'}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _refuse_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Failure(f"the private key in {key_file} does not match the certificate in {certificate}") from error
        why = error.reason.replace("_", " ").lower() if error.reason else "OpenSSL cannot read them"
        raise Failure(f"cannot use the certificate in {certificate} with its key: {why}") from error
    except _Encrypted:
        raise Failure(
            f"the private key in {key_file} is encrypted: encrypted private keys are not supported; decrypt it: "
            f"openssl pkey -in {shlex.quote(str(key_file))} -out NEW"
        ) from None
    warn_if_readable(key_file, key_file, "private key")


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(cannot(f"read the {what}", file, error)) from error


class _Encrypted(Exception):
    """The private key is encrypted with a passphrase."""


def _refuse_passphrase() -> NoReturn:
    raise _Encrypted


DESCRIPTION: Final = (
    "Serve a Maildir to one user, or a folder of Maildirs to many users, until Ctrl-C or SIGTERM. "
    "Choose who may log in with --user, --users or --checkpassword. Or serve what a file says, with --config."
)

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_HIGHEST_PORT: Final = 65_535
_QUIET_SHUTDOWN: Final = 0.2  # seconds; a shutdown that takes longer is announced


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, CONFIGURATION, own=OF_SERVER)
    parser.usage = SERVE_USAGE
    parser.add_argument(
        "--config",
        type=path_argument,
        metavar="FILE",
        help="serve what this configuration file (TOML) says; SIGHUP reads it again; other options are not for it",
    )
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="say what the configuration comes to and what is wrong with it, and serve nothing",
    )
    add_user_arguments(parser)
    add_tls_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=_port,
        help="the port to listen on; 0 chooses a free port (default: 1110, or 1995 with --tls implicit)",
    )
    parser.add_argument(
        "--allow-cleartext",
        action="store_true",
        help="accept passwords without TLS from other machines too; others on the network can then read them",
    )
    add_protection_arguments(parser)
    parser.add_argument(
        "--core-dumps",
        action="store_true",
        help="let the system write core files, which hold passwords, when the server crashes",
    )
    add_quirks_argument(parser, "clients", SERVER_QUIRKS)
    parser.set_defaults(usage_error=parser.error, defaults=lambda: vars(parser.parse_args([])))
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="write the dialogue of each session to standard error, without secrets and message contents",
    )


def run(arguments: Namespace) -> int:
    """Run the command: serve until a signal ends it."""
    if arguments.config is not None or arguments.check_config:
        return _run_config(arguments)
    ways = (arguments.user, arguments.users, arguments.checkpassword)
    if arguments.maildir is None or all(way is None for way in ways):
        arguments.usage_error("MAILDIR and one of --user, --users and --checkpassword are needed, or --config")
    if not arguments.core_dumps:
        disable_core_dumps()
    raise_descriptor_limit(arguments.max_sessions)
    tls = ServerTls.of(arguments)
    users = Users.of(arguments)
    service = Service(
        store=users.store,
        authenticator=users.authenticator,
        cleartext="always" if arguments.allow_cleartext else "loopback",
        quirks=arguments.quirks,
        observer=LogObserver() if arguments.verbose else None,
    )
    service = protected(service, arguments)
    check_logins(service, users.whom, tls=tls.mode != "none")
    with _logging_in_lines(logging.DEBUG if arguments.verbose else logging.WARNING):
        asyncio.run(_serve(service, arguments, users.whom, tls))
    return 0


def _run_config(arguments: Namespace) -> int:
    if not arguments.check_config:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload: it must not end the start
    from .serve_config import run_config  # noqa: PLC0415 - the short form needs none of it

    return run_config(arguments)


async def _serve(service: Service, arguments: Namespace, whom: str, tls: ServerTls) -> None:
    port: int = tls.port if arguments.port is None else arguments.port
    signals = _watch_signals(_STOP_SIGNALS)
    async with await _listen(service, arguments.host, port, tls) as server:
        host, port = server.address
        if tls.mode == "none":
            _warn_about_cleartext(host, allowed=arguments.allow_cleartext)
        print(
            visible(f"serving {arguments.maildir} for {whom} {tls.words} on {host} port {port}; Ctrl-C ends it"),
            flush=True,
        )
        await signals.acquire()
        await _shut_down(server, signals)


async def _shut_down(server: Server, signals: asyncio.Semaphore) -> None:
    """Shut down gracefully, or at once after another signal."""
    closing = asyncio.create_task(server.close())
    again = asyncio.create_task(signals.acquire())
    either = {closing, again}
    done, _ = await asyncio.wait(either, timeout=_QUIET_SHUTDOWN, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        warn("shutting down; press Ctrl-C again to stop at once")
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not closing.done():
        await server.abort()
    again.cancel()
    await closing


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= _HIGHEST_PORT:
        raise ArgumentTypeError(f"the port must be a number from 0 to {_HIGHEST_PORT}")
    return port


async def _listen(service: Service, host: str, port: int, tls: ServerTls) -> Server:
    try:
        return await serve(service, host, port, tls=tls.mode, certificate=tls.certificate, key=tls.key)
    except OSError as error:
        why = reason(error).partition(" (while")[0]  # Python adds the address
        if isinstance(error, PermissionError):
            why += "; ports below 1024 are for root: choose another by --port"
        raise Failure(f"cannot listen on {host} port {port}: {why}") from error
    except ValueError as error:
        raise Failure(f"--host: {error}", USAGE) from error


def _warn_about_cleartext(host: str, *, allowed: bool) -> None:
    if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        return
    if allowed:
        warn("note: serving without TLS: others on the network can read passwords and mail (see --certificate)")
    else:
        warn(
            "note: serving without TLS: cleartext passwords are accepted only from this machine (see --certificate and "
            "--allow-cleartext); mail is sent in cleartext to other machines too"
        )


def _watch_signals(signals: tuple[signal.Signals, ...]) -> asyncio.Semaphore:
    """Return a semaphore that each of the signals releases.

    Signals that are ignored stay ignored: a shell sets that for background jobs.
    """
    counter = asyncio.Semaphore(0)
    for each in signals:
        if signal.getsignal(each) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(each, counter.release)
    return counter


@contextmanager
def _logging_in_lines(sessions: int = logging.WARNING) -> Generator[None]:
    """Write the library's log records to standard error, one line each. This is the program, so it may configure them.

    Args:
        sessions: the level of the logger for the dialogue of sessions.
    """
    handler = StderrLines()  # the server goes on if no program reads it
    handler.addFilter(lambda record: record.msg != FEW_DESCRIPTORS)  # `raise_descriptor_limit` has said it
    handler.setFormatter(_OneLineFormatter(datefmt="%Y-%m-%dT%H:%M:%S%z"))
    logger = logging.getLogger("pop3proto")
    logger.addHandler(handler)
    levels = {"pop3proto.sessions": sessions, "pop3proto.server": logging.INFO}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name in levels:
            logging.getLogger(name).setLevel(logging.NOTSET)
        logger.removeHandler(handler)
        handler.close()


class _OneLineFormatter(logging.Formatter):
    """Formats a record as one line with its time, with the exception's message in place of its traceback."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        why = "" if error is None else f": {error}"
        return visible(f"{self.formatTime(record, self.datefmt)} pop3proto serve: {record.getMessage()}{why}")
