"""`pop3proto state`: look at what is recorded of the messages of an account, and change it."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.errors import Pop3Error
from pop3proto.core.text import counted, visible
from pop3proto.fetching.accounts.opening import explain_failure, open_session
from pop3proto.fetching.accounts.secrets import SecretSource
from pop3proto.fetching.events import Event, MessageState
from pop3proto.fetching.file_journal import FileJournal, JournalInUse, read_journal
from pop3proto.fetching.history import History
from pop3proto.fetching.looking import list_maildrop
from pop3proto.fetching.marks import mark_of
from pop3proto.fetching.repair import repaired
from pop3proto.fetching.wording import cannot

from .accounts import account_failures, add_config_argument
from .exit_statuses import CONFIGURATION, LATER
from .failures import USAGE, Failure, warn
from .fetch_arguments import add_connection_arguments, chosen_accounts
from .fetch_run import open_destination
from .state_output import json_lines, table
from .status_help import add_statuses

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence
    from pathlib import Path

    from pop3proto.fetching.accounts.account import Account
    from pop3proto.fetching.history import Entry

__all__ = ["DESCRIPTION", "Parser", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Look at what a fetch has recorded of the messages of an account, and change it. The records are in a journal: a "
    "file in the folder that mail is fetched into."
)

_ACTIONS: Final = ("list", "forget", "repair", "compact")
_USAGES: Final = tuple(f"{action} [ID ...]" if action == "forget" else action for action in _ACTIONS)


class Parser(ArgumentParser):
    """Tells the account, the action and its unique ids apart, wherever options stand."""

    @override
    def parse_args(  # type: ignore[override]  # it is overloaded there
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        arguments = self.parse_intermixed_args(args, Namespace() if namespace is None else namespace)
        words: list[str] = arguments.words
        arguments.words = [words.pop(0) for _ in range(2 if "://" in words[0] and len(words) > 1 else 1)]
        action = words.pop(0) if words else None
        if action not in _ACTIONS:
            self.error(f"the action must be one of {', '.join(_ACTIONS)}")
        if words and action != "forget":
            self.error(f"nothing may follow {action}")
        if action == "forget" and bool(words) == arguments.all:
            self.error("forget takes unique ids, or --all")
        if arguments.all and action != "forget":
            self.error("--all belongs to forget")
        if arguments.json and action != "list":
            self.error("--json belongs to list")
        arguments.action = action
        arguments.unique_ids = words
        return arguments


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, LATER, CONFIGURATION, own={LATER: "a fetch is running: wait for it to end, or stop it"})
    parser.usage = "\n       ".join(f"%(prog)s [OPTION ...] {{ACCOUNT | URL TARGET}} {each}" for each in _USAGES)
    parser.add_argument(
        "words",
        nargs="+",
        metavar="ACCOUNT | URL TARGET",
        help="ACCOUNT: the name of an account in the configuration file of fetch.\n\n"
        "URL: an account, as fetch takes it.\n\n"
        "TARGET: where fetch puts its mail, as fetch takes it.\n\n"
        "list: show what is recorded of each message.\n\n"
        "forget ID ...: let the next fetch fetch the messages of these unique ids again; or, with --all, all.\n\n"
        "repair: ask the server for its unique ids, and record again which of these messages are in TARGET.\n\n"
        "compact: write the journal anew, without what is not needed any more; a fetch does that by itself",
    )
    add_config_argument(parser)
    parser.add_argument("--all", action="store_true", help="forget all messages that were on the server")
    parser.add_argument("--json", action="store_true", help="list: one JSON object for each message")
    add_connection_arguments(parser.add_argument_group("with a URL"))


def run(arguments: Namespace) -> int:
    """Run the command."""
    [account] = chosen_accounts(arguments)
    with account_failures():
        path = account.journal_path
    match arguments.action:
        case "list":
            _list(path, account, as_json=arguments.json)
        case "forget":
            _forget(path, account.key, None if arguments.all else arguments.unique_ids)
        case "repair":
            with account_failures():
                _repair(path, account)
        case _:
            _compact(path, account.key)
    return 0


def _list(path: Path, account: Account, *, as_json: bool) -> None:
    try:
        history = History(read_journal(path, account.key))
    except FileNotFoundError:
        raise _no_journal(path) from None
    except OSError as error:
        raise Failure(cannot("read the journal", path, error)) from error
    for line in json_lines(history) if as_json else table(history, account.name):
        print(line)


def _forget(path: Path, account: str, unique_ids: Collection[str] | None) -> None:
    with _journal(path, account) as journal:
        history = History(journal.read())
        chosen = _chosen(history, unique_ids)
        now = time.time()
        journal.append([Event(entry.identity, MessageState.FORGOTTEN, now) for entry in chosen])
    print(f"{counted(len(chosen), 'message')} forgotten; the next fetch fetches what of this is still on the server")


def _chosen(history: History, unique_ids: Collection[str] | None) -> list[Entry]:
    """Return what is to be forgotten: all messages with these unique ids; None: all that may still be on the server.

    Raises:
        Failure: a unique id is not in the journal.
    """
    if unique_ids is None:
        return [entry for entry in history if entry.was_listed and entry.state is not MessageState.FORGOTTEN]
    wanted = set(unique_ids)
    known = {str(entry.identity.unique_id) for entry in history}
    for unique_id in unique_ids:
        if unique_id not in known:
            raise Failure(
                f"the journal has no message of the unique id {visible(unique_id)}{_nearest(unique_id, known)}; "
                "nothing was forgotten"
            )
    return [
        entry for entry in history if entry.identity.unique_id in wanted and entry.state is not MessageState.FORGOTTEN
    ]


def _nearest(unique_id: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - it is seldom needed

    nearest = get_close_matches(unique_id, known, n=1)
    return f"; the nearest is {visible(nearest[0])}" if nearest else ""


def _repair(path: Path, account: Account) -> None:
    secrets = SecretSource(account, warn)
    with ExitStack() as stack:
        try:
            destination = open_destination(account, stack)
        except OSError as error:
            raise Failure(cannot("look for messages in", path.parent, error)) from error
        if not destination.recalls:
            raise Failure(f"{destination.name} cannot tell which messages it has been given", USAGE)
        journal = stack.enter_context(_journal(path, account.key, create=True))
        history = History(journal.read())
        try:
            client = stack.enter_context(open_session(account, secrets))
            listing, _ = client.perform(list_maildrop(client.session))
            client.quit()
        except Pop3Error as error:
            raise Failure(explain_failure(account, error)) from error
        identities = [row.identity for row in listing.rows if row.identity is not None]
        found = destination.recall([mark_of(account.key, each) for each in identities])
        events = repaired(history, account.key, identities, found, time.time())
        journal.append(events)
        history = History(journal.read())
    unknown = sum((entry := history.get(each)) is None or entry.stored is None for each in identities)
    print(
        f"{counted(len(events), 'message')} recorded as stored; "
        f"{unknown:,} of {counted(len(identities), 'message')} on the server are not here"
    )


def _compact(path: Path, account: str) -> None:
    with _journal(path, account) as journal:
        lines = journal.compact(time.time())
    print(f"{counted(lines, 'line')} removed from {visible(str(path))}")


@contextmanager
def _journal(path: Path, account: str, *, create: bool = False) -> Generator[FileJournal]:
    """Open a journal, and report what goes wrong with it.

    Raises:
        Failure: another fetch is running, there is no journal, or it cannot be read or changed.
    """
    if not create and not path.exists():
        raise _no_journal(path)
    try:
        with FileJournal(path, account) as journal:
            yield journal
    except JournalInUse as error:
        raise Failure(str(error), LATER) from error
    except OSError as error:
        raise Failure(cannot("use the journal", path, error)) from error


def _no_journal(path: Path) -> Failure:
    return Failure(f"there is no journal {path}: nothing was fetched into this folder, or --journal FILE must name it")
