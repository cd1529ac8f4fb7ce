"""The last file of a backup: whose maildrops are in it, and the digests of what it says of them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final, cast

import attrs

from .errors import BadBackup
from .manifest import FORMAT, decode_object

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Index"]

_END: Final = re.compile(rb', "sha256": "([0-9a-f]{64})"\}')
_END_OCTETS: Final = len(b', "sha256": ""}') + 64


@attrs.frozen
class Index:
    """What a backup says of itself.

    Args:
        made: when it was made, in seconds.
        users: whose maildrops are in it.
        left_out: whose maildrops should be, and are not: they were in use, or could not be read.
        manifests: the SHA-256 of the manifest of each user, in hex.
    """

    made: float
    users: tuple[str, ...]
    left_out: tuple[str, ...]
    manifests: Mapping[str, str]

    def encode(self) -> bytes:
        """Return it as JSON, with the digest of all of it at the end."""
        fields = {"format": FORMAT, **attrs.asdict(self, recurse=False)}
        octets = json.dumps(fields).encode()[:-1]
        return octets + f', "sha256": "{hashlib.sha256(octets).hexdigest()}"}}'.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Index:
        """Return what JSON says, if it is what was written.

        Raises:
            BadBackup: it is not.
        """
        data = decode_object(octets)
        end = _END.fullmatch(octets[-_END_OCTETS:])
        if end is None or hashlib.sha256(octets[:-_END_OCTETS]).hexdigest().encode() != end[1]:
            raise BadBackup("what it says of itself is damaged")
        made, users, left_out, manifests = (data.get(name) for name in ("made", "users", "left_out", "manifests"))
        if not isinstance(made, int | float) or not _are_texts(users) or not _are_texts(left_out):
            raise BadBackup("it does not say whose maildrops are in it")
        if not isinstance(manifests, dict) or not _are_texts([*cast("dict[str, object]", manifests).values()]):
            raise BadBackup("it has no digests of its manifests")
        names, out = tuple(cast("list[str]", users)), tuple(cast("list[str]", left_out))
        return cls(made, names, out, cast("dict[str, str]", manifests))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value))
