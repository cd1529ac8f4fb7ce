"""Authenticators over files of other servers that have a line for each user, with a hash of the password."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import threading
import time
from abc import abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

import attrs
from typing_extensions import override

from pop3proto._io.files import open_regular
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.text import visible
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.authenticator import PasswordVerifier
from pop3proto.sasl.mechanism import MechanismError

from .directory import UserDirectory, UserEntry
from .schemes import UnusableHash
from .user_table import MalformedUsers, prepare_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pop3proto.procedures.server.networks import Network
    from pop3proto.sasl.channel import SessionInfo

    from .schemes import PasswordHash

__all__ = ["FileUser", "HashFile", "Snapshot"]

_log: Final = logging.getLogger("pop3proto")

_MAX_CONCURRENT: Final = 8
"""Hashes computed at the same time: they take memory, and a client needs no valid password to cause one."""

_SAID: Final = 20  # problems of single users, in the log
_SETTLED: Final = 2  # seconds; what was changed more recently and ends within a line may still be written to


class _Unfinished(MalformedUsers):
    """The file is still being written."""


@attrs.frozen
class FileUser:
    """A line of the file.

    Args:
        entry: the user.
        hash: of the password; None: there is none, so that the user cannot log in.
        networks: from where the user may log in; None: from anywhere.
        locked: the user may not log in by any method.
    """

    entry: UserEntry
    hash: PasswordHash | None = attrs.field(repr=False)
    networks: tuple[Network, ...] | None = None
    locked: bool = attrs.field(default=False, kw_only=True)

    def admits(self, address: str) -> bool:
        """Return whether the user may log in from an address."""
        if self.locked:
            return False
        if self.networks is None:
            return True
        try:
            number = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
        return any((mapped or number) in network for network in self.networks)


@attrs.frozen
class Snapshot:
    """What the file says.

    Args:
        stamp: identifies this state of the file.
        users: by name.
        problems: what is wrong with single users, a line each; the others can log in.
        sample: the hash with which passwords of unknown users are compared: of the kind that most users have.
        decoy_secret: as in `ScramKeys.decoy`.
    """

    stamp: tuple[int, ...]
    users: Mapping[str, FileUser] = attrs.field(repr=False)
    problems: tuple[str, ...]
    sample: PasswordHash | None = attrs.field(repr=False)
    decoy_secret: bytes = attrs.field(repr=False)


class HashFile(PasswordVerifier, UserDirectory):
    """An authenticator over a file with a line for each user.

    A change of the file takes effect at the next login. A file that is empty or malformed then, or in the middle of
    being written, does not: what it said before goes on, and the logger "pop3proto" gets an error. Passwords of unknown
    users are compared with a hash of the kind that most users have, so that a client cannot tell whether a user exists.
    That works if the users have hashes of one scheme and cost.

    Args:
        path: the file.
        before: the authenticator that this one takes the place of while the server runs; None: there is none. A file
            that would not have taken effect there, as it is empty or half written, is malformed here.

    Raises:
        OSError: the file cannot be read.
        MalformedUsers: it is not such a file.
    """

    def __init__(self, path: Path, *, before: Self | None = None) -> None:
        self._path: Final = path
        self._lock: Final = threading.Lock()  # guards the snapshot; not held while a hash is computed
        self._hash_slots: Final = threading.BoundedSemaphore(_MAX_CONCURRENT)
        self._refused: tuple[int, ...] = ()  # the state of the file that was said to be malformed
        self._snapshot: Snapshot = self._read(None if before is None else before._snapshot)  # noqa: SLF001 - of this class
        self._say_problems()

    @abstractmethod
    def _parse(self, name: str, rest: str) -> FileUser:
        """Read a line.

        Args:
            name: the user, prepared.
            rest: what is behind the first colon.

        Raises:
            UnusableHash: the user cannot log in, and why.
        """

    def _entry(self, name: str, rest: str) -> UserEntry:  # noqa: ARG002 - a subclass reads it
        """Return what is known of a user who cannot log in."""
        return UserEntry(name)

    @property
    @override
    def blocks(self) -> bool:
        return True

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with single users, a line each with the file, the line and the scheme."""
        return self._snapshot.problems

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        """Return whether this is the user's password."""
        current = self._current()
        found = current.users.get(user)
        wanted = None if found is None else found.hash
        hashed = wanted or current.sample
        if hashed is None:
            return False
        try:
            with self._hash_slots:
                matches = hashed.matches(password)
        except (ValueError, MemoryError) as error:
            _log.error("the password of a user in %s cannot be checked: %s", self._path, error)
            raise Unavailable("logins cannot be checked now; try again later") from error
        return matches and found is not None and wanted is not None and found.admits(session.address)

    def lets_in(self, user: str, session: SessionInfo) -> bool:
        """Return whether a user is in the file, and may log in from where the session is: by a token, for example."""
        found = self._current().users.get(user)
        return found is not None and found.admits(session.address)

    @override
    def find(self, user: str, /) -> UserEntry | None:
        """Return a user of the file; None if it is not there."""
        found = self._current().users.get(user)
        return None if found is None else found.entry

    @override
    def names(self) -> Sequence[str]:
        """Return the names of all users, in the order of the file."""
        return tuple(self._current().users)

    def _current(self) -> Snapshot:
        with self._lock:
            stamp: tuple[int, ...] = ()
            try:
                stamp = _stamp(self._path.stat())
                if stamp not in (self._snapshot.stamp, self._refused):
                    self._snapshot = self._read(before=self._snapshot)
                    self._refused = ()
                    self._say_problems()
            except (OSError, MalformedUsers) as error:
                _log.error("%s; the users are those that it had before", visible(str(error)))
                if isinstance(error, MalformedUsers) and not isinstance(error, _Unfinished):
                    self._refused = stamp  # said once
            return self._snapshot

    def _say_problems(self) -> None:
        problems = self._snapshot.problems
        for problem in problems[:_SAID]:
            _log.error("%s", visible(problem))
        if len(problems) > 1:
            _log.error(
                "%s: %d lines are not taken, and %d are", visible(str(self._path)), len(problems), self._usable()
            )

    def _usable(self) -> int:
        return sum(user.hash is not None for user in self._snapshot.users.values())

    def _read(self, before: Snapshot | None = None) -> Snapshot:
        with open_regular(self._path, follow_links=True) as file:
            status = os.fstat(file.fileno())
            octets = file.readall() or b""
        if before is not None:
            if not octets and before.users:
                raise MalformedUsers(f"{self._path} is empty")
            recent = abs(time.time() - status.st_mtime) < _SETTLED
            if recent and octets and not octets.endswith(b"\n"):
                raise _Unfinished(f"{self._path} ends within a line: it is still being written")
        return self._snapshot_of(octets, _stamp(status))

    def _snapshot_of(self, octets: bytes, stamp: tuple[int, ...]) -> Snapshot:
        users: dict[str, FileUser] = {}
        problems: list[str] = []
        first = b""
        # Decoded line by line: a UnicodeDecodeError would hold the whole file.
        for number, line in enumerate(octets.split(b"\n"), 1):
            if not line.strip() or line.lstrip().startswith(b"#"):
                continue
            place = f"{self._path}, line {number}"
            first = first or line
            try:
                name, rest = _split(line.rstrip(b"\r").decode("utf-8", "surrogateescape"), place)
            except UnusableHash as error:
                problems.append(f"{place}: {error}")
                continue
            if name in users:
                problems.append(f"{place}: the same user is in a line before")
                continue
            try:
                users[name] = self._parse(name, rest)
            except UnusableHash as error:
                users[name] = FileUser(self._entry(name, rest), None, locked=True)  # mail may come for this user
                problems.append(f"{place}: {error}")
        return Snapshot(stamp, users, tuple(problems), _sample(users), hashlib.sha256(b"decoy" + first).digest())


def _split(line: str, place: str) -> tuple[str, str]:
    """Return the user, prepared, and what is behind the first colon.

    Raises:
        MalformedUsers: there is no colon.
        UnusableHash: no user can have this name.
    """
    name, colon, rest = line.partition(":")
    if not colon:
        raise MalformedUsers(f"{place}: a line user:hash is expected")
    try:
        return prepare_name(name), rest
    except (MechanismError, LocalProtocolError) as error:
        raise UnusableHash(f"this user name cannot be used to log in: {error}") from None


def _sample(users: Mapping[str, FileUser]) -> PasswordHash | None:
    """Return a hash of the scheme and the cost that most users have."""
    hashes = [user.hash for user in users.values() if user.hash is not None]
    counted = Counter((each.scheme, each.cost) for each in hashes).most_common(1)
    return next((each for each in hashes if (each.scheme, each.cost) == counted[0][0]), None) if counted else None


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    # ctime too: a copy that preserves times may have the same size and mtime as the file that it replaces.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
