"""Sessions of a test server in memory, for the client of each adapter."""

import asyncio
import poplib
import select
import socket

import pytest
import trio
import trio.testing

import pop3proto.asyncio
import pop3proto.trio
from pop3proto import Capabilities, Dele, Quit, Retr, User
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.maildrops import MaildirStore
from pop3proto.procedures import LoginPenalty
from pop3proto.testing import PASSWORD, MemorySocket, pop3_in_memory
from pop3proto.testing.recording import Recorder
from tests.helpers.processes import PATIENCE

MAIL = {"ann": [b"Subject: one\n\n.one\n", b"Subject: two\n\n" + b"two\n" * 50_000]}
WIRE = [message.replace(b"\n", b"\r\n") for message in MAIL["ann"]]


def by_blocking(server):
    with server.connect() as client:
        client.login("ann", PASSWORD)
        octets = [octets for _, octets in client.retrieve([1, 2])]
        client.dele(1)
    return octets


def by_asyncio(server):
    async def run():
        async with pop3proto.asyncio.connect_over(server.transport(), tls="none", cleartext="always") as client:
            await client.login("ann", PASSWORD)
            octets = [octets async for _, octets in client.retrieve([1, 2])]
            await client.dele(1)
        return octets

    return asyncio.run(run())


def by_trio(server):
    async def run():
        async with pop3proto.trio.connect_over(server.stream(), tls="none", cleartext="always") as client:
            await client.login("ann", PASSWORD)
            octets = [octets async for _, octets in client.retrieve([1, 2])]
            await client.dele(1)
        return octets

    return trio.run(run)


@pytest.mark.parametrize("fetch", [by_blocking, by_asyncio, by_trio])
def test_a_client_of_each_adapter(fetch):
    server = pop3_in_memory(MAIL)
    assert fetch(server) == WIRE
    assert server.messages("ann") == MAIL["ann"][1:]
    assert fetch(pop3_in_memory({"ann": MAIL["ann"] * 2})) == WIRE
    (session,) = server.sessions
    assert session.ended
    assert [command for command in session.commands if command.verb in {"RETR", "DELE", "QUIT"}] == [
        Retr(1),
        Retr(2),
        Dele(1),
        Quit(),
    ]


def test_sessions_share_maildrops_and_locks():
    server = pop3_in_memory(MAIL)
    one, other = server.connect(), server.connect()
    one.login("ann", PASSWORD)
    with pytest.raises(CommandFailed, match="IN-USE"):
        other.login("ann", PASSWORD)
    one.close()
    assert server.sessions[0].ended
    other.login("ann", PASSWORD)
    other.quit()
    assert [session.quit for session in server.sessions] == [False, True]


def test_octets_in_and_octets_out():
    session = pop3_in_memory(MAIL).session()
    assert session.take().startswith(b"+OK ")
    for octet in b"USER ann\r\n":
        session.hear(bytes([octet]))
    assert session.take() == b"+OK send the password\r\n"
    session.hear(f"PASS {PASSWORD}\r\nSTAT\r\nQUIT\r\n".encode())
    assert session.take().count(b"+OK") == 3
    assert session.ended
    session.hear(b"STAT\r\n")
    assert session.take() == b""


def test_poplib_over_a_session_in_memory(monkeypatch):
    server = pop3_in_memory(MAIL)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: server.socket())
    mailbox = poplib.POP3("nowhere", 110)
    mailbox.user("ann")
    mailbox.pass_(PASSWORD)
    assert mailbox.stat()[0] == 2
    assert mailbox.retr(1)[1] == [b"Subject: one", b"", b".one"]
    mailbox.quit()
    assert server.sessions[0].commands[0] == User("ann")


def test_what_would_wait_for_ever_is_a_timeout_at_once():
    sock = pop3_in_memory(MAIL).socket()
    assert isinstance(sock, MemorySocket)
    assert sock.recv(3) == b"+OK"
    assert sock.recv(1_000).endswith(b"\r\n")
    with pytest.raises(TimeoutError, match="waits for the client"):
        sock.recv(1)
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        sock.sendall(b"QUIT\r\n")
    sock.close()


def test_a_delay_takes_no_time_and_a_deadline_passes_by_it():
    server = pop3_in_memory(MAIL, failure_delay=3_600)
    with server.connect() as client:
        with pytest.raises(CommandFailed):
            client.login("ann", "wrong", only=["USER/PASS"])
        with pytest.raises((ConnectionLost, TimedOut)):
            client.login("ann", PASSWORD)
    assert isinstance(server.sessions[0].error, TimedOut)


def test_tls_takes_sockets():
    client = pop3_in_memory(MAIL).connect()
    with pytest.raises((CommandFailed, LocalProtocolError)):
        client.start_tls()
    client.close()


def test_a_fault_of_the_store_is_told_and_logged_as_by_a_real_server(caplog):
    class Broken:
        blocks = False

        def open(self, user, session):
            raise RuntimeError("the disk is on fire")

        def capabilities(self, user):
            return Capabilities()

    server = pop3_in_memory(store=Broken(), passwords={"ann": "x"})
    with pytest.raises(LoginFailed, match=r"SYS/TEMP"), server.connect() as client:
        client.login("ann", "x")
    assert server.sessions[0].ended
    assert "the disk is on fire" in caplog.text
    assert isinstance(server.sessions[0].error, RuntimeError)


def test_a_session_that_is_dropped_keeps_no_lock(tmp_path):
    for name in ("new", "cur", "tmp"):
        (tmp_path / name).mkdir()
    server = pop3_in_memory(store=MaildirStore({"ann": tmp_path}), passwords={"ann": "x"})
    login = b"USER ann\r\nPASS x\r\n"
    for _ in range(2):
        session = server.session()
        session.hear(login)
        assert session.take().count(b"+OK") == 3
        del session
    with server.session() as session:
        session.hear(login)
        with server.session() as other:
            other.hear(login)
            assert b"-ERR [IN-USE]" in other.take()
    assert session.ended


def test_the_end_behind_data_is_told_to_any_protocol():
    async def run():
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = pop3_in_memory(MAIL).transport()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        transport.write(b"QUIT\r\n")
        async with asyncio.timeout(PATIENCE):
            said = await reader.read()
        transport.close()
        return said

    assert asyncio.run(run()).count(b"+OK") == 2


def test_what_can_be_read_can_be_selected():
    with pop3_in_memory(MAIL).socket() as sock:
        assert select.select([sock], [], [], 0)[0] == [sock]
        assert sock.recv(10_000).startswith(b"+OK")
        assert select.select([sock], [], [], 0)[0] == []
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.send(b"QUIT\r\n")
        assert select.select([sock], [], [], 0)[0] == [sock]
        with pytest.raises(NotImplementedError, match="use pop3_server"):
            sock.sendmsg([b"NOOP\r\n"])


def test_bounds_and_penalties_are_those_of_all_sessions():
    server = pop3_in_memory(
        MAIL, max_sessions=2, max_sessions_before_login=2, login_penalty=LoginPenalty(first=60, most=3_600)
    )
    with server.session(), server.session(), server.session() as third:
        assert third.take().startswith(b"-ERR [SYS/TEMP] too many sessions")
        assert third.ended
    for password in (b"one", b"two", b"three", b"four"):
        with server.session() as session:
            session.hear(b"USER ann\r\nPASS " + password + b"\r\n")
    with server.session() as session:
        session.hear(b"USER ann\r\nPASS tanstaaf\r\n")
        assert b"[SYS/TEMP] the login cannot be checked in time" in session.take()


def test_the_oldest_stranger_makes_room():
    server = pop3_in_memory(MAIL, max_sessions=4, max_sessions_before_login=1)
    with server.session() as first, server.session() as second:
        assert b"too many sessions before login" in first.take()
        assert (first.ended, second.ended) == (True, False)


def test_what_an_observer_says_meanwhile_waits_for_its_turn():
    class Hasty(Recorder):
        def heard(self, session, event):
            if event == User("ann"):
                begun[0].hear(b"CAPA\r\n")

    server = pop3_in_memory(MAIL, observer=Hasty())
    with server.session() as session:
        begun = [session]
        session.hear(b"USER ann\r\n")
        assert [line[:9] for line in session.take().split(b"\r\n")[1:3]] == [b"+OK send ", b"+OK capab"]


def test_what_cannot_be_written_over_a_stream_that_is_closed():
    async def run():
        stream = pop3_in_memory(MAIL).stream()
        await stream.wait_send_all_might_not_block()
        assert (await stream.receive_some(3)) == b"+OK"
        assert (await stream.receive_some()).endswith(b"\r\n")
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _():
                assert await stream.receive_some() == b""

            await trio.testing.wait_all_tasks_blocked()
            await stream.send_eof()
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()

    trio.run(run)
