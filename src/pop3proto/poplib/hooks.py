"""How commands are sent and answers are read: the private methods of `POP3`, which programs call and override."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from typing_extensions import override

from pop3proto.core.limits import DEFAULT_LIMITS, Limits
from pop3proto.core.text import excerpt

from .answers import AnswerFile
from .connection_file import LONG, SHORT
from .errors import CommandRefused, ForbiddenCharacter, Garbled, OutOfStep
from .handing_over import hand_over, is_another_connection, take_back
from .sockets import reads_as_its_file
from .standard import StandardPOP3
from .trace import MASK, MAY_LOG_IN, LoginLine, tell

__all__ = ["CR", "CRLF", "LF", "Hooks", "LongAnswer"]

LongAnswer: TypeAlias = tuple[bytes, list[bytes], int]
"""Status line, lines, and how many octets these are with their line ends."""

CR: Final = b"\r"
LF: Final = b"\n"
CRLF: Final = CR + LF

_CONTROL_CHARACTERS: Final = re.compile(rb"[\0-\x1f\x7f]")


_ALWAYS_HAVE_LINES: Final = frozenset({"RETR", "TOP ", "retr", "top "})
_HAVE_LINES: Final = _ALWAYS_HAVE_LINES | {"LIST", "UIDL", "CAPA", "list", "uidl", "capa"}  # these without arguments


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
    _logins: tuple[LoginLine, ...] = ()  # those that were not answered to their end
    _used: AnswerFile | None = None  # what was read from last

    # Sending.

    def _putline(self, line: bytes) -> None:
        """Send a line; nothing is sent if that could not be answered.

        Raises:
            ForbiddenCharacter, OutOfStep, SessionEnded, EndOfStream, Busy: nothing was sent.
        """
        if self._debugging > 1:
            tell("put", self._shown(line))
        # Most commands are seen to have none by less than what it takes to look for each.
        if not line.isalnum() and not line.decode("latin-1").isprintable() and _CONTROL_CHARACTERS.search(line):
            raise ForbiddenCharacter("Control characters not allowed in commands")
        answers = self.file
        if type(answers) is not AnswerFile or answers.sock is not self.sock:
            answers = self._answers()
        answers.check()
        sys.audit("poplib.putline", self, line)
        answers.due += 1
        try:
            self.sock.sendall(line + CRLF)
        except BaseException as error:
            answers.fail(error)
            raise

    def _putcmd(self, line: str) -> None:
        """Send a command, or a response to a challenge."""
        octets = line.encode(self.encoding)
        if line[:2] in MAY_LOG_IN or self._logins:
            self._put_login(line, octets)
            return
        if self._debugging:
            tell("cmd", line)
        self._putline(octets)

    def _put_login(self, line: str, octets: bytes) -> None:
        """Send a line that may be a part of a login, and note it until it is answered."""
        before = self._logins
        challenged = before[0] if before and before[0].challenged else None
        login = LoginLine(line, octets, ahead=self._answers().due, before=challenged)
        if challenged is not None:
            self._logins = (login,)
        elif login.logs_in or login.is_sasl:
            self._logins = (*before, login)
        if self._debugging:
            tell("cmd", login.shown)
        try:
            self._putline(octets)
        except BaseException:  # nothing was sent, or nothing more will be
            self._logins = before
            raise

    def _shown(self, line: bytes) -> bytes:
        """Return what the trace shows of a line that is sent: nothing of one with a secret."""
        text = line.decode(self.encoding, "replace")
        is_login = any(login.octets == line for login in self._logins) or LoginLine(text, line).shown != text
        return MASK.encode() if is_login else line

    # Receiving.

    def _getline(self) -> tuple[bytes, int]:
        """Return a line without its line end, and its octets with it."""
        answers = self.file
        if type(answers) is not AnswerFile:
            answers = self._answers()
        line = answers.line()
        if self._debugging > 1:
            tell("get", self._without_secrets(line))
        if answers.crlf:
            return line[:-2], len(line)
        # LF and CR part lines, too, as in poplib; unless the server has shown that it uses CRLF.
        return line[:-1] if answers.strict else line[:-1].removeprefix(CR), len(line)

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
        try:
            line, _ = self._getline()
        except BaseException as error:
            if answers.due and answers.expects_reply:
                answers.fail(error)
            answers.expects_reply = False
            raise
        if answers.expects_reply:  # a `_getline` that a program has put there has read it by other ways
            answers.note_reply()
        if self._debugging > 1:
            tell("resp", self._without_secrets(line))
        positive = line[:1] == b"+"
        shown = self._after_login(line, positive=positive) if self._logins else line
        if positive:
            return line
        if line[:4].upper() == b"-ERR":
            raise CommandRefused(shown)
        answers.broken = f"the server sent {excerpt(shown)} where an answer was due"
        raise Garbled(shown)

    def _getlongresp(self) -> LongAnswer:
        """Return a positive status line, the lines behind it, and how many octets these are."""
        answers = self.file
        if type(answers) is not AnswerFile:
            answers = self._answers()
        answers.read_size, answers.lines_behind = LONG, answers.lines_behind or "a command"
        try:
            status = self._getresp()
            strict = bool(answers.crlf)
            try:
                if strict and self._debugging <= 1 and getattr(self._getline, "__func__", None) is Hooks._getline:
                    lines, octets = answers.body()
                    return status, lines, octets
                with answers.within_a_body(strict=strict):
                    return status, *self._each_line(answers)
            except BaseException as error:  # of a `_getline` that a program has put there, for example
                answers.fail(error)
                raise
        finally:
            answers.read_size, answers.lines_behind = SHORT, ""

    def _each_line(self, answers: AnswerFile) -> tuple[list[bytes], int]:
        """Read a body by `_getline`, as it has been overridden, or each line is to be printed, or ends with LF alone.

        If the status line has ended with CRLF, a line with a dot is the end only if that ends with CRLF, and the line
        before it.
        """
        lines: list[bytes] = []
        octets, after_crlf, lenient = 0, True, not answers.strict
        while True:
            answers.expect_line()
            line, length = self._getline()
            counts = lenient or after_crlf
            after_crlf = length == len(line) + len(CRLF) if answers.crlf is None else answers.crlf
            if line == b"." and counts and (lenient or after_crlf):
                answers.lines_were_read()
                return lines, octets
            if line.startswith(b"..") and counts:
                line, length = line[1:], length - 1
            octets += length
            lines.append(line)

    def _shortcmd(self, line: str) -> bytes:
        """Send a command, and return its positive status line; to a challenge, `+ ` and it.

        If lines follow it, as that of RETR, they must be read by `_getline` or from `file` before the next command.
        """
        answers = self.file
        if type(answers) is not AnswerFile:
            answers = self._answers()
        due = answers.due
        try:
            self._putcmd(line)
            if answers is not self.file:
                answers = self._answers()
            if line in _HAVE_LINES if len(line) == len("LIST") else line[:4] in _ALWAYS_HAVE_LINES:
                answers.lines_behind = line
            answers.expects_reply = True  # a `_getresp` that a program has put there does not say it
            answer = self._getresp()
            if answers.expects_reply:  # and may have read it by other ways
                answers.note_reply()
        except BaseException as error:
            self._leave(due, error)
            raise
        return answer

    def _longcmd(self, line: str) -> LongAnswer:
        """Send a command, and return its positive status line and what is behind it."""
        answers = self.file
        if type(answers) is not AnswerFile:
            answers = self._answers()
        due = answers.due
        try:
            self._putcmd(line)
            if answers is not self.file:
                answers = self._answers()
            answers.lines_behind, answers.expects_reply = line, True
            answer = self._getlongresp()
            if answers.expects_reply:
                answers.note_reply()
        except BaseException as error:
            self._leave(due, error)
            raise
        return answer

    def _leave(self, due: int, error: BaseException) -> None:
        """Refuse to go on if a command has failed that was sent, and whose status line was not read.

        Args:
            due: how many answers were due before.
            error: of which it failed.
        """
        answers = self._used
        if answers is not None and (answers.due > due or answers.expects_reply):
            answers.fail(error)
            answers.expects_reply = False

    # What is under way.

    def _answers(self) -> AnswerFile:
        """Return `file`; another one that a program has put there becomes a part of ours, and loses nothing.

        Raises:
            OutOfStep: it is closed.
        """
        file, sock = self.file, getattr(self, "sock", None)
        if type(file) is AnswerFile and file.sock is sock:
            return file
        if file is None:
            raise OutOfStep("nothing was sent: it is closed")
        before = self._used
        answers = hand_over(before, file, sock, self.limits)
        if before is not None and is_another_connection(before.sock, sock):
            self._logged_in, self._logins = False, ()
        self.file = self._used = answers
        return answers

    def _read_from(self, sock: object) -> None:
        """Take a socket that was connected, or has shaken hands, just now."""
        take_back(self._used, "TLS has begun", in_step=False)
        self.sock = sock
        receive = self.sock.recv if reads_as_its_file(sock) else None
        self.file = self._used = AnswerFile(self.sock.makefile("rb"), self.sock, self.limits, receive)

    def _after_login(self, line: bytes, *, positive: bool) -> bytes:
        """Note how a login has ended, if this is the answer to it; return the answer without its secret."""
        login, *others = self._logins
        for each in self._logins:
            each.ahead -= 1
        if login.ahead >= 0:  # it is that to an earlier command
            return line
        if login.is_sasl and (line == b"+" or line.startswith(b"+ ")):
            login.challenged = True
            login.ahead = 0
            return line
        self._logins = tuple(others)
        if positive and login.logs_in and self._answers().read_size != LONG:  # no login is answered by many lines
            self._logged_in = True
        return login.without_secrets(line)

    def _without_secrets(self, line: bytes) -> bytes:
        """Return a line of the server as the trace shows it."""
        for login in self._logins:
            line = login.without_secrets(line)
        return line

    @override
    def close(self) -> None:
        """Hang up without QUIT: nothing is removed. It is right at any time, and may be called again."""
        used, self._used = self._used, None
        self._logged_in, self._logins = False, ()  # `__init__` may be called again
        take_back(used, "it was closed", in_step=False)
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
