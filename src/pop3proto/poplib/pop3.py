"""`POP3`: the methods of the standard library's class."""

from __future__ import annotations

import hashlib
import re
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, Self, cast, overload

from typing_extensions import override

from .beyond import Beyond
from .errors import EndOfStream, Garbled, OutOfStep, QuitTimedOut, UncertainQuit, error_proto
from .standard import StandardPOP3
from .tls import default_context, over_tls
from .trace import tell

if TYPE_CHECKING:
    import builtins
    import ssl
    from types import TracebackType

    from .hooks import LongAnswer

__all__ = ["POP3", "POP3_PORT", "TIMEOUT", "UNSAID"]

POP3_PORT: Final = 110

TIMEOUT: Final = 60.0
"""Seconds that are waited if a program says nothing, and has no `socket.setdefaulttimeout`."""

UNSAID: Final[Any] = getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT", object())
"""The timeout of a program that passes none, as the standard library has it."""


class POP3(Beyond):
    """A session with a server, with the methods of `poplib.POP3`.

    As a context manager it sends QUIT at the end; left by an exception it only hangs up, and nothing is deleted.

    Args:
        host: the server's name or address.
        port: its port.
        timeout: seconds for the connection and for each answer; inside a body, each of them must bring something.
            None: no limit.

    Raises:
        error_proto: the server refused the session, or is no POP3 server.
        OSError: there is no connection.
        ValueError: the timeout is 0.
    """

    timestamp: Any = re.compile(rb"\+OK.*?(<[!-;=?-~]++>)")
    """Finds the timestamp of APOP in a greeting: printable characters alone, as others may be an attack on MD5."""

    def __init__(self, host: str, port: int = POP3_PORT, timeout: float | None = UNSAID) -> None:
        if not isinstance(cast("object", self), POP3):
            # `install` has put this class where a class of the standard library, which a program has, finds its base.
            StandardPOP3.__init__(self, host, port, cast("float", timeout))
            return
        self.host: str = host
        self.port: int = port
        self._tls_established = False
        sys.audit("poplib.connect", self, host, port)
        if timeout is UNSAID:
            timeout = TIMEOUT if (default := socket.getdefaulttimeout()) is None else default
        self._read_from(self._create_socket(timeout))
        self._debugging = 0
        try:
            self.welcome: bytes = self._getresp()
        except BaseException:
            self.close()
            raise

    def _create_socket(self, timeout: float | None) -> socket.socket:
        """Return a connected socket; a subclass may connect by other ways.

        Args:
            timeout: seconds; None: no limit.
        """
        if timeout is not None and not timeout:
            raise ValueError("Non-blocking socket (timeout=0) is not supported")
        # A program, or a test, may have put something else into the module.
        here: socket.socket = sys.modules["pop3proto.poplib"].socket.create_connection((self.host, self.port), timeout)
        return here

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send QUIT, unless it is closed or the block failed."""
        if error is None and self.sock is not None:
            self.quit()
        else:
            self.close()

    # As in the standard library.

    @override
    def getwelcome(self) -> bytes:
        """Return the greeting."""
        return self.welcome

    @override
    def set_debuglevel(self, level: int) -> None:
        """Print what is said, without secrets: 1, the commands; 2, each line of both sides; 0, nothing."""
        self._debugging = level

    @override
    def user(self, user: str) -> bytes:
        """Send the name of the user; return the answer."""
        return self._shortcmd(f"USER {user!s}")

    @override
    def pass_(self, pswd: str) -> bytes:
        """Send the password; return the answer. The maildrop is locked until `quit`."""
        return self._shortcmd(f"PASS {pswd!s}")

    @override
    def rpop(self, user: str) -> bytes:
        """Send RPOP, which RFC 1939 no longer has; return the answer."""
        return self._shortcmd(f"RPOP {user!s}")

    @override
    def apop(self, user: str, password: str) -> bytes:
        """Log in by APOP, with the timestamp of the greeting; return the answer.

        Raises:
            error_proto: the greeting has no timestamp, or one that may be an attack. Nothing was sent.
        """
        secret = bytes(password, self.encoding)
        match: re.Match[bytes] | None = self.timestamp.match(self.welcome)
        if not match:
            raise error_proto("-ERR APOP not supported by server")
        digest = hashlib.md5(match[1] + secret, usedforsecurity=False).hexdigest()
        return self._shortcmd(f"APOP {user!s} {digest}")

    @override
    def stat(self) -> tuple[int, int]:
        """Return how many messages there are, and their octets."""
        fields = self._shortcmd("STAT").split()
        if self._debugging:
            tell("stat", fields)
        if len(fields) < 3:  # noqa: PLR2004 - +OK and two numbers
            raise error_proto("Invalid STAT response format")
        try:
            return int(fields[1]), int(fields[2])
        except ValueError:
            raise error_proto("Invalid STAT response data: non-numeric values") from None

    @overload
    def list(self, which: None = None) -> LongAnswer: ...
    @overload
    def list(self, which: object) -> bytes: ...
    @override
    def list(self, which: object = None) -> bytes | LongAnswer:
        """Return the answer to LIST, the rows `number octets`, and their octets; of one message the answer alone."""
        return self._longcmd("LIST") if which is None else self._shortcmd(f"LIST {which!s}")

    @overload
    def uidl(self, which: None = None) -> LongAnswer: ...
    @overload
    def uidl(self, which: object) -> bytes: ...
    @override
    def uidl(self, which: object = None) -> bytes | LongAnswer:
        """Return the answer to UIDL, the rows `number id`, and their octets; of one message the answer alone."""
        return self._longcmd("UIDL") if which is None else self._shortcmd(f"UIDL {which!s}")

    @override
    def retr(self, which: object) -> LongAnswer:
        """Return the answer to RETR, the lines of the message, and its octets."""
        return self._longcmd(f"RETR {which!s}")

    @override
    def top(self, which: object, howmuch: object) -> LongAnswer:
        """Return the answer to TOP, the lines of the header and the first ones of the body, and their octets."""
        return self._longcmd(f"TOP {which!s} {howmuch!s}")

    @override
    def dele(self, which: object) -> bytes:
        """Mark a message as deleted, which QUIT removes; return the answer."""
        return self._shortcmd(f"DELE {which!s}")

    @override
    def noop(self) -> bytes:
        """Do nothing; return the answer."""
        return self._shortcmd("NOOP")

    @override
    def rset(self) -> bytes:
        """Take back every `dele`; return the answer."""
        return self._shortcmd("RSET")

    @override
    def utf8(self) -> bytes:
        """Enter UTF-8 mode (RFC 6856); return the answer."""
        return self._shortcmd("UTF8")

    @override
    def capa(self) -> dict[str, builtins.list[str]]:
        """Return what the server announces (RFC 2449): the arguments of each capability.

        Raises:
            error_proto: the server has no CAPA.
        """
        try:
            _, rows, _ = self._longcmd("CAPA")
        except (EndOfStream, Garbled, OutOfStep):
            raise
        except error_proto as error:
            raise error_proto("-ERR CAPA not supported by server") from error
        words = (row.decode("utf-8", "surrogateescape").split() for row in rows)
        return {name: arguments for name, *arguments in filter(None, words)}

    @override
    def stls(self, context: ssl.SSLContext | None = None) -> bytes:
        """Begin TLS by STLS (RFC 2595); return the answer.

        Args:
            context: None: certificate and name are verified.

        Raises:
            error_proto: the server has no STLS, or refused; the session goes on, in clear.
            Garbled: it sent octets in clear behind its answer, as if TLS had protected them. It is closed.
            OSError: the handshake failed, or the certificate was not accepted. It is closed.
        """
        if self._tls_established:
            raise error_proto("-ERR TLS session already established")
        if "STLS" not in map(str.upper, self.capa()):
            raise error_proto("-ERR STLS not supported by server")
        answer = self._shortcmd("STLS")
        try:
            self._check_nothing_in_clear()
            given = context is not None
            self._read_from(over_tls(self.sock, self.host, self.port, context or default_context(), given=given))
        except BaseException:
            self.close()
            raise
        self._tls_established = True
        return answer

    def _check_nothing_in_clear(self) -> None:
        if self._answers().surplus():
            raise Garbled("the server sent octets in clear behind its answer to STLS")

    @override
    def quit(self) -> bytes:
        """End the session: the server removes what is marked as deleted. It is closed, whatever the answer.

        Raises:
            CommandRefused: it did not remove all of it.
            UncertainQuit: there was no answer: it may have removed them or not. `QuitTimedOut` if time ran out.
            EndOfStream, SessionEnded: the server had ended the session before. QUIT was not sent; nothing is removed.
        """
        try:
            self._answers().check()  # what is left of an earlier answer is read before QUIT is sent
            return self._send_quit()
        finally:
            self.close()

    def _send_quit(self) -> bytes:
        try:
            return self._shortcmd("QUIT")
        except OSError as error:
            if not self._is_logged_in or not getattr(error, "sent", True):
                raise
            if isinstance(error, EndOfStream):
                raise UncertainQuit(*error.args) from error
            kind = QuitTimedOut if isinstance(error, TimeoutError) else UncertainQuit
            raise kind(f"{error}; deletions may or may not have happened") from error
