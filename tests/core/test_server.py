"""The server's connection: every state, every branch, and what real clients do."""

import attrs
import pytest
from typing_extensions import override

from pop3proto.core.commands import (
    STANDARD,
    Apop,
    Auth,
    AuthList,
    Capa,
    Command,
    Dele,
    List,
    Noop,
    Pass,
    PlainCommand,
    Quit,
    Retr,
    Stat,
    Stls,
    User,
    Utf8,
)
from pop3proto.core.errors import LocalProtocolError, RemoteProtocolError
from pop3proto.core.events import (
    NEED_DATA,
    PAUSED,
    AuthCancel,
    AuthResponse,
    BadCommand,
    BodyChunk,
    BodyEnd,
    ConnectionClosed,
    Tolerated,
)
from pop3proto.core.limits import Limits, Quirk
from pop3proto.core.replies import Challenge, Err, Greeting, Ok, ResponseCode
from pop3proto.core.server import ServerConnection
from pop3proto.core.session_state import SessionState
from pop3proto.core.states import State
from tests.helpers.sessions import ONE_OF_EACH, everything, in_pieces, server_in, take

RESPONSES = (Greeting(Ok()), Ok(), Err(), Challenge(), BodyChunk(b"x"), BodyEnd())
"""One of each thing that a server may send."""


def bad(line, reason):
    return BadCommand(line, reason, Err(reason))


def asked(line, *, state=State.TRANSACTION, **arguments):
    """A connection with an event that waits for its answer, and the event."""
    connection = server_in(state, **arguments)
    connection.receive_data(line + b"\r\n")
    event = connection.next_event()
    assert connection.next_event() is PAUSED
    return connection, event


def refusal(connection, item):
    """Why an item cannot be sent, after it was seen that the attempt changes nothing."""
    before = everything(connection)
    with pytest.raises(LocalProtocolError) as caught:
        connection.send(item)
    assert everything(connection) == before
    return str(caught.value)


def serve(chunks, *, state=State.TRANSACTION, **arguments):
    """The events of a client that sends all of this; everything is answered in the shortest way."""
    connection = server_in(state, **arguments)
    seen = []
    for chunk in [*chunks, b""]:
        connection.receive_data(chunk)
        while (event := connection.next_event()) not in (NEED_DATA, PAUSED):
            seen.append(event)
            if event == ConnectionClosed():
                return seen
            connection.send(event.reply if isinstance(event, BadCommand) else Err())
        if event is PAUSED:
            return [*seen, PAUSED]
    raise AssertionError("end of stream was not reported")


# ----------------------------------------------------------------------------------------- beginnings


def test_a_new_connection_waits_for_its_greeting():
    connection = ServerConnection()
    assert (connection.state, connection.tls, connection.utf8, connection.current, connection.body_octets) == (
        State.GREETING,
        False,
        False,
        None,
        0,
    )
    assert connection.next_event() is PAUSED
    assert ServerConnection(tls=True).tls


def test_it_keeps_what_it_was_made_with():
    limits = Limits(command_line=512)
    connection = ServerConnection(limits=limits, quirks={Quirk.BARE_LF})
    assert (connection.limits, connection.quirks) == (limits, frozenset({Quirk.BARE_LF}))


@pytest.mark.parametrize(
    "greeting, octets",
    [
        (Greeting(Ok()), b"+OK\r\n"),
        (Greeting(Ok("ready <1896.697170952@dbc.mtview.ca.us>")), b"+OK ready <1896.697170952@dbc.mtview.ca.us>\r\n"),
    ],
)
def test_a_greeting(greeting, octets):
    connection = ServerConnection()
    assert connection.send(greeting) == octets
    assert connection.state is State.AUTHORIZATION
    assert connection.next_event() is NEED_DATA
    assert refusal(connection, greeting) == "the greeting was already sent"


def test_a_greeting_that_refuses_the_session():
    connection = ServerConnection()
    assert connection.send(Greeting(Err("too busy"))) == b"-ERR too busy\r\n"
    assert connection.state is State.CLOSED
    assert take(connection, b"QUIT\r\n") == [PAUSED]
    assert refusal(connection, Ok()) == "the session is over: nothing can be sent"


@pytest.mark.parametrize("text", ["<", "a < b", "<no at>", "<a@b> <c@d>", "< <a@b>"])
def test_a_greeting_whose_timestamp_could_be_misread(text):
    message = "a greeting must not contain '<', except at the start of a timestamp"
    assert refusal(ServerConnection(), Greeting(Ok(text))) == message
    assert refusal(ServerConnection(), Greeting(Err(text))) == message


def test_what_a_client_says_before_the_greeting_waits():
    connection = ServerConnection()
    assert take(connection, b"CAPA\r\n", b"") == [PAUSED]
    assert refusal(connection, Ok()) == "Ok answers nothing: call next_event() first"
    connection.send(Greeting(Ok()))
    assert connection.next_event() == Capa()


# ------------------------------------------------------------------------------------ what clients ask


@pytest.mark.parametrize("command", [*ONE_OF_EACH, Auth("PLAIN", b""), Auth("PLAIN", b"\0a\0b")])
def test_every_command_arrives_whatever_the_cut_and_pauses(command):
    [state] = [
        state for state in (State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION) if state in command.legal_in
    ][:1]
    for chunks in in_pieces(command.encode()):
        connection = server_in(state)
        assert connection.current is None
        assert take(connection, *chunks) == [command, PAUSED]
        assert connection.current == command


@pytest.mark.parametrize(
    "line, state, event",
    [
        (b"stat", State.TRANSACTION, Stat()),
        (b"sTaT", State.TRANSACTION, Stat()),
        (b"STAT   ", State.TRANSACTION, Stat()),
        (b"RETR 1  ", State.TRANSACTION, Retr(1)),
        (b"RETR 007", State.TRANSACTION, Retr(7)),
        (b"AUTH", State.AUTHORIZATION, AuthList()),
        (b"AUTH ", State.AUTHORIZATION, AuthList()),
        (b"auth plain =", State.AUTHORIZATION, Auth("PLAIN", b"")),
        (b"PASS  a  b ", State.USER_GIVEN, Pass(" a  b ")),
        (b"PASS caf\xc3\xa9", State.USER_GIVEN, Pass("caf\N{LATIN SMALL LETTER E WITH ACUTE}")),
        (b"USER john doe", State.AUTHORIZATION, User("john doe")),
        (b"APOP john doe " + b"0" * 32, State.AUTHORIZATION, Apop("john doe", "0" * 32)),
        (b"CAPA", State.AUTHORIZATION, Capa()),
        (b"CAPA", State.TRANSACTION, Capa()),
    ],
)
def test_forms_that_are_taken(line, state, event):
    assert asked(line, state=state)[1] == event


@pytest.mark.parametrize(
    "line, reason",
    [
        (b"", "unknown command"),
        (b" STAT", "unknown command"),
        (b"STAT\t", "unknown command"),
        (b"XTND XMIT", "unknown command"),
        (b"GET / HTTP/1.1", "unknown command"),
        (b"\x16\x03\x01\xff", "unknown command"),
        (b"\0", "a command must not contain CR, LF or NUL"),
        (b"NOOP\r", "a command must not contain CR, LF or NUL"),
        (b"STAT x", "STAT takes no arguments"),
        (b"CAPA x", "CAPA takes no arguments"),
        (b"QUIT x", "QUIT takes no arguments"),
        (b"STLS x", "STLS takes no arguments"),
        (b"RETR", "RETR needs an argument"),
        (b"RETR ", "RETR needs an argument"),
        (b"RETR 1 2", "RETR needs a number"),
        (b"RETR -1", "RETR needs a number"),
        (b"RETR +1", "RETR needs a number"),
        (b"RETR 1abc", "RETR needs a number"),
        (b"RETR 0", "a message number must be at least 1 and have at most 20 digits"),
        (b"RETR 000", "a message number must be at least 1 and have at most 20 digits"),
        (b"RETR 1" + b"0" * 20, "RETR needs a number"),
        (b"TOP 1", "TOP needs a number"),
        (b"TOP 1 -1", "TOP needs a number"),
        (b"USER ann", "USER is not legal: already logged in"),
        (b"PASS tanstaaf", "PASS is not legal: already logged in"),
        (b"STLS", "STLS is not legal: already logged in"),
        (b"*", "unknown command"),
    ],
)
def test_bad_commands(line, reason):
    connection, event = asked(line)
    assert event == bad(line, reason)
    assert connection.current is None
    assert connection.send(event.reply) == f"-ERR {reason}\r\n".encode()
    assert (connection.state, connection.next_event()) == (State.TRANSACTION, NEED_DATA)


@pytest.mark.parametrize("line", [b"AUTH PLAIN not base64", b"AUTH PLAIN YQ", b"AUTH PLAIN YQ==YQ==", b"AUTH PLAIN  ="])
def test_an_initial_response_that_is_not_base64(line):
    _, event = asked(line, state=State.AUTHORIZATION)
    assert event == bad(line, "the initial response of AUTH is not valid base64")


@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION])
def test_legality_follows_the_state(state):
    judged = State.AUTHORIZATION if state is State.USER_GIVEN else state  # a server takes more than a client may send
    for command in ONE_OF_EACH:
        _, event = asked(command.encode().removesuffix(b"\r\n"), state=state)
        legal = state in command.legal_in or judged in command.legal_in
        reason = SessionState(judged).objection(command)
        assert event == (command if legal else bad(command.encode().removesuffix(b"\r\n"), reason))


def test_stls_is_not_legal_twice_nor_in_utf8_mode():
    assert asked(b"STLS", state=State.AUTHORIZATION, tls=True)[1] == bad(
        b"STLS", "STLS is not legal because TLS is already active"
    )
    connection, event = asked(b"UTF8", state=State.AUTHORIZATION)
    assert (event, connection.utf8) == (Utf8(), False)
    connection.send(Ok())
    assert connection.utf8
    reason = "STLS is not legal because the session is in UTF-8 mode"
    assert take(connection, b"STLS\r\n") == [bad(b"STLS", reason), PAUSED]


@pytest.mark.parametrize("pieces", in_pieces(b"NOOP\nSTAT\r\n"))
def test_a_bare_lf_is_answered_at_once(pieces):
    connection = server_in(State.TRANSACTION)
    refused = bad(b"NOOP", "a line must end with CRLF, not with LF alone")
    assert take(connection, *pieces[:5]) == [refused, PAUSED]
    connection.send(refused.reply)
    assert take(connection, *pieces[5:]) == [Stat(), PAUSED]


@pytest.mark.parametrize("pieces", in_pieces(b"NOOP\nSTAT\r\n"))
def test_a_bare_lf_may_end_a_line(pieces):
    connection = server_in(State.TRANSACTION, quirks={Quirk.BARE_LF})
    assert take(connection, *pieces) == [Tolerated(Quirk.BARE_LF), Noop(), PAUSED]
    connection.send(Ok())
    assert take(connection) == [Stat(), PAUSED]


@attrs.frozen
class XtndXmit(PlainCommand):
    verb = "XTND"
    takes_arguments = True
    legal_in = frozenset({State.TRANSACTION})

    @classmethod
    @override
    def from_arguments(cls, arguments):
        return cls()


def test_a_private_verb():
    _, event = asked(b"XTND XMIT", commands=STANDARD | {XtndXmit})
    assert event == XtndXmit()
    assert isinstance(event, Command)


# -------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "line, state, reply, after",
    [
        (b"USER ann", State.AUTHORIZATION, Ok(), State.USER_GIVEN),
        (b"USER ann", State.AUTHORIZATION, Err(), State.AUTHORIZATION),
        (b"USER ann", State.USER_GIVEN, Ok(), State.USER_GIVEN),
        (b"USER ann", State.USER_GIVEN, Err(), State.AUTHORIZATION),
        (b"PASS x", State.USER_GIVEN, Ok(), State.TRANSACTION),
        (b"PASS x", State.USER_GIVEN, Err(), State.AUTHORIZATION),
        (b"APOP ann " + b"0" * 32, State.AUTHORIZATION, Ok(), State.TRANSACTION),
        (b"APOP ann " + b"0" * 32, State.AUTHORIZATION, Err(), State.AUTHORIZATION),
        (b"AUTH PLAIN", State.AUTHORIZATION, Ok(), State.TRANSACTION),
        (b"AUTH PLAIN", State.AUTHORIZATION, Err(), State.AUTHORIZATION),
        (b"STLS", State.AUTHORIZATION, Ok(), State.TLS_HANDSHAKE),
        (b"STLS", State.AUTHORIZATION, Err(), State.AUTHORIZATION),
        (b"CAPA", State.AUTHORIZATION, Ok(), State.AUTHORIZATION),
        (b"DELE 1", State.TRANSACTION, Err("no such message"), State.TRANSACTION),
        (b"QUIT", State.AUTHORIZATION, Ok(), State.CLOSED),
        (b"QUIT", State.USER_GIVEN, Err(), State.CLOSED),
        (b"QUIT", State.TRANSACTION, Ok(), State.CLOSED),
        (b"QUIT", State.TRANSACTION, Err("some are left"), State.CLOSED),
        # PASS is legal directly after USER only: whatever comes between takes it back.
        (b"NOOP", State.USER_GIVEN, Err(), State.AUTHORIZATION),
        (b"nonsense", State.USER_GIVEN, Err(), State.AUTHORIZATION),
        (b"nonsense", State.AUTHORIZATION, Err(), State.AUTHORIZATION),
    ],
)
def test_states_after_answers(line, state, reply, after):
    connection, event = asked(line, state=state)
    between = State.UPDATE if event == Quit() and state is State.TRANSACTION else state
    assert connection.state is between
    assert connection.send(reply) == reply.encode()
    assert connection.state is after
    assert connection.current == (Capa() if (event, reply) == (Capa(), Ok()) else None)  # until its body has ended


@pytest.mark.parametrize("reply", [Ok(), Err()])
@pytest.mark.parametrize("line", [b"CAPA", b"AUTH", b"LANG", b"LANG en"])
def test_what_changes_nothing_may_stand_between_user_and_pass(line, reply):
    connection, _ = asked(line, state=State.USER_GIVEN)
    connection.send(reply)
    if connection.current is not None:
        connection.send(BodyEnd())
    assert connection.state is State.USER_GIVEN
    assert take(connection, b"PASS x\r\n") == [Pass("x"), PAUSED]


@pytest.mark.parametrize("line", [b"AUTH PLAIN", b"APOP ann " + b"0" * 32, b"STLS", b"UTF8"])
def test_another_way_to_log_in_forgets_the_name_from_user(line):
    connection, event = asked(line, state=State.USER_GIVEN)
    assert isinstance(event, Auth | Apop | Stls | Utf8)
    assert connection.state is State.AUTHORIZATION
    connection.send(Err("no"))
    assert take(connection, b"PASS x\r\n") == [bad(b"PASS x", "PASS is not legal yet; send USER first"), PAUSED]


def test_a_failed_password_cannot_be_tried_again_without_a_user():
    connection, _ = asked(b"PASS wrong", state=State.USER_GIVEN)
    connection.send(Err.coded(ResponseCode.AUTH, "no"))
    reason = "PASS is not legal yet; send USER first"
    assert take(connection, b"PASS right\r\n") == [bad(b"PASS right", reason), PAUSED]


def test_commands_that_are_pipelined_are_answered_in_order():
    octets = b"NOOP\r\nnonsense\r\nRETR 1\r\n" + b"DELE 1\r\n" * 50 + b"QUIT\r\nSTAT\r\n"
    for chunks in in_pieces(octets):
        connection = server_in(State.TRANSACTION)
        seen = []
        for chunk in [*chunks, b""]:
            connection.receive_data(chunk)
            for event in connection.events():
                seen.append(event)
                assert connection.next_event() is PAUSED or event == ConnectionClosed()
                if isinstance(event, BadCommand):
                    connection.send(event.reply)
                elif event != ConnectionClosed():
                    connection.send(Ok())
                    if event == Retr(1):
                        assert connection.next_event() is PAUSED
                        connection.send(BodyEnd())
        assert seen == [
            *(Noop(), bad(b"nonsense", "unknown command"), Retr(1)),
            *[Dele(1)] * 50,
            *(Quit(), ConnectionClosed()),
        ]


def test_the_answer_to_nothing():
    connection = server_in(State.TRANSACTION)
    assert refusal(connection, Ok()) == "Ok answers nothing: call next_event() first"
    assert refusal(connection, Err()) == "Err answers nothing: call next_event() first"
    assert refusal(connection, Challenge()) == "Challenge answers nothing: call next_event() first"
    assert refusal(connection, BodyChunk(b"x")) == "BodyChunk can only be sent after Ok to a multi-line command"
    assert refusal(connection, BodyEnd()) == "BodyEnd can only be sent after Ok to a multi-line command"
    assert refusal(connection, Greeting(Ok())) == "the greeting was already sent"


def test_a_bad_command_is_answered_with_err_alone():
    connection, event = asked(b"nonsense")
    message = "BadCommand and AuthCancel must be answered with Err"
    assert refusal(connection, Ok()) == message
    assert refusal(connection, Challenge()) == "a challenge can only answer AUTH or AuthResponse"
    assert connection.send(event.reply) == b"-ERR unknown command\r\n"


# --------------------------------------------------------------------------------------------- bodies


def test_a_body_is_stuffed_and_its_lines_end_with_crlf():
    connection, _ = asked(b"RETR 1")
    assert connection.send(Ok("follows")) == b"+OK follows\r\n"
    assert connection.body_octets == 0
    assert connection.send(BodyChunk(b".first\n\r")) == b"..first\r\n"
    assert connection.next_event() is PAUSED
    assert connection.send(BodyChunk(b"\n.last")) == b"\r\n..last"
    assert connection.body_octets == 15
    assert connection.current == Retr(1)
    assert connection.send(BodyEnd()) == b"\r\n.\r\n"
    assert (connection.body_octets, connection.current, connection.next_event()) == (17, None, NEED_DATA)


@pytest.mark.parametrize("command", [command for command in ONE_OF_EACH if command.multi_line])
def test_a_body_follows_a_positive_answer_only(command):
    [state] = [state for state in (State.AUTHORIZATION, State.TRANSACTION) if state in command.legal_in][-1:]
    connection, event = asked(command.encode().removesuffix(b"\r\n"), state=state)
    assert event == command
    connection.send(Err("no"))
    assert refusal(connection, BodyEnd()) == "BodyEnd can only be sent after Ok to a multi-line command"
    assert take(connection, command.encode()) == [command, PAUSED]
    assert refusal(connection, BodyEnd()) == "BodyEnd can only be sent after Ok to a multi-line command"
    connection.send(Ok())
    assert connection.send(BodyEnd()) == b".\r\n"
    assert refusal(connection, BodyEnd()) == "BodyEnd can only be sent after Ok to a multi-line command"


@pytest.mark.parametrize("item", [Ok(), Err(), Challenge()])
def test_a_body_must_end_before_anything_else(item):
    connection, _ = asked(b"RETR 1\r\nNOOP")
    connection.send(Ok())
    connection.send(BodyChunk(b"x"))
    message = f"{type(item).__name__} cannot be sent within a body; send BodyEnd first"
    assert refusal(connection, item) == message
    connection.send(BodyEnd())
    assert connection.next_event() == Noop()


def test_a_body_that_was_refused_leaves_no_trace():
    connection, _ = asked(b"TOP 1 0")
    connection.send(Ok())
    connection.send(BodyChunk(b"abc\r\n"))
    connection.send(BodyEnd())
    assert connection.body_octets == 5
    assert take(connection, b"LIST\r\n") == [List(), PAUSED]
    connection.send(Ok())
    assert connection.body_octets == 0


# ------------------------------------------------------------------------------------------------ SASL


def test_an_exchange():
    connection, event = asked(b"AUTH SCRAM-SHA-1 YWJj", state=State.AUTHORIZATION)
    assert event == Auth("SCRAM-SHA-1", b"abc")
    assert connection.send(Challenge(b"abc")) == b"+ YWJj\r\n"
    assert (connection.state, connection.current) == (State.SASL, event)
    assert refusal(connection, Ok()) == "Ok answers nothing: call next_event() first"
    assert take(connection, b"ZA=", b"=\r\n") == [AuthResponse(b"d"), PAUSED]
    assert connection.current == event
    assert connection.send(Challenge()) == b"+ \r\n"
    assert take(connection, b"\r\n") == [AuthResponse(b""), PAUSED]
    assert connection.send(Ok("welcome")) == b"+OK welcome\r\n"
    assert (connection.state, connection.current, connection.next_event()) == (State.TRANSACTION, None, NEED_DATA)


def test_responses_that_are_pipelined_wait_for_their_challenges():
    connection = server_in(State.AUTHORIZATION)
    assert take(connection, b"AUTH X\r\nYQ==\r\n*\r\nNOOP\r\n") == [Auth("X"), PAUSED]
    connection.send(Challenge())
    assert take(connection) == [AuthResponse(b"a"), PAUSED]
    connection.send(Challenge())
    assert take(connection) == [AuthCancel(), PAUSED]
    connection.send(Err())
    assert take(connection) == [bad(b"NOOP", "NOOP is not legal before login"), PAUSED]


def test_a_cancelled_exchange():
    connection = server_in(State.SASL)
    assert take(connection, b"*\r\n") == [AuthCancel(), PAUSED]
    assert connection.current == Auth("PLAIN")
    assert refusal(connection, Ok()) == "BadCommand and AuthCancel must be answered with Err"
    assert refusal(connection, Challenge()) == "a challenge can only answer AUTH or AuthResponse"
    assert connection.send(Err("cancelled")) == b"-ERR cancelled\r\n"
    assert connection.state is State.AUTHORIZATION
    assert take(connection, b"AUTH SCRAM-SHA-1\r\n") == [Auth("SCRAM-SHA-1"), PAUSED]


@pytest.mark.parametrize("line", [b"rubbish!", b"YQ", b"Y Q==", b"YQ==YQ==", b" ", b"=", b"**", b"\xff", b"\0"])
def test_a_response_that_is_not_base64_ends_the_exchange(line):
    connection = server_in(State.SASL)
    event = bad(line, "the response is not valid base64")
    assert take(connection, line + b"\r\n") == [event, PAUSED]
    assert refusal(connection, Ok()) == "BadCommand and AuthCancel must be answered with Err"
    connection.send(event.reply)
    assert (connection.state, connection.current, connection.next_event()) == (State.AUTHORIZATION, None, NEED_DATA)


def test_a_refused_exchange():
    connection = server_in(State.SASL)
    assert take(connection, b"YQ==\r\n") == [AuthResponse(b"a"), PAUSED]
    connection.send(Err("no"))
    assert connection.state is State.AUTHORIZATION


@pytest.mark.parametrize("line, state", [(b"APOP ann " + b"0" * 32, State.AUTHORIZATION), (b"STAT", State.TRANSACTION)])
def test_only_auth_has_challenges(line, state):
    assert refusal(asked(line, state=state)[0], Challenge()) == "a challenge can only answer AUTH or AuthResponse"


# ------------------------------------------------------------------------------------------------- TLS

BEHIND = "the client sent data after STLS, before the TLS handshake"


def test_stls():
    connection, event = asked(b"STLS", state=State.AUTHORIZATION)
    assert event == Stls()
    assert connection.send(Ok()) == b"+OK\r\n"
    assert (connection.state, connection.tls, connection.next_event()) == (State.TLS_HANDSHAKE, False, PAUSED)
    assert refusal(connection, Ok()) == "Ok answers nothing: call next_event() first"
    connection.tls_established()
    assert (connection.state, connection.tls, connection.next_event()) == (State.AUTHORIZATION, True, NEED_DATA)
    assert take(connection, b"CAPA\r\n") == [Capa(), PAUSED]


def assert_over(connection):
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            connection.next_event()
        assert str(caught.value) == BEHIND
    for item in RESPONSES:
        assert refusal(connection, item) == f"the session is over: {BEHIND}"
    with pytest.raises(LocalProtocolError, match=r"tls_established\(\) is only legal after a positive answer to STLS"):
        connection.tls_established()
    assert (connection.state, connection.tls) == (State.CLOSED, False)


@pytest.mark.parametrize("behind", [b"CAPA\r\n", b"N", b"\r\n", b"\x16\x03\x01"])
@pytest.mark.parametrize("same_chunk", [True, False])
@pytest.mark.parametrize(
    "ask",
    [
        lambda connection: connection.next_event(),
        *[lambda connection, item=item: connection.send(item) for item in RESPONSES],
    ],
)
def test_octets_behind_stls_before_it_is_answered(behind, same_chunk, ask):
    connection = server_in(State.AUTHORIZATION)
    connection.receive_data(b"STLS\r\n" + (behind if same_chunk else b""))
    assert connection.next_event() == Stls()
    if not same_chunk:
        connection.receive_data(behind)
    with pytest.raises(RemoteProtocolError) as caught:
        ask(connection)
    assert str(caught.value) == BEHIND
    assert_over(connection)


@pytest.mark.parametrize(
    "ask",
    [
        lambda connection: connection.next_event(),
        lambda connection: connection.send(Ok()),
        lambda connection: connection.tls_established(),
    ],
)
def test_octets_behind_stls_after_it_was_answered(ask):
    connection = server_in(State.TLS_HANDSHAKE)
    connection.receive_data(b"N")
    with pytest.raises(RemoteProtocolError) as caught:
        ask(connection)
    assert str(caught.value) == BEHIND
    assert_over(connection)


def test_octets_behind_a_refusal_of_stls_are_commands():
    connection, _ = asked(b"STLS", state=State.AUTHORIZATION)
    connection.send(Err("no certificate"))
    assert take(connection, b"CAPA\r\n") == [Capa(), PAUSED]


def test_octets_behind_an_stls_that_is_not_legal_are_commands():
    connection, event = asked(b"STLS\r\nNOOP")
    connection.send(event.reply)
    assert connection.next_event() == Noop()


@pytest.mark.parametrize("state", [state for state in State if state is not State.TLS_HANDSHAKE])
def test_no_handshake_is_due(state):
    connection = server_in(state)
    before = everything(connection)
    with pytest.raises(LocalProtocolError, match=r"tls_established\(\) is only legal after a positive answer to STLS"):
        connection.tls_established()
    assert everything(connection) == before


def test_end_of_stream_instead_of_a_handshake():
    connection = server_in(State.TLS_HANDSHAKE)
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]
    assert connection.state is State.CLOSED


# ---------------------------------------------------------------------------------------- how it ends


def test_quit():
    connection, event = asked(b"QUIT\r\nNOOP")
    assert (event, connection.state, connection.current) == (Quit(), State.UPDATE, Quit())
    connection.send(Ok("bye"))
    assert (connection.state, connection.next_event()) == (State.CLOSED, PAUSED)
    assert refusal(connection, Ok()) == "the session is over: nothing can be sent"
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]


@pytest.mark.parametrize("partial", [b"", b"QUIT", b"QUIT\r", b"x" * 20_000])
@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.USER_GIVEN, State.SASL, State.TRANSACTION])
def test_end_of_stream_without_quit(state, partial):
    connection = server_in(state)
    if partial:
        assert take(connection, partial) == [NEED_DATA]
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]
    assert connection.state is State.CLOSED
    assert refusal(connection, Ok()) == "the session is over: nothing can be sent"


def test_end_of_stream_is_reported_after_everything_before_it_is_answered():
    connection = server_in(State.TRANSACTION)
    assert take(connection, b"RETR 1\r\nSTAT\r\nNO", b"") == [Retr(1), PAUSED]
    assert connection.send(Ok()) == b"+OK\r\n"
    assert connection.send(BodyEnd()) == b".\r\n"
    assert take(connection) == [Stat(), PAUSED]
    assert connection.send(Ok("0 0")) == b"+OK 0 0\r\n"
    assert take(connection) == [ConnectionClosed(), ConnectionClosed()]
    with pytest.raises(LocalProtocolError, match="data received after end of stream"):
        connection.receive_data(b"x")


def with_due(line, state, *sent):
    def make():
        connection, _ = asked(line, state=state)
        for item in sent:
            connection.send(item)
        return connection

    return make


@pytest.mark.parametrize(
    "make",
    [
        *[lambda state=state: server_in(state) for state in State],
        with_due(b"STAT", State.TRANSACTION),
        with_due(b"RETR 1", State.TRANSACTION, Ok(), BodyChunk(b"x")),
        with_due(b"STLS", State.AUTHORIZATION),
        with_due(b"nonsense", State.AUTHORIZATION),
    ],
)
def test_fail_ends_the_session_wherever_it_is(make):
    connection = make()
    current = connection.current
    connection.fail("a write was cut off")
    assert (connection.state, connection.current) == (State.CLOSED, current)
    connection.receive_data(b"NOOP\r\n")
    assert take(connection) == [ConnectionClosed(), ConnectionClosed()]
    for item in RESPONSES:
        assert refusal(connection, item) == "the session is over: a write was cut off"


# --------------------------------------------------------------------------------------------- limits


def test_a_command_line_has_a_limit_whatever_the_cut():
    limits = Limits(command_line=40, sasl_line=60)
    for length in (39, 40):
        for chunks in in_pieces(b"NOOP".ljust(length - 2) + b"\r\nSTAT\r\n"):
            assert serve(chunks, limits=limits) == [Noop(), Stat(), ConnectionClosed()]
    for length in (41, 59, 60):
        line = b"NOOP".ljust(length - 2)
        for chunks in in_pieces(line + b"\r\nSTAT\r\n"):
            assert serve(chunks, limits=limits) == [bad(line, "the line is too long"), Stat(), ConnectionClosed()]
    for length in (61, 200):
        line = b"NOOP".ljust(length - 2)
        for chunks in in_pieces(line + b"\r\nSTAT\r\n"):
            start = (line + b"\r\n")[:60]
            assert serve(chunks, limits=limits) == [bad(start, "the line is too long"), Stat(), ConnectionClosed()]


@pytest.mark.parametrize("command_line, sasl_line", [(40, 60), (60, 60)])
def test_auth_lines_may_be_as_long_as_a_response(command_line, sasl_line):
    limits = Limits(command_line=command_line, sasl_line=sasl_line)
    for response in (b"x" * 36, b"x" * 35):
        line = Auth("PLAIN", response).encode()
        assert len(line) == 61
        for chunks in in_pieces(line):
            assert serve(chunks, state=State.AUTHORIZATION, limits=limits) == [
                bad(line[:60], "the line is too long"),
                ConnectionClosed(),
            ]
    for mechanism in ("ABCD", "ABC"):
        line = Auth(mechanism, b"x" * 36).encode().replace(b"AUTH", b"auth")
        assert len(line) in (60, 59)
        for chunks in in_pieces(line):
            assert serve(chunks, state=State.AUTHORIZATION, limits=limits) == [
                Auth(mechanism, b"x" * 36),
                ConnectionClosed(),
            ]


@pytest.mark.parametrize("limits", [Limits(command_line=20, sasl_line=42), Limits(command_line=99, sasl_line=42)])
def test_a_response_that_is_too_long_ends_the_session(limits):
    line = b"A" * 44 + b"\r\n"
    reason = "the line is too long"
    for chunks in in_pieces(line + b"QUIT\r\n"):
        connection = server_in(State.SASL, limits=limits)
        event = BadCommand(line[:42], reason, Err(f"{reason}; closing the connection"))
        assert take(connection, *chunks) == [event, PAUSED]
        assert connection.send(event.reply) == b"-ERR the line is too long; closing the connection\r\n"
        assert (connection.state, connection.next_event()) == (State.CLOSED, PAUSED)
    for chunks in in_pieces(b"A" * 40 + b"\r\n"):
        assert take(server_in(State.SASL, limits=limits), *chunks) == [AuthResponse(b"\0" * 30), PAUSED]


def test_a_line_that_is_too_long_is_skipped_in_constant_memory():
    connection = server_in(State.TRANSACTION)
    for _ in range(100):
        assert take(connection, b"x" * 10_000) == [NEED_DATA]
        assert len(connection._buffer) <= 12_288
    event = bad(b"x" * 12_288, "the line is too long")
    assert take(connection, b"x\r\nNOOP\r\n") == [event, PAUSED]
    connection.send(event.reply)
    assert take(connection) == [Noop(), PAUSED]


def test_a_line_that_is_too_long_counts_between_user_and_pass():
    connection = server_in(State.USER_GIVEN)
    [event, _] = take(connection, b"x" * 300 + b"\r\n")
    connection.send(event.reply)
    assert connection.state is State.AUTHORIZATION


LOGGED_IN = pytest.mark.parametrize(
    "state, limits",
    [
        (State.AUTHORIZATION, Limits(bad_commands=3, bad_commands_after_login=1)),
        (State.TRANSACTION, Limits(bad_commands=1, bad_commands_after_login=3)),
    ],
)


@LOGGED_IN
def test_the_session_ends_after_so_many_bad_commands_in_a_row(state, limits):
    connection = server_in(state, limits=limits)
    for line in (b"nonsense", b"x" * 300):
        [event, _] = take(connection, line + b"\r\n")
        assert event.reply == Err(event.reason)
        connection.send(event.reply)
    event = BadCommand(b"STAT x", "STAT takes no arguments", Err("STAT takes no arguments; closing the connection"))
    assert take(connection, b"STAT x\r\nQUIT\r\n") == [event, PAUSED]
    assert connection.state is state
    connection.send(event.reply)
    assert (connection.state, connection.next_event()) == (State.CLOSED, PAUSED)
    assert refusal(connection, Ok()) == "the session is over: nothing can be sent"
    assert take(connection, b"") == [ConnectionClosed(), ConnectionClosed()]


@LOGGED_IN
def test_a_good_command_forgives_the_bad_ones_before_it(state, limits):
    connection = server_in(state, limits=limits)
    for line in [b"nonsense", b"nonsense", b"CAPA"] * 5:
        [event, _] = take(connection, line + b"\r\n")
        assert event == (Capa() if line == b"CAPA" else bad(line, "unknown command"))
        connection.send(Err(event.reason if isinstance(event, BadCommand) else "no"))
    assert connection.state is state


@pytest.mark.parametrize("number", [1, 9, 10, 11])
def test_ten_bad_commands_end_the_session_by_default(number):
    events = serve([b"GET / HTTP/1.1\r\n" * number], state=State.AUTHORIZATION)
    plain = bad(b"GET / HTTP/1.1", "unknown command")
    last = BadCommand(b"GET / HTTP/1.1", "unknown command", Err("unknown command; closing the connection"))
    assert events == ([plain] * number + [ConnectionClosed()] if number < 10 else [plain] * 9 + [last, PAUSED])


def test_bad_responses_count_too():
    connection = server_in(State.SASL, limits=Limits(bad_commands=1))
    [event, _] = take(connection, b"!\r\n")
    assert event.reply == Err("the response is not valid base64; closing the connection")
    connection.send(event.reply)
    assert connection.state is State.CLOSED


def test_a_line_that_is_sent_has_a_limit():
    limits = Limits(reply_line_sent=20, sasl_line=30)
    message = "the line has 21 octets; the limit is 20"
    connection = ServerConnection(limits=limits)
    assert refusal(connection, Greeting(Ok("x" * 15))) == message
    assert len(connection.send(Greeting(Ok("x" * 14)))) == 20
    connection.receive_data(b"CAPA\r\nAUTH X\r\n")
    assert connection.next_event() == Capa()
    assert refusal(connection, Ok("x" * 15)) == message
    assert refusal(connection, Err("x" * 14)) == message
    assert len(connection.send(Err("x" * 13))) == 20
    assert connection.next_event() == Auth("X")
    assert refusal(connection, Challenge(b"x" * 21)) == "the line has 32 octets; the limit is 30"
    assert len(connection.send(Challenge(b"x" * 18))) == 28


def test_what_waits_has_a_limit():
    limits = Limits(command_line=80, sasl_line=80, reply_line=80, buffered=100)
    connection, _ = asked(b"STAT", limits=limits)
    connection.receive_data(b"NOOP\r\n" * 16)
    connection.receive_data(b"QUIT")
    connection.receive_data(b"\r\n" * 500)
    before = everything(connection)
    with pytest.raises(LocalProtocolError) as caught:
        connection.receive_data(b"x")
    assert str(caught.value) == "1100 octets are buffered already; call next_event() before receiving more"
    assert everything(connection) == before
    connection.send(Ok("0 0"))
    assert connection.next_event() == Noop()


def test_feeding_on_need_data_never_meets_that_limit():
    limits = Limits(command_line=80, sasl_line=80, reply_line=80, buffered=80)
    chunk = b"NOOP\r\n" * 1000
    assert serve([chunk, chunk], limits=limits) == [Noop()] * 2000 + [ConnectionClosed()]


def test_consumed_octets_leave_memory_even_if_no_chunk_ends_with_a_command():
    connection = server_in(State.TRANSACTION)
    connection.receive_data(b"NO")
    for _ in range(300):
        connection.receive_data(b"OP\r\nNO")
        assert connection.next_event() == Noop()
        connection.send(Ok())
        assert len(connection._buffer._data) < 10


# ------------------------------------------------------------------------- what is not in the vocabulary


@pytest.mark.parametrize("item", ["-ERR no", b"-ERR no\r\n", Noop(), None])
def test_only_replies_are_sent(item):
    # A str has an encode, too: what is no Err must not count as a positive answer.
    connection, _ = asked(b"PASS x", state=State.USER_GIVEN)
    before = everything(connection)
    with pytest.raises(
        TypeError, match=rf"^send\(\) takes a reply, challenge or part of a body, not {type(item).__name__}$"
    ):
        connection.send(item)
    assert everything(connection) == before


class Xauth(Auth):
    verb = "XAUT"


def test_a_private_verb_with_challenges_may_have_a_line_as_long_as_auth():
    command = Xauth("PLAIN", b"x" * 300)
    assert command.encode().startswith(b"XAUT PLAIN ")
    _, event = asked(command.encode()[:-2], state=State.AUTHORIZATION, commands=STANDARD | {Xauth})
    assert event == command


@pytest.mark.parametrize("length", [299, 300, 301])
def test_a_command_line_may_be_longer_than_a_sasl_line(length):
    line = b"USER " + b"x" * (length - 7)
    _, event = asked(line, state=State.AUTHORIZATION, limits=Limits(command_line=300, sasl_line=100))
    assert isinstance(event, User if length <= 300 else BadCommand)


@pytest.mark.parametrize("length", [99, 100, 101, 102])
def test_an_auth_line_has_the_limit_of_sasl_lines(length):
    line = b"AUTH PLAIN " + b"x" * ((length - 13) // 4 * 4)
    _, event = asked(line, state=State.AUTHORIZATION, limits=Limits(command_line=300, sasl_line=100))
    assert isinstance(event, Auth if len(line) + 2 <= 100 else BadCommand)


# --------------------------------------------------------------------------------------- a whole answer


@pytest.mark.parametrize("body", [b"", b"x", b".", b"a\n.b", b"a\r\n..\r\n", b"a\r", b"\r\n"])
def test_a_whole_answer_is_what_its_parts_are(body):
    parts, _ = asked(b"RETR 1")
    whole, _ = asked(b"RETR 1")
    octets = b"".join(map(parts.send, (Ok("here"), BodyChunk(body), BodyEnd())))
    assert whole.send_whole(Ok("here"), body) == octets
    assert whole.body_octets == parts.body_octets
    for connection in (parts, whole):
        assert connection.current is None
        assert connection.next_event() is NEED_DATA
        connection.receive_data(b"STAT\r\n")
        assert connection.next_event() == Stat()


def within_a_body():
    connection, _ = asked(b"RETR 1")
    connection.send(Ok())
    return connection


def failed():
    connection, _ = asked(b"RETR 1")
    connection.fail("no reason")
    return connection


@pytest.mark.parametrize(
    "make, reply, objection",
    [
        (lambda: server_in(State.TRANSACTION), Ok(), "a body can only be sent with Ok to a multi-line command"),
        (lambda: asked(b"STAT")[0], Ok(), "a body can only be sent with Ok to a multi-line command"),
        (lambda: asked(b"RETR 1")[0], Err(), "a body can only be sent with Ok to a multi-line command"),
        (lambda: asked(b"RETR 1")[0], Ok("x" * 600), "the line has 606 octets; the limit is 512"),
        (within_a_body, Ok(), "Ok cannot be sent within a body; send BodyEnd first"),
        (failed, Ok(), "the session is over: no reason"),
    ],
)
def test_a_whole_answer_that_cannot_be_sent_changes_nothing(make, reply, objection):
    connection = make()
    before = everything(connection)
    with pytest.raises(LocalProtocolError) as caught:
        connection.send_whole(reply, b"x")
    assert str(caught.value) == objection
    assert everything(connection) == before
