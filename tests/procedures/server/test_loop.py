"""What a server does in one session: handlers, refusals, deadlines, and that it always closes its maildrop."""

import base64
import itertools
import math
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.capabilities import Capabilities, Expire, LoginDelay
from pop3proto.core.commands import STANDARD, PlainCommand
from pop3proto.core.errors import Broken, ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from pop3proto.core.events import BodyChunk
from pop3proto.core.limits import Limits
from pop3proto.core.replies import Err, Ok, ResponseCode
from pop3proto.core.results import UniqueId
from pop3proto.core.server import ServerConnection
from pop3proto.core.states import AFTER_LOGIN, State
from pop3proto.procedures.cleartext import may_show_password
from pop3proto.procedures.maildrop import InUse, Message, Refused, Unavailable
from pop3proto.procedures.operations import Now, Read, Run, RunLogin, Sleep, StartTls, Write
from pop3proto.procedures.server import messages as reader, output as output_module
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.handlers import HANDLERS
from pop3proto.procedures.server.loop import refuse, serve_session
from pop3proto.procedures.server.messages import PIECE
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.channel import SessionInfo, TlsInfo
from tests.helpers.drivers import (
    Actor,
    Cancelled,
    Clock,
    FakeStore,
    OneUser,
    Pause,
    Serving,
    as_sent,
    codes,
)
from tests.helpers.strategies import chunkings, messages

UNIX = b"Subject: one\n\n.dot\nlast"
DOS = b"Subject: two\r\n\r\nbody\r\n"
DEADLINES = Deadlines(login=60, idle=600, write=30)


def plain(user: bytes = b"ann", password: bytes = b"tanstaaf", other: bytes = b"") -> bytes:
    return base64.b64encode(b"\0".join([other, user, password]))


def serving(*mail: bytes, **arguments) -> Serving:
    return Serving(FakeStore(*mail), **arguments)


@pytest.fixture
def two() -> Serving:
    """A session with two messages, logged in."""
    return serving(UNIX, DOS).logged_in()


# ----------------------------------------------------------------------------------------------- login


def test_it_greets_first():
    session = serving(greeting="mail here")
    assert session.actor.go().take() == b"+OK mail here\r\n"


def test_a_password_opens_the_maildrop():
    session = serving(UNIX, DOS).greeted()
    assert session.ask(b"USER ann\r\n") == b"+OK send the password\r\n"
    assert not session.store.locked
    size = len(as_sent(UNIX)) + len(as_sent(DOS))
    assert session.ask(b"PASS tanstaaf\r\n") == b"+OK maildrop has 2 messages (%d octets)\r\n" % size
    assert session.store.locked
    assert session.connection.state is State.TRANSACTION


def test_the_password_is_all_that_follows_the_first_blank():
    users = OneUser()
    serving(authenticator=users).greeted().ask("USER jörg b\r\nPASS  a  ü \r\n".encode())
    assert users.asked == [("jörg b", " a  ü ")]


def test_any_name_is_accepted_and_wrong_credentials_get_one_answer():
    session = serving().greeted()
    unknown = session.lines(b"USER nobody\r\nPASS tanstaaf\r\n")
    wrong = session.lines(b"USER ann\r\nPASS wrong\r\n")
    assert unknown == wrong
    assert codes(wrong) == [b"+OK", b"-ERR [AUTH]"]
    assert session.store.log == []
    assert session.connection.state is State.AUTHORIZATION


def test_a_failed_password_needs_its_user_again():
    session = serving().greeted()
    answers = session.lines(b"USER ann\r\nPASS wrong\r\nPASS tanstaaf\r\n")
    assert codes(answers) == [b"+OK", b"-ERR [AUTH]", b"-ERR"]
    session.logged_in_again = session.lines(b"USER ann\r\nPASS tanstaaf\r\n")
    assert codes(session.logged_in_again) == [b"+OK", b"+OK"]


def test_a_second_user_replaces_the_first():
    users = OneUser()
    session = serving(authenticator=users).greeted()
    assert codes(session.lines(b"USER bob\r\nUSER ann\r\nPASS tanstaaf\r\n")) == [b"+OK"] * 3
    assert users.asked == [("ann", "tanstaaf")]


@pytest.mark.parametrize("between", [b"AUTH PLAIN " + plain(password=b"wrong"), b"APOP ann x", b"NOOP", b"rubbish"])
def test_what_is_refused_between_user_and_pass_forgets_the_name(between):
    session = serving().greeted()
    answers = session.lines(b"USER ann\r\n" + between + b"\r\nPASS tanstaaf\r\n")
    assert [code.split()[0] for code in codes(answers)] == [b"+OK", b"-ERR", b"-ERR"]
    assert not session.store.locked


@pytest.mark.parametrize("between", [b"CAPA", b"AUTH"])
def test_what_only_asks_may_stand_between_user_and_pass(between):
    users = OneUser()
    session = serving(authenticator=users).greeted()
    answers = session.ask(b"USER ann\r\n" + between + b"\r\nPASS tanstaaf\r\n")
    assert answers.splitlines()[-1].startswith(b"+OK maildrop has")
    assert users.asked == [("ann", "tanstaaf")]


def test_another_way_to_log_in_after_user():
    session = serving().greeted()
    assert codes(session.lines(b"USER bob\r\nAUTH PLAIN " + plain() + b"\r\n")) == [b"+OK", b"+OK"]
    assert session.store.openers[0][0] == "ann"


def test_pass_without_user():
    assert codes(serving().greeted().lines(b"PASS tanstaaf\r\n")) == [b"-ERR"]


def test_plain_with_an_initial_response():
    session = serving().greeted()
    assert codes(session.lines(b"AUTH PLAIN " + plain() + b"\r\n")) == [b"+OK"]
    assert session.connection.state is State.TRANSACTION
    assert session.store.locked


def test_plain_with_a_challenge():
    session = serving().greeted()
    assert session.ask(b"auth plain\r\n") == b"+ \r\n"
    assert codes(session.lines(plain(other=b"ann") + b"\r\n")) == [b"+OK"]
    assert session.store.locked


@pytest.mark.parametrize(
    "response,answer",
    [
        pytest.param(plain(password=b"wrong"), b"-ERR [AUTH]", id="wrong password"),
        pytest.param(plain(other=b"bob"), b"-ERR [AUTH]", id="for another"),
        pytest.param(base64.b64encode(b"ann"), b"-ERR", id="no three parts"),
        pytest.param(plain(user=b"an\0n"), b"-ERR", id="NUL in the name"),
        pytest.param(plain(user=b"an\rn"), b"-ERR", id="CR in the name"),
        pytest.param(plain(password=b"tan\nstaaf"), b"-ERR [AUTH]", id="LF in the password"),
        pytest.param(plain(password=b"tan\tstaaf"), b"-ERR [AUTH]", id="TAB in the password"),
        pytest.param(plain(user=b"an\xffn"), b"-ERR", id="not UTF-8"),
        pytest.param(b"=", b"-ERR", id="an empty initial response"),
    ],
)
def test_plain_refused(response, answer):
    session = serving().greeted()
    at_once = session.lines(b"AUTH PLAIN " + response + b"\r\n")
    in_two = session.lines(b"AUTH PLAIN\r\n" + response.replace(b"=", b"") * (response == b"=") + b"\r\n")
    assert codes(at_once) == [answer]
    assert in_two[0] == b"+ "
    if response != b"=":
        in_two = session.lines(b"AUTH PLAIN\r\n" + response + b"\r\n")
    assert codes(in_two) == [b"+", answer]
    assert session.connection.state is State.AUTHORIZATION
    assert b"\0" not in b"".join(at_once)
    assert not session.store.locked


def test_a_cancelled_exchange_leaves_the_state():
    session = serving().greeted()
    assert codes(session.lines(b"AUTH PLAIN\r\n*\r\n")) == [b"+", b"-ERR"]
    assert session.connection.state is State.AUTHORIZATION
    assert codes(session.lines(b"AUTH PLAIN " + plain() + b"\r\n")) == [b"+OK"]


@pytest.mark.parametrize("rubbish", [b"AHRpbQB0!W5zdGFh", b"AHRpb", b"AHRp bQB0", b"AHRpbQB"])
def test_a_response_that_is_not_base64(rubbish):
    session = serving().greeted()
    assert codes(session.lines(b"AUTH PLAIN\r\n" + rubbish + b"\r\n")) == [b"+", b"-ERR"]
    assert codes(session.lines(b"AUTH PLAIN " + rubbish + b"\r\n")) == [b"-ERR"]
    assert session.connection.state is State.AUTHORIZATION


def test_a_response_that_is_too_long_ends_the_session():
    session = serving().greeted()
    assert codes(session.lines(b"AUTH PLAIN\r\n", b"A" * 12_288 + b"\r\n")) == [b"+", b"-ERR"]
    assert session.actor.finished


def test_other_mechanisms():
    assert codes(serving().greeted().lines(b"AUTH CRAM-MD5\r\nAUTH XOAUTH2 AAAA\r\n")) == [b"-ERR", b"-ERR"]


@pytest.mark.parametrize("line", [b"AUTH", b"AUTH ", b"auth"])
def test_auth_alone_lists_the_mechanisms(line):
    assert serving().greeted().ask(line + b"\r\n") == b"+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n"


@pytest.mark.parametrize(
    "failure,code",
    [
        pytest.param(InUse(), b"-ERR [IN-USE]", id="in use"),
        pytest.param(Unavailable(), b"-ERR [SYS/TEMP]", id="unavailable"),
        pytest.param(Refused("come back", ResponseCode.SYS_PERM), b"-ERR [SYS/PERM]", id="broken"),
        pytest.param(Refused("no such maildrop"), b"-ERR", id="without a code"),
    ],
)
def test_a_maildrop_that_cannot_be_opened(failure, code):
    session = serving(UNIX).greeted()
    session.store.failures["open"] = failure
    assert codes(session.lines(b"USER ann\r\nPASS tanstaaf\r\n")) == [b"+OK", code]
    assert session.connection.state is State.AUTHORIZATION
    del session.store.failures["open"]
    assert codes(session.lines(b"USER ann\r\nPASS tanstaaf\r\n")) == [b"+OK", b"+OK"]


def test_a_refusal_speaks():
    assert Refused("come back", ResponseCode.SYS_PERM).reply == Err("[SYS/PERM] come back")
    assert Refused("come back").reply == Err("come back")
    assert InUse("busy").reply == Err("[IN-USE] busy")
    assert InUse().reply == Err("[IN-USE] another session has this maildrop open")
    assert Unavailable().reply == Err("[SYS/TEMP] the maildrop cannot be reached now")


def test_the_maildrop_is_locked_until_the_session_ends():
    first = serving(UNIX).logged_in()
    second = Serving(first.store).greeted()
    assert codes(second.lines(b"USER ann\r\nPASS tanstaaf\r\n")) == [b"+OK", b"-ERR [IN-USE]"]
    first.hang_up()
    assert codes(second.lines(b"USER ann\r\nPASS tanstaaf\r\n")) == [b"+OK", b"+OK"]
    second.hang_up()
    first.store.check_all_is_closed()


@pytest.mark.parametrize("verb", ["STLS", "UTF8", "APOP ann " + "0" * 32, "LANG", "LANG en"])
def test_what_the_core_knows_and_no_handler_does(verb):
    session = serving().greeted()
    assert session.ask(f"{verb}\r\n".encode()) == f"-ERR {verb.split()[0]} is not supported here\r\n".encode()
    assert session.connection.state is State.AUTHORIZATION


# -------------------------------------------------------------------------------------- clear passwords

IN_CLEAR = [b"USER ann", b"USER nobody", b"AUTH PLAIN", b"AUTH PLAIN " + plain(), b"AUTH PLAIN " + plain(b"nobody")]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize(
    "cleartext, here, elsewhere", [("never", False, False), ("loopback", True, False), ("always", True, True)]
)
def test_the_policy(tls, loopback, cleartext, here, elsewhere):
    may = may_show_password(cleartext, tls=tls, loopback=loopback)
    assert may == (tls or (here if loopback else elsewhere))


@pytest.mark.parametrize("cleartext", [True, False, None, "sometimes"])
def test_a_policy_that_there_is_not(cleartext):
    with pytest.raises(ValueError, match="cleartext must be one of 'never', 'loopback', 'always'"):
        serving(cleartext=cleartext)


@pytest.mark.parametrize("line", IN_CLEAR)
def test_no_password_is_taken_in_clear_whatever_it_is(line):
    users = OneUser()
    session = serving(UNIX, authenticator=users, loopback=False).greeted()
    assert session.ask(line + b"\r\n") == b"-ERR [SYS/PERM] passwords are taken under TLS only\r\n"
    assert session.connection.state is State.AUTHORIZATION
    assert users.asked == []


def test_what_is_not_taken_is_not_announced():
    session = serving(loopback=False).greeted()
    capabilities = session.lines(b"CAPA\r\n")
    assert b"USER" not in capabilities
    assert not any(line.startswith(b"SASL") for line in capabilities)
    assert session.ask(b"AUTH\r\n") == b"+OK mechanisms follow\r\n.\r\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"loopback": True}, id="from this machine"),
        pytest.param({"loopback": False, "mode": "implicit"}, id="under TLS"),
        pytest.param({"loopback": False, "cleartext": "always"}, id="allowed"),
    ],
)
def test_where_passwords_are_taken_they_are_announced(arguments):
    session = serving(**arguments).greeted()
    capabilities = session.lines(b"CAPA\r\n")
    assert b"USER" in capabilities
    assert b"SASL PLAIN LOGIN" in capabilities
    assert session.ask(b"AUTH\r\n") == b"+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n"
    assert codes(session.lines(b"USER ann\r\nPASS tanstaaf\r\n")) == [b"+OK", b"+OK"]


def test_the_handshake_comes_before_the_greeting():
    session = serving(mode="implicit")
    session.actor.go()
    kinds = [type(operation) for operation in session.actor.performed]
    assert kinds.index(StartTls) < kinds.index(Write)
    assert session.actor.take() == b"+OK POP3 server ready\r\n"


def test_the_handshake_has_a_deadline():
    clock = Clock()
    session = serving(mode="implicit", clock=clock, deadlines=DEADLINES)
    session.actor.go()
    [handshake] = [operation for operation in session.actor.performed if isinstance(operation, StartTls)]
    assert handshake == StartTls(until=1_060.0)


def test_a_handshake_that_fails():
    session = serving(mode="implicit", tls=ConnectionLost("no"))
    with pytest.raises(ConnectionLost):
        session.actor.go().outcome()
    assert session.actor.take() == b""


# -------------------------------------------------------------------------------------------- both states


def test_capabilities():
    session = serving(implementation="ours 1").greeted()
    assert set(session.lines(b"CAPA\r\n")) == {
        *(b"+OK capabilities follow", b"TOP", b"USER", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING"),
        *(b"SASL PLAIN LOGIN", b"IMPLEMENTATION ours 1", b"."),
    }


def test_the_store_adds_capabilities_by_user():
    added = Capabilities(expire=Expire(0), login_delay=LoginDelay(5, per_user=True), other=("X-OURS a b",))
    store = FakeStore(capabilities=added)
    session = Serving(store).greeted()
    assert {b"EXPIRE 0", b"LOGIN-DELAY 5 USER", b"X-OURS a b"} < set(session.lines(b"CAPA\r\n"))
    session.ask(b"USER ann\r\nPASS wrong\r\nCAPA\r\nUSER ann\r\nPASS tanstaaf\r\nCAPA\r\n")
    assert [call for call in store.log if call != "open"] == [
        "capabilities None",
        "capabilities None",
        "capabilities ann",
    ]


@pytest.mark.parametrize("state", ["before", "after USER"])
def test_quit_before_login(state):
    session = serving(UNIX).greeted()
    if state == "after USER":
        session.ask(b"USER ann\r\n")
    assert codes(session.lines(b"QUIT\r\n")) == [b"+OK"]
    assert session.actor.finished
    assert session.actor.outcome() is None
    assert session.store.log == []


def test_quit_removes_what_is_deleted(two):
    two.ask(b"DELE 1\r\n")
    assert list(two.store.contents) == [1, 2]
    assert codes(two.lines(b"QUIT\r\n")) == [b"+OK"]
    assert list(two.store.contents) == [2]
    assert two.actor.outcome() is None
    two.store.check_all_is_closed()


def test_quit_tells_the_store_what_was_retrieved(two):
    two.ask(b"RETR 2\r\nDELE 1\r\nTOP 1 0\r\nQUIT\r\n")
    assert two.store.commits == [(frozenset({1}), frozenset({2}))]


def test_the_lock_goes_before_the_answer_to_quit(two):
    two.actor.deaf = True
    two.ask(b"QUIT\r\n")
    assert not two.store.locked
    assert isinstance(two.actor.waits, Write)


def test_a_commit_that_fails_is_no_success(two):
    two.store.failures["commit"] = Unavailable("some messages are still there")
    assert codes(two.lines(b"DELE 1\r\nQUIT\r\n")) == [b"+OK", b"-ERR [SYS/TEMP]"]
    assert two.actor.finished
    assert two.actor.outcome() is None
    assert list(two.store.contents) == [1, 2]
    two.store.check_all_is_closed()


@pytest.mark.parametrize("line", [b"QUIT x", b"CAPA x", b"STAT x", b"STLS x", b"NOOP x", b"RSET 1"])
def test_an_argument_too_many_is_refused_and_nothing_happens(two, line):
    two.ask(b"DELE 1\r\n")
    assert codes(two.lines(line + b"\r\n")) == [b"-ERR"]
    assert two.ask(b"STAT\r\n") == b"+OK 1 %d\r\n" % len(as_sent(DOS))


# -------------------------------------------------------------------------------------------- TRANSACTION


def test_stat(two):
    assert two.ask(b"STAT\r\n") == b"+OK 2 %d\r\n" % (len(as_sent(UNIX)) + len(as_sent(DOS)))
    two.ask(b"DELE 2\r\n")
    assert two.ask(b"STAT\r\n") == b"+OK 1 %d\r\n" % len(as_sent(UNIX))


def test_list(two):
    sizes = len(as_sent(UNIX)), len(as_sent(DOS))
    first, *rows = two.lines(b"LIST\r\n")
    assert first == b"+OK 2 messages (%d octets)" % sum(sizes) or first.startswith(b"+OK 2 messages")
    assert rows == [b"1 %d" % sizes[0], b"2 %d" % sizes[1], b"."]
    assert two.ask(b"LIST 2\r\n") == b"+OK 2 %d\r\n" % sizes[1]
    two.ask(b"DELE 1\r\n")
    assert two.lines(b"LIST\r\n")[1:] == [b"2 %d" % sizes[1], b"."]


def test_uidl(two):
    assert two.lines(b"UIDL\r\n")[1:] == [b"1 id.1", b"2 id.2", b"."]
    assert two.ask(b"UIDL 2\r\n") == b"+OK 2 id.2\r\n"
    two.ask(b"DELE 1\r\n")
    assert two.lines(b"UIDL\r\n")[1:] == [b"2 id.2", b"."]


def test_listings_of_an_empty_maildrop():
    session = serving().logged_in()
    assert session.lines(b"LIST\r\n")[1:] == [b"."]
    assert session.lines(b"UIDL\r\n")[1:] == [b"."]
    assert session.ask(b"STAT\r\n") == b"+OK 0 0\r\n"


def test_retr(two):
    assert two.ask(b"RETR 1\r\n") == (
        b"+OK %d octets\r\nSubject: one\r\n\r\n..dot\r\nlast\r\n.\r\n" % len(as_sent(UNIX))
    )
    assert two.store.log == ["open", "open 1"]


def test_retr_of_an_empty_message():
    assert serving(b"").logged_in().ask(b"RETR 1\r\n") == b"+OK 0 octets\r\n.\r\n"


@pytest.mark.parametrize(
    "lines,body",
    [
        (b"0", b"A: b\r\n\r\n"),
        (b"1", b"A: b\r\n\r\n..one\r\n"),
        (b"2", b"A: b\r\n\r\n..one\r\ntwo\r\n"),
        (b"99999999999999999999", b"A: b\r\n\r\n..one\r\ntwo\r\n"),
    ],
)
def test_top(lines, body):
    session = serving(b"A: b\n\n.one\ntwo").logged_in()
    assert session.ask(b"TOP 1 " + lines + b"\r\n").partition(b"\r\n")[2] == body + b".\r\n"


def test_dele_and_rset(two):
    assert codes(two.lines(b"DELE 1\r\nDELE 2\r\n")) == [b"+OK", b"+OK"]
    assert two.ask(b"STAT\r\n") == b"+OK 0 0\r\n"
    assert codes(two.lines(b"RSET\r\n")) == [b"+OK"]
    assert two.ask(b"STAT\r\n").startswith(b"+OK 2 ")
    two.ask(b"QUIT\r\n")
    assert list(two.store.contents) == [1, 2]


def test_rset_takes_back_what_was_retrieved(two):
    two.ask(b"RETR 1\r\nRSET\r\nRETR 2\r\nQUIT\r\n")
    assert two.store.commits == [(frozenset(), frozenset({2}))]


def test_noop(two):
    assert codes(two.lines(b"NOOP\r\n")) == [b"+OK"]


@pytest.mark.parametrize("verb", ["LIST {}", "UIDL {}", "RETR {}", "TOP {} 1", "DELE {}"])
def test_a_deleted_message_is_not_there(two, verb):
    two.ask(b"DELE 1\r\n")
    assert two.ask(verb.format(1).encode() + b"\r\n") == b"-ERR message 1 is deleted\r\n"
    assert codes(two.lines(verb.format(2).encode() + b"\r\n"))[0] == b"+OK"


@pytest.mark.parametrize("verb", ["LIST {}", "UIDL {}", "RETR {}", "TOP {} 1", "DELE {}"])
@pytest.mark.parametrize("number", ["3", "9223372036854775808", "99999999999999999999"])
def test_a_message_that_never_was(two, verb, number):
    answer = two.ask(verb.format(number).encode() + b"\r\n")
    assert answer == b"-ERR no such message, only 2 messages in maildrop\r\n"
    assert two.connection.state is State.TRANSACTION


@pytest.mark.parametrize("verb", ["LIST", "UIDL", "RETR", "TOP", "DELE"])
@pytest.mark.parametrize("number", ["0", "-1", "+1", "1abc", "1_0", "\N{ARABIC-INDIC DIGIT ONE}", "1 2 3", "9" * 21])
def test_a_number_that_is_none(two, verb, number):
    assert codes(two.lines(f"{verb} {number}{' 1' if verb == 'TOP' else ''}\r\n".encode())) == [b"-ERR"]
    assert two.connection.state is State.TRANSACTION


@pytest.mark.parametrize("line", [b"RETR", b"TOP 1", b"DELE", b"TOP", b"TOP 1 -1", b"RETR  1"])
def test_an_argument_is_missing_or_malformed(two, line):
    assert codes(two.lines(line + b"\r\n")) == [b"-ERR"]


def test_leading_zeros_and_trailing_blanks_and_any_case(two):
    assert two.ask(b"lIsT 007 \r\n") == b"-ERR no such message, only 2 messages in maildrop\r\n"
    assert two.ask(b"list 002  \r\n") == b"+OK 2 %d\r\n" % len(as_sent(DOS))


@pytest.mark.parametrize("verb", sorted({kind.verb for kind in STANDARD if kind.legal_in == AFTER_LOGIN}))
def test_what_needs_a_login_is_refused_before(verb):
    arguments = {"RETR": " 1", "DELE": " 1", "TOP": " 1 1"}.get(verb, "")
    session = serving(UNIX).greeted()
    assert codes(session.lines(f"{verb}{arguments}\r\n".encode())) == [b"-ERR"]
    assert session.store.log == []


@pytest.mark.parametrize("line", [b"USER ann", b"PASS tanstaaf", b"AUTH PLAIN", b"AUTH", b"STLS"])
def test_a_login_after_login_is_refused(two, line):
    assert codes(two.lines(line + b"\r\n")) == [b"-ERR"]
    assert two.store.closings == [0]


# ----------------------------------------------------------------------------------------------- sizes


@given(mail=st.lists(messages, max_size=4))
def test_what_is_announced_is_what_is_sent(mail):
    session = serving(*mail).logged_in()
    sizes = [int(row.split(b" ")[1]) for row in session.lines(b"LIST\r\n")[1:-1]]
    bodies = []
    for number in range(1, len(mail) + 1):
        _, _, wire = session.ask(b"RETR %d\r\n" % number).partition(b"\r\n")
        assert wire.endswith(b".\r\n")
        lines = wire.removesuffix(b".\r\n").split(b"\r\n")
        bodies.append(b"\r\n".join(line.removeprefix(b".") for line in lines))
    assert bodies == [as_sent(message) for message in mail]
    assert sizes == [len(body) for body in bodies]
    assert session.ask(b"STAT\r\n") == b"+OK %d %d\r\n" % (len(mail), sum(sizes))
    assert not any(call.startswith("correct") for call in session.store.log)


def test_another_size_than_announced_is_corrected(two):
    store = FakeStore(UNIX, DOS)
    store.announced = {2: 7}
    session = Serving(store).logged_in()
    assert session.ask(b"LIST 2\r\n") == b"+OK 2 7\r\n"
    assert session.ask(b"RETR 2\r\n").startswith(b"+OK 7 octets\r\n")
    right = len(as_sent(DOS))
    assert store.log[-1] == f"correct 2 {right}"
    assert session.ask(b"LIST 2\r\nSTAT\r\n") == b"+OK 2 %d\r\n+OK 2 %d\r\n" % (right, right + len(as_sent(UNIX)))


def test_top_corrects_nothing():
    store = FakeStore(UNIX)
    store.announced = {1: 7}
    session = Serving(store).logged_in()
    assert session.ask(b"TOP 1 0\r\n").startswith(b"+OK")
    assert store.log == ["open", "open 1"]


# --------------------------------------------------------------------------------- large messages, output


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(reader, "PIECE", 10)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 19, 20, 21, 95])
def test_a_large_message_goes_out_in_pieces_and_the_end_with_the_last_octets(length):
    message = (b"A: b\n\n" + b"0123456789" * 10)[:length]
    session = serving(message).logged_in()
    before = len(session.actor.written)
    session.actor.receive(b"RETR 1\r\n")
    writes = session.actor.written[before:]
    status, _, wire = b"".join(writes).partition(b"\r\n")
    assert status == b"+OK %d octets" % len(as_sent(message))
    assert wire == as_sent(message) + b".\r\n"
    assert len(writes) == 1 + length // 10, "a piece each, in constant memory"
    assert len(writes[-1]) > len(b"\r\n.\r\n"), "never the terminator alone"
    session.hang_up()
    session.store.check_all_is_closed()


@pytest.mark.usefixtures("small_pieces")
def test_top_reads_no_more_than_it_sends():
    session = serving(b"A: b\n\n" + b"0123456789\n" * 10).logged_in()
    body = b"A: b\r\n\r\n" + b"0123456789\r\n" * 2
    assert session.ask(b"TOP 1 2\r\n").partition(b"\r\n")[2] == body + b".\r\n"
    [source] = session.store.sources
    assert source.closings == 1
    runs = [operation for operation in session.actor.performed if isinstance(operation, Run)]
    assert len(runs) == 2 + 3, "password, maildrop; three pieces, closed with the last"


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("failure", [OSError("gone"), Unavailable("gone")])
@pytest.mark.parametrize("verb", [b"RETR 2", b"TOP 2 100"])
def test_a_message_that_cannot_be_read_to_its_end_is_not_ended(failure, verb):
    store = FakeStore(UNIX, b"A: b\n\n" + b"0123456789\n" * 10)
    store.breaks_at[2] = 40
    store.failures["read"] = failure
    session = Serving(store).logged_in()
    answers = session.ask(b"DELE 1\r\n" + verb + b"\r\nNOOP\r\n")
    assert answers.startswith(b"+OK message 1 deleted\r\n+OK")
    assert not answers.endswith(b"\r\n.\r\n")
    assert b"\r\n.\r\n" not in answers
    with pytest.raises(Broken, match="message 2"):
        session.actor.outcome()
    assert list(store.contents) == [1, 2]
    store.check_all_is_closed()


def test_a_message_that_cannot_be_read_at_all_is_refused_and_the_session_goes_on(two):
    two.store.failures["open 1"] = OSError("permission denied")
    two.store.breaks_at[2] = 0
    assert codes(two.lines(b"RETR 1\r\nRETR 2\r\nTOP 1 0\r\n")) == [b"-ERR [SYS/TEMP]"] * 3
    two.store.failures["open 1"] = Refused("it is gone")
    assert two.ask(b"RETR 1\r\n") == b"-ERR it is gone\r\n"
    two.ask(b"QUIT\r\n")
    assert two.store.commits == [(frozenset(), frozenset())], "none of them was retrieved"
    two.store.check_all_is_closed()


def test_small_answers_go_out_together():
    session = serving(UNIX).logged_in()
    before = len(session.actor.written)
    session.ask(b"NOOP\r\n" * 500 + b"QUIT\r\n")
    assert len(session.actor.written) == before + 1
    assert session.actor.written[-1].count(b"+OK") == 501


def test_answers_are_written_before_they_are_too_many(monkeypatch):
    monkeypatch.setattr(output_module, "FLUSH_AT", 100)
    session = serving(UNIX).logged_in()
    before = len(session.actor.written)
    session.ask(b"NOOP\r\n" * 50)
    writes = session.actor.written[before:]
    assert b"".join(writes) == b"+OK nothing done\r\n" * 50
    assert {len(octets) for octets in writes[:-1]} == {108}


class Watched(Sequence):
    """Messages; `touched` counts how often one was looked at."""

    def __init__(self, count):
        self.messages = [Message(number, UniqueId(str(number))) for number in range(1, count + 1)]
        self.touched = 0

    def __len__(self):
        return len(self.messages)

    def __getitem__(self, index):
        self.touched += 1
        return self.messages[index]


def many(count):
    """A session with so many messages, logged in, and what counts how often they are looked at."""
    session, watched = serving(), Watched(count)
    session.store.listed = watched
    session.logged_in()
    watched.touched = 0
    return session, watched


def test_a_command_about_the_whole_maildrop_looks_at_no_message():
    session, watched = many(1_000)
    whole = b"+OK 1000 500500"
    assert session.lines(b"STAT\r\n" * 100 + b"RSET\r\n" * 100)[:100] == [whole] * 100
    assert watched.touched == 0
    session.ask(b"DELE 7\r\nDELE 7\r\nDELE 9\r\n")
    assert session.lines(b"STAT\r\nRSET\r\nSTAT\r\n") == [
        b"+OK 998 500484",
        b"+OK maildrop has 1000 messages (500500 octets)",
        whole,
    ]
    assert watched.touched <= 6


@pytest.mark.parametrize("command", [b"LIST", b"UIDL"])
def test_other_sessions_can_run_between_the_parts_of_listings(command):
    """A turn is bounded by its work: by rows, however many commands ask for them."""
    session, watched = many(2_500)
    between = []
    original = session.actor._perform

    def perform(operation):
        if isinstance(operation, Sleep | Read):
            between.append(watched.touched)
        return original(operation)

    session.actor._perform = perform
    octets = session.ask((command + b"\r\n") * 4)
    rows = b"".join(b"%d %d\r\n" % (number, number) for number in range(1, 2_501))
    assert octets == (b"+OK 2500 messages (3126250 octets)\r\n" + rows + b".\r\n") * 4
    assert max(after - before for before, after in itertools.pairwise([0, *between])) <= 2_000


def test_a_maildrop_whose_messages_cannot_be_counted_is_closed():
    session = serving(UNIX)
    session.store.listed = [None]
    answers = session.greeted().lines(b"USER ann\r\nPASS tanstaaf\r\n")
    assert answers[1:] == [b"-ERR [SYS/TEMP] the server has a fault, and ends the session"]
    with pytest.raises(AttributeError):
        session.actor.outcome()
    session.store.check_all_is_closed()


def test_the_total_follows_a_message_whose_size_was_wrong():
    session = serving(UNIX, DOS)
    session.store.announced[1] = 5
    session.logged_in()
    before, _, after = session.ask(b"STAT\r\n"), session.ask(b"RETR 1\r\n"), session.ask(b"STAT\r\n")
    one, two = len(as_sent(UNIX)), len(as_sent(DOS))
    assert (before, after) == (b"+OK 2 %d\r\n" % (5 + two), b"+OK 2 %d\r\n" % (one + two))


def test_half_close_everything_is_answered(two):
    two.actor.receive(b"STAT\r\nNOOP\r\nRETR 2\r\n", b"")
    assert two.actor.take().count(b"+OK") == 3
    assert two.actor.finished
    assert two.actor.outcome() is None


@given(data=st.data())
def test_pipelined_commands_are_answered_in_order_however_they_are_cut(data):
    script = b"USER ann\r\nPASS tanstaaf\r\nLIST 1\r\nRETR 1\r\nDELE 1\r\nSTAT\r\nrubbish\r\nQUIT\r\n"
    whole = serving(UNIX, DOS).greeted()
    cut = serving(UNIX, DOS).greeted()
    assert cut.ask(*data.draw(chunkings(script))) == whole.ask(script)
    assert cut.store.log == whole.store.log
    assert cut.actor.finished
    assert whole.actor.finished


# -------------------------------------------------------------------------------------- bad commands


def test_bad_commands_end_the_session_at_a_limit():
    session = serving(connection=ServerConnection(limits=Limits(bad_commands_after_login=3))).logged_in()
    assert codes(session.lines(b"HELO x\r\nGET / HTTP/1.1\r\nDELE 99\r\nHELO x\r\nHELO x\r\n")) == [b"-ERR"] * 5
    assert session.ask(b"\x16\x03\x01\0\r\nNOOP\r\n").endswith(b"; closing the connection\r\n")
    assert session.actor.finished
    assert session.actor.outcome() is None
    session.store.check_all_is_closed()


def test_octets_behind_stls_end_the_session():
    session = serving(UNIX).greeted()
    assert session.ask(b"STLS\r\nCAPA\r\n") == b""
    with pytest.raises(RemoteProtocolError):
        session.actor.outcome()


# ------------------------------------------------------------------------------------------- deadlines


def ends_in_silence(session: Serving, error: type[BaseException] = TimedOut) -> None:
    """Nothing more was said, nothing was deleted, nothing is locked."""
    with pytest.raises(error):
        session.actor.outcome()
    assert session.actor.take() == b""
    assert session.store.commits == []
    session.store.check_all_is_closed()


def test_a_login_has_one_deadline_for_all_of_it():
    session = serving(UNIX, deadlines=DEADLINES).greeted()
    for _ in range(5):
        session.actor.sleep(11)
        assert session.ask(b"CAPA\r\n")
    session.actor.sleep(4)
    assert not session.actor.finished
    session.actor.sleep(1)
    ends_in_silence(session)


def test_a_login_is_in_time_to_the_last_second():
    session = serving(UNIX, deadlines=DEADLINES).greeted()
    session.actor.sleep(59)
    assert codes(session.lines(b"USER ann\r\nPASS tanstaaf\r\n")) == [b"+OK", b"+OK"]
    session.actor.sleep(599)
    assert not session.actor.finished


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_however_they_come_no_commands_are_answered_after_the_deadline_of_a_login(size):
    session = serving(UNIX, deadlines=DEADLINES, failure_delay=25, login_attempts=9, login_penalty=None).greeted()
    octets = b"USER ann\r\nPASS wrong\r\n" * 5 + b"CAPA\r\nQUIT\r\n"
    session.actor.receive(*(octets[at : at + size] for at in range(0, len(octets), size)))
    assert session.actor.take().count(b"-ERR [AUTH] wrong name or password\r\n") == 3, "at 25, 50 and 75 seconds of 60"
    ends_in_silence(session)


def test_idle_counts_from_the_last_command():
    session = serving(UNIX, deadlines=DEADLINES).logged_in()
    for _ in range(3):
        session.actor.sleep(599)
        assert session.ask(b"DELE 1\r\nRSET\r\n")
    session.ask(b"DELE 1\r\n")
    session.actor.sleep(599)
    assert not session.actor.finished
    session.actor.sleep(1)
    ends_in_silence(session)
    assert list(session.store.contents) == [1]


def test_an_octet_now_and_then_does_not_prolong_idle():
    session = serving(UNIX, deadlines=DEADLINES).logged_in()
    for _ in range(5):
        session.actor.sleep(100)
        assert session.ask(b"N") == b""
    session.actor.sleep(100)
    ends_in_silence(session)


def test_an_octet_now_and_then_does_not_prolong_the_login():
    session = serving(UNIX, deadlines=DEADLINES).greeted()
    for _ in range(5):
        session.actor.sleep(10)
        assert session.ask(b"U") == b""
    session.actor.sleep(10)
    ends_in_silence(session)


def test_before_login_the_shorter_deadline_counts():
    deadlines = Deadlines(login=60, idle=5, short_idle=True)
    session = serving(UNIX, deadlines=deadlines).greeted()
    session.actor.sleep(5)
    ends_in_silence(session)


def test_a_client_that_does_not_read():
    session = serving(UNIX, deadlines=DEADLINES).logged_in()
    session.actor.deaf = True
    session.ask(b"DELE 1\r\nRETR 1\r\n")
    session.actor.sleep(29)
    assert not session.actor.finished
    session.actor.sleep(1)
    ends_in_silence(session)


def test_a_client_that_does_not_read_a_large_message(monkeypatch):
    monkeypatch.setattr(reader, "PIECE", 10)
    session = serving(b"A: b\n\n" + b"x" * 100, deadlines=DEADLINES).logged_in()
    session.actor.deaf = True
    session.ask(b"RETR 1\r\n")
    runs = sum(isinstance(operation, Run) for operation in session.actor.performed)
    assert runs == 2 + 1, "password, maildrop; a piece: what nobody reads is not fetched"
    session.actor.sleep(30)
    ends_in_silence(session)


def test_there_is_more_time_to_write_more():
    session = serving(b"x" * 3_000_000, deadlines=DEADLINES).logged_in()
    session.ask(b"RETR 1\r\n")
    writes = [operation for operation in session.actor.performed if isinstance(operation, Write)]
    for write in writes:
        assert write.until == 1_000.0 + 30 * (1 + len(write.octets) // 1_048_576)
    assert max(len(write.octets) for write in writes) < 1_100_000


def test_a_client_that_is_gone(two):
    two.actor.gone = True
    two.ask(b"DELE 1\r\nRETR 2\r\n")
    ends_in_silence(two, ConnectionLost)


def test_a_hang_up_deletes_nothing(two):
    two.ask(b"DELE 1\r\n")
    assert two.hang_up().outcome() is None
    assert two.store.commits == []
    assert list(two.store.contents) == [1, 2]
    two.store.check_all_is_closed()


@pytest.mark.parametrize("chunk", [b"QUIT", b"QUIT\r", b"DELE 1\r\nQUI"])
def test_half_a_command_before_a_hang_up_is_none(two, chunk):
    two.ask(chunk)
    two.hang_up()
    assert two.store.commits == []
    two.store.check_all_is_closed()


@pytest.mark.parametrize("field", ["login", "idle", "write"])
@pytest.mark.parametrize("seconds", [0, -1])
def test_deadlines_are_positive(field, seconds):
    with pytest.raises(LocalProtocolError):
        Deadlines(**{field: seconds}, short_idle=True)


def test_idle_is_of_ten_minutes_unless_the_caller_insists():
    assert Deadlines().idle == 600
    assert Deadlines(idle=600).idle == 600
    with pytest.raises(LocalProtocolError):
        Deadlines(idle=599.9)
    assert Deadlines(idle=1, short_idle=True).idle == 1


# ------------------------------------------------------------------------------------ faults and cancelling

SCRIPT = [
    b"USER ann\r\n",
    b"PASS wrong\r\n",
    b"CAPA\r\nUSER ann\r\nPASS tanstaaf\r\n",
    b"LIST\r\nUIDL\r\nCAPA\r\n",
    b"RETR 1\r\nTOP 2 1\r\nRETR 9\r\n",
    b"RETR 2\r\nDELE 1\r\n",
    b"QUIT\r\n",
]


def scripted(strikes=None, *, blocks=True) -> Serving:
    """A session in which much happens, with a wrong size and messages in several pieces."""
    store = FakeStore(b"A: b\n\n" + b"0123456789\n" * 5, UNIX, blocks=blocks)
    store.announced = {2: 7}
    session = Serving(store, OneUser(blocks=blocks), strikes=strikes, mode="implicit")
    session.actor.receive(*SCRIPT)
    return session


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize(
    "error",
    [Cancelled(), ConnectionLost("gone"), TimedOut("too late"), RuntimeError("the driver has a fault")],
    ids=lambda error: type(error).__name__,
)
def test_the_maildrop_is_closed_whatever_strikes_at_whatever_operation(blocks, error):
    clean = scripted(blocks=blocks)
    assert clean.actor.outcome() is None
    operations = len(clean.actor.performed)
    assert operations > 20
    for number in range(operations):
        session = scripted({number: type(error)(*error.args)}, blocks=blocks)
        assert session.actor.finished, number
        with pytest.raises(type(error)):
            session.actor.outcome()
        session.store.check_all_is_closed()
        committed = "commit" in session.store.log
        assert list(session.store.contents) == ([2] if committed else [1, 2])
        after = session.actor.after_strike
        if isinstance(error, Cancelled | ConnectionLost | TimedOut):
            assert not any(isinstance(operation, Write | Read) for operation in after[1:]), number


@pytest.mark.usefixtures("small_pieces")
def test_a_maildrop_that_is_opened_while_the_session_is_cancelled_is_closed():
    clean = scripted().actor
    verified = max(number for number, operation in enumerate(clean.performed) if isinstance(operation, RunLogin))
    opening = verified + 2
    assert isinstance(clean.performed[verified + 1], Now)
    assert isinstance(clean.performed[opening], Run)
    session = scripted({opening: Cancelled()})
    assert session.store.log.count("open") == 1, "a Run goes on to its end"
    assert session.store.log[-1] == "close"
    session.store.check_all_is_closed()


def test_a_fault_of_the_authenticator_is_told_and_raised():
    session = serving(UNIX, authenticator=OneUser(failure=RuntimeError("the directory is down"))).greeted()
    answers = session.lines(b"USER ann\r\nPASS tanstaaf\r\nNOOP\r\n")
    assert codes(answers) == [b"+OK", b"-ERR [SYS/TEMP]"]
    assert b"directory" not in b"".join(answers)
    with pytest.raises(RuntimeError, match="the directory is down"):
        session.actor.outcome()
    assert session.store.log == []


@pytest.mark.parametrize(
    "call,line",
    [("open", b"PASS tanstaaf"), ("open 1", b"RETR 1"), ("open 1", b"TOP 1 0"), ("commit", b"QUIT")],
)
@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("a fault"),
        RemoteProtocolError("of the store's own server"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_of_the_store_is_told_and_raised(call, line, fault):
    session = serving(UNIX)
    session.store.failures[call] = fault
    session.greeted().ask(b"USER ann\r\n")
    if call != "open":
        session.ask(b"PASS tanstaaf\r\nDELE 1\r\nRSET\r\n")
    answers = session.lines(line + b"\r\nNOOP\r\n")
    assert codes(answers) == [b"-ERR [SYS/TEMP]"]
    with pytest.raises(RuntimeError) as raised:
        session.actor.outcome()
    assert fault in {raised.value, raised.value.__cause__}
    assert session.store.closings == [1] * len(session.store.opened)
    assert not session.store.locked


CLIENT_ERRORS = (ConnectionLost("elsewhere"), TimedOut("elsewhere"), RemoteProtocolError("elsewhere"))


class Elsewhere(list):
    def __len__(self):
        raise CLIENT_ERRORS[0]


async def later(answer):
    """What a coroutine method returns."""
    await Pause()
    return answer()


def test_what_a_handler_raises_at_once_is_a_fault_as_well():
    """It has not asked the client anything: a message, an attribute of which is looked up elsewhere, for example."""
    session = serving(UNIX).logged_in()
    session.store.listed = Elsewhere()
    answers = session.lines(b"STAT\r\n")
    assert codes(answers) == [b"-ERR [SYS/TEMP]"]
    with pytest.raises(RuntimeError, match="the handler of Stat raised ConnectionLost: elsewhere"):
        session.actor.outcome()


@pytest.mark.parametrize("kind", ["in a thread", "plain", "coroutine"])
@pytest.mark.parametrize("error", CLIENT_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["check_password", "session_ended", "open", "read", "commit", "close"])
def test_what_ends_a_session_through_its_client_is_a_fault_of_who_else_raises_it(place, error, kind):
    """An authenticator or a store may ask another server, whose loss is not that of the client."""

    class Users(OneUser):
        def raise_or(self, name, answer):
            def answers():
                if place == name:
                    raise error
                return answer

            return later(answers) if kind == "coroutine" else answers()

        def check_password(self, user, password, session):
            return self.raise_or("check_password", super().check_password(user, password, session))

        def session_ended(self, session):
            return self.raise_or("session_ended", None)

    blocks = kind == "in a thread"
    whose = "authenticator" if place in {"check_password", "session_ended"} else "store"
    session = Serving(FakeStore(bytes(PIECE + 2), blocks=blocks), Users(blocks=blocks))
    store = session.store
    store.failures[place], store.breaks_at = error, {1: PIECE + 1} if place == "read" else {}
    if kind == "coroutine":
        store.open = lambda user, info: later(lambda: FakeStore.open(store, user, info))
    session.actor.receive(b"CAPA\r\nUSER ann\r\nPASS tanstaaf\r\nRETR 1\r\nQUIT\r\n", b"")
    assert session.actor.finished
    raised = session.actor.error
    assert type(raised) is RuntimeError
    assert str(raised) == f"the {whose} raised {type(error).__name__}: elsewhere"
    assert raised.__cause__ is error
    store.check_all_is_closed()


@pytest.mark.parametrize(
    "call,line",
    [("open", b"PASS tanstaaf"), ("open 1", b"RETR 1"), ("open 1", b"TOP 1 0"), ("commit", b"QUIT")],
)
@pytest.mark.parametrize(
    "text,code,answer",
    [
        ("two\r\nlines", None, b"-ERR two lines"),
        ("\r\n\0two\n\n\0lines\r", ResponseCode.IN_USE, b"-ERR [IN-USE] two lines"),
        ("\n", None, b"-ERR"),
        ("\ud800", None, b"-ERR ?"),
        ("\udcff", None, b"-ERR \xff"),
        ("x" * 505, None, b"-ERR " + b"x" * 505),
        ("x" * 506, None, b"-ERR " + b"x" * 502 + b"..."),
        ("x" * 600, ResponseCode.AUTH, b"-ERR [AUTH] " + b"x" * 495 + b"..."),
        ("\u00e9" * 600, None, b"-ERR " + "\u00e9".encode() * 251 + b"..."),
        ("x\u00e9" * 600, None, b"-ERR " + "x\u00e9".encode() * 167 + b"x..."),
    ],
    ids=ascii,
)
def test_a_refusal_that_no_reply_can_carry_is_cleaned_and_cut(call, line, text, code, answer):
    session = serving(UNIX)
    session.store.failures[call] = Refused(text, code)
    session.greeted().ask(b"USER ann\r\n")
    if call != "open":
        session.ask(b"PASS tanstaaf\r\n")
    assert session.lines(line + b"\r\n") == [answer]
    if call != "commit":
        assert codes(session.lines(b"CAPA\r\n"))[0] == b"+OK"
    session.hang_up().outcome()
    session.store.check_all_is_closed()


def test_a_refusal_of_an_authenticator_is_cut_to_the_limit_of_the_connection():
    connection = ServerConnection(limits=Limits(reply_line_sent=30))
    users = OneUser(failure=Refused("come back\nlater, when it is done"))
    session = serving(authenticator=users, connection=connection).greeted()
    assert session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1] == b"-ERR come back later, whe..."
    assert session.lines(b"USER ann\r\n") == [b"+OK send the password"]


# --------------------------------------------------------------- an authenticator that is told of the end


class Watching(OneUser):
    """It counts what it has opened, and closes it when the session ends. May be asked by a coroutine method."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.left, self.ended = [], []

    def check_password(self, user, password, session):
        self.left.append(session.state.setdefault("left", len(self.left)))
        return super().check_password(user, password, session)

    def session_ended(self, session):
        self.ended.append((session.user, session.state.pop("left", None)))


class WatchingLater(Watching):
    async def session_ended(self, session):
        await Pause()
        super().session_ended(session)


@pytest.mark.parametrize("kind", [Watching, WatchingLater])
@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize(
    "said, told",
    [
        (b"", (None, None)),
        (b"QUIT\r\n", (None, None)),
        (b"USER ann\r\nPASS guess\r\n", (None, 0)),
        (b"USER ann\r\nPASS tanstaaf\r\n", ("ann", 0)),
        (b"USER ann\r\nPASS tanstaaf\r\nQUIT\r\n", ("ann", 0)),
    ],
    ids=["nothing", "quit", "refused", "hung up", "whole"],
)
def test_an_authenticator_is_told_once_that_a_session_has_ended(kind, blocks, said, told):
    users = kind(blocks=blocks)
    session = serving(UNIX, authenticator=users).greeted()
    session.ask(said)
    assert not users.ended or session.actor.finished
    session.actor.receive(b"")
    assert session.actor.finished
    assert users.ended == [told]
    last = [type(operation) for operation in session.actor.performed][-2:]
    assert (RunLogin in last) == blocks
    session.store.check_all_is_closed()


@pytest.mark.parametrize("kind", [Watching, WatchingLater])
@pytest.mark.parametrize("error", [Cancelled, lambda: ConnectionLost("gone")], ids=["cancelled", "lost"])
def test_an_authenticator_is_told_wherever_the_session_breaks_off(kind, error):
    def session_of(strikes):
        users = kind()
        session = serving(UNIX, authenticator=users, strikes=strikes, mode="starttls")
        session.actor.receive(b"STLS\r\n", b"USER ann\r\nPASS tanstaaf\r\nRETR 1\r\nQUIT\r\n", b"")
        assert session.actor.finished
        assert len(users.ended) == 1
        session.store.check_all_is_closed()
        return session

    for number in range(1, len(session_of({}).actor.performed)):  # before the first there is nothing to tell
        session_of({number: error()})


def test_an_authenticator_is_told_although_the_maildrop_cannot_be_closed():
    users = Watching()
    session = serving(UNIX, authenticator=users)
    session.store.failures["close"] = ZeroDivisionError()
    session.logged_in().hang_up()
    assert isinstance(session.actor.error, ZeroDivisionError)
    assert users.ended == [("ann", 0)]


def test_a_failure_of_being_told_is_a_failure_of_the_session():
    users = Watching()
    users.ended = None
    session = serving(UNIX, authenticator=users).logged_in()
    with pytest.raises(AttributeError):
        session.hang_up().outcome()
    session.store.check_all_is_closed()


@pytest.mark.parametrize("line", [b"RETR 1", b"TOP 1 0"])
@pytest.mark.parametrize("fault", [ConnectionLost("the store's own server is gone"), OSError("bad disk")])
def test_a_message_that_cannot_be_read_now_is_refused(line, fault):
    session = serving(UNIX)
    session.store.failures["open 1"] = fault
    session.greeted().ask(b"USER ann\r\nPASS tanstaaf\r\n")
    assert codes(session.lines(line + b"\r\nNOOP\r\n")) == [b"-ERR [SYS/TEMP]", b"+OK"]


def test_a_fault_after_the_whole_answer_ends_the_session():
    store = FakeStore(UNIX)
    store.announced = {1: 7}
    store.failures[f"correct 1 {len(as_sent(UNIX))}"] = OSError("disk full")
    session = Serving(store).logged_in()
    assert session.ask(b"RETR 1\r\n").endswith(b"\r\n.\r\n")
    with pytest.raises(OSError, match="disk full"):
        session.actor.outcome()
    store.check_all_is_closed()


@pytest.mark.parametrize("how", ["gone", "deaf"])
def test_a_fault_is_raised_also_if_nobody_is_left_to_be_told(how, two):
    two.store.failures["commit"] = RuntimeError("a fault")
    setattr(two.actor, how, True)
    two.ask(b"QUIT\r\n")
    two.actor.sleep(1_000)
    with pytest.raises(RuntimeError, match="a fault"):
        two.actor.outcome()
    two.store.check_all_is_closed()


@pytest.mark.usefixtures("small_pieces")
def test_a_fault_of_a_message_in_the_middle_is_raised_and_it_is_closed():
    store = FakeStore(b"A: b\n\n" + b"0123456789\n" * 10)
    store.breaks_at[1] = 40
    store.failures["read"] = RuntimeError("a fault")
    session = Serving(store).logged_in()
    assert b"\r\n.\r\n" not in session.ask(b"RETR 1\r\n")
    with pytest.raises(RuntimeError, match="a fault"):
        session.actor.outcome()
    store.check_all_is_closed()


# ------------------------------------------------------------------------------------ a server's own verbs


class Xhello(PlainCommand):
    verb = "XHELLO"
    legal_in = AFTER_LOGIN


def test_a_private_verb_is_one_row():
    def hello(session, command):
        session.say(Ok(f"hello {session.user}"))

    connection = ServerConnection(commands=STANDARD | {Xhello})
    session = serving(connection=connection, handlers={**HANDLERS, Xhello: hello}).logged_in()
    assert session.ask(b"xhello\r\n") == b"+OK hello ann\r\n"


def test_a_private_verb_may_refuse():
    def hello(session, command):
        raise Refused("no", ResponseCode.AUTH)

    connection = ServerConnection(commands=STANDARD | {Xhello})
    session = serving(connection=connection, handlers={**HANDLERS, Xhello: hello}).logged_in()
    assert session.ask(b"XHELLO\r\nNOOP\r\n") == b"-ERR [AUTH] no\r\n+OK nothing done\r\n"


@pytest.mark.parametrize("steps", [[], [Ok("a body follows")], [Ok("a body follows"), BodyChunk(b"text")]])
def test_a_handler_that_does_not_answer_is_a_fault(steps):
    class Xlist(PlainCommand):
        verb = "XLIST"
        legal_in = AFTER_LOGIN
        multi_line = True

    def answer(session, command):
        for step in steps:
            session.say(step)

    connection = ServerConnection(commands=STANDARD | {Xlist})
    session = serving(connection=connection, handlers={**HANDLERS, Xlist: answer}).logged_in()
    answers = session.ask(b"XLIST\r\nNOOP\r\n")
    assert answers.startswith(b"+OK a body follows\r\n" if steps else b"-ERR [SYS/TEMP] the server has a fault")
    assert b"nothing done" not in answers
    with pytest.raises(LocalProtocolError, match=r"^the handler of XLIST has not answered$"):
        session.actor.outcome()
    session.store.check_all_is_closed()


def test_nothing_is_said_behind_an_answer_that_was_cut_off():
    def hello(session, command):
        yield from session.flush()
        session.say(Ok("hello"))

    connection = ServerConnection(commands=STANDARD | {Xhello})
    session = serving(connection=connection, handlers={**HANDLERS, Xhello: hello}, deadlines=DEADLINES).logged_in()
    session.actor.deaf = True
    session.ask(b"NOOP\r\nXHELLO\r\n")
    session.actor.sleep(30)
    ends_in_silence(session)


def test_the_store_is_told_of_the_client():
    seen = []

    class Curious(FakeStore):
        def open(self, user, session):
            seen.append((user, session))
            return super().open(user, session)

    info = SessionInfo("192.0.2.1", tls=True)
    service = Service(store=Curious(), authenticator=OneUser())
    actor = Actor(serve_session(service, ServerConnection(tls=True), info))
    actor.receive(b"USER ann\r\nPASS tanstaaf\r\n", b"").outcome()
    assert seen == [("ann", attrs.evolve(info, user="ann"))]
    assert seen[0][1].state is info.state


def test_what_does_not_block_is_called_in_place():
    session = scripted(blocks=False)
    assert not any(isinstance(operation, Run) for operation in session.actor.performed)
    assert session.store.log[-2:] == ["commit", "close"]


def test_a_session_is_refused():
    clock = Clock()
    connection = ServerConnection()
    service = Service(store=FakeStore(), authenticator=OneUser(), deadlines=DEADLINES)
    actor = Actor(refuse(connection, service, "too many"), clock).go()
    assert actor.outcome() is None
    assert [type(operation) for operation in actor.performed] == [Now, Write]
    assert actor.performed[-1] == Write(b"-ERR [SYS/TEMP] too many\r\n", until=1_030.0)
    assert connection.state is State.CLOSED


def test_tls_info_is_a_value():
    assert TlsInfo("TLSv1.3", verified=True) != TlsInfo("TLSv1.3", verified=False)


# ---------------------------------------------------------------------------------------------- guesses


def test_too_many_wrong_passwords_end_the_session():
    session = serving(UNIX, login_attempts=3).greeted()
    for _ in range(2):
        assert codes(session.lines(b"USER ann\r\nPASS wrong\r\n")) == [b"+OK", b"-ERR [AUTH]"]
    assert session.lines(b"AUTH PLAIN AGFubgB3cm9uZw==\r\nUSER ann\r\nPASS tanstaaf\r\n") == [
        b"-ERR [AUTH] wrong name or password"
    ]
    assert session.actor.finished
    assert session.actor.outcome() is None


def test_what_is_cancelled_does_not_count_as_a_guess():
    session = serving(UNIX, login_attempts=1).greeted()
    assert codes(session.lines(b"AUTH PLAIN\r\n*\r\n")) == [b"+", b"-ERR"]
    assert codes(session.lines(b"USER ann\r\nPASS tanstaaf\r\n")) == [b"+OK", b"+OK"]


# ---------------------------------------------------------------------------------------------- service


class Xdate(PlainCommand):
    verb = "XDAT"
    legal_in = frozenset({State.TRANSACTION})


def test_a_private_verb_is_read_by_the_service_that_answers_it():
    def answer(session, command):
        session.say(Ok("today"))

    handlers = {**HANDLERS, Xdate: answer}
    service = Service(store=FakeStore(UNIX), authenticator=OneUser(), handlers=handlers)
    session = serving(UNIX, handlers=handlers, connection=service.connection(tls=False)).logged_in()
    assert session.lines(b"XDAT\r\nXDAT x\r\n") == [b"+OK today", b"-ERR XDAT takes no arguments"]


@pytest.mark.parametrize("greeting", ["<ready>", "two\r\nlines", "x" * 600])
def test_a_greeting_that_cannot_be_sent_is_refused_at_once(greeting):
    with pytest.raises(LocalProtocolError):
        Service(store=FakeStore(), authenticator=OneUser(), greeting=greeting)


@pytest.mark.parametrize("deadline", [0, -1, 1_000_001, math.inf, math.nan])
@pytest.mark.parametrize("name", ["login", "idle", "write"])
def test_a_deadline_that_is_none(name, deadline):
    with pytest.raises(LocalProtocolError, match=r"^a deadline must be positive, and at most 1000000 seconds$"):
        Deadlines(**{name: deadline}, short_idle=True)


@pytest.mark.parametrize("octets, unique_id", [(-1, "a"), (1, ""), (1, "a b"), (1, "x" * 71)])
def test_a_message_that_cannot_be_announced(octets, unique_id):
    with pytest.raises(LocalProtocolError):
        Message(octets, unique_id)
