"""What is done to a Maildir in a process that is killed: each function takes the folder of a trial.

In it are `Maildir`, and what else a function needs. Each returns an exit status: 0 says that it is done.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from pop3proto.core.errors import Pop3Error
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import (
    MaildropPlace,
    MaildropRules,
    OnDelete,
    Purged,
    Quota,
    Retain,
    RetainingStore,
    deliver_message,
    purge,
    restore_backup,
    undelete,
    write_backup,
)

DAY: Final = 86_400
QUOTA: Final = Quota(octets=10_000_000)


def rules(to: Any) -> MaildropRules:
    return MaildropRules(QUOTA, Retain(unread=100 * DAY), OnDelete(to))


def _status(work: Callable[[], object]) -> int:
    try:
        work()
    except (Pop3Error, OSError) as error:
        print(f"{type(error).__name__}: {error}")  # noqa: T201 - the trial shows it if it fails
        return 1
    return 0


def deliver(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])

    def work() -> None:
        with (folder / "message").open("rb") as source:
            deliver_message(source, folder / "Maildir", quota=QUOTA)

    return _status(work)


def update(arguments: Sequence[str]) -> int:
    """A session that retrieves the first message, and deletes the second and the fourth."""
    folder, to = Path(arguments[0]), arguments[1]

    def work() -> None:
        maildrop = RetainingStore({"ann": folder / "Maildir"}, rules(to)).open("ann", SessionInfo())
        try:
            doomed = [n for n, each in enumerate(maildrop.messages, 1) if each.unique_id.startswith(("2.", "4."))]
            maildrop.commit(frozenset(doomed), frozenset({1}))
        finally:
            maildrop.close()

    return _status(work)


def purging(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])

    def audit(each: Purged) -> None:
        with (folder / "audit").open("a") as file:
            file.write(f"{each.unique_id}\n")

    def work() -> None:
        report = purge("ann", folder / "Maildir", rules("trash"), audit=audit)
        if report.failures:
            raise report.failures[0]

    return _status(work)


def back(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    return _status(lambda: undelete(folder / "Maildir", rules(arguments[1])))


def backup(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    return _status(lambda: write_backup(folder / "mail.tar", [MaildropPlace("ann", folder / "Maildir", QUOTA)]))


def restore(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    return _status(lambda: restore_backup(folder / "mail.tar", [MaildropPlace("ann", folder / "Maildir", QUOTA)]))
