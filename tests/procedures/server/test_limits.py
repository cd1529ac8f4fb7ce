"""How many sessions a server takes: in all, before login, and from each address."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.server import ServerConnection
from pop3proto.core.states import State
from pop3proto.procedures.server.limits import Place, SessionLimiter
from pop3proto.procedures.server.loop import refuse
from pop3proto.procedures.server.networks import networks_of, origin
from pop3proto.procedures.server.service import Service
from tests.helpers.drivers import Actor, FakeStore, OneUser


def service(**bounds) -> Service:
    return Service(store=FakeStore(), authenticator=OneUser(), **bounds)


def enter(limiter: SessionLimiter, address: str, displace=None) -> Place:
    place = limiter.enter(address, displace)
    assert isinstance(place, Place), place
    return place


ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "203.0.113.1", "")
EXEMPT = "203.0.113.0/24"
NETWORK = {"2001:db8::2": "2001:db8::1", "203.0.113.1": ""}  # what counts as another address


@given(
    st.lists(st.tuples(st.sampled_from(["enter", "log in", "leave"]), st.sampled_from(ADDRESSES)), max_size=60),
    st.integers(0, 6),
    st.integers(1, 4),
    st.none() | st.integers(1, 3),
)
def test_it_lets_in_as_many_as_it_may(moves, most, most_strangers, most_from_one):
    bounds = {"max_sessions": most, "max_sessions_before_login": most_strangers}
    limiter = SessionLimiter(service(max_sessions_per_address=most_from_one, exempt=EXEMPT, **bounds))
    inside: list[tuple[str, Place]] = []
    strangers: list[Place] = []
    displaced: list[int] = []
    for move, address in moves:
        own = NETWORK.get(address, address)
        mine = [place for name, place in inside if name == own]
        if move == "enter":
            number = len(inside)
            answer = limiter.enter(address, lambda number=number: displaced.append(number))
            full = len(inside) >= most
            from_one = bool(own) and most_from_one is not None and len(mine) >= most_from_one
            assert isinstance(answer, str) == (full or from_one)
            if isinstance(answer, str):
                assert ("your address" in answer) == (not full)
                continue
            inside.append((own, answer))
            strangers.append(answer)
            if len(strangers) > most_strangers:
                assert strangers.pop(0).displaced
        elif mine and move == "log in":
            mine[0].login_succeeded()
            strangers = [place for place in strangers if place is not mine[0]]
        elif mine:
            inside.remove((own, mine[0]))
            strangers = [place for place in strangers if place is not mine[0]]
            mine[0].leave()
        assert [place for _, place in inside if place.displaced and place in strangers] == []
        assert len(strangers) <= most_strangers
    for _, place in inside:
        place.leave()
    state = vars(limiter)
    assert not state["_by_origin"], "what has gone is forgotten: addresses are many"
    assert not state["_strangers"]
    assert state["_sessions"] == 0


def test_a_session_that_is_refused_is_not_counted():
    limiter = SessionLimiter(service(max_sessions=2, max_sessions_before_login=2, max_sessions_per_address=1))
    first = enter(limiter, "a")
    assert [limiter.enter("a") for _ in range(5)] == ["too many sessions from your address"] * 5
    enter(limiter, "b")
    assert [limiter.enter("c") for _ in range(5)] == ["too many sessions"] * 5
    first.leave()
    assert limiter.enter("b") == "too many sessions from your address"
    enter(limiter, "c")


def test_the_bounds_as_they_come():
    limiter = SessionLimiter(service())
    entered = [limiter.enter("192.0.2.1") for _ in range(101)]
    assert entered.index("too many sessions from your address") == 100
    strangers = [enter(limiter, "") for _ in range(400)]
    assert not any(place.displaced for place in strangers)
    for place in strangers:
        place.login_succeeded()
    newer = [enter(limiter, "") for _ in range(500)]
    assert sum(place.displaced for place in (*entered[:100], *newer)) == 100, "half of all may be before login"
    assert not any(place.displaced for place in strangers), "those that have logged in stay"
    assert limiter.enter("") == "too many sessions"


def test_silent_sessions_do_not_shut_out_a_new_one():
    """A thousand of them, from ten addresses, and one more client."""
    limiter = SessionLimiter(service())
    inside = [enter(limiter, f"192.0.2.{number % 10}") for number in range(500)]
    for number in range(500):
        newer = enter(limiter, f"198.51.100.{number % 10}")
        assert not newer.displaced
        assert inside[number].displaced
        inside[number].leave()
    assert not enter(limiter, "203.0.113.1").displaced


@pytest.mark.parametrize(
    "address, expected",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("not an address", "not an address"),
        ("10.1.2.3", ""),
        ("::ffff:10.1.2.3", ""),
        ("2001:db8:ffff::1", ""),
    ],
)
def test_what_counts_as_one_address(address, expected):
    assert origin(address, networks_of(["10.0.0.0/8", "2001:db8:ffff::1"])) == expected


@pytest.mark.parametrize(
    "given, networks",
    [
        ("::ffff:127.0.0.1", ["127.0.0.1/32"]),
        (["::ffff:10.0.0.0/104", "10.0.0.0/8"], ["10.0.0.0/8", "10.0.0.0/8"]),
        ("::ffff:0:0/96", ["0.0.0.0/0"]),
        (["::/0", "::fffe:0:0/96", "::fffe:0:0/95"], ["::/0", "::fffe:0:0/96", "::fffe:0:0/95"]),
    ],
)
def test_networks_of_mapped_addresses_are_those_of_ipv4(given, networks):
    """A client has its IPv4 address, however the socket shows it."""
    assert [str(network) for network in networks_of(given)] == networks


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("exempt", ["127.0.0.1", "::ffff:127.0.0.1", "::ffff:127.0.0.0/104"])
def test_a_mapped_address_is_exempt_however_it_is_written(address, exempt):
    assert origin(address, networks_of(exempt)) == ""


@pytest.mark.parametrize("exempt", ["10.0.0.1/8", "localhost", ["192.0.2.1", "x"], ""])
def test_what_is_neither_an_address_nor_a_network_is_refused(exempt):
    with pytest.raises(LocalProtocolError, match="not an address or a network"):
        service(exempt=exempt)


@pytest.mark.parametrize("text", ["too many sessions", "too many sessions from your address"])
def test_a_client_that_is_refused_is_told_so_and_may_come_again(text):
    connection = ServerConnection()
    actor = Actor(refuse(connection, service(), text)).go()
    assert actor.take() == f"-ERR [SYS/TEMP] {text}\r\n".encode()
    assert actor.finished
    assert connection.state is State.CLOSED
