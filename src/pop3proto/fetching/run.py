"""One run of a fetch: sessions until nothing is left to do, whatever breaks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import ConnectionLost, LocalProtocolError, Pop3Error
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.core.states import State
from pop3proto.core.text import counted
from pop3proto.procedures.client.commands import reconnect
from pop3proto.procedures.operations import Now, Procedure, Sleep

from .deleting import leave
from .looking import list_maildrop, make_session_plan
from .report import Kind, Report, Waiting
from .state import Fetching, StorageFailed
from .visit import visit

if TYPE_CHECKING:
    from .events import Identity
    from .login import Login
    from .planner import Plan

__all__ = ["plan_run", "run"]

_MOST_BLAMED: Final = 10
"""Messages that may break sessions, or fail to be stored, before a run ends: each one costs two sessions."""

_MOST_STORAGE_FAILURES: Final = 3
"""After so many failures in a row of the destination or the journal, it is no message that is at fault."""

_NO_LOGIN: Final = "the client is not logged in, and there is nothing to log in with: give login="

_LATER: Final = {ResponseCode.IN_USE, ResponseCode.LOGIN_DELAY, ResponseCode.SYS_TEMP}


def plan_run(fetching: Fetching, login: Login | None) -> Procedure[Plan]:
    """Return the plan of the next session. Nothing is fetched, stored or deleted, and QUIT is not sent.

    Args:
        fetching: its client is connected, and logged in unless there is `login`. What it records is thrown away.
        login: to log in with.

    Raises:
        LocalProtocolError: it is not logged in, and there is no `login`.
        OSError: the destination or the journal cannot be used.
        LoginFailed, CommandFailed: the server refuses the login, or does not list the maildrop.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    try:
        yield from fetching.read_journal()
        if fetching.session.connection.state is not State.TRANSACTION:
            if login is None:
                raise LocalProtocolError(_NO_LOGIN)
            yield from login.perform(fetching.session)
        listing, _ = yield from list_maildrop(fetching.session)
        return (yield from make_session_plan(fetching, listing))
    except StorageFailed as failure:
        raise failure.error from failure


def run(fetching: Fetching, login: Login | None) -> Procedure[Report]:
    """Fetch what is new, in as many sessions as it takes; return what was done.

    At the end the session is over. What goes wrong with the server, the network or the destination is in the report.

    Args:
        fetching: its client is connected, and logged in unless there is `login`.
        login: to log in with, also over new connections; None: there is one session.

    Raises:
        LocalProtocolError: the client is not logged in, and there is no `login`. Nothing was sent.
    """
    if login is None and fetching.session.connection.state is not State.TRANSACTION:
        raise LocalProtocolError(_NO_LOGIN)
    return (yield from _Run(fetching, login).run())


class _Run:
    def __init__(self, fetching: Fetching, login: Login | None) -> None:
        self._run: Final = fetching
        self._login: Final = login
        self._broken = 0  # sessions in a row that broke and brought nothing
        self._storage_failures = 0  # in a row
        self._logged_in_at: float | None = None
        self._alone: list[Identity] | None = None  # what is tried by itself; None: the other messages come first

    def run(self) -> Procedure[Report]:
        run, going_on = self._run, True
        try:
            yield from run.read_journal()
            while going_on and (yield from self._connect()):
                before = run.progress
                try:
                    going_on = yield from self._visit()
                except StorageFailed as failure:
                    going_on = yield from self._after_storage_failure(failure)
                except CommandFailed as failure:
                    run.stop(Kind.LATER, str(failure))
                    yield from leave(run, ())
                    break
                except Pop3Error as error:
                    run.session.fail(error)
                    going_on = yield from self._after_break(error, progress=run.progress != before)
        except StorageFailed as failure:
            run.stop(Kind.STORAGE, str(failure))
        return run.report

    def _visit(self) -> Procedure[bool]:
        """Have one session; return whether there is something left for another."""
        only = self._alone.pop(0) if self._alone else None
        outcome = yield from visit(self._run, only)
        self._broken = self._storage_failures = 0
        if self._alone is None and not outcome.more:
            self._alone = list(outcome.alone)
        return outcome.more or bool(self._alone)

    def _after_storage_failure(self, failure: StorageFailed) -> Procedure[bool]:
        """Go on without a message that cannot be stored; raises `StorageFailed` if that does not help."""
        self._storage_failures += 1
        if self._storage_failures >= _MOST_STORAGE_FAILURES:
            raise failure
        self._run.session.fail(ConnectionLost(f"the session was given up: {failure}"))
        return (yield from self._after_break(failure, progress=True))

    def _after_break(self, error: Exception, *, progress: bool) -> Procedure[bool]:
        """Decide whether to have another session after one that broke; wait before it if need be."""
        run = self._run
        if self._alone is not None:  # it is known which message has done it
            return bool(self._alone)
        self._broken = 0 if progress else self._broken + 1
        if run.blamed >= _MOST_BLAMED:
            text = f"{counted(run.blamed, 'message')} failed in this run: the rest is left for the next one"
            run.stop(Kind.MESSAGE, text)
            return False
        if self._broken > len(run.policy.retry_after):
            run.stop(Kind.LATER, str(error))
            return False
        if self._broken and (seconds := run.policy.retry_after[self._broken - 1]):
            run.tell(Waiting(seconds, str(error)))
            yield from Sleep(seconds)
        return True

    def _connect(self) -> Procedure[bool]:
        """Log in, over a new connection if need be; return whether there is a session."""
        run, session, login = self._run, self._run.session, self._login
        try:
            if session.broken is not None or session.connection.state is State.CLOSED:
                if login is None or not session.reconnects:
                    run.stop(Kind.LATER, f"{session.broken or 'the session is over'}; another run may bring the rest")
                    return False
                if not (yield from self._wait_for_login()):
                    return False
                yield from reconnect(session, ConnectionLost("it is over"))
            if session.connection.state is not State.TRANSACTION and login is not None:
                self._logged_in_at = yield from Now()
                yield from login.perform(session)
        except LoginFailed as failure:
            run.stop(Kind.LATER if failure.code in _LATER else Kind.REFUSED, str(failure))
            return False
        except LocalProtocolError as error:
            run.stop(Kind.REFUSED, str(error))
            return False
        except Pop3Error as error:
            run.stop(Kind.LATER, str(error))
            return False
        return True

    def _wait_for_login(self) -> Procedure[bool]:
        """Wait until the server lets this user log in again; return False if that is too long."""
        run, capabilities = self._run, self._run.session.capabilities
        delay = capabilities.login_delay if capabilities is not None else None
        if delay is None or self._logged_in_at is None:
            return True
        seconds = self._logged_in_at + delay.seconds - (yield from Now())
        if seconds > run.policy.patience:
            run.report.more = True
            run.note([f"the server wants {delay.seconds} seconds between two logins: the rest comes with the next run"])
            return False
        if seconds > 0:
            run.tell(Waiting(seconds, "the server wants some time between two logins"))
            yield from Sleep(seconds)
        return True
