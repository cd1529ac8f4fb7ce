"""SASLprep: one spelling for names and passwords that look the same (RFC 4013). Unicode is 3.2, as it says."""

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
    """Return a name or password as it is compared with others.

    Args:
        text: as somebody typed it.
        stored: it is to be kept, so that code points without a character are forbidden (RFC 4013 section 2.5);
            without, it is a query, and they only fail to match.

    Returns:
        the prepared text; it may be empty though `text` is not.

    Raises:
        MechanismError: it holds what is forbidden. The message does not show it.
    """
    if text.isascii() and text.isprintable():
        return text  # nothing applies to it
    prepared = ucd_3_2_0.normalize("NFKC", "".join(_decomposed(_mapped(text))))
    characters = set(prepared)
    if any(prohibits(character) for prohibits in _PROHIBITED for character in characters):
        raise MechanismError("the text holds a character that no name or password may hold (RFC 4013 section 2.3)")
    if stored and any(map(stringprep.in_table_a1, characters)):
        raise MechanismError("the text holds a code point that is no character in Unicode 3.2 (RFC 4013 section 2.5)")
    if not _is_one_way(prepared, characters):
        raise MechanismError("the text mixes directions of writing (RFC 3454 section 6)")
    return prepared


def _mapped(text: str) -> Iterator[str]:
    """Yield the characters of a text, blanks as spaces, without what shows nothing (RFC 4013 section 2.1)."""
    for character in text:
        if stringprep.in_table_c12(character):  # first, as the RFC has it: U+200B is in both tables
            yield " "
        elif not stringprep.in_table_b1(character):
            yield character


def _decomposed(text: Iterator[str]) -> Iterator[str]:
    """Yield the characters of a text in NFKD.

    `normalize` would do it too, but it sorts a run of accents by insertion: a name of nothing else would take
    quadratic time. What is sorted already costs it nothing.
    """
    characters = (part for character in text for part in ucd_3_2_0.normalize("NFKD", character))
    for _, run in groupby(characters, key=lambda character: combining(character) > 0):
        yield from sorted(run, key=combining)  # it is stable: what is no accent stays where it is


def _is_one_way(text: str, characters: set[str]) -> bool:
    """Return whether a text is read from one side only: with a letter from right to left, all are, and both ends."""
    if not any(map(stringprep.in_table_d1, characters)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, characters))
