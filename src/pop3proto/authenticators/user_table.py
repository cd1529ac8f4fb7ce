"""The format of a users file: parse and write its lines, one for each user."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes

import attrs

from pop3proto.authenticators.scrypt import ScryptHash
from pop3proto.core.commands import User
from pop3proto.core.errors import LocalProtocolError, Pop3Error
from pop3proto.core.text import decode_base64, encode_base64
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.saslprep import prepare
from pop3proto.sasl.scram.keys import ScramHash, ScramKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALGORITHMS",
    "ITERATIONS",
    "SALT_OCTETS",
    "MalformedRecord",
    "MalformedUsers",
    "UserRecord",
    "UserTable",
    "prepare_name",
]

ALGORITHMS: Final = ("SHA-1", "SHA-256", "SHA-512")
"""Hash algorithms for which a new record gets SCRAM keys."""

ITERATIONS: Final = 15_000
"""Iteration count of new SCRAM keys. RFC 7677 section 4 recommends 15,000 (about 0.1 s on a client) and requires at
least 4,096. The client computes them, possibly on a phone, so the count cannot be as high as a server could bear."""

SALT_OCTETS: Final = 16
"""Length of the salt of new SCRAM keys, in octets."""

_LONGEST_NAME: Final = 255  # octets; every server accepts this much in PLAIN (RFC 4616 section 2)
_LONGEST_SALT: Final = 64  # octets; the salt of a decoy cannot be longer
_NAME: Final = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})+")
# The authPassword syntax of RFC 5803 section 3: scheme$iterations:salt$StoredKey:ServerKey.
_KEYS: Final = re.compile(
    rb"SCRAM-(SHA-1|SHA-256|SHA-512)\$([1-9][0-9]{0,8}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)"
)


class MalformedRecord(Pop3Error):
    """A line of a users file is not a valid record. The message says what is wrong and never quotes the line."""


def prepare_name(user: str) -> str:
    """Return a user name prepared for storage and comparison (SASLprep, RFC 4013).

    Raises:
        MechanismError: the name cannot be prepared.
        LocalProtocolError: the name cannot be used to log in; for example, it is empty or too long.
    """
    name = User(prepare(user, stored=True)).name
    if len(name.encode()) > _LONGEST_NAME:
        raise LocalProtocolError(f"a user name must not be longer than {_LONGEST_NAME} octets")
    return name


@attrs.frozen
class UserRecord:
    """A user and the password verifiers that are stored in place of the password.

    Args:
        name: the prepared user name.
        scrypt: scrypt hash, for mechanisms that send the password.
        scram_keys: SCRAM keys by hash algorithm.
    """

    name: str
    scrypt: ScryptHash = attrs.field(repr=False)
    scram_keys: Mapping[str, ScramKeys] = attrs.field(repr=False)

    @classmethod
    def of(cls, user: str, password: str) -> UserRecord:
        """Compute the record of a user from the password. Takes a few tenths of a second.

        Raises:
            MechanismError: the name or the password cannot be prepared (RFC 4013), or the prepared password is empty.
            LocalProtocolError: the name cannot be used to log in.
            ValueError: OpenSSL refuses to compute the hash.
            MemoryError: there is not enough memory.
        """
        name, prepared = prepare_name(user), prepare(password, stored=True)
        if not prepared:
            raise MechanismError("the password is empty after SASLprep (RFC 4013)")
        return cls(
            name,
            ScryptHash.of(prepared),
            {
                algorithm: ScramKeys.derive(algorithm, prepared, secrets.token_bytes(SALT_OCTETS), ITERATIONS)
                for algorithm in ALGORITHMS
            },
        )

    @classmethod
    def parse(cls, line: bytes) -> UserRecord:
        """Parse a line, without its line end.

        Raises:
            MalformedRecord: the line is not a valid record.
        """
        name, *fields = line.split()
        scrypt = ScryptHash.parse(fields[0]) if fields else None
        if scrypt is None:
            raise MalformedRecord("the second field is not a valid scrypt hash, or the hash needs too much memory")
        scram_keys: dict[str, ScramKeys] = {}
        for field in fields[1:]:
            algorithm, keys = _parse_keys(field)
            if algorithm in scram_keys:
                raise MalformedRecord(f"there are two fields with SCRAM-{algorithm} keys")
            scram_keys[algorithm] = keys
        return cls(_parse_name(name), scrypt, scram_keys)

    def encode(self) -> bytes:
        """Return the line, without a line end."""
        keys = (_encode_keys(algorithm, keys) for algorithm, keys in self.scram_keys.items())
        return b" ".join([quote(self.name, safe="@").encode(), self.scrypt.encode(), *keys])


def _parse_name(field: bytes) -> str:
    name = _decode_name(field)
    if name is None:
        raise MalformedRecord("the first field is not a valid user name in percent-encoded UTF-8")
    return name


def _decode_name(field: bytes) -> str | None:
    if not field.isascii() or not _NAME.fullmatch(field):
        return None
    try:
        name = unquote_to_bytes(field).decode()
        return name if prepare_name(name) == name else None
    except (UnicodeDecodeError, MechanismError, LocalProtocolError):
        return None


def _parse_keys(field: bytes) -> tuple[str, ScramKeys]:
    match = _KEYS.fullmatch(field)
    if match is None:
        raise MalformedRecord("a field after the scrypt hash does not hold valid SCRAM keys")
    algorithm = match[1].decode()
    salt, stored_key, server_key = (decode_base64(part) for part in match.group(3, 4, 5))
    if not salt or len(salt) > _LONGEST_SALT:
        raise MalformedRecord(f"the salt for SCRAM-{algorithm} is not base64 of 1 to {_LONGEST_SALT} octets")
    octets = ScramHash(algorithm).octets
    if stored_key is None or server_key is None or not len(stored_key) == len(server_key) == octets:
        raise MalformedRecord(f"the keys for SCRAM-{algorithm} are not base64 of {octets} octets")
    return algorithm, ScramKeys(salt, int(match[2]), stored_key, server_key)


def _encode_keys(algorithm: str, keys: ScramKeys) -> bytes:
    salt, stored_key, server_key = map(encode_base64, (keys.salt, keys.stored_key, keys.server_key))
    return b"SCRAM-%b$%d:%b$%b:%b" % (algorithm.encode(), keys.iterations, salt, stored_key, server_key)


_MAGIC: Final = b"pop3proto-users"
_VERSION: Final = b"1"
_HEADER_FIELDS: Final = 3
_SECRET_OCTETS: Final = 32
_LEAST_SECRET: Final = 16  # octets; `ScramKeys.decoy` needs them
_ABOUT: Final = (
    b"# One user on each line: name, scrypt hash of the password (PHC string), SCRAM keys (RFC 5803).",
    b"# Use `pop3proto passwd` to change this file. Keep it private: passwords can be guessed from it.",
)


class MalformedUsers(Pop3Error):
    """The file is not a valid users file. The message names the file and the line and never quotes the line."""


@attrs.frozen
class UserTable:
    """The content of a users file. Comments and blank lines are kept when a user is added, changed or removed.

    Args:
        decoy_secret: secret from which decoy SCRAM keys for unknown users are derived, always the same for a name.
        records: records by user name.
        lines: all lines of the file, without line ends.
        line_of: index into `lines` by user name.
    """

    decoy_secret: bytes = attrs.field(repr=False)
    records: Mapping[str, UserRecord]
    _lines: tuple[bytes, ...] = attrs.field(repr=False)
    _line_of: Mapping[str, int] = attrs.field(repr=False)

    @classmethod
    def new(cls) -> UserTable:
        """Return a table without users and with a new random secret."""
        secret = secrets.token_bytes(_SECRET_OCTETS)
        return cls(secret, {}, (*_ABOUT, b" ".join([_MAGIC, _VERSION, encode_base64(secret)])), {})

    @classmethod
    def parse(cls, octets: bytes, name: str) -> UserTable:
        """Parse the content of a users file.

        Args:
            octets: the whole file.
            name: name of the file, for error messages.

        Raises:
            MalformedUsers: it is not a valid users file.
        """
        # Parsed as octets: a comment may be in any encoding, and a UnicodeDecodeError would hold the whole file.
        lines = tuple(line.rstrip(b"\r") for line in octets.removesuffix(b"\n").split(b"\n"))
        secret: bytes | None = None
        records: dict[str, UserRecord] = {}
        line_of: dict[str, int] = {}
        for at, line in enumerate(lines):
            if _is_blank_or_comment(line):
                continue
            try:
                if secret is None:
                    secret = _parse_header(line)
                else:
                    record = _parse_new(line, line_of)
                    records[record.name] = record
                    line_of[record.name] = at
            except MalformedRecord as error:
                raise MalformedUsers(f"{name}, line {at + 1}: {error}") from None
        if secret is None:
            raise MalformedUsers(f"{name} is not a users file: it is empty")
        return cls(secret, records, lines, line_of)

    def encode(self) -> bytes:
        """Return the content of the users file."""
        return b"".join(line + b"\n" for line in self._lines)

    def with_record(self, record: UserRecord) -> UserTable:
        """Return a copy of the table with a record added, or replaced if the user exists."""
        lines = list(self._lines)
        at = self._line_of.get(record.name, len(lines))
        lines[at : at + 1] = [record.encode()]
        records = {**self.records, record.name: record}
        return UserTable(self.decoy_secret, records, tuple(lines), {**self._line_of, record.name: at})

    def without(self, user: str) -> UserTable:
        """Return a copy of the table without a user. The user must be in the table."""
        gone = self._line_of[user]
        records = {name: record for name, record in self.records.items() if name != user}
        line_of = {name: at - (at > gone) for name, at in self._line_of.items() if name != user}
        return UserTable(self.decoy_secret, records, self._lines[:gone] + self._lines[gone + 1 :], line_of)


def _is_blank_or_comment(line: bytes) -> bool:
    return not line.strip() or line.lstrip().startswith(b"#")


def _parse_new(line: bytes, line_of: Mapping[str, int]) -> UserRecord:
    record = UserRecord.parse(line)
    if record.name in line_of:
        raise MalformedRecord(f"the same user is already in line {line_of[record.name] + 1}")
    return record


def _parse_header(line: bytes) -> bytes:
    fields = line.split()
    if fields[0] != _MAGIC or len(fields) != _HEADER_FIELDS:
        raise MalformedRecord(f'a users file must begin with a line "{_MAGIC.decode()} {_VERSION.decode()} ..."')
    if fields[1] != _VERSION:
        raise MalformedRecord(f"only version {_VERSION.decode()} of the users file format is supported")
    secret = decode_base64(fields[2])
    if secret is None or len(secret) < _LEAST_SECRET:
        raise MalformedRecord(f"the third field is not base64 of at least {_LEAST_SECRET} octets")
    return secret
