"""Faults: what each does to a client of ours, in memory over each adapter, over sockets, and through a proxy."""

import asyncio
import inspect
import poplib
import re
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import given, strategies as st

import pop3proto.asyncio
import pop3proto.trio
from pop3proto import Auth, Capa, Quirk, ResponseCode, Retr, Top, UniqueIdListing
from pop3proto.blocking import connect, connect_over
from pop3proto.core.errors import (
    Broken,
    ConnectionLost,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
    UncertainUpdate,
)
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.procedures import Deadlines
from pop3proto.testing import PASSWORD, faults, pop3_in_memory, pop3_server
from pop3proto.testing.faults import (
    Asked,
    BareLF,
    Body,
    CloseAfter,
    Cut,
    DeleteOnRetr,
    DoubleAnswer,
    Drip,
    End,
    ExtraBlanks,
    Fault,
    HideAfterRetr,
    InjectAtStls,
    JsonChallenge,
    ListsAll,
    LongLine,
    LongUids,
    LoseAnswer,
    LoseBehind,
    NewUids,
    NoInitialResponse,
    NoJsonChallenge,
    NoTerminator,
    NoUid,
    OkAsChallenge,
    OldestOnly,
    Refuse,
    Reset,
    ReuseUid,
    Reword,
    SameUid,
    ShortTop,
    SlowLock,
    SplitEvery,
    Stall,
    StatusLine,
    StrayDot,
    Throttle,
    TlsFails,
    TooEarly,
    TrailingJunk,
    Unstuffed,
    WrongCount,
    WrongSize,
    faulty,
)
from pop3proto.testing.faults.dialogue import Dialogue
from pop3proto.testing.faults.faulty_line import FaultyLines
from pop3proto.testing.faults.line import Octets
from pop3proto.testing.personas import Persona
from tests.helpers.processes import PATIENCE, wait_until
from tests.helpers.snippets import DOCS, snippets
from tests.helpers.strategies import messages

MAIL = [b"Subject: %d\n\n.dot\n.\nbody\n" % number for number in range(1, 5)]
WIRE = [message.replace(b"\n", b"\r\n") for message in MAIL]
OCTETS = len(WIRE[0])


def fetch(number):
    return lambda client: client.fetch(number)


def stat(client):
    return client.stat()


def noop(client):
    return client.noop()


def uidl(client):
    return client.uidl()


def top(number):
    return lambda client: client.call(Top(number, 1_000))


def uids(listing):
    return [uid.rpartition(".")[2] for uid in listing.values()]


@attrs.frozen
class Case:
    """What a client does behind login, and what comes of it: a result for each step; the last may be an error."""

    faults: list
    steps: list
    ends: tuple | None = None  # the error of the last step, and words of it
    results: list = attrs.field(factory=list)
    left: int = len(MAIL)  # messages that are there afterwards


IN_ORDER = "instead of an answer to"
CASES = {
    "none": Case([], [stat, fetch(1)], results=[(4, 4 * OCTETS), WIRE[0]]),
    "cut in a body": Case(
        [Cut(after="RETR 3", octets=30)], [fetch(2), fetch(3)], (ConnectionLost, "in the middle of the body of RETR 3")
    ),
    "cut before an answer": Case([Cut(after="RETR 3")], [fetch(3)], (ConnectionLost, "before answering RETR 3")),
    "cut in a status line": Case([Cut(after="STAT", octets=2)], [stat], (ConnectionLost, "STAT")),
    "cut behind what there is": Case([Cut(after="STAT", octets=1_000)], [stat, noop], results=[(4, 4 * OCTETS), None]),
    "reset": Case([Reset(after="RETR 3", octets=30)], [fetch(3)], (ConnectionLost, ".")),
    "stall": Case([Stall(after="RETR 1", octets=20)], [fetch(1)], (TimedOut, "the body of RETR 1")),
    "octet by octet": Case([SplitEvery(1)], [stat, fetch(1)], results=[(4, 4 * OCTETS), WIRE[0]]),
    "drip": Case([Drip(octets=10, every=0.001, on="RETR")], [fetch(1)], results=[WIRE[0]]),
    "lost answer": Case([LoseAnswer(to="STAT")], [stat], (TimedOut, "waited for the answer to STAT")),
    "lost answer, body": Case([LoseAnswer(to="RETR 1")], [fetch(1)], (TimedOut, "RETR 1")),
    "double answer": Case([DoubleAnswer(to="NOOP")], [noop, stat], (RemoteProtocolError, "no command was outstanding")),
    "refuse": Case(
        [Refuse("RETR 2", "SYS/TEMP", "not now")], [fetch(1), fetch(2)], (CommandFailed, r"\[SYS/TEMP\] not now")
    ),
    "refuse once": Case([Refuse("NOOP", times=1)], [lambda client: client.fetch(1)], results=[WIRE[0]]),
    "close after": Case([CloseAfter("STAT")], [stat, noop], (ConnectionLost, ".")),
    "close after a body": Case([CloseAfter("RETR")], [fetch(1), noop], (ConnectionLost, ".")),
    "wrong size": Case(
        [WrongSize(by=-2)],
        [stat, lambda client: client.list(), lambda client: client.list_one(1), fetch(1)],
        results=[(4, 4 * (OCTETS - 2)), dict.fromkeys(range(1, 5), OCTETS - 2), OCTETS - 2, WIRE[0]],
    ),
    "wrong count": Case([WrongCount(by=3)], [stat], results=[(7, 4 * OCTETS)]),
    "same uid": Case(
        [SameUid((2, 4))],
        [lambda client: client.uidl_one(2), uidl],
        results=["the-same", ["1", "the-same", "3", "the-same"]],
    ),
    "new uids": Case([NewUids()], [uidl], results=[["1"] * 4]),
    "no uid": Case([NoUid()], [uidl], (CommandFailed, "unknown command")),
    "no uid in a row": Case([NoUid((2,))], [uidl], results=[["1", "3", "4"]]),
    "not stuffed": Case([Unstuffed()], [fetch(1), noop], (RemoteProtocolError, "may have ended early")),
    "stray dot": Case(
        [StrayDot(after="LIST 1")],
        [lambda client: client.list_one(1), noop],
        (RemoteProtocolError, "the server sent '.'"),
    ),
    "bare LF": Case([BareLF(on="STAT")], [stat], (TimedOut, "STAT")),
    "no terminator": Case([NoTerminator(on="RETR 1")], [fetch(1)], (TimedOut, "the body of RETR 1")),
    "long line": Case([LongLine(on="STAT")], [stat], (RemoteProtocolError, "longer than 8192")),
    "trailing junk": Case([TrailingJunk(after="RETR 1")], [fetch(1), stat], (RemoteProtocolError, r"\* OK still here")),
    "trailing junk, line": Case(
        [TrailingJunk(after="NOOP", octets=b"220 hello\r\n")], [noop, stat], (RemoteProtocolError, "220")
    ),
    "throttle": Case([Throttle(1)], [fetch(1), fetch(2)], (CommandFailed, "limit exceeded")),
    "delete on RETR": Case([DeleteOnRetr()], [fetch(1), fetch(3)], results=[WIRE[0], WIRE[2]], left=2),
    "hide after RETR": Case([HideAfterRetr()], [fetch(1), fetch(3)], results=[WIRE[0], WIRE[2]], left=2),
    "long uids": Case(
        [LongUids(90)],
        [uidl, lambda client: client.uidl_one(1)],
        (MalformedReply, "UIDL 1 has no valid row"),
        results=[[]],
    ),
    "extra blanks": Case(
        [ExtraBlanks()],
        [uidl, lambda client: client.list()],
        results=[["1", "2", "3", "4"], dict.fromkeys(range(1, 5), OCTETS)],
    ),
    "lists all": Case(
        [ListsAll("UIDL")],
        [lambda client: client.uidl_one(2)],
        (MalformedReply, "UIDL 2 has no valid row"),
    ),
    "oldest only": Case(
        [OldestOnly(2)],
        [stat, uidl, lambda client: client.list(), lambda client: client.list_one(2), fetch(2), fetch(3)],
        (CommandFailed, "RETR 3: no such message"),
    ),
    "oldest only, and there are no more": Case(
        [OldestOnly(4)], [stat, uidl, fetch(4)], results=[(4, 4 * OCTETS), ["1", "2", "3", "4"], WIRE[3]]
    ),
    "oldest only, what is listed": Case(
        [OldestOnly(2)],
        [stat, uidl, lambda client: client.list()],
        results=[(2, 2 * OCTETS), ["1", "2"], dict.fromkeys((1, 2), OCTETS)],
    ),
    "short TOP": Case(
        [ShortTop(18)], [top(1), fetch(1), top(2)], results=[WIRE[0][:18] + b"\r\n", WIRE[0], WIRE[1][:18] + b"\r\n"]
    ),
    "reworded": Case(
        [Reword("NOOP", "Yup."), Reword("STAT", "no numbers"), Reword("DELE 9", "gone", refusal="")],
        [noop, lambda client: client.last_reply.text, stat],
        results=[None, "Yup.", (4, 4 * OCTETS)],
    ),
    "two at once": Case([WrongSize(by=1), SplitEvery(3)], [stat], results=[(4, 4 * OCTETS + 4)]),
}


UNMET = {  # faults that have nothing to change
    "cut behind what there is": CASES["cut behind what there is"].faults,
    "oldest only, and there are no more": CASES["oldest only, and there are no more"].faults,
    "refuse once": CASES["refuse once"].faults,
    "reworded": CASES["reworded"].faults[1:],  # numbers stay, and nothing is refused
}


def comparable(result):
    if hasattr(result, "count") and hasattr(result, "octets"):
        return result.count, result.octets
    if isinstance(result, UniqueIdListing):
        return uids(result)
    return dict(result) if hasattr(result, "items") else result


def run_blocking(server, case):
    return over_a_client(server.connect(), case)


def over_a_client(client, case):
    with client:
        client.login("ann", PASSWORD)
        return [comparable(step(client)) for step in case.steps]


async def run_async(client, case):
    await client.login("ann", PASSWORD)
    results = []
    for step in case.steps:
        result = step(client)
        results.append(comparable(await result if inspect.isawaitable(result) else result))
    return results


def run_asyncio(server, case):
    async def run():
        transport = server.transport()
        async with pop3proto.asyncio.connect_over(transport, tls="none", cleartext="always", timeout=0.2) as client:
            return await run_async(client, case)

    return asyncio.run(run())


def run_trio(server, case):
    async def run():
        stream = server.stream()
        async with pop3proto.trio.connect_over(stream, tls="none", cleartext="always", timeout=0.2) as client:
            return await run_async(client, case)

    return trio.run(run)


def check(case, run):
    if case.ends is None:
        assert run() == [[str(each) for each in one] if isinstance(one, list) else one for one in case.results]
    else:
        kind, words = case.ends
        with pytest.raises(kind, match=words):
            run()


@pytest.mark.deep(keep=60)
@pytest.mark.parametrize("adapter", [run_blocking, run_asyncio, run_trio])
@pytest.mark.parametrize("name", CASES)
def test_what_each_fault_does_to_a_client(name, adapter):
    case = CASES[name]
    server = pop3_in_memory({"ann": MAIL}, faults=case.faults)
    check(case, lambda: adapter(server, case))
    assert [fault for fault in case.faults if fault not in server.struck] == UNMET.get(name, [])
    assert len(server.messages("ann")) == case.left


@pytest.mark.deep(keep=8)
@pytest.mark.parametrize("name", CASES)
def test_over_sockets_it_is_the_same(name):
    case = CASES[name]
    with pop3_server({"ann": MAIL}, faults=case.faults) as server:
        check(case, lambda: over_a_client(connect(server.host, server.port, tls="none", timeout=0.3), case))
        server.sessions[0].wait(PATIENCE)
        assert len(server.messages("ann")) == case.left


@pytest.mark.deep(keep=8)
@pytest.mark.parametrize("name", CASES)
def test_through_a_proxy_it_is_the_same(name):
    case = CASES[name]
    with pop3_server({"ann": MAIL}) as server:
        with faulty(server.host, server.port, case.faults) as proxy:
            check(case, lambda: over_a_client(connect(proxy.host, proxy.port, tls="none", timeout=0.3), case))
        server.sessions[0].wait(PATIENCE)
        assert len(server.messages("ann")) == case.left


def test_each_fault_is_used_here_and_on_the_page():
    every = {name for name in faults.__all__ if issubclass_of_fault(getattr(faults, name))}
    used = {type(fault).__name__ for case in CASES.values() for fault in case.faults}
    below = {"InjectAtStls", "JsonChallenge", "OkAsChallenge", "ReuseUid", "SlowLock", "TlsFails"}
    below |= {"TooEarly", "LoseBehind", "NoInitialResponse", "NoJsonChallenge"}
    assert every == used | below
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text("utf-8")
    assert every == set(re.findall(r"(?m)^\| `([A-Z]\w+)\(", page))


def issubclass_of_fault(thing):
    return isinstance(thing, type) and issubclass(thing, Fault) and thing is not Fault


# ------------------------------------------------------------------------------- logins, TLS, more sessions


@contextmanager
def logged_in(server, **options):
    with connect_over(server.socket(), tls="none", cleartext="always", **options) as client:
        client.login("ann", PASSWORD)
        yield client


def test_ok_as_challenge():
    server = pop3_in_memory({"ann": MAIL}, faults=[OkAsChallenge()])
    with pytest.raises(RemoteProtocolError, match="impostor"), logged_in(server):
        pass
    plain = {"quirks": {Quirk.OK_AS_CHALLENGE}}
    with connect_over(server.socket(), tls="none", cleartext="always", **plain) as client:
        client.login("ann", PASSWORD, only=["PLAIN"], initial_response=False)


@pytest.mark.parametrize("initial_response", [True, False])
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_json_challenge(mechanism, initial_response):
    server = pop3_in_memory({"ann": MAIL}, tokens={"good": "ann"}, faults=[JsonChallenge({"status": "401"})])
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        with pytest.raises(LoginFailed, match=r'Invalid credentials.*\{"status": "401"\}'):
            client.login("ann", token="good", only=[mechanism], initial_response=initial_response)
        client.login("ann", PASSWORD)
        assert client.stat().count == len(MAIL)


def test_a_lock_that_stays_for_a_while():
    server = pop3_in_memory({"ann": MAIL}, faults=[SlowLock(logins=2)])
    with logged_in(server):
        pass
    for _ in range(2):
        with pytest.raises(LoginFailed, match="IN-USE"), logged_in(server):
            pass
    with logged_in(server) as client:
        assert client.stat().count == len(MAIL)


def test_a_login_that_comes_too_early():
    server = pop3_in_memory({"ann": MAIL}, faults=[TooEarly()])
    with logged_in(server):
        pass
    with pytest.raises(LoginFailed, match="LOGIN-DELAY") as failed, logged_in(server):
        pass
    assert failed.value.code == ResponseCode.LOGIN_DELAY
    with logged_in(server):
        pass


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_that_is_refused_without_json(mechanism):
    server = pop3_in_memory({"ann": MAIL}, tokens={"good": "ann"}, faults=[NoJsonChallenge()])
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        for initial_response in (True, False):
            with pytest.raises(LoginFailed) as failed:
                client.login("ann", token="bad", only=[mechanism], initial_response=initial_response)
            assert [attempt.detail for attempt in failed.value.attempts] == [""]
        client.login("ann", token="good", only=[mechanism])
        assert client.stat().count == len(MAIL)


def test_an_initial_response_that_is_not_taken():
    server = pop3_in_memory({"ann": MAIL}, faults=[NoInitialResponse()], apop=False)
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        with pytest.raises(LoginFailed, match=r"Protocol error. Connection is closed. 10"):
            client.login("ann", PASSWORD, only=["PLAIN"])
        with pytest.raises(Broken):
            client.capa()
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        client.login("ann", PASSWORD, only=["PLAIN"], initial_response=False)


def test_a_client_over_sockets_connects_again_for_the_other_form():
    with (
        pop3_server({"ann": MAIL}, faults=[NoInitialResponse()]) as server,
        server.connect() as client,
    ):
        client.login("ann", PASSWORD, only=["PLAIN"])
        assert [session.commands for session in server.sessions] == [[Capa()], [Capa(), Auth("PLAIN"), Capa()]]


@pytest.mark.parametrize("password,answers", [(PASSWORD, 3), ("wrong", 3)])
def test_what_is_lost_behind_a_login(password, answers):
    session = pop3_in_memory({"ann": MAIL}, faults=[LoseBehind("PASS"), LoseBehind("AUTH")]).session()
    session.hear(f"USER ann\r\nPASS {password}\r\nSTAT\r\nQUIT\r\n".encode())
    assert session.take().count(b"\r\n") == answers
    session.hear(b"CAPA\r\n")
    assert session.take().startswith(b"+OK")
    session.close()
    session = pop3_in_memory({"ann": MAIL}, faults=[LoseBehind("AUTH")]).session()
    session.hear(b"AUTH PLAIN\r\nSTAT\r\n")
    session.hear(b"AGFubgB0YW5zdGFhZg==\r\nSTAT\r\n")
    assert session.take().splitlines()[1:] == [b"+ ", b"+OK maildrop has 4 messages (%d octets)" % (4 * OCTETS)]


def test_what_is_not_there_yet_comes_when_the_oldest_are_gone():
    server = pop3_in_memory({"ann": MAIL}, faults=[OldestOnly(3)])
    seen = []
    for _ in range(3):
        with logged_in(server) as client:
            seen.append(uids(client.uidl()))
            for number in range(1, client.stat().count + 1):
                client.dele(number)
    assert seen == [["1", "2", "3"], ["4"], []]


def test_stat_before_login_is_refused_as_ever():
    session = pop3_in_memory({"ann": MAIL}, faults=[OldestOnly(3)]).session()
    session.take()
    session.hear(b"STAT\r\nNOOP\r\n")
    assert session.take().count(b"-ERR") == 2


def test_a_unique_id_that_is_used_again():
    server = pop3_in_memory({"ann": MAIL[:2]}, faults=[ReuseUid()])
    with logged_in(server) as client:
        first, second = client.uidl().values()
        client.dele(1)
    server.deliver("ann", b"new\n")
    with logged_in(server) as client:
        assert list(client.uidl().values()) == [second, first]
        assert client.uidl_one(2) == first


def test_new_unique_ids_from_a_session_on():
    server = pop3_in_memory({"ann": MAIL[:1]}, faults=[NewUids(since=2)])
    seen = []
    for _ in range(3):
        with logged_in(server) as client:
            seen += client.uidl().values()
    assert len(set(seen)) == 3


def test_a_throttle_goes_on_from_session_to_session():
    server = pop3_in_memory({"ann": MAIL}, faults=[Throttle(1)])
    with logged_in(server) as client:
        client.fetch(1)
    with logged_in(server) as client, pytest.raises(CommandFailed, match="SYS/TEMP"):
        client.top(1, 0).__enter__()


@pytest.mark.parametrize("quits,left", [(True, 3), (False, 4)])
def test_what_was_retrieved_is_hidden_only_after_quit(quits, left):
    server = pop3_in_memory({"ann": MAIL}, faults=[HideAfterRetr()])
    client = server.connect()
    client.login("ann", PASSWORD)
    client.fetch(2)
    client.quit() if quits else client.close()
    assert len(server.messages("ann")) == left


def test_what_was_not_sent_is_not_hidden():
    server = pop3_in_memory({"ann": MAIL}, faults=[HideAfterRetr(), Refuse("RETR 2")])
    with logged_in(server) as client:
        client.fetch(1)
        with pytest.raises(CommandFailed):
            client.fetch(2)
        assert server.struck == (Refuse("RETR 2"),)
    assert server.messages("ann") == MAIL[1:]
    with server.session() as session:
        session.hear(LOGIN + b"RETR 1\r\nRETR 2\r\nRETR 9\r\nQUIT\r\n")
        assert session.ended
        assert session.take().count(b"-ERR") == 2
    assert server.messages("ann") == MAIL[2:]


def test_what_was_cut_off_is_not_hidden():
    server = pop3_in_memory({"ann": MAIL}, faults=[HideAfterRetr(), Cut(after="RETR 1", octets=20)])
    with server.session() as session:
        session.hear(LOGIN + b"RETR 1\r\nQUIT\r\n")
        assert session.ended
    assert server.messages("ann") == MAIL


def test_what_was_retrieved_is_hidden_whatever_rset_says():
    server = pop3_in_memory({"ann": MAIL}, faults=[HideAfterRetr()])
    with logged_in(server) as client:
        client.fetch(1)
        client.dele(2)
        client.rset()
    assert server.messages("ann") == MAIL[1:]


def test_what_was_retrieved_is_deleted_also_without_quit():
    server = pop3_in_memory({"ann": MAIL}, faults=[DeleteOnRetr()])
    client = server.connect()
    client.login("ann", PASSWORD)
    client.fetch(2)
    client.close()
    assert server.messages("ann") == [*MAIL[:1], *MAIL[2:]]


@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
@pytest.mark.parametrize("through_proxy", [False, True])
def test_faults_of_tls(adapter, through_proxy):
    for fault, error, words in (
        (InjectAtStls(), RemoteProtocolError, "before the TLS handshake"),
        (TlsFails(), ConnectionLost, "the TLS handshake failed"),
        (CloseAfter("STLS"), ConnectionLost, "."),
    ):
        ours, theirs = ([], [fault]) if through_proxy else ([fault], [])
        with (
            pop3_server({"ann": MAIL}, tls="starttls", adapter=adapter, faults=ours) as server,
            faulty(server.host, server.port, theirs) as proxy,
            pytest.raises(error, match=words),
        ):
            connect(proxy.host, proxy.port, tls="starttls", context=server.client_context, timeout=PATIENCE)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_through_tls_a_proxy_can_only_break_the_connection(tls):
    passes = [SplitEvery(7), WrongSize(), Refuse("STAT"), Cut(after="STAT")]
    with (
        pop3_server({"ann": MAIL}, tls=tls) as server,
        faulty(server.host, server.port, passes, implicit_tls=tls == "implicit") as proxy,
        connect(proxy.host, proxy.port, tls=tls, context=server.client_context) as client,
    ):
        client.login("ann", PASSWORD)
        assert client.stat().octets == 4 * OCTETS


def test_a_proxy_breaks_what_it_cannot_read():
    with (
        pop3_server({"ann": MAIL}, tls="implicit") as server,
        faulty(server.host, server.port, [Cut(after="greeting", octets=5_000)], implicit_tls=True) as proxy,
        connect(proxy.host, proxy.port, context=server.client_context) as client,
    ):
        client.login("ann", PASSWORD)
        with pytest.raises(ConnectionLost):
            client.call_all(Retr(1) for _ in range(1_000))


@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
def test_a_reset_reaches_the_system(adapter):
    with (
        pop3_server({"ann": MAIL}, adapter=adapter, faults=[Reset(after="CAPA", octets=1)]) as server,
        socket.create_connection((server.host, server.port), PATIENCE) as sock,
    ):
        assert sock.recv(1_000).startswith(b"+OK")
        sock.sendall(b"CAPA\r\n")
        with pytest.raises(ConnectionResetError):
            b"".join(iter(lambda: sock.recv(1), b""))


# --------------------------------------------------------------------------------------------- what was found

LOGIN = f"USER ann\r\nPASS {PASSWORD}\r\n".encode()


@contextmanager
def talking(server):
    """A plain socket behind the greeting."""
    with socket.create_connection((server.host, server.port), PATIENCE) as sock, sock.makefile("rb") as file:
        assert file.readline().startswith(b"+OK")
        yield sock, file


@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
def test_a_stall_behind_quit_keeps_the_connection_open_and_the_lock_free(adapter):
    stalls = [Stall(after="QUIT", session=1)]
    with pop3_server({"ann": MAIL}, adapter=adapter, faults=stalls) as server, talking(server) as (sock, file):
        sock.sendall(LOGIN + b"QUIT\r\n")
        assert [file.readline()[:3] for _ in range(2)] == [b"+OK"] * 2
        with server.connect() as client:
            client.login("ann", PASSWORD)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_proxy_follows_stls_in_whatever_pieces(size):
    with (
        pop3_server({"ann": MAIL}, tls="starttls") as server,
        faulty(server.host, server.port, [SplitEvery(size)]) as proxy,
        connect(proxy.host, proxy.port, tls="starttls", context=server.client_context) as client,
    ):
        client.login("ann", PASSWORD)
        assert client.stat().count == len(MAIL)


@pytest.mark.parametrize("through_proxy", [False, True])
def test_what_was_retrieved_before_a_break_is_deleted(through_proxy):
    ours = [DeleteOnRetr(), Cut(after="RETR 2", octets=10)]
    with pop3_server({"ann": MAIL}, faults=[] if through_proxy else ours) as server:
        with faulty(server.host, server.port, ours if through_proxy else []) as proxy, talking(proxy) as (sock, file):
            sock.sendall(LOGIN + b"RETR 1\r\nRETR 2\r\n")
            file.read()
        server.sessions[0].wait(PATIENCE)
        assert server.messages("ann") == MAIL[1:]


def test_the_end_of_a_proxy_is_a_hang_up_of_its_clients():
    with pop3_server({"ann": MAIL}) as server, ExitStack() as clients:
        with faulty(server.host, server.port, [DeleteOnRetr()]) as proxy:
            sock, file = clients.enter_context(talking(proxy))
            sock.sendall(LOGIN + b"RETR 1\r\n")
            while file.readline() != b".\r\n":
                pass
        server.sessions[0].wait(PATIENCE)
        assert server.messages("ann") == MAIL[1:]


def test_what_was_retrieved_is_hidden_though_quit_came_with_it():
    with pop3_in_memory({"ann": MAIL}, faults=[HideAfterRetr()]).session() as session:
        session.hear(LOGIN + b"RETR 1\r\nRETR 3\r\nQUIT\r\n")
        assert session.ended
        assert session.take().count(b"+OK") == 6


def test_a_refusal_of_what_the_client_has_not_said_is_not_told():
    with pop3_in_memory({"ann": MAIL}, faults=[HideAfterRetr(), Refuse("DELE")]).session() as session:
        session.hear(LOGIN + b"RETR 1\r\nQUIT\r\n")
        assert b"-ERR" not in session.take()


@pytest.mark.parametrize("behind", [b"USER eve\r\n", b"NO"])
def test_a_fault_does_not_let_octets_behind_stls_in(behind):
    with pop3_server({"ann": MAIL}, tls="starttls", faults=[Cut(after="NOOP")]) as server:
        with talking(server) as (sock, file):
            sock.sendall(b"STLS\r\n" + behind)
            file.readline()
            assert file.read() == b""
        server.sessions[0].wait(PATIENCE)
        assert [command.verb for command in server.sessions[0].commands] == ["STLS"]
        assert isinstance(server.sessions[0].error, RemoteProtocolError)


def test_the_unique_id_of_the_only_message_is_used_again():
    server = pop3_in_memory({"ann": MAIL[:1]}, faults=[ReuseUid()])
    with logged_in(server) as client:
        (first,) = client.uidl().values()
        client.dele(1)
    server.deliver("ann", b"new\n")
    with logged_in(server) as client:
        assert list(client.uidl().values()) == [first]


def test_a_drip_is_not_ended_by_a_deadline_of_the_server():
    drips = [Drip(octets=1, every=10, on="RETR")]
    with logged_in(pop3_in_memory({"ann": MAIL}, faults=drips, deadlines=Deadlines(write=11))) as client:
        assert client.fetch(1) == WIRE[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SplitEvery(0),
        lambda: Drip(octets=-1),
        lambda: Drip(every=-1),
        lambda: Cut(after="STAT", octets=-1),
        lambda: Throttle(-1),
        lambda: SlowLock(logins=-1),
        lambda: TooEarly(logins=-1),
        lambda: LongUids(70),
        lambda: OldestOnly(0),
        lambda: ShortTop(-1),
    ],
)
def test_numbers_that_make_no_sense(make):
    with pytest.raises(ValueError, match="must be >="):
        make()


def test_what_a_fault_may_not_return(caplog):
    class Odd(Fault):
        def said(self, part, here):
            return [b"x"]

    def met(server):
        with socket.create_connection((server.host, server.port), PATIENCE) as sock:
            return sock.recv(1)

    with pop3_server({"ann": MAIL}, faults=[Odd()]) as server:
        assert met(server) == b""
    assert "a fault may return what it was given, Asked, Octets, Wait, HangUp or Hold, not b'x'" in caplog.text
    with (
        pop3_server({"ann": MAIL}) as server,
        pytest.raises(TypeError, match="not b'x'"),
        faulty(server.host, server.port, [Odd()]) as proxy,
    ):
        assert met(proxy) == b""


def test_a_fault_strikes_when_it_changes_something():
    once = Refuse("NOOP", times=1)
    server = pop3_in_memory({"ann": MAIL}, faults=[Cut(after="QUIT"), once])
    with logged_in(server) as client:
        client.stat()
        assert server.struck == ()
        with pytest.raises(CommandFailed):
            client.noop()
        assert server.struck == (once,)
        client.dele(1)
        with pytest.raises(UncertainUpdate):
            client.quit()
    assert server.struck == (Cut(after="QUIT"), once)
    assert pop3_in_memory().struck == ()


NOTHING_TO_CHANGE = [
    NewUids(since=5),
    SameUid(numbers=(7, 8)),
    NoUid(numbers=(9,)),
    ReuseUid(),
    OldestOnly(250),
    HideAfterRetr(),
    ShortTop(1_000),
    SplitEvery(10**6),
    Unstuffed(),
    WrongSize(by=0),
]


@pytest.mark.parametrize("fault", NOTHING_TO_CHANGE, ids=repr)
def test_a_fault_that_has_changed_nothing_has_not_struck(fault):
    plain = [message.replace(b"\n.", b"\n") for message in MAIL]
    server = pop3_in_memory({"ann": plain}, faults=[fault])
    with server.session() as session:
        asked = b"STAT\r\nLIST\r\nUIDL\r\nUIDL 1\r\nTOP 2 100\r\n"
        session.hear(LOGIN + asked + (b"" if isinstance(fault, HideAfterRetr) else b"RETR 1\r\n") + b"QUIT\r\n")
        assert session.ended
        assert session.take().count(b"-ERR") == 0
    assert server.struck == ()


def test_faults_that_hold_a_body_back_strike_when_it_is_another():
    faults = [OldestOnly(3), NewUids(since=2), SameUid(numbers=(3, 4)), NewUids(since=9)]
    server = pop3_in_memory({"ann": MAIL}, faults=faults)
    with logged_in(server) as client:
        client.uidl()
        assert server.struck == (faults[0], faults[2])
    with logged_in(server) as client:
        client.uidl()
    assert server.struck == tuple(faults[:3])


def test_a_line_of_stat_strikes_alone():
    server = pop3_in_memory({"ann": MAIL}, faults=[OldestOnly(3)])
    with logged_in(server) as client:
        assert server.struck == ()
        assert client.stat().count == 3
        assert server.struck == (OldestOnly(3),)


@pytest.mark.parametrize("first", [True, False])
def test_stat_of_the_oldest_is_stat_for_other_faults(first):
    def answers(other, asked):
        ours = [OldestOnly(3), other] if first else [other, OldestOnly(3)]
        with pop3_in_memory({"ann": MAIL}, faults=ours).session() as session:
            session.hear(LOGIN)
            session.take()
            session.hear(asked)
            return session.take()

    assert answers(Refuse("STAT"), b"STAT\r\n").startswith(b"-ERR refused by a fault")
    assert answers(Refuse("LIST"), b"STAT\r\n") == b"+OK 3 %d\r\n" % (3 * OCTETS)
    assert answers(LoseAnswer("LIST"), b"STAT\r\nNOOP\r\n").startswith(b"+OK 3 %d\r\n+OK" % (3 * OCTETS))
    assert answers(Refuse("NOOP"), b"STAT 1\r\n").startswith(b"-ERR")
    assert answers(LoseAnswer("STAT"), b"STAT\r\n") == b""


def test_what_strikes_in_a_proxy():
    faults = [TlsFails(), DeleteOnRetr()]
    with pop3_server({"ann": MAIL}) as server:
        with faulty(server.host, server.port, faults) as proxy:
            assert proxy.struck == ()
            with connect(proxy.host, proxy.port, tls="none") as client:
                client.login("ann", PASSWORD)
                client.fetch(1)
        assert proxy.struck == (DeleteOnRetr(),)


def test_a_proxy_without_a_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()
    words = r"the proxy has no connection to 127\.0\.0\.1, port"
    with (
        pytest.raises(ConnectionError, match=words),
        faulty(*nobody, []) as proxy,
        socket.create_connection((proxy.host, proxy.port), PATIENCE) as sock,
    ):
        assert sock.recv(1) == b""


@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
def test_the_end_of_a_server_is_no_failure_of_a_session_that_is_held(adapter, caplog):
    with ExitStack() as clients:
        with pop3_server({"ann": MAIL}, faults=[Stall(after="RETR 1")], adapter=adapter) as server:
            sock, _ = clients.enter_context(talking(server))
            sock.sendall(LOGIN + b"RETR 1\r\nQUIT\r\n")
            wait_until(lambda: server.sessions and server.sessions[0].ended, "the session goes on")
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.deep
def test_a_proxy_ends_though_a_client_does_not_read():
    with (
        pop3_server({"ann": [b"x\n", b"y\n" * 15_000_000]}) as server,
        faulty(server.host, server.port, []) as proxy,
        talking(proxy) as (sock, file),
    ):
        sock.sendall(LOGIN + b"RETR 2\r\n")
        assert [file.readline()[:3] for _ in range(3)] == [b"+OK"] * 3


def test_what_was_sent_before_a_cut_through_a_proxy_arrives_though_the_client_goes_on():
    over = threading.Event()

    class Told(Fault):
        def hung_up(self, here):
            over.set()
            return ()

    cut = Cut(after="RETR 3", octets=200_000)
    with (
        pop3_server({"ann": [b"x\n", b"x\n", b"y\n" * 200_000]}) as server,
        faulty(server.host, server.port, [cut, Told()]) as proxy,
        socket.socket() as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.settimeout(PATIENCE)
        sock.connect((proxy.host, proxy.port))
        sock.sendall(LOGIN + b"RETR 3\r\n")
        assert over.wait(PATIENCE)
        sock.sendall(b"RETR 1\r\n")
        server.sessions[0].wait(PATIENCE)
        carrier = [thread for thread in threading.enumerate() if thread.name == "pop3proto-faulty"][-1]
        carrier.join(0.2)  # a proxy that does not wait for its client has closed by then
        octets = b"".join(iter(lambda: sock.recv(65_536), b""))
        *_, answer = octets.split(b"+OK")
        assert len(b"+OK" + answer) == 200_000


@pytest.mark.parametrize("cuts", [True, False])
def test_a_proxy_ends_soon_though_its_server_does_not(cuts):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with faulty(*silent.getsockname(), [Cut(after="greeting")] if cuts else []) as proxy:
            with socket.create_connection((proxy.host, proxy.port), PATIENCE) as sock, silent.accept()[0] as server:
                server.sendall(b"+OK\r\n")
                assert sock.recv(10) == (b"" if cuts else b"+OK\r\n")
                stays = server.dup()
            begun = time.monotonic()
        stays.close()
    assert time.monotonic() - begun < 5


def test_a_lock_stays_also_after_a_break_and_not_after_a_refusal():
    server = pop3_in_memory({"ann": MAIL}, faults=[SlowLock(), Cut(after="STAT", session=2)])
    with server.session() as session:
        session.hear(b"USER ann\r\nPASS wrong\r\nQUIT\r\n")
    with server.session() as session:
        session.hear(LOGIN + b"STAT\r\n")
        assert session.ended
    for expected in (b"-ERR [IN-USE]", b"+OK maildrop"):
        with server.session() as session:
            session.hear(LOGIN)
            assert expected in session.take()


def test_a_row_that_comes_in_two_pieces_has_one_number():
    line = FaultyLines([WrongSize(by=-2)]).begin()
    list(line.server(b"+OK\r\n"))
    list(line.client(b"LIST\r\n"))
    said = [*line.server(b"+OK\r\n1 12"), *line.server(b"34\r\n.\r\n")]
    assert b"".join(step.octets for step in said) == b"+OK\r\n1 1232\r\n.\r\n"


def test_a_line_that_does_not_end_goes_on_to_the_server():
    with pop3_in_memory({"ann": MAIL}, faults=[Cut(after="NOOP")]).session() as session:
        for _ in range(100):
            session.hear(b"x" * 10_000)
        session.hear(b"\r\nCAPA\r\n")
        assert session.take().count(b"-ERR the line is too long") == 1


# ------------------------------------------------------------------------------------------ poplib meets it


def test_a_script_over_poplib_that_loses_mail():
    """It deletes what it has not got."""

    def move(host, port):
        mailbox, kept = poplib.POP3(host, port, timeout=PATIENCE), []
        mailbox.user("ann")
        mailbox.pass_(PASSWORD)
        for number in range(1, mailbox.stat()[0] + 1):
            try:
                kept.append(mailbox.retr(number)[1])
            except poplib.error_proto:
                kept.append(None)
            mailbox.dele(number)
        mailbox.quit()
        return kept

    with pop3_server({"ann": MAIL}, faults=[Refuse("RETR 3", "SYS/TEMP")]) as server:
        kept = move(server.host, server.port)
        assert (kept.count(None), len(server.messages("ann"))) == (1, 0), "it is lost"


def test_the_page_shows_a_script_that_loses_mail(start_pop3_server):
    (snippet,) = [each for each in snippets(DOCS / "faults.md") if "start_pop3_server" in each.code]

    def run(code):
        names = {"__name__": "snippet"}
        exec(compile(code, "faults.md", "exec", dont_inherit=True), names)
        names["test_a_server_that_falls_silent_costs_no_mail"](start_pop3_server)

    run(snippet.code)
    close = "        mailbox.close()\n"
    with pytest.raises(AssertionError):  # the last one on the page
        run(snippet.code.replace(close, f"        try:\n            mailbox.quit()\n        finally:\n    {close}"))


# ------------------------------------------------------------------------------------------------- laws


@given(st.lists(messages, min_size=1, max_size=4), st.integers(1, 40))
def test_a_line_without_faults_changes_nothing(mail, size):
    """However octets are cut, what comes out is what went in, and commands and answers are told apart."""
    server = pop3_in_memory({"ann": mail}, faults=[SplitEvery(size)])
    plain = pop3_in_memory({"ann": mail})
    script = b"USER ann\r\nPASS tanstaaf\r\nCAPA\r\nSTAT\r\nLIST\r\nLIST 1\r\n"
    script += b"".join(b"RETR %d\r\nTOP %d 2\r\n" % (number, number) for number in range(1, len(mail) + 2))
    script += b"AUTH PLAIN\r\n*\r\nFOO\r\n\r\nRSET\r\nNOOP\r\nQUIT\r\n"
    said = []
    for each in (server, plain):
        session = each.session()
        session.take()
        session.hear(script)
        said.append(session.take())
        assert session.ended
    assert said[0] == said[1]


@given(st.binary(max_size=300), st.binary(max_size=300), st.lists(st.integers(1, 60)))
def test_a_dialogue_follows_anything(client, server, cuts):
    dialogue, parts, octets = Dialogue(), [], b""
    for asked in dialogue.client(client):
        dialogue.ask(asked)
    at = 0
    for size in [*cuts, 1_000]:
        parts += dialogue.server(server[at : at + size])
        at += size
    for part in parts:
        assert isinstance(part.asked, Asked)
        if isinstance(part, StatusLine):
            octets += part.octets
    assert len(octets) <= len(server)


def test_the_parts_of_a_dialogue():
    dialogue = Dialogue()
    for asked in dialogue.client(b"retr 3\r\nlist 2\r\nLIST\r\nnoo"):
        dialogue.ask(asked)
    greeting, status, *body, end, one, many = dialogue.server(
        b"+OK hello\r\n+OK\r\na\r\n..b\r\n.\r\n+OK 2 20\r\n-ERR no\r\n"
    )
    assert (greeting.asked.verb, greeting.text) == ("greeting", b"hello")
    assert status.asked.is_a("RETR")
    assert status.asked.is_a("retr 3")
    assert not status.asked.is_a("RETR 30")
    assert b"".join(each.octets for each in body) == b"a\r\n.b\r\n"
    assert (type(end), end.asked.number) == (End, 3)
    assert (one.asked.has_body, one.positive, many.asked.has_body, many.positive) == (False, True, True, False)
    assert [asked.words for asked in dialogue.client(b"p\n")] == [["NOOP"]]


def test_a_fault_of_ones_own():
    class Shout(Fault):
        """Bodies come in capitals."""

        def said(self, part, here):
            yield attrs.evolve(part, octets=part.octets.upper()) if isinstance(part, Body) else part

    server = pop3_in_memory({"ann": MAIL}, faults=[Shout(), Cut(after="RETR 2")])
    with logged_in(server) as client:
        assert client.fetch(1) == WIRE[0].upper()


def test_the_same_seed_gives_the_same():
    class Dice(Fault):
        def sent(self, octets, here):
            size = here.chance.randint(1, 20)
            for at in range(0, len(octets.octets), size):
                yield Octets(octets.asked, octets.octets[at : at + size], apart=True)

    def pieces(seed):
        session = pop3_in_memory({"ann": MAIL}, faults=[Dice()], seed=seed, apop=False).session()
        session.hear(b"CAPA\r\n")
        return list(iter(session.take_piece, b""))

    assert pieces(1) == pieces(1) != pieces(2)


@pytest.mark.parametrize("wrong", [Cut, "Cut", None])
def test_what_is_no_fault(wrong):
    with pytest.raises(TypeError, match="a fault is an instance of Fault"):
        FaultyLines([wrong])


@pytest.mark.parametrize("make", [pop3_in_memory, Persona])
@pytest.mark.parametrize("wrong", [Cut(after="RETR 1"), 3])
def test_what_is_no_list_of_faults(make, wrong):
    with pytest.raises(TypeError, match=r"faults takes a list of faults, such as \[Cut\(after='RETR 1'\)\], not "):
        make(faults=wrong)


@pytest.mark.parametrize("wrong", ["RETR3", "RETR 03", "TOP 1 00", "+OK", "R\N{LATIN SMALL LETTER E WITH ACUTE}TR"])
@pytest.mark.parametrize("make", [Cut, Refuse, LoseAnswer, LoseBehind, CloseAfter, StrayDot, BareLF])
def test_a_name_that_no_command_can_have(make, wrong):
    with pytest.raises(ValueError, match="takes a command such as 'RETR 3'; no client says"):
        make(wrong)


@pytest.mark.parametrize("right", ["", "RETR", "retr 10", "greeting", "LIST 0", "AUTH SCRAM-SHA-1-PLUS", "USER ann"])
def test_a_name_that_a_command_can_have(right):
    assert Cut(right).after == right


def test_what_is_no_text_is_no_name():
    with pytest.raises(TypeError, match="after takes a command such as 'RETR 3', not 3"):
        Cut(3)


def test_an_answer_of_a_fault_comes_in_its_turn():
    session = pop3_in_memory({"ann": MAIL}, faults=[Refuse("STAT")]).session()
    session.hear(b"USER ann\r\nPASS tanstaaf\r\nRETR 1\r\nSTAT\r\nNOOP\r\n")
    *_, refusal, nothing = session.take().split(b"\r\n.\r\n")[-1].removesuffix(b"\r\n").split(b"\r\n")
    assert (refusal[:4], nothing[:3]) == (b"-ERR", b"+OK")


@pytest.mark.parametrize("persona", [None, "gmail"])
def test_a_message_that_is_no_bytes_is_named_by_its_user(persona):
    with pytest.raises(TypeError, match="a message of 'ann' must be bytes, not 'text'"):
        pop3_in_memory({"bob": [b"one\n"], "ann": [b"one\n", "text"]}, persona=persona)
    server = pop3_in_memory({"ann": (b"one\n" for _ in range(2))}, persona=persona)
    assert server.messages("ann") == [b"one\n"] * 2
