"""An authenticator over a passwd-file of Dovecot (doc.dovecot.org, "Passwd-file")."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.server.networks import networks_of
from pop3proto.sasl.authenticator import ScramKeySource
from pop3proto.sasl.scram.keys import ScramKeys

from .directory import UserEntry
from .hash_file import FileUser, HashFile
from .schemes import UnusableHash, is_locked, parse_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pop3proto.procedures.server.networks import Network
    from pop3proto.sasl.channel import SessionInfo

    from .hash_file import Snapshot

__all__ = ["PasswdFile"]

_HOME: Final = 5
_EXTRA: Final = 7
_AMOUNT: Final = re.compile(r"([0-9]{1,18})([BKMGT]?)", re.IGNORECASE)
_FACTORS: Final = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_RULES: Final = ("userdb_quota_rule", "quota_rule")
_STORAGE: Final = ("userdb_quota_storage_size", "quota_storage_size")
_COUNT: Final = ("userdb_quota_message_count", "quota_message_count")


class PasswdFile(HashFile, ScramKeySource):
    """An authenticator over a passwd-file: `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra`.

        authenticator = PasswdFile(Path("/etc/dovecot/users"))

    Of the fields, the home folder is read, and of the extra ones the quota (`userdb_quota_rule=*:storage=1G`,
    `userdb_quota_storage_size=1G`), `allow_nets=` and `nologin`; the server keeps to all of them. A field without a
    scheme is one of crypt(3). A user without a hash has no password; one whose hash begins with "!" or "*" is locked,
    as with `nologin`. SCRAM is offered where all users have hashes of `SCRAM-SHA-256`, or of `SCRAM-SHA-1`.

    Args:
        path: the file.
        before: the authenticator over such a file that this one takes the place of while the server runs: a file that
            is empty or half written is malformed then. None: there is none.

    Raises:
        OSError: the file cannot be read.
        MalformedUsers: it is not such a file.
    """

    @property
    @override
    def scram_algorithms(self) -> Collection[str]:
        """The algorithm of which every user had keys when the file was last read; this does not read it."""
        kinds = {user.hash.scram and user.hash.scram[0] for user in self._snapshot.users.values() if user.hash}
        return [kind for kind in kinds if kind is not None] if len(kinds) == 1 else []

    @override
    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        """Return the user's keys from the file; if it has none, keys that no password matches."""
        current = self._current()
        iterations, salt_octets = _parameters(current, algorithm)
        # Always derived, so that known and unknown users take the same time.
        decoy = ScramKeys.decoy(algorithm, user, current.decoy_secret, iterations=iterations, salt_octets=salt_octets)
        found = current.users.get(user)
        if found is None or found.hash is None or found.hash.scram is None or not found.admits(session.address):
            return decoy
        kind, keys = found.hash.scram
        return keys if kind == algorithm else decoy

    @override
    def _parse(self, name: str, rest: str) -> FileUser:
        fields = f"{name}:{rest}".split(":")
        extra = {key: value for key, _, value in (each.partition("=") for each in ":".join(fields[_EXTRA:]).split())}
        octets, messages = _quota(extra)
        entry = attrs.evolve(self._entry(name, rest), quota_octets=octets, quota_messages=messages)
        if "nologin" in extra or is_locked(fields[1]):
            return FileUser(entry, None, locked=True)
        if "nopassword" in extra:
            raise UnusableHash("nopassword is not supported: any password would do")
        networks = _networks(extra)
        return FileUser(entry, parse_hash(fields[1]) if fields[1] else None, networks)

    @override
    def _entry(self, name: str, rest: str) -> UserEntry:
        fields = f"{name}:{rest}".split(":")
        home = fields[_HOME] if len(fields) > _HOME else ""
        return UserEntry(name, home=Path(home) if home else None)


def _parameters(current: Snapshot, algorithm: str) -> tuple[int, int]:
    """Return the iterations, and the length of the salt, of the first user that has keys."""
    for user in current.users.values():
        if user.hash is not None and user.hash.scram is not None and user.hash.scram[0] == algorithm:
            keys = user.hash.scram[1]
            return keys.iterations, min(len(keys.salt), 64)
    return 4_096, 16


def _networks(extra: Mapping[str, str]) -> tuple[Network, ...] | None:
    if (nets := extra.get("allow_nets")) is None:
        return None
    try:
        return networks_of([net for net in nets.split(",") if net and net != "local"])
    except LocalProtocolError as error:
        raise UnusableHash(f"allow_nets: {error}") from None


def _quota(extra: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the quota in octets and in messages, as Dovecot 2.3 (rules) or 2.4 (sizes) writes it."""
    octets = messages = None
    for key, value in extra.items():
        if key.startswith(_RULES) and value.startswith("*:"):
            for limit in value[2:].split(":"):
                name, _, amount = limit.partition("=")
                if name == "storage":
                    octets = _octets(amount, "K")
                elif name == "bytes":
                    octets = _octets(amount, "B")
                elif name == "messages":
                    messages = _octets(amount, "B")
        elif key in _STORAGE:
            octets = _octets(value, "B")
        elif key in _COUNT:
            messages = _octets(value, "B")
    return octets, messages


def _octets(amount: str, unit: str) -> int:
    """Return a number, of which 0 is no limit.

    Args:
        amount: digits, and maybe a unit.
        unit: the unit of a number without one.
    """
    match = _AMOUNT.fullmatch(amount)
    if match is None:
        raise UnusableHash("the quota is not a number, or is relative to another one, which is not supported")
    return int(match[1]) * _FACTORS[(match[2] or unit).upper()]
