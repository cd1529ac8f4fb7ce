"""What the record of a session, which a server logs, names: who has logged in, who has failed, and who is not known."""

from base64 import b64encode

import pytest

from pop3proto.core.errors import TimedOut
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.procedures.operations import Now, RunLogin, Turn
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.logins import LOGINS_IN_THREADS
from pop3proto.procedures.server.penalties import LoginPenalty
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.md5 import apop_digest
from pop3proto.sasl.plain import PlainClient
from pop3proto.sasl.registry import SERVER_MECHANISMS
from tests.helpers.drivers import (
    Cancelled,
    Clock,
    FakeStore,
    OneUser,
    Serving,
    sessions_come_to_their_end,  # noqa: F401 - it is a fixture
)
from tests.procedures.server.test_login_handlers import BOUND, RIGHT, WRONG_PASSWORD, Everyone, log_in

GUEST = {"ANONYMOUS": "guest"}  # all others log in as ann


def serving(authenticator=None, **service) -> Serving:
    service = {"mechanisms": SERVER_MECHANISMS, "failure_delay": 0, "login_penalty": None} | service
    users = Everyone() if authenticator is None else authenticator
    session = Serving(FakeStore(b"one\n"), users, mode="implicit", tls=BOUND, **service)
    session.greeting = session.actor.go().take()
    return session


def try_to_log_in(session: Serving, method: str, mechanisms: dict, password: str) -> bytes:
    """Log in by any method; return the last answer."""
    if method == "USER/PASS":
        return session.lines(b"USER ann\r\nPASS %b\r\n" % password.encode())[-1]
    if method == "APOP":
        timestamp = session.greeting[session.greeting.index(b"<") : session.greeting.index(b">") + 1].decode()
        return session.lines(b"APOP ann %b\r\n" % apop_digest(timestamp, password).encode())[-1]
    return log_in(session, mechanisms[method]())


BOTH = ("USER/PASS", "APOP")


@pytest.mark.parametrize("failure", [None, OSError("the disk is gone"), Unavailable("not now")], ids=type)
@pytest.mark.parametrize("method", [*BOTH, *RIGHT])
def test_whose_maildrop_cannot_be_opened_is_named_and_has_not_logged_in(method, failure):
    session = serving()
    session.store.locked = failure is None
    session.store.failures = {} if failure is None else {"open": failure}
    assert try_to_log_in(session, method, RIGHT, "tanstaaf").startswith(b"-ERR [")
    record = session.record
    assert (record.user, record.method) == (GUEST.get(method, "ann"), "")
    assert record.failed == record.not_checked == []
    if not isinstance(failure, OSError):  # which ends the session
        session.store.locked, session.store.failures = False, {}
        assert try_to_log_in(session, method, RIGHT, "tanstaaf").startswith(b"+OK")
        assert (record.user, record.method) == (GUEST.get(method, "ann"), method)


@pytest.mark.parametrize("method", [*BOTH, *WRONG_PASSWORD])
def test_who_has_failed_is_named(method):
    session = serving()
    assert try_to_log_in(session, method, WRONG_PASSWORD, "guess").startswith(b"-ERR [AUTH]")
    assert session.record.failed == [(method, "ann")]
    assert (session.record.user, session.record.method, session.record.not_checked) == (None, "", [])


@pytest.mark.parametrize("failure", [Unavailable("not now"), TimedOut("too slow"), RuntimeError("a fault")], ids=type)
@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("method", [*BOTH, *WRONG_PASSWORD])
def test_who_could_not_be_checked_is_named_and_has_not_failed(method, blocks, failure):
    session = serving(Everyone(blocks=blocks, failure=failure))
    assert try_to_log_in(session, method, WRONG_PASSWORD, "guess").startswith(b"-ERR [SYS/TEMP]")
    assert session.record.not_checked == [(method, "ann")]
    assert (session.record.user, session.record.method, session.record.failed) == (None, "", [])


def test_what_is_no_message_of_the_mechanism_is_not_checked_and_has_not_failed():
    session = serving()
    assert session.lines(b"AUTH PLAIN %b\r\n" % b64encode(b"ann"))[-1].startswith(b"-ERR")
    assert session.record.not_checked == [("PLAIN", "")]
    assert session.record.failed == []


@pytest.mark.parametrize("method", ["USER/PASS", "PLAIN"])
def test_who_has_waited_to_the_deadline_is_named_if_the_name_was_looked_at(method):
    users, deadlines = OneUser(), Deadlines(login=10)
    limiter = SessionLimiter(Service(store=FakeStore(), authenticator=users))
    turns = vars(vars(limiter)["_logins"])["_turns"]
    for address in "abcdefgh"[:LOGINS_IN_THREADS]:
        turns.take(address, 0)
    session = Serving(FakeStore(), users, address="192.0.2.1", limiter=limiter, deadlines=deadlines).greeted()
    plain = b64encode(PlainClient("ann", "tanstaaf").initial_response or b"")
    session.ask(b"USER ann\r\nPASS tanstaaf\r\n" if method == "USER/PASS" else b"AUTH PLAIN %b\r\n" % plain)
    assert isinstance(session.actor.waits, Turn)
    session.actor.sleep(10)
    assert session.actor.finished
    assert session.record.not_checked == [(method, "ann" if method == "USER/PASS" else "")]
    assert session.record.failed == users.asked == []


class Slow(Everyone):
    """Takes its time with the first question. A thread cannot be cancelled."""

    def __init__(self, seconds: float) -> None:
        super().__init__(blocks=True)
        self.seconds, self.clock = seconds, Clock()

    def note(self, what: str) -> None:
        self.clock.now += self.seconds
        self.seconds = 0
        super().note(what)


class SlowLater(Slow):
    """Swallows its cancellation, for example."""

    async def check_password(self, user, password, session, /):
        return super().check_password(user, password, session)


def slow_login(users: Slow, method: str, mechanisms: dict, password: str) -> tuple[Serving, bytes]:
    session = serving(users, deadlines=Deadlines(login=10))
    users.clock = session.actor.clock
    return session, try_to_log_in(session, method, mechanisms, password)


@pytest.mark.parametrize("kind", [Slow, SlowLater])
@pytest.mark.parametrize("method", ["USER/PASS", "APOP", "PLAIN", "LOGIN", "XOAUTH2", "SCRAM-SHA-256"])
def test_right_credentials_that_were_verified_after_the_deadline_let_nobody_in(kind, method):
    session, answer = slow_login(kind(10), method, RIGHT, "tanstaaf")
    assert answer == b"-ERR [SYS/TEMP] the login cannot be checked in time"
    assert session.actor.finished
    record = session.record
    assert (record.user, record.method, record.failed) == (None, "", [])
    assert record.not_checked == [(method, "ann")]
    assert session.store.log == []
    in_time, answer = slow_login(kind(9.9), method, RIGHT, "tanstaaf")
    assert answer.startswith(b"+OK")
    assert in_time.record.not_checked == []


@pytest.mark.parametrize("kind", [Slow, SlowLater])
@pytest.mark.parametrize("method", ["USER/PASS", "APOP", "PLAIN", "LOGIN"])
def test_wrong_credentials_have_failed_however_late_that_is_known(kind, method):
    """Else guesses at a slow authenticator would not count."""
    session, _ = slow_login(kind(10), method, WRONG_PASSWORD, "guess")
    assert session.record.failed == [(method, "ann")]
    assert session.record.not_checked == []


def test_who_is_cut_off_while_a_password_is_found_to_be_wrong_has_failed():
    def session(strikes=None) -> Serving:
        made = Serving(FakeStore(), limiter=limiter, address="192.0.2.1", strikes=strikes)
        made.actor.receive(b"USER ann\r\nPASS wrong\r\n")
        return made

    service = Service(store=FakeStore(), authenticator=OneUser())
    limiter = SessionLimiter(service)
    performed = session().actor.performed
    [checked] = [number for number, operation in enumerate(performed) if isinstance(operation, RunLogin)]
    assert isinstance(performed[checked + 1], Now)
    limiter = SessionLimiter(service)
    struck = session({checked + 1: Cancelled()})
    assert struck.actor.finished
    assert struck.record.failed == [("USER/PASS", "ann")]
    penalties = vars(vars(limiter)["_logins"])["_penalties"]
    assert penalties.delay("192.0.2.1", struck.actor.clock.now) == LoginPenalty().first


def test_who_may_not_act_as_another_is_named():
    session = serving()
    assert log_in(session, PlainClient("ann", "tanstaaf", "carol")).startswith(b"-ERR [AUTH]")
    assert session.record.failed == [("PLAIN", "ann")]
    assert (session.record.user, session.record.method) == ("ann", "")
    assert log_in(session, PlainClient("ann", "tanstaaf", "bob")).startswith(b"+OK")
    assert (session.record.user, session.record.method) == ("bob", "PLAIN")
