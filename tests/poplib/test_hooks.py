"""What programs do to the private parts of `poplib`: subclasses, overridden hooks, `sock` and `file` used directly."""

import base64
import io
import poplib as theirs
import socket
from unittest.mock import MagicMock, create_autospec

import pytest

from pop3proto import Busy, poplib as ours
from pop3proto.poplib.answers import AnswerFile
from tests.helpers.dialogues import Dialogue, talking

RETR = b"+OK\r\n..one\r\ntwo\r\n.\r\n"
ANSWERS = {b"STAT": b"+OK 2 320\r\n", b"RETR": RETR, b"NOOP": b"+OK\r\n", b"CAPA": b"+OK\r\nTOP\r\n.\r\n"}
LINES = (b"+OK", [b".one", b"two"], 11)


class ByHand(ours.POP3):
    """As six of ten subclasses in public programs: an own `__init__`, which never calls that of the base."""

    def __init__(self, sock):
        self.host = "pop.example.org"
        self.port = 110
        self.sock = sock
        self.file = self.sock.makefile("rb")
        self._debugging = 0
        self.welcome = self._getresp()


def test_a_subclass_may_set_everything_itself():
    with Dialogue(ANSWERS).running() as server:
        client = ByHand(server.client)
        assert client.getwelcome() == b"+OK ready"
        assert client.retr(1) == LINES
        assert client.stat() == (2, 320)
        assert client.capa() == {"TOP": []}
        assert client.client.greeting.reply.text == "ready"
        assert client.quit() == b"+OK bye"


def test_nothing_is_lost_if_the_file_was_read_before():
    with Dialogue(ANSWERS, [b"+OK ready\r\n", b"+OK 1\r\n+OK 2\r\n"]).running() as server:
        client = ByHand(server.client)
        assert client.file.readline() == b"+OK 1\r\n"
        assert client._getresp() == b"+OK 2"
        assert client.stat() == (2, 320)


@pytest.mark.parametrize("module", [theirs, ours])
def test_the_socket_and_the_file_may_be_used_between_commands(module):
    with talking(module.POP3, ANSWERS) as (client, _):
        client.noop()
        client.sock.sendall(b"STAT\r\n")
        assert client.file.readline() == b"+OK 2 320\r\n"
        client._putcmd("RETR 1")
        assert client.file.readline() == b"+OK\r\n"
        assert client.file.read(7) == b"..one\r\n"
        assert client._getline() == (b"two", 5)
        assert client._getline() == (b".", 3)
        client.sock.settimeout(3)
        assert client.retr(1) == LINES
        assert client.sock.gettimeout() == 3


@pytest.mark.parametrize("module", [theirs, ours])
def test_commands_may_be_pipelined_by_hand(module):
    with talking(module.POP3, ANSWERS) as (client, server):
        for _ in range(3):
            client._putcmd("RETR 1")
            client._putcmd("STAT")
        server.hears(b"STAT")
        for _ in range(3):
            assert client._getlongresp() == LINES
            assert client._getresp() == b"+OK 2 320"
        assert client.retr(1) == LINES


@pytest.mark.parametrize("module", [theirs, ours])
def test_oauth_by_hand(module):
    """As mail programs log in at Microsoft 365: a challenge is a positive answer."""
    response = base64.b64encode(b"user=ann\1auth=Bearer token\1\1")
    with talking(module.POP3, {b"AUTH": b"+ \r\n", response: b"+OK\r\n", b"STAT": b"+OK 1 1\r\n"}) as (client, _):
        assert client._shortcmd("AUTH XOAUTH2") == b"+ "
        assert client._shortcmd(response.decode()) == b"+OK"
        assert client.stat() == (1, 1)


def test_a_login_by_hand_is_known_to_the_client():
    answers = {b"AUTH": b"+\r\n", b"AGE=": b"+OK\r\n", **ANSWERS}
    for commands in (["AUTH PLAIN", "AGE="], ["AUTH PLAIN AGE="]):
        with talking(ours.POP3, answers | {b"AUTH PLAIN AGE=": b"+OK\r\n"}) as (client, _):
            for command in commands:
                client._shortcmd(command)
            assert client.client.stat().count == 2


def test_a_login_that_failed_is_no_login():
    answers = {b"USER": b"+OK\r\n", b"PASS": b"-ERR\r\n", **ANSWERS}
    with talking(ours.POP3, answers) as (client, _):
        client.user("ann")
        with pytest.raises(ours.error_proto):
            client.pass_("wrong")
        client.noop()
        assert client.client.state.name == "AUTHORIZATION"


@pytest.mark.parametrize(
    "hook", ["_getline", "_getresp", "_putcmd", "_putline", "_shortcmd", "_longcmd", "_getlongresp"]
)
def test_a_hook_that_is_overridden_is_called(hook):
    called = []

    def overriding(self, *arguments):
        called.append(hook)
        return getattr(super(kind, self), hook)(*arguments)

    kind = type("Overriding", (ours.POP3,), {hook: overriding})
    with talking(kind, ANSWERS) as (client, _):
        called.clear()
        assert client.retr(1) == LINES
        assert client.stat() == (2, 320)
    assert called


def test_a_hook_may_be_replaced_on_the_object():
    with talking(ours.POP3, ANSWERS) as (client, _):
        getline, lines = client._getline, []
        client._getline = lambda: lines.append(getline()) or lines[-1]
        assert client.retr(1) == LINES
        assert len(lines) == 4


def test_an_overridden_getline_of_the_old_kind_reads_the_file():
    class Old(ours.POP3):
        def _getline(self):
            line = self.file.readline(ours._MAXLINE + 1)
            if len(line) > ours._MAXLINE:
                raise ours.error_proto("line too long")
            return line[:-2], len(line)

    with talking(Old, ANSWERS) as (client, _):
        assert client.retr(1) == LINES
        assert client.stat() == (2, 320)
    answers = {**ANSWERS, b"NOOP": b"+OK\r\n+OK 1 100\r\n", b"RETR": b"+OK\r\n" + b"x" * 3_000 + b"\r\n.\r\n"}
    with talking(Old, answers) as (client, _):
        client.noop()
        with pytest.raises(ours.OutOfStep):
            client.stat()
    with talking(Old, answers) as (client, server):
        with pytest.raises(ours.error_proto, match="too long"):
            client.retr(1)
        with pytest.raises(ours.OutOfStep):
            client.dele(1)
        assert server.heard == [b"RETR 1"]


def test_maxline_may_be_set_and_means_nothing(monkeypatch):
    monkeypatch.setattr(ours, "_MAXLINE", 3)
    with talking(ours.POP3, ANSWERS) as (client, _):
        assert client.retr(1) == LINES


@pytest.mark.parametrize("module", [theirs, ours])
def test_the_file_may_be_a_transcript_of_a_test(module):
    client = module.POP3.__new__(module.POP3)
    client.file = io.BytesIO(RETR + b"+OK 2 320\r\n" + RETR + b"+OK\r\n")
    client.sock = MagicMock()
    client._debugging = 0
    assert client.retr(1) == LINES
    assert client.stat() == (2, 320)
    assert client.retr(2) == LINES
    assert [call.args for call in client.sock.sendall.mock_calls] == [
        (b"RETR 1\r\n",),
        (b"STAT\r\n",),
        (b"RETR 2\r\n",),
    ]


@pytest.mark.parametrize("module", [theirs, ours])
def test_a_socket_may_be_a_mock_with_a_file(module, monkeypatch):
    sock = MagicMock()
    sock.makefile.return_value = io.BytesIO(b"+OK ready\r\n+OK 2 320\r\n+OK bye\r\n")
    monkeypatch.setattr(socket, "create_connection", lambda *_: sock)
    client = module.POP3("pop.example.org")
    assert client.stat() == (2, 320)
    assert client.quit() == b"+OK bye"
    sock.close.assert_called()


def test_it_can_be_mocked():
    mock = create_autospec(ours.POP3, instance=True)
    mock.stat.return_value = (1, 2)
    assert mock.stat() == (1, 2)
    with pytest.raises(TypeError):
        mock.dele()


def test_another_socket_may_take_the_place_of_the_first():
    """As programs begin TLS that was written before `stls` was."""
    with talking(ours.POP3, ANSWERS) as (client, _), Dialogue({b"STAT": b"+OK 7 7\r\n"}, []).running() as other:
        client.stat()
        client.file.close()
        client.sock = other.client
        client.file = client.sock.makefile("rb")
        assert client.stat() == (7, 7)
        assert client.client.peer.loopback
        assert type(client.file) is AnswerFile


def test_what_is_left_of_a_message_of_the_client_does_not_pass_for_another_answer():
    answers = {b"USER": b"+OK\r\n", b"PASS": b"+OK\r\n", **ANSWERS}
    with talking(ours.POP3, answers) as (client, _):
        client.user("ann")
        client.pass_("tanstaaf")
        with client.client.retr(1), pytest.raises(Busy, match="being read"):
            client.stat()
        assert client.stat() == (2, 320)
        assert client.client.stat().octets == 320
