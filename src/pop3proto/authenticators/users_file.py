"""An authenticator over a users file, which holds scrypt hashes and SCRAM keys but no passwords."""

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

from .directory import UserDirectory, UserEntry
from .scrypt import COST, ScryptHash
from .user_table import ALGORITHMS, ITERATIONS, SALT_OCTETS, MalformedUsers, UserRecord, UserTable, prepare_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["MalformedUsers", "UsersFile", "remove_user", "set_password", "users"]

T = TypeVar("T")

_log: Final = logging.getLogger("pop3proto")

_MAX_CONCURRENT: Final = 8
"""Hashes computed at the same time. Each takes 16 MiB or more, and a client needs no valid password to cause one."""


class UsersFile(PasswordVerifier, ScramKeySource, UserDirectory):
    """An authenticator over a users file, as written by `pop3proto passwd` or `set_password`.

        set_password(Path("users"), "ann", "tanstaaf")
        authenticator = UsersFile(Path("users"))

    A change of the file takes effect at the next login. If the file cannot be read at a login, the reason is logged to
    "pop3proto", and the login is refused with `Unavailable` (SYS/TEMP).

    For an unknown user, the scrypt cost and the SCRAM iterations that most users have are used, so that a client
    cannot tell whether a user exists. That works if all users have the same cost and iterations, as they have if
    `pop3proto passwd` has written all of them.

    Args:
        path: the users file.

    Raises:
        OSError: the file cannot be read.
        MalformedUsers: the file is not a valid users file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # guards the snapshot; not held while a hash is computed
        self._hash_slots = threading.BoundedSemaphore(_MAX_CONCURRENT)
        self._snapshot = _Snapshot.read(path)

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        """Return whether this is the user's password, by its scrypt hash in the file."""
        current = self._current()
        record = current.table.records.get(user)
        try:
            with self._hash_slots:
                return (current.decoy if record is None else record.scrypt).matches(password)
        except (ValueError, MemoryError) as error:
            raise _unavailable(error) from error

    @property
    @override
    def scram_algorithms(self) -> Collection[str]:
        """The algorithms for which every user had SCRAM keys when the file was last read; this does not read it."""
        return self._snapshot.scram_algorithms

    @override
    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        """Return the user's keys from the file; if it has none, keys that no password matches."""
        current = self._current()
        iterations, salt_octets = current.scram_parameters(algorithm)
        # Always derived, so that known and unknown users take the same time.
        decoy = ScramKeys.decoy(
            algorithm, user, current.table.decoy_secret, iterations=iterations, salt_octets=salt_octets
        )
        record = current.table.records.get(user)
        return decoy if record is None else record.scram_keys.get(algorithm, decoy)

    @override
    def find(self, user: str, /) -> UserEntry | None:
        """Return a user of the file; None if it is not there."""
        return UserEntry(user) if user in self._current().table.records else None

    @override
    def names(self) -> Sequence[str]:
        """Return the names of all users, in the order of the file."""
        return tuple(self._current().table.records)

    def _current(self) -> _Snapshot:
        try:
            with self._lock:
                if not self._snapshot.is_of(self._path.stat()):
                    self._snapshot = _Snapshot.read(self._path)
                return self._snapshot
        except (OSError, MalformedUsers) as error:
            raise _unavailable(error) from error


def set_password(path: Path, user: str, password: str) -> bool:
    """Add a user to a users file, or change the user's password. Takes a few tenths of a second.

    The file is replaced atomically. If it does not exist, it is created, readable only by its owner.

    Args:
        path: the users file.
        user: the user name.
        password: the new password.

    Returns:
        Whether the user is new.

    Raises:
        MechanismError: the name or the password cannot be prepared (RFC 4013), or the prepared password is empty.
        LocalProtocolError: the name cannot be used to log in.
        MalformedUsers: the file is not a valid users file; nothing has changed.
        OSError: the file cannot be read or replaced.
        ValueError: OpenSSL refuses to compute the hash; nothing has changed.
        MemoryError: there is not enough memory; nothing has changed.
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
    """Remove a user from a users file.

    Args:
        path: the users file.
        user: the user name.

    Returns:
        Whether the user was in the file; if not, nothing has changed.

    Raises:
        MechanismError: the name cannot be prepared (RFC 4013).
        LocalProtocolError: the name cannot be used to log in.
        MalformedUsers: the file is not a valid users file; nothing has changed.
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
    """Return the user names in a users file, in the order of the file.

    Raises:
        OSError: the file cannot be read.
        MalformedUsers: the file is not a valid users file.
    """
    return tuple(_Snapshot.read(path).table.records)


@attrs.frozen
class _Snapshot:
    """The content of a users file at the time it was read.

    Args:
        stamp: identifies this state of the file; a changed file has another stamp.
        table: the content.
        decoy: hash to check the passwords of unknown users against.
        scram_algorithms: algorithms for which every user has SCRAM keys.
        scram_parameters: most common iteration count and salt length of the SCRAM keys, by algorithm.
    """

    stamp: tuple[int, ...]
    table: UserTable = attrs.field(repr=False)
    decoy: ScryptHash = attrs.field(repr=False)
    scram_algorithms: tuple[str, ...]
    _scram_parameters: Mapping[str, tuple[int, int]]

    @classmethod
    def read(cls, path: Path) -> _Snapshot:
        with open_regular(path, follow_links=True) as file:
            status = os.fstat(file.fileno())
            table = UserTable.parse(file.readall(), str(path))
        records = table.records.values()
        cost = _most_common((record.scrypt.cost for record in records), COST)
        common = tuple(each for each in ALGORITHMS if all(each in record.scram_keys for record in records))
        scram_parameters = {each: _scram_parameters_of(each, records) for each in ALGORITHMS}
        return cls(_stamp(status), table, ScryptHash.decoy(cost), common, scram_parameters)

    def is_of(self, status: os.stat_result) -> bool:
        return self.stamp == _stamp(status)

    def scram_parameters(self, algorithm: str) -> tuple[int, int]:
        """Return the most common iteration count, and salt length in octets, of the users' SCRAM keys."""
        return self._scram_parameters[algorithm]


def _scram_parameters_of(algorithm: str, records: Iterable[UserRecord]) -> tuple[int, int]:
    keys = (record.scram_keys[algorithm] for record in records if algorithm in record.scram_keys)
    return _most_common(((each.iterations, len(each.salt)) for each in keys), (ITERATIONS, SALT_OCTETS))


def _most_common(values: Iterable[T], default: T) -> T:
    """Return the most common value, or the default if there are no values."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else default


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    # ctime too: a copy that preserves times may have the same size and mtime as the file that it replaces.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unavailable(error: Exception) -> Unavailable:
    _log.error("logins cannot be checked: %s", error)
    return Unavailable("logins cannot be checked now; try again later")
