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
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import Err
from pop3proto.core.text import decode_text

from .standard import error_proto

if TYPE_CHECKING:
    from collections.abc import Generator

    from pop3proto.core.replies import ResponseCode

__all__ = [
    "CertificateRefused",
    "CommandRefused",
    "EndOfStream",
    "ForbiddenCharacter",
    "Garbled",
    "LoginRefused",
    "Malformed",
    "OutOfStep",
    "UncertainQuit",
    "error_proto",
    "translated",
]


class CommandRefused(error_proto):
    """The server answered `-ERR`. `args[0]` is its line, as octets; the session goes on.

    Attributes:
        reply: the answer.
    """

    def __init__(self, line: bytes) -> None:
        self.args: tuple[object, ...] = (line,)
        text = decode_text(line).partition(" ")[2]
        self.reply: Err = Err(text.replace("\r", "").replace("\0", ""))

    @property
    def code(self) -> ResponseCode | None:
        """The response code of the answer, if it has one (RFC 2449 section 8): `[IN-USE]`, `[AUTH]`, `[SYS/TEMP]`."""
        return self.reply.code

    @property
    def guessed_code(self) -> ResponseCode | None:
        """A guess from the words of an answer without a response code, for a hint to people."""
        return self.reply.guessed_code


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


class UncertainQuit(EndOfStream, UncertainUpdate):
    """The server closed the connection before it answered QUIT: it may have removed the messages or not."""


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
    except (CertificateError, TimedOut):
        raise
    except ConnectionLost as error:
        raise EndOfStream(str(error)) from error


def _line_of(error: CommandFailed) -> bytes:
    return error.reply.encode().removesuffix(b"\r\n")
