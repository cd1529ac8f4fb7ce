"""Names of message files in a Maildir: unique part, sizes, flags and time of delivery."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final

from pop3proto.core.results import UniqueId

__all__ = [
    "delivery_time",
    "has_flags",
    "is_seen",
    "is_trashed",
    "is_unpacked",
    "stored_size",
    "unique_id",
    "unique_part",
    "wire_octets",
    "with_flags",
]

# Flags follow a colon. Where a file name cannot hold one, programs use a semicolon or an exclamation mark, which may be
# in a unique part as well: they count only in front of what flags look like.
_ODD_FLAGS: Final = re.compile(r"[;!](?=[12],[A-Za-z]*\Z)")
# The sizes, and the UID that mbsync adds and removes.
_FIELDS: Final = re.compile(r",[SWU]=[0-9]+(?![^,])")
# A field ends before the next, before the flags, or with the name. Flags have no fields.
_STORED_SIZE: Final = re.compile(r"\A[^:]*?,S=([0-9]{1,19})(?![^,:;!])")
_WIRE_OCTETS: Final = re.compile(r"\A[^:]*?,W=([0-9]{1,19})(?![^,:;!])")
_LEADING_NUMBER: Final = re.compile(r"[0-9]+")
# A valid unique id (RFC 1939 section 7) that does not look like a digest.
_PLAIN_ID: Final = re.compile(r"(?![0-9a-f]{64}\Z)[!-~]{1,70}")


def unique_part(name: str) -> str:
    """Return the part of a file name that stays the same when a message is moved or flagged.

    Flags (from `:`, `;` or `!` on), sizes (`,S=`, `,W=`) and the UIDs of mbsync (`,U=`) are not part of it.
    """
    base, _ = _split(name)
    return _FIELDS.sub("", base) if "," in base else base


def delivery_time(name: str) -> int:
    """Return the number at the start of a file name, by convention the time of delivery in seconds; 0 without one."""
    match = _LEADING_NUMBER.match(name)
    return int(match[0]) if match else 0


def stored_size(name: str) -> int | None:
    """Return the size of the message before compression, in octets, from `,S=`; None if the name has no such field."""
    match = _STORED_SIZE.search(name)
    return int(match[1]) if match else None


def is_unpacked(name: str, size: int) -> bool:
    """Return whether the name of a file of this size proves that it is not compressed: `,S=` is its size."""
    return stored_size(name) == size


def wire_octets(name: str, size: int) -> int | None:
    """Return the wire size, in octets with CRLF line ends, from `,W=` in a file name; None if it is not to be believed.

    It is believed if `,S=` in the same name is right, which shows that the file is what the name was made for, and if
    a file of that size can take so many octets.

    Args:
        name: the file's name.
        size: the file's size, in octets.
    """
    if not is_unpacked(name, size):
        return None
    match = _WIRE_OCTETS.search(name)
    # Each LF becomes CRLF, so at most every octet is doubled; a last line without a line end gets a CRLF.
    return octets if match is not None and size <= (octets := int(match[1])) <= 2 * size + 1 else None


def is_seen(name: str) -> bool:
    """Return whether the flags in a name say that the message was read ("S")."""
    return _has_flag(name, "S")


def is_trashed(name: str) -> bool:
    """Return whether the flags in a name say that the message is to be deleted ("T")."""
    return _has_flag(name, "T")


def has_flags(name: str) -> bool:
    """Return whether a name says anything of flags, if only that there are none."""
    return bool(_split(name)[1])


def with_flags(name: str, *, add: str = "", remove: str = "") -> str:
    """Return a name with other flags, as it has to be in `cur`.

    The flags are in order of the alphabet. A name with other information than flags stays as it is.

    Args:
        name: the file's name.
        add: the flags that it gets.
        remove: the flags that it loses.
    """
    base, flags = _split(name)
    mark = name[len(base) : len(base) + 1] or ":"
    if flags and not flags.startswith("2,"):
        return name
    return f"{base}{mark}2,{''.join(sorted({*flags[2:], *add} - {*remove}))}"


def unique_id(unique: str, *marks: int) -> UniqueId:
    """Return the unique id of a message.

    It is the unique part itself if that is a valid unique id, else a SHA-256 digest of it (RFC 1939 section 7). A
    unique part that looks like a digest is digested too, so that no two messages get the same id.

    Args:
        unique: the unique part of the file's name.
        marks: numbers that distinguish messages with the same unique part; none if the unique part is unique.
    """
    if not marks and _PLAIN_ID.fullmatch(unique):
        return UniqueId(unique)
    # No file name holds NUL, so different marks always give different octets.
    octets = b"\0".join([os.fsencode(unique), *(b"%d" % mark for mark in marks)])
    return UniqueId(hashlib.sha256(octets).hexdigest())


def _has_flag(name: str, flag: str) -> bool:
    _, flags = _split(name)
    return flags.startswith("2,") and flag in flags


def _split(name: str) -> tuple[str, str]:
    """Return what is before the flags, and the flags without the mark in front of them."""
    if ":" in name:
        base, _, flags = name.partition(":")
        return base, flags
    match = _ODD_FLAGS.search(name)
    return (name, "") if match is None else (name[: match.start()], name[match.end() :])
