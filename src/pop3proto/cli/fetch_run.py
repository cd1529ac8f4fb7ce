"""One run for one account: its destination, its journal, its session, and what `pop3proto fetch` shows of it."""

from __future__ import annotations

import sys
import traceback
from contextlib import ExitStack, closing, suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, assert_never

import attrs
from typing_extensions import override

from pop3proto._io.files import sync_folder
from pop3proto.blocking.interruption import Interruption
from pop3proto.core.commands import Stls
from pop3proto.core.errors import CertificateError, LocalProtocolError, Pop3Error
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.text import counted
from pop3proto.fetching.accounts.errors import AccountError, SecretError
from pop3proto.fetching.accounts.opening import connect_interruptibly, explain_failure
from pop3proto.fetching.accounts.targets import ToFiles, ToMaildir, ToMbox, ToProgram, ToStdout
from pop3proto.fetching.destinations.each import DeliverEach, Delivered
from pop3proto.fetching.destinations.mbox import NotMbox
from pop3proto.fetching.downloading import download_new, plan_download
from pop3proto.fetching.file_journal import FileJournal, JournalInUse, read_journal
from pop3proto.fetching.login import LATER, Login
from pop3proto.fetching.memory_journal import MemoryJournal
from pop3proto.fetching.report import Noted, Problem, ProblemKind, Report
from pop3proto.fetching.run import NOT_THERE
from pop3proto.fetching.wording import reason
from pop3proto.maildrops.delivery import NotMaildir

from .every import Ran
from .fetch_choice import transcript

if TYPE_CHECKING:
    from pathlib import Path

    from pop3proto.blocking import Client
    from pop3proto.fetching.accounts.account import Account
    from pop3proto.fetching.accounts.secrets import SecretSource
    from pop3proto.fetching.destination import Destination
    from pop3proto.fetching.policy import Policy
    from pop3proto.sasl.credentials import Credentials

    from .fetch_output import Output
    from .several import Cancel

__all__ = ["AccountRun", "failed_run", "open_destination"]


@attrs.frozen
class AccountRun:
    """Fetches an account, or shows what there is to fetch.

    Args:
        account: the account.
        policy: what is fetched and deleted.
        secrets: to log in with.
        output: shows what happens.
        trace: show the dialogue, too.
        alone: there is no other account, so that lines of the dialogue need no name.
        turn: held while the account is fetched. Accounts with the same journal share it: only one may use the journal.
    """

    account: Account
    policy: Policy
    secrets: SecretSource
    output: Output
    trace: bool = False
    alone: bool = True
    turn: Lock = attrs.field(factory=Lock)

    def fetch(self, cancel: Cancel) -> Ran:
        """Fetch. What goes wrong is in the report.

        Args:
            cancel: says when to end.
        """
        try:
            with self.turn:
                if cancel.asked:
                    return Ran(Report(more=True))
                ran = self._fetch(cancel)
        except Exception as error:  # noqa: BLE001 - it must not stop the other accounts
            ran = self._failed(error)
        if any(problem.kind is ProblemKind.REFUSED for problem in ran.report.problems):
            self.secrets.forget()  # a later run looks whether it was corrected
        self.output.end(self.account.name, ran.report)
        return ran

    def _fetch(self, cancel: Cancel) -> Ran:
        account = self.account
        self._check_destination()
        with ExitStack() as stack:
            destination = open_destination(account, stack)
            path = account.journal_path
            _ensure_folder(path.parent)
            journal = stack.enter_context(FileJournal(path, account.key))
            client = stack.enter_context(closing(self._connect(cancel)))
            stack.enter_context(cancel.calls(client.close))
            report = download_new(
                client,
                journal,
                destination,
                self.policy,
                login=_login(account, self.secrets),
                tell=self.output.of(account.name),
                ending=lambda: cancel.asked,
                explain=partial(explain_failure, account),
            )
            if report.sessions:
                journal.note_session()
            if journal.unreadable:
                text = f"{counted(journal.unreadable, 'line')} of {path} cannot be read: what it records may come again"
                self.output.tell(account.name, Noted(text))
            capabilities = client.capabilities
        delay = None if capabilities is None else capabilities.login_delay
        return Ran(report, 0 if delay is None else delay.seconds)

    def show(self, cancel: Cancel, *, whole: bool) -> Ran:
        """Show what there is to fetch, and change nothing.

        Args:
            cancel: says when to end.
            whole: show the plan, message by message; else only how many there are.
        """
        account = self.account
        try:
            self._check_destination()
            with ExitStack() as stack:
                path = account.journal_path
                journal = MemoryJournal(account.key, read_journal(path, account.key) if path.exists() else ())
                destination = open_destination(account, stack) if _is_there(account) else _Nothing()
                client = stack.enter_context(closing(self._connect(cancel)))
                stack.enter_context(cancel.calls(client.close))
                plan = plan_download(client, journal, destination, self.policy, login=_login(account, self.secrets))
                with suppress(Pop3Error):
                    client.quit()
        except Exception as error:  # noqa: BLE001 - as in `fetch`
            ran = self._failed(error)
            self.output.end(account.name, ran.report)
            return ran
        (self.output.show_plan if whole else self.output.show_status)(account.name, plan)
        if plan.stop is None:
            return Ran(Report())
        if not whole:  # a whole plan has it
            self.output.say(account.name, f"nothing would be done: {plan.stop}")
        return Ran(Report(problems=[Problem(ProblemKind.LATER if plan.temporary else ProblemKind.SERVER, plan.stop)]))

    def _check_destination(self) -> None:
        """Refuse to take mail for deleted in a place that is not there: what is stored anew would hide that."""
        account = self.account
        if self.policy.when_gone and account.journal_path.exists() and not _is_there(account):
            raise AccountError(
                f"{account.deliver[0]} is not there, or is empty, and mail was stored in it: it may not be mounted. "
                "Nothing was fetched or deleted; without --when-gone it is made anew"
            )

    def _failed(self, error: Exception) -> Ran:
        if isinstance(error, SecretError) and self.secrets.asks:
            error = SecretError(f"{error} (--password-file FILE, or the configuration file)")
        return failed_run(self.account, error)

    def _connect(self, cancel: Cancel) -> Client:
        self.secrets.get()  # before anything is opened: a program may take its time
        observer = [transcript(self.output, None if self.alone else self.account.name)] if self.trace else []
        interruption = Interruption()
        with cancel.calls(interruption.set):
            return connect_interruptibly(self.account, interruption, observer=observer)


def _ensure_folder(path: Path) -> None:
    """Make a folder, and those that it is in; they are synced to disk."""
    if not path.is_dir():
        _ensure_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def _login(account: Account, secrets: SecretSource) -> Login:
    def credentials(refused: bool) -> Credentials | None:  # noqa: FBT001 - as `Login` calls it
        try:
            return secrets.get(refused=refused)
        except SecretError as error:
            if not refused:
                raise
            secrets.note(f"note: {error}")
            return None

    return Login(
        credentials=credentials,
        only=None if account.login is None else [account.login],
        password_encoding=account.password_encoding,
    )


def open_destination(account: Account, stack: ExitStack) -> Destination:
    """Return the destination of an account; it is closed with the stack.

    Raises:
        AccountError: what is there is something else.
        OSError: it cannot be used.
    """
    try:
        return _destination(account, stack)
    except Pop3Error as error:
        raise AccountError(str(error)) from error


def _destination(account: Account, stack: ExitStack) -> Destination:
    [target] = account.deliver
    if isinstance(target, ToMaildir | ToFiles | ToMbox):
        [path, *_] = attrs.astuple(target)
        if not path.absolute().parent.is_dir():
            raise AccountError(f"cannot store mail in {path}: there is no folder {path.parent}; create it")
    match target:
        case ToMaildir(path, folder, flags):
            from pop3proto.fetching.destinations import MaildirDestination  # noqa: PLC0415 - one of these is needed

            return stack.enter_context(closing(MaildirDestination(path, folder=folder or None, flags=flags)))
        case ToFiles(folder):
            from pop3proto.fetching.destinations import FilesDestination  # noqa: PLC0415 - as above

            return stack.enter_context(closing(FilesDestination(folder)))
        case ToMbox(path):
            from pop3proto.fetching.destinations import MboxDestination  # noqa: PLC0415 - as above

            return MboxDestination(path)
        case ToProgram(argv):
            from pop3proto.fetching.destinations import ProgramDestination  # noqa: PLC0415 - as above

            return ProgramDestination(argv, account=account.name)
        case ToStdout():
            from pop3proto.fetching.destinations import StdoutDestination  # noqa: PLC0415 - as above

            return StdoutDestination(sys.stdout.buffer)
        case _:
            assert_never(target)


def _is_there(account: Account) -> bool:
    """Return whether there is something that can be asked what it has, so that opening it creates nothing."""
    [target] = account.deliver
    match target:
        case ToMaildir(path):
            return (path / "cur").exists()
        case ToFiles(path):
            return path.exists() and any(path.iterdir())
        case ToMbox(path):
            return path.exists()
        case _:
            return False


class _Nothing(DeliverEach):
    """A destination that has nothing, where a plan is made and none is there yet."""

    name = "nothing"
    recalls = False

    @override
    def deliver(self, message: Delivered, /) -> None:
        raise NotImplementedError


def failed_run(account: Account, error: Exception) -> Ran:
    """Return the result of a run that an error has ended before it began: a problem, with what to do."""
    match error:
        case AccountError() | NotMaildir() | NotMbox():
            kind, text = ProblemKind.CONFIGURATION, str(error)
        case JournalInUse():
            kind, text = ProblemKind.LATER, str(error)
        case LoginFailed(code=code) if code in LATER:
            kind, text = ProblemKind.LATER, explain_failure(account, error)
        case LoginFailed() | CertificateError() | LocalProtocolError():
            kind, text = ProblemKind.REFUSED, explain_failure(account, error)
        case CommandFailed(command=Stls(), code=code) if code not in LATER:
            kind, text = ProblemKind.REFUSED, explain_failure(account, error)
        case Pop3Error():
            kind, text = ProblemKind.LATER, explain_failure(account, error)
        case OSError() | ValueError() if not isinstance(error, OSError):
            kind, text = ProblemKind.CONFIGURATION, str(error)
        case OSError(errno=number) if number in NOT_THERE:
            kind, text = ProblemKind.CONFIGURATION, reason(error)
        case OSError():
            kind, text = ProblemKind.STORAGE, reason(error) if error.filename else f"cannot store mail: {reason(error)}"
        case _:  # it must not stop the other accounts
            where = traceback.extract_tb(error.__traceback__)[-1:]
            place = f" ({where[0].name}, line {where[0].lineno})" if where else ""
            kind, text = ProblemKind.SERVER, f"internal error, please report it: {type(error).__name__}: {error}{place}"
    return Ran(Report(problems=[Problem(kind, text)]))
