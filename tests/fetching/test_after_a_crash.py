"""What a run makes of mail that a crash has left in the destination, or under way to it, and not in the journal."""

from collections.abc import Sequence
from typing import Any, Final

import attrs
import pytest

from pop3proto import blocking
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.results import UniqueId
from pop3proto.fetching.destinations import ProgramDestination
from pop3proto.fetching.downloading import download_new
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.plan import Action, Step
from pop3proto.fetching.policy import Policy
from pop3proto.fetching.report import Report
from pop3proto.fetching.run import FetchRun, StorageFailed
from pop3proto.sasl.credentials import Password
from pop3proto.testing import PASSWORD, Pop3Server, pop3_server
from pop3proto.testing.faults import NoUid, Refuse, WrongSize
from tests.helpers.fetching import ListJournal, MemoryDestination
from tests.helpers.maildrop_trials import Mail, OneMaildrop

LOGIN: Final = Password("ann", PASSWORD)
MAIL: Final = [b"Subject: one\r\n\r\n1\r\n", b"Subject: two\r\n\r\n2\r\n", b"Subject: two\r\n\r\n2\r\n"]
DELETE: Final = Policy(delete_after=0)
HOLD: Final = Policy(delete_after=0, on_doubt="hold")
IN_DOUBT: Final = "it may have been delivered before a crash; --on-doubt again delivers it"

SERVERS: Final[dict[str, dict[str, Any]]] = {
    "unique ids": {},
    "no UIDL": {"faults": [NoUid()], "announce": lambda capabilities: attrs.evolve(capabilities, uidl=False)},
}


class Crash(BaseException):
    """The process ends."""


@attrs.define
class CrashingJournal(ListJournal):
    """The process ends when it is to record that something is stored."""

    crashes: bool = False

    def append(self, events: Sequence[Event]) -> None:
        if self.crashes and any(event.state is MessageState.STORED for event in events):
            raise Crash
        super().append(events)


def fetch(server: Pop3Server, journal: ListJournal, destination: MemoryDestination, policy: Policy) -> Report:
    with blocking.connect(server.host, server.port, tls="none") as client:
        return download_new(client, journal, destination, policy, login=LOGIN)


def crash(server: Pop3Server, journal: CrashingJournal, destination: MemoryDestination, policy: Policy) -> None:
    journal.crashes = True
    with pytest.raises(Crash):
        fetch(server, journal, destination, policy)
    journal.crashes = False
    for session in server.sessions:
        session.wait(10)


@pytest.mark.parametrize(
    "options",
    [
        *SERVERS.values(),
        {"faults": [WrongSize(700)]},
        {"faults": [WrongSize(700), Refuse("TOP")]},
        {"faults": [Refuse("LIST")]},
    ],
    ids=[*SERVERS, "estimated sizes", "and no TOP", "no sizes"],
)
def test_what_is_in_the_destination_does_not_come_again(options):
    journal, destination = CrashingJournal(), MemoryDestination()
    with pop3_server({"ann": MAIL}, **options) as server:
        crash(server, journal, destination, DELETE)
        report = fetch(server, journal, destination, DELETE)
        assert server.messages("ann") == []
    assert report.ok
    assert sorted(destination.messages) == sorted(MAIL)


def test_what_came_anew_without_a_unique_id_is_not_taken_for_what_was_deleted():
    journal, destination = ListJournal(), MemoryDestination()
    with pop3_server({"ann": MAIL[:2]}, **SERVERS["no UIDL"]) as server:
        fetch(server, journal, destination, DELETE)
        server.deliver("ann", MAIL[0])
        fetch(server, journal, destination, DELETE)
        assert server.messages("ann") == []
    assert destination.messages == [*MAIL[:2], MAIL[0]]


def test_a_message_of_which_the_header_was_stored_does_not_come_again():
    journal, destination = CrashingJournal(), MemoryDestination()
    complete = Policy(complete=True)
    with pop3_server({"ann": MAIL[:2]}) as server:
        fetch(server, journal, destination, Policy(headers_only=True))
        destination.mail.clear()  # so that the messages alone are counted
        crash(server, journal, destination, complete)
        assert fetch(server, journal, destination, complete).ok
    assert destination.messages == MAIL[:2]


@pytest.mark.parametrize("kind", SERVERS)
def test_doubt_is_held_back_and_told_each_time(kind):
    journal, destination = CrashingJournal(), MemoryDestination(recalls=False, batch=1)
    with pop3_server({"ann": MAIL[:2]}, **SERVERS[kind]) as server:
        crash(server, journal, destination, HOLD)
        for _ in range(2):
            report = fetch(server, journal, destination, HOLD)
            assert [problem.text for problem in report.problems] == [f"message 1 stays on the server: {IN_DOUBT}"]
            assert server.messages("ann") == MAIL[:1]
        assert destination.messages == MAIL[:2]
        assert fetch(server, journal, destination, DELETE).ok
        assert server.messages("ann") == []
    assert destination.messages == [*MAIL[:2], MAIL[0]]


@pytest.mark.parametrize("kind", SERVERS)
def test_doubt_is_delivered_again_by_default(kind):
    journal, destination = CrashingJournal(), MemoryDestination(recalls=False, batch=1)
    with pop3_server({"ann": MAIL[:2]}, **SERVERS[kind]) as server:
        crash(server, journal, destination, DELETE)
        assert [event.state for event in journal.events] == [MessageState.SENDING]
        assert fetch(server, journal, destination, DELETE).ok
        assert server.messages("ann") == []
    assert destination.messages == [MAIL[0], *MAIL[:2]]


def test_what_came_under_the_unique_id_of_another_message_does_not_come_again():
    journal, destination = CrashingJournal(), MemoryDestination()
    store = OneMaildrop([Mail("a", b"Subject: the first\n\nits text\n")])
    with pop3_server(store=store, authenticator=MemoryAuthenticator({"ann": PASSWORD})) as server:
        fetch(server, journal, destination, Policy())
        store.messages = [Mail("a", b"Subject: another\n\n1\n")]
        crash(server, journal, destination, Policy())
        assert fetch(server, journal, destination, DELETE).ok
        assert store.messages == []
    assert [octets.split(b"\r\n")[0] for octets in destination.messages] == [b"Subject: the first", b"Subject: another"]


def test_a_whole_message_is_not_taken_for_another_of_the_same_unique_id_that_is_to_be_completed():
    journal, destination = ListJournal(), MemoryDestination()
    store = OneMaildrop([Mail("a", b"Subject: the first\n\nits text\n")])
    with pop3_server(store=store, authenticator=MemoryAuthenticator({"ann": PASSWORD})) as server:
        fetch(server, journal, destination, Policy())
        journal.events.clear()
        store.messages = [Mail("a", b"Subject: another\n\n1\n")]
        fetch(server, journal, MemoryDestination(), Policy(headers_only=True))
        assert fetch(server, journal, destination, Policy(complete=True)).ok
    assert [octets.split(b"\r\n")[0] for octets in destination.messages] == [b"Subject: the first", b"Subject: another"]


@pytest.mark.parametrize("policy, states", [(HOLD, []), (DELETE, [MessageState.SUSPECT])])
def test_a_failure_behind_a_delivery_leaves_the_doubt(policy, states):
    session: Any = None
    run = FetchRun(session, ListJournal(), MemoryDestination(recalls=False), policy, lambda _: None, lambda: 1.0)
    identity = MessageIdentity(UniqueId("a"))
    run.history.apply(Event(identity, MessageState.SENDING))
    assert [*run.blame(Step(1, identity, 10, Action.FETCH, "new"), StorageFailed(OSError("full")))] == []
    assert [event.state for event in run.has_stored([])] == states


@pytest.mark.parametrize("script", ["cat >$0; exec sleep 100", "cat >$0; kill -9 $$"], ids=["timeout", "signal"])
def test_a_program_that_is_cut_off_leaves_its_message_in_doubt(tmp_path, script):
    """It may have delivered the message before."""
    taken = tmp_path / "taken"
    journal = ListJournal()

    def run(what: str, policy: Policy) -> Report:
        destination = ProgramDestination(["/bin/sh", "-c", what, str(taken)], timeout=0.5)
        with blocking.connect(server.host, server.port, tls="none") as client:
            return download_new(client, journal, destination, policy, login=LOGIN)

    with pop3_server({"ann": MAIL[:1]}) as server:
        assert not run(script, Policy(on_doubt="hold")).ok
        taken.unlink()
        report = run("cat >$0", Policy(on_doubt="hold"))
        assert [IN_DOUBT in problem.text for problem in report.problems] == [True]
        assert not taken.exists()
        assert not run("cat >$0", Policy(pauses=(3_600,))).ok, "it failed just now"
        assert not run("exit 75", Policy(pauses=())).ok
        assert not run("cat >$0", Policy(on_doubt="hold")).ok, "the first doubt remains"
        assert run("cat >$0", Policy(pauses=())).ok
        assert taken.exists()
