"""What is asked before login: capabilities, mechanisms, and what the server does with octets behind STLS."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.errors import ConnectionLost, MalformedReply, RemoteProtocolError, TimedOut
from pop3proto.core.replies import Greeting, Ok, parse_challenge
from pop3proto.procedures.operations import Now, StartTls

from .sniffing import classified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.procedures.operations import Procedure

    from .findings import Findings
    from .talk import Talk

__all__ = [
    "Opened",
    "ask_capabilities",
    "ask_for_tls",
    "get_greeting",
    "inject_behind_stls",
    "say_goodbye",
    "try_extensions",
    "try_sasl",
]

_SLOW: Final = 5.0  # seconds
_ALERT: Final = b"\x15\x03"  # how a TLS record begins that tells of a failure


@attrs.define
class Opened:
    """What one kind of connection, in clear or over TLS, has shown before login.

    Args:
        greeting: the server's first line, safe to print; None over STLS.
        timestamp: for APOP; None: there is none.
        greeted_after: seconds.
        foreign: the protocol, if it is not POP3.
        has_capa: the server knows CAPA; None: it was not asked.
        capabilities: what it announces; None: nothing.
        works: LANG and UTF8, if they are announced, and whether they work.
        mechanisms: the announced ones, each with what became of it when it was tried: "works", "refused", "hangs up".
    """

    greeting: str | None = None
    timestamp: str | None = None
    greeted_after: float = 0.0
    foreign: str | None = None
    has_capa: bool | None = None
    capabilities: Capabilities | None = None
    works: dict[str, bool] = attrs.field(factory=dict[str, bool])
    mechanisms: dict[str, str] = attrs.field(factory=dict[str, str])


def get_greeting(talk: Talk, opened: Opened, findings: Findings) -> Procedure[bool]:
    """Wait for the greeting; return whether the session goes on.

    A server that is silent is spoken to: it may be of a protocol in which clients speak first. If it greets then, the
    session does not go on, as it will answer that, too.
    """
    begun = yield from Now()
    prompted = False
    try:
        said = yield from talk.hear()
    except TimedOut:
        prompted = True
        yield from talk.say(b"CAPA\r\n\r\n")
        try:
            said = yield from talk.hear()
        except TimedOut:
            findings.add("silent", f"Port {findings.port} takes a session, and then says nothing.")
            return False
    opened.greeting, opened.greeted_after = said.text, (yield from Now()) - begun
    reply = said.reply
    if reply is None:
        protocol = classified(said.octets + b"\r\n")
        if protocol in {"POP3", "other"}:
            findings.add("greeting-malformed", "What it sends first is not a POP3 greeting.", evidence=said.text)
        else:
            opened.foreign = protocol
            text = f"Port {findings.port} speaks {protocol} over TLS, not POP3."
            findings.add("wrong-protocol", text, evidence=said.text)
    elif isinstance(reply, Ok):
        opened.timestamp = Greeting(reply).timestamp
    else:
        findings.add("session-refused", "The server refuses the session in its greeting.", evidence=said.text)
    if talk.bare_lf:
        findings.add("bare-lf", "Its lines end with LF alone, not with CRLF.", evidence=said.text)
    if opened.greeted_after > _SLOW and opened.foreign is None:
        findings.add("slow-greeting", f"The greeting came after {opened.greeted_after:.0f} seconds.")
    return isinstance(reply, Ok) and not prompted


def ask_capabilities(talk: Talk, opened: Opened, findings: Findings) -> Procedure[None]:
    """Ask for the capabilities.

    Raises:
        OutOfStep: the answer did not end.
    """
    said = yield from talk.ask("CAPA")
    opened.has_capa = said.positive
    if not said.positive:
        findings.add("no-capa", "The server does not know CAPA.", evidence=said.text)
        return
    body = yield from talk.body()
    try:
        opened.capabilities = Capabilities.parse(body.content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    except MalformedReply as error:
        findings.add("capa-unreadable", "The answer to CAPA makes no sense.", evidence=str(error))
    findings.check_end(body, "CAPA")


def try_extensions(talk: Talk, opened: Opened, findings: Findings) -> Procedure[None]:
    """Try LANG and UTF8 where they are announced. Nothing but QUIT should follow on this connection.

    Raises:
        OutOfStep: an answer did not end.
    """
    announced = opened.capabilities
    if announced is not None and announced.lang:
        said = yield from talk.ask("LANG")
        if said.positive:
            findings.check_end((yield from talk.body()), "LANG")
            said = yield from talk.ask("LANG *")
        opened.works["LANG"] = said.positive
        if not said.positive:
            findings.add("lang-fails", "LANG is announced, and fails.", evidence=said.text)
    if announced is not None and announced.utf8:
        said = yield from talk.ask("UTF8")
        opened.works["UTF8"] = said.positive
        if not said.positive:
            findings.add("utf8-fails", "UTF8 is announced, and fails.", evidence=said.text)


def ask_for_tls(talk: Talk, findings: Findings) -> Procedure[bool]:
    """Say STLS; return whether the handshake is next. If not, the server refuses."""
    said = yield from talk.ask("STLS")
    if not said.positive:
        return False
    if stray := (yield from talk.stray()):
        findings.add("stls-trailing", "Octets in clear follow the answer to STLS.", evidence=repr(stray[:60]))
        raise RemoteProtocolError("the server sent octets in clear behind its answer to STLS")
    return True


def try_sasl(talk: Talk, names: Sequence[str], opened: Opened, findings: Findings) -> Procedure[None]:
    """Begin a login by each mechanism, and cancel it; what becomes of it goes into `opened.mechanisms`.

    Raises:
        ConnectionLost: the server has hung up. The mechanisms that were tried before have their result.
    """
    for name in names:
        said = yield from talk.ask(f"AUTH {name}")
        if said.negative:
            opened.mechanisms[name] = "refused"
            continue
        opened.mechanisms[name] = "works"
        if said.positive:
            findings.add("ok-as-challenge", f"AUTH {name} is answered by +OK, not by a challenge.", evidence=said.text)
        elif parse_challenge(said.octets) is None:
            what = f"The challenge of {name} is not base64."
            findings.add("unencoded-challenge", what, evidence=said.text)
        if not (yield from talk.ask("*")).negative:
            return  # it is out of step: what it says next could be anything


def inject_behind_stls(talk: Talk, findings: Findings) -> Procedure[None]:
    """Send octets in clear behind STLS, and look whether they are answered over TLS.

    A server must discard them, or end the session: they may be an attacker's, and would count as said by the client
    (RFC 2595 section 4, CVE-2011-0411).
    """
    with suppress(ConnectionLost, TimedOut, RemoteProtocolError):  # it ends the session
        yield from talk.say(b"STLS\r\nNOOP\r\n")
        if not (yield from talk.hear()).positive:
            return
        if (stray := (yield from talk.stray())).startswith(_ALERT):
            return  # it takes the octets for a part of the handshake, which fails
        if stray:
            text = "It goes on in clear after +OK to STLS, and answers what came behind it."
            findings.add("stls-injection", text, evidence=repr(stray[:60]))
            return
        yield from StartTls(until=(yield from talk.budget.deadline()))
        yield from talk.say(b"QUIT\r\n")
        first = yield from talk.hear()
        second = yield from talk.hear()
        text = "It carries out over TLS what was sent in clear behind STLS."
        findings.add("stls-injection", text, evidence=f"{first.text} / {second.text}")


def say_goodbye(talk: Talk) -> Procedure[None]:
    """Say QUIT; what becomes of it does not matter."""
    with suppress(ConnectionLost, TimedOut, RemoteProtocolError):
        yield from talk.ask("QUIT")
