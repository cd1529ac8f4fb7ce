"""What programs do to the private parts of `poplib`: subclasses, overridden hooks, `sock` and `file` used directly."""

import base64
import io
import poplib as theirs
import re
import socket
from types import SimpleNamespace
from unittest.mock import MagicMock, create_autospec, patch

import pytest
from hypothesis import example, given, strategies as st

from pop3proto import Busy, Limits, poplib as ours
from pop3proto.poplib.answers import AnswerFile
from pop3proto.testing import PASSWORD, pop3_server
from tests.helpers.dialogues import Dialogue, talking, talking_tls

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


# A body that is read line by line, as it is to be printed, or `_getline` is a program's own.


class WithGetline(ours.POP3):
    def _getline(self):
        return super()._getline()


class WithOldGetline(ours.POP3):
    """Word for word as long ago."""

    def _getline(self):
        line = self.file.readline()
        octets = len(line)
        if line[-2:] == b"\r\n":
            return line[:-2], octets
        if line[:1] == b"\r":
            return line[1:-1], octets
        return line[:-1], octets


class WithTrace(ours.POP3):
    def _getlongresp(self):
        self.set_debuglevel(2)
        try:
            return super()._getlongresp()
        finally:
            self.set_debuglevel(0)


LINE_BY_LINE = [WithGetline, WithTrace]


@pytest.mark.parametrize("kind", [ours.POP3, *LINE_BY_LINE])
@pytest.mark.parametrize(
    "body", [b"a\r\n\r.\n+OK 1 1\r\n", b"\r.\n", b"\r.\nb\r\n", b"\r..\n\n..\r\n", b"\r\n\r\r.\n\r\n", b"a\n\r.\r\n"]
)
def test_a_dot_behind_a_cr_alone_is_content(kind, body):
    wire = b"+OK\r\n" + body + (b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n")
    with talking(kind, ANSWERS | {b"RETR": wire}) as (client, _):
        _, lines, octets = client.retr(1)
        assert octets == len(wire) - len(b"+OK\r\n.\r\n")
        assert lines == wire[5:-5].replace(b"\r\n", b"\n").split(b"\n")
        assert client.stat() == (2, 320)


def test_nor_does_it_end_a_body_for_a_getline_of_the_old_kind():
    with talking(WithOldGetline, ANSWERS | {b"RETR": b"+OK\r\na\r\n\r.\n+OK 1 1\r\n.\r\n"}) as (client, _):
        assert client.retr(1)[1] == [b"a", b".", b"+OK 1 1"]  # it takes the CR away itself
        assert client.stat() == (2, 320)


@given(st.binary(max_size=40), st.sampled_from(LINE_BY_LINE))
@example(b".", WithGetline)
@example(b"\n..", WithGetline)
def test_line_by_line_a_body_is_what_it_is_at_once(octets, kind):
    octets = re.sub(rb"(?<![^\n])[.]+", b"", octets)  # those that begin a line
    with patch("builtins.print"):
        results = []
        for each in (ours.POP3, kind):
            client = each.__new__(each)
            client.file, client.sock = io.BytesIO(b"+OK\r\n" + octets + b"\r\n.\r\n+OK next\r\n"), MagicMock()
            results.append((client._getlongresp(), client._getresp()))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", [*LINE_BY_LINE, WithOldGetline])
@pytest.mark.parametrize("body", [b"x" * 10_000, b"x\r\n" * 4_000, b"\n" * 10_000])
def test_line_by_line_a_body_has_its_limit(kind, body, monkeypatch):
    monkeypatch.setattr(kind, "limits", Limits(body=4_000))
    with patch("builtins.print"), talking(kind, ANSWERS | {b"RETR": [b"+OK\r\n", body, body]}) as (client, _):
        with pytest.raises(ours.Garbled, match="4,000 octets"):
            client.retr(1)
        with pytest.raises(ours.OutOfStep):
            client.dele(1)


@pytest.mark.parametrize("kind", [*LINE_BY_LINE, WithOldGetline])
def test_line_by_line_a_body_that_brings_too_little_is_given_up(kind, monkeypatch):
    """A line within each timeout is not enough."""
    monkeypatch.setattr(kind, "limits", Limits(least_rate=1_000))
    slow = [b"+OK\r\n", *[piece for _ in range(25) for piece in (0.02, b"x\r\n")], b".\r\n"]
    with patch("builtins.print"), talking(kind, ANSWERS | {b"RETR": slow}, timeout=0.1) as (client, server):
        with pytest.raises(TimeoutError):
            client.retr(1)
        with pytest.raises(ours.OutOfStep):
            client.dele(1)
        assert server.heard == [b"RETR 1"]


# Sockets and files that programs have made.


class Tunnel(socket.socket):
    """As the socket of a package for proxies, which programs put in the place of all."""

    made = 0

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        Tunnel.made += 1


@pytest.mark.parametrize("module", [theirs, ours])
def test_a_class_of_sockets_may_take_the_place_of_all(module, monkeypatch):
    """Which sockets that were made before, and those of TLS, are not of; they are as safe as before."""
    with talking(module.POP3, {**ANSWERS, b"NOOP": b"+OK\r\n+OK 1 100\r\n"}) as (client, _):
        monkeypatch.setattr(module.socket, "socket", Tunnel)
        client.noop()
        if module is ours:
            with pytest.raises(ours.OutOfStep):
                client.stat()
    before = Tunnel.made
    with pop3_server({"ann": [b"one\n"]}, tls="starttls") as server:
        client = module.POP3(server.host, server.port, timeout=10)
        assert Tunnel.made > before
        assert type(client.sock) is Tunnel
        assert client.stls(server.client_context)
        client.user("ann")
        client.pass_(PASSWORD)
        assert client.retr(1)[1] == [b"one"]
        if module is ours:
            assert client.client.stat().count == 1
            assert client.file.socket is client.sock  # its timeout counts
        client.quit()


@pytest.mark.parametrize("module", [theirs, ours])
@pytest.mark.parametrize("path", ["poplib.socket.create_connection", "poplib.socket"])
def test_what_connects_may_be_replaced(module, path, monkeypatch):
    with Dialogue(ANSWERS).running() as server:
        called = []

        def create_connection(address, timeout):
            called.append((address, timeout))
            server.client.settimeout(timeout)
            return server.client

        if path == "poplib.socket":
            monkeypatch.setattr(module, "socket", SimpleNamespace(create_connection=create_connection))
            if module is theirs:
                module.socket._GLOBAL_DEFAULT_TIMEOUT = None
                module.socket.SHUT_RDWR = socket.SHUT_RDWR
        else:
            monkeypatch.setattr(module.socket, "create_connection", create_connection)
        client = module.POP3("pop.example.org", 110, 10)
        assert client.stat() == (2, 320)
        assert called == [(("pop.example.org", 110), 10)]
        client.close()


class Counting(socket.socket):
    """Sees what comes, where `poplib` looks for it: by `recv_into`, of the file of a socket."""

    def recv_into(self, *arguments):
        octets = super().recv_into(*arguments)
        self.came = getattr(self, "came", 0) + octets
        return octets


class OwnFile(socket.socket):
    """Sees it in the file."""

    came = 0

    def makefile(self, mode):
        return io.BufferedReader(CountingFile(self, "r"))


class CountingFile(socket.SocketIO):
    def readinto(self, buffer):
        octets = super().readinto(buffer)
        self._sock.came += octets
        return octets


@pytest.mark.parametrize("module", [theirs, ours])
@pytest.mark.parametrize("kind", [Counting, OwnFile])
def test_a_socket_that_a_program_has_made_is_read_as_it_means_it(module, kind):
    with Dialogue(ANSWERS | {b"NOOP": b"+OK\r\n+OK 1 100\r\n"}).running() as server:

        class Client(module.POP3):
            def _create_socket(self, timeout):
                return kind(fileno=server.client.detach())

        client = Client("pop.example.org", timeout=10)
        assert client.retr(1) == LINES
        assert client.stat() == (2, 320)
        assert client.sock.came == len(b"+OK ready\r\n" + RETR + ANSWERS[b"STAT"])
        if module is ours:
            client.noop()
            with pytest.raises(ours.OutOfStep):
                client.stat()
        client.close()


class LittleFile:
    """No more than `poplib` needs."""

    def __init__(self, file):
        self._file = file
        self.closed = False

    def readline(self, size=-1):
        return self._file.readline(size)

    def close(self):
        self.closed = True
        self._file.close()


@pytest.mark.parametrize("over", ["file", "sock"])
@pytest.mark.parametrize("module", [theirs, ours])
def test_a_file_may_have_readline_and_close_alone(module, over):
    with talking(module.POP3, ANSWERS | {b"NOOP": [b"+OK\r\n", 0.05, b"+OK 1 100\r\n"]}) as (client, server):
        little = client.file = LittleFile(client.file if over == "file" else client.sock.makefile("rb"))
        assert client.retr(1) == LINES
        assert client.stat() == (2, 320)
        assert client.capa() == {"TOP": []}
        client.noop()
        server.has_said(b"+OK 1 100\r\n")
        if module is ours:
            with pytest.raises(ours.OutOfStep):
                client.stat()
            assert server.heard[-1] == b"NOOP"
        client.close()
        assert little.closed


class LittleSocket:
    """Likewise, as a wrapper of something that is no socket."""

    def __init__(self, sock):
        self._sock = sock

    def makefile(self, mode):
        return LittleFile(self._sock.makefile(mode))

    def sendall(self, octets):
        self._sock.sendall(octets)

    def shutdown(self, how):
        self._sock.shutdown(how)

    def close(self):
        self._sock.close()


@pytest.mark.parametrize("module", [theirs, ours])
def test_a_socket_may_have_what_is_needed_alone(module):
    with Dialogue(ANSWERS).running() as server:

        class Client(module.POP3):
            def _create_socket(self, timeout):
                return LittleSocket(server.client)

        client = Client("pop.example.org", timeout=10)
        assert client.retr(1) == LINES
        assert client.stat() == (2, 320)
        assert client.quit() == b"+OK bye"


class Around:
    """Around a socket, and of no class of sockets: as those of gevent, and of packages for proxies."""

    def __init__(self, sock):
        self._sock = sock

    def __getattr__(self, name):
        return getattr(self._sock, name)


STRAY = {**ANSWERS, b"NOOP": b"+OK\r\n+OK 1 100\r\n", b"RSET": [each for _ in range(12) for each in (b"x", 0.05)]}


@pytest.mark.parametrize("connected", [talking, talking_tls])
@pytest.mark.parametrize("when", ["from the start", "later"])
def test_a_socket_around_a_socket_is_as_safe(connected, when):
    class Wrapped(ours.POP3):
        def _read_from(self, sock):
            super()._read_from(Around(sock) if when == "from the start" else sock)

    def go_on(client):
        if when == "later":
            client.sock = Around(client.sock)
        assert client.retr(1) == LINES
        assert isinstance(client.sock, Around)

    with connected(Wrapped, STRAY) as (client, server):
        go_on(client)
        client.noop()
        server.has_said(STRAY[b"NOOP"])
        with pytest.raises(ours.OutOfStep):
            client.stat()
        assert server.heard[-1] == b"NOOP"
    with connected(Wrapped, STRAY, timeout=0.1) as (client, _):
        go_on(client)
        with pytest.raises(TimeoutError):  # within two of them, and not once for each octet
            client.rset()


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
