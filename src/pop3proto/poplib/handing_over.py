"""A connection passes from one user to another: to another file, another socket, another client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from .answers import AnswerFile
from .errors import OutOfStep

if TYPE_CHECKING:
    from typing import BinaryIO

    from pop3proto.core.limits import Limits

__all__ = ["hand_over", "is_another_connection", "take_back"]

_ASK_AGAIN: Final = "ask the POP3 object for its client again: "


def take_back(answers: AnswerFile | None, why: str, *, in_step: bool = True) -> None:
    """End the client beneath, if there is one, once it has read what it has left of an answer.

    Args:
        answers: from which it reads.
        why: for whom goes on using it.
        in_step: there is more to come over the connection, for others.

    Raises:
        Busy: it is reading an answer; it keeps the connection.
        error_proto: it cannot be read to its end.
    """
    if answers is None or (client := answers.client) is None:
        return
    if in_step and client.unfinished:
        answers.settle()
    answers.client = None
    client.end(f"{_ASK_AGAIN}{why}")


def hand_over(before: AnswerFile | None, file: object, sock: object, limits: Limits) -> AnswerFile:
    """Return what reads a file that a program has put into a POP3 object; over the same connection nothing is lost.

    Args:
        before: what was read from before; None: nothing.
        file: the file.
        sock: the object's socket, which may be another, too.
        limits: of the object.

    Raises:
        OutOfStep: the socket is that of another connection, and the file is still that of the one before.
        Busy, error_proto: as `take_back`.
    """
    other = before is None or is_another_connection(before.sock, sock)
    if before is not None and file is before:
        if other and _descriptor(sock) is not None:
            raise OutOfStep("nothing was sent: sock is another connection now: set file, too, to sock.makefile('rb')")
        before.sock = sock
        return before
    if before is None or other:
        take_back(before, "sock is another connection now", in_step=False)
        return file if isinstance(file, AnswerFile) else AnswerFile(cast("BinaryIO", file), sock, limits)
    take_back(before, "file is another now")
    made = AnswerFile(cast("BinaryIO", file), before.socket or sock, limits)
    made.sock = sock
    made.take_the_place_of(before)
    return made


def is_another_connection(before: object, sock: object) -> bool:
    """Whether a socket is that of another connection than one that was used before.

    A socket around the other one has its descriptor. One that was closed, or has been taken into TLS, has none.
    """
    return sock is not before and ((descriptor := _descriptor(before)) is None or descriptor != _descriptor(sock))


def _descriptor(sock: object) -> int | None:
    try:
        descriptor: object = cast("Any", sock).fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None
