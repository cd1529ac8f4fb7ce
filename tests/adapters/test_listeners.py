"""Several listeners of one server, and proxies in front of them, in all three adapters."""

import contextlib
import logging
import socket
import ssl
import struct

import attrs
import pytest

from pop3proto import blocking
from pop3proto._io.listener import Listener, ProxyProtocol
from pop3proto._io.peers import UNKNOWN_PEER, Peer
from pop3proto._io.sessions import Sessions
from pop3proto.authenticators.memory import MemoryAuthenticator
from pop3proto.core.errors import ConnectionLost, LocalProtocolError
from pop3proto.core.refusals import LoginFailed, SessionRefused
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.operations import ShuttingDown
from pop3proto.procedures.server.policy import ALLOW
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import AccessPolicy, Refusal, Rule
from pop3proto.testing.certificates import certificate_file, client_context
from tests.adapters.test_serve import PATIENCE, adapter, needs_ipv6, service  # noqa: F401 - one is a fixture
from tests.helpers.processes import wait_until
from tests.helpers.proxy_headers import binary, line, tls_tlv, tlv
from tests.procedures.server.test_policy import Says
from tests.procedures.server.test_session_events import Quiet

REMOTE = "198.51.100.7"  # a client far away
LOCAL = ProxyProtocol(networks="127.0.0.1")


@pytest.fixture(scope="module")
def pem():
    with certificate_file() as path:
        yield path


def talk(address, *said, ends=True):
    """All that a server says to these octets, before it or we close."""
    with socket.create_connection(address[:2], PATIENCE) as sock:
        for octets in said:
            sock.sendall(octets)
        if ends:
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_WR)
        heard = b""
        with contextlib.suppress(ConnectionResetError):  # it has not read all that was sent
            while octets := sock.recv(10_000):
                heard += octets
    return heard


def over_proxy(address, header, **arguments):
    """A client, behind a header."""
    sock = socket.create_connection(address[:2], PATIENCE)
    sock.sendall(header)
    return blocking.connect_over(sock, timeout=PATIENCE, host="localhost", **arguments)


def once_there_is_room(address, **arguments):
    """A client; a session before this one may not have ended yet."""
    clients = []

    def connects():
        with contextlib.suppress(SessionRefused, ConnectionLost):
            clients.append(blocking.connect(*address, timeout=PATIENCE, **arguments))
        return clients

    wait_until(connects, "there is no room")
    return clients[0]


class Whoever:
    """Lets in who has the password, and keeps what it knows of the sessions."""

    blocks = False

    def __init__(self):
        self.sessions: list[SessionInfo] = []

    def check_password(self, user, password, session):
        self.sessions.append(session)
        return password == "tanstaaf"


class Ends(Quiet):
    """Keeps what sessions have done."""

    def __init__(self):
        self.records = []

    def session_ended(self, _session, record, _error):
        self.records.append(record)


# ---------------------------------------------------------------------------------------------- the trap


@pytest.mark.parametrize("header", [line(REMOTE, "192.0.2.2"), binary(REMOTE), binary("2001:db8::7", "2001:db8::1")])
def test_a_clear_password_from_far_away_is_refused_behind_a_proxy_on_this_machine(adapter, header):  # noqa: F811
    """To the system the connection is from this machine, and the default takes passwords from there."""
    listener = Listener(proxy_protocol=LOCAL)
    with adapter.entered(service(), listeners=[listener]) as server:
        answers = talk(server.address, header, b"USER ann\r\nCAPA\r\n")
        assert b"-ERR [SYS/PERM] passwords are taken under TLS only" in answers
        assert b"\r\nUSER\r\n" not in answers
        near = talk(server.address, line("127.0.0.1", "127.0.0.1"), b"USER ann\r\nPASS tanstaaf\r\nQUIT\r\n")
        assert near.count(b"+OK") == 4


@pytest.mark.parametrize("header, far", [(binary(command=0x20), False), (b"PROXY UNKNOWN\r\n", True), (binary(), True)])
def test_who_is_not_announced(adapter, header, far):  # noqa: F811
    """The proxy's own connection counts as the proxy's. Of a client that it does not know, nothing good is assumed."""
    with adapter.entered(service(), listeners=[Listener(proxy_protocol=LOCAL)]) as server:
        assert (b"-ERR [SYS/PERM]" in talk(server.address, header, b"USER ann\r\nQUIT\r\n")) == far


def test_a_client_over_a_unix_socket_of_a_proxy_here_is_here(adapter):  # noqa: F811
    with adapter.entered(service(), listeners=[Listener(proxy_protocol=LOCAL)]) as server:
        header = binary(family=0x31, body=bytes(216))
        assert b"-ERR" not in talk(server.address, header, b"USER ann\r\nQUIT\r\n")


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(
    "header",
    [
        line("127.0.0.1", "127.0.0.1"),
        line("127.0.0.1", "192.0.2.2"),
        binary("::1", "::1"),
        binary("::ffff:127.0.0.1", "::1"),
        binary(family=0x31, body=bytes(216)),
    ],
    ids=["v1", "v1 from here to there", "v2", "v2 mapped", "unix"],
)
def test_a_client_on_the_machine_of_a_proxy_is_here_only_if_the_proxy_is(adapter, monkeypatch, header, here):  # noqa: F811
    """Its password has crossed the network from that machine to this one."""
    proxy = Peer("127.0.0.1", loopback=True) if here else Peer("192.0.2.2", loopback=False)
    monkeypatch.setattr(Peer, "of", lambda *_: proxy)
    listener = Listener(proxy_protocol=ProxyProtocol(networks=["127.0.0.1", "192.0.2.2"]))
    with adapter.entered(service(), listeners=[listener]) as server:
        answers = talk(server.address, header, b"USER ann\r\nPASS tanstaaf\r\nQUIT\r\n")
    assert (b"maildrop has 1 message (" in answers) == here
    assert (b"-ERR [SYS/PERM] passwords are taken under TLS only" in answers) != here


def test_a_connection_whose_other_end_is_not_known_announces_nobody(adapter, monkeypatch, caplog):  # noqa: F811
    """It was reset before it was accepted: it has no address, and is over no Unix socket."""
    caplog.set_level(logging.INFO, "pop3proto.server")
    monkeypatch.setattr(Peer, "of", lambda *_: UNKNOWN_PEER)
    policy = Says()
    with adapter.entered(service(policy=policy), listeners=[Listener(proxy_protocol=LOCAL)]) as server:
        assert talk(server.address, line(REMOTE, "192.0.2.2") + b"QUIT\r\n") == b""
        wait_until(lambda: "takes connections of its proxies only" in caplog.text, "nothing was logged")
    assert policy.asked == []


# -------------------------------------------------------------------------------------- what is announced


def test_the_announced_address_counts_everywhere(adapter, caplog):  # noqa: F811
    caplog.set_level(logging.INFO, "pop3proto.server")
    policy, whoever = Says(), Whoever()
    listeners = [Listener(proxy_protocol=LOCAL, name="behind haproxy")]
    served = service(policy=policy, authenticator=whoever, cleartext="always", max_sessions_per_address=1)
    with adapter.entered(served, listeners=listeners) as server:
        with over_proxy(server.address, binary(REMOTE, ports=(4_000, 995)), tls="none", cleartext="always") as client:
            client.login("ann", "tanstaaf")
            refused = talk(server.address, line(REMOTE, "192.0.2.2"))
            assert refused == b"-ERR [SYS/TEMP] too many sessions from your address\r\n"
            assert talk(server.address, line("198.51.100.8", "192.0.2.2"), b"QUIT\r\n").startswith(b"+OK")
        assert [facts.address for facts in policy.asked] == [REMOTE, REMOTE, "198.51.100.8"]
        assert {facts.listener for facts in policy.asked} == {"behind haproxy"}
        [session] = whoever.sessions
        assert (session.address, session.local, session.listener) == (REMOTE, ("192.0.2.2", 995), "behind haproxy")
    assert f"from {REMOTE}: ended: user=ann" in caplog.text
    assert f"from {REMOTE}: refused: too many sessions from your address" in caplog.text


def test_rules_and_limits_are_about_the_announced_address(adapter):  # noqa: F811
    policy = AccessPolicy(
        rules=[
            Rule(networks=REMOTE, refuse=Refusal(text="not from there", code="SYS/PERM")),
            Rule(networks="198.51.100.8", refuse=Refusal()),
        ],
        sessions_by_network={"2001:db8::/32": 1},
    )
    served = service(policy=policy, cleartext="always")
    with adapter.entered(served, listeners=[Listener(proxy_protocol=LOCAL)]) as server:
        assert talk(server.address, binary(REMOTE)) == b"-ERR [SYS/PERM] not from there\r\n"
        denied = talk(server.address, line("198.51.100.8", REMOTE), b"USER ann\r\nPASS tanstaaf\r\nQUIT\r\n")
        assert b"-ERR [AUTH] wrong name or password" in denied
        far = binary("2001:db8::7", "2001:db8::1")
        with over_proxy(server.address, far, tls="none", cleartext="always") as client:
            assert talk(server.address, far) == b"-ERR [SYS/TEMP] too many sessions from your network\r\n"
            client.login("ann", "tanstaaf")
            assert client.stat().count == 1


def test_the_penalty_is_that_of_the_announced_address(adapter):  # noqa: F811
    """Guesses of one client hold up no other client of the same proxy."""
    served = service(cleartext="always", logins_per_address=1)
    with adapter.entered(served, listeners=[Listener(proxy_protocol=LOCAL)]) as server:
        client = over_proxy(server.address, line(REMOTE, REMOTE), tls="none", cleartext="always")
        with client, pytest.raises(LoginFailed):
            client.login("ann", "guess")
        guesser = socket.create_connection(server.address, PATIENCE)
        guesser.sendall(line(REMOTE, REMOTE) + b"USER ann\r\nPASS tanstaaf\r\n")  # it waits for seconds now
        with (
            guesser,
            over_proxy(server.address, line("198.51.100.8", REMOTE), tls="none", cleartext="always") as client,
        ):
            client.login("ann", "tanstaaf")


def test_what_comes_with_the_header_is_not_lost(adapter, pem):  # noqa: F811
    header = binary("127.0.0.1", "127.0.0.1")
    with adapter.entered(service(), listeners=[Listener(proxy_protocol=LOCAL)]) as server:
        for cut in range(1, len(header)):
            if cut % 9 == 0:
                assert talk(server.address, header[:cut], header[cut:] + b"QUIT\r\n").count(b"+OK") == 2
    listener = Listener(proxy_protocol=LOCAL, tls="implicit")
    with adapter.entered(service(), listeners=[listener], certificate=pem) as server:
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(theirs, ours, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        with socket.create_connection(server.address, PATIENCE) as sock:
            sock.sendall(header + ours.read())  # in one piece with the first octets of the handshake
            assert sock.recv(5)[:1] == b"\x16"


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_tls_behind_the_header(adapter, pem, mode):  # noqa: F811
    whoever = Whoever()
    listener = Listener(proxy_protocol=LOCAL, tls=mode)
    served = service(authenticator=whoever)
    with adapter.entered(served, listeners=[listener], certificate=pem) as server:
        client = over_proxy(server.address, binary(REMOTE), tls=mode, context=client_context())
        with client:
            client.login("ann", "tanstaaf")
    [session] = whoever.sessions
    assert (session.address, session.server_name) == (REMOTE, "localhost")


# ----------------------------------------------------------------------------------------- TLS of a proxy


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("mode", ["none", "starttls"])
def test_the_tls_of_a_proxy_counts_only_if_it_is_trusted(adapter, pem, trusted, mode):  # noqa: F811
    whoever, ends = Whoever(), Ends()
    proxies = attrs.evolve(LOCAL, trust_tls=trusted)
    arguments = {} if mode == "none" else {"certificate": pem}
    header = binary(REMOTE, more=tls_tlv(flags=1) + tlv(2, b"pop.example.org"))
    with adapter.entered(
        service(authenticator=whoever, observer=ends),
        listeners=[Listener(proxy_protocol=proxies, tls=mode)],
        **arguments,
    ) as server:
        answers = talk(server.address, header, b"CAPA\r\nUSER ann\r\nPASS tanstaaf\r\nQUIT\r\n")
        assert (b"\r\nSTLS\r\n" in answers) == (mode == "starttls" and not trusted)
        assert (b"-ERR [SYS/PERM]" in answers) == (not trusted)
        without = talk(server.address, binary(REMOTE, more=tls_tlv(flags=0)), b"USER ann\r\nQUIT\r\n")
        assert b"-ERR [SYS/PERM]" in without
    if trusted:
        [session] = whoever.sessions
        assert session.tls is not None
        assert (session.tls.version, session.tls.verified, session.tls.certificate) == ("TLSv1.3", False, None)
        assert [record.tls for record in ends.records] == ["TLSv1.3", ""]
        assert session.server_name == "pop.example.org"


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "said, why",
    [
        (b"USER ann\r\nPASS tanstaaf\r\n", "there is no PROXY header"),
        (b"PROXY TCP4", "ended before its PROXY header was complete"),
        (binary(REMOTE, family=0x12), "which is not TCP"),
    ],
)
def test_without_a_header_nobody_is_served(adapter, caplog, said, why):  # noqa: F811
    caplog.set_level(logging.INFO, "pop3proto.server")
    with adapter.entered(service(), listeners=[Listener(proxy_protocol=LOCAL)]) as server:
        assert talk(server.address, said) == b""
        wait_until(lambda: why in caplog.text, "nothing was logged")
    assert "from 127.0.0.1: refused: " in caplog.text


def test_only_the_proxies_may_announce(adapter, caplog):  # noqa: F811
    caplog.set_level(logging.INFO, "pop3proto.server")
    proxies = ProxyProtocol(networks=["192.0.2.0/24", "2001:db8::/32"])
    with adapter.entered(service(), listeners=[Listener(proxy_protocol=proxies)]) as server:
        assert talk(server.address, line("127.0.0.1", "127.0.0.1")) == b""
        wait_until(lambda: "takes connections of its proxies only" in caplog.text, "nothing was logged")


def test_a_header_that_does_not_come(adapter, caplog):  # noqa: F811
    caplog.set_level(logging.INFO, "pop3proto.server")
    proxies = attrs.evolve(LOCAL, timeout=0.05)
    with adapter.entered(service(), listeners=[Listener(proxy_protocol=proxies)]) as server:
        assert talk(server.address, b"PROXY ", ends=False) == b""
        wait_until(lambda: "no whole PROXY header within 0.05 seconds" in caplog.text, "nothing was logged")


def test_the_server_ends_while_a_header_is_awaited(adapter, caplog):  # noqa: F811
    """It does not wait for the header: the connection is told as a session is."""
    caplog.set_level(logging.INFO, "pop3proto.server")
    proxies = attrs.evolve(LOCAL, timeout=PATIENCE)
    with adapter.entered(service(), listeners=[Listener(proxy_protocol=proxies)]) as server:
        sock = socket.create_connection(server.address, PATIENCE)
        sock.sendall(b"PROXY ")
        talk(server.address, line("127.0.0.1", "127.0.0.1") + b"QUIT\r\n")  # the other one is accepted by now
    assert "from 127.0.0.1: refused: the server is shutting down" in caplog.text
    with sock, contextlib.suppress(ConnectionResetError):  # it has not read all that was sent
        assert sock.recv(100) == b""


class Announcing:
    """A stream whose header does not come."""

    peer = Peer("127.0.0.1", loopback=True)

    def __init__(self, failure):
        self.calls, self._failure = [], failure

    async def perform(self, procedure):
        procedure.close()
        raise self._failure

    def begin_shutdown(self):
        self.calls.append("begin_shutdown")

    async def abort(self):
        self.calls.append("abort")

    async def close(self):
        self.calls.append("close")


def test_a_header_that_is_awaited_when_the_server_ends_already():
    sessions = Sessions(service(), None)
    sessions.begin_shutdown()
    stream = Announcing(ShuttingDown())
    with pytest.raises(StopIteration):
        sessions.handle(stream, lambda: None, (Listener(proxy_protocol=LOCAL), "a")).send(None)
    assert stream.calls == ["begin_shutdown", "close"]


def test_a_header_whose_waiting_is_cancelled():
    stream = Announcing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Sessions(service(), None).handle(stream, lambda: None, (Listener(proxy_protocol=LOCAL), "a")).send(None)
    assert stream.calls == ["abort"]


def test_connections_that_announce_nobody_are_bounded(adapter, caplog):  # noqa: F811
    caplog.set_level(logging.INFO, "pop3proto.server")
    proxies = attrs.evolve(LOCAL, timeout=PATIENCE)
    with adapter.entered(service(max_sessions=2), listeners=[Listener(proxy_protocol=proxies)]) as server:
        waiting = [socket.create_connection(server.address, PATIENCE) for _ in range(3)]
        wait_until(lambda: "too many connections without a PROXY header" in caplog.text, "nothing was logged")
        for sock in waiting:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_proxy_over_a_unix_socket(adapter, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("pop3")
    listener = Listener(sockets=[sock], proxy_protocol=ProxyProtocol(networks="192.0.2.1"))
    with adapter.entered(service(), listeners=[listener]), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect("pop3")
        client.sendall(binary(REMOTE) + b"USER ann\r\n")
        heard = b""
        while heard.count(b"\r\n") < 2:
            heard += client.recv(1_000)
        assert b"-ERR [SYS/PERM]" in heard


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"networks": ()}, ValueError),
        ({"networks": "nowhere"}, LocalProtocolError),
        ({"networks": [5]}, LocalProtocolError),
        ({"networks": "::1", "timeout": 0}, ValueError),
        ({"networks": "::1", "timeout": 61}, ValueError),
    ],
)
def test_settings_of_a_proxy_that_cannot_be(arguments, error):
    with pytest.raises(error):
        ProxyProtocol(**arguments)


def test_the_networks_of_proxies():
    proxies = ProxyProtocol(networks=["10.0.0.0/8", "2001:db8::/64"])
    taken = ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"]
    assert [proxies.takes(address) for address in taken] == [True] * 3
    assert not any(proxies.takes(address) for address in ["", "11.0.0.1", "2001:db8:0:1::1", "::1", "junk"])


# ------------------------------------------------------------------------------------- several listeners


@needs_ipv6
def test_several_listeners_in_one_server(adapter, pem):  # noqa: F811
    """Each with its own TLS, name and domain; one limit for all of them."""
    whoever = Whoever()
    listeners = [
        Listener(address=["127.0.0.1", "::1"], tls="implicit", name="pop3s"),
        Listener(tls="starttls", domain="example.org"),
        Listener(tls="none", proxy_protocol=LOCAL),
    ]
    store = MemoryStore({name: [b"one\n"] for name in ("ann", "ann@example.org", "ann@other.example")})
    served = service(authenticator=whoever, store=store, max_sessions=1)
    with adapter.entered(served, listeners=listeners, certificate=pem) as server:
        (one, port), (two, same), second, third = server.addresses
        assert (one, two, port) == ("127.0.0.1", "::1", same)
        for address, mode in (((one, port), "implicit"), ((two, port), "implicit"), (second, "starttls")):
            with once_there_is_room(address, tls=mode, context=client_context()) as client:
                client.login("ann", "tanstaaf")
                assert talk(third, line("127.0.0.1", "127.0.0.1")) == b"-ERR [SYS/TEMP] too many sessions\r\n"
        with once_there_is_room(second, tls="starttls", context=client_context()) as client:
            client.login("ann@other.example", "tanstaaf")
        near = line("127.0.0.1", "127.0.0.1") + b"USER ann\r\nPASS tanstaaf\r\nQUIT\r\n"
        wait_until(lambda: b"maildrop" in talk(third, near), "there is no room")
    names = [(session.listener, session.full_name("ann"), session.tls is not None) for session in whoever.sessions]
    assert names == [
        ("pop3s", "ann", True),
        ("pop3s", "ann", True),
        (f"127.0.0.1:{second[1]}", "ann@example.org", True),
        (f"127.0.0.1:{second[1]}", "ann@example.org", True),
        (f"127.0.0.1:{third[1]}", "ann", False),
    ]


def test_the_domain_of_a_listener_is_that_of_the_maildrop(adapter):  # noqa: F811
    policy = Says()
    store = MemoryStore({"ann": [], "ann@example.org": [b"one\n"]})
    users = MemoryAuthenticator({"ann": "other", "ann@example.org": "tanstaaf"}, scram_algorithms=())
    served = service(store=store, authenticator=users, policy=policy, failure_delay=0, login_penalty=None)
    with adapter.entered(served, listeners=[Listener(domain="example.org"), Listener()]) as server:
        first, second = server.addresses
        for address, password, answer in (
            (first, b"tanstaaf", b"maildrop has 1 message ("),
            (first, b"other", b"-ERR [AUTH]"),
            (second, b"other", b"maildrop has 0 messages"),
            (second, b"tanstaaf", b"-ERR [AUTH]"),
        ):
            assert answer in talk(address, b"USER ann\r\nPASS " + password + b"\r\nQUIT\r\n")
    assert [facts.user for facts in policy.asked if facts.user is not None] == ["ann@example.org", "ann"]


def test_a_listener_that_cannot_be_leaves_nothing_open(adapter):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listeners = [Listener(), Listener(port=taken.getsockname()[1])]
        with pytest.raises(OSError, match="in use"):
            adapter.begin(service(), listeners=listeners)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"listeners": []}, "nothing to listen on"),
        ({"listeners": [Listener()], "port": 1}, "give either listeners="),
        ({"listeners": [Listener()], "host": "::"}, "give either listeners="),
        ({"listeners": [Listener()], "tls": "starttls"}, "give either listeners="),
        ({"listeners": [Listener(tls="starttls")]}, "TLS needs a certificate"),
        ({"listeners": [Listener()], "certificate": "pem"}, "needs tls="),
    ],
)
def test_listeners_that_cannot_be(adapter, arguments, message):  # noqa: F811
    with pytest.raises(ValueError, match=message):
        adapter.serve(service(), **arguments)


@pytest.mark.parametrize("arguments", [{"tls": "stls"}, {"port": -1}, {"domain": "a b"}])
def test_a_listener_that_cannot_be(arguments):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        Listener(**arguments)


@pytest.mark.parametrize("proxies", ["127.0.0.1", True, ["127.0.0.1"]])
def test_what_is_no_proxy_protocol(proxies):
    with pytest.raises(TypeError, match=r"proxy_protocol takes ProxyProtocol\(networks=\.\.\.\)"):
        Listener(proxy_protocol=proxies)


# ------------------------------------------------------------------------------------------ another service


def test_another_service_while_the_server_runs(adapter):  # noqa: F811
    """Sessions under way go on with theirs; what was counted still counts."""
    policy = Says()
    with adapter.entered(service(max_sessions_per_address=2)) as server:
        with blocking.connect(*server.address, tls="none", timeout=PATIENCE) as client:
            with pytest.raises(TypeError, match="serve takes a Service"):
                adapter.do(server.use, "no service")
            other = service(
                store=MemoryStore({"ann": [b"two\n", b"three\n"]}),
                policy=policy,
                greeting="the other",
                max_sessions_per_address=1,
            )
            adapter.do(server.use, other)
            refused = talk(server.address)
            assert refused == b"-ERR [SYS/TEMP] too many sessions from your address\r\n"
            client.login("ann", "tanstaaf")
            assert client.stat().count == 1
            assert policy.asked == []
        with once_there_is_room(server.address, tls="none") as client:
            assert client.greeting is not None
            assert client.greeting.reply.text == "the other"
            client.login("ann", "tanstaaf")
            assert client.stat().count == 2
        assert policy.asked[-1].user == "ann"
        assert policy.before is ALLOW
