"""ClamAV's daemon, by its command INSTREAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.core.text import decode_text, visible

from .connection import Place, connected, read_answer
from .verdicts import CLEAN, Filter, FilterFailed, MessageKind, Verdict

if TYPE_CHECKING:
    from .verdicts import Scanned

__all__ = ["Clamd"]

_CHUNK: Final = 1 << 16


@attrs.frozen
class Clamd(Filter):
    """Asks clamd, over a Unix socket or TCP.

    Args:
        place: where it listens.
        timeout: seconds for a message.
    """

    place: Place
    timeout: float = 60.0

    @property
    @override
    def name(self) -> str:
        return f"clamd at {self.place}"

    @override
    def check(self, message: Scanned) -> Verdict:
        with connected(self.place, self.timeout, self.name) as connection:
            whole = True
            try:
                connection.sendall(b"zINSTREAM\0")
                while octets := message.file.read(_CHUNK):
                    connection.sendall(len(octets).to_bytes(4) + octets)
                connection.sendall(bytes(4))
            except (BrokenPipeError, ConnectionResetError):
                whole = False  # it has said why
            return self._verdict(read_answer(connection, self.name), whole=whole)

    def _verdict(self, answer: bytes, *, whole: bool) -> Verdict:
        line, end, rest = answer.partition(b"\0")
        text = decode_text(line.strip())
        _, _, result = text.partition(": ")
        if whole and end and not rest and result == "OK":
            return CLEAN
        if end and result.endswith(" FOUND"):
            return Verdict(MessageKind.VIRUS, visible(result.removesuffix(" FOUND")))
        raise FilterFailed(f"{self.name} says: {visible(text[:200]) or 'nothing'}")
