"""An authenticator over a database of SQLite: one query for each login."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter, deque
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.authenticator import PasswordVerifier
from pop3proto.sasl.mechanism import MechanismError

from .directory import UserDirectory, UserEntry
from .schemes import PasswordHash, UnusableHash, is_locked, parse_hash
from .user_table import prepare_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["SqliteUsers"]

_log: Final = logging.getLogger("pop3proto")

_MAX_CONCURRENT: Final = 8  # as in hash_file.py
_DIGITS: Final = 18  # more make a limit that nothing reaches
_SEEN: Final = 1_000  # hashes of the last logins, of which the decoy is one
_STEPS: Final = 1_000  # of SQLite's machine, between two looks at the clock

# For an unknown user of a database from which no user has been read yet.
_SAMPLE: Final = "{SHA512-CRYPT}$6$rounds=5000$pop3protodecoy$" + "." * 86


class SqliteUsers(PasswordVerifier, UserDirectory):
    """An authenticator over a database of SQLite.

        authenticator = SqliteUsers(Path("mail.db"), "SELECT password, home FROM users WHERE name = :user")

    The query returns one row for a user, and none for a user that does not exist. The column `password` holds a hash
    with its scheme (`{SSHA256}...`, `$6$...`). If there are columns `home`, `quota_octets` and `quota_messages`, they
    hold the home folder and two whole numbers, of which 0 is no limit. Parameters are `:user`, and its two parts
    `:local` and `:domain`; without an "@" the domain is empty. The query must have `:user` or `:local`. The database is
    opened for each login, and for reading only.

    If the database cannot be asked, the reason is logged to "pop3proto", and the login is refused with `Unavailable`
    (SYS/TEMP). A user whose hash cannot be used cannot log in, and the log says why. For unknown users a hash of the
    kind is computed that most of those have that were read last.

    Args:
        path: the database.
        query: as above.
        listing: a query for the names of all users, in its first column; None: they cannot be listed.
        timeout: seconds that a query has.

    Raises:
        ValueError: a query is not valid, or the first has no column `password`, or asks for no user.
        OSError: there is no database.
    """

    def __init__(self, path: Path, query: str, *, listing: str | None = None, timeout: float = 5) -> None:
        self._path: Final = path
        self._query: Final = query
        self._listing: Final = listing
        self._timeout: Final = timeout
        self._hash_slots: Final = threading.BoundedSemaphore(_MAX_CONCURRENT)
        self._lock: Final = threading.Lock()
        self._sample: Final = parse_hash(_SAMPLE)
        self._seen: Final = deque[PasswordHash](maxlen=_SEEN)
        path.open("rb").close()  # its errors say more than those of SQLite
        asked = _Asked(_parameters(""))
        try:
            columns, _ = self._ask(query, asked)
            if listing is not None:
                self._ask(listing, {}, most=1)
        except sqlite3.Error as error:
            raise ValueError(f"{path}: {error}") from error
        if "password" not in columns:
            raise ValueError(f"{path}: the query has no column password; it has {', '.join(columns)}")
        if asked.names.isdisjoint({"user", "local"}):  # any name would be right
            raise ValueError(f"{path}: the query does not ask for a user: it has neither :user nor :local")

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        """Return whether this is the user's password."""
        row = self._row(user)
        stored = None if row is None else row["password"]
        usable = self._usable(stored)
        hashed = self._most_common() if usable is None else usable
        try:
            with self._hash_slots:
                matches = hashed.matches(password)
        except (ValueError, MemoryError) as error:
            raise self._unavailable(f"the password of a user: {error}") from error
        return matches and usable is not None

    def _usable(self, stored: object) -> PasswordHash | None:
        """Return the hash of a row; None if there is none, or it cannot be used, which looks like a wrong password."""
        if stored is None:
            return None
        try:
            hashed = parse_hash(str(stored))
        except UnusableHash as error:
            _log.error("%s: a user cannot log in: %s", self._path, error)
            return None
        with self._lock:
            self._seen.append(hashed)
        return hashed

    def _most_common(self) -> PasswordHash:
        """Return a hash of the scheme and the cost that most of those have that were read last."""
        with self._lock:
            seen = tuple(self._seen) or (self._sample,)
        [(kind, _)] = Counter((each.scheme, each.cost) for each in seen).most_common(1)
        return next(each for each in reversed(seen) if (each.scheme, each.cost) == kind)

    def lets_in(self, user: str, _: SessionInfo) -> bool:
        """Return whether there is a user, whose password is not locked: who may log in by a token, for example."""
        if (row := self._row(user)) is None:
            return False
        stored: object = row["password"]
        return not is_locked(stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored or ""))

    @override
    def find(self, user: str, /) -> UserEntry | None:
        """Return a user of the database; None if the query has no row for it."""
        if (row := self._row(user)) is None:
            return None
        home = row.get("home")
        try:
            return UserEntry(
                user,
                home=Path(str(home)) if home else None,
                quota_octets=_number(row, "quota_octets"),
                quota_messages=_number(row, "quota_messages"),
            )
        except ValueError as error:
            raise self._unavailable(f"the row of a user: {error}") from error

    @override
    def names(self) -> Sequence[str]:
        """Return the names that the second query lists."""
        if self._listing is None:
            raise Unavailable("the users of a database can be listed only by a query of their own")
        try:
            _, rows = self._ask(self._listing, {})
        except sqlite3.Error as error:
            raise self._unavailable(str(error)) from error
        found: dict[str, None] = {}
        for row in rows:
            try:
                found[prepare_name(str(row[0]))] = None
            except (MechanismError, LocalProtocolError):
                _log.error("%s: a user has a name that cannot be used to log in", self._path)
        return tuple(found)

    def _row(self, user: str) -> Mapping[str, Any] | None:
        try:
            columns, rows = self._ask(self._query, _parameters(user), most=2)
        except (sqlite3.Error, OSError, UnicodeEncodeError) as error:
            raise self._unavailable(str(error)) from error
        if len(rows) > 1:
            raise self._unavailable("the query returns several rows for one user")
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    def _ask(
        self, query: str, parameters: Mapping[str, str], most: int | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the columns and the rows that a query has.

        Raises:
            sqlite3.Error: it cannot be asked, or takes too long.
        """
        until = time.monotonic() + self._timeout
        uri = f"file:{quote(str(self._path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=self._timeout, isolation_level=None)) as database:
            database.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            cursor = database.execute(query, parameters)
            if cursor.description is None:
                raise sqlite3.ProgrammingError("the query returns no rows: a SELECT is expected")
            rows = cursor.fetchall() if most is None else cursor.fetchmany(most)
            return [str(column[0]) for column in cursor.description], cast("list[tuple[Any, ...]]", rows)

    def _unavailable(self, why: str) -> Unavailable:
        _log.error("logins cannot be checked: %s: %s", self._path, why)
        return Unavailable("logins cannot be checked now; try again later")


class _Asked(dict[str, str]):
    """Parameters that know which of them a query has."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        super().__init__(parameters)
        self.names: Final[set[str]] = set()

    @override
    def __getitem__(self, name: str, /) -> str:
        self.names.add(name)
        return super().__getitem__(name)


def _parameters(user: str) -> Mapping[str, str]:
    local, at, domain = user.rpartition("@")
    return {"user": user, "local": local if at else user, "domain": domain if at else ""}


def _number(row: Mapping[str, Any], column: str) -> int | None:
    """Return a limit, of which 0 is none; None: the row says nothing of it.

    Raises:
        ValueError: it is not a number of octets or messages.
    """
    value = row.get(column)
    if value is None:
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{column} is not a whole number of 0 or more")
    return int(text[:_DIGITS])
