"""Checks of USER, PASS and APOP."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto.core.replies import Err, Greeting, Ok, ResponseCode
from pop3proto.sasl.md5 import apop_digest
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.steps import LoginRefused, log_in
from pop3proto.testing.checks.verdicts import CheckFailed, ServerHungUp, expect, skip

if TYPE_CHECKING:
    from collections.abc import Collection

    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["TABLE", "WRONG", "must_log_in", "secret_of"]

TABLE: Final = CheckTable("authorization")
WRONG: Final = b"not-the-password-of-anybody"
_UNKNOWN: Final = b"nobody-of-this-name"


def must_log_in(talk: Conversation, only: Collection[str] | None = None) -> Procedure[None]:
    """Log in, which the server must accept.

    Args:
        talk: a connection before login.
        only: as in `login`.
    """
    try:
        yield from log_in(talk, only)
    except LoginRefused as error:
        raise CheckFailed(str(error)) from error
    yield from talk.accepted(b"NOOP")


def secret_of(talk: Conversation) -> tuple[bytes, bytes]:
    """Return the user and the password of the target."""
    secret = talk.target.secret
    if secret is None:
        skip("it needs a user with a password")
    return secret.user.encode(), secret.password.encode()


def _user_of(talk: Conversation) -> bytes:
    user: str | None = getattr(talk.target.login, "user", None)
    return _UNKNOWN if user is None else user.encode()


@TABLE.must("The user can log in.", "1939 4")
def login_accepted(talk: Conversation) -> Procedure[None]:
    yield from must_log_in(talk)


@TABLE.must("USER and the right PASS log in.", "1939 7", Need.USER, Need.PASSWORD)
def pass_logs_in(talk: Conversation) -> Procedure[None]:
    user, password = secret_of(talk)
    yield from talk.accepted(b"USER " + user)
    yield from talk.accepted(b"PASS " + password)
    yield from talk.accepted(b"NOOP")


@TABLE.must("A wrong password is refused, and lets nobody in.", "1939 7", Need.USER)
def wrong_password_refused(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"USER " + _user_of(talk))
    yield from talk.refused(b"PASS " + WRONG)
    with suppress(ServerHungUp):  # it may
        yield from talk.refused(b"NOOP")


@TABLE.practice("After a wrong password the client may try again on the same connection.", "1939 4", Need.USER)
def login_tried_again(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"USER " + _UNKNOWN)
    yield from talk.refused(b"PASS " + WRONG)
    yield from talk.accepted(b"USER " + _user_of(talk))


@TABLE.must("PASS without USER is refused.", "1939 7", Need.USER)
def pass_without_user(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"PASS " + WRONG)


@TABLE.must("A wrong PASS consumes the USER: the right one is refused then.", "1939 7", Need.USER, Need.PASSWORD)
def pass_needs_user_again(talk: Conversation) -> Procedure[None]:
    user, password = secret_of(talk)
    yield from talk.accepted(b"USER " + user)
    yield from talk.refused(b"PASS " + WRONG)
    with suppress(ServerHungUp):  # it may
        yield from talk.refused(b"PASS " + password)


@TABLE.must("PASS must follow USER directly.", "1939 7", Need.USER, Need.PASSWORD)
def pass_directly_after_user(talk: Conversation) -> Procedure[None]:
    user, password = secret_of(talk)
    yield from talk.accepted(b"USER " + user)
    yield from talk.refused(b"NOOP")
    yield from talk.refused(b"PASS " + password)


@TABLE.must("USER without a name is refused.", "1939 3", Need.USER)
def user_without_name(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"USER")


@TABLE.practice("An empty password is refused.", "2449 3", Need.USER)
def empty_password(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"USER " + _user_of(talk))
    yield from talk.refused(b"PASS ")


@TABLE.practice("All that follows 'PASS ' is the password, spaces at its end too.", "1939 7", Need.USER, Need.PASSWORD)
def space_belongs_to_password(talk: Conversation) -> Procedure[None]:
    user, password = secret_of(talk)
    yield from talk.accepted(b"USER " + user)
    yield from talk.refused(b"PASS " + password + b" ")


@TABLE.should("USER is answered alike whether the user exists or not.", "1939 13", Need.USER, Need.LOGIN)
def user_tells_nothing(talk: Conversation) -> Procedure[None]:
    known = yield from talk.ask(b"USER " + _user_of(talk))
    other = yield from talk.another()
    yield from other.begin()
    unknown = yield from other.ask(b"USER " + _UNKNOWN)
    expect(type(known) is type(unknown), f"{known.encode()!r} for one that exists, {unknown.encode()!r} for another")


@TABLE.should("A wrong password and an unknown user are refused alike.", "4422 6.1", Need.USER, Need.LOGIN)
def refusal_tells_nothing(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"USER " + _user_of(talk))
    known = yield from talk.refused(b"PASS " + WRONG)
    other = yield from talk.another()
    yield from other.begin()
    yield from other.ask(b"USER " + _UNKNOWN)
    unknown = yield from other.refused(b"PASS " + WRONG)
    expect(known == unknown, f"-ERR {known.text} for one that exists, -ERR {unknown.text} for another")


@TABLE.must("Where passwords are not taken without TLS, the refusal tells nothing of them.", "8314 4.1", Need.LOGIN)
def refusal_in_clear_tells_nothing(talk: Conversation) -> Procedure[None]:
    if talk.tls is not None or talk.facts.capabilities is None or talk.facts.capabilities.user:
        skip("passwords are taken here")
    answers: list[object] = []
    for user in (_user_of(talk), _UNKNOWN):
        other = yield from talk.another()
        yield from other.begin()
        answers.append(((yield from other.ask(b"USER " + user)), (yield from other.ask(b"PASS " + WRONG))))
    expect(answers[0] == answers[1], "the answers differ for a user who exists and one who does not")


@TABLE.must("With AUTH-RESP-CODE, a wrong password gets [AUTH].", "3206 6", Need.AUTH_RESP_CODE, Need.USER)
def auth_code_on_wrong_password(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"USER " + _user_of(talk))
    reply = yield from talk.refused(b"PASS " + WRONG)
    expect(reply.has(ResponseCode.AUTH), f"no [AUTH] in -ERR {reply.text}")


@TABLE.practice("USER and PASS may come in one segment.", "2449 6.6", Need.PIPELINING, Need.USER, Need.PASSWORD)
def login_pipelined(talk: Conversation) -> Procedure[None]:
    user, password = secret_of(talk)
    yield from talk.send(b"USER %b\r\nPASS %b\r\nNOOP\r\n" % (user, password))
    for command in ("USER", "PASS", "NOOP"):
        expect(isinstance((yield from talk.reply()), Ok), f"{command} was refused")


@TABLE.must("Commands of the login are refused after it.", "1939 7", Need.LOGIN)
def login_once(talk: Conversation) -> Procedure[None]:
    yield from log_in(talk)
    with suppress(ServerHungUp):  # it may, after a refusal
        yield from talk.refused(b"USER " + _user_of(talk))
        yield from talk.refused(b"PASS " + WRONG)
        yield from talk.refused(b"APOP nobody 0123456789abcdef0123456789abcdef")


@TABLE.must("UTF8 is refused after login.", "6856 2.1", Need.LOGIN)
def utf8_after_login(talk: Conversation) -> Procedure[None]:
    yield from log_in(talk)
    yield from talk.refused(b"UTF8")


@TABLE.must("STLS is refused after login.", "2595 4", Need.LOGIN)
def stls_after_login(talk: Conversation) -> Procedure[None]:
    yield from log_in(talk)
    yield from talk.refused(b"STLS")


def _digest(talk: Conversation) -> tuple[bytes, bytes]:
    user, password = secret_of(talk)
    timestamp = Greeting(Ok(talk.greeting.decode("latin-1").strip()[4:])).timestamp
    if timestamp is None:
        skip("the greeting has no timestamp")
    return user, apop_digest(timestamp, password.decode()).encode()


@TABLE.must("APOP with the right digest logs in.", "1939 7", Need.APOP, Need.PASSWORD)
def apop_logs_in(talk: Conversation) -> Procedure[None]:
    yield from talk.accepted(b"APOP %b %b" % _digest(talk))
    yield from talk.accepted(b"NOOP")


@TABLE.must("APOP with a wrong digest is refused.", "1939 7", Need.APOP)
def apop_wrong_digest(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"APOP %b 0123456789abcdef0123456789abcdef" % _user_of(talk))


@TABLE.must("APOP without a digest is refused.", "1939 3", Need.APOP)
def apop_without_digest(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"APOP " + _user_of(talk))


@TABLE.practice("A digest of 31 digits is refused.", "1939 7", Need.APOP, Need.PASSWORD)
def apop_short_digest(talk: Conversation) -> Procedure[None]:
    user, digest = _digest(talk)
    yield from talk.refused(b"APOP %b %b" % (user, digest[:-1]))


@TABLE.must("With UTF8 USER, a name that is not valid UTF-8 is refused.", "6856 2.2", Need.UTF8_USER, Need.USER)
def user_not_utf8(talk: Conversation) -> Procedure[None]:
    reply = yield from talk.ask(b"USER \xff\xfe")
    if isinstance(reply, Ok):
        reply = yield from talk.ask(b"PASS " + WRONG)
    expect(isinstance(reply, Err), "it was accepted")
