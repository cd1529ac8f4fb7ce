"""What makes a server break each of the rules that the checks look at."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities, Expire, LoginDelay
from pop3proto.maildrops import MemoryStore
from pop3proto.testing.faults import (
    Asked,
    Body,
    End,
    Fault,
    HideAfterRetr,
    LoseAnswer,
    NewUids,
    Octets,
    Refuse,
    ReuseUid,
    SameUid,
    StatusLine,
    Step,
    StrayDot,
    Unstuffed,
    WrongCount,
    WrongSize,
)
from pop3proto.testing.faults.dialogue import ChallengeLine
from pop3proto.testing.faults.line import HangUp, Here

MAIL = [b"Subject: one\n\n.one\n..two\n", b"Subject: two\n\ntwo\nthree\n", b"Subject: three\n\nthree\n"]


@attrs.frozen
class Instead(Fault):
    """A line that matches gets another answer; the server does not hear of it."""

    pattern: str
    status: bytes = b"+OK"
    body: bytes | None = None
    skip: int = 0  # so many of them in a session are answered by the server

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        matches = asked.octets and re.fullmatch(self.pattern, asked.octets.rstrip(b"\r\n").decode("latin-1"))
        if matches:
            here.own.matched = getattr(here.own, "matched", 0) + 1
        if matches and here.own.matched > self.skip:
            kind = ChallengeLine if self.status.startswith(b"+ ") else StatusLine
            answer: list[Any] = [kind(asked, self.status + b"\r\n")]
            if self.body is not None:
                answer += [Body(asked, self.body), End(asked)]
            asked = attrs.evolve(asked, answer=tuple(answer), response=False)
        yield asked


@attrs.frozen
class Heard(Fault):
    """The server hears another line than the client has said."""

    pattern: str
    heard: bytes

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.octets and re.fullmatch(self.pattern, asked.octets.rstrip(b"\r\n").decode("latin-1")):
            asked = attrs.evolve(asked, octets=self.heard)
        yield asked


@attrs.frozen
class Said(Fault):
    """What is said in answer to a command is said otherwise."""

    on: str
    old: bytes
    new: bytes

    @override
    def sent(self, octets: Octets, here: Here) -> Iterable[Step]:
        if octets.asked.is_a(self.on) or (self.on == "*" and octets.octets):
            octets = attrs.evolve(octets, octets=re.sub(self.old, self.new, octets.octets))
        yield octets


@attrs.frozen
class HangUpAfter(Fault):
    """The connection ends behind an answer."""

    pattern: str

    @override
    def said(self, part: Any, here: Here) -> Iterable[Step]:
        yield part
        if isinstance(part, StatusLine) and re.fullmatch(self.pattern, part.asked.octets.rstrip().decode("latin-1")):
            yield HangUp()


@attrs.frozen
class Extra(Fault):
    """A line of the server's own follows an answer."""

    on: str
    octets: bytes = b"+OK and more\r\n"

    @override
    def said(self, part: Any, here: Here) -> Iterable[Step]:
        yield part
        if part.asked.is_a(self.on) and isinstance(part, StatusLine):
            yield Octets(part.asked, self.octets)


@attrs.frozen
class Once(Fault):
    """A fault that begins once the client has said a line."""

    pattern: str
    fault: Fault

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        active = getattr(here.own, "active", False)
        if asked.octets and re.fullmatch(self.pattern, asked.octets.rstrip(b"\r\n").decode("latin-1")):
            here.own.active = True
        return self.fault.asked(asked, here) if active else (asked,)

    @override
    def sent(self, octets: Octets, here: Here) -> Iterable[Step]:
        return self.fault.sent(octets, here) if getattr(here.own, "active", False) else (octets,)


@attrs.frozen
class Since(Fault):
    """A fault that begins with a session of the server."""

    session: int
    fault: Fault

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        return self.fault.asked(asked, here) if here.session >= self.session else (asked,)


class QuitOnHangUp(Fault):
    """The server takes a hang-up for QUIT."""

    @override
    def hung_up(self, here: Here) -> Iterable[Step]:
        return (Asked(b"QUIT\r\n", silent=True),)


class LiveMaildrops(MemoryStore):
    """Maildrops without a lock, that all may open."""

    @override
    def open(self, user: str, session: Any, /) -> Any:
        maildrop = super().open(user, session)
        maildrop.close()
        return maildrop


def announcing(**fields: Any) -> Callable[[Capabilities], Capabilities]:
    return lambda known: attrs.evolve(known, **fields)


@attrs.frozen
class Sabotage:
    """A server that breaks a rule."""

    faults: tuple[Fault, ...] = ()
    server: Mapping[str, Any] = {}
    target: Mapping[str, Any] = {}
    tls: str = "none"


def by(*faults: Fault, tls: str = "none", server: Mapping[str, Any] | None = None, **target: Any) -> Sabotage:
    return Sabotage(faults, server or {}, target, tls)


def accept(pattern: str, body: bytes | None = None) -> Sabotage:
    return by(Instead(pattern, b"+OK", body))


def capa(body: bytes) -> Sabotage:
    return by(Instead("CAPA", b"+OK", b"USER\r\nSASL PLAIN\r\n" + body))


LOGIN = "(AUTH|PASS|APOP) .*"
FIRST_GREETING = rb"<[^>]*>"
SCRAM = {"mechanisms": ["SCRAM-SHA-256", "PLAIN"], "apop": False}
SCRAM_FIRST = b"+ " + base64.b64encode(b"r=another,s=QSXCR+Q6sek8bf92,i=1000")
OAUTH = ["OAUTHBEARER", "PLAIN"]
PLAIN_ONLY = {"mechanisms": ["PLAIN"], "apop": False, "user_pass": False}

WITHOUT: dict[str, str] = {
    "tls-version": "no TLS library of today speaks TLS 1.1 unasked",
}
"""Checks for which no server here breaks the rule, and why."""

SABOTAGE: dict[str, Sabotage] = {
    # The greeting, and what comes before login.
    "greeting-positive": by(Said("greeting", rb"\+OK", rb"-ERR")),
    "greeting-line": by(Said("greeting", rb"POP3", 600 * b"x")),
    "greeting-one-timestamp": by(Said("greeting", rb"POP3", rb"POP3 <here>")),
    "greeting-timestamp-differs": by(Said("greeting", FIRST_GREETING, rb"<1.2@host>")),
    "quit-before-login": by(Instead("QUIT")),
    "quit-argument": accept("QUIT .*"),
    "unknown-command": accept("XYZZ"),
    "keyword-length": accept("QUITT"),
    "empty-line": accept(""),
    "keyword-case": by(Instead("qUiT", b"-ERR unknown")),
    "status-in-capitals": by(Said("XYZZ", rb"-ERR", rb"-err")),
    "lines-end-with-crlf": by(Said("QUIT", rb"\r\n", rb"\n")),
    "reply-length": by(Said("XYZZ", rb"-ERR", rb"-ERR " + 600 * b"x")),
    "reply-text": by(Instead("XYZZ", b"-ERR")),
    "login-needed": accept("NOOP"),
    "line-of-255-octets": by(Instead("USER x{248}", b"-ERR too long"), HangUpAfter("USER x{248}")),
    "line-too-long": by(Instead("XYZZ x+", b"-ERR too long\r\n-ERR too long")),
    "bare-lf": by(Heard("QUIT", b"QUIT\r\n")),
    "cr-or-nul": accept("QUIT\0"),
    "two-commands-at-once": by(LoseAnswer(to="XYZZ")),
    "bad-commands-limited": by(Instead("XYZZ", b"-ERR unknown")),
    # STLS.
    "stls-works": by(Refuse("STLS"), tls="starttls"),
    "stls-argument": by(Instead("STLS .*"), tls="starttls"),
    "stls-twice": by(Said("STLS", rb"-ERR", rb"+OK"), tls="starttls"),
    "stls-announced": by(Said("CAPA", rb"STLS\r\n", b""), tls="starttls"),
    "stls-injection": by(Instead("XYZZ"), tls="starttls"),
    "stls-handshake-fails": by(Instead("STLS"), tls="starttls"),
    "stls-forgets-user": by(Instead("PASS .*"), tls="starttls"),
    # CAPA.
    "capa-known": by(Refuse("CAPA")),
    "capa-argument": accept("CAPA .*", b"TOP\r\n"),
    "capa-grammar": capa(b"X.Y\r\n"),
    "capa-line-length": capa(b"X-" + 600 * b"x" + b"\r\n"),
    "capa-without-arguments": capa(b"TOP 1\r\n"),
    "capa-arguments": capa(b"EXPIRE never ever\r\n"),
    "top-and-uidl-announced": by(server={"announce": announcing(top=False)}),
    "no-anonymous": by(server={"announce": announcing(sasl=("ANONYMOUS",))}, cleartext="always"),
    "stls-not-announced-under-tls": by(server={"announce": announcing(stls=True)}, tls="implicit"),
    "auth-lists-mechanisms": by(Refuse("AUTH")),
    "no-password-in-clear": by(),
    "capa-after-login": by(Once(LOGIN, Refuse("CAPA"))),
    "capa-same-after-login": by(Once(LOGIN, Instead("CAPA", b"+OK", b"TOP\r\n"))),
    "stls-not-announced-after-login": by(server={"announce": announcing(stls=True)}),
    "top-announced-works": by(Refuse("TOP")),
    "uidl-announced-works": by(Refuse("UIDL")),
    "brackets-are-codes": by(Instead("XYZZ", b"-ERR [not a code")),
    "codes-with-err-only": by(Instead("NOOP", b"+OK [IN-USE] nothing done")),
    "auth-code-announced": by(server={"announce": announcing(auth_resp_code=False)}),
    # Logins.
    "login-accepted": by(password="wrong"),
    "pass-logs-in": by(Refuse("PASS")),
    "wrong-password-refused": accept("PASS not-.*"),
    "login-tried-again": by(HangUpAfter("PASS .*")),
    "pass-without-user": accept("PASS .*"),
    "pass-needs-user-again": accept("PASS tanstaaf"),
    "pass-directly-after-user": accept("PASS tanstaaf"),
    "user-without-name": accept("USER"),
    "empty-password": accept("PASS "),
    "space-belongs-to-password": accept("PASS tanstaaf "),
    "user-tells-nothing": by(Instead("USER nobody.*", b"-ERR no such user")),
    "refusal-tells-nothing": by(Instead("USER nobody.*")),
    "refusal-in-clear-tells-nothing": by(Instead("USER nobody.*"), server={"cleartext": "never"}),
    "user-not-utf8": by(
        Instead("USER \xff\xfe"), Instead("PASS .*"), server={"announce": announcing(utf8=True, utf8_user=True)}
    ),
    "auth-code-on-wrong-password": by(Instead("PASS not-.*", b"-ERR wrong")),
    "login-pipelined": by(Refuse("PASS")),
    "login-once": accept("APOP nobody.*"),
    "utf8-after-login": accept("UTF8"),
    "stls-after-login": accept("STLS"),
    "apop-logs-in": by(Refuse("APOP")),
    "apop-wrong-digest": accept("APOP .*"),
    "apop-without-digest": accept("APOP ann"),
    "apop-short-digest": accept("APOP .*"),
    # SASL.
    "auth-unknown-mechanism": accept("AUTH XYZZY"),
    "auth-mechanism-case": by(Instead("auth pLaIn", b"-ERR unknown")),
    "auth-empty-challenge": by(Said("AUTH", rb"\+ \r\n", rb"+\r\n")),
    "auth-cancelled": accept(r"\*"),
    "auth-bad-base64": accept("=AAA"),
    "auth-quit-is-data": by(Instead("QUIT", b"+OK bye")),
    "auth-empty-initial-response": by(Instead("AUTH PLAIN =", b"+ ")),
    "auth-server-first": by(Instead("AUTH CRAM-MD5 AAAA", b"+ ")),
    "auth-long-response": by(Instead("AG5vYm9keQ.{9000,}", b"-ERR too long"), HangUpAfter(".{9000,}")),
    "auth-once": by(Instead("AUTH PLAIN", b"+ ")),
    "plain-logs-in": by(Instead("AGFubgB0YW5zdGFhZg==", b"-ERR wrong"), server={"mechanisms": ["PLAIN", "LOGIN"]}),
    "plain-initial-response": by(Instead("AUTH PLAIN .+", b"-ERR wrong"), server={"mechanisms": ["PLAIN", "LOGIN"]}),
    "plain-malformed": accept("bm9ib2R5AHg="),
    "plain-long-parts": by(Instead("eno6.*|enp6.*", b"-ERR too long"), HangUpAfter("enp6.*")),
    "plain-another-identity": accept("bm9ib2R5LW9m.*"),
    "plain-wrong-password": accept("AGFubgBub3Q.*"),
    "login-mechanism-logs-in": by(Instead("dGFuc3RhYWY=", b"-ERR wrong")),
    "external-without-certificate": by(
        Instead("AUTH EXTERNAL ="),
        server={"announce": lambda known: attrs.evolve(known, sasl=("EXTERNAL", *known.sasl))},
    ),
    "oauthbearer-error": by(
        Instead("bixh.*|biwsAW.*", b"-ERR no such token"), server={"tokens": {"token": "ann"}, "mechanisms": OAUTH}
    ),
    "cram-md5-challenge": by(Instead("AUTH CRAM-MD5", b"+ AAAA")),
    "cram-md5-challenge-differs": by(Instead("AUTH CRAM-MD5", b"+ PDEuMkBob3N0Pg=="), Instead(r"\*", b"-ERR")),
    "cram-md5-logs-in": by(Instead("YW5uI.*", b"-ERR wrong"), server={"mechanisms": ["CRAM-MD5", "SCRAM-SHA-256"]}),
    "cram-md5-wrong-digest": accept("YW5uIDAwMDAw.*"),
    "scram-iterations": by(Instead("biws.*", SCRAM_FIRST), server=SCRAM),
    "scram-nonce": by(Instead("biws.*", SCRAM_FIRST), server=SCRAM),
    "scram-bad-first-message": by(Instead("eCws.*", SCRAM_FIRST)),
    "scram-downgrade": by(
        server={"announce": lambda known: attrs.evolve(known, sasl=(*known.sasl, "SCRAM-SHA-256-PLUS"))}
    ),
    "scram-tells-nothing": by(Instead("biwsbj1ub2JvZHkt.*", b"-ERR no such user")),
    "scram-wrong-proof": by(Instead("Yz1iaXdz.*"), user=None, password=None),
    "scram-logs-in": by(Refuse("AUTH SCRAM-SHA-256"), Refuse("AUTH SCRAM-SHA-1")),
    # What changes nothing.
    "minimal-commands": by(Refuse("RSET")),
    "noop-argument": accept("NOOP now"),
    "stat-argument": by(Instead("STAT 1", b"+OK 1 1")),
    "rset-argument": accept("RSET 1"),
    "unknown-command-after-login": accept("XYZZ"),
    "keyword-case-after-login": by(Instead("noop", b"-ERR unknown")),
    "stat-form": by(Said("STAT", rb"\+OK ", rb"+OK  ")),
    "stat-nothing-follows": by(Said("STAT", rb"\r\n", rb" octets\r\n")),
    "stat-counts-messages": by(WrongCount(by=1)),
    "stat-adds-up-sizes": by(Instead("STAT", b"+OK 3 1")),
    "numbers-from-one": by(Said("LIST", rb"(?m)^1 ", rb"7 ")),
    "list-form": by(Said("LIST", rb"(\r\n[0-9]) ", rb"\1  ")),
    "list-one": by(StrayDot(after="LIST 1")),
    "size-is-exact": by(WrongSize(by=-2)),
    "no-such-message": by(Instead("RETR 4", b"+OK", b"x\r\n")),
    "dele-no-such-message": accept("DELE 4"),
    "top-no-such-message": by(Instead("TOP 4 0", b"+OK", b"x\r\n")),
    "uidl-no-such-message": by(Instead("UIDL 4", b"+OK 4 x")),
    "refusal-is-one-line": by(Extra("RETR 4", b".\r\n")),
    "retr-bad-number": by(Instead("RETR 0", b"+OK", b"x\r\n")),
    "list-bad-number": by(Instead("LIST -1", b"+OK 1 1")),
    "argument-missing": by(Instead("RETR", b"+OK", b"")),
    "two-spaces": by(Instead("LIST  1", b"+OK 1 20")),
    "retr-sends-message": by(Refuse("RETR")),
    "retr-again": by(Instead("RETR 1", b"+OK", b"x\r\n", skip=1)),
    "dots-are-doubled": by(Unstuffed()),
    "top-of-no-lines": by(Instead("TOP 1 0", b"+OK", b"Subject: one\r\n\r\n.one\r\n")),
    "top-of-one-line": by(Instead("TOP 1 1", b"+OK", b"Subject: one\r\n\r\n")),
    "top-of-all-lines": by(Instead("TOP 1 999999", b"+OK", b"Subject: one\r\n\r\n")),
    "top-bad-arguments": by(Instead("TOP 1 -1", b"+OK", b"x\r\n")),
    "uidl-form": by(Said("UIDL", rb"(\r\n[0-9]+ \S+)", rb"\1 more")),
    "uidl-one": by(Instead("UIDL 1", b"+OK 1 another")),
    "uidl-has-all": by(Said("UIDL", rb"(?m)^1 \S+\r\n", b"")),
    "uidl-differ": by(SameUid((1, 2))),
    "pipelined-in-order": by(LoseAnswer(to="XYZZ")),
    "pipelined-many": by(LoseAnswer(to="NOOP")),
    "pipelined-retr": by(Instead("RETR 2", b"+OK", b"x\r\n", skip=1)),
    # Two sessions, deliveries, languages, waiting.
    "maildrop-locked": by(server={"store": LiveMaildrops}),
    "in-use-code": by(Said("*", rb"\[IN-USE\] ", b"")),
    "lock-ends-with-session": by(Since(3, Refuse("AUTH")), server=PLAIN_ONLY),
    "uidl-stable": by(NewUids(since=3)),
    "new-mail-not-seen": by(Instead("STAT", b"+OK 9 9", skip=1)),
    "dots-kept": by(Unstuffed()),
    "eight-bit-kept": by(Said("RETR", rb"[\x80-\xff]", b"?")),
    "long-line-kept": by(Said("RETR", rb"x{900}", rb"x\r\n")),
    "last-line-end": by(WrongSize(by=-2)),
    "bare-lf-stored": by(WrongSize(by=-2)),
    "utf8-argument": by(Instead("UTF8 USER"), server={"announce": announcing(utf8=True)}),
    "utf8-answered": by(HangUpAfter("UTF8"), server={"announce": announcing(utf8=True)}),
    "lang-lists": by(Instead("LANG", b"+OK", b"no_tag\r\n"), server={"announce": announcing(lang=True)}),
    "lang-answers-tag": by(Instead(r"LANG \*"), server={"announce": announcing(lang=True)}),
    "lang-unknown": by(Instead("LANG x-.*"), server={"announce": announcing(lang=True)}),
    "utf8-header-needs-mode": by(server={"announce": announcing(utf8=True)}),
    "login-delay-largest": by(
        Once(LOGIN, Said("CAPA", b"LOGIN-DELAY 5", b"LOGIN-DELAY 9")),
        server={"announce": announcing(login_delay=LoginDelay(5))},
    ),
    "expire-smallest": by(
        Once(LOGIN, Said("CAPA", b"EXPIRE NEVER", b"EXPIRE 9")), server={"announce": announcing(expire=Expire(None))}
    ),
    "login-delay-enforced": by(server={"announce": announcing(login_delay=LoginDelay(5))}),
    "idle-for-ten-minutes": by(Refuse("NOOP"), slow=True),
    "command-resets-timer": by(Refuse("NOOP"), slow=True),
    # What changes the maildrop.
    "dele-hides-message": by(Once("DELE 1", Instead("LIST 1", b"+OK 1 20"))),
    "dele-hides-unique-id": by(Instead("UIDL 1", b"+OK 1 x")),
    "dele-hides-top": by(Instead("TOP 1 0", b"+OK", b"x\r\n")),
    "dele-twice": by(Instead("DELE 1", skip=1)),
    "dele-argument": accept("DELE 0"),
    "list-after-dele-keeps-numbers": by(Once("DELE 1", Said("LIST", rb"(?m)^2 ", rb"1 "))),
    "stat-after-dele": by(Once("DELE 1", Instead("STAT", b"+OK 3 90"))),
    "rset-unmarks": accept("RSET"),
    "list-when-empty": by(Once("DELE 3", Instead("LIST", b"-ERR empty"))),
    "uidl-when-empty": by(Once("DELE 3", Instead("UIDL", b"-ERR empty"))),
    "pipelined-effects": by(Once("DELE 1", Instead("STAT", b"+OK 3 90"))),
    "hang-up-keeps": by(QuitOnHangUp()),
    "rset-keeps": accept("RSET"),
    "quit-removes-marked": accept("DELE 1"),
    "retr-keeps": by(HideAfterRetr()),
    "uidl-not-used-again": by(ReuseUid()),
}
