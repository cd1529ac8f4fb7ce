"""What both sides have said in a check, octet for octet, without secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.testing.masking import MASK, Secrets

if TYPE_CHECKING:
    from pop3proto.sasl.credentials import Credentials

__all__ = ["Transcript", "without_secret"]

_LONGEST: Final = 300  # octets of a line that are shown
_LINES: Final = 60  # lines of one side at a time that are shown
_SECRET: Final = re.compile(rb"(?i)(PASS\s|APOP\s+\S+\s+|AUTH\s+\S+\s+)(?=.).*", re.DOTALL)
_AUTH: Final = re.compile(rb"(?i)AUTH\s+\S+")
_NO_SECRET: Final = frozenset({b"*", b"=", b""})


def without_secret(line: bytes) -> bytes:
    """Return a command line without its secret."""
    return _SECRET.sub(rb"\1***", line)


class Transcript:
    """Records the connections of one check.

    Args:
        credentials: what must not be shown; None: nothing but what the lines themselves tell.
    """

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._said: Final[list[tuple[int, str, bytes]]] = []
        self._exchange: Final[dict[int, bool]] = {}  # connection: the next line of the client is part of an exchange
        self._secrets: Final = Secrets(credentials)

    def note(self, link: int, text: str) -> None:
        """Note something that happened: a handshake for example."""
        self._said.append((link, "", text.encode()))

    def client(self, link: int, octets: bytes) -> None:
        """Note what this side has sent."""
        self._add(link, "C", octets)

    def server(self, link: int, octets: bytes) -> None:
        """Note what the server has sent."""
        self._add(link, "S", octets)

    def _add(self, link: int, side: str, octets: bytes) -> None:
        if self._said and self._said[-1][:2] == (link, side):
            octets = self._said.pop()[2] + octets
        self._said.append((link, side, octets))

    @override
    def __str__(self) -> str:
        """Return it as text: a line for each line, "C: STAT" and "S: +OK 2 320"."""
        links = {link for link, _, _ in self._said}
        shown: list[str] = []
        self._exchange.clear()
        for link, side, octets in self._said:
            mark = f"{side}{link if len(links) > 1 else ''}" if side else "--"
            octets_of_lines = octets.removesuffix(b"\n").split(b"\n")
            lines = [self._shown(link, side, line) for line in octets_of_lines]
            rest = len(lines) - _LINES
            shown += [f"{mark}: {line}".rstrip() for line in lines[:_LINES]]
            if rest > 0:
                shown.append(f"{mark}: ... {rest} more lines")
        return "\n".join(shown)

    def _shown(self, link: int, side: str, line: bytes) -> str:
        regular = not side or line.endswith(b"\r") or not line
        line = line.removesuffix(b"\r")
        if side == "C":
            if self._exchange.get(link) and line not in _NO_SECRET:
                line = MASK.encode()
            elif _AUTH.match(line):
                self._exchange[link] = True
                line = re.sub(rb"(?i)(AUTH\s+\S+\s+)(?!=$)\S.*", rb"\1***", line)
            else:
                line = without_secret(line)
        elif side == "S" and self._exchange.get(link):
            # With nonce, salt and signature of SCRAM, passwords can be tried without the server.
            if line.startswith(b"+ ") and line.strip() != b"+":
                line = b"+ " + MASK.encode()
            else:
                self._exchange[link] = line.strip() == b"+"
        line = self._secrets.hidden_in(line)
        more = f"... {len(line) - _LONGEST} more octets" if len(line) > _LONGEST else ""
        text = ascii(line[:_LONGEST].decode("latin-1"))[1:-1].replace("\\'", "'")
        return text + more + ("" if regular else "\\n")
