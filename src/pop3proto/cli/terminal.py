"""Text that peers and files brought along, made fit for a terminal."""

from __future__ import annotations

__all__ = ["counted", "cut", "visible"]


def visible(text: str) -> str:
    r"""Return a text in which nothing moves the cursor, changes colours or turns the direction of writing.

    What does not print is escaped, `\x1b` say; so are octets that were no UTF-8 (`surrogateescape`).
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def cut(text: str, width: int) -> str:
    """Return a text of at most so many characters; "..." stands for what was cut off."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def counted(number: int, noun: str) -> str:
    """Return "1 message", "2 messages", "1,000 messages"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
