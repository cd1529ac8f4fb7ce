"""What the name of a file in a Maildir says.

`1700000000.M5P9.host,S=310,W=320:2,RS` is the time of delivery and what makes the name unique, the size of the file
and of the message on the wire, as many programs write them, and flags behind the colon.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import Final

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.results import UniqueId, check_unique_id

__all__ = ["delivery_time", "unique_id", "unique_part", "wire_octets"]

_SIZES: Final = re.compile(r",[SW]=[0-9]+(?![^,])")
_WIRE_OCTETS: Final = re.compile(r",W=([0-9]{1,19})(?![^,])")
_LEADING_NUMBER: Final = re.compile(r"[0-9]+")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def unique_part(name: str) -> str:
    """Return what stays the same when a message is moved or flagged, or its sizes are added to its name."""
    return _SIZES.sub("", _before_flags(name))


def delivery_time(name: str) -> int:
    """Return the number that a name begins with, the time of delivery by custom; 0 if there is none."""
    match = _LEADING_NUMBER.match(name)
    return int(match[0]) if match else 0


def wire_octets(name: str) -> int | None:
    """Return the size with CRLF line ends, if the name tells it."""
    match = _WIRE_OCTETS.search(_before_flags(name))
    return int(match[1]) if match else None


def unique_id(unique: str, *marks: int) -> UniqueId:
    """Return the unique id of a message.

    It is the unique part itself if that can be one, else a digest (RFC 1939 section 7). A part that looks like a
    digest is digested too, so that no message can have the id of another.

    Args:
        unique: the unique part of the file's name.
        marks: what else tells the message from another that has the same unique part, if there is another.
    """
    if not marks and not _DIGEST.fullmatch(unique):
        with suppress(LocalProtocolError):
            return check_unique_id(unique)
    # No file name holds NUL, so that other marks are other octets.
    octets = b"\0".join([os.fsencode(unique), *(b"%d" % mark for mark in marks)])
    return UniqueId(hashlib.sha256(octets).hexdigest())


def _before_flags(name: str) -> str:
    return name.partition(":")[0]
