"""The client's connection: every state, every branch, and what real servers do."""

import copy

import pytest

from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import (
    Apop,
    Auth,
    Capa,
    Dele,
    LangList,
    List,
    ListOne,
    Noop,
    Pass,
    PlainCommand,
    Quit,
    Retr,
    Stat,
    Stls,
    Top,
    User,
    Utf8,
)
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, UncertainUpdate
from pop3proto.core.events import (
    NEED_DATA,
    PAUSED,
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BodyChunk,
    BodyEnd,
    ConnectionClosed,
    Farewell,
    Tolerated,
)
from pop3proto.core.limits import Limits, Quirk
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.core.session_state import SessionState
from pop3proto.core.states import State
from tests.helpers.sessions import REQUESTS, client_in, everything, in_pieces, take

SILENT = "if TLS begins at once on this port, the server waits, too: use implicit TLS"
BARE = " (the quirk bare_lf takes LF for it)"
TLS_ALERT = "this looks like TLS, not POP3; use implicit TLS on this port"


def logged_in(**arguments):
    return client_in(State.TRANSACTION, **arguments)


def after_sending(*items, state=State.TRANSACTION, **arguments):
    connection = client_in(state, **arguments)
    for item in items:
        connection.send(item)
    return connection


def failure(connection, *chunks):
    """The error that ends a session, after it was seen that it is raised again and that nothing can be sent."""
    for chunk in chunks:
        connection.receive_data(chunk)
    with pytest.raises((RemoteProtocolError, ConnectionLost)) as first:
        take(connection)
    with pytest.raises((RemoteProtocolError, ConnectionLost)) as second:
        connection.next_event()
    assert (type(first.value), str(first.value)) == (type(second.value), str(second.value))
    assert first.value is not second.value
    assert connection.state is State.CLOSED
    assert not any(map(connection.can_send, REQUESTS))
    with pytest.raises(LocalProtocolError) as refusal:
        connection.send(Noop())
    assert str(refusal.value) == f"the session is over: {first.value}"
    return first.value


def broken(connection, *chunks):
    error = failure(connection, *chunks)
    assert type(error) is RemoteProtocolError
    return str(error)


def lost(connection, *chunks):
    error = failure(connection, *chunks, b"")
    assert type(error) is ConnectionLost
    return str(error)


def refusal(connection, item):
    """Why an item cannot be sent, after it was seen that the attempt changes nothing."""
    before = everything(connection)
    with pytest.raises(LocalProtocolError) as caught:
        connection.send(item)
    assert everything(connection) == before
    assert not connection.can_send(item)
    return str(caught.value)


# ----------------------------------------------------------------------------------------- beginnings


def test_a_new_connection_waits_for_the_greeting():
    connection = ClientConnection()
    assert (connection.state, connection.tls, connection.utf8, connection.outstanding) == (
        State.GREETING,
        False,
        False,
        (),
    )
    assert connection.next_event() is NEED_DATA
    assert ClientConnection(tls=True).tls


def test_octets_are_unasked_while_no_command_is_outstanding():
    connection = logged_in()
    assert not connection.unasked
    connection.send(Noop())
    connection.receive_data(b"+OK\r\n-ERR bye")
    assert not connection.unasked
    connection.next_event()
    assert connection.unasked


def test_it_keeps_what_it_was_made_with():
    limits = Limits(command_line=512)
    connection = ClientConnection(limits=limits, quirks={Quirk.BARE_LF})
    assert (connection.limits, connection.quirks) == (limits, frozenset({Quirk.BARE_LF}))


@pytest.mark.parametrize(
    "line, greeting, timestamp, state",
    [
        (b"+OK", Ok(), None, State.AUTHORIZATION),
        (b"+ok lower case", Ok("lower case"), None, State.AUTHORIZATION),
        (b"+OK POP3 <1896.6@dbc.mtview.ca.us>", Ok("POP3 <1896.6@dbc.mtview.ca.us>"), "<1896.6@dbc.mtview.ca.us>", ...),
        (b"+OK <no> <a@b> <c@d>", Ok("<no> <a@b> <c@d>"), "<a@b>", State.AUTHORIZATION),
        (b"+OK <without an at>", Ok("<without an at>"), None, State.AUTHORIZATION),
        (b"-ERR go away", Err("go away"), None, State.CLOSED),
        (b"-ERR [SYS/TEMP] <a@b>", Err("[SYS/TEMP] <a@b>"), None, State.CLOSED),
    ],
)
def test_greetings(line, greeting, timestamp, state):
    connection = ClientConnection()
    connection.receive_data(line + b"\r\n")
    event = connection.next_event()
    assert event == Greeting(greeting)
    assert event.timestamp == timestamp
    assert connection.state is (State.AUTHORIZATION if state is ... else state)
    assert connection.next_event() is NEED_DATA


def test_a_greeting_of_a_million_brackets_takes_no_time():
    text = "<" * 1_000_000
    connection = ClientConnection(limits=Limits(reply_line=2_000_000, buffered=2_000_000))
    assert take(connection, f"+OK {text}\r\n".encode()) == [Greeting(Ok(text)), NEED_DATA]
    assert Greeting(Ok(text)).timestamp is None


@pytest.mark.parametrize(
    "octets, message",
    [
        (b"+ Hola\r\n", "the server sent '+ Hola' instead of a greeting"),
        (b"+OKAY\r\n", "the server sent '+OKAY' instead of a greeting"),
        (b"* OK IMAP4\r\n", "the server sent '* OK IMAP4' instead of a greeting (this looks like IMAP, not POP3)"),
        (b"220 mx\r\n", "the server sent '220 mx' instead of a greeting (this looks like SMTP, not POP3)"),
        (
            b"HTTP/1.1 400\r\n",
            "the server sent 'HTTP/1.1 400' instead of a greeting (this looks like HTTP, not POP3)",
        ),
        (b"SSH-2.0-x\r\n", "the server sent 'SSH-2.0-x' instead of a greeting (this looks like SSH, not POP3)"),
        (b"+OK a\0b\r\n", "the server sent '+OK a\\x00b': the text of a reply must not contain CR, LF or NUL"),
        (b"220 " + b"x" * 90, "the server sent a line longer than 80 octets (this looks like SMTP, not POP3)"),
    ],
)
def test_what_is_no_greeting(octets, message):
    for chunks in in_pieces(octets):
        limits = Limits(command_line=80, sasl_line=80, reply_line=80)
        assert broken(ClientConnection(limits=limits), *chunks) == message


@pytest.mark.parametrize(
    "octets, message",
    [
        (b"", "the server closed the connection before its greeting"),
        (b"+OK rea", "the server closed the connection before its greeting"),
        (
            b"\x15\x03\x01\x00\x02\x02\x50",
            f"the server closed the connection before its greeting ({TLS_ALERT})",
        ),
    ],
)
def test_end_of_stream_before_the_greeting(octets, message):
    connection = ClientConnection()
    if octets:
        assert take(connection, octets) == [NEED_DATA]
    assert lost(connection) == message


def test_a_refused_session_is_over():
    connection = ClientConnection()
    assert take(connection, b"-ERR too busy\r\n") == [Greeting(Err("too busy")), NEED_DATA]
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]
    assert refusal(connection, Quit()) == "the session is over: nothing can be sent"


# -------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "line, reply",
    [
        (b"+OK", Ok()),
        (b"+OK ", Ok()),
        (b"+ok 2 320", Ok("2 320")),
        (b"+Ok  two blanks", Ok(" two blanks")),
        (b"-ERR", Err()),
        (b"-err no", Err("no")),
        (b"-ERR [IN-USE] caf\xc3\xa9 \xff", Err("[IN-USE] caf\N{LATIN SMALL LETTER E WITH ACUTE} \udcff")),
    ],
)
def test_status_lines(line, reply):
    for chunks in in_pieces(line + b"\r\n"):
        connection = after_sending(Stat())
        assert take(connection, *chunks) == [Answer(Stat(), reply), NEED_DATA]
        assert connection.outstanding == ()


@pytest.mark.parametrize("line", ["+OKAY", "-ERROR", "+ERR", "OK", "", " +OK", "+OK\tx", "Subject: x", "."])
def test_what_is_no_status_line(line):
    message = f"the server sent {line!r} instead of an answer to LIST 3"
    assert broken(after_sending(ListOne(3)), line.encode() + b"\r\n") == message


@pytest.mark.parametrize("line", [b"+OK a\rb", b"+OK a\nb", b"-ERR a\0b", b"+OK a\r"])
def test_a_status_line_holds_no_cr_lf_or_nul(line):
    shown = repr(line)[1:]
    assert broken(after_sending(Stat()), line + b"\r\n") == (
        f"the server sent {shown}: the text of a reply must not contain CR, LF or NUL"
    )


def test_a_bare_lf_ends_no_line():
    connection = after_sending(Stat(), Noop())
    assert take(connection, b"+OK 2 320\n+OK\n") == [NEED_DATA]
    assert lost(connection) == "the server closed the connection before answering STAT"


def test_an_error_shows_only_the_start_of_what_was_sent():
    assert broken(after_sending(Stat()), b"x" * 100 + b"\r\n") == (
        f"the server sent '{'x' * 60}'... instead of an answer to STAT"
    )


def test_a_negative_answer_has_no_body():
    connection = after_sending(Retr(7), Noop())
    assert take(connection, b"-ERR no such message\r\n+OK\r\n") == [
        Answer(Retr(7), Err("no such message")),
        Answer(Noop(), Ok()),
        NEED_DATA,
    ]


@pytest.mark.parametrize("line", [b"+ ", b"+", b"+ YQ=="])
def test_a_challenge_is_no_answer_to_what_asked_for_none(line):
    assert broken(after_sending(Stat()), line + b"\r\n") == ("the server sent a challenge instead of an answer to STAT")


def test_events_and_next_event_say_the_same():
    octets = b"+OK\r\nSubject: x\r\n\r\n..\r\n.\r\n-ERR no\r\n+OK 2 320\r\nnonsense\r\n"
    one = after_sending(Retr(1), Dele(2), Stat(), Noop())
    other = copy.deepcopy(one)
    one.receive_data(octets)
    other.receive_data(octets)
    events = one.events()
    for _ in range(5):
        assert next(events) == other.next_event()
    for read in (lambda: next(events), other.next_event):
        with pytest.raises(RemoteProtocolError, match="'nonsense' instead of an answer to NOOP"):
            read()


# --------------------------------------------------------------------------------------------- bodies


def test_a_body_streams():
    connection = after_sending(Retr(7))
    assert take(connection, b"+OK 120 octets\r\nSubj") == [
        Answer(Retr(7), Ok("120 octets")),
        BodyChunk(b"Subj"),
        NEED_DATA,
    ]
    assert connection.outstanding == (Retr(7),)
    assert take(connection, b"ect: x\r\n\r\n..dot\r\n") == [BodyChunk(b"ect: x\r\n\r\n.dot\r\n"), NEED_DATA]
    assert take(connection, b".\r") == [NEED_DATA]
    assert take(connection, b"\n") == [BodyEnd(), NEED_DATA]
    assert connection.outstanding == ()


def test_an_empty_body_has_no_chunk():
    assert take(after_sending(List()), b"+OK\r\n.\r\n") == [Answer(List(), Ok()), BodyEnd(), NEED_DATA]


def test_any_octets_may_be_in_a_body_and_its_lines_have_no_limit():
    body = b"\0\xff\r\x80\n.\n.\r\r\n" + b"x" * 100_000 + b"\r\n"
    connection = after_sending(Retr(1), Noop())
    *events, answer, signal = take(connection, b"+OK\r\n" + body + b".\r\n+OK\r\n")
    assert events == [Answer(Retr(1), Ok()), BodyChunk(body), BodyEnd()]
    assert (answer, signal) == (Answer(Noop(), Ok()), NEED_DATA)


def test_a_body_comes_as_bytes_and_uncopied_where_it_can():
    connection = after_sending(Retr(1))
    assert take(connection, b"+OK\r\n") == [Answer(Retr(1), Ok()), NEED_DATA]
    chunk = b"all of it"
    connection.receive_data(chunk)
    assert connection.next_event().data is chunk
    connection.receive_data(bytearray(b"another"))
    assert type(connection.next_event().data) is bytes


LONE_DOT = ", after a dot without CRLF, which does not end a body"


@pytest.mark.parametrize(
    "octets, body, remark",
    [
        (b"", b"", ""),
        (b"text", b"text", ""),
        (b"text\r\n", b"text\r\n", ""),
        (b"a\n.\n", b"a\n.\n", ""),
        (b"a\r\n.\n", b"a\r\n\n", ""),
        (b"a\r\n.", b"a\r\n", LONE_DOT),
        (b"a\r\n.\r", b"a\r\n", LONE_DOT),
        (b".", b"", LONE_DOT),
    ],
)
def test_end_of_stream_in_a_body(octets, body, remark):
    for chunks in in_pieces(b"+OK\r\n" + octets):
        connection = after_sending(Top(1, 0), Noop())
        answer, *parts, signal = take(connection, *chunks)
        assert (answer, signal) == (Answer(Top(1, 0), Ok()), NEED_DATA)
        assert b"".join(part.data for part in parts) == body
        assert lost(connection) == f"the server closed the connection in the middle of the body of TOP 1 0{remark}"


def test_a_body_that_ended_early_is_named_when_the_next_line_makes_no_sense():
    octets = b"+OK\r\ntext\r\n.\r\n<p>more text\r\n"
    suspicion = " (the body of RETR 7 may have ended early: the server may not dot-stuff)"
    assert broken(after_sending(Retr(7), Noop()), octets) == (
        f"the server sent '<p>more text' instead of an answer to NOOP{suspicion}"
    )
    assert broken(after_sending(Retr(7)), octets) == (
        f"the server sent '<p>more text' although no command was outstanding{suspicion}"
    )
    assert (
        broken(after_sending(Retr(7)), b"+OK\r\n.\r\n+OK\r\n")
        == f"the server sent '+OK' although no command was outstanding{suspicion}"
    )
    assert broken(after_sending(Retr(7), Noop()), b"+OK\r\n.\r\n+ x\r\n") == (
        f"the server sent a challenge instead of an answer to NOOP{suspicion}"
    )
    assert broken(after_sending(Retr(7), Noop()), b"+OK\r\n.\r\n" + b"x" * 8192) == (
        f"the server sent a line longer than 8192 octets{suspicion}"
    )


def test_a_body_is_no_longer_suspected_once_an_answer_followed_it():
    connection = after_sending(Retr(7), Noop(), Stat())
    assert broken(connection, b"+OK\r\n.\r\n+OK\r\nnonsense\r\n") == (
        "the server sent 'nonsense' instead of an answer to STAT"
    )


# ----------------------------------------------------------------------------------------- pipelining


def test_each_answer_comes_with_its_command_in_order():
    connection = after_sending(Retr(1), Dele(1), Retr(2), List(), Stat())
    assert connection.outstanding == (Retr(1), Dele(1), Retr(2), List(), Stat())
    octets = b"+OK\r\na\r\n.\r\n-ERR\r\n+OK\r\n.\r\n+OK\r\n1 9\r\n.\r\n+OK 1 9\r\n"
    assert take(connection, octets) == [
        Answer(Retr(1), Ok()),
        BodyChunk(b"a\r\n"),
        BodyEnd(),
        Answer(Dele(1), Err()),
        Answer(Retr(2), Ok()),
        BodyEnd(),
        Answer(List(), Ok()),
        BodyChunk(b"1 9\r\n"),
        BodyEnd(),
        Answer(Stat(), Ok("1 9")),
        NEED_DATA,
    ]


@pytest.mark.parametrize(
    "items, state",
    [
        ([User("ann"), Pass("x")], State.AUTHORIZATION),
        ([Apop("ann", "0" * 32)], State.AUTHORIZATION),
        ([Auth("PLAIN", b"x")], State.AUTHORIZATION),
        ([Stls()], State.AUTHORIZATION),
        ([Utf8()], State.AUTHORIZATION),
        ([LangList()], State.TRANSACTION),
        ([Noop(), Quit()], State.TRANSACTION),
    ],
)
def test_nothing_goes_behind_a_barrier_before_it_is_answered(items, state):
    connection = after_sending(*items, state=state)
    for item in REQUESTS:
        expected = (
            "no challenge is waiting for a response"
            if isinstance(item, AuthResponse | AuthCancel)
            else f"nothing can be sent until {items[-1].verb} is answered"
        )
        assert refusal(connection, item) == expected


def test_a_barrier_with_a_body_stands_until_the_body_has_ended():
    connection = after_sending(LangList())
    assert take(connection, b"+OK\r\nen English\r\n") == [
        Answer(LangList(), Ok()),
        BodyChunk(b"en English\r\n"),
        NEED_DATA,
    ]
    assert refusal(connection, Noop()) == "nothing can be sent until LANG is answered"
    assert take(connection, b".\r\n") == [BodyEnd(), NEED_DATA]
    assert connection.can_send(Noop())


def test_legality_is_judged_as_if_all_that_is_outstanding_succeeded():
    connection = client_in(State.AUTHORIZATION)
    assert refusal(connection, Pass("x")) == "PASS is not legal yet; send USER first"
    connection.send(User("ann"))
    assert connection.state is State.AUTHORIZATION
    assert connection.can_send(Pass("x"))
    assert refusal(connection, Capa()) == "CAPA is not legal between USER and PASS"


def test_the_expectation_is_made_anew_when_an_answer_is_negative():
    connection = after_sending(User("ann"), state=State.AUTHORIZATION)
    assert take(connection, b"-ERR who?\r\n") == [Answer(User("ann"), Err("who?")), NEED_DATA]
    assert connection.state is State.AUTHORIZATION
    assert refusal(connection, Pass("x")) == "PASS is not legal yet; send USER first"
    assert connection.can_send(Capa())


def test_a_negative_answer_forgets_no_later_command():
    connection = after_sending(User("ann"), User("bob"), state=State.AUTHORIZATION)
    assert take(connection, b"-ERR\r\n") == [Answer(User("ann"), Err()), NEED_DATA]
    assert connection.state is State.AUTHORIZATION
    assert connection.can_send(Pass("x"))


def test_pass_that_was_sent_behind_a_user_that_failed_has_its_effect_all_the_same():
    connection = after_sending(User("ann"), Pass("x"), state=State.AUTHORIZATION)
    assert take(connection, b"-ERR\r\n") == [Answer(User("ann"), Err()), NEED_DATA]
    assert (connection.state, connection.outstanding) == (State.AUTHORIZATION, (Pass("x"),))
    assert refusal(connection, Stat()) == "nothing can be sent until PASS is answered"
    assert take(connection, b"+OK\r\n") == [Answer(Pass("x"), Ok()), NEED_DATA]
    assert connection.state is State.TRANSACTION
    assert connection.send(Stat()) == b"STAT\r\n"


@pytest.mark.parametrize(
    "command, state, reply, after",
    [
        (User("ann"), State.AUTHORIZATION, b"+OK", State.USER_GIVEN),
        (User("ann"), State.USER_GIVEN, b"-ERR", State.AUTHORIZATION),
        (Pass("x"), State.USER_GIVEN, b"+OK", State.TRANSACTION),
        (Pass("x"), State.USER_GIVEN, b"-ERR", State.AUTHORIZATION),
        (Apop("ann", "0" * 32), State.AUTHORIZATION, b"+OK", State.TRANSACTION),
        (Apop("ann", "0" * 32), State.AUTHORIZATION, b"-ERR", State.AUTHORIZATION),
        (Auth("PLAIN"), State.AUTHORIZATION, b"+OK", State.TRANSACTION),
        (Auth("PLAIN"), State.AUTHORIZATION, b"-ERR", State.AUTHORIZATION),
        (Stls(), State.AUTHORIZATION, b"-ERR", State.AUTHORIZATION),
        (Quit(), State.AUTHORIZATION, b"+OK", State.CLOSED),
        (Quit(), State.USER_GIVEN, b"+OK", State.CLOSED),
        (Quit(), State.TRANSACTION, b"+OK", State.CLOSED),
        (Quit(), State.TRANSACTION, b"-ERR", State.CLOSED),
        (Stat(), State.TRANSACTION, b"-ERR", State.TRANSACTION),
    ],
)
def test_states_after_answers(command, state, reply, after):
    connection = after_sending(command, state=state)
    assert connection.state is state
    connection.receive_data(reply + b"\r\n")
    assert connection.next_event().command == command
    assert connection.state is after


@pytest.mark.parametrize("reply, utf8", [(b"+OK", True), (b"-ERR", False)])
def test_utf8_mode(reply, utf8):
    connection = after_sending(Utf8(), state=State.AUTHORIZATION)
    assert not connection.utf8
    connection.receive_data(reply + b"\r\n")
    connection.next_event()
    assert connection.utf8 is utf8
    assert connection.can_send(Stls()) is not utf8
    if utf8:
        assert refusal(connection, Stls()) == "STLS is not legal because the session is in UTF-8 mode"


# ----------------------------------------------------------------------------------------------- send


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("state", State)
def test_can_send_agrees_with_send_in_every_state(state, tls):
    if tls and state is State.TLS_HANDSHAKE:
        return
    sent = set()
    for item in REQUESTS:
        connection = client_in(state, tls=tls)
        can_send = connection.can_send(item)
        if can_send:
            assert connection.send(item) == item.encode()
            sent.add(type(item))
        else:
            assert refusal(connection, item)
    anywhere = {"Capa", "Lang", "LangList", "Quit"}
    assert {item.__name__ for item in sent} == {
        State.GREETING: set(),
        State.AUTHORIZATION: anywhere | {"User", "Apop", "Auth", "AuthList", "Utf8"} | ({"Stls"} if not tls else set()),
        State.USER_GIVEN: {"User", "Pass", "Quit"},
        State.SASL: {"AuthResponse", "AuthCancel"},
        State.TLS_HANDSHAKE: set(),
        State.TRANSACTION: anywhere
        | {"Stat", "List", "ListOne", "Uidl", "UidlOne", "Retr", "Top", "Dele", "Noop", "Rset"},
        State.UPDATE: set(),
        State.CLOSED: set(),
    }[state]


def test_a_command_line_has_a_limit():
    connection = client_in(State.AUTHORIZATION)
    assert refusal(connection, User("x" * 249)) == "the USER line has 256 octets; the limit is 255"
    assert len(connection.send(User("x" * 248))) == 255


def test_a_long_initial_response_is_refused_and_the_same_as_a_response_is_sent():
    token = b"x" * 3000
    connection = client_in(State.AUTHORIZATION)
    assert refusal(connection, Auth("XOAUTH2", token)) == "the AUTH line has 4015 octets; the limit is 255"
    connection.send(Auth("XOAUTH2"))
    assert take(connection, b"+ \r\n") == [Challenge(), PAUSED]
    assert len(connection.send(AuthResponse(token))) == 4002


def test_a_response_has_a_limit_of_its_own():
    connection = client_in(State.SASL, limits=Limits(sasl_line=42))
    assert refusal(connection, AuthResponse(b"x" * 31)) == "the SASL response line has 46 octets; the limit is 42"
    assert len(connection.send(AuthResponse(b"x" * 30))) == 42


def test_nothing_is_sent_while_something_unasked_waits():
    connection = logged_in()
    connection.receive_data(b"-ER")
    assert refusal(connection, Stat()) == "unsolicited data received; call next_event() first"
    connection.receive_data(b"R bye\r\n")
    assert take(connection) == [Farewell(Err("bye")), NEED_DATA]


def test_nothing_is_sent_behind_end_of_stream():
    connection = after_sending(Stat())
    connection.receive_data(b"+OK 2 320\r\n")
    connection.receive_data(b"")
    assert refusal(connection, Noop()) == "the server has closed the connection"
    assert take(connection) == [Answer(Stat(), Ok("2 320")), ConnectionClosed(), ConnectionClosed()]


# ------------------------------------------------------------------------------------------------ SASL


@pytest.mark.parametrize("line, challenge", [(b"+ ", Challenge()), (b"+", Challenge()), (b"+ YWJj", Challenge(b"abc"))])
def test_a_challenge_pauses_until_it_is_answered(line, challenge):
    for chunks in in_pieces(line + b"\r\n"):
        connection = after_sending(Auth("PLAIN"), state=State.AUTHORIZATION)
        assert take(connection, *chunks) == [challenge, PAUSED]
        assert (connection.state, connection.outstanding) == (State.SASL, (Auth("PLAIN"),))
        assert refusal(connection, Noop()) == "a challenge is waiting for its response: send AuthResponse or AuthCancel"
        assert connection.send(AuthResponse(b"abc")) == b"YWJj\r\n"
        assert refusal(connection, AuthResponse(b"abc")) == "no challenge is waiting for a response"
        assert take(connection, b"+ ZA==\r\n") == [Challenge(b"d"), PAUSED]
        assert connection.send(AuthResponse()) == b"\r\n"
        assert take(connection, b"+OK\r\n") == [Answer(Auth("PLAIN"), Ok()), NEED_DATA]
        assert connection.state is State.TRANSACTION


def test_a_refused_exchange_leaves_authorization():
    connection = client_in(State.SASL)
    connection.send(AuthResponse(b"wrong"))
    assert take(connection, b"-ERR [AUTH] no\r\n") == [Answer(Auth("PLAIN"), Err("[AUTH] no")), NEED_DATA]
    assert connection.state is State.AUTHORIZATION
    assert connection.can_send(Auth("PLAIN"))


def test_a_cancelled_exchange():
    connection = client_in(State.SASL)
    assert connection.send(AuthCancel()) == b"*\r\n"
    assert take(connection, b"-ERR cancelled\r\n") == [Answer(Auth("PLAIN"), Err("cancelled")), NEED_DATA]
    connection.send(Auth("PLAIN", b"\0ann\0x"))
    assert take(connection, b"+ \r\n") == [Challenge(), PAUSED]
    connection.send(AuthResponse())
    assert take(connection, b"+OK\r\n") == [Answer(Auth("PLAIN", b"\0ann\0x"), Ok()), NEED_DATA]


def test_a_cancelled_exchange_can_only_fail():
    connection = client_in(State.SASL)
    connection.send(AuthCancel())
    message = "the server answered +OK to AUTH PLAIN after the client cancelled it"
    assert broken(connection, b"+OK welcome\r\n") == message
    connection = client_in(State.SASL)
    connection.send(AuthCancel())
    assert broken(connection, b"+ \r\n") == "the server sent a challenge instead of an answer to AUTH PLAIN"


@pytest.mark.parametrize("line", [b"+ not base64", b"+ YQ", b"+ YQ==YQ==", b"+  YQ==", b"+ Y Q=="])
def test_a_challenge_that_is_not_base64(line):
    """RFC 5034 section 4: the client cancels, reads the refusal, and the session goes on."""
    for chunks in in_pieces(line + b"\r\n"):
        connection = after_sending(Auth("PLAIN"), state=State.AUTHORIZATION)
        assert take(connection, *chunks) == [BadChallenge(line[2:]), PAUSED]
        assert connection.state is State.SASL
        assert refusal(connection, AuthResponse(b"secret")) == "the challenge is not valid base64: send AuthCancel"
        assert refusal(connection, Capa()) == (
            "a challenge is waiting for its response: send AuthResponse or AuthCancel"
        )
        assert connection.send(AuthCancel()) == b"*\r\n"
        assert take(connection, b"-ERR cancelled\r\n") == [Answer(Auth("PLAIN"), Err("cancelled")), NEED_DATA]
        assert connection.send(Auth("LOGIN")) == b"AUTH LOGIN\r\n"
        assert take(connection, b"+ \r\n") == [Challenge(b""), PAUSED]
        assert connection.send(AuthResponse(b"")) == b"\r\n"


def test_ok_in_place_of_a_challenge_is_an_answer_and_no_secret_follows_it():
    connection = after_sending(Auth("PLAIN"), state=State.AUTHORIZATION)
    assert take(connection, b"+OK\r\n") == [Answer(Auth("PLAIN"), Ok()), NEED_DATA]
    assert refusal(connection, AuthResponse(b"secret")) == "no challenge is waiting for a response"


def test_ok_may_be_the_first_challenge():
    quirks = {Quirk.OK_AS_CHALLENGE}
    for text, data in ((b"", b""), (b" go on", b""), (b" YQ==", b"a")):
        connection = after_sending(Auth("PLAIN"), state=State.AUTHORIZATION, quirks=quirks)
        tolerated = [Tolerated(Quirk.OK_AS_CHALLENGE), Challenge(data), PAUSED]
        assert take(connection, b"+OK" + text + b"\r\n") == tolerated
        assert connection.state is State.SASL
        connection.send(AuthResponse(b"secret"))
        assert take(connection, b"+OK\r\n") == [Answer(Auth("PLAIN"), Ok()), NEED_DATA]


@pytest.mark.parametrize("command", [Auth("PLAIN", b""), Auth("PLAIN", b"x"), Stat()])
def test_any_other_ok_is_an_answer(command):
    state = State.TRANSACTION if command == Stat() else State.AUTHORIZATION
    connection = after_sending(command, state=state, quirks={Quirk.OK_AS_CHALLENGE})
    assert take(connection, b"+OK\r\n") == [Answer(command, Ok()), NEED_DATA]


def test_a_response_may_be_sent_before_the_challenge_that_is_tolerated_was_taken():
    connection = after_sending(Auth("PLAIN"), state=State.AUTHORIZATION, quirks={Quirk.UNENCODED_CHALLENGE})
    connection.receive_data(b"+ go on\r\n")
    assert connection.next_event() == Tolerated(Quirk.UNENCODED_CHALLENGE)
    connection.send(AuthResponse())
    assert take(connection, b"-ERR\r\n") == [Answer(Auth("PLAIN"), Err()), NEED_DATA]


def test_a_challenge_may_be_text():
    connection = after_sending(Auth("PLAIN"), state=State.AUTHORIZATION, quirks={Quirk.UNENCODED_CHALLENGE})
    assert take(connection, b"+ go on\r\n") == [Tolerated(Quirk.UNENCODED_CHALLENGE), Challenge(), PAUSED]
    assert take(connection) == [PAUSED]


def test_a_stray_dot_may_be_skipped():
    connection = logged_in(quirks={Quirk.STRAY_DOT})
    assert take(connection, b".\r\n") == [Tolerated(Quirk.STRAY_DOT), NEED_DATA]
    connection.send(ListOne(1))
    skipped = [Tolerated(Quirk.STRAY_DOT), Answer(ListOne(1), Ok("1 2")), NEED_DATA]
    assert take(connection, b".\r\n+OK 1 2\r\n") == skipped
    assert broken(logged_in(), b".\r\n") == "the server sent '.' although no command was outstanding"
    assert broken(ClientConnection(quirks={Quirk.STRAY_DOT}), b".\r\n") == "the server sent '.' instead of a greeting"


def test_a_dot_behind_a_body_is_never_stray():
    connection = after_sending(List(), quirks={Quirk.STRAY_DOT})
    assert len(take(connection, b"+OK\r\n.\r\n")) == 3
    assert "may have ended early" in broken(connection, b".\r\n")


def test_lf_may_end_lines():
    for chunks in in_pieces(b"+OK\na\n..b\n.\n+OK\n"):
        connection = after_sending(Retr(1), Noop(), quirks={Quirk.BARE_LF})
        events = take(connection, *chunks)
        assert events[:2] == [Tolerated(Quirk.BARE_LF), Answer(Retr(1), Ok())]
        assert b"".join(event.data for event in events[2:-3]) == b"a\r\n.b\r\n"
        assert events[-3:] == [BodyEnd(), Answer(Noop(), Ok()), NEED_DATA]


@pytest.mark.parametrize("quirks", ["lenient", ["bare_lf"], {1}])
def test_quirks_are_a_set_of_quirk(quirks):
    with pytest.raises(TypeError, match=r"^quirks takes a set of Quirk, such as PROFILES\[\"lenient\"\]; quirks_named"):
        ClientConnection(quirks=quirks)


def test_limits_are_limits():
    with pytest.raises(TypeError, match=r"^limits takes a Limits, such as Limits\(body=1_000_000\), not 3$"):
        ClientConnection(limits=3)


def test_a_challenge_may_be_as_long_as_a_sasl_line():
    limits = Limits(command_line=80, sasl_line=90, reply_line=80)
    for octets in (b"+ " + b"A" * 84 + b"\r\n", b"+OK " + b"x" * 84 + b"\r\n"):
        for chunks in in_pieces(octets):
            assert len(take(after_sending(Auth("X"), state=State.AUTHORIZATION, limits=limits), *chunks)) == 2
            assert broken(after_sending(Capa(), state=State.AUTHORIZATION, limits=limits), *chunks) == (
                "the server sent a line longer than 80 octets"
            )
    for chunks in in_pieces(b"+ " + b"A" * 88 + b"\r\n"):
        assert broken(after_sending(Auth("X"), state=State.AUTHORIZATION, limits=limits), *chunks) == (
            "the server sent a line longer than 90 octets"
        )


def test_the_reply_limit_holds_for_auth_where_it_is_the_larger_one():
    limits = Limits(command_line=80, sasl_line=80, reply_line=90)
    connection = after_sending(Auth("X"), state=State.AUTHORIZATION, limits=limits)
    assert take(connection, b"+OK " + b"x" * 84 + b"\r\n") == [Answer(Auth("X"), Ok("x" * 84)), NEED_DATA]


def test_end_of_stream_in_an_exchange():
    connection = client_in(State.SASL)
    connection.receive_data(b"")
    assert connection.next_event() is PAUSED
    connection.send(AuthResponse(b"x"))
    assert lost(connection) == "the server closed the connection before answering AUTH PLAIN"


# ------------------------------------------------------------------------------------------------- TLS

BEHIND = "the server sent data after its answer to STLS, before the TLS handshake"


def test_stls():
    connection = after_sending(Stls(), state=State.AUTHORIZATION)
    assert take(connection, b"+OK begin\r\n") == [Answer(Stls(), Ok("begin")), PAUSED]
    assert (connection.state, connection.tls) == (State.TLS_HANDSHAKE, False)
    assert refusal(connection, Capa()) == "CAPA is not legal before the TLS handshake is complete"
    connection.tls_established()
    assert (connection.state, connection.tls) == (State.AUTHORIZATION, True)
    assert connection.next_event() is NEED_DATA
    assert refusal(connection, Stls()) == "STLS is not legal because TLS is already active"
    assert connection.send(Capa()) == b"CAPA\r\n"


@pytest.mark.parametrize("method", ["next_event", "send", "tls_established"])
@pytest.mark.parametrize("behind", [b"+OK injected\r\n", b"\r\n", b"x", b"\x16\x03\x01"])
@pytest.mark.parametrize("same_chunk", [True, False])
def test_octets_behind_a_positive_answer_to_stls(method, behind, same_chunk):
    connection = after_sending(Stls(), state=State.AUTHORIZATION)
    connection.receive_data(b"+OK\r\n" + (behind if same_chunk else b""))
    assert connection.next_event() == Answer(Stls(), Ok())
    if not same_chunk:
        connection.receive_data(behind)
    arguments = {"next_event": (), "send": (Capa(),), "tls_established": ()}[method]
    assert not connection.can_send(Capa())
    with pytest.raises(RemoteProtocolError) as caught:
        getattr(connection, method)(*arguments)
    assert str(caught.value) == BEHIND
    assert not connection.tls
    assert broken(connection) == BEHIND
    with pytest.raises(LocalProtocolError, match=r"tls_established\(\) is only legal after a positive answer to STLS"):
        connection.tls_established()


def test_octets_behind_a_negative_answer_to_stls():
    connection = after_sending(Stls(), state=State.AUTHORIZATION)
    connection.receive_data(b"-ERR no\r\n+OK injected\r\n")
    assert connection.next_event() == Answer(Stls(), Err("no"))
    assert refusal(connection, User("ann")) == "unsolicited data received; call next_event() first"
    assert broken(connection) == "the server sent '+OK injected' although no command was outstanding"


@pytest.mark.parametrize("state", [state for state in State if state is not State.TLS_HANDSHAKE])
def test_no_handshake_is_due(state):
    connection = client_in(state)
    before = everything(connection)
    with pytest.raises(LocalProtocolError, match=r"tls_established\(\) is only legal after a positive answer to STLS"):
        connection.tls_established()
    assert everything(connection) == before


def test_end_of_stream_instead_of_a_handshake():
    connection = client_in(State.TLS_HANDSHAKE)
    connection.receive_data(b"")
    with pytest.raises(ConnectionLost, match=r"^the server closed the connection before the TLS handshake$"):
        connection.tls_established()
    with pytest.raises(ConnectionLost, match=r"^the server closed the connection before the TLS handshake$"):
        connection.next_event()
    assert connection.state is State.CLOSED


# ---------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize("reply, event", [(b"+OK bye", Ok("bye")), (b"-ERR some are left", Err("some are left"))])
def test_quit(reply, event):
    connection = after_sending(Noop(), Quit())
    assert take(connection, b"+OK\r\n" + reply + b"\r\n") == [Answer(Noop(), Ok()), Answer(Quit(), event), NEED_DATA]
    assert connection.state is State.CLOSED
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]
    assert refusal(connection, Noop()) == "the session is over: nothing can be sent"


def test_a_refused_login_and_end_of_stream():
    connection = after_sending(Pass("x"), state=State.USER_GIVEN)
    assert take(connection, b"-ERR [AUTH] no\r\n", b"") == [
        Answer(Pass("x"), Err("[AUTH] no")),
        ConnectionClosed(),
        ConnectionClosed(),
    ]


@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION])
def test_a_farewell_while_nothing_is_outstanding(state):
    connection = client_in(state)
    assert take(connection, b"-ERR Disconnected for inactivity\r\n") == [
        Farewell(Err("Disconnected for inactivity")),
        NEED_DATA,
    ]
    assert connection.state is State.CLOSED
    assert refusal(connection, Quit()) == "the session is over: nothing can be sent"
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]


def ended_by_greeting():
    connection = ClientConnection()
    assert take(connection, b"-ERR\r\n") == [Greeting(Err()), NEED_DATA]
    return connection


def ended_by_farewell():
    connection = logged_in()
    assert take(connection, b"-ERR\r\n") == [Farewell(Err()), NEED_DATA]
    return connection


@pytest.mark.parametrize("make", [ended_by_greeting, ended_by_farewell, lambda: client_in(State.CLOSED)])
def test_only_end_of_stream_may_follow_the_end_of_a_session(make):
    assert broken(make(), b"+") == "the server sent data after the end of the session"
    connection = make()
    connection.receive_data(b"")
    with pytest.raises(LocalProtocolError, match="data received after end of stream"):
        connection.receive_data(b"x")


@pytest.mark.parametrize(
    "line, message",
    [
        (b"+OK", "the server sent '+OK' although no command was outstanding"),
        (b"nonsense", "the server sent 'nonsense' although no command was outstanding"),
        (b"+ ", "the server sent '+ ' although no command was outstanding"),
    ],
)
@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION])
def test_what_comes_unasked(state, line, message):
    assert broken(client_in(state), line + b"\r\n") == message


@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION])
def test_end_of_stream_while_nothing_is_due(state):
    connection = client_in(state)
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]
    assert connection.state is State.CLOSED
    assert lost(client_in(state), b"-ERR by") == "the server closed the connection in the middle of a line"


@pytest.mark.parametrize("partial", [(), (b"+OK 2",)])
def test_end_of_stream_before_an_answer(partial):
    assert lost(after_sending(Retr(7), Noop()), *partial) == "the server closed the connection before answering RETR 7"
    assert lost(after_sending(Capa(), state=State.AUTHORIZATION), *partial) == (
        "the server closed the connection before answering CAPA"
    )
    assert lost(after_sending(Pass("x"), state=State.USER_GIVEN), *partial) == (
        "the server closed the connection before answering PASS ***"
    )
    assert lost(after_sending(Stls(), state=State.AUTHORIZATION), *partial) == (
        "the server closed the connection before answering STLS"
    )


UNCERTAIN = "; deletions may or may not have happened"


@pytest.mark.parametrize(
    "items, octets, message",
    [
        ([Quit()], b"", "before answering QUIT"),
        ([Quit()], b"+OK by", "before answering QUIT"),
        ([Retr(7), Quit()], b"", "before answering RETR 7"),
        ([Retr(7), Quit()], b"+OK\r\ntext\r\n", "in the middle of the body of RETR 7"),
    ],
)
def test_end_of_stream_before_quit_is_answered(items, octets, message):
    connection = after_sending(*items)
    if octets:
        connection.receive_data(octets)
        list(connection.events())
    error = failure(connection, b"")
    assert type(error) is UncertainUpdate
    assert str(error) == f"the server closed the connection {message}{UNCERTAIN}"
    assert connection.outstanding == tuple(items)


def test_end_of_stream_before_a_quit_that_deletes_nothing_is_answered():
    assert lost(after_sending(Quit(), state=State.AUTHORIZATION)) == (
        "the server closed the connection before answering QUIT"
    )


def in_a_body():
    connection = after_sending(Retr(1))
    connection.receive_data(b"+OK\r\nte")
    assert list(connection.events()) == [Answer(Retr(1), Ok()), BodyChunk(b"te")]
    connection.receive_data(b"xt")
    return connection


@pytest.mark.parametrize("make", [*[lambda state=state: client_in(state) for state in State], in_a_body])
def test_fail_ends_the_session_wherever_it_is(make):
    connection = make()
    outstanding = connection.outstanding
    connection.fail("a write was cut off")
    assert connection.state is State.CLOSED
    assert connection.outstanding == outstanding
    assert take(connection) == [ConnectionClosed(), ConnectionClosed()]
    for item in REQUESTS:
        assert refusal(connection, item) == "the session is over: a write was cut off"
    assert take(connection, b"+OK\r\n") == [ConnectionClosed(), ConnectionClosed()]


def test_fail_does_not_hide_what_the_server_did():
    connection = logged_in()
    message = broken(connection, b"+OK\r\n")
    connection.fail("gave up")
    with pytest.raises(RemoteProtocolError) as caught:
        connection.next_event()
    assert str(caught.value) == message


# --------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "make, octets, awaited",
    [
        (
            ClientConnection,
            b"",
            "the greeting; if TLS begins at once on this port, the server waits, too: use implicit TLS",
        ),
        (
            lambda: ClientConnection(tls=True),
            b"",
            "the greeting; if HTTP is spoken on this port, the server waits, too: use another port",
        ),
        (ClientConnection, b"+OK", "the greeting; it has sent '+OK' without CRLF"),
        (
            ClientConnection,
            b"+OK\n",
            f"the greeting; it has sent '+OK\\n' without CRLF{BARE}",
        ),
        (ClientConnection, b"\x15\x03\x01", f"the greeting ({TLS_ALERT}); it has sent '\\x15\\x03\\x01' without CRLF"),
        (lambda: after_sending(Stat(), Noop()), b"", "the answer to STAT"),
        (lambda: after_sending(Pass("secret"), state=State.USER_GIVEN), b"", "the answer to PASS ***"),
        (lambda: after_sending(Retr(1)), b"+OK\r\nx\n.", "the rest of the body of RETR 1"),
        (logged_in, b"-ERR", "the rest of a line; it has sent '-ERR' without CRLF"),
    ],
)
def test_what_is_awaited(make, octets, awaited):
    connection = make()
    if octets:
        take(connection, octets)
    assert connection.awaited == awaited


def test_a_reply_line_has_a_limit_whatever_the_cut():
    limits = Limits(command_line=80, sasl_line=80, reply_line=80)
    for length in (79, 80):
        reply = Ok("x" * (length - 6))
        for chunks in in_pieces(reply.encode()):
            assert take(after_sending(Stat(), limits=limits), *chunks) == [Answer(Stat(), reply), NEED_DATA]
    for chunks in in_pieces(Ok("x" * 75).encode()):
        assert broken(after_sending(Stat(), limits=limits), *chunks) == "the server sent a line longer than 80 octets"


def test_what_waits_has_a_limit():
    limits = Limits(command_line=80, sasl_line=80, reply_line=80, buffered=100)
    connection = after_sending(Retr(1), limits=limits)
    connection.receive_data(b"x" * 99)
    connection.receive_data(b"x")
    connection.receive_data(b"y" * 1000)
    before = everything(connection)
    with pytest.raises(LocalProtocolError) as caught:
        connection.receive_data(b"z")
    assert str(caught.value) == "1100 octets are buffered already; call next_event() before receiving more"
    assert everything(connection) == before


def test_feeding_on_need_data_never_meets_that_limit():
    limits = Limits(command_line=80, sasl_line=80, reply_line=80, buffered=80)
    connection = after_sending(*[Retr(number) for number in range(1, 9)], limits=limits)
    octets = (b"+OK\r\n" + b"text " * 999 + b"\r\n.\r\n") * 8
    ends = 0
    for start in range(0, len(octets), 777):
        while (event := connection.next_event()) is not NEED_DATA:
            ends += event == BodyEnd()
        connection.receive_data(octets[start : start + 777])
    assert take(connection)[-2:] == [BodyEnd(), NEED_DATA]
    assert ends == 7


def test_consumed_octets_leave_memory_even_if_no_chunk_ends_with_an_answer():
    connection = after_sending(*[Noop()] * 300)
    connection.receive_data(b"+O")
    for _ in range(300):
        connection.receive_data(b"K\r\n+O")
        assert connection.next_event() == Answer(Noop(), Ok())
        assert len(connection._buffer._data) < 10


# ------------------------------------------------------------------------- what is not in the vocabulary


@pytest.mark.parametrize("item", ["NOOP\r\n", b"NOOP\r\n", Ok("x"), None])
def test_only_commands_and_responses_are_sent(item):
    connection = client_in(State.SASL)
    before = everything(connection)
    for attempt in (connection.send, connection.can_send):
        with pytest.raises(
            TypeError, match=rf"^send\(\) takes a Command, AuthResponse or AuthCancel, not {type(item).__name__}$"
        ):
            attempt(item)
    assert everything(connection) == before


class Xquit(PlainCommand):
    """A verb that removes what is deleted, as QUIT does, under another name."""

    verb = "XQUI"
    legal_in = frozenset({State.TRANSACTION})
    on_receipt = State.UPDATE


def test_an_update_is_uncertain_whatever_the_verb():
    connection = after_sending(Xquit())
    connection.receive_data(b"")
    with pytest.raises(UncertainUpdate):
        connection.next_event()


def test_stls_waits_for_what_is_before_it():
    # Its answer could otherwise have come before it was sent, from somebody who writes into a stream in clear.
    connection = after_sending(Capa(), state=State.AUTHORIZATION)
    assert refusal(connection, Stls()) == "STLS cannot be sent until all other commands are answered"
    assert take(connection, b"-ERR\r\n") == [Answer(Capa(), Err()), NEED_DATA]
    assert connection.send(Stls()) == b"STLS\r\n"


def test_refusals_that_change_nothing_do_not_judge_what_is_outstanding_again(monkeypatch):
    connection = after_sending(*[Dele(number) for number in range(1, 101)])
    judged = []
    after = SessionState.after
    monkeypatch.setattr(SessionState, "after", lambda *arguments: judged.append(arguments) or after(*arguments))
    assert len(take(connection, b"-ERR\r\n" * 100)) == 101
    assert len(judged) <= 200  # linear: two for each answer
