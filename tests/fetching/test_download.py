"""`download_new` with the clients of all adapters: the same words, cancellable anywhere."""

import asyncio as std_asyncio
from collections.abc import Callable, Generator
from typing import Any

import attrs
import pytest
import trio as std_trio

from pop3proto import asyncio, blocking, trio
from pop3proto.core.errors import LocalProtocolError
from pop3proto.fetching import storing
from pop3proto.fetching.downloading import download_new, plan_download
from pop3proto.fetching.events import Event, MessageState
from pop3proto.fetching.plan import Action
from pop3proto.fetching.policy import Policy
from pop3proto.fetching.report import Deleted, Planned, ProblemKind, Received, Stored, Telling
from pop3proto.fetching.run import FetchRun
from pop3proto.fetching.sessions import perform_run
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.operations import Await, Operation, Procedure, Run
from pop3proto.sasl.credentials import Password
from pop3proto.testing import PASSWORD, pop3_in_memory, pop3_server
from pop3proto.testing.faults import Cut, NoUid
from tests.helpers.fetching import ListJournal, MemoryDestination, MemoryWriter

LOGIN = Password("ann", PASSWORD)
DELETE = Policy(delete_after=0)
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 100_000
MAIL = [*(b"Subject: no %d\r\n\r\n.\r\n..dot\r\n" % number for number in range(1, 6)), LARGE]


async def _asyncio(host: str, port: int, *args: Any, **more: Any) -> Any:
    async with asyncio.connect(host, port, tls="none") as client:
        return await download_new(client, *args, **more)


async def _trio(host: str, port: int, *args: Any, **more: Any) -> Any:
    async with trio.connect(host, port, tls="none") as client:
        return await download_new(client, *args, **more)


def _blocking(host: str, port: int, *args: Any, **more: Any) -> Any:
    with blocking.connect(host, port, tls="none") as client:
        return download_new(client, *args, **more)


ADAPTERS: dict[str, Callable[..., Any]] = {
    "asyncio": lambda *args, **more: std_asyncio.run(_asyncio(*args, **more)),
    "trio": lambda *args, **more: std_trio.run(lambda: _trio(*args, **more)),
    "blocking": _blocking,
}


@pytest.fixture(params=ADAPTERS)
def download(request):
    return ADAPTERS[request.param]


def test_the_same_words_in_all_adapters(download):
    journal, destination, told = ListJournal(), MemoryDestination(), list[Telling]()
    with pop3_server({"ann": MAIL}) as server:
        report = download(server.host, server.port, journal, destination, DELETE, login=LOGIN, tell=told.append)
        assert server.messages("ann") == []
    assert destination.messages == MAIL
    assert report.ok
    assert (len(report.stored), len(report.deleted), report.sessions) == (6, 6, 1)
    assert report.octets == sum(map(len, MAIL))
    assert [event.state for event in journal.events] == [
        *[MessageState.STORED] * 6,
        *[MessageState.DELETE_SENT] * 6,
        *[MessageState.DELETED] * 6,
    ]
    assert isinstance(told[0], Planned)
    assert sum(each.octets for each in told if isinstance(each, Received)) == report.octets
    assert [identity for each in told if isinstance(each, Stored) for identity in each.identities] == report.stored
    assert isinstance(told[-1], Deleted)


def test_what_is_stored_does_not_come_again(download):
    journal, destination = ListJournal(), MemoryDestination()
    with pop3_server({"ann": MAIL[:2]}) as server:
        for _ in range(2):
            report = download(server.host, server.port, journal, destination, login=LOGIN)
        assert (report.stored, report.here) == ([], 2)
        server.deliver("ann", b"new\n")
        download(server.host, server.port, journal, destination, login=LOGIN)
    assert destination.messages == [*MAIL[:2], b"new\r\n"]


@pytest.mark.parametrize("uidl", [True, False])
def test_again_stores_each_message_once_more_whatever_breaks_meanwhile(uidl):
    journal, destination = ListJournal(), MemoryDestination()
    more = {
        "store": MemoryStore({"ann": MAIL[:4]}),
        "passwords": {"ann": PASSWORD},
        "announce": lambda capabilities: attrs.evolve(capabilities, uidl=uidl),
    }
    faults = [] if uidl else [NoUid()]
    with pop3_server(faults=faults, **more) as server:
        assert _blocking(server.host, server.port, journal, destination, login=LOGIN).ok
    with pop3_server(faults=[*faults, Cut(after="RETR 3", octets=3)], **more) as server:
        report = _blocking(server.host, server.port, journal, destination, Policy(again=True), login=LOGIN)
    assert report.sessions > 1
    assert sorted(destination.messages) == sorted([*MAIL[:4], *MAIL[:2], MAIL[3]])


@attrs.define
class CoroutineDestination(MemoryDestination):
    """Its commit is a coroutine."""

    async def commit(self, writers: list[MemoryWriter]) -> Any:  # type: ignore[override]
        return super().commit(writers)


@pytest.mark.parametrize("adapter", ["asyncio", "trio"])
def test_a_commit_may_be_a_coroutine(adapter):
    journal, destination = ListJournal(), CoroutineDestination()
    with pop3_server({"ann": MAIL}) as server:
        report = ADAPTERS[adapter](server.host, server.port, journal, destination, login=LOGIN)
    assert report.ok
    assert destination.messages == MAIL


def test_a_client_that_is_logged_in_has_one_session():
    journal, destination = ListJournal(), MemoryDestination()
    with pop3_server({"ann": MAIL}) as server, server.connect() as client:
        client.login("ann", PASSWORD)
        report = download_new(client, journal, destination, Policy(session_messages=4))
    assert (len(report.stored), report.more) == (6, False)  # there can be no other session for the rest


def test_without_a_login_nothing_is_sent():
    with pop3_server({"ann": MAIL}) as server, server.connect() as client:
        with pytest.raises(LocalProtocolError, match="give login="):
            download_new(client, ListJournal(), MemoryDestination())
        client.login("ann", PASSWORD)
        assert client.stat().count == 6


def test_a_wrong_password_is_reported():
    with pop3_server({"ann": MAIL}) as server, server.connect() as client:
        report = download_new(client, ListJournal(), MemoryDestination(), login=Password("ann", "wrong"))
    assert [problem.kind for problem in report.problems] == [ProblemKind.REFUSED]


def test_a_plan_changes_nothing():
    journal, destination = ListJournal(), MemoryDestination()
    with pop3_server({"ann": MAIL}) as server:
        _blocking(server.host, server.port, journal, destination, login=LOGIN)
        events = list(journal.events)
        server.deliver("ann", b"new\n")
        with server.connect() as client:
            plan = plan_download(client, journal, destination, DELETE, login=LOGIN)
        assert [step.action for step in plan.steps] == [*[Action.DELETE] * 6, Action.FETCH]
        assert len(server.messages("ann")) == 7
    assert journal.events == events


# ------------------------------------------------------------------------------------------ cancellation


class Cancelled(BaseException):
    """What a framework throws into a task that it ends."""


def struck(procedure: Procedure[Any], at: int) -> Generator[Operation[object], Any, Any]:
    """Cancel a procedure at its n-th operation, as drivers do it: a `Run` goes on to its end first."""
    result: Any = None
    error: BaseException | None = None
    due = False
    count = 0
    while True:
        try:
            operation = procedure.send(result) if error is None else procedure.throw(error)
        except StopIteration as end:
            if due:
                raise Cancelled from None
            return end.value
        error = None
        due = due or count == at
        count += 1
        if due and not isinstance(operation, Run | Await):
            error, due = Cancelled(), False
            continue
        try:
            result = yield operation
        except BaseException as raised:  # noqa: BLE001 - it belongs to the procedure
            error = raised


SHORTER = [*MAIL[:5], LARGE[:20_000] + b"\r\n"]


def operations_of_a_run() -> int:
    count = 0

    def counted(procedure: Procedure[Any]) -> Procedure[Any]:
        nonlocal count
        result: Any = None
        while True:
            try:
                operation = procedure.send(result)
            except StopIteration as end:
                return end.value
            count += 1
            result = yield operation

    client = pop3_in_memory({"ann": SHORTER}).connect()
    client.login("ann", PASSWORD)
    run = FetchRun(client.session, ListJournal(), MemoryDestination(), DELETE, lambda _: None, lambda: 0.0)
    client.perform(counted(perform_run(run, None)))
    client.close()
    return count


def test_cancelled_at_any_operation_nothing_is_lost_and_nothing_doubled(monkeypatch):
    monkeypatch.setattr(storing, "IN_MEMORY", 4_096)  # so that the large message is written in pieces
    for at in range(operations_of_a_run()):
        journal, destination = ListJournal(), MemoryDestination()
        server = pop3_in_memory({"ann": SHORTER})
        for strikes in (True, False):
            client = server.connect()
            client.login("ann", PASSWORD)
            run = FetchRun(client.session, journal, destination, DELETE, lambda _: None, lambda: 0.0)
            if strikes:
                with pytest.raises(Cancelled):
                    client.perform(struck(perform_run(run, None), at))
                assert {writer.aborted for writer in destination.begun[len(destination.mail) :]} <= {True}
                kept = [octets for octets in SHORTER if octets not in destination.messages]
                assert [each for each in server.messages("ann") if each in kept] == kept
            else:
                assert client.perform(perform_run(run, None)).ok
            client.close()
        assert server.messages("ann") == []
        assert destination.messages == SHORTER, at


def test_a_journal_that_fails_stops_the_run():
    @attrs.define
    class Full(ListJournal):
        def append(self, events: Any) -> None:
            raise OSError(28, "No space left on device", "journal")

    destination = MemoryDestination()
    with pop3_server({"ann": MAIL}) as server:
        report = _blocking(server.host, server.port, Full(), destination, DELETE, login=LOGIN)
        assert len(server.messages("ann")) == 6
    assert [problem.kind for problem in report.problems] == [ProblemKind.STORAGE]
    assert "No space left on device" in report.problems[0].text


@pytest.mark.parametrize("first", [Policy(), DELETE])
def test_what_a_lost_quit_has_deleted_is_seen_in_another_session(first):
    journal, destination = ListJournal(), MemoryDestination()
    lost = Cut(after="QUIT", session=1 if first is DELETE else 2)
    with pop3_server({"ann": MAIL}, faults=[lost]) as server:
        if first is not DELETE:
            assert _blocking(server.host, server.port, journal, destination, first, login=LOGIN).ok
        report = _blocking(server.host, server.port, journal, destination, DELETE, login=LOGIN)
        assert server.messages("ann") == []
        assert lost in server.struck
    assert report.ok
    assert (len(report.deleted), report.sessions) == (6, 2)
    assert destination.messages == MAIL


def test_one_message_that_cannot_be_stored_keeps_no_other():
    journal = ListJournal()
    destination = MemoryDestination(refuse={b"no 3": OSError(27, "File too large")})
    with pop3_server({"ann": MAIL}) as server:
        report = _blocking(server.host, server.port, journal, destination, DELETE, login=LOGIN)
        assert server.messages("ann") == [MAIL[2]]
    assert sorted(destination.messages) == sorted(MAIL[:2] + MAIL[3:])
    assert ["File too large" in problem.text for problem in report.problems] == [True]
    assert [event.why for event in journal.events if event.state is MessageState.SUSPECT] == ["File too large"]


def test_a_destination_that_fails_blames_no_message():
    journal = ListJournal()
    destination = MemoryDestination(refuse={b"Subject": OSError(28, "No space left on device")})
    with pop3_server({"ann": MAIL}) as server:
        report = _blocking(server.host, server.port, journal, destination, DELETE, login=LOGIN)
        assert len(server.messages("ann")) == 6
    assert ProblemKind.STORAGE in {problem.kind for problem in report.problems}
    assert journal.events == list[Event]()


def test_a_blocking_client_and_a_coroutine_destination_do_not_go_together():
    with pop3_server({"ann": MAIL[:1]}) as server, pytest.raises(TypeError, match="of memory is a coroutine"):
        _blocking(server.host, server.port, ListJournal(), CoroutineDestination(), login=LOGIN)
