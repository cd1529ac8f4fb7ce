"""What is raised: each is an `error_proto`, and the error of this library that says what happened."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from typing_extensions import override

from pop3proto.core.errors import (
    Broken,
    CertificateError,
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
    UncertainUpdate,
)
from pop3proto.core.refusals import CommandFailed, HasRefusal, LoginFailed
from pop3proto.core.replies import Err
from pop3proto.core.text import decode_text

from .standard import error_proto

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "CertificateRefused",
    "CommandRefused",
    "EndOfStream",
    "ForbiddenCharacter",
    "Garbled",
    "LoginRefused",
    "Malformed",
    "OutOfStep",
    "QuitTimedOut",
    "SessionEnded",
    "UncertainQuit",
    "error_proto",
    "translated",
]


class CommandRefused(HasRefusal, error_proto):
    """The server answered `-ERR`. `args[0]` is its line, as octets; the session goes on.

    Attributes:
        reply: the answer.
        code, guessed_code: as of `pop3proto.CommandFailed`.
    """

    def __init__(self, line: bytes) -> None:
        self.args: tuple[object, ...] = (line,)
        self.reply: Err = _refusal(line)


class LoginRefused(CommandRefused, LoginFailed):
    """`login` or `auth` was refused; `attempts`, `left` and `why` tell what was tried. `args[0]` is the last line."""

    def __init__(self, line: bytes, failure: LoginFailed | None = None) -> None:
        if failure is not None:
            LoginFailed.__init__(self, failure.attempts, failure.left, failure.why, failure.withheld)
        CommandRefused.__init__(self, line)

    @override
    def __str__(self) -> str:
        return LoginFailed.__str__(self) if hasattr(self, "attempts") else error_proto.__str__(self)


class EndOfStream(error_proto, ConnectionLost):
    """The server closed the connection where an answer was due: `-ERR EOF`.

    Attributes:
        sent: it was; else that was seen before, and nothing was sent.
    """

    sent: bool = True


class SessionEnded(HasRefusal, EndOfStream):
    """The server said `-ERR` when nothing was asked, as servers do before they hang up. Nothing was sent.

    `args[0]` is its line, as octets. It is no answer to the command that was to be sent, which may be right.

    Attributes:
        reply: what it said.
    """

    sent = False

    def __init__(self, line: bytes) -> None:
        self.args: tuple[object, ...] = (line,)
        self.reply: Err = _refusal(line)

    @override
    def __str__(self) -> str:
        return f"nothing was sent: the server has ended the session: {self.reply.text or '-ERR'}"


class UncertainQuit(EndOfStream, UncertainUpdate):
    """QUIT was sent and not answered: the server may have removed the messages or not. The connection is closed."""


class QuitTimedOut(UncertainQuit, TimedOut):
    """The same, as the answer did not come in time."""


class OutOfStep(error_proto, Broken):
    """Nothing was sent: after what has happened before, an answer could be taken for that to another command.

    Close it, and connect again.
    """


class Garbled(error_proto, RemoteProtocolError):
    """The server sent what is no answer. `args[0]` is its line, if it is one. The session is over."""


class Malformed(error_proto, MalformedReply):
    """The answer makes no sense. The session goes on."""


class ForbiddenCharacter(ValueError, LocalProtocolError):
    """A command line would hold a control character, such as a line end that begins another command.

    Nothing was sent. CPython raises `ValueError` for it since 3.15.
    """


class CertificateRefused(ssl.SSLCertVerificationError, CertificateError):
    """The server's certificate was not accepted. The message says what is wrong, and what may be done about it."""

    def __init__(self, *arguments: object) -> None:
        self.args: tuple[object, ...] = arguments

    @override
    def __str__(self) -> str:
        return str(self.args[-1])


@contextmanager
def translated() -> Generator[None]:
    """Raise what a client raises in a block as what users of `poplib` catch; the error of the client is the cause.

    Raises:
        LocalProtocolError, Busy: nothing was sent; as they are.
        TimeoutError: as it is.
    """
    try:
        yield
    except (error_proto, CertificateError, TimedOut):
        raise
    except LoginFailed as error:
        raise LoginRefused(_line_of(error), error) from error
    except CommandFailed as error:
        raise CommandRefused(_line_of(error)) from error
    except MalformedReply as error:
        raise Malformed(str(error)) from error
    except RemoteProtocolError as error:
        raise Garbled(str(error)) from error
    except Broken as error:
        raise OutOfStep(str(error)) from error
    except ConnectionLost as error:
        raise EndOfStream(str(error)) from error


def _refusal(line: bytes) -> Err:
    text = decode_text(line).partition(" ")[2]
    return Err(text.replace("\r", "").replace("\0", ""))


def _line_of(error: CommandFailed) -> bytes:
    return error.reply.encode().removesuffix(b"\r\n")
