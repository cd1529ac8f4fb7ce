"""Test messages, generated from a fixed seed. All are ASCII with CRLF line ends."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from pop3proto import BodyEncoder

PROSE: Final = (
    "a about after all also an and any are as at back be because but by can come could day do even first for from "
    "get give go good have he her him his how if in into it its just know like look make many me more most my new "
    "no not now of on one only or other our out over people say see she so some take than that the their them then "
    "there these they think this time to two up use want was way we well what when which who will with work would "
    "year you your message received regarding attached Monday Nikolaus January https://www.example.org/index.html"
)
WORDS: Final = PROSE.split()


def typical(size: int) -> bytes:
    """Prose in paragraphs, 72 columns wide; one line in 200 begins with a dot."""
    chance = random.Random(1939)

    def line() -> bytes:
        columns = chance.choice((0, 25, 60, 66, 68, 70, 71, 72, 72))
        text = "." if chance.random() < 0.005 else ""
        while len(text) < columns:
            text += chance.choice(WORDS) + (". " if chance.random() < 0.06 else " ")
        return text.encode()

    return lines(line, size)


def dotted(size: int) -> bytes:
    """The same prose, but every line begins with a dot."""
    return b"".join(b"." + line for line in typical(size).splitlines(keepends=True))


def attachment(size: int) -> bytes:
    """Base64 lines, 76 columns wide."""
    chance = random.Random(2045)
    return lines(lambda: base64.b64encode(chance.randbytes(57)), size)


def dots(size: int) -> bytes:
    """Lines that are nothing but a dot."""
    return b".\r\n" * (size // 3)


def one_line(size: int) -> bytes:
    """A message that is a single line."""
    return b"x" * (size - 2) + b"\r\n"


def lines(line: Callable[[], bytes], size: int) -> bytes:
    made: list[bytes] = []
    total = 0
    while total < size:
        made.append(line() + b"\r\n")
        total += len(made[-1])
    return b"".join(made)


CORPORA: Final[Mapping[str, Callable[[int], bytes]]] = {
    "typical text": typical,
    "base64": attachment,
    "every line dotted": dotted,
    "lines of one dot": dots,
    "one long line": one_line,
}


def wire(message: bytes) -> bytes:
    """Return a message as RETR sends it, behind the reply."""
    encoder = BodyEncoder(trusted_crlf=True)
    return encoder.feed(message) + encoder.finish()


def cut(data: bytes, chunk: int) -> list[bytes]:
    """Split data into chunks, as reads from a socket or file would."""
    return [data[start : start + chunk] for start in range(0, len(data), chunk)]


def make_maildir(path: Path, messages: Iterable[bytes]) -> Path:
    """Make a Maildir of messages, which any server numbers in this order."""
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    for number, message in enumerate(messages):
        (path / "cur" / f"{1_700_000_000 + number}.M{number:06}P1.host:2,S").write_bytes(message)
    return path
