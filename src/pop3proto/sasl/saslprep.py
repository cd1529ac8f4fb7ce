"""SASLprep: normalization of user names and passwords (RFC 4013), for Unicode 3.2 as the RFC requires."""

from __future__ import annotations

import stringprep
from itertools import groupby
from typing import TYPE_CHECKING, Final
from unicodedata import combining, ucd_3_2_0

from .mechanism import MechanismError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["prepare"]

# RFC 4013 section 2.3; the tables are those of RFC 3454.
_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepare(text: str, *, stored: bool) -> str:
    """Prepare a user name or password for comparison or storage.

    Args:
        text: the name or password as typed.
        stored: True for stored strings, in which unassigned code points are prohibited; False for queries, in which
            they are allowed (RFC 4013 section 2.5).

    Returns:
        The prepared text; it may be empty even if `text` is not.

    Raises:
        MechanismError: the text contains prohibited characters. The error message does not show them.
    """
    if text.isascii() and text.isprintable():
        return text  # no step changes or prohibits printable ASCII
    prepared = ucd_3_2_0.normalize("NFKC", "".join(_decomposed(_mapped(text))))
    characters = set(prepared)
    if any(prohibits(character) for prohibits in _PROHIBITED for character in characters):
        raise MechanismError(
            "the text contains a character that is prohibited in names and passwords (RFC 4013 section 2.3)"
        )
    if stored and any(map(stringprep.in_table_a1, characters)):
        raise MechanismError("the text contains a code point that is unassigned in Unicode 3.2 (RFC 4013 section 2.5)")
    if not _is_bidi_valid(prepared, characters):
        raise MechanismError("the text mixes right-to-left and left-to-right characters (RFC 3454 section 6)")
    return prepared


def _mapped(text: str) -> Iterator[str]:
    """Map all kinds of spaces to U+0020, and drop characters "mapped to nothing" (RFC 4013 section 2.1)."""
    for character in text:
        if stringprep.in_table_c12(character):  # tested first, as in the RFC: U+200B is in both tables
            yield " "
        elif not stringprep.in_table_b1(character):
            yield character


def _decomposed(text: Iterator[str]) -> Iterator[str]:
    """Yield the characters of a text in NFKD.

    `normalize` alone would give the same result, but it sorts runs of accents by insertion: a name that consists of
    accents would take quadratic time. On input that is sorted already, it takes linear time.
    """
    characters = (part for character in text for part in ucd_3_2_0.normalize("NFKD", character))
    for _, run in groupby(characters, key=lambda character: combining(character) > 0):
        yield from sorted(run, key=combining)  # stable: characters that are not accents keep their order


def _is_bidi_valid(text: str, characters: set[str]) -> bool:
    """Check the rule for bidirectional text (RFC 3454 section 6).

    With a right-to-left character, no left-to-right one is allowed, and the first and last must be right-to-left.
    """
    if not any(map(stringprep.in_table_d1, characters)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, characters))
