"""The text of a file of users: a line for each, read and written."""

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
"""The hash functions for which a record gets SCRAM keys."""

ITERATIONS: Final = 15_000
"""Of new SCRAM keys. RFC 7677 section 4 gives this number as what a tenth of a second of a client's time is, and 4,096
as the least; clients compute it, telephones too, so it cannot be as many as a server alone could do."""

SALT_OCTETS: Final = 16
"""Of new SCRAM keys."""

_LONGEST_NAME: Final = 255  # octets; what every server takes in PLAIN (RFC 4616 section 2)
_LONGEST_SALT: Final = 64  # octets; a decoy's cannot be longer
_NAME: Final = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})+")
# As attribute values in RFC 5803 section 3, with the scheme before it.
_KEYS: Final = re.compile(
    rb"SCRAM-(SHA-1|SHA-256|SHA-512)\$([1-9][0-9]{0,8}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)"
)


class MalformedRecord(Pop3Error):
    """A line tells of no user. The message says what is wrong, and never what stands there."""


def prepare_name(user: str) -> str:
    """Return a user's name as it is stored and compared (RFC 4013).

    Raises:
        MechanismError: it cannot be prepared.
        LocalProtocolError: nobody could log in with it: it is empty, say, or too long.
    """
    name = User(prepare(user, stored=True)).name
    if len(name.encode()) > _LONGEST_NAME:
        raise LocalProtocolError(f"a user name must not be longer than {_LONGEST_NAME} octets")
    return name


@attrs.frozen
class UserRecord:
    """A user, and what is kept instead of the password.

    Args:
        name: prepared.
        scrypt: verifies the password itself.
        scram_keys: by algorithm, for SCRAM.
    """

    name: str
    scrypt: ScryptHash = attrs.field(repr=False)
    scram_keys: Mapping[str, ScramKeys] = attrs.field(repr=False)

    @classmethod
    def of(cls, user: str, password: str) -> UserRecord:
        """Return what to keep of a password. It takes some tenths of a second.

        Raises:
            MechanismError: the name or the password cannot be prepared, or nothing is left of the password.
            LocalProtocolError: nobody could log in with this name.
            ValueError: OpenSSL will not compute the hash.
            MemoryError: there is not enough memory.
        """
        name, prepared = prepare_name(user), prepare(password, stored=True)
        if not prepared:
            raise MechanismError("nothing is left of the password when it is prepared")
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
        """Return the user that a line tells of.

        Raises:
            MalformedRecord: it tells of none.
        """
        name, *fields = line.split()
        scrypt = ScryptHash.parse(fields[0]) if fields else None
        if scrypt is None:
            raise MalformedRecord("the second field is no scrypt hash, or one that takes too much memory")
        scram_keys: dict[str, ScramKeys] = {}
        for field in fields[1:]:
            algorithm, keys = _parse_keys(field)
            if algorithm in scram_keys:
                raise MalformedRecord(f"there are two fields of keys for SCRAM-{algorithm}")
            scram_keys[algorithm] = keys
        return cls(_parse_name(name), scrypt, scram_keys)

    def encode(self) -> bytes:
        """Return the line, without its end."""
        keys = (_encode_keys(algorithm, keys) for algorithm, keys in self.scram_keys.items())
        return b" ".join([quote(self.name, safe="@").encode(), self.scrypt.encode(), *keys])


def _parse_name(field: bytes) -> str:
    name = _decode_name(field)
    if name is None:
        raise MalformedRecord("the first field is no name that a user could have, percent-encoded UTF-8")
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
        raise MalformedRecord("a field behind the scrypt hash is none of SCRAM keys")
    algorithm = match[1].decode()
    salt, stored_key, server_key = (decode_base64(part) for part in match.group(3, 4, 5))
    if not salt or len(salt) > _LONGEST_SALT:
        raise MalformedRecord(f"the salt for SCRAM-{algorithm} is no base64 of 1 to {_LONGEST_SALT} octets")
    octets = ScramHash(algorithm).octets
    if stored_key is None or server_key is None or not len(stored_key) == len(server_key) == octets:
        raise MalformedRecord(f"the keys for SCRAM-{algorithm} are no base64 of {octets} octets")
    return algorithm, ScramKeys(salt, int(match[2]), stored_key, server_key)


def _encode_keys(algorithm: str, keys: ScramKeys) -> bytes:
    salt, stored_key, server_key = map(encode_base64, (keys.salt, keys.stored_key, keys.server_key))
    return b"SCRAM-%b$%d:%b$%b:%b" % (algorithm.encode(), keys.iterations, salt, stored_key, server_key)


_MAGIC: Final = b"pop3proto-users"
_VERSION: Final = b"1"
_HEADER_FIELDS: Final = 3
_SECRET_OCTETS: Final = 32
_LEAST_SECRET: Final = 16  # octets; `ScramKeys.decoy` wants them
_ABOUT: Final = (
    b"# Who may log in: a name, what verifies the password (scrypt, a PHC string), and keys for SCRAM (RFC 5803).",
    b"# `pop3proto passwd` changes it. Nobody else should read it: passwords can be guessed from it.",
)


class MalformedUsers(Pop3Error):
    """A file is none of users. The message names the line, and never holds what stands there."""


@attrs.frozen
class UserTable:
    """The users of a file, and its lines.

    Args:
        decoy_secret: makes decoys up, the same for the same name.
        records: by name.
        lines: all of the file, without the ends of lines.
        line_of: where among the lines each user is, by name.
    """

    decoy_secret: bytes = attrs.field(repr=False)
    records: Mapping[str, UserRecord]
    _lines: tuple[bytes, ...] = attrs.field(repr=False)
    _line_of: Mapping[str, int] = attrs.field(repr=False)

    @classmethod
    def new(cls) -> UserTable:
        """Return a table without users."""
        secret = secrets.token_bytes(_SECRET_OCTETS)
        return cls(secret, {}, (*_ABOUT, b" ".join([_MAGIC, _VERSION, encode_base64(secret)])), {})

    @classmethod
    def parse(cls, octets: bytes, name: str) -> UserTable:
        """Return the table that a file holds.

        Args:
            octets: all of the file.
            name: what to call it in errors.

        Raises:
            MalformedUsers: it holds none.
        """
        # Octets, not text: a comment may be in any encoding, and a UnicodeDecodeError would hold the whole file.
        lines = tuple(line.rstrip(b"\r") for line in octets.removesuffix(b"\n").split(b"\n"))
        secret: bytes | None = None
        records: dict[str, UserRecord] = {}
        line_of: dict[str, int] = {}
        for at, line in enumerate(lines):
            if _says_nothing(line):
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
            raise MalformedUsers(f"{name} is no file of users: it is empty")
        return cls(secret, records, lines, line_of)

    def encode(self) -> bytes:
        """Return the file."""
        return b"".join(line + b"\n" for line in self._lines)

    def with_record(self, record: UserRecord) -> UserTable:
        """Return a table in which a user is new, or other than before."""
        lines = list(self._lines)
        at = self._line_of.get(record.name, len(lines))
        lines[at : at + 1] = [record.encode()]
        records = {**self.records, record.name: record}
        return UserTable(self.decoy_secret, records, tuple(lines), {**self._line_of, record.name: at})

    def without(self, user: str) -> UserTable:
        """Return a table without a user that is in this one."""
        gone = self._line_of[user]
        records = {name: record for name, record in self.records.items() if name != user}
        line_of = {name: at - (at > gone) for name, at in self._line_of.items() if name != user}
        return UserTable(self.decoy_secret, records, self._lines[:gone] + self._lines[gone + 1 :], line_of)


def _says_nothing(line: bytes) -> bool:
    return not line.strip() or line.lstrip().startswith(b"#")


def _parse_new(line: bytes, line_of: Mapping[str, int]) -> UserRecord:
    record = UserRecord.parse(line)
    if record.name in line_of:
        raise MalformedRecord(f"line {line_of[record.name] + 1} tells of the same user")
    return record


def _parse_header(line: bytes) -> bytes:
    fields = line.split()
    if fields[0] != _MAGIC or len(fields) != _HEADER_FIELDS:
        raise MalformedRecord(f'a file of users begins with a line "{_MAGIC.decode()} ...", and this one does not')
    if fields[1] != _VERSION:
        raise MalformedRecord("the file is of a version that is not known here")
    secret = decode_base64(fields[2])
    if secret is None or len(secret) < _LEAST_SECRET:
        raise MalformedRecord(f"the third field is no base64 of at least {_LEAST_SECRET} octets")
    return secret
