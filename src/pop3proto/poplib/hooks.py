"""How commands are sent and answers are read: the private methods of `POP3`, which programs call and override."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from typing_extensions import override

from pop3proto.core.limits import DEFAULT_LIMITS, Limits
from pop3proto.core.text import excerpt

from .answers import AnswerFile
from .connection_file import LONG, SHORT
from .errors import CommandRefused, ForbiddenCharacter, Garbled, OutOfStep, translated
from .standard import StandardPOP3
from .trace import MASK, LoginLine, tell

if TYPE_CHECKING:
    from .beneath import ClientBeneath

__all__ = ["CR", "CRLF", "LF", "Hooks", "LongAnswer"]

LongAnswer: TypeAlias = tuple[bytes, list[bytes], int]
"""Status line, lines, and how many octets these are with their line ends."""

CR: Final = b"\r"
LF: Final = b"\n"
CRLF: Final = CR + LF

_CONTROL_CHARACTERS: Final = bytes([*range(0x20), 0x7F])
_MAY_LOG_IN: Final = frozenset("PpAa")  # how PASS, APOP and AUTH begin


class Hooks(StandardPOP3):
    """Commands out, answers in; the base of `POP3`.

    Nothing but `sock` and `file` need be there, so that a subclass may set these itself and never call `__init__`.
    Octets that were received and not read are in `file`.
    """

    encoding: str = "UTF-8"
    """How command lines are encoded."""
    limits: ClassVar[Limits] = DEFAULT_LIMITS
    """How long a status line may be, and how large what is held in memory."""

    if TYPE_CHECKING:  # whatever a program puts there; None once it is closed
        sock: Any
        file: Any

    _debugging = 0
    _logged_in = False  # a login was accepted, by whichever method
    _login: LoginLine | None = None  # the login that is under way
    _beneath: ClientBeneath | None = None

    # Sending.

    def _putline(self, line: bytes) -> None:
        """Send a line; nothing is sent if that could not be answered.

        Raises:
            ForbiddenCharacter, OutOfStep, CommandRefused, EndOfStream: nothing was sent.
        """
        if self._debugging > 1:
            tell("put", line if self._login is None else MASK.encode())
        if not line.isalnum() and line.translate(None, _CONTROL_CHARACTERS) != line:
            raise ForbiddenCharacter("Control characters not allowed in commands")
        answers = self.file
        if type(answers) is not AnswerFile:
            answers = self._answers()
        if self._beneath is not None:
            with translated():
                self._beneath.settle()
        answers.check()
        sys.audit("poplib.putline", self, line)
        try:
            self.sock.sendall(line + CRLF)
        except BaseException as error:
            answers.fail(error)
            raise
        answers.due += 1

    def _putcmd(self, line: str) -> None:
        """Send a command, or a response to a challenge."""
        octets = line.encode(self.encoding)
        if self._login is not None or line[:1] in _MAY_LOG_IN:
            login = LoginLine(line, going_on=self._login is not None and self._login.challenged)
            self._login = login if login.verb else None
        if self._debugging:
            tell("cmd", line if self._login is None else self._login.shown)
        self._putline(octets)

    # Receiving.

    def _getline(self) -> tuple[bytes, int]:
        """Return a line without its line end, and its octets with it."""
        answers = self.file
        if type(answers) is not AnswerFile:
            answers = self._answers()
        line = answers.line()
        if self._debugging > 1:
            tell("get", self._without_secret(line))
        if answers.crlf:
            return line[:-2], len(line)
        return line[:-1].removeprefix(CR), len(line)

    def _getresp(self) -> bytes:
        """Return a positive status line.

        Raises:
            CommandRefused: it is `-ERR`. The session goes on.
            Garbled: it is no status line, or too long. The session is over.
            EndOfStream: the server has closed the connection.
        """
        answers = self.file
        if type(answers) is not AnswerFile:
            answers = self._answers()
        answers.expects_reply = True
        line, _ = self._getline()
        if answers.expects_reply:  # a `_getline` that a program has put there has read it by other ways
            answers.expects_reply = False
            answers.due = max(0, answers.due - 1)
        if self._debugging > 1:
            tell("resp", self._without_secret(line))
        if self._login is not None:
            line = self._after_login(line)
        if line[:1] == b"+":
            return line
        if line[:4].upper() == b"-ERR":
            raise CommandRefused(line)
        answers.broken = f"the server sent {excerpt(line)} where an answer was due"
        raise Garbled(line)

    def _getlongresp(self) -> LongAnswer:
        """Return a positive status line, the lines behind it, and how many octets these are."""
        answers = self._answers()
        answers.read_size = LONG
        try:
            status = self._getresp()
            try:
                return self._body(status, answers)
            except BaseException as error:  # of a `_getline` that a program has put there, for example
                answers.fail(error)
                raise
        finally:
            answers.read_size = SHORT

    def _body(self, status: bytes, answers: AnswerFile) -> LongAnswer:
        crlf = answers.crlf
        overridden = getattr(self._getline, "__func__", None) is not Hooks._getline
        if crlf and self._debugging <= 1 and not overridden:
            lines, octets = answers.body()
            return status, lines, octets
        return self._each_line(status, crlf=crlf)

    def _each_line(self, status: bytes, *, crlf: bool) -> LongAnswer:
        """Read a body by `_getline`, as it has been overridden, or each line is to be printed, or ends with LF alone.

        Args:
            status: the status line.
            crlf: it has ended with CRLF: so a line with a dot is the end only if that ends with CRLF, and the line
                before it.
        """
        lines: list[bytes] = []
        octets, after_crlf = 0, True
        while True:
            line, length = self._getline()
            strictly = after_crlf or not crlf
            after_crlf = length == len(line) + len(CRLF)
            if line == b"." and strictly and (after_crlf or not crlf):
                return status, lines, octets
            if line.startswith(b"..") and strictly:
                line, length = line[1:], length - 1
            octets += length
            lines.append(line)

    def _shortcmd(self, line: str) -> bytes:
        """Send a command, and return its positive status line; to a challenge, `+ ` and it."""
        self._putcmd(line)
        return self._getresp()

    def _longcmd(self, line: str) -> LongAnswer:
        """Send a command, and return its positive status line and what is behind it."""
        self._putcmd(line)
        return self._getlongresp()

    # What is under way.

    def _answers(self) -> AnswerFile:
        """Return `file`; another one that a program has put there becomes a part of ours, and loses nothing.

        Raises:
            OutOfStep: it is closed.
        """
        file = self.file
        if type(file) is AnswerFile:
            return file
        if file is None:
            raise OutOfStep("nothing was sent: it is closed")
        answers = AnswerFile(file, getattr(self, "sock", None), self.limits)
        self.file = answers
        return answers

    def _read_from(self, sock: object) -> None:
        """Take a socket that was connected, or has shaken hands, just now."""
        receive = sock.recv if isinstance(sock, socket.socket) else None  # a test may have something else
        self.sock = sock
        self.file = AnswerFile(self.sock.makefile("rb"), self.sock, self.limits, receive)
        self._beneath = None

    def _after_login(self, line: bytes) -> bytes:
        """Note how a login has ended, if it has; return the status line, a refusal without the secret."""
        login = self._login
        if login is not None and login.verb == "AUTH" and (line == b"+" or line.startswith(b"+ ")):
            login.challenged = True
            return line
        if not line.startswith(b"+"):
            line = self._without_secret(line)
        else:
            self._logged_in = True
            self._beneath = None  # it thinks that it is not logged in
        self._login = None
        return line

    def _without_secret(self, line: bytes) -> bytes:
        if self._login is None or not self._login.secret:
            return line
        return line.replace(bytes(self._login.secret, self.encoding), MASK.encode())

    @override
    def close(self) -> None:
        """Hang up without QUIT: nothing is removed. It is right at any time, and may be called again."""
        if (beneath := self._beneath) is not None:
            self._beneath = None
            beneath.session.end("it was closed")
        try:
            file, self.file = getattr(self, "file", None), None
            if file is not None:
                file.close()
        finally:
            sock, self.sock = getattr(self, "sock", None), None
            if sock is not None:
                with suppress(OSError):  # the connection is gone already
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
