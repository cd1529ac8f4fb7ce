"""What answers on a port: POP3 in clear, TLS, another protocol, or nothing. By what it says, never by the port."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.replies import looks_like
from pop3proto.core.text import decode_text, visible
from pop3proto.procedures.operations import Now, Read, Write

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure

    from .talk import Budget

__all__ = ["Sniffed", "classified", "sniff"]

_ENOUGH: Final = 512  # octets
_PATIENCE: Final = 1.5
"""Seconds for a server to speak first. One that needs longer does so all the same, and sees what it cannot use."""
_POP3: Final = re.compile(rb"(?:\+OK|-ERR)(?: |\r?\n)", re.IGNORECASE)
_NAME: Final = re.compile(r"looks like ([A-Z]+)")
_HTML: Final = re.compile(rb"\s*<(?:!doctype|html)", re.IGNORECASE)


@attrs.frozen
class Sniffed:
    """What has answered.

    Args:
        protocol: "POP3", "TLS", "IMAP", "SMTP", "HTTP", "FTP", "SSH"; "other"; "silent": it says nothing; "closed": it
            has hung up and said nothing.
        octets: what it said first.
        seconds: how long that took.
    """

    protocol: str
    octets: bytes = b""
    seconds: float = 0.0

    @property
    def first_line(self) -> str:
        """Its first line, safe to print."""
        return visible(decode_text((self.octets.splitlines() or [b""])[0][:200]))


def classified(octets: bytes) -> str:
    """Return the protocol that the first octets of a server belong to."""
    if _POP3.match(octets):
        return "POP3"
    if _HTML.match(octets):
        return "HTTP"
    match = _NAME.search(looks_like(octets))
    return match[1] if match else "other"


def sniff(budget: Budget, hello: bytes, *, hello_first: bool) -> Procedure[Sniffed]:
    """Find out what is at the other end of a new connection.

    Most servers speak first. One that does not gets the first message of a TLS handshake, which a TLS server answers
    in binary, an HTTP server with an error in words, and others not at all.

    Args:
        budget: how long to wait.
        hello: a ClientHello.
        hello_first: send it at once. A server that begins in clear is known all the same, as it speaks first, too.
    """
    begun = yield from Now()
    octets = b""
    try:
        if not hello_first:
            octets = yield from _first(budget, min(_PATIENCE, budget.wait / 2))
        if not octets:
            yield from Write(hello, (yield from budget.deadline()))
            octets = yield from _first(budget, budget.wait)
    except ConnectionLost:
        return Sniffed("closed")
    if not octets:
        return Sniffed("silent")
    return Sniffed(classified(octets), octets, (yield from Now()) - begun)


def _first(budget: Budget, most: float) -> Procedure[bytes]:
    """Return the first line, or record of TLS; b"" if nothing comes.

    Raises:
        ConnectionLost: it has hung up.
    """
    until = yield from budget.deadline(most)
    octets = b""
    try:
        while b"\n" not in octets and len(octets) < _ENOUGH and classified(octets) != "TLS":
            more = yield from Read(until)
            if not more:
                if octets:
                    break
                raise ConnectionLost("the server has hung up")
            octets += more
    except TimedOut:
        pass
    return octets
