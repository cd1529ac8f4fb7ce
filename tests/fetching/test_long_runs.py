"""Runs of several sessions: bounds, servers that end sessions early, unique ids that do not stay, and their end."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from pop3proto.blocking import connect
from pop3proto.core.capabilities import Expire, LoginDelay
from pop3proto.fetching.downloading import download_new
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.header import header_digest
from pop3proto.fetching.policy import Policy
from pop3proto.fetching.report import Noted, ProblemKind, Report, Waiting
from pop3proto.sasl.credentials import Password
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import (
    Asked,
    Fault,
    HangUp,
    Here,
    Part,
    Refuse,
    SlowLock,
    StatusLine,
    Step,
    Unstuffed,
    WrongSize,
)
from tests.helpers.fetching import ListJournal, MemoryDestination
from tests.helpers.maildrop_trials import Breaks, Mail, OneMaildrop, Rows

LOGIN = Password("ann", PASSWORD)
DELETE = Policy(delete_after=0)
KEEP = Policy()


def mail(number: int, text: str = "text") -> Mail:
    return Mail(f"uid-{number}", f"Subject: no {number}\n\n{text}\n".encode())


def mails(count: int, first: int = 1) -> list[Mail]:
    return [mail(number) for number in range(first, first + count)]


@attrs.define
class Place:
    """What is fetched by several runs, and from where."""

    store: OneMaildrop
    journal: ListJournal = attrs.Factory(ListJournal)
    destination: MemoryDestination = attrs.Factory(MemoryDestination)
    sessions: list[list[str]] = attrs.Factory(list)
    waited: list[float] = attrs.Factory(list)
    noted: list[str] = attrs.Factory(list)

    def fetch(self, *faults: Fault, policy: Policy = KEEP, capabilities: Any = None, ending: Any = bool) -> Report:
        """Fetch once; `sessions` has what the client has said in each session of it."""

        def tell(telling: object) -> None:
            if isinstance(telling, Waiting):
                self.waited.append(telling.seconds)
            if isinstance(telling, Noted):
                self.noted.append(telling.text)

        options = {} if capabilities is None else {"announce": lambda own: attrs.evolve(own, **capabilities)}
        with pop3_server(
            store=self.store, passwords={"ann": PASSWORD}, faults=faults, mechanisms=(), apop=False, **options
        ) as server:
            with connect(server.host, server.port, tls="none") as client:
                report = download_new(
                    client, self.journal, self.destination, policy, login=LOGIN, tell=tell, ending=ending
                )
            self.sessions = [[str(command) for command in session.commands] for session in server.sessions]
        return report

    def count(self, verb: str) -> list[int]:
        """How many commands of a verb each session had."""
        return [sum(command.startswith(verb) for command in session) for session in self.sessions]

    @property
    def stored(self) -> Counter[bytes]:
        return Counter(octets.splitlines()[0] for octets in self.destination.messages)

    @property
    def left(self) -> list[str]:
        return [each.unique_id for each in self.store.messages]


def once(messages: Iterable[Mail]) -> Counter[bytes]:
    return Counter(each.octets.splitlines()[0] for each in messages)


@attrs.frozen
class EndAfter(Fault):
    """The server ends each session after so many commands."""

    commands: int

    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        here.own.count = getattr(here.own, "count", 0) + 1
        yield HangUp() if here.own.count > self.commands else asked


class NewIds(Fault):
    """Unique ids are those of one session."""

    def said(self, part: Part, here: Here) -> Iterable[Step]:
        return Rows("UIDL", lambda number, _: b"s%d-%d" % (here.session, number)).said(part, here)


# -------------------------------------------------------------------------------------------------- bounds


def test_a_session_has_so_many_messages_at_most():
    place = Place(OneMaildrop(mails(7)))
    report = place.fetch(policy=Policy(session_messages=3, delete_after=0))
    assert report.ok
    assert place.count("RETR") == place.count("DELE") == [3, 3, 1]
    assert place.stored == once(mails(7))


def test_a_session_deletes_so_many_messages_at_most():
    place = Place(OneMaildrop(mails(7)))
    place.fetch()
    assert place.fetch(policy=Policy(session_messages=3, delete_after=0)).ok
    assert place.count("DELE") == place.count("TOP") == [3, 3, 1]
    assert place.left == []


def test_a_session_has_so_many_octets_at_most():
    messages = [mail(number, "x" * 1_000) for number in range(1, 6)]
    place = Place(OneMaildrop(messages))
    assert place.fetch(policy=Policy(session_octets=2_500)).ok
    assert place.count("RETR") == [2, 2, 1]
    assert place.stored == once(messages)


def test_a_session_lasts_so_long_at_most():
    place = Place(OneMaildrop(mails(250)))
    assert place.fetch(policy=Policy(session_seconds=1e-9)).ok
    assert len(place.sessions) > 1
    assert place.stored == once(mails(250))


def test_a_server_that_shows_a_part_is_asked_until_it_shows_nothing_new():
    place = Place(OneMaildrop(mails(12)))
    assert place.fetch(policy=Policy(partial_from=10)).ok
    assert place.count("RETR") == [12, 0]


@pytest.mark.parametrize("delete", [True, False])
@pytest.mark.parametrize("commands", [25, 40])
def test_a_server_that_ends_each_session_after_so_many_commands(commands, delete):
    place = Place(OneMaildrop(mails(60)))
    report = place.fetch(EndAfter(commands), policy=DELETE if delete else Policy())
    assert report.ok, report.problems
    assert place.stored == once(mails(60))
    assert place.left == ([] if delete else [each.unique_id for each in mails(60)])


def test_stored_mail_is_deleted_where_sessions_end_after_so_many_commands():
    place = Place(OneMaildrop(mails(60)))
    place.fetch()
    assert place.fetch(EndAfter(40), policy=DELETE).ok
    assert place.left == []
    assert sum(place.count("RETR")) == 0


def test_one_message_that_breaks_sessions_makes_the_others_no_slower():
    messages = mails(30)
    place = Place(OneMaildrop(messages))
    report = place.fetch(Breaks(place.store, "RETR", "uid-20"))
    assert [problem.identity for problem in report.problems] == [MessageIdentity("uid-20")]
    assert place.stored == once(each for each in messages if each.unique_id != "uid-20")
    assert len(place.sessions) <= 5


def test_messages_that_are_refused_keep_none_from_coming():
    place = Place(OneMaildrop(mails(12)))
    refused = [Refuse(f"RETR {number}") for number in range(1, 6)]
    report = place.fetch(*refused, policy=Policy(session_messages=5))
    assert len(report.problems) == 5
    assert place.stored == once(mails(7, first=6))


# ------------------------------------------------------------------------------- unique ids that do not stay


@pytest.mark.parametrize(
    "policy",
    [
        Policy(again=True, session_messages=5),
        Policy(session_messages=5),
        Policy(partial_from=10),
    ],
    ids=["again", "bounds", "a part"],
)
def test_a_run_ends_although_unique_ids_are_new_in_each_session(policy):
    place = Place(OneMaildrop(mails(12)))
    report = place.fetch(NewIds(), policy=policy)
    assert len(place.sessions) == 2
    (problem,) = report.problems
    assert problem.kind is ProblemKind.SERVER
    assert "under other unique ids" in problem.text
    assert not report.more


def test_equal_messages_in_several_sessions_are_no_change_of_unique_ids():
    place = Place(OneMaildrop([Mail(f"uid-{number}", b"Subject: same\n\n") for number in range(7)]))
    assert place.fetch(policy=Policy(session_messages=3)).ok
    assert len(place.destination.mail) == 7


def test_the_newest_stay_the_same_while_they_are_deleted():
    place = Place(OneMaildrop(mails(10)))
    assert place.fetch(policy=Policy(newest=6, delete_after=0, session_messages=3)).ok
    assert place.stored == once(mails(6, first=5))
    assert place.left == ["uid-1", "uid-2", "uid-3", "uid-4"]


def test_mail_that_is_all_new_is_fetched_although_all_that_was_known_is_gone():
    place = Place(OneMaildrop(mails(12)))
    place.fetch()
    place.store.messages = mails(12, first=101)
    assert place.fetch().ok
    assert place.stored == once([*mails(12), *mails(12, first=101)])


def test_mail_under_new_unique_ids_is_known_by_its_headers():
    place = Place(OneMaildrop(mails(12)))
    place.fetch()
    place.store.messages = [attrs.evolve(each, unique_id=f"new-{each.unique_id}") for each in mails(12)]
    report = place.fetch()
    assert [problem.kind for problem in report.problems] == [ProblemKind.SERVER]
    assert not report.more
    assert place.stored == once(mails(12))
    assert place.fetch(Refuse("TOP")).problems, "where headers cannot be had"
    assert place.fetch(policy=Policy(again=True)).ok


def test_what_may_have_been_deleted_raises_no_objection():
    """QUIT was lost, and no session could follow to see what was deleted."""
    place = Place(OneMaildrop(mails(12, first=101)))
    for each in mails(12):
        place.journal.events += [
            Event(MessageIdentity(each.unique_id), state, 1.0, 1, 1, header_digest(each.octets))
            for state in (MessageState.STORED, MessageState.DELETE_SENT)
        ]
    assert place.fetch(Refuse("TOP")).ok


def test_what_the_server_deletes_raises_no_objection():
    place = Place(OneMaildrop(mails(12)))
    place.fetch(capabilities={"expire": Expire(0)})
    place.store.messages = mails(12, first=101)
    assert place.fetch(capabilities={"expire": Expire(0)}).ok


# -------------------------------------------------------------------------------------- dates, sizes, deletion


@pytest.mark.parametrize("fault", [Refuse("TOP"), "hangs up"], ids=["refused", "hangs up"])
def test_without_dates_nothing_is_fetched_by_date(fault):
    place = Place(OneMaildrop(mails(3)))
    if fault == "hangs up":
        fault = Breaks(place.store, "TOP", "uid-1")
    report = place.fetch(fault, policy=Policy(since=1.0))
    assert [problem.text for problem in report.problems] == [
        "3 messages left on the server: it does not send headers alone (TOP), so that their dates are unknown"
    ]
    assert place.destination.mail == []


def test_a_message_that_came_shorter_by_much_stays_on_the_server():
    place = Place(OneMaildrop([mail(1, "x" * 20_000)]))
    report = place.fetch(WrongSize(by=30_000), policy=DELETE)
    assert place.left == ["uid-1"]
    assert "LIST says 50,0" in report.problems[0].text
    place.fetch(WrongSize(by=30_000), policy=DELETE)
    assert place.left == ["uid-1"], "a later run knows it, too"


@pytest.mark.parametrize("size", [0, 500_000])
def test_a_message_that_may_have_lost_dots_stays_on_the_server(size):
    text = ".signature\n..\n" + "no dot in front\n" * (size // 16)
    place = Place(OneMaildrop([mail(1), mail(2, text), mail(3)]))
    report = place.fetch(Unstuffed(), policy=DELETE)
    assert place.left == ["uid-2"]
    assert not report.problems
    [told] = [each for each in place.noted if "message 2" in each]
    assert told == (
        "message 2 is stored, but it may lack 2 dots at the beginning of lines: LIST says so many octets more, as of a "
        "server that does not stuff dots. It is not deleted on the server"
    )
    place.noted.clear()
    place.fetch(Unstuffed(), policy=DELETE)
    assert place.left == ["uid-2"], "a later run knows it, too"
    assert place.noted == [], "it was told"
    assert len(place.destination.messages) == 3


def test_dots_that_were_stuffed_are_no_reason_to_keep_a_message():
    place = Place(OneMaildrop([mail(1, ".signature\n..\n")]))
    place.fetch(policy=DELETE)
    assert (place.left, place.noted) == ([], [])
    place.store.messages[:] = [mail(2, ".signature\n..\n")]
    place.fetch(WrongSize(by=1), policy=DELETE)
    assert (place.left, place.noted) == ([], []), "of two dots one octet is missing: that is another thing"


@attrs.frozen
class DeleNeedsRetr(Fault):
    """Only what was retrieved in the same session is deleted."""

    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        retrieved = here.own.__dict__.setdefault("retrieved", set())
        if asked.verb == "RETR":
            retrieved.add(asked.number)
        if asked.verb == "DELE" and asked.number not in retrieved:
            asked = attrs.evolve(asked, answer=[StatusLine(asked, b"-ERR retrieve it first\r\n")])
        yield asked


def test_what_must_be_retrieved_to_be_deleted_is_compared_before():
    place = Place(OneMaildrop(mails(4)))
    sizes = Rows("LIST", lambda *_: b"100")
    place.fetch(sizes)
    place.store.messages[1] = mail(2, "another text")
    report = place.fetch(sizes, DeleNeedsRetr(), policy=DELETE)
    assert place.left == ["uid-2"]
    assert len(report.deleted) == 3


def test_one_message_that_cannot_be_retrieved_to_be_deleted_keeps_no_other():
    place = Place(OneMaildrop(mails(6)))
    place.fetch()
    report = place.fetch(DeleNeedsRetr(), Breaks(place.store, "RETR", "uid-3"), policy=DELETE)
    assert place.left == ["uid-3"]
    assert [problem.identity for problem in report.problems] == [MessageIdentity("uid-3")]


def test_a_header_without_an_end_is_compared_in_constant_memory():
    place = Place(OneMaildrop([Mail("uid-1", (b"X: " + b"y" * 70 + b"\n") * 20_000)]))
    place.fetch()
    assert place.fetch(policy=DELETE).ok
    assert place.left == []


def test_what_an_earlier_version_has_stored_is_kept_if_it_cannot_be_compared():
    """It recorded no digest of the header: a unique id that is given again, with a message of as many octets."""
    place = Place(OneMaildrop([mail(1)]))
    octets = len(mail(1).octets) + 3
    identity = MessageIdentity("uid-1")
    place.journal.events.append(Event(identity, MessageState.STORED, octets=octets))
    assert place.fetch(policy=DELETE).ok
    assert place.stored == once([mail(1)])
    assert place.left == []


# ---------------------------------------------------------------------------------------- waiting, logging in


def test_a_login_waits_as_the_server_wants():
    place = Place(OneMaildrop(mails(4)))
    report = place.fetch(policy=Policy(session_messages=2), capabilities={"login_delay": LoginDelay(1)})
    assert report.ok
    assert len(place.waited) == 1
    assert 0 < place.waited[0] <= 1


def test_after_a_break_the_login_is_tried_again():
    """The server has not ended the session that broke, and refuses the next one for a while."""
    place = Place(OneMaildrop(mails(4)))
    report = place.fetch(
        Breaks(place.store, "RETR", "uid-3"), SlowLock(logins=1), policy=Policy(retry_after=(0.01, 0.01, 0.01))
    )
    assert len(report.problems) == 1
    assert place.stored == once(each for each in mails(4) if each.unique_id != "uid-3")


def test_a_server_that_breaks_each_session_is_given_up_after_some_pauses():
    place = Place(OneMaildrop(mails(2)))
    report = place.fetch(EndAfter(6), policy=Policy(retry_after=(0.01, 0.02)))
    assert [problem.kind for problem in report.problems] == [ProblemKind.LATER]
    assert place.waited == [0.01, 0.02]
