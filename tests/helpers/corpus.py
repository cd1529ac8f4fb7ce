"""Messages of every nasty kind that a maildrop may hold, and the form in which they must come over the wire."""

import base64
import random
from collections.abc import Iterable
from functools import cache
from itertools import cycle, islice
from pathlib import Path

BUFFER_SIZES = (512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)
BIG = 5_000_000


@cache
def corpus() -> dict[str, bytes]:
    """The messages as they are stored, by name; the same octets every time.

    Nearly all of them tell their name in a header field, X-Corpus.
    """
    chance = random.Random(1939)
    attachment = base64.encodebytes(chance.randbytes(60_000))
    plain = {
        "plain": b"Hello,\n\nthis is an ordinary message.\n",
        "dots": b".\n..\n...\n....\n.leading\n..two\n. blank\n trailing .\nend.\n",
        "lone dot": b".\n",
        "lone dots": b".\n" * 300,
        "two dots": b"..\n",
        "dot without line end": b"text\n.",
        "dots without line end": b"text\n..",
        "text without line end": b"the last line has no end",
        "no line end, 8 bit": b"the end is \xff",
        "mixed line ends": b"LF\nCRLF\r\nLF\n.\r\n.\nCRLF\r\n\r\n\nend\r\n",
        "bare CR": b"one\rtwo\r\rthree\n\r\n\rx\n.\r.\rdot\n\r.\n\r.\r\nend\n",
        "CR CR LF": b"one\r\r\ntwo\r\r\r\n.\r\r\n\r\r\n.\r\n",
        "CR to end with": b"text\r",
        "CRs to end with": b"text\n\r\r",
        "dot and CR to end with": b"text\n.\r",
        "UTF-8": "Grüße, Ω, 日本語, 🐍\n".encode() * 5,
        "all octets but CR and LF": bytes(octet for octet in range(256) if octet not in b"\r\n") + b"\n",
        "control characters": b"\x07bell \x08\x1b[31mred\x0bVT\x0cFF\x1aSUB\x1c\x1d\x1e\x1f\x7f\x85\n",
        "NUL": b"a\0b\n\0\n\0\0\0\n.\0\n\0.\nend\n",
        "Unicode line ends": "NEL\u0085LS\u2028PS\u2029.\u2028.\n".encode(),
        "empty body": b"",
        "blank lines only": b"\n" * 7,
        "trailing blank lines": b"text\n\n\n\n\n",
        "trailing blanks": b"text \ntext\t\n \n\t\n. \n.\t\n",
        "From lines": b"From here\n\nFrom ann@example.org Mon Jan  6 10:00:00 2025\n>From quoted\n>>From twice\n",
        "replies": b"+OK\n-ERR no\n+ \n+OK 2 320\nQUIT\n.\nRETR 1\n1 120\n2 200\n.\n+OK bye\n",
        "a long line": b"A" * 200_000 + b"\nshort\n",
        "a long line of dots": b"." * 100_000 + b"\n.\n" + b"." * 100_000,
        "lines as long as buffers": b"".join(
            b"x" * (size + shift) + b"\n.y\n" for size in (998, *BUFFER_SIZES) for shift in range(-3, 3)
        ),
        "dots at the borders of buffers": _dots_at_borders(),
        "many short lines of dots": b"".join(b"." * (number % 5) + b"\n" for number in range(20_000)),
        "many empty lines": b"\n" * 50_000,
        "base64": b"--B\n\nsee below\n--B\nContent-Transfer-Encoding: base64\n\n" + attachment + b"--B--\n",
        "noise": chance.randbytes(200_000),
        "noise of line ends and dots": bytes(chance.choices(b"\r\n.a", k=50_000)),
        "big": _big(attachment.splitlines()[:-1]),  # the last may be short
    }
    fields = {
        "field of many lines": b"X-Long: one\n two\n\tthree\n" + b" word\n" * 500,
        "field of one long line": b"X-Long: " + b"h" * 50_000 + b"\n",
        "dot in the header": b".field: odd\n..field: odder\n.\n",
        "8 bit in the header": "Subject: Grüße\nX-Latin: ".encode() + b"gr\xfc\xdfe\n",
    }
    whole = {
        "CRLF stored": (_header("CRLF stored") + b"\none\n.\n..two\n\n").replace(b"\n", b"\r\n"),
        "header only": _header("header only"),
        "header without line end": _header("header without line end")[:-1],
        "dot to begin with": b".X: y\n" + _header("dot to begin with") + b"\ntext\n",
        "From line to begin with": b"From ann@example.org\n" + _header("From line to begin with") + b"\ntext\n",
        "no header": b"\ntext\n",
        "lone dot and nothing else": b".",
        "a line end": b"\n",
        "nothing": b"",
    }
    messages = {name: _header(name) + b"\n" + body for name, body in plain.items()}
    messages |= {name: _header(name) + more + b"\ntext\n" for name, more in fields.items()}
    return messages | whole


def wire(message: bytes) -> bytes:
    """The message with CRLF at the end of each line, the last one too: what RETR sends, before dots are stuffed."""
    lines = message.replace(b"\r\n", b"\n").split(b"\n")
    if lines[-1] == b"":  # there is nothing behind the last line end
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def top(message: bytes, lines: int) -> bytes:
    """The header of the message, the blank line, and so many lines of its body: what TOP sends (RFC 1939 section 7)."""
    rows = wire(message).split(b"\r\n")[:-1]
    header = rows.index(b"") + 1 if b"" in rows else len(rows)
    return b"".join(row + b"\r\n" for row in rows[: header + lines])


def make_maildir(path: Path, messages: Iterable[bytes]) -> Path:
    """Make a Maildir of messages, which any server numbers in this order; every other one has been seen."""
    for folder in (path, *(path / name for name in ("tmp", "new", "cur"))):
        folder.mkdir(mode=0o700)
    for number, message in enumerate(messages):
        name = f"{1_700_000_000 + number}.M{number:06}P1.host"
        (path / ("cur" if number % 2 else "new") / (f"{name}:2,S" if number % 2 else name)).write_bytes(message)
    return path


def maildir_contents(path: Path) -> list[bytes]:
    """The messages that a Maildir holds, with CRLF line ends, in any order."""
    return [wire(file.read_bytes()) for folder in ("new", "cur") for file in (path / folder).iterdir()]


def difference(got: bytes, expected: bytes) -> str:
    """Where two messages begin to differ, in a line that people can read however long they are; "" if nowhere."""
    if got == expected:
        return ""
    at = next((at for at, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(got), len(expected)) if at is None else at
    around = slice(max(at - 20, 0), at + 20)
    return f"{len(got)} octets for {len(expected)}; from {at - 20}: {got[around]!r} for {expected[around]!r}"


def _header(name: str) -> bytes:
    return (
        "Return-Path: <ann@example.org>\n"
        "From: Ann <ann@example.org>\n"
        "To: bob@example.org\n"
        f"Subject: {name}\n"
        "Date: Mon, 06 Jan 2025 10:00:00 +0000\n"
        f"Message-ID: <{name.replace(' ', '-')}@example.org>\n"
        f"X-Corpus: {name}\n"
    ).encode()


def _dots_at_borders() -> bytes:
    """Lone dots at all multiples of 4096 octets, or up to four before or behind them.

    The nine shifts have no factor in common with 16, so that each of them comes with multiples of 65,536 as well.
    """
    start = len(_header("dots at the borders of buffers")) + len(b"\n")
    body = bytearray()
    for number in range(1, 9 * 16 + 1):
        border = number * 4096 + number % 9 - 4
        body += b"x" * (border - start - len(body)) + b"\r\n.\r\n"
    return bytes(body)


def _big(texts: list[bytes]) -> bytes:
    """Five megabytes. Four lines are 257 octets, so that a lone dot comes to lie everywhere in any buffer."""
    lines = (b".%06d %s\n" % (number, text) if number % 4 else b".\n" for number, text in enumerate(cycle(texts)))
    return b"".join(islice(lines, BIG * 4 // 257))
