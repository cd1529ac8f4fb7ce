"""Seeds and dictionary: the dialogues of the RFCs, and transcripts of real peers.

Transcripts of the tests join by themselves: in JSON files below `tests/`, lists of pairs whose first is who speaks
("C" or "S...") and whose second is what is said; in the Python files of `tests/quirks/`, the octets in each entry.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, cast

from attrs import frozen

ROOT: Final = Path(__file__).parent
TESTS: Final = ROOT.parent / "tests"
QUIRKS: Final = ROOT / "quirks.json"
FLIGHT: Final = b"\x1e"
"""Separates what a peer says at one time from what it says after the next request."""

VERBS: Final = (
    *(b"USER", b"PASS", b"APOP", b"AUTH", b"CAPA", b"STLS", b"UTF8", b"LANG", b"QUIT", b"STAT", b"LIST", b"UIDL"),
    *(b"RETR", b"TOP", b"DELE", b"NOOP", b"RSET"),
)
REPLIES: Final = (
    *(b"+OK\r\n", b"-ERR\r\n", b"+ \r\n", b"+\r\n", b"+OK 2 320\r\n", b".\r\n", b"..\r\n", b"\r\n.\r\n", b"\r", b"\n"),
    *(b"[IN-USE]", b"[SYS/TEMP]", b"[SYS/PERM]", b"[AUTH]", b"[LOGIN-DELAY]", b"[UTF8]", b"<1896.697@example.org>"),
    *(b"SASL ", b"PLAIN", b"SCRAM-SHA-256", b"PIPELINING\r\n", b"EXPIRE 0 USER\r\n", b"IMPLEMENTATION x\r\n", FLIGHT),
    *(b"LOGIN-DELAY 900\r\n", b"UTF8 USER\r\n", b"RESP-CODES\r\n", b"TOP\r\n", b"STLS\r\n", b"UIDL\r\n"),
)
WORDS: Final = (
    *VERBS,
    *(b"\r\n" + verb + b" " for verb in VERBS),
    *REPLIES,
    *(b"ann", b"tanstaaf", b"=", b"*", b"*\r\n", b"biws", b"AGFubgB0YW5zdGFhZg=="),
    *("\u00df".encode(), "\u2028".encode(), "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16").encode()),
    *(b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"n,,n=ann,r=abc", b"c=biws,r=", b"i=4096", b"s=QSXCR+Q6sek8bf92", b"v=", b"e=other-error", b"p=tls-exporter"),
    *(b"\x01auth=Bearer ", b"\x01\x01", b"user=ann\x01", b'{"status":"401"}'),
    *(b"%0a", b"%25", b"%00", b"%C3", b"[::1]", b"[fe80::1%25eth0]", b";AUTH=*", b";AUTH=+APOP", b"pop://", b"pops://"),
    *(b"ln=14,r=8,p=1", b"$scrypt$", b"SCRAM-SHA-1$", b"copies", b"messages left", b"ended early", b" octets\n"),
    *(b",S=120", b",W=123", b":2,S", b"30820122", bytes.fromhex("06092a864886f70d01010b"), b"\x30\x82", b"\x30\x80"),
)


@frozen
class Dialogue:
    """A dialogue: who spoke, and the octets; neighbouring lines of one speaker are one step."""

    steps: tuple[tuple[str, bytes], ...]

    def said_by(self, who: str) -> list[bytes]:
        """Return what one side has said, step by step."""
        return [octets for speaker, octets in self.steps if speaker == who]


@cache
def dialogues() -> tuple[Dialogue, ...]:
    """Return all dialogues of the tests, and our own transcripts of quirks."""
    found: list[Dialogue] = []
    for path in sorted((TESTS / "quirks").rglob("*.py")):
        found += _entries(ast.parse(path.read_text("utf-8")))
    for path in (*sorted(TESTS.rglob("*.json")), QUIRKS):
        try:
            found += _dialogues(cast("object", json.loads(path.read_text("utf-8"))))
        except (UnicodeDecodeError, json.JSONDecodeError):
            continue  # it is about something else
    return tuple(dict.fromkeys(found))


def _entries(tree: ast.AST) -> Iterator[Dialogue]:
    """Find the entries of the tables of a Python file: calls with octets in them. Either side may have said them."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.Call):
            yield from _entries(node)
            continue
        constants = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
        if octets := [each for each in constants if isinstance(each, bytes) and each.endswith(b"\n")]:
            yield Dialogue(tuple((who, each) for each in octets for who in ("C", "S")))


def _dialogues(value: object) -> Iterator[Dialogue]:
    """Find the dialogues in what a JSON file holds, however deep."""
    if isinstance(value, dict):
        for each in cast("dict[str, object]", value).values():
            if dialogue := _dialogue(each):
                yield dialogue
            else:
                yield from _dialogues(each)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _dialogues(each)


def _dialogue(value: object) -> Dialogue | None:
    if not isinstance(value, list) or not value:
        return None
    steps: list[tuple[str, bytes]] = []
    for step in cast("list[object]", value):
        match step:
            case [str(who), str(text)] if who[:1] in {"C", "S"}:
                pass
            case _:
                return None
        # Octets that are not UTF-8 stand as the characters of the same number.
        octets = text.encode("latin-1") if all(char <= "\xff" for char in text) else text.encode()
        if steps and steps[-1][0] == who[0]:
            octets = steps.pop()[1] + octets
        steps.append((who[0], octets))
    return Dialogue(tuple(steps))


@cache
def sasl_messages() -> tuple[tuple[str, tuple[tuple[str, bytes], ...]], ...]:
    """Return the exchanges of the SASL vectors: the mechanism, and who said what, without base64."""
    vectors = cast("list[dict[str, object]]", json.loads((TESTS / "data" / "sasl_vectors.json").read_text("utf-8")))
    return tuple(
        (
            str(vector["mechanism"]),
            tuple(
                (message["dir"], bytes.fromhex(message["raw_hex"]))
                for message in cast("list[dict[str, str]]", vector["messages"])
                if "raw_hex" in message
            ),
        )
        for vector in vectors
    )
