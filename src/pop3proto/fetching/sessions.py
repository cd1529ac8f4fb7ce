"""One run of a fetch: sessions until nothing is left to do, whatever breaks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import CertificateError, ConnectionLost, LocalProtocolError, Pop3Error
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.states import State
from pop3proto.core.text import counted
from pop3proto.procedures.client.commands import reconnect
from pop3proto.procedures.operations import Now, Procedure, Sleep

from .deleting import leave
from .login import LATER
from .looking import list_maildrop, make_session_plan
from .report import Problem, ProblemKind, Report, Waiting
from .run import FetchRun, StorageFailed
from .visit import visit

if TYPE_CHECKING:
    from .events import MessageIdentity
    from .login import Login
    from .plan import Plan

__all__ = ["perform_run", "plan_run"]

_MOST_BLAMED: Final = 10
"""Messages that may break sessions, or fail to be stored, before a run ends: each one costs two sessions."""

_MOST_FRUITLESS: Final = 2 * _MOST_BLAMED + 4
"""Sessions in a row that break and bring no message. Whatever a server does, a run comes to an end."""

_MOST_STORAGE_FAILURES: Final = 3
"""After so many failures in a row of the destination or the journal, it is no message that is at fault."""

_NO_LOGIN: Final = "the client is not logged in, and there is nothing to log in with: give login="


def plan_run(run: FetchRun, login: Login | None) -> Procedure[Plan]:
    """Return the plan of the next session. Nothing is fetched, stored or deleted, and QUIT is not sent.

    Args:
        run: its client is connected, and logged in unless there is `login`. What it records is thrown away.
        login: to log in with.

    Raises:
        LocalProtocolError: it is not logged in, and there is no `login`.
        OSError: the destination or the journal cannot be used.
        LoginFailed, CommandFailed: the server refuses the login, or does not list the maildrop.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    try:
        yield from run.read_journal()
        if run.session.connection.state is not State.TRANSACTION:
            if login is None:
                raise LocalProtocolError(_NO_LOGIN)
            yield from login.perform(run.session)
        listing, _ = yield from list_maildrop(run.session)
        return (yield from make_session_plan(run, listing))
    except StorageFailed as failure:
        raise failure.error from failure


def perform_run(run: FetchRun, login: Login | None) -> Procedure[Report]:
    """Fetch what is new, in as many sessions as it takes; return what was done.

    At the end the session is over. What goes wrong with the server, the network or the destination is in the report.

    Args:
        run: its client is connected, and logged in unless there is `login`.
        login: to log in with, also over new connections; None: there is one session.

    Raises:
        LocalProtocolError: the client is not logged in, and there is no `login`. Nothing was sent.
    """
    if login is None and run.session.connection.state is not State.TRANSACTION:
        raise LocalProtocolError(_NO_LOGIN)
    return (yield from _Sessions(run, login).perform())


class _Sessions:
    def __init__(self, run: FetchRun, login: Login | None) -> None:
        self._run: Final = run
        self._login: Final = login
        self._broken = 0  # sessions in a row that broke and brought nothing
        self._storage_failures = 0  # in a row
        self._fruitless = 0  # sessions in a row that broke, and stored and deleted nothing
        self._brought = run.brought
        self._logged_in_at: float | None = None
        self._main = True  # the messages that have not failed in earlier runs come first
        self._perhaps = False  # and it is not known whether there are any left
        self._failed: tuple[MessageIdentity, ...] = ()  # then these, one by one
        self._held: tuple[MessageIdentity, ...] = ()  # then these are deleted, each in a session of its own
        self._failures = 0  # of the latter two
        self._refused = 0  # logins in a row, after one that was accepted
        self._uncertain = ""  # why it is unknown what was deleted

    def perform(self) -> Procedure[Report]:
        run = self._run
        try:
            yield from run.read_journal()
            if run.session.connection.state is State.TRANSACTION:
                self._logged_in_at = yield from Now()  # or a little earlier
            while self._has_more and (yield from self._connect()):
                before, brought, blamed = run.progress, run.brought, run.blamed
                try:
                    yield from self._visit()
                    self._note_visit(brought != run.brought, before != run.progress)
                except StorageFailed as failure:
                    self._storage_failures += run.blamed != blamed  # else it was a batch: each is tried by itself
                    if failure.fatal or self._storage_failures >= _MOST_STORAGE_FAILURES:
                        raise
                    run.session.fail(ConnectionLost(f"the session was given up: {failure}"))
                    yield from self._after_break(failure, progress=True, blamed=blamed != run.blamed)
                except CommandFailed as failure:
                    run.stop(ProblemKind.LATER, run.explain(failure))
                    yield from leave(run, ())
                    break
                except Pop3Error as error:
                    run.session.fail(error)
                    progress = run.progress != before
                    yield from self._after_break(error, progress=progress, blamed=blamed != run.blamed)
        except StorageFailed as failure:
            run.stop(failure.kind, str(failure))
        if self._uncertain:
            run.problem(Problem(ProblemKind.MESSAGE, self._uncertain))
        return run.report

    def _note_visit(self, brought: bool, progress: bool) -> None:  # noqa: FBT001 - each is named
        """Note what a session that did not break has come to; else it might go on for ever."""
        self._fruitless = 0 if brought else self._fruitless + 1
        self._brought = self._run.brought
        # Of what was deleted another session hears once.
        self._main = self._main and (bool(self._uncertain) or (brought if self._perhaps else progress))
        if self._main and self._fruitless > _MOST_FRUITLESS:
            self._give_up(ProblemKind.LATER, "many sessions in a row have brought nothing")

    @property
    def _has_more(self) -> bool:
        more = self._main or bool(self._failed or self._held)
        if more and self._run.report.sessions and self._run.ending():
            self._run.report.more = True
            return False
        return more

    def _visit(self) -> Procedure[None]:
        """Have one session."""
        if self._main:
            outcome = yield from visit(self._run)
            # Another session sees what was deleted; but if that is unknown again, it is told.
            looks = bool(outcome.uncertain) and not self._uncertain and self._login is not None
            self._uncertain = outcome.uncertain
            self._main = outcome.more or outcome.perhaps or looks
            self._perhaps = not outcome.more
            if not self._main:
                self._failed, self._held = outcome.failed, (*outcome.apart, *outcome.held)
        elif self._failed:
            outcome = yield from visit(self._run, self._failed)
            if not outcome.more:
                self._failed = ()
        else:
            only, *held = self._held
            self._held, kept = tuple(held), len(self._run.kept)
            yield from visit(self._run, [only])
            self._failures += len(self._run.kept) - kept
            if self._failures >= self._run.policy.suspects:
                self._held = ()
        self._broken = self._storage_failures = 0

    def _after_break(self, error: Exception, *, progress: bool, blamed: bool) -> Procedure[None]:
        """Wait before another session if need be, or give up."""
        run = self._run
        self._broken = 0 if progress else self._broken + 1
        self._fruitless = 0 if run.brought != self._brought else self._fruitless + 1
        self._brought = run.brought
        if not self._main:
            self._failures += blamed or not self._failed  # else it is tried as the first of another session
            self._failed = tuple(identity for identity in self._failed if identity not in run.tried)
            if self._failures >= run.policy.suspects:
                self._failed = self._held = ()
        elif run.blamed >= _MOST_BLAMED:
            text = f"{counted(run.blamed, 'message')} failed in this run: the rest is left for the next one"
            self._give_up(ProblemKind.MESSAGE, text)
        if self._broken > len(run.policy.retry_after) or self._fruitless > _MOST_FRUITLESS:
            self._give_up(ProblemKind.LATER, run.explain(error) if isinstance(error, Pop3Error) else str(error))
        elif self._has_more and self._broken and (seconds := run.policy.retry_after[self._broken - 1]):
            run.tell(Waiting(seconds, str(error)))
            yield from Sleep(seconds)

    def _give_up(self, kind: ProblemKind, text: str) -> None:
        self._run.stop(kind, text)
        self._main, self._failed, self._held = False, (), ()

    def _connect(self) -> Procedure[bool]:
        """Log in, over a new connection if need be; return whether there is a session."""
        run, session, login = self._run, self._run.session, self._login
        try:
            if session.broken is not None or session.connection.state is State.CLOSED:
                if login is None or not session.reconnects:
                    run.stop(
                        ProblemKind.LATER, f"{session.broken or 'the session is over'}; another run may bring the rest"
                    )
                    return False
                if not (yield from self._wait_for_login()):
                    return False
                yield from reconnect(session, ConnectionLost("it is over"))
            if session.connection.state is not State.TRANSACTION and login is not None:
                self._logged_in_at = yield from Now()
                yield from login.perform(session)
            self._refused = 0
        except LoginFailed as failure:
            return (yield from self._after_refusal(failure))
        except (CertificateError, LocalProtocolError) as error:
            run.stop(ProblemKind.REFUSED, run.explain(error))
            return False
        except Pop3Error as error:
            run.stop(ProblemKind.LATER, run.explain(error))
            return False
        return True

    def _after_refusal(self, failure: LoginFailed) -> Procedure[bool]:
        """Try again to log in where it was possible before: the server may not have ended that session yet."""
        run, delays = self._run, self._run.policy.retry_after
        later = failure.code in LATER or (failure.code is None and run.report.sessions > 0)
        if not later or not run.report.sessions or self._refused >= len(delays):
            run.stop(ProblemKind.LATER if later else ProblemKind.REFUSED, run.explain(failure))
            return False
        if seconds := delays[self._refused]:
            run.tell(Waiting(seconds, run.explain(failure)))
            yield from Sleep(seconds)
        self._refused += 1
        run.session.fail(failure)
        return (yield from self._connect())

    def _wait_for_login(self) -> Procedure[bool]:
        """Wait until the server lets this user log in again; return False if that is too long."""
        run, capabilities = self._run, self._run.session.capabilities
        delay = capabilities.login_delay if capabilities is not None else None
        if delay is None or self._logged_in_at is None:
            return True
        seconds = self._logged_in_at + delay.seconds - (yield from Now())
        if seconds > run.policy.patience:
            text = f"the server wants {delay.seconds} seconds between two logins: the rest comes with the next run"
            if self._main and not self._perhaps:
                run.stop(ProblemKind.LATER, text)
            else:
                run.note([text])
            return False
        if seconds > 0:
            run.tell(Waiting(seconds, "the server wants some time between two logins"))
            yield from Sleep(seconds)
        return True
