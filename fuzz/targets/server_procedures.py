"""A server's sessions, by `check_service`: as a user would fuzz a service."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Final

from fuzz.corpus import dialogues
from fuzz.target import Choices, Target, patched, seed
from pop3proto import Limits
from pop3proto.authenticators import MemoryTokenAuthenticator
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.server.session import ServerSession
from pop3proto.testing import check_service

_MAIL: Final = (b"Subject: one\n\n.one\n..\n.\n", b"Subject: two\r\n\r\ntwo", b"", b"\n.\n", b"X" * 3_000 + b"\n.")
_LIMITS: Final = (
    Limits(),
    Limits(command_line=60, sasl_line=100, reply_line=100, bad_commands=4, buffered=100),
)
_MODES: Final[tuple[TlsMode, ...]] = ("none", "starttls", "implicit")


@cache
def _users() -> MemoryTokenAuthenticator:
    return MemoryTokenAuthenticator(
        {"ann": "tanstaaf", "mrose": "tanstaaf", "user": "pencil"}, {"token": "ann"}, scram_algorithms=["SHA-256"]
    )


def _service(limits: Limits) -> Service:
    return Service(store=MemoryStore({"ann": _MAIL}), authenticator=_users(), limits=limits)


def _run(octets: bytes) -> Hashable:
    choices = Choices(octets)
    limits = _LIMITS[choices.number(2)]
    mode = _MODES[choices.number(3)]
    sent = check_service(partial(_service, limits), choices.rest(), tls=mode)
    lines = sent.split(b"\r\n")
    return tuple(line[:14] for line in lines if line[:1] in {b"+", b"-"})[:10]


def _seeds() -> Iterator[bytes]:
    for dialogue in dialogues():
        said = b"".join(dialogue.said_by("C"))
        for number in range(3):
            yield seed(b"USER ann\r\nPASS tanstaaf\r\n" + said, number % 2, number)
            yield seed(said, number % 2, number)
    for login in (
        b"AUTH PLAIN AGFubgB0YW5zdGFhZg==\r\n",
        b"AUTH LOGIN\r\nYW5u\r\ndGFuc3RhYWY=\r\n",
        b"AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=\r\n",
    ):
        yield seed(login + b"STAT\r\nRETR 1\r\nDELE 1\r\nTOP 2 1\r\nQUIT\r\n", 0, 0)


def _plant() -> AbstractContextManager[None]:
    """A session that does not release the maildrop if a message is marked as deleted."""
    close = ServerSession.close_maildrop

    def careless(session: ServerSession) -> object:
        if session.deleted:
            session.maildrop = None
        return close(session)

    return patched(ServerSession, "close_maildrop", careless)


TARGET: Final = Target(
    "server-procedures",
    "a server's sessions with store and users: any octets from the client",
    _run,
    _seeds,
    _plant,
    seed(b"USER ann\r\nPASS tanstaaf\r\nDELE 1\r\n", 0, 0),
)
