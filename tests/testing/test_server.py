"""The test server over sockets: options, adapters, TLS, and the record of what clients have said."""

import inspect
import poplib
import ssl
import subprocess
import sys

import attrs
import pytest
import trustme

from pop3proto import Dele, Err, Greeting, Limits, Ok, Pass, Quit, Retr, Stat, User
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.events import BadCommand
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service
from pop3proto.testing import PASSWORD, ServiceOptions, certificates, pop3_in_memory, pop3_server
from pop3proto.testing.faults import Refuse
from tests.helpers.processes import PATIENCE

ADAPTERS = ["blocking", "asyncio", "trio"]
MAIL = {"ann": [b"Subject: one\n\n.one\n", b"Subject: two\n\ntwo\n"]}


def test_each_option_of_a_service_is_one_of_a_test_server():
    assert set(ServiceOptions.__annotations__) == {field.name for field in attrs.fields(Service)}


def test_the_fixture_has_the_arguments_of_the_function():
    from pop3proto.testing import fixtures

    (_, *ours), theirs = (
        [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]
        for function in (fixtures.StartPop3Server.__call__, pop3_server)
    )
    assert ours == theirs


def test_the_record_is_that_of_the_servers_end_of_a_faulty_line():
    server = pop3_in_memory(MAIL, persona="gmail", faults=[Refuse("STAT")])
    with server.session() as session:
        for line in ("USER ann", f"PASS {PASSWORD}", "STAT", "RETR 1", "QUIT"):
            session.hear(f"{line}\r\n".encode())
    commands = server.sessions[0].commands
    assert Stat() not in commands
    assert commands.index(Retr(1)) < commands.index(Dele(1))


def test_a_record_shows_its_first_commands():
    server = pop3_in_memory(MAIL)
    with server.session() as session:
        for line in ["USER ann", f"PASS {PASSWORD}", *["RETR 1"] * 300, "QUIT"]:
            session.hear(f"{line}\r\n".encode())
            session.take()
    shown = "USER ann PASS *** " + "RETR 1 " * 8 + "... 293 more"
    assert repr(server.sessions[0]) == f"<session 1, ended: {shown}>"


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_what_a_client_has_said_is_recorded(adapter, tls):
    with pop3_server(MAIL, adapter=adapter, tls=tls) as server:
        with server.connect() as client:
            client.login("ann", PASSWORD, only=["USER/PASS"])
            assert client.stat().count == 2
            assert client.fetch(1) == b"Subject: one\r\n\r\n.one\r\n"
            client.dele(1)
            with pytest.raises(CommandFailed):
                client.fetch(1)
        (session,) = server.sessions
        session.wait(PATIENCE)
        assert server.messages("ann") == MAIL["ann"][1:]
    commands = [command for command in session.commands if command.verb not in {"CAPA", "STLS"}]
    assert commands == [User("ann"), Pass("***"), Stat(), Retr(1), Dele(1), Retr(1), Quit()]
    assert isinstance(session.said[0], Greeting)
    assert isinstance(session.said[-1], Ok)
    assert isinstance(session.said[-2], Err)
    assert (session.quit, session.ended, session.error) == (True, True, None)
    assert session.info.user == "ann"
    assert (session.info.tls is not None) is (tls != "none")
    assert PASSWORD not in f"{session!r} {session.heard} {session.said}"
    assert repr(session).endswith("PASS *** CAPA STAT RETR 1 DELE 1 RETR 1 QUIT>")


def test_a_client_that_hangs_up_and_one_that_makes_no_sense():
    with pop3_server(MAIL) as server:
        one, other = (poplib.POP3(server.host, server.port, timeout=PATIENCE) for _ in range(2))
        with pytest.raises(poplib.error_proto):
            one._shortcmd("SEND ME MY MAIL")
        one.close()
        first, second = server.sessions
        first.wait(PATIENCE)
        assert (first.quit, first.commands, [type(event) for event in first.heard]) == (False, [], [BadCommand])
        assert not second.ended
        with pytest.raises(TimeoutError, match=r"not over after 0.01 seconds: <session .*, open: nothing>"):
            second.wait(0.01)
        other.quit()
        second.wait(PATIENCE)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_options_of_the_service(adapter):
    options = {"greeting": "a server for tests", "limits": Limits(command_line=40), "mechanisms": ["CRAM-MD5"]}
    with pop3_server(MAIL, adapter=adapter, apop=False, **options) as server, server.connect() as client:
        assert client.session.greeting.reply.text == "a server for tests"
        assert client.capa().sasl == ("CRAM-MD5",)
        with pytest.raises(LoginFailed, match="too long"):
            client.login("a" * 36, "x", only=["USER/PASS"])


def test_a_store_and_an_authenticator_of_ones_own():
    class Mine(MemoryStore):
        pass

    store = Mine({"bob": [b"x\n"]})
    with pop3_server(store=store, authenticator=MemoryAuthenticator({"bob": "secret"})) as server:
        with server.connect() as client:
            client.login("bob", "secret")
            client.dele(1)
        assert store.messages("bob") == server.messages("bob") == []
        assert server.store is store


class Elsewhere:
    """A store with coroutine methods, whose mail the test server does not know."""

    blocks = False

    def __init__(self):
        self.store = MemoryStore({"ann": [b"x\n"]})

    async def open(self, user, session):
        return self.store.open(user, session)

    def capabilities(self, user):
        return self.store.capabilities(user)


@pytest.mark.parametrize("adapter", ["asyncio", "trio"])
def test_a_store_with_coroutine_methods(adapter):
    with pop3_server(store=Elsewhere(), passwords={"ann": "secret"}, adapter=adapter) as server:
        with server.connect() as client:
            client.login("ann", "secret")
            assert client.stat().count == 1
        with pytest.raises(TypeError, match="the messages are in your own store, Elsewhere: read them there"):
            server.messages("ann")


def test_a_store_with_coroutine_methods_takes_an_adapter_that_awaits():
    options = {"store": Elsewhere(), "passwords": {"ann": "x"}}
    with pytest.raises(TypeError, match="coroutine"), pop3_server(**options):
        pass
    with pytest.raises(TypeError, match="coroutine"):
        pop3_in_memory(**options)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_capa_announces_can_be_changed(adapter):
    def less(capabilities):
        return attrs.evolve(capabilities, pipelining=False, uidl=False, other=("X-TEST",))

    with pop3_server(MAIL, adapter=adapter, announce=less) as server, server.connect() as client:
        client.login("ann", PASSWORD)
        assert (client.session.capabilities.pipelining, client.session.capabilities.uidl) == (False, False)
        assert client.session.capabilities.other == ("X-TEST",)
        assert len(client.uidl()) == 2, "it works all the same"


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"maildrops": {}, "store": MemoryStore()}, "give maildrops or a store, not both"),
        ({"passwords": {"a": "b"}, "authenticator": MemoryAuthenticator({})}, "or an authenticator, not both"),
        ({"tokens": {"a": "b"}, "authenticator": MemoryAuthenticator({})}, "or an authenticator, not both"),
        ({"adapter": "curio"}, "no adapter 'curio'; there are blocking, asyncio, trio"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, words):
    with pytest.raises(ValueError, match=words), pop3_server(**arguments):
        pass


@pytest.mark.parametrize(
    "maildrops,words",
    [
        ([b"x"], "maildrops takes messages by user"),
        ({"ann": b"x"}, "the maildrop of 'ann' takes a list of messages, not b'x'"),
        ({"ann": None}, "the maildrop of 'ann' takes a list of messages, not None"),
    ],
)
def test_maildrops_that_are_none(maildrops, words):
    with pytest.raises(TypeError, match=words):
        pop3_in_memory(maildrops)


def test_a_store_of_ones_own_says_who_may_log_in():
    with pytest.raises(ValueError, match="say who may log in: passwords=, tokens= or authenticator="):
        pop3_in_memory(store=MemoryStore({"ann": []}))


def test_announce_that_returns_nothing():
    server = pop3_in_memory(MAIL, announce=lambda _: None)
    with server.session() as session:
        session.hear(b"CAPA\r\n")
    assert str(server.sessions[0].error) == "announce= must return Capabilities, not None"


def test_a_server_with_a_certificate_of_its_own(tmp_path):
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with pop3_server(MAIL, tls="implicit", certificate=tmp_path / "server.pem") as server:
        with server.connect(context=context) as client:
            client.login("ann", PASSWORD)
        for ask in (lambda: server.client_context, lambda: server.authority, server.connect):
            with pytest.raises(ValueError, match="no certificate was made for this server"):
                ask()


THAT_ENDS_ITS_LOOP = """
import sys
from pop3proto.maildrops import MemoryStore
from pop3proto.testing import pop3_server

class Mine(MemoryStore):
    def open(self, user, session):
        raise SystemExit("the test is over")

try:
    with pop3_server(store=Mine(), passwords={"ann": "x"}, adapter=sys.argv[1]) as server:
        try:
            server.connect().login("ann", "x")
        except Exception as error:
            print(type(error).__name__)
except BaseException as error:
    print("ended:", type(error).__name__)
"""


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("adapter", ["asyncio", "trio"])
def test_what_ends_an_event_loop_is_raised_at_the_end_of_the_block(adapter):
    command = [sys.executable, "-c", THAT_ENDS_ITS_LOOP, adapter]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.splitlines()[1] in {"ended: SystemExit", "ended: TrioInternalError"}


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("adapter", ["asyncio", "trio"])
def test_a_server_that_is_never_left_does_not_keep_python_from_ending(adapter):
    program = f"from pop3proto.testing import pop3_server; s = pop3_server({{}}, adapter={adapter!r}); s.__enter__()"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_keeps_a_server_from_beginning_is_raised_where_it_was_asked_for(adapter):
    with pytest.raises(OSError, match=r"192\.0\.2\.1|assign"), pop3_server({}, host="192.0.2.1", adapter=adapter):
        pass


def test_a_certificate_is_made_for_the_process(tmp_path):
    with pop3_server(MAIL, tls="implicit") as server:
        server.client_context.check_hostname = False
        assert server.client_context.check_hostname, "each is a new one"
        (tmp_path / "ca.pem").write_bytes(server.authority)
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        for host in ("localhost", "127.0.0.1"):
            mailbox = poplib.POP3_SSL(host, server.port, context=context, timeout=PATIENCE)
            mailbox.quit()
        with pytest.raises(ssl.SSLCertVerificationError):
            poplib.POP3_SSL("localhost", server.port, context=ssl.create_default_context(), timeout=PATIENCE)


def test_scram_binds_to_the_certificate_that_was_made():
    from pop3proto.sasl import SERVER_MECHANISMS

    with pop3_server(MAIL, tls="implicit", mechanisms=SERVER_MECHANISMS) as server, server.connect() as client:
        client.login("ann", PASSWORD, only=["SCRAM-SHA-256-PLUS"])


def test_without_trustme_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(certificates, "authority", certificates.authority.__wrapped__)
    monkeypatch.setattr(certificates, "_issued", certificates._issued.__wrapped__)
    monkeypatch.setitem(sys.modules, "trustme", None)
    words = r"install pop3proto\[testing\], or give certificate="
    with pytest.raises(ImportError, match=words), pop3_server({}, tls="implicit"):
        pass


def test_the_library_loads_none_of_it():
    program = "import pop3proto, pop3proto.blocking, sys; pop3proto.blocking.connect; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=PATIENCE)
    assert not {name for name in done.stdout.split() if name.startswith(("pop3proto.testing", "trustme", "pytest"))}
