"""How many sessions a server takes, in all and from each address."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.server import ServerConnection
from pop3proto.core.states import State
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.loop import refuse
from pop3proto.procedures.server.service import Service
from tests.helpers.drivers import Actor, FakeStore, OneUser


def service(**bounds: int | None) -> Service:
    return Service(store=FakeStore(), authenticator=OneUser(), **bounds)


addresses = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", ""])
comings_and_goings = st.lists(st.tuples(st.booleans(), addresses), max_size=60)


@given(comings_and_goings, st.integers(0, 6), st.none() | st.integers(0, 3))
def test_it_lets_in_as_many_as_it_may(moves, most, most_from_one):
    gate = SessionLimiter(service(max_sessions=most, max_sessions_per_address=most_from_one))
    inside: list[str] = []
    for comes, address in moves:
        if comes:
            there_is_room = len(inside) < most
            room_for_address = not address or most_from_one is None or inside.count(address) < most_from_one
            objection = gate.enter(address)
            assert (objection is None) == (there_is_room and room_for_address)
            if objection is None:
                inside.append(address)
            else:
                assert ("your address" in objection) == there_is_room
        elif address in inside:
            inside.remove(address)
            gate.leave(address)
    for address in inside:
        gate.leave(address)
    assert not vars(gate)["_by_address"], "whoever has gone is forgotten: addresses are many"
    entered = [gate.enter(f"192.0.2.{number}") for number in range(most + 1)]
    if most_from_one != 0:
        assert [objection is None for objection in entered] == [True] * most + [False]


def test_who_is_refused_is_not_counted():
    gate = SessionLimiter(service(max_sessions=2, max_sessions_per_address=1))
    assert gate.enter("a") is None
    assert [gate.enter("a") for _ in range(5)] == ["too many sessions from your address"] * 5
    assert gate.enter("b") is None
    assert [gate.enter("c") for _ in range(5)] == ["too many sessions"] * 5
    gate.leave("a")
    assert gate.enter("b") == "too many sessions from your address"
    assert gate.enter("c") is None


def test_the_bounds_as_they_come():
    gate = SessionLimiter(service())
    entered = [gate.enter("192.0.2.1") for _ in range(101)]
    assert entered.index("too many sessions from your address") == 100
    assert [gate.enter("") for _ in range(900)] == [None] * 900, "who has no address shares it with nobody"
    assert gate.enter("") == "too many sessions"


@pytest.mark.parametrize("text", ["too many sessions", "too many sessions from your address"])
def test_who_is_refused_is_told_so_and_may_come_again(text):
    connection = ServerConnection()
    actor = Actor(refuse(connection, service(), text)).go()
    assert actor.take() == f"-ERR [SYS/TEMP] {text}\r\n".encode()
    assert actor.finished
    assert connection.state is State.CLOSED
