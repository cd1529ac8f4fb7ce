"""A file of users as text: a header, users, comments and blank lines.

    # What stands behind a # at the begin of a line is for people.
    pop3proto-users 1 <chance, base64>
    ann $scrypt$...

The chance in the header makes up what is told to those who ask for users that do not exist.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import Pop3Error
from pop3proto.core.text import decode_base64, encode_base64

from .user_record import MalformedRecord, UserRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MalformedUsers", "UserTable"]

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
