"""What a client does: greet, call, pipeline, start TLS, quit; and that no answer is ever taken for another's."""

import contextlib
import io
from itertools import pairwise, repeat

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import (
    Apop,
    Auth,
    AuthList,
    Capa,
    Dele,
    LangList,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from pop3proto.core.dots import BodyDecoder, BodyEncoder
from pop3proto.core.errors import (
    Broken,
    Busy,
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
    UncertainUpdate,
)
from pop3proto.core.events import NEED_DATA, Answer, AuthResponse, BodyChunk, BodyEnd
from pop3proto.core.limits import Limits
from pop3proto.core.refusals import CommandFailed, SessionRefused
from pop3proto.core.replies import Err, Greeting, Ok
from pop3proto.core.results import MaildropStatus
from pop3proto.core.states import State
from pop3proto.procedures.cleartext import default_port
from pop3proto.procedures.client import pipeline as pipeline_module
from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.calls import call, call_all
from pop3proto.procedures.client.commands import establish, greet, learn_capabilities, leave, quit_session, start_tls
from pop3proto.procedures.client.exchange import authenticate
from pop3proto.procedures.client.login import login, planned
from pop3proto.procedures.client.pipeline import WINDOW, Pipeline
from pop3proto.procedures.client.retrieval import Retrieval
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.operations import Now, Operation, Read, StartTls, Write
from pop3proto.sasl.channel import TlsInfo
from pop3proto.sasl.credentials import Password
from pop3proto.sasl.plain import PlainClient
from tests.helpers.drivers import (
    TLS,
    Actor,
    Cancelled,
    Clock,
    FakeStore,
    Script,
    Serving,
    as_sent,
    perform,
    talk,
)
from tests.helpers.strategies import messages

PIPELINING = Capabilities(pipelining=True)
WITH_PLAIN = Capabilities(sasl=("PLAIN",))
SECRET = "tanstaaf"


@pytest.fixture
def server() -> Script:
    """One that takes one command at a time; the session is logged in."""
    return Script().log_in()


@pytest.fixture
def pipelining() -> Script:
    """One that takes many; likewise."""
    return Script(capabilities=PIPELINING).log_in()


def begun(script: Script, commands) -> Pipeline:
    exchange = Pipeline(script.session, commands)
    assert script.begin(exchange.begin()).outcome() is None
    return exchange


# ----------------------------------------------------------------------------------------------- greet


def test_the_greeting_is_returned_and_kept():
    session = Session(ClientConnection())
    greeting = perform(greet(session), b"+O", b"K rea", b"dy\r\n")
    assert greeting == session.greeting == Greeting(Ok("ready"))


def test_a_server_that_refuses():
    session = Session(ClientConnection())
    with pytest.raises(SessionRefused) as refusal:
        perform(greet(session), b"-ERR [SYS/TEMP] too busy\r\n")
    assert refusal.value.reply == Err("[SYS/TEMP] too busy")
    assert session.greeting == Greeting(refusal.value.reply)


@pytest.mark.parametrize(
    "octets,error,words",
    [
        (b"* OK imap\r\n", RemoteProtocolError, "IMAP"),
        (b"220 smtp\r\n", RemoteProtocolError, "SMTP"),
        (b"+O", ConnectionLost, "before its greeting"),
    ],
)
def test_what_is_no_greeting(octets, error, words):
    with pytest.raises(error, match=words):
        perform(greet(Session(ClientConnection())), octets)


def test_the_handshake_comes_before_the_greeting():
    actor = Actor(establish(Session(ClientConnection(tls=True)), "implicit")).go()
    assert [type(operation) for operation in actor.performed] == [StartTls, Read]
    failing = Actor(establish(Session(ClientConnection(tls=True)), "implicit"), tls=ConnectionLost("no")).go()
    with pytest.raises(ConnectionLost):
        failing.outcome()


def test_nothing_is_greeted_twice(server):
    with pytest.raises(LocalProtocolError, match="taken before"):
        perform(greet(Script(b"+OK\r\n").session), b"-ERR go\r\n")


# ------------------------------------------------------------------------------------------------ call


def test_a_call_returns_what_the_answer_means(server):
    assert server.run(call(server.session, Stat()), b"+OK 2 320\r\n") == MaildropStatus(2, 320)
    assert server.run(call(server.session, Retr(1)), b"+OK\r\n..a", b"\r\n.\r\n") == b".a\r\n"
    assert server.heard == [b"STAT\r\n", b"RETR 1\r\n"]


def test_a_call_that_fails(server):
    with pytest.raises(CommandFailed) as failure:
        server.run(call(server.session, Dele(7)), b"-ERR no such message\r\n")
    assert (failure.value.command, failure.value.reply) == (Dele(7), Err("no such message"))
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def test_an_answer_that_makes_no_sense(server):
    with pytest.raises(MalformedReply):
        server.run(call(server.session, Stat()), b"+OK many\r\n")
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def test_what_cannot_be_sent_is_not_sent(server):
    for command in (User("ann"), Apop("ann", "0" * 32)):
        with pytest.raises(LocalProtocolError, match="not legal"):
            server.run(call(server.session, command))
    assert server.heard == []
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


@pytest.mark.parametrize("command", [Auth("PLAIN"), Stls()])
def test_what_needs_more_than_an_answer_has_a_procedure_of_its_own(command):
    server = Script()
    with pytest.raises(LocalProtocolError, match="procedure of its own"):
        server.run(call(server.session, command))
    assert server.heard == []


def test_a_body_that_is_too_large_is_not_kept():
    server = Script(connection=ClientConnection(limits=Limits(body=10))).log_in()
    assert server.run(call(server.session, Retr(1)), b"+OK\r\n12345678\r\n.\r\n") == b"12345678\r\n"
    with pytest.raises(MalformedReply, match="RETR 1 has more than 10 octets"):
        server.run(call(server.session, Retr(1)), b"+OK\r\n123456789\r\n")
    assert server.run(call(server.session, Noop()), b"more\r\n.\r\n", b"+OK\r\n") is None


@pytest.mark.parametrize("command", [Capa(), AuthList(), LangList()])
@pytest.mark.parametrize("limit", [None, 10_000])
def test_a_server_before_login_does_not_fill_the_memory(command, limit):
    """It is stopped while the answer comes, not once all of it is there."""
    limits = Limits() if limit is None else Limits(text_octets=limit)
    script = Script(connection=ClientConnection(limits=limits))
    actor = script.begin(call(script.session, command))
    script.tell(actor, b"+OK\r\n")
    piece = b"x" * 998 + b"\r\n"
    received = 0
    while not actor.finished:
        script.tell(actor, piece)
        received += len(piece)
        assert received <= limits.text_octets + len(piece)
    with pytest.raises(MalformedReply, match=f"the answer to {command} has more than {limits.text_octets} octets"):
        actor.outcome()
    assert script.run(call(script.session, User("ann")), b"more\r\n.\r\n", b"+OK\r\n") is None, "it goes on, in step"


def test_an_answer_as_long_as_it_may_be_is_taken():
    script = Script(connection=ClientConnection(limits=Limits(text_octets=12)))
    assert script.run(call(script.session, Capa()), b"+OK\r\nTOP\r\nUIDL \r\n.\r\n").top
    with pytest.raises(MalformedReply, match="12 octets"):
        script.run(call(script.session, Capa()), b"+OK\r\nTOP\r\nUIDL  \r\n.\r\n")


def test_a_hang_up_in_the_middle(server):
    with pytest.raises(ConnectionLost, match="before answering STAT"):
        server.run(call(server.session, Stat()), b"")


# -------------------------------------------------------------------------------------------- call_all


def test_without_pipelining_each_waits_for_the_one_before(server):
    procedure = call_all(server.session, [Stat(), Dele(2), Noop()], return_exceptions=True)
    results = server.run(procedure, b"+OK 2 320\r\n", b"-ERR\r\n", b"+OK\r\n")
    assert results[0] == MaildropStatus(2, 320)
    assert isinstance(results[1], CommandFailed)
    assert results[2] is None
    assert server.heard == [b"STAT\r\n", b"DELE 2\r\n", b"NOOP\r\n"]


def test_with_pipelining_they_go_out_in_one_write(pipelining):
    procedure = call_all(pipelining.session, [Stat(), Dele(2), Noop()], return_exceptions=True)
    results = pipelining.run(procedure, b"+OK 2 320\r\n-ERR\r\n+OK\r\n")
    assert [type(result) for result in results] == [MaildropStatus, CommandFailed, type(None)]
    assert pipelining.heard == [b"STAT\r\nDELE 2\r\nNOOP\r\n"]


def test_the_first_refusal_is_raised_and_what_was_not_sent_is_not_sent(server):
    with pytest.raises(CommandFailed, match="DELE 2"):
        server.run(call_all(server.session, [Dele(1), Dele(2), Dele(3)]), b"+OK\r\n", b"-ERR\r\n")
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None
    assert server.heard == [b"DELE 1\r\n", b"DELE 2\r\n", b"NOOP\r\n"]


def test_the_first_refusal_is_raised_and_later_answers_are_discarded(pipelining):
    with pytest.raises(CommandFailed, match="DELE 2"):
        pipelining.run(call_all(pipelining.session, [Dele(1), Dele(2), Dele(3)]), b"+OK\r\n-ERR\r\n-ERR 3\r\n")
    assert pipelining.run(call(pipelining.session, Stat()), b"+OK 2 2\r\n") == MaildropStatus(2, 2)


@pytest.mark.parametrize("script", ["server", "pipelining"])
def test_a_malformed_answer_costs_one_result(script, request):
    script = request.getfixturevalue(script)
    actor = script.begin(call_all(script.session, [Stat(), Stat(), Noop()], return_exceptions=True))
    script.tell(actor, b"+OK x\r\n", b"+OK 1 2\r\n", b"+OK\r\n")
    malformed, status, done = actor.outcome()
    assert isinstance(malformed, MalformedReply)
    assert (status, done) == (MaildropStatus(1, 2), None)


def test_a_body_that_is_too_large_costs_one_result():
    script = Script(connection=ClientConnection(limits=Limits(body=10)), capabilities=PIPELINING).log_in()
    actor = script.begin(call_all(script.session, [Retr(1), Retr(2)], return_exceptions=True))
    script.tell(actor, b"+OK\r\n0123456789012345", b"0123456789\r\n.\r\n+OK\r\ntwo\r\n.\r\n")
    large, whole = actor.outcome()
    assert isinstance(large, MalformedReply)
    assert whole == b"two\r\n"


@pytest.mark.parametrize("wrong", ["STAT", None, Stat, AuthResponse(b"x")])
def test_what_is_not_a_command_is_refused_before_anything_happens(server, wrong):
    with pytest.raises(TypeError, match="instances of Command"):
        call(server.session, wrong)
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def retrieved(script, numbers, **arguments):
    """The items of a retrieval, or the exceptions that it raises, until its end."""
    retrieval = Retrieval(script.session, numbers, **arguments)

    def items():
        while True:
            try:
                item = yield from retrieval.next()
            except (CommandFailed, MalformedReply) as failure:
                item = failure
            if item is None:
                return got
            got.append(item)

    got = []
    return items()


@pytest.mark.parametrize("script", ["server", "pipelining"])
def test_a_retrieval_raises_refusals_in_order(script, request):
    script = request.getfixturevalue(script)
    answers = (b"+OK\r\none\r\n.\r\n", b"-ERR gone\r\n", b"+OK\r\nthree\r\n.\r\n")
    actor = script.begin(retrieved(script, [1, 2, 3], return_exceptions=False))
    one, failure, three = script.tell(actor, *answers).outcome()
    assert (one, three) == ((1, b"one\r\n"), (3, b"three\r\n"))
    assert failure.command == Retr(2)
    actor = script.begin(retrieved(script, [1, 2, 3], return_exceptions=True))
    one, (number, failure), three = script.tell(actor, *answers).outcome()
    assert (one, number, three) == ((1, b"one\r\n"), 2, (3, b"three\r\n"))
    assert failure.command == Retr(2)


def test_nothing_to_do(server):
    assert server.run(call_all(server.session, [])) == []
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def test_the_same_command_object_may_be_given_twice(pipelining):
    same = Retr(1)
    answers = b"+OK\r\none\r\n.\r\n-ERR\r\n+OK\r\nthree\r\n.\r\n"
    procedure = call_all(pipelining.session, [same, same, same], return_exceptions=True)
    first, second, third = pipelining.run(procedure, answers)
    assert (first, third) == (b"one\r\n", b"three\r\n")
    assert isinstance(second, CommandFailed)


def test_nothing_goes_behind_a_barrier(pipelining):
    with pytest.raises(LocalProtocolError, match="session is over"):
        pipelining.run(call_all(pipelining.session, [Noop(), Quit(), Noop()]), b"+OK\r\n", b"+OK\r\n")
    assert pipelining.heard == [b"NOOP\r\nQUIT\r\n"]


def test_a_login_can_be_a_series():
    script = Script(capabilities=PIPELINING)
    results = script.run(
        call_all(script.session, [User("ann"), Pass("tanstaaf"), Stat()]), b"+OK\r\n+OK\r\n", b"+OK 2 320\r\n"
    )
    assert results[2] == MaildropStatus(2, 320)
    assert script.heard == [b"USER ann\r\nPASS tanstaaf\r\n", b"STAT\r\n"]


@pytest.mark.parametrize("script", ["server", "pipelining"])
def test_an_objection_in_the_middle_comes_when_those_before_are_answered(script, request):
    script = request.getfixturevalue(script)
    actor = script.begin(call_all(script.session, [Noop(), Dele(1), User("ann"), Dele(2)]))
    script.tell(actor, b"+OK\r\n")
    assert not actor.finished
    script.tell(actor, b"+OK\r\n")
    with pytest.raises(LocalProtocolError, match="USER"):
        actor.outcome()
    assert b"".join(script.heard) == b"NOOP\r\nDELE 1\r\n"
    assert script.run(call(script.session, Noop()), b"+OK\r\n") is None


@pytest.mark.parametrize("script", ["server", "pipelining"])
@pytest.mark.parametrize("fault", [LocalProtocolError, ValueError])
def test_so_does_what_the_iterable_raises(script, fault, request):
    """`(Dele(n) for n in [1, 2, 0])` raises when DELE 1 is noted as sent: it must be sent then."""
    script = request.getfixturevalue(script)

    def commands():
        yield Dele(1)
        yield Dele(2)
        raise fault("the third is none")

    actor = script.begin(call_all(script.session, commands()))
    script.tell(actor, b"+OK\r\n", b"+OK\r\n")
    with pytest.raises(fault, match="the third is none"):
        actor.outcome()
    assert b"".join(script.heard) == b"DELE 1\r\nDELE 2\r\n"
    assert script.run(call(script.session, Noop()), b"+OK\r\n") is None


def test_an_iterable_that_raises_at_once(server):
    def commands():
        raise ValueError("none")
        yield

    with pytest.raises(ValueError, match="none"):
        server.run(call_all(server.session, commands()))
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def test_a_malformed_answer_in_the_middle(pipelining):
    with pytest.raises(MalformedReply):
        pipelining.run(call_all(pipelining.session, [Stat(), Stat(), Noop()]), b"+OK x\r\n")
    rest = b"+OK 1 1\r\n+OK\r\n"
    assert pipelining.run(call(pipelining.session, Stat()), rest, b"+OK 2 2\r\n") == MaildropStatus(2, 2)


# ----------------------------------------------------------------------------------------------- window


@given(st.data())
def test_the_window_is_never_exceeded_and_the_order_is_kept(data):
    """For any commands, and answers that come in any number at a time."""
    script = Script(capabilities=PIPELINING).log_in()
    commands = data.draw(
        st.lists(
            st.sampled_from([Noop(), Dele(1), Dele(10**20 - 1), Top(10**20 - 1, 10**20 - 1), Rset(), Retr(77)]),
            min_size=1,
            max_size=900,
        )
    )
    actor = script.begin(call_all(script.session, iter(commands), return_exceptions=True))
    unanswered, answered, sent = 0, 0, []
    while not actor.finished:
        for write in script.heard:
            lines = write.splitlines(keepends=True)
            if sent:
                assert unanswered * 2 <= WINDOW, "refilled when half of it is answered"
            sent += lines
            unanswered += len(write)
        assert len(script.heard) <= 1, "in one write"
        script.heard.clear()
        assert 0 < unanswered <= WINDOW
        count = data.draw(st.integers(1, len(sent) - answered))
        unanswered -= sum(map(len, sent[answered : answered + count]))
        answered += count
        script.tell(actor, b"".join(b"-ERR %d\r\n" % number for number in range(answered - count, answered)))
    assert b"".join(sent) == b"".join(command.encode() for command in commands)
    results = actor.outcome()
    assert [result.command for result in results] == commands
    assert [result.reply.text for result in results] == [str(number) for number in range(len(commands))]


def test_the_window_is_filled(pipelining):
    pipelining.begin(call_all(pipelining.session, repeat(Noop())))
    [write] = pipelining.heard
    assert WINDOW - len(b"NOOP\r\n") < len(write) <= WINDOW


def test_the_window_is_refilled_when_half_of_it_is_answered(pipelining):
    actor = pipelining.begin(call_all(pipelining.session, repeat(Noop())))
    sent = pipelining.heard.pop().count(b"\r\n")
    answered = 0
    while not pipelining.heard:
        pipelining.tell(actor, b"+OK\r\n")
        answered += 1
    assert sent - answered == WINDOW // 2 // len(b"NOOP\r\n")
    assert pipelining.heard[0].count(b"\r\n") == answered


def test_a_command_larger_than_the_window_goes_alone():
    limits = Limits(command_line=8_192)
    script = Script(capabilities=PIPELINING, connection=ClientConnection(limits=limits))
    commands = [User("a" * 5_000), User("b" * 5_000)]
    script.run(call_all(script.session, commands), b"+OK\r\n", b"+OK\r\n")
    assert len(script.heard) == 2


# ------------------------------------------------------------------------------------------- capabilities

CAPA = b"+OK\r\nPIPELINING\r\nSASL PLAIN\r\n.\r\n"


def test_capabilities_are_kept():
    script = Script()
    assert not script.session.pipelining
    script.run(learn_capabilities(script.session), CAPA)
    assert script.session.capabilities == Capabilities(pipelining=True, sasl=("PLAIN",))
    assert script.session.pipelining


def test_a_server_without_capa():
    script = Script(capabilities=PIPELINING)
    script.run(learn_capabilities(script.session), b"-ERR what?\r\n")
    assert script.session.capabilities is None
    assert not script.session.pipelining


def test_a_server_that_hangs_up_on_capa():
    script = Script()
    with pytest.raises(ConnectionLost, match="CAPA"):
        script.run(learn_capabilities(script.session), b"")


# --------------------------------------------------------------------------------------------- start_tls

STLS_CAPA = b"+OK\r\nPIPELINING\r\nSTLS\r\nSASL PLAIN\r\n.\r\n"


def test_stls_forgets_what_was_said_before_and_asks_again():
    script = Script(b"+OK ready <1@a>\r\n", capabilities=Capabilities(sasl=("CRAM-MD5",)))
    assert script.session.context.timestamp == "<1@a>"
    actor = script.begin(start_tls(script.session))
    script.tell(actor, b"+OK begin\r\n")
    assert script.session.capabilities is None, "unknown until it has said so under TLS"
    script.tell(actor, CAPA)
    assert actor.outcome() == script.session.tls == TLS
    operations = [type(operation) for operation in actor.performed if not isinstance(operation, Now)]
    assert operations == [Write, Read, StartTls, Write, Read]
    assert script.heard == [b"STLS\r\n", b"CAPA\r\n"]
    assert script.session.capabilities == Capabilities(pipelining=True, sasl=("PLAIN",))
    assert script.session.context.timestamp is None
    assert script.session.greeting == Greeting(Ok("ready <1@a>")), "it stays what it was"
    assert script.connection.tls


def test_tls_that_is_up_does_not_fail_by_the_capabilities_behind_it():
    script = Script(connection=ClientConnection(limits=Limits(text_lines=3)))
    actor = script.begin(start_tls(script.session))
    script.tell(actor, b"+OK begin\r\n")
    script.tell(actor, b"+OK\r\n" + b"X-ODD\r\n" * 9 + b".\r\n")
    assert actor.outcome() == script.session.tls == TLS
    assert script.session.capabilities is None
    assert script.run(call(script.session, Capa()), b"+OK\r\nTOP\r\n.\r\n") == Capabilities(top=True)


def test_a_server_whose_capabilities_make_no_sense_is_told_to_who_asks():
    script = Script(connection=ClientConnection(limits=Limits(text_lines=3)))
    with pytest.raises(MalformedReply):
        script.run(learn_capabilities(script.session), b"+OK\r\n" + b"X-ODD\r\n" * 9 + b".\r\n")
    assert script.connection.state is State.AUTHORIZATION


def test_what_the_server_can_do_is_unknown_until_it_has_said_so_under_tls():
    script = Script()
    script.run(learn_capabilities(script.session), STLS_CAPA)
    actor = script.begin(start_tls(script.session))
    script.tell(actor, b"+OK begin\r\n")
    with pytest.raises(LocalProtocolError):
        planned(script.session, Password("ann", "tanstaaf"))
    script.tell(actor, CAPA)
    assert [step.name for step in planned(script.session, Password("ann", "tanstaaf")).steps] == ["PLAIN"]


def test_stls_that_is_refused():
    script = Script(capabilities=PIPELINING)
    with pytest.raises(CommandFailed) as failure:
        script.run(start_tls(script.session), b"-ERR not now\r\n")
    assert failure.value.command == Stls()
    assert (script.session.tls, script.session.capabilities) == (None, PIPELINING)
    assert script.run(call(script.session, Capa()), CAPA).pipelining, "the session goes on"


def test_a_handshake_that_fails_ends_the_session():
    script = Script()
    actor = script.begin(start_tls(script.session), tls=ConnectionLost("bad certificate"))
    with pytest.raises(ConnectionLost, match="bad certificate"):
        script.tell(actor, b"+OK\r\n").outcome()
    assert script.connection.state is State.CLOSED
    assert script.session.tls is None
    assert script.heard == [b"STLS\r\n"]


def test_stls_under_tls_is_refused_and_nothing_is_sent():
    script = Script()
    script.run(start_tls(script.session), b"+OK\r\n", CAPA)
    script.heard.clear()
    with pytest.raises(LocalProtocolError, match="TLS"):
        script.run(start_tls(script.session))
    assert script.heard == []
    assert script.run(learn_capabilities(script.session), CAPA) is None


def test_stls_after_login_is_refused_and_nothing_is_sent(server):
    with pytest.raises(LocalProtocolError, match="not legal"):
        server.run(start_tls(server.session))
    assert server.heard == []


def test_octets_behind_the_answer_to_stls_end_the_session_before_the_handshake():
    script = Script()
    actor = script.begin(start_tls(script.session))
    with pytest.raises(RemoteProtocolError, match="after its answer to STLS"):
        script.tell(actor, b"+OK\r\n+OK\r\n").outcome()
    assert not any(isinstance(operation, StartTls) for operation in actor.performed)
    assert script.heard == [b"STLS\r\n"]


def test_an_answer_to_stls_that_is_none():
    """It cannot come from a `ClientConnection`, unless somebody else feeds it as well."""
    script = Script()
    actor = script.begin(start_tls(script.session))
    script.connection.fail("cut")
    with pytest.raises(RemoteProtocolError, match="no answer to STLS"):
        script.tell(actor, b"+OK\r\n").outcome()


def test_no_answer_to_stls():
    script = Script()
    with pytest.raises(ConnectionLost, match="before answering STLS"):
        script.run(start_tls(script.session), b"")


def test_stls_has_one_deadline_for_all_of_it():
    script = Script(timeout=60)
    actor = script.begin(start_tls(script.session))
    actor.sleep(40)
    script.tell(actor, b"+OK\r\n")
    assert [operation.until for operation in actor.performed if isinstance(operation, StartTls)] == [1_060.0]
    with pytest.raises(TimedOut):
        actor.sleep(20).outcome()


def established(mode, *chunks, **arguments):
    """The client of a session that is begun in some mode, and what it has written."""
    session = Session(ClientConnection(tls=mode == "implicit"), **arguments)
    actor = Actor(establish(session, mode)).receive(*chunks)
    return session, actor


def test_a_session_without_tls():
    session, actor = established("none", b"+OK\r\n")
    assert actor.outcome() is None
    assert actor.take() == b""
    assert session.tls is None


def test_a_session_with_implicit_tls_believes_the_timestamp():
    session, actor = established("implicit", b"+OK <1@a>\r\n")
    assert actor.outcome() is None
    assert actor.take() == b""
    assert (session.tls, session.context.timestamp) == (TLS, "<1@a>")


def test_a_session_with_stls():
    session, actor = established("starttls", b"+OK <1@a>\r\n", b"+OK\r\n", CAPA)
    assert actor.outcome() is None
    assert actor.take() == b"STLS\r\nCAPA\r\n"
    assert (session.tls, session.context.timestamp) == (TLS, None)


@pytest.mark.parametrize("mode,port", [("implicit", 995), ("starttls", 110), ("none", 110)])
def test_ports(mode, port):
    assert default_port(mode) == port


@pytest.mark.parametrize("mode", [True, False, None, "", "Implicit", "tls"])
def test_what_is_no_mode_is_not_taken_for_none(mode):
    with pytest.raises(ValueError, match="tls must be one of 'implicit', 'starttls', 'none', not "):
        default_port(mode)


@pytest.mark.parametrize("mode,said", [("none", b""), ("starttls", b"STLS\r\n"), ("implicit", b"")])
def test_establishing_has_deadlines(mode, said):
    _, actor = established(mode, timeout=60)
    if mode == "starttls":
        actor.receive(b"+OK\r\n")
    assert actor.take() == said
    with pytest.raises(TimedOut):
        actor.sleep(60).outcome()


# ------------------------------------------------------------------------- passwords by hand


@pytest.mark.parametrize("way", ["call", "call_all", "exchange"])
def test_a_password_by_hand_is_refused_where_it_must_not_be_shown(way):
    script = Script(may_show_password=False, capabilities=PIPELINING)
    script.run(call(script.session, User("ann")), b"+OK\r\n")
    procedure = {
        "call": lambda: call(script.session, Pass(SECRET)),
        "call_all": lambda: call_all(script.session, [Pass(SECRET)]),
        "exchange": lambda: Pipeline(script.session, [Pass(SECRET)]).begin(),
    }[way]
    with pytest.raises(LocalProtocolError, match=r"PASS shows the password, and there is no verified TLS"):
        script.run(procedure())
    assert script.heard == [b"USER ann\r\n"]
    assert script.run(call(script.session, User("bob")), b"+OK\r\n") is None, "the session goes on"


def test_a_password_by_hand_behind_its_user_is_refused_too():
    script = Script(may_show_password=False, capabilities=PIPELINING)
    actor = script.begin(call_all(script.session, [User("ann"), Pass(SECRET), Noop()]))
    script.tell(actor, b"+OK\r\n")
    with pytest.raises(LocalProtocolError, match="PASS shows"):
        actor.outcome()
    assert script.heard == [b"USER ann\r\n"]


@pytest.mark.parametrize("verified", [True, False])
def test_a_password_by_hand_under_tls(verified):
    script = Script(may_show_password=False)
    script.session.secured(TlsInfo("TLSv1.3", verified=verified))
    script.run(call(script.session, User("ann")), b"+OK\r\n")
    if verified:
        assert script.run(call(script.session, Pass(SECRET)), b"+OK\r\n") is None
        return
    with pytest.raises(LocalProtocolError, match="PASS shows"):
        script.run(call(script.session, Pass(SECRET)))
    assert script.heard == [b"USER ann\r\n"]


# ------------------------------------------------------------------------------------------------- quit


def test_quit(server):
    assert server.run(quit_session(server.session), b"+OK bye\r\n") is None
    assert server.heard == [b"QUIT\r\n"]
    assert server.connection.state is State.CLOSED


def test_a_quit_that_fails(server):
    with pytest.raises(CommandFailed):
        server.run(quit_session(server.session), b"-ERR some messages are still there\r\n")
    assert server.connection.state is State.CLOSED


def test_no_answer_to_quit(server):
    with pytest.raises(UncertainUpdate, match="deletions may or may not have happened"):
        server.run(quit_session(server.session), b"")


def test_no_answer_to_quit_before_login():
    script = Script()
    with pytest.raises(ConnectionLost) as failure:
        script.run(quit_session(script.session), b"")
    assert not isinstance(failure.value, UncertainUpdate)


@pytest.mark.parametrize("end", ["hang-up", "too late"])
def test_leaving_before_login_loses_nothing(end):
    script = Script(timeout=60)
    actor = script.begin(leave(script.session))
    actor = actor.sleep(60) if end == "too late" else script.tell(actor, b"")
    assert actor.outcome() is None
    assert script.heard == [b"QUIT\r\n"]


def test_leaving_after_login_is_a_quit(server):
    with pytest.raises(UncertainUpdate):
        server.run(leave(server.session), b"")
    script = Script().log_in()
    assert script.run(leave(script.session), b"+OK\r\n") is None
    script = Script().log_in()
    with pytest.raises(CommandFailed):
        script.run(leave(script.session), b"-ERR\r\n")


# ------------------------------------------------------------------------------------------------ bodies


def test_a_body_in_parts(server):
    exchange = begun(server, [Retr(1)])
    body = Body(exchange, Retr(1))
    server.run(body.open(), b"+OK 6 octets\r\nab")
    assert body.reply == Ok("6 octets")
    assert body.poll() == b"ab"
    assert body.poll() is NEED_DATA
    assert server.run(body.step(), b"c\r\n.") is None
    assert body.poll() == b"c\r\n"
    assert not body.ended
    assert server.run(body.chunk(), b"\r\n") is None
    assert body.ended
    assert body.poll() is None, "and again"
    assert exchange.poll() is None


def test_what_is_left_of_a_body_is_read(server):
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\nab")
    assert body.poll() == b"ab"
    assert server.run(body.read(100), b"c\r\n", b"..d\r\n.\r\n") == b"c\r\n.d\r\n"
    assert server.run(body.read(100)) == b""


@pytest.mark.parametrize("limit,fits", [(6, True), (5, False)])
def test_a_body_is_read_up_to_a_limit(server, limit, fits):
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\n")
    if fits:
        assert server.run(body.read(limit), b"abcd\r\n.\r\n") == b"abcd\r\n"
    else:
        with pytest.raises(MalformedReply, match="RETR 1"):
            server.run(body.read(limit), b"abcd\r\n.\r\n")
        assert server.run(call(server.session, Noop()), b"+OK\r\n") is None, "the session goes on"


@given(lines=st.binary(max_size=60), cuts=st.sets(st.integers(0, 99)), sizes=st.lists(st.integers(-1, 20), max_size=9))
def test_a_body_is_read_as_a_file_is(lines, cuts, sizes):
    """Any sizes, whatever the chunks: the octets that `io.BytesIO` gives."""
    encoder = BodyEncoder()
    wire = b"+OK\r\n" + encoder.feed(lines) + encoder.finish()
    file = io.BytesIO(Retr(1).parse(Ok(), BodyDecoder().feed(wire[5:])))
    server = Script().log_in()
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), wire[:5])
    at = [5, *sorted(cut for cut in cuts if 5 < cut < len(wire)), len(wire)]
    chunks = [wire[one:other] for one, other in pairwise(at)]
    for size in (*sizes, 0, None):
        actor = server.begin(body.read(1_000, size))
        while not actor.finished:
            server.tell(actor, chunks.pop(0))
        assert actor.outcome() == file.read(size)
    assert server.run(body.read(1_000, 1)) == b""


def test_chunks_go_on_behind_what_was_read(server):
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\nabcdef\r\n.\r\n")
    assert server.run(body.read(100, 2)) == b"ab"
    assert server.run(body.chunk()) == b"cdef\r\n"
    assert server.run(body.chunk()) is None


def test_a_body_that_is_refused(server):
    body = Body(begun(server, [Retr(1)]), Retr(1))
    with pytest.raises(CommandFailed):
        server.run(body.open(), b"-ERR\r\n")
    assert body.reply is None
    with pytest.raises(LocalProtocolError, match="not open"):
        body.poll()
    with pytest.raises(Broken):
        server.run(body.open())
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def test_an_answer_without_a_body_is_an_empty_one(server):
    body = Body(begun(server, [Noop()]), Noop())
    server.run(body.open(), b"+OK done\r\n")
    assert body.reply == Ok("done")
    assert body.ended
    assert body.poll() is None


def test_a_body_must_be_open(server):
    body = Body(begun(server, [Retr(1)]), Retr(1))
    with pytest.raises(LocalProtocolError, match="RETR 1 is not open"):
        body.poll()
    server.run(body.open(), b"+OK\r\n")
    with pytest.raises(LocalProtocolError, match="opened before"):
        server.run(body.open())


def test_a_body_is_never_that_of_the_next_command(pipelining):
    """Read to its end, and asked again; and skipped, and asked again."""
    exchange = begun(pipelining, [Retr(1), Retr(2), Retr(3)])
    first = Body(exchange, Retr(1))
    pipelining.run(first.open(), b"+OK\r\none\r\n.\r\n+OK\r\ntwo\r\n.\r\n+OK\r\nthree\r\n.\r\n")
    assert pipelining.run(first.read(100)) == b"one\r\n"
    assert pipelining.run(first.read(100)) == b""
    second = Body(exchange, Retr(2))
    late = Body(exchange, Retr(2))
    pipelining.run(second.open())
    pipelining.run(exchange.skip(1))
    for use in (second.chunk, lambda: second.read(100), late.open):
        with pytest.raises(Broken, match="RETR 2 was thrown away"):
            pipelining.run(use())
    third = Body(exchange, Retr(3))
    pipelining.run(third.open())
    assert pipelining.run(third.read(100)) == b"three\r\n"
    with pytest.raises(LocalProtocolError, match="all commands"):
        pipelining.run(exchange.result())


def test_skipping_what_is_not_there_yet(server):
    exchange = begun(server, [Retr(1), Noop()])
    server.run(exchange.skip(0), b"+OK\r\none", b"\r\n.\r\n")
    assert exchange.answered == 1
    assert server.run(exchange.result(), b"+OK\r\n") is None


def test_the_parts_of_an_exchange(server):
    exchange = begun(server, [Retr(1), Retr(2), Noop()])
    assert exchange.command == Retr(1)
    assert exchange.poll() is NEED_DATA
    server.run(exchange.step(), b"+OK\r\na\r\n.\r\n")
    assert exchange.poll() == Answer(Retr(1), Ok())
    assert exchange.poll() == BodyChunk(b"a\r\n")
    assert exchange.poll() == BodyEnd()
    assert exchange.command == Retr(2)
    assert exchange.poll() is NEED_DATA, "it is not sent yet"
    server.run(exchange.step(), b"-ERR\r\n")
    assert exchange.poll() == Answer(Retr(2), Err())
    server.run(exchange.step(), b"+OK\r\n")
    assert exchange.poll() == Answer(Noop(), Ok())
    assert exchange.command is None
    assert exchange.poll() is None
    assert exchange.answered == 3


def test_a_connection_that_is_used_by_hand_as_well(server):
    exchange = begun(server, [Noop()])
    server.connection.fail("by hand")
    with pytest.raises(LocalProtocolError, match="by hand, beside this client: ConnectionClosed"):
        exchange.poll()


# ----------------------------------------------------------------------------- one exchange after another


def test_a_command_inside_an_open_body_is_refused_and_nothing_is_sent(server):
    exchange = begun(server, [Retr(1)])
    body = Body(exchange, Retr(1))
    server.run(body.open(), b"+OK\r\nab")
    exchange.locked = True
    for procedure in (
        call(server.session, Noop()),
        call_all(server.session, [Noop()]),
        authenticate(server.session, PlainClient("ann", SECRET)),
        quit_session(server.session),
    ):
        with pytest.raises(Busy, match="RETR 1 is being read"):
            server.run(procedure)
    assert server.heard == [b"RETR 1\r\n"]
    assert server.run(body.read(100), b"c\r\n.\r\n") == b"abc\r\n"
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None, "it is read: no longer in the way"


def test_a_body_that_was_left_is_thrown_away_before_the_next_command(server):
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\nab")
    assert server.run(call(server.session, Stat()), b"c\r\n", b".\r\n", b"+OK 2 320\r\n") == MaildropStatus(2, 320)
    assert server.heard == [b"RETR 1\r\n", b"STAT\r\n"]
    with pytest.raises(Broken, match="thrown away"):
        body.poll()


def test_commands_that_were_left_are_not_sent_any_more(server):
    exchange = begun(server, [Retr(1), Dele(1)])
    assert server.run(call(server.session, Stat()), b"+OK\r\na\r\n.\r\n", b"+OK 2 320\r\n") == MaildropStatus(2, 320)
    assert server.heard == [b"RETR 1\r\n", b"STAT\r\n"]
    for use in (exchange.poll, lambda: server.run(exchange.result()), lambda: server.run(exchange.results())):
        with pytest.raises((Broken, LocalProtocolError)):
            use()


def test_pipelined_answers_that_were_left_are_thrown_away(pipelining):
    exchange = begun(pipelining, [Retr(1), Noop(), Retr(2)])
    pipelining.run(exchange.result(), b"+OK\r\na\r\n.\r\n+OK\r\n")
    answer = pipelining.run(call(pipelining.session, Stat()), b"+OK\r\nb\r\n.\r\n", b"+OK 2 320\r\n")
    assert answer == MaildropStatus(2, 320)
    with pytest.raises(Broken):
        exchange.poll()


def test_an_exchange_that_is_begun_again_is_not_taken_for_new(server):
    exchange = begun(server, [Retr(1)])
    body = Body(exchange, Retr(1))
    server.run(body.open(), b"+OK\r\nab")
    with pytest.raises(LocalProtocolError, match="given before"):
        server.run(exchange.begin())
    assert server.run(body.read(100), b"c\r\n.\r\n") == b"abc\r\n"
    with pytest.raises(LocalProtocolError, match="given before"):
        server.run(exchange.begin())
    late = Body(exchange, Retr(1))
    with pytest.raises(LocalProtocolError, match="not sent"):
        server.run(late.open())
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def test_quit_discards_any_number_of_octets(server, monkeypatch):
    """So that what is marked as deleted is removed, although a large message was not read."""
    monkeypatch.setattr(pipeline_module, "DISCARD_LIMIT", 20)
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\n")
    server.run(quit_session(server.session), b"x" * 1_000, b"\r\n.\r\n", b"+OK\r\n")
    assert server.heard == [b"RETR 1\r\n", b"QUIT\r\n"]


def test_quit_discards_until_its_deadline():
    """The peer may send an octet now and then."""
    script = Script(timeout=60).log_in()
    body = Body(begun(script, [Retr(1)]), Retr(1))
    script.run(body.open(), b"+OK\r\n")
    actor = script.begin(quit_session(script.session))
    for _ in range(6):
        assert not actor.finished
        script.tell(actor, b"x")
        actor.sleep(10)
    with pytest.raises(TimedOut):
        actor.outcome()
    assert script.heard == [b"RETR 1\r\n"]


@pytest.mark.parametrize("reply", [b"+OK\r\n", b"-ERR\r\n"])
def test_nothing_is_too_much_while_a_message_is_marked(server, monkeypatch, reply):
    monkeypatch.setattr(pipeline_module, "DISCARD_LIMIT", 20)
    with contextlib.suppress(CommandFailed):
        server.run(call(server.session, Dele(2)), reply)
    rest = b"x" * 1_000 + b"\r\n.\r\n"
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\n")
    assert server.run(call(server.session, Rset()), rest, b"+OK\r\n") is None
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\n")
    with pytest.raises(Broken, match="RETR 1 was left unread"):
        server.tell(server.begin(call(server.session, Noop())), rest).outcome()


@pytest.mark.parametrize("left,fits", [(20, True), (21, False)])
def test_what_is_left_is_thrown_away_up_to_a_limit(server, left, fits, monkeypatch):
    monkeypatch.setattr(pipeline_module, "DISCARD_LIMIT", 20)
    body = Body(begun(server, [Retr(1)]), Retr(1))
    server.run(body.open(), b"+OK\r\n")
    rest = b"x" * (left - 2) + b"\r\n.\r\n"
    if fits:
        assert server.run(call(server.session, Noop()), rest, b"+OK\r\n") is None
        return
    for _ in range(2):
        actor = server.tell(server.begin(call(server.session, Noop())), rest)
        with pytest.raises(Broken, match="RETR 1 was left unread"):
            actor.outcome()
        with pytest.raises(Broken):
            body.poll()
    assert server.heard == [b"RETR 1\r\n"]


def test_what_is_due_behind_a_refusal_that_was_raised_is_never_too_much(pipelining, monkeypatch):
    """The caller has not left it unread: it was sent already when the refusal came."""
    monkeypatch.setattr(pipeline_module, "DISCARD_LIMIT", 20)
    with pytest.raises(CommandFailed):
        pipelining.run(call_all(pipelining.session, [Retr(99), Retr(3)]), b"-ERR no such message\r\n")
    rest = b"+OK\r\n" + b"x" * 100 + b"\r\n.\r\n"
    assert pipelining.run(call(pipelining.session, Noop()), rest, b"+OK\r\n") is None


def test_a_broken_session_says_why(server):
    server.session.broken = "TimedOut: too late"
    with pytest.raises(Broken, match="cannot be used any more: TimedOut: too late"):
        server.run(call(server.session, Noop()))
    assert server.heard == []


# ------------------------------------------------------------------------------------ what comes unasked


def test_a_farewell_is_the_answer_to_nothing(server):
    server.connection.receive_data(b"-ERR disconnected for inactivity\r\n")
    with pytest.raises(ConnectionLost, match="disconnected for inactivity"):
        server.run(call(server.session, Stat()))
    assert server.heard == []


def test_an_end_of_stream_that_came_meanwhile(server):
    server.connection.receive_data(b"")
    with pytest.raises(ConnectionLost, match="closed the connection"):
        server.run(call(server.session, Stat()))


def test_a_positive_reply_that_nobody_asked_for(server):
    server.connection.receive_data(b"+OK 2 320\r\n")
    with pytest.raises(RemoteProtocolError, match="although no command was outstanding"):
        server.run(call(server.session, Stat()))


def test_one_answer_too_many(server):
    server.run(call(server.session, Noop()), b"+OK\r\n+OK\r\n")
    with pytest.raises(RemoteProtocolError, match="although no command was outstanding"):
        server.run(call(server.session, Noop()))


def test_a_connection_that_waits_for_something_else():
    script = Script()
    script.connection.send(Stls())
    script.connection.receive_data(b"+OK\r\n")
    assert script.connection.next_event() == Answer(Stls(), Ok())
    with pytest.raises(Broken, match="waits for something"):
        script.run(call(script.session, Capa()))


# ------------------------------------------------------------------------------------- cancelled, timed out


@pytest.mark.parametrize("error", [Cancelled, TimedOut, ConnectionLost])
def test_an_error_at_any_operation_passes_through(error):
    def going(number: int) -> Actor:
        script = Script()
        actor = Actor(login(script.session, Password("ann", SECRET)), strikes={number: error("x")})
        return actor.receive(CAPA, b"+OK\r\n", CAPA)

    operations = len(going(-1).performed)
    assert operations == 11
    for number in range(operations):
        with pytest.raises(error):
            going(number).outcome()


# ----------------------------------------------------------------------------------- the two procedures


@given(mail=st.lists(messages, max_size=5), piece=st.integers(1, 50))
def test_a_client_gets_from_our_server_what_is_there(mail, piece):
    store = FakeStore(*mail)
    serving = Serving(store)
    session = Session(ClientConnection(), loopback=True)

    def client():
        yield from greet(session)
        yield from login(session, Password("ann", SECRET))
        status = yield from call(session, Stat())
        sizes = yield from call(session, List())
        unique_ids = yield from call(session, Uidl())
        whole = yield from call_all(session, map(Retr, sizes))
        tops = yield from call_all(session, [Top(number, 10**20 - 1) for number in sizes])
        yield from call_all(session, [Dele(1), Dele(99)], return_exceptions=True)
        yield from quit_session(session)
        return status, sizes, unique_ids, whole, tops

    actor = Actor(client(), serving.actor.clock)
    talk(actor, serving.actor, piece=piece)
    status, sizes, unique_ids, whole, tops = actor.outcome()
    assert serving.actor.outcome() is None
    assert whole == tops == list(map(as_sent, mail))
    assert status == MaildropStatus(len(mail), sum(map(len, whole)))
    assert sizes == {number: len(body) for number, body in enumerate(whole, 1)}
    assert unique_ids == {number: f"id.{number}" for number in sizes}
    assert list(store.contents.values()) == mail[1:]
    store.check_all_is_closed()


# -------------------------------------------------------------------------------------------- operations


def test_operations_are_values_and_hide_their_octets():
    assert Write(b"a", 1.0) == Write(b"a", 1.0)
    assert Read() == Read(None)
    assert SECRET not in repr(Write(SECRET.encode()))


def test_an_operation_yields_itself_and_returns_what_it_is_sent():
    def procedure():
        return (yield from Now())

    generator = procedure()
    operation = next(generator)
    assert isinstance(operation, Now | Operation)
    with pytest.raises(StopIteration) as end:
        generator.send(5.0)
    assert end.value.value == 5.0


def test_utf8_is_a_barrier(pipelining):
    script = Script(capabilities=PIPELINING)
    script.run(call_all(script.session, [Utf8(), Capa()]), b"+OK\r\n", CAPA)
    assert script.heard == [b"UTF8\r\n", b"CAPA\r\n"]


# --------------------------------------------------------------------------------------------- deadlines


def drips(script, procedure, octets, seconds=1.0):
    """A procedure to which octets come one by one, so many seconds apart."""
    actor = script.begin(procedure)
    for octet in octets:
        if actor.finished:
            break
        actor.sleep(seconds)
        if not actor.finished:
            script.tell(actor, bytes([octet]))
    return actor


def test_a_greeting_that_comes_octet_by_octet_has_a_deadline():
    session = Session(ClientConnection(), timeout=60)
    actor = Actor(greet(session)).go()
    for octet in b"+OK " + b"x" * 100:
        actor.sleep(1)
        if actor.finished:
            break
        actor.receive(bytes([octet]))
    with pytest.raises(TimedOut):
        actor.outcome()


def test_the_handshake_has_the_deadline_of_the_greeting():
    actor = Actor(establish(Session(ClientConnection(tls=True), timeout=60), "implicit")).go()
    assert [operation.until for operation in actor.performed if isinstance(operation, StartTls)] == [1_060.0]


def test_an_answer_that_comes_octet_by_octet_has_a_deadline():
    script = Script(timeout=60).log_in()
    with pytest.raises(TimedOut):
        drips(script, call(script.session, Stat()), b"+OK 2 320" + b" " * 100).outcome()


def test_each_answer_has_a_deadline_of_its_own():
    script = Script(timeout=60, capabilities=PIPELINING).log_in()
    actor = script.begin(call_all(script.session, [Noop()] * 10))
    for _ in range(10):
        actor.sleep(50)
        script.tell(actor, b"+OK\r\n")
    assert actor.outcome() == [None] * 10


def test_a_body_may_take_as_long_as_it_goes_on():
    script = Script(timeout=60).log_in()
    actor = drips(script, call(script.session, Retr(1)), b"+OK\r\n")
    for _ in range(50):
        actor.sleep(50)
        script.tell(actor, b"text" * 15)
    actor.sleep(50)
    assert script.tell(actor, b"\r\n.\r\n").outcome() == b"text" * 750 + b"\r\n"


def at_a_rate(rate, octets, seconds):
    """What comes of a body of which so many octets come every so many seconds, 1,000 in all."""
    connection = ClientConnection(limits=Limits(least_rate=rate))
    script = Script(timeout=60, connection=connection).log_in()
    actor = drips(script, call(script.session, Retr(1)), b"+OK\r\n")
    for _ in range(1_000 // octets):
        actor.sleep(seconds)
        if actor.finished:
            break
        script.tell(actor, b"x" * octets)
    return script.tell(actor, b"\r\n.\r\n").outcome()


@pytest.mark.parametrize("rate, octets, seconds", [(1, 10, 9.9), (1, 1, 0.9), (10, 200, 19.9), (10, 100, 9.9)])
def test_a_body_may_be_as_slow_as_the_least_rate(rate, octets, seconds):
    assert len(at_a_rate(rate, octets, seconds)) == 1_000 // octets * octets + 2


@pytest.mark.parametrize(
    "rate, octets, seconds, came", [(1, 10, 20, "20 octets"), (1, 1, 31, "1 octet"), (10, 200, 29, "400 octets")]
)
def test_a_body_that_drips_is_given_up(rate, octets, seconds, came):
    message = rf"^the peer was too slow: {came} of a body in 60 seconds, and {60 * rate} are the least: waited for the"
    with pytest.raises(TimedOut, match=message):
        at_a_rate(rate, octets, seconds)


def test_a_listing_that_drips_is_given_up():
    script = Script(timeout=60).log_in()
    actor = drips(script, call(script.session, List()), b"+OK\r\n")
    for _ in range(6):
        script.tell(actor, b"1")
        actor.sleep(10)
    with pytest.raises(TimedOut, match=r"waited for the rest of the body of LIST"):
        actor.outcome()


def test_the_time_that_a_caller_takes_between_two_reads_is_not_the_servers():
    script = Script(timeout=60).log_in()
    body = Body(begun(script, [Retr(1)]), Retr(1))
    script.run(body.open(), b"+OK\r\n")
    clock = Clock()
    for _ in range(10):
        clock.now += 1_000
        assert Actor(body.chunk(), clock).receive(b"x").outcome() == b"x"


def test_without_a_timeout_nothing_is_too_slow():
    script = Script().log_in()
    actor = drips(script, call(script.session, Retr(1)), b"+OK\r\n")
    actor.sleep(1_000_000)
    assert script.tell(actor, b"x\r\n.\r\n").outcome() == b"x\r\n"


@pytest.mark.parametrize(
    "greeted, sent, message",
    [
        (False, b"", r"the greeting; if TLS begins at once on this port, the server waits, too: use implicit TLS$"),
        (
            False,
            b"+OK ready\n",
            r"the greeting; it has sent '\+OK ready\\n' without CRLF \(the quirk bare_lf takes",
        ),
        (
            False,
            b"\x15\x03\x01\x00",
            r"the greeting \(this looks like TLS, not POP3; use implicit TLS on this port\)",
        ),
        (True, b"", r"the answer to STAT$"),
        (True, b"+OK 1 2", r"the answer to STAT; it has sent '\+OK 1 2' without CRLF$"),
    ],
)
def test_silence_names_what_was_waited_for_and_what_came_of_it(greeted, sent, message):
    if greeted:
        script = Script(timeout=60).log_in()
        actor = script.begin(call(script.session, Stat()))
    else:
        actor = Actor(greet(Session(ClientConnection(), timeout=60))).go()
    actor.receive(*[sent] if sent else [])
    with pytest.raises(TimedOut, match=rf": waited for {message}"):
        actor.sleep(60).outcome()


def test_silence_within_an_unasked_line():
    script = Script(timeout=60).log_in()
    script.connection.receive_data(b"-ERR bye")
    actor = script.begin(call(script.session, Stat()))
    with pytest.raises(TimedOut, match=r"waited for the rest of a line; it has sent '-ERR bye' without CRLF$"):
        actor.sleep(60).outcome()


def test_after_a_login_the_deadline_is_forgotten():
    script = Script(timeout=60)
    script.run(login(script.session, Password("ann", SECRET)), b"-ERR\r\n", b"+OK\r\n", b"+OK\r\n")
    actor = Actor(call(script.session, Noop()))
    actor.clock.now += 1_000
    assert actor.receive(b"+OK\r\n").outcome() is None


def test_a_quit_that_is_not_answered_in_time_is_uncertain():
    script = Script(timeout=60).log_in()
    actor = script.begin(quit_session(script.session))
    with pytest.raises(UncertainUpdate, match=r"; deletions may or may not have happened$") as failure:
        actor.sleep(60).outcome()
    assert isinstance(failure.value.__cause__, TimedOut)


def test_a_quit_that_was_never_sent_is_certain(server):
    server.connection.receive_data(b"")
    with pytest.raises(ConnectionLost) as failure:
        server.run(quit_session(server.session))
    assert not isinstance(failure.value, UncertainUpdate)


# --------------------------------------------------------------------------- what was too long stays so


def test_what_is_left_of_an_answer_that_was_too_long_never_passes_for_the_whole():
    script = Script(connection=ClientConnection(limits=Limits(body=8))).log_in()
    exchange = begun(script, [Retr(1)])
    with pytest.raises(MalformedReply):
        script.run(exchange.result(), b"+OK\r\n0123456789\r\n")
    with pytest.raises(Broken):
        script.run(exchange.result())
    assert script.run(call(script.session, Noop()), b"tail\r\n.\r\n", b"+OK\r\n") is None


def test_what_is_left_of_a_body_that_was_too_long_cannot_be_read():
    script = Script().log_in()
    exchange = begun(script, [Retr(1)])
    body = Body(exchange, Retr(1))
    script.run(body.open(), b"+OK\r\n")
    with pytest.raises(MalformedReply):
        script.run(body.read(8), b"0123456789\r\n")
    with pytest.raises(Broken, match="too long to be read at once"):
        script.run(body.read(100))
    assert script.run(call(script.session, Noop()), b"tail\r\n.\r\n", b"+OK\r\n") is None


@pytest.mark.parametrize(
    "rest, error", [(b"R idle\r\n", ConnectionLost), (b"", ConnectionLost), (b"ROR\r\n", RemoteProtocolError)]
)
def test_half_a_line_that_nobody_asked_for_is_read_to_its_end(rest, error):
    script = Script().log_in()
    script.connection.receive_data(b"-ER")
    actor = script.begin(call(script.session, Stat()))
    assert script.heard == []
    script.tell(actor, rest)
    assert isinstance(actor.error, error)
    assert not script.session.survives(actor.error)
    script.session.fail(actor.error)
    with pytest.raises(Broken):
        script.run(call(script.session, Stat()))
