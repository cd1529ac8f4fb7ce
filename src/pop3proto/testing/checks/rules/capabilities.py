"""Checks of CAPA, and of whether what it announces is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pop3proto.core.replies import Err, Ok
from pop3proto.core.text import excerpt
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.verdicts import expect, skip

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["AFTER_LOGIN", "BEFORE_LOGIN"]

BEFORE_LOGIN: Final = CheckTable("authorization")
AFTER_LOGIN: Final = CheckTable("transaction")

_LONGEST: Final = 512
_LINE: Final = re.compile(rb"[!-\-/-\x7f]+(?: [!-~\x80-\xff]+)*\r\n")
_WITHOUT_ARGUMENTS: Final = {
    b"TOP",
    b"USER",
    b"UIDL",
    b"RESP-CODES",
    b"PIPELINING",
    b"STLS",
    b"AUTH-RESP-CODE",
    b"LANG",
}
_FORMS: Final = {
    b"LOGIN-DELAY": re.compile(rb"[0-9]+(?: USER)?", re.IGNORECASE),
    b"EXPIRE": re.compile(rb"(?:[0-9]+|NEVER)(?: USER)?", re.IGNORECASE),
    b"UTF8": re.compile(rb"(?:USER)?", re.IGNORECASE),
    b"SASL": re.compile(rb"[A-Z0-9_-]{1,20}(?: [A-Z0-9_-]{1,20})*"),
    b"IMPLEMENTATION": re.compile(rb".+"),
}


def _lines(talk: Conversation) -> Procedure[list[bytes]]:
    return (yield from talk.ask_for_body(b"CAPA")).splitlines(keepends=True)


@BEFORE_LOGIN.practice("CAPA is known.", "2449 5")
def capa_known(talk: Conversation) -> Procedure[None]:
    yield from talk.ask_for_body(b"CAPA")


@BEFORE_LOGIN.must("CAPA with an argument is refused.", "2449 5", Need.CAPA)
def capa_argument(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"CAPA all")


@BEFORE_LOGIN.must("A line of CAPA is a tag and its arguments, with single spaces.", "2449 3", Need.CAPA)
def capa_grammar(talk: Conversation) -> Procedure[None]:
    for line in (yield from _lines(talk)):
        expect(_LINE.fullmatch(line), f"not of this form: {excerpt(line)}")


@BEFORE_LOGIN.must("A line of CAPA has at most 512 octets.", "2449 3", Need.CAPA)
def capa_line_length(talk: Conversation) -> Procedure[None]:
    for line in (yield from _lines(talk)):
        expect(len(line) <= _LONGEST, f"a line has {len(line)} octets")


@BEFORE_LOGIN.must("Capabilities that are defined without arguments have none.", "2449 6", Need.CAPA)
def capa_without_arguments(talk: Conversation) -> Procedure[None]:
    for line in (yield from _lines(talk)):
        tag, *arguments = line.upper().split()
        expect(tag not in _WITHOUT_ARGUMENTS or not arguments, f"not of the form that is defined: {excerpt(line)}")


@BEFORE_LOGIN.must("Capabilities with arguments have them in the form that is defined.", "2449 6", Need.CAPA)
def capa_arguments(talk: Conversation) -> Procedure[None]:
    for line in (yield from _lines(talk)):
        tag, _, arguments = line.strip().partition(b" ")
        form = _FORMS.get(tag.upper())
        expect(form is None or form.fullmatch(arguments), f"not of the form that is defined: {excerpt(line)}")


@BEFORE_LOGIN.practice("TOP and UIDL are announced: clients depend on them.", "1957 1", Need.CAPA)
def top_and_uidl_announced(talk: Conversation) -> Procedure[None]:
    known = yield from talk.capabilities()
    expect(known is not None and known.top and known.uidl, "they are not announced")


@BEFORE_LOGIN.should("No password is asked for without TLS.", "8314 4.1", Need.CAPA, Need.NETWORK)
def no_password_in_clear(talk: Conversation) -> Procedure[None]:
    yield from ()
    known = talk.facts.in_clear
    if known is None:
        skip("TLS begins with the connection")
    clear = [name for name in known.sasl if name in {"PLAIN", "LOGIN"}] + ["USER"] * known.user
    expect(not clear, f"announced without TLS: {', '.join(clear)}")


@BEFORE_LOGIN.should("ANONYMOUS is not offered unless that is wanted.", "4505 5", Need.SASL)
def no_anonymous(talk: Conversation) -> Procedure[None]:
    known = yield from talk.capabilities()
    expect(known is None or "ANONYMOUS" not in known.sasl, "SASL ANONYMOUS is announced")


@BEFORE_LOGIN.must("Under TLS, STLS is not announced.", "2595 4", Need.TLS, Need.CAPA)
def stls_not_announced_under_tls(talk: Conversation) -> Procedure[None]:
    known = yield from talk.capabilities()
    expect(known is None or not known.stls, "STLS is announced although TLS is active")


@BEFORE_LOGIN.practice("AUTH without an argument lists the mechanisms.", "", Need.SASL)
def auth_lists_mechanisms(talk: Conversation) -> Procedure[None]:
    names = (yield from talk.ask_for_body(b"AUTH")).decode("ascii", "replace").split()
    known = yield from talk.capabilities()
    announced = set(known.sasl) if known is not None else set[str]()
    expect(set(names) == announced, f"AUTH lists {' '.join(names)}; CAPA announces {' '.join(sorted(announced))}")


@AFTER_LOGIN.must("CAPA is accepted after login as well.", "2449 5", Need.CAPA)
def capa_after_login(talk: Conversation) -> Procedure[None]:
    yield from talk.ask_for_body(b"CAPA")


@AFTER_LOGIN.must(
    "What is announced before login is announced after it: USER, SASL, TOP and so on.", "2449 5", Need.CAPA
)
def capa_same_after_login(talk: Conversation) -> Procedure[None]:
    before, after = talk.facts.capabilities, (yield from talk.capabilities())
    expect(after is not None, "CAPA is refused after login")
    if before is not None and after is not None:
        tags = [line.partition(" ")[0] for line in before.lines()]
        gone = [tag for tag in tags if tag not in after and tag.upper() != "STLS"]
        expect(not gone, f"no longer announced: {', '.join(gone)}")


@AFTER_LOGIN.must("STLS is not announced after login, where it is not permitted.", "2595 4", Need.CAPA)
def stls_not_announced_after_login(talk: Conversation) -> Procedure[None]:
    known = yield from talk.capabilities()
    expect(known is None or not known.stls, "STLS is announced after login")


@AFTER_LOGIN.must("TOP works if it is announced.", "2449 6.1", Need.CAPA, Need.TOP, Need.MESSAGES)
def top_announced_works(talk: Conversation) -> Procedure[None]:
    yield from talk.ask_for_body(b"TOP 1 0")


@AFTER_LOGIN.must("UIDL works if it is announced.", "2449 6.8", Need.CAPA)
def uidl_announced_works(talk: Conversation) -> Procedure[None]:
    known = talk.facts.capabilities
    if known is None or not known.uidl:
        skip("the server does not announce UIDL")
    yield from talk.ask_for_body(b"UIDL")


@AFTER_LOGIN.must("With RESP-CODES, a text that begins with '[' is a response code.", "2449 6.4", Need.RESP_CODES)
def brackets_are_codes(talk: Conversation) -> Procedure[None]:
    for line in (b"STAT", b"NOOP", b"XYZZ", b"RETR 999999", b"RETR", b"USER x"):
        reply = yield from talk.ask(line)
        expect(not reply.text.startswith("[") or reply.code is not None, f"no response code: {reply.text}")


@AFTER_LOGIN.must("The response codes that are known so far come with -ERR only.", "2449 8", Need.RESP_CODES)
def codes_with_err_only(talk: Conversation) -> Procedure[None]:
    for line in (b"STAT", b"NOOP", b"RSET"):
        reply = yield from talk.ask(line)
        expect(isinstance(reply, Err) or reply.code is None, f"a code in a positive reply: {reply.text}")


@BEFORE_LOGIN.should("A server that sends [AUTH] announces AUTH-RESP-CODE.", "3206 5", Need.CAPA)
def auth_code_announced(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"USER nobody-of-this-name")
    reply = yield from talk.ask(b"PASS not-the-password-of-anybody")
    if isinstance(reply, Ok) or reply.code is None or reply.code.name != "AUTH":
        skip("the server sends no [AUTH]")
    known = talk.facts.capabilities  # the server may have hung up
    expect(known is not None and known.auth_resp_code, "it sends [AUTH], and does not announce AUTH-RESP-CODE")
