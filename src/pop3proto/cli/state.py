"""`pop3proto state`: look at what is recorded of the messages of an account, and change it."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.text import counted, visible
from pop3proto.fetching.account import Account
from pop3proto.fetching.events import Event, State
from pop3proto.fetching.failures import USAGE, Failure, cannot
from pop3proto.fetching.file_journal import JOURNAL_NAME, FileJournal, JournalInUse, read_journal
from pop3proto.fetching.history import History
from pop3proto.fetching.repair import find_marks, identities_of, repaired

from .access import Access
from .connecting import add_ca_file_argument, add_secret_arguments, context_of, credentials_of, seconds_argument
from .paths import path_argument
from .quirks import add_quirks_argument
from .state_output import json_lines, table

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence
    from pathlib import Path

    from pop3proto.fetching.history import Entry

__all__ = ["DESCRIPTION", "Parser", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Look at what a fetch has recorded of the messages of an account, and change it. The records are in a journal: a "
    "file in the folder that mail is fetched into."
)

_ACTIONS: Final = ("list", "forget", "repair", "compact")
_IN_USE: Final = 75
"""The exit status while a fetch is running: try again later."""


class Parser(ArgumentParser):
    """Tells the destination, the action and its unique ids apart, wherever options stand."""

    @override
    def parse_args(  # type: ignore[override]  # it is overloaded there
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        arguments = self.parse_intermixed_args(args, Namespace() if namespace is None else namespace)
        words: list[str] = arguments.words
        if words[0] not in _ACTIONS:
            try:
                arguments.destination = path_argument(words.pop(0))
            except ArgumentTypeError as error:
                self.error(str(error))
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
    parser.usage = "%(prog)s [-h] [OPTION ...] ACCOUNT [DESTINATION] {list,forget,repair,compact} [UNIQUE-ID ...]"
    parser.set_defaults(destination=None)
    parser.add_argument("account", metavar="ACCOUNT", help="the account: a URL as that of fetch")
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[DESTINATION] ACTION",
        help="DESTINATION: the folder that mail is fetched into; it has the journal, unless --journal names it. "
        "ACTION: list: show what is recorded of each message. "
        "forget UNIQUE-ID ...: let the next fetch fetch these messages again. "
        "repair: ask the server for its unique ids, and record again which of these messages are in the Maildir; the "
        "other options are for this. "
        "compact: write the journal anew, without what is not needed any more; a fetch does that by itself",
    )
    parser.add_argument("--journal", type=path_argument, metavar="FILE", help="the file of the journal")
    parser.add_argument("--all", action="store_true", help="forget all messages that were on the server")
    parser.add_argument("--json", action="store_true", help="list: one JSON object for each message")
    add_secret_arguments(parser)
    add_ca_file_argument(parser)
    parser.add_argument(
        "--allow-cleartext", action="store_true", help="with pop://, continue without TLS if the server has no STLS"
    )
    parser.add_argument(
        "--timeout",
        type=seconds_argument,
        default=60.0,
        metavar="SECONDS",
        help="give up when the server sends nothing for this long (default: %(default)g)",
    )
    add_quirks_argument(parser, "the server")


def run(arguments: Namespace) -> int:
    """Run the command."""
    path, account = find_journal(arguments)
    match arguments.action:
        case "list":
            _list(path, account, as_json=arguments.json)
        case "forget":
            _forget(path, account, None if arguments.all else arguments.unique_ids)
        case "repair":
            _repair(path, account, arguments)
        case _:
            _compact(path, account)
    return 0


def find_journal(arguments: Namespace) -> tuple[Path, str]:
    """Return the path of the journal, and what it calls the account.

    Raises:
        Failure: the arguments do not tell.
    """
    account = Account.of_url(arguments.account).key
    destination: Path | None = arguments.destination
    if arguments.journal is not None:
        return arguments.journal, account
    if destination is None:
        raise Failure("name the folder that mail is fetched into, or the journal by --journal FILE", USAGE)
    if not destination.is_dir():
        raise Failure(f"{destination} is not a folder: name the journal by --journal FILE")
    return destination / JOURNAL_NAME, account


def _list(path: Path, account: str, *, as_json: bool) -> None:
    try:
        history = History(read_journal(path, account))
    except FileNotFoundError:
        raise _no_journal(path) from None
    except OSError as error:
        raise Failure(cannot("read the journal", path, error)) from error
    for line in json_lines(history) if as_json else table(history, account):
        print(line)


def _forget(path: Path, account: str, unique_ids: Collection[str] | None) -> None:
    with _journal(path, account) as journal:
        history = History(journal.read())
        chosen = _chosen(history, unique_ids)
        now = time.time()
        journal.append([Event(entry.identity, State.FORGOTTEN, now) for entry in chosen])
    print(f"{counted(len(chosen), 'message')} forgotten; the next fetch fetches what of this is still on the server")


def _chosen(history: History, unique_ids: Collection[str] | None) -> list[Entry]:
    """Return what is to be forgotten: all messages with these unique ids; None: all that may still be on the server.

    Raises:
        Failure: a unique id is not in the journal.
    """
    if unique_ids is None:
        return [entry for entry in history if entry.was_listed and entry.state is not State.FORGOTTEN]
    wanted = set(unique_ids)
    known = {str(entry.identity.unique_id) for entry in history}
    for unique_id in unique_ids:
        if unique_id not in known:
            raise Failure(
                f"the journal has no message of the unique id {visible(unique_id)}{_nearest(unique_id, known)}; "
                "nothing was forgotten"
            )
    return [entry for entry in history if entry.identity.unique_id in wanted and entry.state is not State.FORGOTTEN]


def _nearest(unique_id: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - it is seldom needed

    nearest = get_close_matches(unique_id, known, n=1)
    return f"; the nearest is {visible(nearest[0])}" if nearest else ""


def _repair(path: Path, account: str, arguments: Namespace) -> None:
    maildir: Path | None = arguments.destination
    if maildir is None:
        raise Failure("repair needs the Maildir that mail is fetched into", USAGE)
    url = Account.of_url(arguments.account)
    access = Access(
        account=url,
        context=context_of(arguments.ca_file),
        credentials=credentials_of(url, arguments),
        allow_cleartext=arguments.allow_cleartext,
        timeout=arguments.timeout,
        quirks=arguments.quirks,
        password_encoding=arguments.password_encoding,
    )
    try:
        found = find_marks(maildir)
    except OSError as error:
        raise Failure(cannot("look for messages in", maildir, error)) from error
    with _journal(path, account, create=True) as journal:
        history = History(journal.read())
        with access.session() as client:
            identities = identities_of(client.uidl())
            client.quit()
        events = repaired(history, account, identities, found, time.time())
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
        raise Failure(str(error), _IN_USE) from error
    except OSError as error:
        raise Failure(cannot("use the journal", path, error)) from error


def _no_journal(path: Path) -> Failure:
    return Failure(f"there is no journal {path}: nothing was fetched into this folder, or --journal FILE must name it")
