"""SpamAssassin's daemon, by the protocol of spamc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.core.text import decode_text, visible

from .connection import Place, connected, read_answer
from .verdicts import CLEAN, Filter, FilterFailed, MessageKind, Verdict

if TYPE_CHECKING:
    from .verdicts import Scanned

__all__ = ["Spamd"]

_CHUNK: Final = 1 << 16
_STATUS: Final = re.compile(rb"SPAMD/[0-9.]+ 0 EX_OK\r?\n", re.IGNORECASE)
_SPAM: Final = re.compile(
    rb"^Spam: *(True|Yes|False|No) *; *(-?[0-9.]+) */ *(-?[0-9.]+)\r?$", re.IGNORECASE | re.MULTILINE
)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9@._+=-]")


@attrs.frozen
class Spamd(Filter):
    """Asks spamd to CHECK a message, over a Unix socket or TCP.

    Args:
        place: where it listens.
        timeout: seconds for a message.
    """

    place: Place
    timeout: float = 60.0

    @property
    @override
    def name(self) -> str:
        return f"spamd at {self.place}"

    @override
    def check(self, message: Scanned) -> Verdict:
        user = "" if not message.user or _UNSAFE.search(message.user) else f"User: {message.user}\r\n"
        head = f"CHECK SPAMC/1.5\r\nContent-length: {message.octets}\r\n{user}\r\n"
        with connected(self.place, self.timeout, self.name) as connection:
            connection.sendall(head.encode("ascii"))
            while octets := message.file.read(_CHUNK):
                connection.sendall(octets)
            return self._verdict(read_answer(connection, self.name))

    def _verdict(self, answer: bytes) -> Verdict:
        head, *body = re.split(rb"\r?\n\r?\n", answer, maxsplit=1)
        match = _SPAM.search(head)
        if match is None or not body or not _STATUS.match(answer):
            said = visible(decode_text(answer.split(b"\n")[0].strip()[:200]))
            raise FilterFailed(f"{self.name} says: {said or 'nothing'}")
        if match[1].lower() in (b"false", b"no"):
            return CLEAN
        return Verdict(MessageKind.JUNK, f"score {match[2].decode()} of {match[3].decode()}")
