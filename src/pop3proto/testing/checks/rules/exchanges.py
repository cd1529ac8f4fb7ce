"""Checks of AUTH and the SASL mechanisms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pop3proto.core.replies import Challenge, Err
from pop3proto.core.text import encode_base64, excerpt
from pop3proto.sasl.md5 import hmac_md5
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.steps import log_in
from pop3proto.testing.checks.verdicts import CheckFailed, expect, skip

from .login import WRONG, must_log_in, secret_of

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["TABLE"]

TABLE: Final = CheckTable("authorization")

_MESSAGE_ID: Final = re.compile(rb"<[^<>@\s]+@[^<>@\s]+>")
_ITERATIONS: Final = re.compile(rb"r=([^,]+),s=([^,]+),i=([0-9]+)(?:,.*)?")
_LEAST_ITERATIONS: Final = 4_096
_NONCE: Final = b"rOprNGfwEbeRWgbNEkqO"


def _challenged(talk: Conversation, line: bytes) -> Procedure[bytes]:
    """Send a line that must be answered by a challenge, and return it."""
    answer = yield from talk.challenge(line)
    if not isinstance(answer, Challenge):
        raise CheckFailed(f"no challenge came, but {excerpt(answer.encode())}")
    return answer.data


def _refused(talk: Conversation, line: bytes) -> Procedure[None]:
    """Send a line that must be refused without a further challenge."""
    answer = yield from talk.challenge(line)
    expect(isinstance(answer, Err), f"it was to be refused, but {excerpt(answer.encode())} came")


def _in_step(talk: Conversation) -> Procedure[None]:
    """Expect that the session goes on before login."""
    yield from talk.ask_for_body(b"CAPA")


def _plain(user: bytes, password: bytes, authzid: bytes = b"") -> bytes:
    return encode_base64(b"\0".join((authzid, user, password)))


@TABLE.must("AUTH with an unknown mechanism is refused.", "5034 4", Need.SASL)
def auth_unknown_mechanism(talk: Conversation) -> Procedure[None]:
    yield from _refused(talk, b"AUTH XYZZY")


@TABLE.must("The case of a mechanism's name does not matter.", "5034 4", Need.PLAIN)
def auth_mechanism_case(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"auth pLaIn")


@TABLE.must("An empty challenge is '+', a space and CRLF.", "5034 4", Need.PLAIN)
def auth_empty_challenge(talk: Conversation) -> Procedure[None]:
    yield from talk.send(b"AUTH PLAIN\r\n")
    line = yield from talk.line()
    expect(line == b"+ \r\n", f"{excerpt(line)} came")


@TABLE.must("'*' cancels an exchange: it is refused, and another may begin.", "5034 4", Need.PLAIN)
def auth_cancelled(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"AUTH PLAIN")
    yield from _refused(talk, b"*")
    yield from _challenged(talk, b"AUTH PLAIN")


@TABLE.must("A response that is not base64 is refused, and the session goes on.", "5034 4", Need.PLAIN)
def auth_bad_base64(talk: Conversation) -> Procedure[None]:
    for response in (b"=AAA", b"AGFu*bg=="):
        yield from _challenged(talk, b"AUTH PLAIN")
        yield from _refused(talk, response)
    yield from _in_step(talk)


@TABLE.must("Within an exchange QUIT is a response, and no command.", "5034 4", Need.PLAIN)
def auth_quit_is_data(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"AUTH PLAIN")
    yield from _refused(talk, b"QUIT")
    yield from _in_step(talk)


@TABLE.must("'=' is an empty initial response, and not the lack of one.", "5034 4", Need.PLAIN)
def auth_empty_initial_response(talk: Conversation) -> Procedure[None]:
    yield from _refused(talk, b"AUTH PLAIN =")


@TABLE.must("CRAM-MD5 takes no initial response: the server speaks first.", "5034 4", Need.CRAM_MD5)
def auth_server_first(talk: Conversation) -> Procedure[None]:
    yield from _refused(talk, b"AUTH CRAM-MD5 AAAA")


@TABLE.must("A response may have 10,000 octets: it is answered once.", "5034 4", Need.PLAIN)
def auth_long_response(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"AUTH PLAIN")
    yield from _refused(talk, encode_base64(b"\0nobody\0" + 7_400 * b"x"))
    yield from _in_step(talk)


@TABLE.must("AUTH is refused after a login.", "5034 4", Need.SASL, Need.LOGIN)
def auth_once(talk: Conversation) -> Procedure[None]:
    yield from log_in(talk)
    yield from _refused(talk, b"AUTH PLAIN")


@TABLE.must("PLAIN logs in, with the response on a line of its own.", "4616 2", Need.PLAIN, Need.PASSWORD)
def plain_logs_in(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"AUTH PLAIN")
    yield from talk.accepted(_plain(*secret_of(talk)))
    yield from talk.accepted(b"NOOP")


@TABLE.must("PLAIN logs in, with the response in the AUTH line.", "5034 4", Need.PLAIN, Need.PASSWORD)
def plain_initial_response(talk: Conversation) -> Procedure[None]:
    line = b"AUTH PLAIN " + _plain(*secret_of(talk))
    if len(line) > 253:  # noqa: PLR2004 - with CRLF, as many as a line may have
        skip("the line would be too long")
    yield from talk.accepted(line)
    yield from talk.accepted(b"NOOP")


@TABLE.must("A PLAIN message that is malformed is refused.", "4616 2", Need.PLAIN)
def plain_malformed(talk: Conversation) -> Procedure[None]:
    current: Conversation = talk
    for index, message in enumerate((b"nobody\0x", b"\0\0x", b"\0nobody\0", b"\0nobody\0x\0", b"\0\xff\xfe\0x")):
        if index and index % 2 == 0:  # a server may hang up on too many refused logins
            current = yield from talk.another()
            yield from current.begin()
        yield from _challenged(current, b"AUTH PLAIN")
        yield from _refused(current, encode_base64(message))


@TABLE.must("The parts of a PLAIN message may have 255 octets each.", "4616 2", Need.PLAIN)
def plain_long_parts(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"AUTH PLAIN")
    yield from _refused(talk, _plain(255 * b"u", 255 * b"p", 255 * b"z"))
    yield from _in_step(talk)


@TABLE.must("PLAIN does not let a user act as somebody else.", "4616 2", Need.PLAIN, Need.PASSWORD)
def plain_another_identity(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"AUTH PLAIN")
    yield from _refused(talk, _plain(*secret_of(talk), authzid=b"nobody-of-this-name"))


@TABLE.must("PLAIN refuses a wrong password.", "4616 2", Need.PLAIN, Need.LOGIN)
def plain_wrong_password(talk: Conversation) -> Procedure[None]:
    yield from _challenged(talk, b"AUTH PLAIN")
    yield from _refused(talk, _plain(secret_of(talk)[0], WRONG))


def _announced(talk: Conversation, mechanism: str) -> None:
    known = talk.facts.capabilities
    if known is None or mechanism not in known.sasl:
        skip(f"the server does not announce SASL {mechanism}")


@TABLE.practice("LOGIN asks for the name, then for the password.", "", Need.SASL, Need.PASSWORD)
def login_mechanism_logs_in(talk: Conversation) -> Procedure[None]:
    _announced(talk, "LOGIN")
    user, password = secret_of(talk)
    yield from _challenged(talk, b"AUTH LOGIN")
    yield from _challenged(talk, encode_base64(user))
    yield from talk.accepted(encode_base64(password))
    yield from talk.accepted(b"NOOP")


@TABLE.must("EXTERNAL without a certificate is refused.", "4422 A.1", Need.SASL)
def external_without_certificate(talk: Conversation) -> Procedure[None]:
    _announced(talk, "EXTERNAL")
    yield from _refused(talk, b"AUTH EXTERNAL =")


@TABLE.must(
    "OAUTHBEARER tells why a token is refused by a challenge, in JSON, and refuses then.", "7628 3.2.2", Need.SASL
)
def oauthbearer_error(talk: Conversation) -> Procedure[None]:
    _announced(talk, "OAUTHBEARER")
    yield from _challenged(talk, b"AUTH OAUTHBEARER")
    reason = yield from _challenged(talk, encode_base64(b"n,,\x01auth=Bearer not-a-token-of-anybody\x01\x01"))
    expect(b'"status"' in reason, f"the challenge has no status: {excerpt(reason)}")
    yield from _refused(talk, encode_base64(b"\x01"))


@TABLE.must("The challenge of CRAM-MD5 has the form of a message id.", "2195 2", Need.CRAM_MD5)
def cram_md5_challenge(talk: Conversation) -> Procedure[None]:
    challenge = yield from _challenged(talk, b"AUTH CRAM-MD5")
    expect(_MESSAGE_ID.fullmatch(challenge), f"it is {excerpt(challenge)}")


@TABLE.must("The challenge of CRAM-MD5 is another each time.", "2195 2", Need.CRAM_MD5)
def cram_md5_challenge_differs(talk: Conversation) -> Procedure[None]:
    first = yield from _challenged(talk, b"AUTH CRAM-MD5")
    yield from _refused(talk, b"*")
    second = yield from _challenged(talk, b"AUTH CRAM-MD5")
    expect(first != second, f"twice {excerpt(first)}")


@TABLE.must("CRAM-MD5 logs in.", "2195 2", Need.CRAM_MD5, Need.PASSWORD)
def cram_md5_logs_in(talk: Conversation) -> Procedure[None]:
    user, password = secret_of(talk)
    challenge = yield from _challenged(talk, b"AUTH CRAM-MD5")
    yield from talk.accepted(encode_base64(user + b" " + hmac_md5(password, challenge).encode()))
    yield from talk.accepted(b"NOOP")


@TABLE.must("CRAM-MD5 refuses a wrong digest.", "2195 2", Need.CRAM_MD5, Need.LOGIN)
def cram_md5_wrong_digest(talk: Conversation) -> Procedure[None]:
    user, _ = secret_of(talk)
    yield from _challenged(talk, b"AUTH CRAM-MD5")
    yield from _refused(talk, encode_base64(user + b" " + 32 * b"0"))


def _scram(talk: Conversation) -> bytes:
    known = talk.facts.capabilities
    return b"SCRAM-SHA-256" if known is not None and "SCRAM-SHA-256" in known.sasl else b"SCRAM-SHA-1"


def _scram_refused(talk: Conversation, message: bytes) -> Procedure[None]:
    """Send a message that must be refused; the server may tell the error by a challenge before."""
    answer = yield from talk.challenge(encode_base64(message))
    if isinstance(answer, Challenge) and answer.data.startswith(b"e="):
        answer = yield from talk.challenge(b"")
    expect(isinstance(answer, Err), f"{excerpt(answer.encode())} came")


def _scram_first(talk: Conversation, user: str | None = None) -> Procedure[tuple[bytes, bytes, int]]:
    """Begin a SCRAM exchange, and return the nonce, the salt and the iterations that the server names."""
    user = user or str(getattr(talk.target.login, "user", "nobody"))
    yield from _challenged(talk, b"AUTH " + _scram(talk))
    first = yield from _challenged(
        talk, encode_base64(b"n,,n=%b,r=%b" % (user.replace("=", "=3D").replace(",", "=2C").encode(), _NONCE))
    )
    match = _ITERATIONS.fullmatch(first)
    if match is None:
        raise CheckFailed("the server's first message is not a nonce, a salt and a count")
    return match[1], match[2], int(match[3])


@TABLE.should("SCRAM uses 4,096 iterations or more.", "5802 5.1", Need.SCRAM)
def scram_iterations(talk: Conversation) -> Procedure[None]:
    _, _, iterations = yield from _scram_first(talk)
    expect(iterations >= _LEAST_ITERATIONS, f"it uses {iterations}")


@TABLE.must("The nonce of SCRAM begins with the client's, and is another each time.", "5802 5.1", Need.SCRAM)
def scram_nonce(talk: Conversation) -> Procedure[None]:
    first, _, _ = yield from _scram_first(talk)
    yield from _refused(talk, b"*")
    second, _, _ = yield from _scram_first(talk)
    expect(first.startswith(_NONCE) and len(first) > len(_NONCE), f"it is {excerpt(first)}")
    expect(first != second, f"twice {excerpt(first)}")


@TABLE.must("SCRAM refuses a first message with an unknown flag or a mandatory extension.", "5802 5.1", Need.SCRAM)
def scram_bad_first_message(talk: Conversation) -> Procedure[None]:
    for message in (b"x,,n=nobody,r=" + _NONCE, b"n,,m=unknown,n=nobody,r=" + _NONCE):
        yield from _challenged(talk, b"AUTH " + _scram(talk))
        yield from _scram_refused(talk, message)


@TABLE.must("SCRAM refuses a client that was made to believe that there is no -PLUS.", "5802 6", Need.SCRAM)
def scram_downgrade(talk: Conversation) -> Procedure[None]:
    _announced(talk, f"{_scram(talk).decode()}-PLUS")
    yield from _challenged(talk, b"AUTH " + _scram(talk))
    yield from _scram_refused(talk, b"y,,n=nobody,r=" + _NONCE)


@TABLE.practice("SCRAM treats a user who does not exist as one who does, up to the proof.", "5802 9", Need.SCRAM)
def scram_tells_nothing(talk: Conversation) -> Procedure[None]:
    constant: list[bool] = []
    for user in (None, "nobody-of-this-name"):
        _, first, _ = yield from _scram_first(talk, user)
        yield from _refused(talk, b"*")
        _, second, _ = yield from _scram_first(talk, user)
        yield from _refused(talk, b"*")
        constant.append(first == second)
    expect(constant[0] == constant[1], "the salt is the same each time for one of them, and another for the other")


@TABLE.must("SCRAM refuses a wrong proof.", "5802 5", Need.SCRAM)
def scram_wrong_proof(talk: Conversation) -> Procedure[None]:
    nonce, _, _ = yield from _scram_first(talk)
    length = 32 if _scram(talk).endswith(b"256") else 20
    yield from _scram_refused(talk, b"c=biws,r=%b,p=%b" % (nonce, encode_base64(length * b"\0")))


@TABLE.must("SCRAM logs in, and the server proves that it knows the password, too.", "5802 5", Need.SCRAM, Need.LOGIN)
def scram_logs_in(talk: Conversation) -> Procedure[None]:
    yield from must_log_in(talk, only={"SCRAM-SHA-256", "SCRAM-SHA-1"})
