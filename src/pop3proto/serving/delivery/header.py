"""The fields that delivery puts in front of a message, and those that it takes out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Envelope", "HeaderEditor"]

_MBOX: Final = b"From "
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')  # a local part may be so, and hold anything
_FIELD: Final = re.compile(rb"From[ \t]*:")  # RFC 5322 section 4.5.2 lets blanks stand before the colon
_LONGEST_LINE: Final = 4096  # octets of a first line, after which it is taken to end in LF
_KNOWN: Final = 256  # octets of a line that tell which field it begins
_LONGEST_ADDRESS: Final = 900  # characters: a header line holds 998 octets (RFC 5322 section 2.1.1)


def _address(value: str | None) -> str | None:
    """Return an address without angle brackets.

    Raises:
        ValueError: it cannot be in a header field.
    """
    if value is None:
        return None
    bare = value[1:-1] if value.startswith("<") and value.endswith(">") else value
    plain = _QUOTED.sub("", bare)
    if _CONTROL.search(bare) or "<" in plain or ">" in plain or len(bare) > _LONGEST_ADDRESS:
        raise ValueError(f"this is no address that a header field can hold: {value[:80]!r}")
    return bare


@attrs.frozen
class Envelope:
    """What the mail server knows of a message besides its octets.

    Args:
        sender: the envelope sender, with or without angle brackets; "" for the empty one, of bounces; None: unknown.
            It becomes the field Return-Path, in place of any that is there (RFC 5321 section 4.4).
        delivered_to: the final address; it becomes a field Delivered-To.
        original_to: the address as the sender gave it; it becomes a field X-Original-To.

    Raises:
        ValueError: an address has control characters or angle brackets (outside quotes) in it, or is too long.
    """

    sender: str | None = attrs.field(default=None, converter=_address)
    delivered_to: str | None = attrs.field(default=None, converter=_address)
    original_to: str | None = attrs.field(default=None, converter=_address)

    def fields(self) -> list[tuple[str, str]]:
        """Return the fields that it becomes: names and values."""
        fields: list[tuple[str, str]] = []
        if self.sender is not None:
            fields.append(("Return-Path", f"<{self.sender}>"))
        if self.delivered_to:
            fields.append(("Delivered-To", self.delivered_to))
        if self.original_to:
            fields.append(("X-Original-To", self.original_to))
        return fields


class HeaderEditor:
    r"""Puts fields in front of a message, takes others out of its header, in any chunks and in constant memory.

    A first line that begins with `From `, as mbox has it, is left out, unless it is a field, or all of the message. The
    new fields end like the first line of the message, in CRLF or LF. All other octets stay as they are.

    Args:
        add: names and values of the new fields.
        remove: names of fields to take out of the header, with their continuation lines.
    """

    def __init__(self, add: Sequence[tuple[str, str]], remove: Iterable[str] = ()) -> None:
        self._add = add
        self._remove = tuple(name.lower().encode() + b":" for name in remove)
        self._held = b""
        self._step: Callable[[bool], bytes | None] = self._at_start
        self._dropping = False  # the field that is under way
        self._mid_line = False

    def feed(self, chunk: bytes) -> bytes:
        """Return what becomes of the next octets."""
        if self._step == self._in_body:
            return chunk
        self._held += chunk
        return self._work(last=False)

    def finish(self) -> bytes:
        """Return what is left at the end of the message."""
        return self._work(last=True)

    def _work(self, *, last: bool) -> bytes:
        pieces: list[bytes] = []
        while (piece := self._step(last)) is not None:
            pieces.append(piece)
        return b"".join(pieces)

    def _at_start(self, last: bool) -> bytes | None:  # noqa: FBT001 - a step takes nothing else
        if len(self._held) < len(_MBOX) and not last and _MBOX.startswith(self._held):
            return None
        self._step = self._in_mbox_line if self._held.startswith(_MBOX) else self._at_first_line
        return b""

    def _in_mbox_line(self, last: bool) -> bytes | None:  # noqa: FBT001 - as above
        line, end, rest = self._held.partition(b"\n")
        if not end and not last and len(line) < _LONGEST_LINE:
            return None
        if end and not _FIELD.match(line):
            self._held = rest
        self._step = self._at_first_line
        return b""

    def _at_first_line(self, last: bool) -> bytes | None:  # noqa: FBT001 - as above
        end = self._held.find(b"\n", 0, _LONGEST_LINE)
        if end < 0 and len(self._held) < _LONGEST_LINE and not last:
            return None
        line_end = b"\r\n" if end > 0 and self._held[end - 1 : end] == b"\r" else b"\n"
        self._step = self._in_header if self._remove else self._in_body
        fields = (f"{name}: {value}".encode("utf-8", "surrogateescape") + line_end for name, value in self._add)
        return b"".join(fields)

    def _in_header(self, last: bool) -> bytes | None:  # noqa: FBT001 - as above
        """Take whole lines, and what is known of the last one; what is not known of it waits."""
        held, at = self._held, 0
        kept: list[bytes] = []
        while at < len(held):
            end = held.find(b"\n", at) + 1
            if not self._mid_line:
                if not end and len(held) - at < _KNOWN and not last:
                    break
                if held.startswith((b"\n", b"\r\n"), at):
                    self._step = self._in_body
                    break
                if not held.startswith((b" ", b"\t"), at):
                    self._dropping = held[at : at + _KNOWN].lower().startswith(self._remove)
            if not self._dropping:
                kept.append(held[at : end or len(held)])
            self._mid_line = not end
            at = end or len(held)
        self._held = held[at:]
        return b"".join(kept) if kept or self._step == self._in_body else None

    def _in_body(self, last: bool) -> bytes | None:  # noqa: ARG002, FBT001 - as above
        octets, self._held = self._held, b""
        return octets or None
