"""What both sides have said in a check, octet for octet, without secrets."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from typing_extensions import override

if TYPE_CHECKING:
    from pop3proto.sasl.credentials import Password

__all__ = ["Transcript", "without_secret"]

_MASK: Final = "***"
_LONGEST: Final = 300  # octets of a line that are shown
_LINES: Final = 60  # lines of one side at a time that are shown
_SECRET: Final = re.compile(rb"(?i)(PASS |APOP \S+ |AUTH \S+ )\S.*")
_AUTH: Final = re.compile(rb"(?i)AUTH \S+")
_NO_SECRET: Final = frozenset({b"*", b"=", b""})


def without_secret(line: bytes) -> bytes:
    """Return a command line without its secret."""
    return _SECRET.sub(rb"\1***", line)


class Transcript:
    """Records the connections of one check.

    Args:
        password: what must not be shown; None: nothing but what the lines themselves tell.
    """

    def __init__(self, password: Password | None = None) -> None:
        self._said: Final[list[tuple[int, str, bytes]]] = []
        self._exchange: Final[dict[int, bool]] = {}  # connection: the next line of the client is part of an exchange
        self._secrets: Final = _forms(password)

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
                line = _MASK.encode()
            elif _AUTH.match(line):
                self._exchange[link] = True
                line = re.sub(rb"(?i)(AUTH \S+ )(?!=$)\S.*", rb"\1***", line)
            else:
                line = without_secret(line)
        elif side == "S" and not line.startswith(b"+ ") and line != b"+":
            self._exchange[link] = False
        for secret in self._secrets:
            line = line.replace(secret, _MASK.encode())
        more = f"... {len(line) - _LONGEST} more octets" if len(line) > _LONGEST else ""
        text = ascii(line[:_LONGEST].decode("latin-1"))[1:-1].replace("\\'", "'")
        return text + more + ("" if regular else "\\n")


def _forms(password: Password | None) -> list[bytes]:
    if password is None:
        return []
    user, secret = password.user.encode(), password.password.encode()
    plain = base64.b64encode(b"\0%b\0%b" % (user, secret))
    return [form for form in (plain, base64.b64encode(secret), secret) if form]
