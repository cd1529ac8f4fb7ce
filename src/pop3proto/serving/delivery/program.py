"""Any program as a filter: its exit status is the verdict."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final, Self

import attrs
from typing_extensions import override

from pop3proto._io.children import inherited_descriptors, wait
from pop3proto.core.text import decode_text, visible

from .verdicts import CLEAN, Filter, FilterFailed, MessageKind, Verdict

if TYPE_CHECKING:
    from .verdicts import Scanned

__all__ = ["ProgramFilter"]

_GRACE: Final = 2.0  # seconds
_LAST_WORDS: Final = 4096  # octets
_CHUNK: Final = 1 << 16
_LONGEST_LINE: Final = 200
_UNCHANGEABLE: Final = {signal.SIGKILL, signal.SIGSTOP}


def _checked(_instance: object, _attribute: object, argv: tuple[str, ...]) -> None:
    if not argv or not argv[0]:
        raise ValueError("the filter must name a program")
    if any("\0" in word for word in argv):
        raise ValueError("arguments of a program cannot contain NUL")


@attrs.frozen
class ProgramFilter(Filter):
    """Runs a program for each message, which it gets on standard input.

    It runs without a shell, in a session of its own; its output is thrown away. In its environment are
    `POP3PROTO_USER`, `POP3PROTO_SENDER` and `POP3PROTO_RECIPIENT`, as far as they are known.

    Args:
        argv: the program and its arguments; one without a slash is searched in PATH.
        timeout: seconds after which it, and all that it has started, is ended.
        junk: the exit statuses that say junk. With 0 a message is clean; any other status is no verdict. Shells,
            interpreters and most programs end with 1 or 2 when they fail.
        virus: the exit statuses that say virus.

    Raises:
        ValueError: there is no program.
    """

    argv: tuple[str, ...] = attrs.field(validator=_checked)
    timeout: float = 60.0
    junk: frozenset[int] = frozenset({98})
    virus: frozenset[int] = frozenset({99})

    @property
    @override
    def name(self) -> str:
        return f"the filter {self.argv[0]}"

    @override
    def check(self, message: Scanned) -> Verdict:
        facts = {
            "POP3PROTO_USER": message.user,
            "POP3PROTO_SENDER": message.envelope.sender,
            "POP3PROTO_RECIPIENT": message.envelope.delivered_to,
        }
        known = {name: value for name, value in facts.items() if value is not None and "\0" not in value}
        try:
            with _LastWords() as words:
                status = self._run(message.file.fileno(), words, known)
                said = words.last_line()
        except (OSError, ValueError) as error:  # ValueError: a name that no program can be told
            raise FilterFailed(f"{self.name}: {getattr(error, 'strerror', None) or error}") from error
        if status == 0:
            return CLEAN
        if status in self.junk:
            return Verdict(MessageKind.JUNK, said)
        if status in self.virus:
            return Verdict(MessageKind.VIRUS, said)
        what = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise FilterFailed(f"{self.name} {what}" + (f": {said}" if said else ""))

    def _run(self, content: int, errors: _LastWords, facts: dict[str, str]) -> int:
        process = os.posix_spawnp(
            self.argv[0],
            self.argv,
            {**os.environ, **facts},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, content, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, errors.writer, 2),
                *((os.POSIX_SPAWN_CLOSE, other) for other in inherited_descriptors(above=2)),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=sorted(signal.valid_signals() - _UNCHANGEABLE),
        )
        return wait(process, self.timeout, grace=_GRACE)


class _LastWords:
    """What a program says on its standard error: all of it is read, and the end is kept."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        self._said = b""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def last_line(self) -> str:
        """Return the last line that is not empty."""
        self._close()
        # What it has left running, in a session of its own, may hold the other end: that is not waited for.
        self._thread.join(_GRACE)
        lines = self._said.split(b"\n")
        return next(
            (visible(decode_text(line.strip()))[:_LONGEST_LINE] for line in reversed(lines) if line.strip()), ""
        )

    def _close(self) -> None:
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)

    def _read(self) -> None:
        with open(self._reader, "rb", buffering=0) as reader:  # noqa: PTH123 - a descriptor
            while octets := reader.read(_CHUNK):
                self._said = (self._said + octets)[-_LAST_WORDS:]
