"""What is stored in place of a message of which only the header was fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted

if TYPE_CHECKING:
    from pop3proto.fetching.destination import Arrival

__all__ = ["first_line", "text_below", "without_first_line"]

_FIELD: Final = b"X-Pop3proto-Partial:"


def first_line(arrival: Arrival) -> bytes:
    """Return the line that is put on top of the header, with CRLF. It says that the rest is missing."""
    return b"%s header only; %s\r\n" % (_FIELD, _size(arrival).encode("ascii"))


def text_below(arrival: Arrival) -> bytes:
    """Return the text that stands in place of the body, with CRLF line ends."""
    return (
        "Only the header of this message was fetched.\r\n"
        f"The message itself is still on the server: {_size(arrival)}.\r\n"
        "This command gets it: pop3proto fetch --complete\r\n"
    ).encode("ascii")


def without_first_line(octets: bytes) -> bytes:
    """Return the start of a stored header as the server has sent it."""
    return octets[octets.find(b"\n") + 1 :] if octets.startswith(_FIELD) else octets


def _size(arrival: Arrival) -> str:
    return "size unknown" if arrival.listed is None else counted(arrival.listed, "octet")
