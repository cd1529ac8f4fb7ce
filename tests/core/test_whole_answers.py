"""Answers that are taken whole: the same as their events, whatever the server sends and however it is cut."""

import pytest
from hypothesis import example, given, strategies as st

from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Auth, Capa, Dele, List, Noop, PlainCommand, Quit, Retr, Stat, Top, Utf8
from pop3proto.core.errors import ConnectionLost, RemoteProtocolError
from pop3proto.core.events import NEED_DATA, Answer, BodyChunk, BodyEnd
from pop3proto.core.limits import Limits, Quirk
from pop3proto.core.quirks import PROFILES
from pop3proto.core.replies import Err, Ok
from pop3proto.core.states import AFTER_LOGIN, Fact, State
from tests.helpers.sessions import client_in


class Move(PlainCommand):
    """A private verb that changes the state."""

    verb = "MOVE"
    legal_in = AFTER_LOGIN
    on_err = State.AUTHORIZATION


class Learn(PlainCommand):
    """A private verb that establishes a fact."""

    verb = "LEARN"
    legal_in = AFTER_LOGIN
    establishes = Fact.UTF8


def told(connection, chunks, *, whole):
    """What a connection tells: answers with their bodies, other events, and the error; an answer in part at last."""
    answers, states = [], []
    try:
        for chunk in chunks:
            connection.receive_data(chunk)
            while connection.state is not State.CLOSED:
                commands = connection.outstanding
                if whole and (taken := connection.whole_answers()):
                    dots = connection.removed_dots
                    answers += [
                        [command, *answer, dots.get(index, 0)]
                        for index, (command, answer) in enumerate(zip(commands, taken, strict=False))
                    ]
                elif (event := connection.next_event()) is NEED_DATA:
                    states.append((connection.state, connection.utf8, len(connection._buffer)))
                    break
                else:
                    note(answers, event)
                    if isinstance(event, BodyEnd):
                        answers[-1][3] = connection.removed_dots.get(0, 0)
    except (RemoteProtocolError, ConnectionLost) as error:
        answers.append((type(error), str(error)))
    return answers, states, connection.outstanding


def note(answers, event):
    match event:
        case Answer(command, reply):
            answers.append([command, reply, b"", 0])
        case BodyChunk(data):
            answers[-1][2] += data
        case BodyEnd():
            pass
        case _:
            answers.append(event)


_texts = st.sampled_from(
    [
        *(
            b"+OK\r\n",
            b"+OK 2 320\r\n",
            b"-ERR\r\n",
            b"-ERR no\r\n",
            b"+ok  low\r\n",
            b"+OK 23 4567\r\n",
            b"+ AAAA\r\n",
        ),
        *(b".\r\n", b"..\r\n", b".a\r\n", b".\r", b"\r\n", b"\n", b".\n", b"a.\r\n", b"text\r\n", b"+OK \xff\r\n"),
        *(b"+OK a\0\r\n", b"\r\n.\r\n", b"+OK\r\n.\r\n", b"+OK\r\na\r\n..b\r\n.\r\n", b"+OK\r\na\r\n.\r\n", b"\r"),
    ]
)
_commands = st.lists(
    st.sampled_from([Retr(1), Top(1, 2), Noop(), Stat(), List(), Dele(3), Capa(), Move(), Learn()]), max_size=6
)
_streams = st.lists(_texts, max_size=16).map(b"".join)
_cuts = st.lists(st.integers(1, 20), max_size=8)


@given(
    commands=_commands,
    stream=_streams,
    cuts=_cuts,
    quirks=st.sampled_from([frozenset(), PROFILES["lenient"], frozenset({Quirk.BARE_LF})]),
    line=st.sampled_from([12, 8_192]),
)
@example([Retr(1)], b"+OK\r\n.\r\n", [], frozenset(), 8_192)
@example([Retr(1)], b"+OK\r\na\n.\n", [3], frozenset({Quirk.BARE_LF}), 8_192)
@example([Noop(), Retr(1), Noop()], b"+OK\r\n+OK\r\n..\r\n.\r\n.\r\n+OK\r\n", [], PROFILES["lenient"], 8_192)
@example([Retr(1)], b"+OK\n.\n", [], frozenset({Quirk.BARE_LF}), 8_192)
@example([Retr(1)], b"+OK\r\n.\ra\r\n.\r\n", [], frozenset(), 8_192)
@example([Retr(1), Noop(), Noop()], b"+OK\r\n.\r\n+OK\r\nno reply\r\n", [], frozenset(), 8_192)
@example([Move()], b"-ERR no\r\n", [], frozenset(), 8_192)
@example([Learn(), Noop()], b"+OK\r\n", [], frozenset(), 8_192)
@example([Retr(1)], b"+OK 23 4567\r\n.\r\n", [], frozenset(), 12)
def test_both_ways_tell_the_same(commands, stream, cuts, quirks, line):
    chunks = []
    for cut in cuts:
        chunks.append(stream[:cut])
        stream = stream[cut:]
    chunks = [*filter(None, [*chunks, stream]), b""]

    def tell(whole):
        connection = client_in(State.TRANSACTION, quirks=quirks, limits=Limits(reply_line=line))
        for command in commands:
            connection.send(command)
        return told(connection, chunks, whole=whole)

    assert tell(whole=True) == tell(whole=False)


def waiting_for(*commands, received=b"", state=State.TRANSACTION, **arguments):
    connection = client_in(state, **arguments)
    for command in commands:
        connection.send(command)
    connection.receive_data(received)
    return connection


@pytest.mark.parametrize(
    "body, received",
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n.\r\n\r\n", b"a\r\n..b\r\n..\r\n\r\n.\r\n"),
    ],
)
def test_status_line_and_body_are_taken_at_once(body, received):
    connection = waiting_for(Retr(1), Noop(), received=b"+OK it follows\r\n" + received + b"-ERR no\r\n")
    assert connection.whole_answers() == [(Ok("it follows"), body), (Err("no"), b"")]
    assert connection.outstanding == ()
    assert connection.next_event() is NEED_DATA


@pytest.mark.parametrize(
    "connection",
    [
        pytest.param(ClientConnection(), id="before the greeting"),
        pytest.param(waiting_for(Auth("PLAIN"), state=State.AUTHORIZATION, received=b"+OK\r\n"), id="before login"),
        pytest.param(waiting_for(received=b"+OK\r\n"), id="nothing outstanding"),
        pytest.param(waiting_for(Quit(), received=b"+OK\r\n"), id="the end"),
        pytest.param(waiting_for(Move(), received=b"-ERR\r\n"), id="another state"),
        pytest.param(waiting_for(Learn(), received=b"+OK\r\n"), id="a fact"),
        pytest.param(waiting_for(Noop(), received=b"+OK"), id="no line"),
        pytest.param(waiting_for(Noop(), received=b"hello\r\n"), id="no reply"),
        pytest.param(waiting_for(Noop(), received=b"+OK a\0\r\n"), id="a forbidden octet"),
        pytest.param(waiting_for(Retr(1), received=b"+OK\r\na\r\n.\r"), id="half a body"),
        pytest.param(waiting_for(Retr(1), received=b"+OK\r\na\r\n"), id="no dot"),
        pytest.param(waiting_for(Retr(1), received=b"+OK\n.\n", quirks={Quirk.BARE_LF}), id="a deviation"),
    ],
)
def test_what_is_not_ordinary_is_left_to_events(connection):
    before = len(connection._buffer), connection.outstanding, connection.state
    assert connection.whole_answers() == []
    assert (len(connection._buffer), connection.outstanding, connection.state) == before


def test_within_a_body_there_is_no_whole_answer():
    connection = waiting_for(Retr(1), received=b"+OK\r\na\r\n.\r\n")
    assert connection.next_event() == Answer(Retr(1), Ok())
    assert connection.whole_answers() == []
    assert connection.next_event() == BodyChunk(b"a\r\n")


def test_after_a_deviation_was_told_answers_are_whole_again():
    connection = waiting_for(Retr(1), received=b"+OK\na\n.\n", quirks={Quirk.BARE_LF})
    connection.next_event()
    assert connection.whole_answers() == [(Ok(), b"a\r\n")]


def test_a_body_has_a_limit():
    def answers(command, octets, **limits):
        received = b"+OK\r\n" + b"x" * (octets - 2) + b"\r\n.\r\n"
        return len(waiting_for(command, received=received, limits=Limits(**limits)).whole_answers())

    assert [answers(Retr(1), octets, body=10) for octets in (9, 10, 11)] == [1, 1, 0]
    assert [answers(Capa(), octets, text_octets=10) for octets in (9, 10, 11)] == [1, 1, 0]
    assert [answers(Retr(1), octets) for octets in (65_536, 65_537)] == [1, 0]


def test_utf8_is_left_to_events():
    assert waiting_for(Utf8(), state=State.AUTHORIZATION, received=b"+OK\r\n").whole_answers() == []
