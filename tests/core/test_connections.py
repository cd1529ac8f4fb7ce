"""The laws that hold for both connections, and for the two together."""

import copy
import re
import traceback
from collections import deque

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Apop, Auth, Command, List, Noop, Pass, Quit, Retr, Stat, Stls, Uidl, User
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, MalformedReply, Pop3Error, RemoteProtocolError
from pop3proto.core.events import (
    NEED_DATA,
    PAUSED,
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BadCommand,
    BodyChunk,
    BodyEnd,
    ConnectionClosed,
)
from pop3proto.core.limits import Limits
from pop3proto.core.refusals import CommandFailed, LoginFailed, RefusedLogin
from pop3proto.core.replies import Challenge, Err, Ok
from pop3proto.core.server import ServerConnection
from pop3proto.core.states import State
from tests.helpers.sessions import ENDLESS, ONE_OF_EACH, REQUESTS, client_in, everything, server_in, take
from tests.helpers.strategies import (
    answers_to,
    auth_responses,
    bodies,
    challenges,
    chunkings,
    commands,
    commands_of,
    err_replies,
    greetings,
    messages,
    near_commands,
    replies,
)

# ------------------------------------------------------------------------------- reading a connection


def one_by_one(connection):
    """The events, by `next_event` alone."""
    while (event := connection.next_event()) not in (NEED_DATA, PAUSED):
        yield event
        if event == ConnectionClosed():
            return


def in_bulk(connection):
    """The events, by `events`."""
    yield from connection.events()


READERS = pytest.mark.parametrize("read", [one_by_one, in_bulk])


def joined(events):
    """The events, neighbouring chunks of a body as one."""
    result = []
    for event in events:
        if isinstance(event, BodyChunk) and result and isinstance(result[-1], BodyChunk):
            result[-1] = BodyChunk(result[-1].data + event.data)
        else:
            result.append(event)
    return result


class Trace:
    """What a connection gave until the stream was over or it raised, and what it was then.

    Only `RemoteProtocolError` may be raised, and `ConnectionLost` once the stream has ended.
    """

    def __init__(self, connection, chunks, read, react):
        self.events = []
        self.signal = self.error = None
        allowed = (RemoteProtocolError,)
        try:
            for chunk in chunks:
                if not chunk:
                    allowed = (RemoteProtocolError, ConnectionLost)
                connection.receive_data(chunk)
                self._take(connection, read, react)
        except allowed as error:
            self.signal, self.error = None, (type(error), str(error))
        self.standing = (connection.state, connection.tls, connection.utf8)

    def _take(self, connection, read, react):
        going = True
        while going:
            for event in read(connection):
                self.events.append(event)
                assert len(self.events) < ENDLESS
                react(connection, event)
            self.signal = connection.next_event()
            going = self.signal is PAUSED and react(connection, PAUSED)

    def __eq__(self, other):
        return (joined(self.events), self.error, self.signal, self.standing) == (
            joined(other.events),
            other.error,
            other.signal,
            other.standing,
        )

    __hash__ = None

    def __repr__(self):
        return f"Trace({joined(self.events)}, {self.error}, {self.signal}, {self.standing})"


def reaction_of_a_client(responses):
    """Answer each challenge with the next response, and cancel when there is none, or the challenge is no base64."""
    left = iter(responses)
    before = None

    def react(client, event):
        nonlocal before
        before, asked_by = event, before
        if event is not PAUSED or client.state is State.TLS_HANDSHAKE:
            return False
        client.send(AuthCancel() if isinstance(asked_by, BadChallenge) else next(left, AuthCancel()))
        return True

    return react


def reaction_of_a_server(positive):
    """Answer each event, with `+OK` (or a challenge) or `-ERR` in turn; STLS with `+OK`."""
    left = iter(positive)

    def react(server, event):
        if event in (PAUSED, ConnectionClosed()):
            return False
        if isinstance(event, BadCommand):
            server.send(event.reply)
        elif event == AuthCancel():
            server.send(Err("cancelled"))
        elif event != Stls() and not next(left, True):
            server.send(Err("no"))
        elif isinstance(event, Auth):
            server.send(Challenge(b"challenge"))
        else:
            server.send(Ok("yes"))
            if isinstance(event, Command) and event.multi_line:
                server.send(BodyChunk(b".body\n"))
                server.send(BodyEnd())
        return True

    return react


# -------------------------------------------------------------------------------- what may come to it

SMALL = Limits(command_line=60, sasl_line=80, reply_line=70, bad_commands=4)

garbage = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b".", b"\r\n.\r\n", b"+OK", b"-ERR", b"+ ", b"*", b"\0", b"=", b"x" * 90]
        )
    ).map(b"".join),
)


@st.composite
def damaged(draw, octets):
    """The octets as they are, or with a part cut out or put in."""
    start = draw(st.integers(0, len(octets)))
    end = draw(st.sampled_from([start, len(octets)]) | st.integers(start, len(octets)))
    return draw(st.sampled_from([octets, octets[:start] + draw(garbage) + octets[end:]]))


def stuffed(body):
    return (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


@st.composite
def answer_octets(draw, command):
    """The octets of any answer to a command."""
    octets = b""
    if command.challenged:
        octets = b"".join(challenge.encode() for challenge in draw(st.lists(challenges, max_size=3)))
    if draw(st.booleans()):
        return octets + draw(err_replies).encode()
    reply, body = draw(answers_to(command))
    if isinstance(command, Retr):
        body = draw(bodies)
    return octets + reply.encode() + (stuffed(body) if command.multi_line else b"")


@st.composite
def clients(draw, **arguments):
    """A client in any state with any commands outstanding, and octets that may come to it: sense or not."""
    state = draw(st.sampled_from(State))
    client = client_in(state, **arguments)
    for command in draw(st.lists(st.sampled_from(ONE_OF_EACH), max_size=12)):
        if client.can_send(command):
            client.send(command)
    octets = draw(greetings).encode() if state is State.GREETING else b""
    octets += b"".join(draw(answer_octets(command)) for command in client.outstanding)
    octets += draw(st.sampled_from([b"", b"-ERR bye\r\n", b"+OK\r\n"]))
    return client, draw(damaged(octets))


@st.composite
def servers(draw, **arguments):
    """A server in any state, and octets that may come to it: sense or not."""
    state = draw(st.sampled_from([state for state in State if state is not State.GREETING]))
    lines = st.one_of(
        st.sampled_from([request.encode() for request in REQUESTS]),
        commands.map(lambda command: command.encode()),
        near_commands.map(lambda line: line + b"\r\n"),
        auth_responses.map(lambda response: response.encode()),
    )
    octets = b"".join(draw(st.lists(lines, max_size=12)))
    return server_in(state, **arguments), draw(damaged(octets))


# ------------------------------------------------------------------------------ any cut, any octets


def check_any_chunking(data, connection, octets, end, reaction):
    tail = [b""] * end
    cuts = [
        [octets] if octets else [],
        [octets[at : at + 1] for at in range(len(octets))],
        data.draw(chunkings(octets)),
    ]
    traces = [
        Trace(copy.deepcopy(connection), [*cut, *tail], read, reaction())
        for cut in cuts
        for read in (one_by_one, in_bulk)
    ]
    for other in traces[1:]:
        assert traces[0] == other


@pytest.mark.parametrize("limits", [Limits(), SMALL])
@given(data=st.data(), end=st.booleans(), responses=st.lists(auth_responses, max_size=3))
def test_any_chunking_gives_a_client_the_same_events_and_errors(limits, data, end, responses):
    responses = [response for response in responses if len(response.encode()) <= limits.sasl_line]
    client, octets = data.draw(clients(limits=limits))
    check_any_chunking(data, client, octets, end, lambda: reaction_of_a_client(responses))


@pytest.mark.parametrize("limits", [Limits(), SMALL])
@given(data=st.data(), end=st.booleans(), positive=st.lists(st.booleans()))
def test_any_chunking_gives_a_server_the_same_events_and_errors(limits, data, end, positive):
    server, octets = data.draw(servers(limits=limits))
    check_any_chunking(data, server, octets, end, lambda: reaction_of_a_server(positive))


@READERS
@given(data=st.data(), octets=st.binary(max_size=300) | st.lists(garbage).map(b"".join))
def test_any_octets_give_a_client_events_or_its_two_errors(read, data, octets):
    client, _ = data.draw(clients())
    trace = Trace(client, [*data.draw(chunkings(octets)), b""], read, reaction_of_a_client([]))
    assert trace.error is not None or trace.signal in (PAUSED, ConnectionClosed())
    assert len(trace.events) <= len(octets) + 1


@READERS
@given(data=st.data(), octets=st.binary(max_size=300) | st.lists(garbage).map(b"".join))
def test_any_octets_give_a_server_events_or_its_error(read, data, octets):
    server, _ = data.draw(servers())
    trace = Trace(server, [*data.draw(chunkings(octets)), b""], read, reaction_of_a_server([]))
    assert trace.error is not None or trace.signal in (PAUSED, ConnectionClosed())
    assert len(trace.events) <= octets.count(b"\n") + 1


# -------------------------------------------------------------------------------------- the two together


def with_crlf(message):
    """A message as it arrives: bare LF is a line end, and the last line has one."""
    lines = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    return lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"


class Pair(RuleBasedStateMachine):
    """A client and a server, and what is on its way between them.

    The client pipelines whatever it may, the wire cuts wherever it likes. What one sends the other must receive as
    an equal value. In between, each tries to send what it may not, which must change nothing.
    """

    def __init__(self):
        super().__init__()
        self.client = ClientConnection()
        self.server = ServerConnection(limits=Limits(bad_commands=1_000_000))
        self.to_server = b""
        self.to_client = b""
        self.asked = deque()  # what the client has sent and the server has not read
        self.said = deque()  # the events that the client should have, and has not
        self.event = None  # what the server has to answer

    # The client.

    @rule(data=st.data())
    def ask(self, data):
        able = [item for item in ONE_OF_EACH if self.client.can_send(item)]
        if able:
            self._send(data.draw(commands_of[type(data.draw(st.sampled_from(able)))]))

    @rule(item=st.just(AuthCancel()) | auth_responses)
    def respond(self, item):
        if self.client.can_send(item):
            self._send(item)

    def _send(self, item):
        self.to_server += self.client.send(item)
        self.asked.append(item)

    @rule(data=st.data())
    def the_client_reads(self, data):
        now, self.to_client = self._some(data, self.to_client)
        for chunk in now:
            self.client.receive_data(chunk)
            for event in self.client.events():
                self._heard(event)
            assert self.client.next_event() in (NEED_DATA, PAUSED)

    def _heard(self, event):
        expected = self.said.popleft()
        if isinstance(event, BodyChunk):
            assert isinstance(expected, BodyChunk)
            assert expected.data.startswith(event.data)
            if expected != event:
                self.said.appendleft(BodyChunk(expected.data[len(event.data) :]))
        else:
            assert event == expected

    @rule(item=st.sampled_from(REQUESTS) | commands | st.just(AuthResponse(b"x" * 10_000)))
    def the_client_tries_what_it_may_not(self, item):
        if not self.client.can_send(item):
            before = everything(self.client)
            with pytest.raises(LocalProtocolError):
                self.client.send(item)
            assert everything(self.client) == before

    # The server.

    @precondition(lambda self: self.server.state is State.GREETING)
    @rule(greeting=greetings)
    def greet(self, greeting):
        self._answer(greeting, greeting)

    @rule(data=st.data())
    def the_server_reads(self, data):
        now, self.to_server = self._some(data, self.to_server)
        for chunk in now:
            self.server.receive_data(chunk)
        self._next_question()

    def _next_question(self):
        event = self.server.next_event()
        if event in (NEED_DATA, PAUSED):
            return
        asked = self.asked.popleft()
        if event != asked:
            # The one thing that a client may send and a server not take: a password behind a name that was refused.
            assert isinstance(asked, Pass)
            reason = "PASS is not legal yet; send USER first"
            assert event == BadCommand(asked.encode()[:-2], reason, Err(reason))
        self.event = (asked, event)
        assert self.server.next_event() is PAUSED

    @precondition(lambda self: self.event is not None)
    @rule(data=st.data(), kind=st.sampled_from(["ok", "ok", "err", "challenge"]))
    def reply(self, data, kind):
        (asked, event), self.event = self.event, None
        command = self.server.current or asked
        if isinstance(event, BadCommand):
            self._answer(event.reply, Answer(asked, event.reply))
        elif isinstance(event, AuthCancel) or kind == "err":
            reply = data.draw(err_replies)
            self._answer(reply, Answer(command, reply))
        elif kind == "challenge" and isinstance(event, Auth | AuthResponse):
            challenge = data.draw(challenges)
            self._answer(challenge, challenge)
        else:
            reply, body = data.draw(answers_to(command))
            self._answer(reply, Answer(command, reply))
            if command.multi_line:
                self._body(data, data.draw(messages) if isinstance(command, Retr) else body)
        self._next_question()

    def _body(self, data, message):
        for chunk in data.draw(chunkings(message)):
            self.to_client += self.server.send(BodyChunk(chunk))
        if message:
            self.said.append(BodyChunk(with_crlf(message)))
        self._answer(BodyEnd(), BodyEnd())
        assert self.server.body_octets == len(with_crlf(message))

    def _answer(self, item, expected):
        self.to_client += self.server.send(item)
        self.said.append(expected)

    @rule(item=st.one_of(replies, challenges, greetings, st.sampled_from([BodyChunk(b"x"), BodyEnd(), Ok("x" * 600)])))
    def the_server_tries_what_it_may_not(self, item):
        try:
            copy.deepcopy(self.server).send(item)
        except LocalProtocolError:
            before = everything(self.server)
            with pytest.raises(LocalProtocolError):
                self.server.send(item)
            assert everything(self.server) == before

    # Both.

    @precondition(lambda self: self.client.state is State.TLS_HANDSHAKE)
    @rule()
    def shake_hands(self):
        assert self.server.state is State.TLS_HANDSHAKE
        self.client.tls_established()
        self.server.tls_established()

    @staticmethod
    def _some(data, octets):
        now = data.draw(st.integers(0, len(octets)) | st.just(len(octets)))
        return data.draw(chunkings(octets[:now])), octets[now:]

    @invariant()
    def where_nothing_is_under_way_both_agree(self):
        if not (self.to_server or self.to_client or self.said or self.asked or self.event):
            assert self.client.state is self.server.state
            assert (self.client.tls, self.client.utf8) == (self.server.tls, self.server.utf8)
            assert self.client.outstanding == (() if self.server.current is None else (self.server.current,))

    def teardown(self):
        """What is on its way arrives."""
        if self.to_client:
            self.client.receive_data(self.to_client)
        for event in self.client.events():
            self._heard(event)
        assert not self.said


TestPair = Pair.TestCase
TestPair.settings = settings(stateful_step_count=40)


@given(command=commands)
def test_the_server_reads_the_command_that_the_client_sends(command):
    states = [
        state for state in (State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION) if state in command.legal_in
    ]
    for state in states:
        octets = client_in(state).send(command)
        assert octets.endswith(b"\r\n")
        assert take(server_in(state), octets) == [command, PAUSED]


@given(greeting=greetings)
def test_the_client_reads_the_greeting_that_the_server_sends(greeting):
    assert take(ClientConnection(), ServerConnection().send(greeting)) == [greeting, NEED_DATA]


# ---------------------------------------------------------------------------------------------- limits


def command_line(size, limit, cut):
    server = server_in(State.TRANSACTION, limits=Limits(command_line=limit, sasl_line=1000))
    [event, _] = take(server, *cut(b"NOOP".ljust(size - 2) + b"\r\n"))
    return event == Noop()


def command_line_sent(size, limit, cut):
    client = client_in(State.AUTHORIZATION, limits=Limits(command_line=limit))
    return client.can_send(User("x" * (size - len("USER \r\n"))))


def auth_line(size, limit, cut):
    server = server_in(State.AUTHORIZATION, limits=Limits(command_line=20, sasl_line=limit))
    mechanism = b"X" * (1 + (size - len("AUTH X \r\n")) % 4)
    line = (b"AUTH " + mechanism + b" ").ljust(size - 2, b"A")
    [event, _] = take(server, *cut(line + b"\r\n"))
    return isinstance(event, Auth)


def response(size, limit, cut):
    server = server_in(State.SASL, limits=Limits(command_line=2 * limit, sasl_line=limit))
    [event, _] = take(server, *cut(b"A" * (size - 2) + b"\r\n"))
    return event.reason != "the line is too long" if isinstance(event, BadCommand) else True


def reply_line(size, limit, cut):
    client = client_in(State.UPDATE, limits=Limits(reply_line=limit))
    try:
        return take(client, *cut(b"+OK".ljust(size - 2, b" ") + b"\r\n")) == [
            Answer(Quit(), Ok(" " * (size - 6))),
            NEED_DATA,
        ]
    except RemoteProtocolError as error:
        return str(error) != f"the server sent a line longer than {limit} octets"


def reply_line_sent(size, limit, cut):
    server = server_in(State.UPDATE, limits=Limits(reply_line_sent=limit))
    try:
        return len(server.send(Ok("x" * (size - len("+OK \r\n"))))) == size
    except LocalProtocolError:
        return False


def buffered(size, limit, cut):
    limits = Limits(command_line=limit, sasl_line=limit, reply_line=limit, buffered=limit)
    accepted = set()
    for connection in (client_in(State.UPDATE, limits=limits), server_in(State.UPDATE, limits=limits)):
        for chunk in cut(b"x" * size):
            connection.receive_data(chunk)
        try:
            connection.receive_data(b"y")
        except LocalProtocolError:
            accepted.add(False)
        else:
            accepted.add(True)
    [answer] = accepted
    return answer


def bad_commands(size, limit, cut):
    server = server_in(State.AUTHORIZATION, limits=Limits(bad_commands=limit + 1))
    Trace(server, cut(b"x\r\n" * size), in_bulk, reaction_of_a_server([]))
    return server.state is State.AUTHORIZATION


def bad_commands_after_login(size, limit, cut):
    server = server_in(State.TRANSACTION, limits=Limits(bad_commands_after_login=limit + 1))
    Trace(server, cut(b"x\r\n" * size), in_bulk, reaction_of_a_server([]))
    return server.state is State.TRANSACTION


def number_digits(size, limit, cut):
    digits = b"9" * size
    server = server_in(State.TRANSACTION)
    [event, _] = take(server, *cut(b"RETR " + digits + b"\r\n"))
    client = client_in(State.TRANSACTION)
    client.send(Stat())
    [answer, _] = take(client, *cut(b"+OK 1 " + digits + b"\r\n"))
    try:
        meant = answer.command.parse(answer.reply)
    except MalformedReply:
        meant = None
    assert (meant is None) == isinstance(event, BadCommand)
    return meant is not None


def listing_entries(size, limit, cut):
    client = client_in(State.TRANSACTION)
    client.send(List())
    client.send(Uidl())
    rows = b"".join(b"%d 1\r\n" % number for number in range(1, size + 1))
    answer = b"+OK\r\n" + rows + b".\r\n"
    events = joined(take(client, *cut(answer + answer)))
    read = set()
    for answer, body in (events[0:2], events[3:5]):
        try:
            read.add(len(answer.command.parse(answer.reply, body.data, limits=Limits(listing_entries=limit))))
        except MalformedReply:
            read.add(None)
    [count] = read
    assert count in (size, None)
    return count is not None


@pytest.mark.parametrize(
    "bound, limit",
    [
        (command_line, 40),
        (command_line, 255),
        (command_line_sent, 255),
        (auth_line, 60),
        (response, 40),
        (response, 42),
        (reply_line, 12_288),  # that of AUTH is larger, and must not count here
        (reply_line, 50),
        (reply_line_sent, 512),
        (buffered, 90),
        (bad_commands, 5),
        (bad_commands_after_login, 5),
        (number_digits, 20),
        (listing_entries, 30),
    ],
)
@given(data=st.data(), more=st.integers(-1, 1))
def test_every_limit_at_its_bound(bound, limit, data, more):
    size = limit + more
    assert bound(size, limit, lambda octets: data.draw(chunkings(octets))) is (more <= 0)


# --------------------------------------------------------------------------------------------- secrets

SECRET = "tanstaaf"
IN_BASE64 = Challenge(SECRET.encode()).encode()[2:-2]
DIGEST = "c4c9334bac560ecc979e58001b3e22fb"
MARKS = (SECRET, SECRET[:6], IN_BASE64.decode(), DIGEST, SECRET.encode().hex())


def shown(thing):
    """All that a careless program may write into its log."""
    texts = [repr(thing), str(thing), f"{thing}", ascii(thing), f"{[thing]}", repr(getattr(thing, "__dict__", ""))]
    if isinstance(thing, BaseException):
        texts += traceback.format_exception(thing)
    return "\n".join(texts)


def raised(function, *arguments):
    with pytest.raises(Pop3Error) as caught:
        function(*arguments)
    return caught.value


SECRET_COMMANDS = (Pass(SECRET), Apop("ann", DIGEST), Auth("PLAIN", SECRET.encode()))
SECRET_VALUES = (
    *SECRET_COMMANDS,
    Challenge(SECRET.encode()),
    AuthResponse(SECRET.encode()),
    BadChallenge(SECRET.encode()),
    BodyChunk(SECRET.encode()),
    BadCommand(SECRET.encode(), "unknown command", Err("unknown command")),
    *[Answer(command, Err("no")) for command in SECRET_COMMANDS],
    *[CommandFailed(command, Err("no")) for command in SECRET_COMMANDS],
    LoginFailed([RefusedLogin(command, Err("no")) for command in SECRET_COMMANDS]),
)


def refused_lines():
    """What a server makes of lines that hold a secret and are wrong."""
    secret = SECRET.encode()
    for state, line in [
        (State.AUTHORIZATION, b"PASS " + secret),
        (State.TRANSACTION, b"PASS " + secret),
        (State.USER_GIVEN, b"PASS " + secret + b"\0"),
        (State.USER_GIVEN, b"PASS\t" + secret),
        (State.USER_GIVEN, b"PASS " + secret * 50),
        (State.USER_GIVEN, b"PASS " + secret * 5_000),
        (State.USER_GIVEN, b" PASS " + secret),
        (State.AUTHORIZATION, secret),
        (State.AUTHORIZATION, b"APOP ann " + secret),
        (State.AUTHORIZATION, b"APOP " + secret),
        (State.TRANSACTION, b"APOP ann " + DIGEST.encode()),
        (State.AUTHORIZATION, b"AUTH " + secret + b"!"),
        (State.AUTHORIZATION, b"AUTH PLAIN " + secret + b"!"),
        (State.AUTHORIZATION, b"AUTH PLAIN " + secret * 5_000),
        (State.TRANSACTION, b"AUTH PLAIN " + IN_BASE64),
        (State.TRANSACTION, b"RETR " + secret),
        (State.SASL, secret + b"!"),
        (State.SASL, IN_BASE64[:-1]),
        (State.SASL, secret * 5_000),
    ]:
        [event, _] = take(server_in(state), line + b"\r\n")
        assert isinstance(event, BadCommand)
        yield event


def errors_with_secrets():
    """What goes wrong while a connection holds a secret."""
    for state in State:
        client = client_in(state)
        for item in (*SECRET_COMMANDS, AuthResponse(SECRET.encode())):
            if not client.can_send(item):
                yield raised(client.send, item)
    yield raised(client_in(State.AUTHORIZATION).send, Auth("PLAIN", SECRET.encode() * 50))
    yield raised(client_in(State.USER_GIVEN).send, Pass(SECRET * 50))
    yield raised(client_in(State.SASL).send, AuthResponse(SECRET.encode() * 5_000))
    yield raised(Pass, f"{SECRET}\r\n")
    yield raised(Pass, f"{SECRET}\ud800")
    yield raised(Apop, "ann", SECRET)
    for command in SECRET_COMMANDS:
        [state, *_] = command.legal_in
        for octets in (b"nonsense\r\n", b"+\0\r\n", b"+!\r\n", b"+" + b"x" * 20_000, b""):
            client = client_in(state)
            client.send(command)
            client.receive_data(octets)
            error = raised(client.next_event)
            yield error
            yield raised(client.send, command)
    client = client_in(State.SASL)
    client.send(AuthResponse(SECRET.encode()))
    client.receive_data(b"")
    yield raised(client.next_event)
    server = server_in(State.TRANSACTION)
    for item in (Challenge(SECRET.encode()), Challenge(SECRET.encode() * 5_000), BodyChunk(SECRET.encode())):
        yield raised(server.send, item)
    client = client_in(State.AUTHORIZATION)
    client.send(Auth("PLAIN"))
    client.receive_data(b"+ " + IN_BASE64 + b"!\r\n")
    assert isinstance(client.next_event(), BadChallenge)
    yield raised(client.send, AuthResponse(SECRET.encode()))
    client = client_in(State.TRANSACTION)
    client.send(Retr(1))
    client.receive_data(b"+OK\r\n" + SECRET.encode())
    assert list(client.events())[1:] == [BodyChunk(SECRET.encode())]
    client.receive_data(b"")
    yield raised(client.next_event)


@pytest.mark.parametrize(
    "thing", [*SECRET_VALUES, *refused_lines(), *errors_with_secrets()], ids=lambda thing: type(thing).__name__
)
def test_no_secret_is_printed(thing):
    text = shown(thing)
    assert [mark for mark in MARKS if mark in text] == []


@pytest.mark.parametrize("event", [*refused_lines()])
def test_no_secret_is_echoed(event):
    assert [mark for mark in MARKS if mark.encode() in event.reply.encode()] == []


def test_the_search_for_secrets_finds_them():
    assert SECRET in shown(LocalProtocolError(SECRET))
    assert SECRET in shown(User(SECRET))
    assert SECRET in shown(Ok(SECRET))
