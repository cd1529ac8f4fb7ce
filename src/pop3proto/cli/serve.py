"""`pop3proto serve`: Maildirs over POP3."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import signal
import ssl
from argparse import ArgumentTypeError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
from typing_extensions import override

from pop3proto.asyncio import serve
from pop3proto.cli.users import Users, add_user_arguments
from pop3proto.fetching.failures import USAGE, Failure, reason, visible, warn
from pop3proto.logs import LogObserver
from pop3proto.procedures.server.service import Service

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Generator

    from pop3proto.asyncio import Server
    from pop3proto.procedures.cleartext import TlsMode

__all__ = ["DESCRIPTION", "HELP", "ServerTls", "add_arguments", "add_tls_arguments", "run"]

_PEM_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----")
_PEM_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")


def add_tls_arguments(parser: ArgumentParser) -> None:
    """Say which arguments tell of TLS."""
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="offer TLS with the certificate in this file (PEM), which those between it and its authority follow",
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the private key (PEM), if it is not in the file of the certificate"
    )
    parser.add_argument(
        "--tls",
        choices=("starttls", "implicit"),
        help="where TLS comes in: by STLS (the default with --certificate), or from the first octet",
    )


@attrs.frozen
class ServerTls:
    """Where TLS comes in, and the files that it takes.

    Args:
        mode: where.
        certificate: the file; None without TLS.
        key: the file, if it is another.
    """

    mode: TlsMode
    certificate: Path | None
    key: Path | None

    @classmethod
    def of(cls, arguments: Namespace) -> ServerTls:
        """Return what the arguments ask for.

        Raises:
            Failure: they make no sense together, or the files cannot be used.
        """
        certificate: Path | None = arguments.certificate
        key: Path | None = arguments.key
        mode: TlsMode | None = arguments.tls
        if certificate is None:
            if mode is not None or key is not None:
                raise Failure(f"{'--key' if mode is None else '--tls'} goes with --certificate", USAGE)
            return cls("none", None, None)
        _check(certificate, key)
        return cls(mode or "starttls", certificate, key)

    @property
    def port(self) -> int:
        """The default port: the registered one and 1,000, so that nobody has to be root."""
        return 1995 if self.mode == "implicit" else 1110

    @property
    def words(self) -> str:
        """Where TLS comes in, for people."""
        return {"none": "without TLS", "starttls": "with STLS", "implicit": "over TLS"}[self.mode]


def _check(certificate: Path, key: Path | None) -> None:
    """Find out what is wrong before the server is told to use the files: OpenSSL does not say which file it is."""
    if _PEM_CERTIFICATE.search(_read(certificate, "certificate")) is None:
        raise Failure(f"{certificate} holds no certificate (PEM)")
    key_file = key or certificate
    if _PEM_KEY.search(_read(key_file, "private key")) is None:
        raise Failure(f"{key_file} holds no private key (PEM){'' if key else '; --key names another file'}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _refuse_to_ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Failure(f"the key in {key_file} does not belong to the certificate in {certificate}") from error
        why = error.reason.replace("_", " ").lower() if error.reason else "OpenSSL cannot read them"
        raise Failure(f"cannot use the certificate in {certificate} with its key: {why}") from error
    except _Encrypted:
        raise Failure(f"the key in {key_file} is encrypted: there is nobody to ask for its passphrase") from None


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read the {what}: {reason(error)}") from error


class _Encrypted(Exception):
    """The key has a passphrase."""


def _refuse_to_ask() -> NoReturn:
    raise _Encrypted


HELP: Final = "serve Maildirs"
DESCRIPTION: Final = (
    "Serve a Maildir to one user, or a folder of Maildirs to many, until Ctrl-C or SIGTERM. One of --user, --users and "
    "--checkpassword tells who may log in."
)

_ENDS: Final = (signal.SIGINT, signal.SIGTERM)
_HIGHEST_PORT: Final = 65_535
_MOMENT: Final = 0.2  # seconds: an end that takes no longer needs no word
_DEFAULTS: Final = {field.name: field.default for field in attrs.fields(Service)}


def add_arguments(parser: ArgumentParser) -> None:
    """Say what this command takes."""
    add_user_arguments(parser)
    add_tls_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, help="the port to listen on, 0 for any free one (default: 1110, with --tls implicit 1995)"
    )
    parser.add_argument(
        "--allow-cleartext", action="store_true", help="take passwords without TLS from other machines too"
    )
    parser.add_argument(
        "--max-sessions",
        type=_positive,
        default=_DEFAULTS["max_sessions"],
        metavar="N",
        help="so many sessions at once, and no more (default: %(default)s)",
    )
    parser.add_argument(
        "--max-sessions-per-address",
        type=_positive,
        default=_DEFAULTS["max_sessions_per_address"],
        metavar="N",
        help="so many of them from one address (default: %(default)s)",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="write what clients and server say to standard error, but no secrets and no messages",
    )


def run(arguments: Namespace) -> int:
    """Serve until a signal ends it."""
    tls = ServerTls.of(arguments)
    users = Users.of(arguments)
    service = Service(
        store=users.store,
        authenticator=users.authenticator,
        cleartext="always" if arguments.allow_cleartext else "loopback",
        max_sessions=arguments.max_sessions,
        max_sessions_per_address=arguments.max_sessions_per_address,
        observer=LogObserver() if arguments.verbose else None,
    )
    with _logging_in_lines(logging.DEBUG if arguments.verbose else logging.WARNING):
        asyncio.run(_serve(service, arguments, users.whom, tls))
    return 0


async def _serve(service: Service, arguments: Namespace, whom: str, tls: ServerTls) -> None:
    port: int = tls.port if arguments.port is None else arguments.port
    signals = _wait_readable(_ENDS)
    async with await _listen(service, arguments.host, port, tls) as server:
        host, port = server.address
        if tls.mode == "none":
            _speak_of_cleartext(host, allowed=arguments.allow_cleartext)
        print(
            visible(f"serving {arguments.maildir} for {whom} {tls.words} on {host} port {port}; Ctrl-C ends it"),
            flush=True,
        )
        await signals.acquire()
        await _end(server, signals)


async def _end(server: Server, signals: asyncio.Semaphore) -> None:
    """End gracefully, or at once if another signal comes meanwhile."""
    closing = asyncio.create_task(server.close())
    again = asyncio.create_task(signals.acquire())
    either = {closing, again}
    done, _ = await asyncio.wait(either, timeout=_MOMENT, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        warn("ending; Ctrl-C again ends it at once")
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not closing.done():
        await server.abort()
    again.cancel()
    await closing


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise ArgumentTypeError("it is a number from 1 on")
    return number


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= _HIGHEST_PORT:
        raise ArgumentTypeError(f"a port is a number from 0 to {_HIGHEST_PORT}")
    return port


async def _listen(service: Service, host: str, port: int, tls: ServerTls) -> Server:
    try:
        return await serve(service, host, port, tls=tls.mode, certificate=tls.certificate, key=tls.key)
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
        warn(
            "note: there is no TLS here, so passwords in clear are refused except from this machine "
            "(see --allow-cleartext); mail goes in clear to whoever logs in otherwise"
        )


def _wait_readable(signals: tuple[signal.Signals, ...]) -> asyncio.Semaphore:
    """Count signals, all but those that are ignored: a shell does that for what runs in the background."""
    counter = asyncio.Semaphore(0)
    for each in signals:
        if signal.getsignal(each) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(each, counter.release)
    return counter


@contextmanager
def _logging_in_lines(sessions: int = logging.WARNING) -> Generator[None]:
    """Let the library's warnings be lines like all others. Nobody else has set its logger up: this is the program.

    Args:
        sessions: from which level on it is told what happens in sessions.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    logger = logging.getLogger("pop3proto")
    logger.addHandler(handler)
    logging.getLogger("pop3proto.sessions").setLevel(sessions)
    try:
        yield
    finally:
        logging.getLogger("pop3proto.sessions").setLevel(logging.NOTSET)
        logger.removeHandler(handler)


class _Line(logging.Formatter):
    """A record as one line: the error in place of its traceback."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        why = "" if error is None else f": {error}"
        return visible(f"pop3proto serve: {record.getMessage()}{why}")
