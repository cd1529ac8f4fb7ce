"""What replies mean: `parse` of every command, against its inverse, and the readers of numbers and base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, cast

from fuzz.corpus import dialogues
from fuzz.target import Choices, Target, check, patched, seed
from pop3proto import (
    Apop,
    Auth,
    AuthList,
    Capa,
    Command,
    Err,
    Greeting,
    Lang,
    LangList,
    Limits,
    List,
    ListOne,
    LocalProtocolError,
    MalformedReply,
    Ok,
    Pass,
    Retr,
    ScanListing,
    Stat,
    Top,
    Uidl,
    UidlOne,
    UniqueIdListing,
    User,
)
from pop3proto.core import text
from pop3proto.core.commands import Vocabulary
from pop3proto.core.replies import parse_challenge, parse_reply

_COMMANDS: Final[tuple[Command[object], ...]] = (
    *(Stat(), List(), ListOne(1), Uidl(), UidlOne(1), Retr(1), Top(1, 0), Capa(), Lang("en"), LangList(), AuthList()),
    Auth("PLAIN"),
)
_MAKERS: Final[tuple[Callable[[str], Command[object]], ...]] = (
    *(User, Pass, Auth, Lang, lambda words: Apop(words, "0" * 32), lambda words: Apop("ann", words)),
    lambda words: Auth("PLAIN", words.encode("utf-8", "surrogateescape")),
)
_VOCABULARY: Final = Vocabulary()
_LIMITS: Final = (Limits(), Limits(listing_entries=3, text_lines=3, body=60))
_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def check_answer(command: Command[object], reply: Ok, body: bytes, limits: Limits) -> str:
    """Parse an answer; if it has a meaning, the answer that a server makes of it means the same."""
    try:
        result = command.parse(reply, body, limits=limits)
    except MalformedReply:
        return "malformed"
    if isinstance(result, ScanListing | UniqueIdListing) and (not result.complete or result.duplicates):
        return "incomplete"
    try:
        made = cast("Callable[[object], tuple[Ok, bytes]]", cast("Any", command).answer)(result)
    except LocalProtocolError as error:
        # It can be read, and a server of ours would not write it: its line would be too odd.
        return f"not to be made: {error}"[:40]
    again = command.parse(*made)
    check(again == result, f"{command}: {result!r:.200} is answered by {made!r:.200}, which means {again!r:.200}")
    return type(result).__name__


def _check_line(line: bytes) -> str:
    try:
        reply = parse_reply(line)
    except LocalProtocolError:
        check(re.search(rb"[\r\n\0]", line), "a status line was refused for no reason")
        return "refused"
    if reply is None:
        check(not re.match(rb"(?i:\+OK|-ERR)(?: |\Z)", line), "a status line was not known")
        return "none"
    check(re.match(rb"(?i:\+OK|-ERR)(?: |\Z)", line), "it was taken for a status line")
    check(parse_reply(reply.encode().removesuffix(b"\r\n")) == reply, "a reply does not survive")
    code, timestamp = reply.code, Greeting(reply).timestamp
    if code is not None:
        coded = type(reply).coded(code, reply.message)
        check((coded.code, coded.message) == (code, reply.message), "a response code does not survive")
        check(reply.has(code), "a reply has not its own code")
    check(timestamp is None or isinstance(reply, Ok), "a refusal has a timestamp")
    return f"{code}{timestamp is None}{isinstance(reply, Err)}"[:20]


def _check_numbers(octets: bytes) -> None:
    naive = None
    if 0 < len(octets) <= 20 and all(octet in b"0123456789" for octet in octets):
        naive = 0
        for octet in octets:
            naive = naive * 10 + octet - 48
    check(text.read_number(octets) == naive, "a number is read in another way")
    decoded = text.decode_base64(octets)
    if _BASE64.fullmatch(octets):
        check(decoded == binascii.a2b_base64(octets), "base64 is read in another way")
    else:
        check(decoded is None, "what is not base64 was decoded")
    challenge = parse_challenge(b"+ " + octets)
    check((challenge and challenge.data) == decoded, "a challenge is read in another way")


def _check_commands(line: bytes) -> str:
    """Make commands from a text: if one can be made, its line means the same."""
    made = ""
    words = text.decode_text(line)
    for make in _MAKERS:
        try:
            command = make(words)
        except LocalProtocolError:
            continue
        read = _VOCABULARY.parse(command.encode().removesuffix(b"\r\n"))
        check(read == command, f"{command!r:.200} is read as {read!r:.200}")
        made += command.verb
    return made


def _run(octets: bytes) -> Hashable:
    choices = Choices(octets)
    command, limits = _COMMANDS[choices.number(len(_COMMANDS))], _LIMITS[choices.number(2)]
    line, _, body = choices.rest().partition(b"\r\n")
    kind = _check_line(line)
    for each in line.split(b" "):
        _check_numbers(each)
    reply = Ok(text.decode_text(re.sub(rb"[\r\n\0]", b"", line.removeprefix(b"+OK "))))
    return kind, _check_commands(line), command.verb, check_answer(command, reply, body, limits)


def _seeds() -> Iterator[bytes]:
    for number in range(len(_COMMANDS)):
        for dialogue in dialogues():
            for said in dialogue.said_by("S"):
                yield seed(said.removesuffix(b".\r\n"), number, number % 2)
        yield seed(b"+OK 1 2\r\n1 120\r\n2 200\r\n", number, 0)
        yield seed(b"+OK [IN-USE] x <1.2@x>\r\n" + base64.b64encode(b"abc"), number, 1)


def _plant() -> AbstractContextManager[None]:
    """Numbers may have one digit too many."""
    return patched(text, "_NUMBER", re.compile(rb"[0-9]{1,21}"))


TARGET: Final = Target(
    "results",
    "what replies and bodies mean, against the inverse; numbers, base64",
    _run,
    _seeds,
    _plant,
    seed(b"1" + b"0" * 20, 0, 0),
)
