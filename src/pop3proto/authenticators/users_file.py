"""A file of users: scrypt hashes and SCRAM keys, no passwords."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
from typing_extensions import override

from pop3proto._io.files import open_regular, rewrite
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.authenticator import PasswordVerifier, ScramKeySource
from pop3proto.sasl.scram.keys import ScramKeys

from .scrypt import COST, ScryptHash
from .user_table import ALGORITHMS, ITERATIONS, SALT_OCTETS, MalformedUsers, UserRecord, UserTable, prepare_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["MalformedUsers", "UsersFile", "remove_user", "set_password", "users"]

T = TypeVar("T")

_log: Final = logging.getLogger("pop3proto")

_AT_ONCE: Final = 8
"""Hashes that are computed at the same time: each takes 16 MiB or more, and nobody needs a password to ask for one."""


class UsersFile(PasswordVerifier, ScramKeySource):
    """The users of a file; what changes in it counts from the next login on.

    Somebody unknown costs what most users cost, and gets what most users get: a hash that takes as long, SCRAM keys
    with as many iterations. So it should be the same for all, as it is if `pop3proto passwd` made them all.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        MalformedUsers: it is none of users.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # of the snapshot; hashes are computed without it
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._snapshot = _Snapshot.read(path)

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        now = self._now()
        record = now.table.records.get(user)
        try:
            with self._turns:
                return (now.decoy if record is None else record.scrypt).matches(password)
        except (ValueError, MemoryError) as error:
            raise _unavailable(error) from error

    @property
    @override
    def scram_algorithms(self) -> Collection[str]:
        """Those for which all users had keys when the file was read last; it is not read for this."""
        return self._snapshot.scram_algorithms

    @override
    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        now = self._now()
        iterations, salt_octets = now.looks(algorithm)
        # Made in any case, so that a user takes no less time than somebody unknown.
        decoy = ScramKeys.decoy(algorithm, user, now.table.decoy_secret, iterations=iterations, salt_octets=salt_octets)
        record = now.table.records.get(user)
        return decoy if record is None else record.scram_keys.get(algorithm, decoy)

    def _now(self) -> _Snapshot:
        try:
            with self._lock:
                if not self._snapshot.is_of(self._path.stat()):
                    self._snapshot = _Snapshot.read(self._path)
                return self._snapshot
        except (OSError, MalformedUsers) as error:
            raise _unavailable(error) from error


def set_password(path: Path, user: str, password: str) -> bool:
    """Let a user log in with a password, and no longer with another. It takes some tenths of a second.

    The file is replaced as a whole, and created if there is none: then only its owner may read it.

    Returns:
        Whether the user is new.

    Raises:
        MechanismError: the name or the password cannot be prepared (RFC 4013), or nothing is left of the password.
        LocalProtocolError: nobody could log in with this name.
        MalformedUsers: the file is none of users; nothing has changed.
        OSError: the file cannot be read or replaced.
        ValueError: OpenSSL will not compute the hash.
        MemoryError: there is not enough memory.
    """
    record = UserRecord.of(user, password)
    new = False

    def change(octets: bytes) -> bytes:
        nonlocal new
        table = UserTable.parse(octets, str(path)) if octets else UserTable.new()
        new = record.name not in table.records
        return table.with_record(record).encode()

    rewrite(path, change, create=True)
    return new


def remove_user(path: Path, user: str) -> bool:
    """Let a user no longer log in.

    Returns:
        Whether there was such a user; if not, nothing has changed.

    Raises:
        MechanismError: the name cannot be prepared (RFC 4013).
        LocalProtocolError: nobody could log in with this name.
        MalformedUsers: the file is none of users.
        OSError: the file cannot be read or replaced.
    """
    name = prepare_name(user)
    was_there = False

    def change(octets: bytes) -> bytes:
        nonlocal was_there
        table = UserTable.parse(octets, str(path))
        was_there = name in table.records
        return table.without(name).encode() if was_there else octets

    rewrite(path, change)
    return was_there


def users(path: Path) -> tuple[str, ...]:
    """Return the names of the users of a file, in its order.

    Raises:
        OSError: it cannot be read.
        MalformedUsers: it is none of users.
    """
    return tuple(_Snapshot.read(path).table.records)


@attrs.frozen
class _Snapshot:
    """A file, as it was when it was read.

    Args:
        stamp: tells it from what it becomes.
        table: what is in it.
        decoy: what stands for the hash of somebody unknown.
        scram_algorithms: for which all users have keys.
    """

    stamp: tuple[int, ...]
    table: UserTable = attrs.field(repr=False)
    decoy: ScryptHash = attrs.field(repr=False)
    scram_algorithms: tuple[str, ...]
    _looks: Mapping[str, tuple[int, int]]

    @classmethod
    def read(cls, path: Path) -> _Snapshot:
        with open_regular(path, follow_links=True) as file:
            status = os.fstat(file.fileno())
            table = UserTable.parse(file.readall(), str(path))
        records = table.records.values()
        cost = _most_common((record.scrypt.cost for record in records), COST)
        common = tuple(each for each in ALGORITHMS if all(each in record.scram_keys for record in records))
        looks = {each: _looks_of(each, records) for each in ALGORITHMS}
        return cls(_stamp(status), table, ScryptHash.decoy(cost), common, looks)

    def is_of(self, status: os.stat_result) -> bool:
        return self.stamp == _stamp(status)

    def looks(self, algorithm: str) -> tuple[int, int]:
        """Return the iterations and the octets of salt that most users' keys have."""
        return self._looks[algorithm]


def _looks_of(algorithm: str, records: Iterable[UserRecord]) -> tuple[int, int]:
    keys = (record.scram_keys[algorithm] for record in records if algorithm in record.scram_keys)
    return _most_common(((each.iterations, len(each.salt)) for each in keys), (ITERATIONS, SALT_OCTETS))


def _most_common(values: Iterable[T], default: T) -> T:
    """Return what is there most often; the default if there is nothing."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else default


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    # The time of change too: a copy that keeps times may have the size and the time of modification of what was there.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unavailable(error: Exception) -> Unavailable:
    _log.error("logins cannot be checked: %s", error)
    return Unavailable("logins cannot be checked now")
