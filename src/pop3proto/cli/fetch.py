"""`pop3proto fetch`: fetch new mail of one account, or of several."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pop3proto.fetching.accounts.errors import SecretError
from pop3proto.fetching.accounts.secrets import SecretSource
from pop3proto.fetching.accounts.targets import ToStdout
from pop3proto.fetching.file_journal import last_session
from pop3proto.fetching.wording import cannot
from pop3proto.serving.notifier import Notifier

from .accounts import account_failures, check_configuration
from .alarm import Alarm
from .every import SIGNALS, Repeat
from .exit_statuses import LATER, status_of, worst
from .failures import USAGE, Failure
from .fetch_arguments import DESCRIPTION, add_arguments, chosen_accounts, policy_of
from .fetch_choice import choose_output
from .fetch_json import log_failure
from .fetch_run import AccountRun, failed_run
from .process import keep_free_memory
from .schedule import Schedule
from .several import Cancel, run_several

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    from pop3proto.fetching.accounts.account import Account

    from .every import Ran
    from .fetch_output import Output

__all__ = ["DESCRIPTION", "add_arguments", "run"]


def run(arguments: Namespace) -> int:
    """Run the command: fetch, show what there is to fetch, or check the configuration."""
    try:
        return _run(arguments)
    except Failure as failure:
        if arguments.log_format != "json":
            raise
        log_failure(failure, sys.stderr, time.time)
        return failure.status


def _run(arguments: Namespace) -> int:
    _check_together(arguments)
    if arguments.check_config:
        return check_configuration(arguments.config)
    accounts = {account.name: account for account in chosen_accounts(arguments)}
    keep_free_memory()
    to_stdout = any(isinstance(target, ToStdout) for each in accounts.values() for target in each.deliver)
    with choose_output(
        out=sys.stderr if to_stdout else sys.stdout,
        err=sys.stderr,
        environment=os.environ,
        clock=time.monotonic,
        now=time.time,
        quiet=arguments.quiet,
        verbose=arguments.verbose,
        bar=not (arguments.trace or arguments.dry_run or arguments.status),
        log_format=arguments.log_format,
    ) as output:
        turns = defaultdict[Path, Lock](Lock)
        runs = {
            name: AccountRun(
                account,
                policy_of(account, arguments),
                _secrets(account, output),
                output,
                trace=arguments.trace,
                alone=len(accounts) == 1,
                turn=turns[_journal(account)],
            )
            for name, account in accounts.items()
        }

        def failed(name: str, error: Exception) -> Ran:
            return failed_run(accounts[name], error)

        if arguments.dry_run or arguments.status:
            jobs = {name: partial(each.show, whole=arguments.dry_run) for name, each in runs.items()}
            return _status(_run_once(jobs, failed, arguments.jobs))
        if arguments.every is None and not arguments.daemon:
            return _status(_run_once({name: each.fetch for name, each in runs.items()}, failed, arguments.jobs))

        def fetch(name: str, cancel: Cancel) -> Ran:
            return runs[name].fetch(cancel)

        with Alarm(SIGNALS) as alarm:
            return Repeat(
                schedules={name: _schedule(account, arguments.every) for name, account in accounts.items()},
                fetch=fetch,
                failed=failed,
                say=output.say,
                alarm=alarm,
                notifier=Notifier.of_environment(os.environ, os.getpid()),
                since_last=_since_last({name: _journal(account) for name, account in accounts.items()}),
                jobs=arguments.jobs,
            ).run()


def _check_together(arguments: Namespace) -> None:
    """Check that arguments go together.

    Raises:
        Failure: they do not.
    """
    repeats = arguments.every is not None or arguments.daemon
    for given, name, others in (
        (arguments.check_config, "--check-config", arguments.words or repeats or arguments.dry_run or arguments.status),
        (repeats, "--every", arguments.again or arguments.message or arguments.dry_run or arguments.status),
        (arguments.dry_run, "--dry-run", arguments.status),
    ):
        if given and others:
            raise Failure(f"{name} does not go with what else is given", USAGE)


def _run_once(
    jobs: Mapping[str, Callable[[Cancel], Ran]], failed: Callable[[str, Exception], Ran], at_once: int
) -> Mapping[str, Ran]:
    if len(jobs) > 1:
        return run_several(jobs, failed, at_once)
    [(name, job)] = jobs.items()
    return {name: job(Cancel())}  # here, where Ctrl-C ends it at any time, also while it connects


def _journal(account: Account) -> Path:
    """Return the journal of an account.

    Raises:
        Failure: it is not known where that is.
    """
    with account_failures():
        path = account.journal_path
    try:
        return path.absolute()
    except OSError as error:  # the current folder was removed
        raise Failure(cannot("find", path, error), LATER) from error


def _secrets(account: Account, output: Output) -> SecretSource:
    """Return where the password or token of an account comes from. If the user has to type it, that happens now."""
    secrets = SecretSource(account, partial(output.say, account.name))
    if secrets.asks:  # here, one after the other, and not in several threads
        with suppress(SecretError):  # the run of this account tells it
            secrets.get()
    return secrets


def _since_last(journals: Mapping[str, Path]) -> dict[str, float]:
    """Return the seconds since the last session of accounts, as far as their journals tell."""
    ended = {name: last_session(path) for name, path in journals.items()}
    return {name: time.time() - when for name, when in ended.items() if when is not None}


def _status(results: Mapping[str, Ran]) -> int:
    return worst(status_of(ran.report) for ran in results.values())


def _schedule(account: Account, every: float | None) -> Schedule:
    """Return how often an account is fetched.

    Raises:
        Failure: neither the command line nor the configuration says it.
    """
    if every is None:
        every = account.every
    if not every:
        raise Failure(f"{account.name}: how often? Use --every TIME, or `every` in the configuration file", USAGE)
    return Schedule(every=every, floor=account.facts.every if account.facts is not None else 0.0)
