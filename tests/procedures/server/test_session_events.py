"""What observers of a server are told of logins, of QUIT, and of the end: each what it has methods for."""

import pytest

from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.server.policy import Decision
from tests.helpers.drivers import (
    FakeStore,
    OneUser,
    Serving,
    codes,
    sessions_come_to_their_end,  # noqa: F401 - it is a fixture
)
from tests.procedures.server.test_policy import LOG_IN, WRONG, Says


class Quiet:
    def heard(self, session, event):
        pass

    def said(self, session, item):
        pass

    def ended(self, session, error):
        pass


class Events(Quiet):
    def __init__(self, fails_at="", error=None):
        self.told = []
        self._fails_at, self._error = fails_at, error or ZeroDivisionError()

    def _note(self, name, session, *what):
        self.told.append((name, session.user, *what))
        if name == self._fails_at:
            raise self._error

    def logged_in(self, session, method):
        self._note("logged_in", session, method)

    def login_failed(self, session, method, user, why):
        self._note("login_failed", session, method, user, why)

    def committed(self, session, deleted, retrieved):
        self._note("committed", session, [each.unique_id for each in deleted], [each.unique_id for each in retrieved])

    def session_ended(self, session, record, error):
        self._note("session_ended", session, record.end, type(error))


def test_a_whole_session():
    events = Events()
    session = Serving(FakeStore(b"a\n", b"b\n", b"c\n"), observer=[Quiet(), events], failure_delay=0).greeted()
    session.ask(WRONG, LOG_IN, b"RETR 3\r\nRETR 1\r\nDELE 2\r\nDELE 1\r\nQUIT\r\n")
    assert events.told == [
        ("login_failed", None, "USER/PASS", "ann", "credentials"),
        ("logged_in", "ann", "USER/PASS"),
        ("committed", "ann", ["id.1", "id.2"], ["id.1", "id.3"]),
        ("session_ended", "ann", "quit", type(None)),
    ]


def test_quit_before_login_commits_nothing():
    events = Events()
    Serving(FakeStore(), observer=events).greeted().ask(b"QUIT\r\n")
    assert events.told == [("session_ended", None, "quit", type(None))]


@pytest.mark.parametrize("name", ["logged_in", "login_failed", "committed", "session_ended"])
def test_what_would_never_be_told_is_refused_at_once(name):
    async def method(self, *what):
        pass

    for found, why in ((method, "is a coroutine method"), ("text", "is not a method")):
        observer = type("Odd", (Quiet,), {name: found})()
        with pytest.raises(TypeError, match=f"{name} of the observer .* {why}"):
            Serving(FakeStore(), observer=observer)


def test_an_observer_may_have_one_of_the_methods_only():
    class One(Quiet):
        told = ()

        def committed(self, session, deleted, retrieved):
            self.told = (deleted, retrieved)

    one = One()
    Serving(FakeStore(), observer=one).logged_in().ask(b"QUIT\r\n")
    assert one.told == ([], [])


@pytest.mark.parametrize(
    "arguments, why",
    [
        ({"policy": Says(at=Decision(allowed=False, text="no", code=ResponseCode.SYS_PERM))}, "policy"),
        ({"policy": Says(at=Decision(allowed=False))}, "policy"),
        ({"authenticator": OneUser(failure=OSError("gone"))}, "not checked"),
    ],
)
def test_why_a_login_has_failed(arguments, why):
    events = Events()
    Serving(FakeStore(), observer=events, failure_delay=0, **arguments).greeted().ask(LOG_IN)
    assert events.told[0] == ("login_failed", None, "USER/PASS", "ann", why)
    assert [name for name, *_ in events.told].count("login_failed") == 1


def test_the_maildrop_is_why_a_login_has_failed():
    events, store = Events(), FakeStore()
    store.locked = True
    Serving(store, observer=events).greeted().ask(LOG_IN)
    assert events.told == [("login_failed", None, "USER/PASS", "ann", "maildrop")]


def test_a_commit_that_fails_is_not_told():
    events, store = Events(), FakeStore(b"a\n")
    store.failures["commit"] = OSError("full")
    session = Serving(store, observer=events).logged_in()
    session.ask(b"DELE 1\r\nQUIT\r\n")
    with pytest.raises(OSError, match="full"):
        session.actor.outcome()
    assert [name for name, *_ in events.told] == ["logged_in", "session_ended"]
    assert events.told[-1][3] is OSError


def test_what_is_deleted_is_told_even_if_the_maildrop_does_not_close():
    events, store = Events(), FakeStore(b"a\n", b"b\n")
    store.failures["close"] = OSError("the lock is gone")
    session = Serving(store, observer=events).logged_in()
    assert codes(session.lines(b"RETR 2\r\nDELE 1\r\nQUIT\r\n"))[-1] == b"-ERR [SYS/TEMP]"
    with pytest.raises(OSError, match="the lock is gone"):
        session.actor.outcome()
    assert [*store.contents] == [2]
    assert session.record.deleted == 1
    assert events.told[1:] == [("committed", "ann", ["id.1"], ["id.2"]), ("session_ended", "ann", "quit", OSError)]


@pytest.mark.parametrize("error", [ZeroDivisionError("one"), ConnectionLost("one"), TimedOut("one")])
def test_the_client_hears_the_truth_even_if_an_observer_fails(error):
    """What QUIT has deleted is gone: no observer can turn its +OK into a -ERR."""
    other = Events()
    session = Serving(FakeStore(b"a\n"), observer=[Events("committed", error), other]).logged_in()
    assert codes(session.lines(b"DELE 1\r\nQUIT\r\n")) == [b"+OK", b"+OK"]
    with pytest.raises(ZeroDivisionError if isinstance(error, ZeroDivisionError) else RuntimeError, match="one"):
        session.actor.outcome()
    assert session.store.contents == {}
    assert [name for name, *_ in other.told] == ["logged_in", "committed", "session_ended"]


@pytest.mark.parametrize("name", ["logged_in", "login_failed", "session_ended"])
def test_an_observer_that_fails_ends_the_session_and_leaves_no_lock(name):
    session = Serving(FakeStore(b"a\n"), observer=Events(name), failure_delay=0).greeted()
    session.ask(WRONG, LOG_IN, b"QUIT\r\n")
    with pytest.raises(ZeroDivisionError):
        session.actor.outcome()
    session.store.check_all_is_closed()
