"""Checks of STLS. They begin in clear."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.replies import Err
from pop3proto.core.text import excerpt
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.verdicts import CheckFailed, expect

from .login import secret_of

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["TABLE"]

TABLE: Final = CheckTable("connection")


@TABLE.must("STLS begins TLS, and leaves the session before login.", "2595 4", Need.STLS)
def stls_works(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
    yield from talk.stls()
    yield from talk.refused(b"STAT")
    yield from talk.accepted(b"QUIT")


@TABLE.must("STLS with an argument is refused.", "2595 4", Need.STLS)
def stls_argument(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
    yield from talk.refused(b"STLS now")


@TABLE.practice("Under TLS, STLS is refused.", "2595 4", Need.STLS)
def stls_twice(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
    yield from talk.stls()
    yield from talk.refused(b"STLS")


@TABLE.must("A server that has STLS has CAPA, and announces STLS there.", "2595 4", Need.TLS)
def stls_announced(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
    if talk.tls is not None:
        return  # TLS has begun with the connection
    known = yield from talk.capabilities()
    if known is None or not known.stls:
        yield from talk.refused(b"STLS")


@TABLE.practice("Octets in clear behind STLS are not taken for commands under TLS.", "2595 9", Need.STLS)
def stls_injection(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
    yield from talk.send(b"STLS\r\nXYZZ\r\n")
    answer = yield from talk.read()
    if not answer.startswith(b"+OK"):
        return  # it refuses, or hangs up
    expect(answer.count(b"\n") == 1, f"both lines were answered in clear: {answer!r}")
    try:
        yield from talk.start_tls()
    except CheckFailed:
        return  # it takes the octets for a part of the handshake, which fails
    try:
        yield from talk.send(b"CAPA\r\n")
        answer = yield from talk.read()
    except (CheckFailed, ConnectionLost):
        return
    expect(not answer or answer.startswith(b"+OK"), "the line in clear was answered under TLS")


@TABLE.practice("After a TLS handshake that fails, nothing goes on in clear.", "2595 4", Need.STLS)
def stls_handshake_fails(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
    yield from talk.accepted(b"STLS")
    yield from talk.send(b"NOOP\r\nNOOP\r\n")
    answer = b""
    with suppress(ConnectionLost, TimedOut):  # it may hang up, however it does so, or wait for the handshake
        while octets := (yield from talk.read()):
            answer += octets
            expect(b"+OK" not in answer and b"-ERR" not in answer, f"{excerpt(answer)} came")


@TABLE.practice("A USER before STLS counts no more behind it.", "2595 9", Need.STLS, Need.PASSWORD, Need.USER)
def stls_forgets_user(talk: Conversation) -> Procedure[None]:
    user, password = secret_of(talk)
    yield from talk.greet()
    if isinstance((yield from talk.ask(b"USER " + user)), Err):
        return  # it takes no USER in clear
    if isinstance((yield from talk.ask(b"STLS")), Err):
        return  # nor STLS between USER and PASS
    yield from talk.start_tls()
    yield from talk.refused(b"PASS " + password)
