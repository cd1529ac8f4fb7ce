"""Names and texts from outside: POP URLs, names to log in, hashes, files of a Maildir, what logs show."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from stringprep import in_table_b1, in_table_c12
from typing import Final
from unicodedata import ucd_3_2_0
from urllib.parse import quote

from typing_extensions import override

from fuzz.target import Target, Violation, check, patched
from pop3proto import (
    Answer,
    BadCommand,
    BodyChunk,
    BodyEnd,
    Err,
    LocalProtocolError,
    Ok,
    Retr,
    User,
    check_unique_id,
    logs,
)
from pop3proto.authenticators.schemes import SCHEMES, UnusableHash, parse_hash
from pop3proto.cli.trace import Transcript
from pop3proto.core.text import excerpt, visible
from pop3proto.fetching.accounts.errors import AccountError
from pop3proto.fetching.accounts.url import Address
from pop3proto.fetching.destinations.maildir_search import read_mark
from pop3proto.logs import LogObserver
from pop3proto.maildrops.maildir import MaildirStore
from pop3proto.maildrops.names import delivery_time, is_seen, stored_size, unique_id, unique_part, wire_octets
from pop3proto.procedures import Refused
from pop3proto.sasl import MechanismError, SessionInfo
from pop3proto.sasl.saslprep import prepare
from pop3proto.serving import Template

_LONGEST_NAME: Final = 255  # octets, on every file system


class _Lines(logging.Handler):
    """Checks the lines of a log."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        check(record.getMessage().isprintable(), f"a line of the log is not printable: {record.getMessage()!r:.100}")


def _logger() -> logging.Logger:
    logger = logging.getLogger("fuzz")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(_Lines())
    return logger


_NOWHERE: Final = MaildirStore.of_folder(Path("/nowhere"))
_LOG: Final = LogObserver(_logger())
_SITE: Final = Template.parse("/mail/{domain}/{local}")
_HOMES: Final = Template.parse("{home}/Maildir")


def _check_url(text: str) -> str:
    try:
        account = Address.of_url(text)
    except AccountError as failure:
        check(len(text) < 12 or text not in str(failure), "an error quotes the URL")
        return str(failure)[:40]
    check(User(account.user).name == account.user, "a user cannot log in")
    check(account.key.isascii() and len(account.key.split()) == 1, f"the key is not one word: {account.key!r}")
    check(account.key.isprintable(), "the key is not printable")
    host = f"[{quote(account.host, safe=':')}]" if ":" in account.host else account.host
    way = {None: "", "APOP": ";AUTH=+APOP"}.get(account.way, f";AUTH={account.way}")
    again = (
        f"{'pops' if account.tls == 'implicit' else 'pop'}://{quote(account.user, safe='')}{way}@{host}:{account.port}"
    )
    check(Address.of_url(again) == account, f"a URL does not survive: {again!r}")
    return f"{account.tls}{account.way}{account.wants_token}"


def _check_file_name(octets: bytes) -> object:
    name = os.fsdecode(octets.translate(None, b"\0/")[:_LONGEST_NAME])
    if not name:
        return None
    unique = unique_part(name)
    check_unique_id(unique_id(unique))
    check(unique_id(unique, 1) != unique_id(unique, 2) != unique_id(unique), "different messages have one id")
    octets_on_wire = wire_octets(name, 120)
    check(octets_on_wire is None or 120 <= octets_on_wire <= 241, f"a file of 120 octets cannot take {octets_on_wire}")
    check((stored_size(name) or 0) < 10**19, "a size is out of bounds")
    check(delivery_time(name) >= 0, "a time is negative")
    if ":" not in name and unique_part(f"{name}.") == f"{unique}.":  # it has neither flags nor sizes
        check(unique_part(f"{name}:2,S") == unique, "flags change the unique part")
        check(unique_part(f"{name},S=12") == unique, "a size changes the unique part")
        check(is_seen(f"{name}:2,FS"), "it is seen")
    mark = read_mark(name)
    return octets_on_wire is None, delivery_time(name) > 0, mark is not None, unique == name


def _check_folder_name(text: str) -> object:
    try:
        _NOWHERE.open(text, SessionInfo())
    except Refused as refusal:
        return str(refusal)
    raise Violation("there is a Maildir where there is none")


def _check_shown(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    check(visible(text).isprintable(), "what is to be visible is not printable")
    check(excerpt(octets).isprintable(), "an excerpt is not printable")
    lines: list[str] = []
    transcript = Transcript(lines.append, message_lines=3, listing_lines=3)
    session = SessionInfo("192.0.2.1", id=1, user=text)
    try:
        replies = Ok(text), Err(text)
    except LocalProtocolError:
        replies = Ok(), Err()
    _LOG.said(session, replies[0])
    transcript.heard(session, Answer(Retr(1), replies[1]))
    transcript.heard(session, Answer(Retr(1), replies[0]))
    _LOG.heard(session, BadCommand(octets, "unknown command", Err("no")))
    _LOG.ended(session, OSError(text))
    transcript.heard(session, BodyChunk(octets[: len(octets) // 2] or b"."))
    transcript.heard(session, BodyChunk(octets[len(octets) // 2 :] or b"."))
    transcript.heard(session, BodyEnd())
    for line in lines:
        check(line.isprintable() and len(line) <= 80, f"a line of a transcript is odd: {line!r:.100}")


def _check_prepared(text: str) -> object:
    """Compare with the definition: map, normalize (RFC 4013 section 2)."""
    try:
        prepared = prepare(text, stored=False)
    except MechanismError:
        return None
    mapped = "".join([" " if in_table_c12(each) else "" if in_table_b1(each) else each for each in text])
    check(prepared == ucd_3_2_0.normalize("NFKC", mapped), f"{text!a:.100} is prepared as {prepared!a:.100}")
    check(prepare(prepared, stored=False) == prepared, f"{text!a:.100} is prepared in another way the second time")
    return prepared == text


def _check_maildrop(text: str) -> object:
    """No name and no home folder lead out of what a template names."""
    path, home = _SITE.path(text), _HOMES.path("ann", Path(text))
    check(path is None or (path.parts[:2] == ("/", "mail") and len(path.parts) == 4), f"a name leads to {path}")
    for each in (path, home):
        check(each is None or ".." not in each.parts, f"a path leads up: {each}")
        check(each is None or "\0" not in str(each), "a path holds NUL")
    return path is None, home is None


def _check_hash(text: str) -> object:
    try:
        hashed = parse_hash(text)
    except UnusableHash as error:
        scheme, _, behind = text.partition("}")
        data = behind or text
        said = str(error).partition("; supported are ")[0]
        check(len(data) < 12 or data.upper() in scheme.upper() or data not in said, "an error quotes the hash")
        return str(error)[:30]
    check(hashed.scheme in SCHEMES, f"there is no scheme {hashed.scheme}")
    check(len(data := text.partition("}")[2]) < 12 or data not in repr(hashed), "the hash is shown")
    return hashed.scheme, hashed.cost


def _run(octets: bytes) -> Hashable:
    text = octets.decode("utf-8", "surrogateescape")
    _check_shown(octets)
    others = _check_maildrop(text), _check_hash(text)
    return _check_url(text), _check_file_name(octets), _check_folder_name(text), _check_prepared(text), others


def _seeds() -> Iterator[bytes]:
    yield from (
        *(b"pops://ann@pop.example.org", b"pop://ann;AUTH=+APOP@pop.example.org:110/", b"POP://a%40b@[::1]:995"),
        *(b"pops://ann;AUTH=SCRAM-SHA-256@Pop.Example.ORG", b"pops://ann:tanstaaf@pop.example.org", b"pop://@x"),
        *(
            b"pops://j%C3%B8rg;AUTH=*@[fe80::1%25eth0]",
            b"pop://ann@host:0",
            b"pop://%@h",
            b"pop://a@[1::g]",
            b"imap://a@b",
        ),
        *("pops://j\u00f8rg@b\u00fccher.example".encode(), b"pops://a@b?c", b"pops://a@b/c"),
        *(b"1700000000.M123456P12.host,S=120,W=123:2,FS", b"1700000000.M1U0123456789abcdef0123456789abcdef.pop3proto"),
        *(
            b"0" * 64,
            b"new,W=99999999999999999999",
            b"a,S=1,W=2,S=3",
            b":2,",
            b".hidden",
            b"\xff,W=1",
            b"a b",
            b"99999999999",
        ),
        *("I\u00adX\u2168\u00aa".encode(), "e\u0301\u0327\ufb01\u200b\u3000".encode(), "\u05d0\u0627".encode()),
        *(b"\x1b[31mred\x07", "\u202egnp.exe\u2028\u0085".encode(), b"\xff\xfe", b"Subject: x\r\n\r\n.\r\n..\r\n"),
        b"1700000000.M1U0123456789abcdef0123456789abcdef.pop3proto,S=5,W=7:2,S",
        *(b"ann@example.org", b"../x@example.org", b"/home/ann", b"/home/../ann", b"@", b"a@.."),
        *(b"{SSHA256}c2FsdA==", b"$6$rounds=1000$salt$hash", b"{PLAIN}tanstaaf tanstaaf", b"{SHA512.HEX}00ff"),
        *(b"{SCRAM-SHA-256}4096,c2FsdA==,a,b", b"$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA", b"{PBKDF2}$1$s$1000$00"),
    )


def _plant() -> AbstractContextManager[None]:
    """A log that takes the names of users as they are."""
    return patched(logs, "_escaped", str)


TARGET: Final = Target(
    "names",
    "POP URLs, names to log in, of files and folders, what logs and transcripts show",
    _run,
    _seeds,
    _plant,
    b"\xff",
)
