"""A program, such as a mail delivery agent, as a destination of a fetch."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from typing_extensions import override

from pop3proto._io.children import inherited_descriptors, wait
from pop3proto._io.new_files import named
from pop3proto.core.text import decode_text, visible
from pop3proto.fetching.destination import NothingStored, NotTaken
from pop3proto.fetching.spool import Spool, unnamed_file

from .each import DeliverEach, Delivered
from .mbox_format import UnixLines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ProgramDestination"]

_CHUNK: Final = 1 << 18
_TEMPORARY_FAILURE: Final = 75  # EX_TEMPFAIL of sysexits.h
_GRACE: Final = 5.0  # seconds
_LAST_WORDS: Final = 4096  # octets
_LONGEST_LINE: Final = 200
_UNCHANGEABLE: Final = {signal.SIGKILL, signal.SIGSTOP}


class ProgramDestination(DeliverEach):
    """Hands each message to a program, on its standard input.

    The program runs once for each message, without a shell, in a session of its own, with default signals, and with no
    other open file than its standard error, whose last line is told if it fails; its output is thrown away. If it exits
    with 0, it has the message. With 75, it is to be tried again later. With any other status, or killed by a signal, it
    has not taken the message. So a program must not exit with 0 before the message is safe.

    Its arguments are passed on as they are: nothing that a sender or a server has chosen comes into them. What it may
    want to know is in the environment: `POP3PROTO_UNIQUE_ID`, the message's unique id on the server;
    `POP3PROTO_OCTETS`, its size as received; `POP3PROTO_ACCOUNT`; and `POP3PROTO_HEADER_ONLY=1` if the body was not
    fetched.

    Args:
        argv: the program and its arguments; one without a slash is searched in PATH.
        timeout: seconds after which it, and all that it has started, is terminated, and killed if it does not end then.
        environment: variables that are added to those of this process.
        account: what `POP3PROTO_ACCOUNT` is.
        line_ends: how lines end on its standard input: "lf", as such programs expect it, or "crlf", octet for octet as
            received.

    Raises:
        ValueError: there is no program, or a time limit that is not above 0, or an argument or a variable with a NUL.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 300,
        environment: Mapping[str, str] | None = None,
        account: str = "",
        line_ends: Literal["lf", "crlf"] = "lf",
    ) -> None:
        if not argv or not argv[0]:
            raise ValueError("the command must name a program")
        if not timeout > 0:
            raise ValueError("the timeout must be positive")
        self._environment = {**(environment or {}), "POP3PROTO_ACCOUNT": account}
        if any("\0" in word for word in (*argv, *self._environment, *self._environment.values())):
            raise ValueError("arguments and variables of a program cannot contain NUL")
        self.name: str = f"the program {argv[0]}"
        self._argv = tuple(argv)
        self._timeout = timeout
        self._line_ends = line_ends

    @override
    def deliver(self, message: Delivered, /) -> None:
        folder = Spool.default_folder()
        with unnamed_file(folder) as content, unnamed_file(folder) as errors:
            try:
                self._copy(message, content)
            except OSError as error:
                raise named(error, folder) from error
            status = self._run(message, content, errors)
            if status:
                later = status == _TEMPORARY_FAILURE
                raise NotTaken(self._describe(status, errors), later=later, perhaps=status < 0)

    def _copy(self, message: Delivered, content: BinaryIO) -> None:
        lines = UnixLines()
        with message.open() as source:
            while piece := source.read(_CHUNK):
                _write(content, lines.feed(piece) if self._line_ends == "lf" else piece)
        if self._line_ends == "lf":
            _write(content, lines.finish())
        content.seek(0)

    def _run(self, message: Delivered, content: BinaryIO, errors: BinaryIO) -> int:
        """Run the program; return its exit status, or the negative number of the signal that killed it.

        Raises:
            NotTaken: it did not end in time.
            OSError: it cannot be run.
        """
        facts = {
            "POP3PROTO_UNIQUE_ID": message.arrival.identity.unique_id,
            "POP3PROTO_OCTETS": str(message.octets),
            **({"POP3PROTO_HEADER_ONLY": "1"} if message.arrival.header_only else {}),
        }
        try:
            process = os.posix_spawnp(
                self._argv[0],
                self._argv,
                {**os.environ, **self._environment, **facts},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, content.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
                    *((os.POSIX_SPAWN_CLOSE, other) for other in inherited_descriptors(above=2)),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=sorted(signal.valid_signals() - _UNCHANGEABLE),
            )
        except OSError as error:
            raise NothingStored(error.errno, f"cannot run it: {error.strerror}", self._argv[0]) from error
        try:
            return wait(process, self._timeout, grace=_GRACE)
        except TimeoutError as error:
            raise NotTaken(f"{self._argv[0]}: {error.strerror}", later=True, perhaps=True) from error

    def _describe(self, status: int, errors: BinaryIO) -> str:
        what = f"it was killed by signal {-status}" if status < 0 else f"its exit status was {status}"
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS))
        lines = errors.read().split(b"\n")
        last = next((visible(decode_text(line.strip())) for line in reversed(lines) if line.strip()), "")
        return f"{self._argv[0]}: {what}" + (f": {last[:_LONGEST_LINE]}" if last else "")


def _write(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
