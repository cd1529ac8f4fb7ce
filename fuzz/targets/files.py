"""Files that others may have written: users, journal of a fetch, cache of sizes, record of unique ids."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Final

import attrs

from fuzz.target import Choices, Target, Violation, check, patched, seed
from pop3proto import UniqueId, check_unique_id
from pop3proto.authenticators import UsersFile
from pop3proto.authenticators.scrypt import ScryptCost, ScryptHash
from pop3proto.authenticators.user_table import MalformedUsers, UserRecord, UserTable
from pop3proto.fetching import file_journal
from pop3proto.fetching.accounts.targets import JOURNAL_NAME
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.file_journal import FileJournal
from pop3proto.fetching.history import History
from pop3proto.fetching.journal_lines import format_line
from pop3proto.maildrops.ids import IDS_NAME, IdRecord, retire
from pop3proto.maildrops.listing import MessageFile
from pop3proto.maildrops.sizes import CACHE_NAME, SizeCache
from pop3proto.sasl import ScramKeys, SessionInfo

_ACCOUNT: Final = "ann@pop.example.org:995"
_OTHER: Final = "bob@pop.example.org:995"
_IDS: Final = tuple(map(UniqueId, ("QhdPYR:00WBw1Ph7x7", "a", "!", "x" * 70, "2", "octets")))
_IDENTITIES: Final = tuple(MessageIdentity(unique_id, copy) for unique_id in _IDS for copy in (0, 1, 2))

logging.getLogger("pop3proto").addHandler(logging.NullHandler())


@cache
def _record(name: str) -> UserRecord:
    keys = ScramKeys.derive("SHA-256", "tanstaaf", bytes(16), 4_096)
    return UserRecord(name, ScryptHash(ScryptCost(10, 8, 1), bytes(16), bytes(32)), {"SHA-256": keys})


def _users(octets: bytes, folder: Path) -> object:
    path = folder / "users"
    path.write_bytes(octets)
    try:
        table = UserTable.parse(octets, "users")
    except MalformedUsers as error:
        try:
            UsersFile(path)
        except MalformedUsers:
            return str(error)[-40:]
        raise Violation("a users file is not valid, and is taken") from error
    check(UserTable.parse(table.encode(), "users").records == table.records, "the users do not survive")
    for record in table.records.values():
        check(UserRecord.parse(record.encode()) == record, f"a record does not survive: {record.name!r}")
    more = UserTable.parse(table.with_record(_record("j\u00f8rg")).encode(), "users")
    check(dict(more.records) == {**table.records, "j\u00f8rg": _record("j\u00f8rg")}, "a user was not added")
    for name in table.records:
        fewer = UserTable.parse(table.without(name).encode(), "users")
        check(dict(fewer.records) == {key: each for key, each in table.records.items() if key != name}, "not removed")
    users = UsersFile(path)
    for algorithm in ("SHA-1", "SHA-256", "SHA-512"):
        for name in (*table.records, "nobody"):
            keys = users.scram_keys(name, algorithm, SessionInfo())
            check(keys == users.scram_keys(name, algorithm, SessionInfo()), "keys differ from login to login")
    return len(table.records), tuple(users.scram_algorithms)


def _read(path: Path, account: str) -> list[Event]:
    with FileJournal(path, account) as journal:
        return journal.read()


def _journal(octets: bytes, folder: Path) -> object:
    path = folder / JOURNAL_NAME
    path.write_bytes(octets)
    before = _read(path, _ACCOUNT)
    check(path.read_bytes() == octets[: octets.rfind(b"\n") + 1], "reading changes the journal")
    more = [
        Event(_IDENTITIES[0], MessageState.STORED, 1_800_000_000, 7, 7, "h"),
        Event(_IDENTITIES[1], MessageState.SUSPECT, 1_800_000_000, why="50 % of it\n"),
        Event(_IDENTITIES[4], MessageState.SEEN),
        Event(_IDENTITIES[5], MessageState.STORED, octets=10**17),
    ]
    for account in (_OTHER, _ACCOUNT):
        with FileJournal(path, account) as journal:
            journal.append(more)
        expected = [*before, *more] if account == _ACCOUNT else before
        check(_read(path, _ACCOUNT) == expected, "the journal does not survive")
    known = [entry for entry in History([*before, *more]) if entry.was_listed or entry.last.when is not None]
    with FileJournal(path, _ACCOUNT) as journal:
        journal.compact(0)
        check(list(History(journal.read())) == known, "compaction has changed what is known")
    return tuple(map(str, before))


def _sizes(octets: bytes, folder: Path) -> object:
    (folder / CACHE_NAME).write_bytes(octets)
    cache_file = SizeCache(folder)
    files = [MessageFile(0, name, 1, 120, 1_700_000_000_000_000_000, name) for name in _IDS]
    known = [cache_file.get(file) for file in files]
    for size in known:
        check(size is None or 0 <= size < 10**19, f"no message has {size} octets")
    cache_file.put(files[0], 123)
    cache_file.save()
    again = SizeCache(folder)
    check([again.get(file) for file in files] == [123, *known[1:]], "the sizes do not survive")
    return tuple(known)


def _assigned(folder: Path, moment: int) -> list[UniqueId]:
    """Open the record of a Maildir, as a session does, and assign ids to its files."""
    record = IdRecord(folder)
    files = [(name, inode) for name in ("QhdPYR", "a", "2") for inode in (1, 2, 3)]
    ids = [record.assign(name, inode, moment + inode, shared=True) for name, inode in files]
    ids += [record.assign(name, 9, 5, shared=False) for name in ("!", "octets", "x" * 80, "0" * 64)]
    record.save(session=True)
    return ids


def _unique_ids(octets: bytes, folder: Path) -> object:
    (folder / IDS_NAME).write_bytes(octets)
    moment = 1_700_000_000_000_000_000
    first = _assigned(folder, moment)
    check(len(set(first)) == len(first), "two messages have one unique id")
    check([check_unique_id(each) for each in first] == first, "a unique id is none")
    check(_assigned(folder, moment + 60) == first, "unique ids change when files are touched")
    retire(folder, first[:1])
    later = _assigned(folder, moment + 120)  # its inode is that of another file now
    check(first[0] not in later, "the id of a removed message is given to another")
    check(later[1:] == first[1:], "the removal of a message changes the ids of others")
    return tuple(each in {"!", "octets", "QhdPYR", "a", "2"} for each in first)


_PARSERS: Final[tuple[Callable[[bytes, Path], object], ...]] = (_users, _journal, _sizes, _unique_ids)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    in_memory = Path("/dev/shm")  # where there is one, nothing waits for a disk
    return tempfile.TemporaryDirectory(prefix="fuzz-", dir=in_memory if in_memory.is_dir() else None)


def _run(octets: bytes) -> Hashable:
    choices = Choices(octets)
    number = choices.number(len(_PARSERS))
    return number, _PARSERS[number](choices.rest(), Path(_folder().name))


def _seeds() -> Iterator[bytes]:
    table = UserTable(b"s" * 32, {}, (b"# about", b"pop3proto-users 1 " + b"c" * 43 + b"="), {})
    users = table.with_record(_record("ann")).with_record(_record("j\u00f8rg b")).encode()
    for octets in (
        users,
        table.encode(),
        b"",
        b"\n",
        users.replace(b"\n", b"\r\n"),
        users.replace(b"SHA-256", b"SHA-1"),
    ):
        yield seed(octets, 0)
    lines = (
        f"{_ACCOUNT} {_IDS[0]} 1234 octets\n{_ACCOUNT} {_IDS[0]} 2 1234 octets\n{_ACCOUNT} {_IDS[1]} ended early\n",
        f"{_ACCOUNT} {_IDS[0]} 2 copies\n{_ACCOUNT} 12 messages left\n{_ACCOUNT} {_IDS[1]}\n{_OTHER} {_IDS[1]}\n",
        f"{_ACCOUNT} a 2 copies\n{_ACCOUNT} a 1\n{_ACCOUNT} a 2 7 octets\n{_ACCOUNT} octets 3",
    )
    dated = (
        f"{_ACCOUNT} {_IDS[0]} stored 2026-11-28T20:49:56Z copy=2 listed=1234 octets=1236 header=Zk3\n"
        f"{_ACCOUNT} {_IDS[1]} suspect - why=lost%20it\n{_ACCOUNT} a%20b seen - escaped=id\n"
    )
    for text in (*lines, "".join(lines), dated, ""):
        yield seed(text.encode(), 1)
    rows = "".join(f"{name} 1700000000000000000 120 {123 + number}\n" for number, name in enumerate(_IDS))
    for text in (rows, rows[:-1], f"{rows}\n", "a -1 0 0\n", ""):
        yield seed(text.encode(), 2)
    ids = "a 1 1700000000000000001\na 2 5\nQhdPYR\n! 9 5\noctets\n2 3 -1\n"
    for text in (ids, ids[:-1], "a\na 1 2\na 1 3\n", ""):
        yield seed(text.encode(), 3)


def _plant() -> AbstractContextManager[None]:
    """A journal that does not tell the copies of a message apart."""

    def line(account: str, event: Event) -> str:
        identity = MessageIdentity(event.identity.unique_id)
        return format_line(account, attrs.evolve(event, identity=identity))

    return patched(file_journal, "format_line", line)


TARGET: Final = Target(
    "files",
    "users file, journal of a fetch, cache of sizes, record of unique ids",
    _run,
    _seeds,
    _plant,
    seed(b"", 1),
)
