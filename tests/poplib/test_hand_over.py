"""Two that talk over one connection: whoever takes it over finds it in step, or is told that it is not."""

import contextlib
import itertools

import pytest

from pop3proto import Busy, ListOne, Retr, State, poplib as ours
from pop3proto.core.errors import Broken
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import SplitEvery
from tests.helpers.dialogues import Dialogue, talking

BODY = b"+OK\r\n" + b"one\r\n" * 5_000 + b".\r\n"
ANSWERS = {
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK\r\n",
    b"RETR": BODY,
    b"STAT": b"+OK 7 700\r\n",
    b"NOOP": b"+OK\r\n",
    b"CAPA": b"+OK\r\nTOP\r\n.\r\n",
}

SLOWLY = ANSWERS | {b"RETR": [BODY[:12], 0.05, BODY[12:]]}


@contextlib.contextmanager
def left_in_mid_body(**options):
    """A POP3 object whose client has left a message of which only the first octets have come."""
    with talking(ours.POP3, SLOWLY, **options) as (client, server):
        client.user("ann")
        client.pass_("tanstaaf")
        held = client.client
        with held.retr(1) as message:
            assert next(iter(message))
        yield client, held, server


def set_timeout(client):
    client.sock.settimeout(9)


def set_debuglevel(client):
    client.set_debuglevel(1)


def another_file(client):
    client.file = client.sock.makefile("rb")


class Around:
    """A socket or a file in another one, as programs write them that count octets."""

    def __init__(self, around):
        self._around = around

    def __getattr__(self, name):
        return getattr(self._around, name)


def a_file_around_the_file(client):
    client.file = Around(client.file)


def a_socket_around_the_socket(client):
    client.sock = Around(client.sock)


def a_socket_and_a_file(client):
    client.sock = Around(client.sock)
    client.file = client.sock.makefile("rb")


def nothing(client):
    pass


CHANGES = [
    nothing,
    set_timeout,
    set_debuglevel,
    another_file,
    a_file_around_the_file,
    a_socket_around_the_socket,
    a_socket_and_a_file,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_left_of_a_message_is_read_before_another_takes_over(change):
    for go_on in (
        lambda client: client.stat(),
        lambda client: (client.client.stat().count, client.client.stat().octets),
        lambda client: client.client and client.stat(),
    ):
        with left_in_mid_body() as (client, _, _):
            change(client)
            assert go_on(client) == (7, 700)
            assert client.stat() == (7, 700)


@pytest.mark.parametrize("change", CHANGES)
def test_while_a_message_is_being_read_nobody_takes_over(change):
    with talking(ours.POP3, SLOWLY) as (client, server):
        client.user("ann")
        client.pass_("tanstaaf")
        with client.client.retr(1) as message:
            octets = next(iter(message))
            change(client)
            for go_on in (client.stat, client._getresp, lambda: client.client.stat()):  # noqa: PLW0108 - it may be another
                with pytest.raises(Busy):
                    go_on()
            octets += message.read()
        assert len(octets) == 25_000
        assert client.stat() == (7, 700)
        assert server.heard[2:] == [b"RETR 1", b"STAT"]


@pytest.mark.parametrize("read", [lambda client: client._getline(), lambda client: client.file.readline()])
def test_nobody_reads_the_rest_of_a_message_as_an_answer(read):
    with left_in_mid_body(timeout=0.5) as (client, _, _):
        with pytest.raises(TimeoutError):  # nothing was asked for
            read(client)
        with pytest.raises(ours.OutOfStep):
            client.noop()


def test_a_client_that_was_replaced_is_of_no_use_any_more():
    for change in (set_timeout, set_debuglevel):
        with left_in_mid_body() as (client, held, server):
            change(client)
            other = client.client
            assert other is not held
            with pytest.raises(Broken, match="ask the POP3 object for its client again"):
                held.stat()
            assert other.stat().count == 7
            assert server.heard.count(b"STAT") == 1


def test_a_client_that_is_kept_goes_on_where_nothing_else_took_over():
    with left_in_mid_body() as (client, held, _):
        client.sock.settimeout(9)
        assert held.stat().count == 7
        assert client.sock.gettimeout() == 9


def test_the_client_of_another_connection_is_another():
    with left_in_mid_body() as (client, held, _), Dialogue({b"STAT": b"+OK 8 8\r\n"}, []).running() as other:
        client.sock = other.client
        client.file = client.sock.makefile("rb")
        assert client.stat() == (8, 8)
        assert client.client is not held
        assert client.client.state is State.AUTHORIZATION  # nobody has logged in there
        with pytest.raises(Broken, match="ask the POP3 object for its client again"):
            held.stat()
        assert client.stat() == (8, 8)


def test_another_connection_without_its_file_is_refused():
    with talking(ours.POP3, ANSWERS) as (client, server), Dialogue(ANSWERS, []).running() as other:
        client.sock = other.client
        for go_on in (client.noop, lambda: client.client):
            with pytest.raises(ours.OutOfStep, match="set file, too"):
                go_on()
        assert server.heard == other.heard == []


def test_another_file_for_the_same_connection_does_not_forget_that_the_place_is_lost():
    with talking(ours.POP3, {b"RETR": b"+OK\r\nhalf"}, timeout=0.05) as (client, server):
        with pytest.raises(TimeoutError):
            client.retr(1)
        for change in (another_file, a_socket_and_a_file, a_file_around_the_file):
            change(client)
            with pytest.raises(ours.OutOfStep, match="TimeoutError"):
                client.dele(1)
        assert server.heard == [b"RETR 1"]


def test_another_file_for_the_same_connection_loses_no_octets_and_no_answers_that_are_due():
    with talking(ours.POP3, ANSWERS) as (client, server):
        client._putcmd("NOOP")
        client._putcmd("STAT")
        server.hears(b"STAT")
        assert client._getresp() == b"+OK"
        for change in (another_file, a_file_around_the_file, a_socket_and_a_file):
            change(client)
            with pytest.raises(ours.OutOfStep, match="an answer is due"):
                client.client  # noqa: B018 - it is a property
        assert client._getresp() == b"+OK 7 700"
        assert client.client.peer


# A client that is kept, and commands without it.


@pytest.mark.parametrize("line", ["RETR 1", "TOP 1 0", "LIST", "UIDL", "CAPA", "retr 1"])
def test_lines_that_were_not_asked_for_pass_for_no_answer(line):
    """Of a command that has been sent as if its answer were one line; they may not have come yet."""
    answers = ANSWERS | {line.split()[0].encode(): [b"+OK\r\n", 0.05, b"+OK 1 100\r\n", b"..\r\n.\r\n"]}
    with talking(ours.POP3, answers) as (client, server):
        held = client.client
        assert client._shortcmd(line) == b"+OK"
        for go_on in (client.stat, held.capa, lambda: client.client.capa()):  # noqa: PLW0108 - it may be another
            with pytest.raises(ours.OutOfStep, match=f"behind the answer to {line} were not read"):
                go_on()
        assert server.heard == [line.encode()]
        assert client._getline() == (b"+OK 1 100", 11)
        with pytest.raises(ours.OutOfStep):
            client.stat()
        assert client.file.readline() == b"..\r\n"
        another_file(client)
        with pytest.raises(ours.OutOfStep):
            client.stat()
        assert client._getline() == (b".", 3)
        assert client.stat() == (7, 700)
        assert held is not client.client  # the file is another


@pytest.mark.parametrize("faults", [(), (SplitEvery(7),)], ids=["whole", "cut"])
def test_both_take_turns_with_pipelined_commands(faults):
    mail = [b"Subject: %d\n\n.%s\n" % (number, b"x" * 100 * number) for number in range(40)]
    with pop3_server({"ann": mail}, faults=faults) as server, ours.POP3(server.host, server.port) as client:
        held = client.client
        held.login("ann", PASSWORD)
        assert held.session.pipelining
        numbers = range(1, 41)
        for _ in range(2):
            assert [number for number, _ in held.retrieve(numbers)] == [*numbers]
            assert client.retr(7)[1][0] == b"Subject: 6"
            for message in held.stream(Retr(number) for number in numbers):
                with message:
                    assert message.read().count(b"\n") == 3
            assert client.stat()[0] == 40
            for message in itertools.islice(held.stream(Retr(number) for number in numbers), 20):
                assert message.command.number  # others were asked for, and are on their way
            assert client.retr(7)[1][0] == b"Subject: 6"
            assert held.call_all([ListOne(number) for number in numbers])[0] == len(mail[0]) + 3
            assert client.list(1)[:6] == b"+OK 1 "
        assert client.client is held


def test_a_client_that_is_kept_sees_what_nothing_has_asked_for():
    with talking(ours.POP3, {b"NOOP": b"+OK\r\n+OK 1 100\r\n"}) as (client, server):
        held = client.client
        client._shortcmd("NOOP")
        for _ in range(2):
            with pytest.raises(ours.OutOfStep, match="nothing had asked for"):
                held.capa()
        assert server.heard == [b"NOOP"]


def test_a_client_that_is_kept_sees_it_at_each_command():
    with talking(ours.POP3, ANSWERS) as (client, server):
        held = client.client
        client.noop()
        server._server.sendall(b"+OK 1 100\r\n")
        with pytest.raises(ours.OutOfStep, match="nothing had asked for"):
            held.capa()
        assert server.heard == [b"NOOP"]


def test_a_client_that_is_kept_does_not_take_an_answer_that_is_due_to_another():
    with talking(ours.POP3, ANSWERS) as (client, server):
        held = client.client
        client._putcmd("STAT")
        with pytest.raises(Busy, match="due"):
            held.capa()
        assert client._getresp() == b"+OK 7 700"
        held.capa()
        assert server.heard == [b"STAT", b"CAPA"]


def test_commands_may_be_pipelined_by_hand_beside_a_client_for_longer_than_it_looks():
    with talking(ours.POP3, ANSWERS) as (client, server):
        held = client.client
        held.capa()
        held.session._active = -1e9  # so long ago that it would look
        client._putcmd("NOOP")
        server.hears(b"NOOP")
        held.session._active = -1e9
        client._putcmd("STAT")
        assert (client._getresp(), client._getresp()) == (b"+OK", b"+OK 7 700")
