"""What a POP3 object can do beyond the standard library: log in by the best method, whole messages, the client."""

import io

import pytest

from pop3proto import Dele, List, LocalProtocolError, ResponseCode, State, poplib as ours
from pop3proto.sasl.plain import PlainClient
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import Cut, LongUids, NoUid, Refuse
from tests.helpers.dialogues import Dialogue, talking

MAIL = [b"Subject: one\n\n.one\n", b"Subject: two\n\n" + b"two\n" * 50_000]


@pytest.fixture
def server():
    with pop3_server({"ann": MAIL}) as server:
        yield server


@pytest.fixture
def connect():
    clients = []

    def connect(server):
        clients.append(ours.POP3(server.host, server.port))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def test_it_logs_in_by_the_best_method(server, connect):
    client = connect(server)
    answer = client.login("ann", PASSWORD)
    assert answer.startswith(b"+OK ")
    assert client.stat()[0] == 2
    assert client.client.state is State.TRANSACTION
    [session] = server.sessions
    assert any("SCRAM-SHA-512" in str(command) for command in session.commands)


def test_a_login_that_is_refused_is_an_error_of_both_kinds(server, connect):
    client = connect(server)
    with pytest.raises(ours.LoginRefused) as caught:
        client.login("ann", "wrong")
    assert isinstance(caught.value, ours.error_proto)
    assert caught.value.args[0].startswith(b"-ERR [AUTH]")
    assert caught.value.code == ResponseCode.AUTH
    assert "wrong" not in str(caught.value).replace("wrong name", "")
    assert client.login("ann", PASSWORD)


def test_a_token_and_one_mechanism():
    with pop3_server({"ann": MAIL}, tokens={"token": "ann"}) as server:
        for login in (
            lambda client: client.login("ann", token="token"),
            lambda client: client.login("ann", PASSWORD, only=["SCRAM-SHA-1"]),
            lambda client: client.auth(PlainClient("ann", PASSWORD)),
        ):
            with ours.POP3(server.host, server.port) as client:
                assert login(client).startswith(b"+OK")
                assert client.stat()[0] == 2


def test_passwords_in_clear_need_a_word_where_the_server_is_not_here():
    answers = {b"CAPA": b"+OK\r\nUSER\r\n.\r\n", b"USER": b"+OK\r\n", b"PASS": b"+OK\r\n"}
    with talking(ours.POP3, answers) as (client, server):
        client.client.session.context = client.client.session.context.__class__(loopback=False)
        with pytest.raises(LocalProtocolError):
            client.login("ann", "tanstaaf")
        assert not [line for line in server.heard if line.startswith(b"USER")]
    with talking(ours.POP3, answers) as (client, server):
        assert client.client.session.context.cleartext == "loopback"
        client.cleartext = "always"
        client.login("ann", "tanstaaf")
        assert b"PASS tanstaaf" in server.heard


def test_a_message_goes_to_a_file_as_it_is(server, connect):
    client = connect(server)
    client.user("ann")
    client.pass_(PASSWORD)
    for number, message in enumerate(MAIL, 1):
        file = io.BytesIO()
        assert client.retr_to(number, file) == len(file.getvalue())
        assert file.getvalue() == message.replace(b"\n", b"\r\n")
    with pytest.raises(ours.CommandRefused):
        client.retr_to(9, io.BytesIO())
    assert client.stat()[0] == 2


def test_the_messages_are_typed(server, connect):
    client = connect(server)
    client.user("ann")
    client.pass_(PASSWORD)
    first, second = client.messages()
    assert (first.number, first.octets) == (1, 22)
    assert second.unique_id == client.uidl(2).split()[-1].decode()


@pytest.mark.parametrize("fault", [NoUid(), NoUid((1, 2)), LongUids(90)])
def test_a_message_without_a_readable_unique_id_has_none(fault):
    with pop3_server({"ann": MAIL}, faults=[fault]) as server, ours.POP3(server.host, server.port) as client:
        client.user("ann")
        client.pass_(PASSWORD)
        assert [message.unique_id for message in client.messages()] == [None, None]


def test_a_listing_that_is_refused_is_an_error():
    fault = Refuse("LIST", "SYS/TEMP", times=1)
    with pop3_server({"ann": MAIL}, faults=[fault]) as server, ours.POP3(server.host, server.port) as client:
        client.user("ann")
        client.pass_(PASSWORD)
        with pytest.raises(ours.CommandRefused) as caught:
            client.messages()
        assert caught.value.code == ResponseCode.SYS_TEMP
        assert len(client.messages()) == 2


def test_a_connection_that_breaks_is_an_error_of_both_kinds():
    with pop3_server({"ann": MAIL}, faults=[Cut(after="RETR 1", octets=9)]) as server:
        client = ours.POP3(server.host, server.port)
        client.user("ann")
        client.pass_(PASSWORD)
        with pytest.raises(ours.EndOfStream):
            client.retr_to(1, io.BytesIO())
        with pytest.raises(ours.OutOfStep):
            client.stat()
        client.close()


def test_both_ways_work_in_turns(server, connect):
    client = connect(server)
    client.user("ann")
    client.pass_(PASSWORD)
    assert client.client is client.client
    for _ in range(2):
        assert client.client.call(List())[1] == 22
        assert client.list(1) == b"+OK 1 22"
        client.client.call(Dele(1))
        assert client.stat()[0] == 1
        client.rset()
        client.sock.settimeout(20)
        assert client.client.stat().count == 2
        assert client.client.session.timeout == client.sock.gettimeout() == 20
    held = client.client
    client.quit()
    with pytest.raises(ours.OutOfStep):
        client.client  # noqa: B018 - it is a property
    with pytest.raises(Exception, match="closed"):
        held.stat()


def test_a_login_of_the_client_is_known_to_the_object(server, connect):
    client = connect(server)
    client.client.login("ann", PASSWORD)
    client.set_debuglevel(0)
    assert client.client.state is State.TRANSACTION
    assert client.client.stat().count == 2


def test_there_is_no_client_while_an_answer_is_due(server, connect):
    client = connect(server)
    client._putcmd("NOOP")
    with pytest.raises(ours.OutOfStep, match="an answer is due"):
        client.client  # noqa: B018 - it is a property


def test_tls_begins_by_the_object_and_not_by_the_client(server, connect):
    client = connect(server)
    with pytest.raises(LocalProtocolError, match=r"stls\(\)"):
        client.client.start_tls()
    assert client.noop is not None


def test_the_trace_of_the_client_has_no_secrets(server, connect, capsys):
    client = connect(server)
    client.set_debuglevel(1)
    client.login("ann", PASSWORD)
    client.messages()
    traced = capsys.readouterr().out
    assert "*cmd* 'AUTH SCRAM-SHA-512 ***'" in traced
    assert "*cmd* 'LIST'" in traced
    assert PASSWORD not in traced


def test_there_is_no_client_where_the_place_in_the_stream_is_lost():
    with talking(ours.POP3, {b"NOOP": b"+OK\r\n+OK 1 100\r\n"}) as (client, _):
        client.noop()
        with pytest.raises(ours.OutOfStep, match="nothing had asked for"):
            client.client.stat()
    with talking(ours.POP3, {b"RETR": b"+OK\r\nhalf"}, timeout=0.05) as (client, server):
        assert client.client
        with pytest.raises(TimeoutError):
            client.retr(1)
        with pytest.raises(ours.OutOfStep, match="there is no client"):
            client.client.call(Dele(1))
        assert server.heard == [b"RETR 1"]
    with talking(ours.POP3, {b"NOOP": b"+OK\r\n"}) as (client, _):
        assert client.client
        client._putcmd("NOOP")
        with pytest.raises(ours.OutOfStep, match="an answer is due"):
            client.client.stat()


def test_one_that_connects_again_is_not_logged_in():
    answers = {b"PASS": b"+OK\r\n"}
    with Dialogue(answers).running() as first, Dialogue(answers).running() as second:
        servers = [first, second]

        class Client(ours.POP3):
            def _create_socket(self, timeout):
                return servers.pop(0).client

        client = Client("pop.example.org")
        client.pass_("tanstaaf")
        assert client.client.state.name == "TRANSACTION"
        client.close()
        client.__init__("pop.example.org")
        assert client.client.state.name == "AUTHORIZATION"
        client.close()
