"""What a backup says of the messages in it, in JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Final, cast

import attrs

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.results import UniqueId, check_unique_id
from pop3proto.core.text import visible

from .errors import BadBackup

__all__ = ["FORMAT", "LARGEST_MANIFEST", "BackedUp", "Manifest"]

FORMAT: Final = 1
LARGEST_MANIFEST: Final = 1 << 26
"""Octets of the list of one maildrop's messages: enough for 200,000."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[^/\0.][^/\0]*")
_LONGEST_NAME: Final = 255  # octets of a file name
_LATEST: Final = 1e12  # seconds
_LARGEST: Final = 1 << 62


@attrs.frozen
class BackedUp:
    """A message in a backup.

    Args:
        unique_id: its unique id.
        octets: its size on the wire.
        sha256: of its octets on the wire, in hex.
        size: of its file in the backup.
        retrieved: whether it was retrieved.
        arrived: when it arrived, in seconds.
        name: the name of its file in the Maildir.
        path: that of its file in the backup.
    """

    unique_id: UniqueId
    octets: int
    sha256: str
    size: int
    retrieved: bool
    arrived: float
    name: str
    path: str


@attrs.frozen
class Manifest:
    """What a backup says of one maildrop.

    Args:
        user: whose it is.
        made: when the backup was made, in seconds.
        since: only messages that arrived since then are in it; None: all are.
        quota_octets: the limit of the maildrop then; None: there was none.
        quota_messages: likewise.
        messages: the messages.
    """

    user: str
    made: float
    since: float | None
    quota_octets: int | None
    quota_messages: int | None
    messages: tuple[BackedUp, ...]

    def encode(self) -> bytes:
        """Return it as JSON.

        Raises:
            BadBackup: it is too large.
        """
        fields = attrs.asdict(self, recurse=False) | {
            "messages": [attrs.asdict(message) for message in self.messages],
            "quota": {"octets": self.quota_octets, "messages": self.quota_messages},
        }
        del fields["quota_octets"], fields["quota_messages"]
        octets = json.dumps({"format": FORMAT, **fields}, indent=0).encode()
        if len(octets) > LARGEST_MANIFEST:
            raise BadBackup(f"the maildrop of {visible(self.user)} has too many messages for one backup; use --since")
        return octets

    @classmethod
    def decode(cls, octets: bytes) -> Manifest:
        """Return what JSON says, if all of it is right.

        Raises:
            BadBackup: it is not.
        """
        data = decode_object(octets)
        user = _text(data, "user")
        quota = data.get("quota")
        if not isinstance(quota, dict):
            raise BadBackup("the manifest has no quota")
        limits = cast("dict[str, object]", quota)
        rows = data.get("messages")
        if not isinstance(rows, list):
            raise BadBackup("the manifest has no messages")
        messages = tuple(_message(row) for row in cast("list[object]", rows))
        for unique in ("unique_id", "path"):
            if len({getattr(message, unique) for message in messages}) < len(messages):
                raise BadBackup(f"two messages of {visible(user)} have one {unique.replace('_', ' ')}")
        return cls(
            user,
            _time(data, "made"),
            None if data.get("since") is None else _time(data, "since"),
            None if limits.get("octets") is None else _number(limits, "octets"),
            None if limits.get("messages") is None else _number(limits, "messages"),
            messages,
        )


def decode_object(octets: bytes) -> dict[str, object]:
    """Return a JSON object of this format.

    Raises:
        BadBackup: it is none.
    """
    try:
        data: Any = json.loads(octets)
    except (ValueError, RecursionError) as error:
        raise BadBackup("the manifest is no JSON") from error
    if not isinstance(data, dict):
        raise BadBackup("the manifest is no object")
    fields = cast("dict[str, object]", data)
    if fields.get("format") != FORMAT:
        raise BadBackup(f"the backup has another format than {FORMAT}: a newer version may read it")
    return fields


def _message(row: object) -> BackedUp:
    if not isinstance(row, dict):
        raise BadBackup("the manifest has something else than a message among its messages")
    data = cast("dict[str, object]", row)
    try:
        unique_id = check_unique_id(_text(data, "unique_id"))
    except LocalProtocolError as error:
        raise BadBackup(f"the manifest has a unique id that is not valid: {error}") from error
    sha256, name, retrieved = _text(data, "sha256"), _text(data, "name"), data.get("retrieved")
    if not _SHA256.fullmatch(sha256):
        raise BadBackup(f"the manifest has no SHA-256 of the message {unique_id}")
    if not _NAME.fullmatch(name) or len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
        raise BadBackup(f"the manifest has no usable file name of the message {unique_id}")
    if not isinstance(retrieved, bool):
        raise BadBackup(f"the manifest does not say whether the message {unique_id} was retrieved")
    return BackedUp(
        unique_id,
        _number(data, "octets"),
        sha256,
        _number(data, "size"),
        retrieved,
        _time(data, "arrived"),
        name,
        _text(data, "path"),
    )


def _text(data: dict[str, object], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise BadBackup(f"the manifest has no {key.replace('_', ' ')}, where one is needed")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadBackup(f"the manifest has a {key.replace('_', ' ')} that is no text") from error
    return value


def _number(data: dict[str, object], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise BadBackup(f"the manifest has no number of {key}, where one is needed")
    return value


def _time(data: dict[str, object], key: str) -> float:
    value = data.get(key)
    if (
        not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _LATEST  # nor is NaN
    ):
        raise BadBackup(f'the manifest has no time "{key}", where one is needed')
    return float(value)
