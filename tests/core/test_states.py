"""The states: what is legal, and what comes after."""

import pytest

from pop3proto.core.commands import STANDARD, Capa, Dele, Pass, Quit, Retr, Stat, Stls, User, Utf8
from pop3proto.core.replies import Err, Ok
from pop3proto.core.session_state import SessionState, transitions
from pop3proto.core.states import Fact, State

A = SessionState(State.AUTHORIZATION)
EVERYWHERE = [SessionState(state) for state in State]


def test_a_session_begins_before_the_greeting():
    assert SessionState() == SessionState(State.GREETING, frozenset())


@pytest.mark.parametrize("standing", EVERYWHERE, ids=lambda standing: standing.state.name)
@pytest.mark.parametrize("command", [Stat(), Pass("x"), Capa(), Quit(), User("ann")], ids=str)
def test_a_command_is_legal_where_it_says(standing, command):
    legal = standing.state in command.legal_in
    assert standing.objection(command) == (None if legal else objection(command, standing.state))


WHEN = {
    State.GREETING: "before the greeting",
    State.AUTHORIZATION: "before login",
    State.USER_GIVEN: "between USER and PASS",
    State.SASL: "during AUTH",
    State.TLS_HANDSHAKE: "before the TLS handshake is complete",
    State.TRANSACTION: "after login",
    State.UPDATE: "after QUIT",
    State.CLOSED: "after the end of the session",
}


def objection(command, state):
    if isinstance(command, Pass) and state is State.AUTHORIZATION:
        return "PASS is not legal yet; send USER first"
    if state is State.TRANSACTION:
        return f"{command.verb} is not legal: already logged in"
    return f"{command.verb} is not legal {WHEN[state]}"


def test_nothing_is_legal_in_between():
    for command in STANDARD:
        assert not command.legal_in & {State.GREETING, State.SASL, State.TLS_HANDSHAKE, State.UPDATE, State.CLOSED}


@pytest.mark.parametrize(
    "facts, objection",
    [
        (set(), None),
        ({Fact.TLS}, "STLS is not legal because TLS is already active"),
        ({Fact.UTF8}, "STLS is not legal because the session is in UTF-8 mode"),
        ({Fact.UTF8, Fact.TLS}, "STLS is not legal because TLS is already active"),  # the same one every time
    ],
)
def test_facts_make_a_command_illegal(facts, objection):
    standing = SessionState(State.AUTHORIZATION, frozenset(facts))
    assert standing.objection(Stls()) == objection
    assert standing.objection(Utf8()) is None


def test_the_state_is_objected_to_first():
    standing = SessionState(State.TRANSACTION, frozenset({Fact.TLS}))
    assert standing.objection(Stls()) == "STLS is not legal: already logged in"


@pytest.mark.parametrize(
    "state, command, after_ok, after_err",
    [
        (State.AUTHORIZATION, User("ann"), State.USER_GIVEN, State.AUTHORIZATION),
        (State.USER_GIVEN, Pass("x"), State.TRANSACTION, State.AUTHORIZATION),
        (State.AUTHORIZATION, Stls(), State.TLS_HANDSHAKE, State.AUTHORIZATION),
        (State.TRANSACTION, Quit(), State.CLOSED, State.CLOSED),
        (State.UPDATE, Quit(), State.CLOSED, State.CLOSED),
        (State.TRANSACTION, Dele(1), State.TRANSACTION, State.TRANSACTION),
        (State.AUTHORIZATION, Retr(1), State.AUTHORIZATION, State.AUTHORIZATION),  # not legal, and yet answered
    ],
)
def test_what_an_answer_does(state, command, after_ok, after_err):
    facts = frozenset({Fact.TLS})
    assert SessionState(state, facts).after(command, Ok) == SessionState(after_ok, facts)
    assert SessionState(state, facts).after(command, Err) == SessionState(after_err, facts)


def test_what_an_answer_establishes():
    assert A.after(Utf8(), Ok) == SessionState(State.AUTHORIZATION, frozenset({Fact.UTF8}))
    assert A.after(Utf8(), Err) == A
    assert A.with_fact(Fact.TLS).after(Utf8(), Ok).facts == {Fact.TLS, Fact.UTF8}


def test_another_state():
    assert A.at(None) is A
    assert A.at(State.AUTHORIZATION) is A
    assert A.with_fact(Fact.TLS).at(State.CLOSED) == SessionState(State.CLOSED, frozenset({Fact.TLS}))


def test_the_table_says_what_the_standings_do():
    # Commands with arguments are as those without: none of this depends on the values.
    samples = {command.__name__: command for command in STANDARD if not command.takes_arguments}
    table = transitions(samples.values())
    assert {name for _, name, _ in table} == samples.keys()
    for (state, name, reply), there in table.items():
        assert SessionState(state).objection(samples[name]()) is None
        assert SessionState(state).after(samples[name](), reply).state is there
    for state in State:
        for name, command in samples.items():
            legal = SessionState(state).objection(command()) is None
            assert ((state, name, Ok) in table, (state, name, Err) in table) == (legal, legal)


def test_of_no_commands_there_is_no_table():
    assert transitions([]) == {}
