r"""Dot-stuffing: how a body of many lines travels, and where it ends (RFC 1939 section 3).

A body ends with a line that is a lone dot. A line of the message that begins with a dot travels
with one dot more, and the receiver takes the first dot away again::

    message  b"a\r\n.b\r\n"        wire  b"a\r\n..b\r\n.\r\n"

Both classes take the octets in any pieces, need no more memory than the piece in hand, and look at
each octet a fixed number of times. The looking is left to C; `python -m benchmarks` measures it.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from typing_extensions import Buffer

from .errors import LocalProtocolError

__all__ = ["BodyDecoder", "BodyEncoder"]

_END: Final = b"\r\n.\r\n"
_DOT: Final = 3  # so much of _END has been seen when its dot has
_WHOLE: Final = len(_END)

# The engine searches for a pattern that is all literal in 0.6 to 1.0 of the time of `find`.
# (Measure that on a megabyte: in one small chunk the processor learns the way of `find` by heart.)
_LEADING_DOT: Final = re.compile(rb"\r\n\.")

# A LF without CR, or else a LF and the dot that leads the next line. As it begins with one literal
# octet, the engine leaps from LF to LF; a look-behind in front would take thirteen times as long.
_BARE_LF_OR_LEADING_DOT: Final = re.compile(rb"\n(?:(?<!\r\n)|\.)")

_FEW: Final = 4
_SPARSE: Final = 512


def _dense(hits: int, octets: int) -> bool:
    # Whether leading dots are so close that one more pass is faster than a step of Python for each.
    return hits > _FEW and octets < hits * _SPARSE


class BodyDecoder:
    r"""Take the stuffing out of a body, and find its end.

    The words are those of `zlib.decompressobj`. Only CRLF ends a line: a bare LF, a bare CR, NUL
    and octets above 127 are content. The first dot of every line but the last is taken away,
    whatever follows it (RFC 1939 section 3). Nothing is held back but a dot that may still be the
    end, and the CR behind it.
    """

    __slots__ = ("_matched", "_unused")

    def __init__(self) -> None:
        # How much of _END the octets so far end with. The line before the body ended with CRLF.
        self._matched = 2
        self._unused = bytearray()

    @property
    def eof(self) -> bool:
        """Whether the end of the body was seen."""
        return self._matched == _WHOLE

    @property
    def held(self) -> bytes:
        r"""The octets that are held back, as they may be the end: `b""`, `b"."` or `b".\r"`."""
        return b"" if self.eof else _END[2 : self._matched]

    @property
    def unused_data(self) -> bytes:
        """The octets that were fed behind the end of the body."""
        return bytes(self._unused)

    def feed(self, chunk: Buffer) -> bytes:
        """Decode the next octets.

        Args:
            chunk: any number of octets. Exact `bytes` may come back uncopied; anything else is
                copied once.

        Returns:
            What is now certain of the body, with its CRLFs. Behind the end of the body that is
            nothing, and the octets are added to `unused_data`.
        """
        data = chunk if type(chunk) is bytes else memoryview(chunk).tobytes()
        octets, offset = self.decode(data, 0)
        if offset < len(data):
            self._unused += memoryview(data)[offset:]
        return octets

    def decode(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Decode `data[start:]`, and leave to the caller what is behind the end of the body.

        Args:
            data: the octets at hand.
            start: the offset of the first that was not yet decoded.

        Returns:
            What is now certain of the body, and the offset of the first octet that was not
            consumed: `len(data)`, unless the body ends before. Nothing is consumed behind its end.
        """
        if self._matched:
            return self._decode_border(data, start)
        return self._decode_lines(data, start, [])

    def _decode_border(self, data: bytes, start: int) -> tuple[bytes, int]:
        # What came before `start` ends with a part of _END: see how far that goes on.
        before = matched = self._matched
        pos = start
        while matched < _WHOLE and pos < len(data) and data[pos] == _END[matched]:
            matched += 1
            pos += 1
        self._matched = matched
        crlf = _END[before : min(matched, 2)]
        if matched == _WHOLE or pos == len(data):
            return crlf, pos
        if matched < _DOT:
            return self._decode_lines(data, start, [])
        # It was not the end: the dot is stuffing, and the CR behind it, if any, is content.
        return self._decode_lines(data, pos, [crlf, _END[_DOT:matched]])

    def _decode_lines(self, data: bytes, start: int, pieces: list[bytes]) -> tuple[bytes, int]:
        # No part of _END reaches across `start`.
        pos = start
        if data.find(b".", start) >= 0:  # base64 has no dot, and one octet is found in no time
            for match in _LEADING_DOT.finditer(data, start):
                dot_end = match.end()
                pieces.append(data[pos : dot_end - 1])
                pos = dot_end
                if data[pos : pos + 2] == b"\r\n":
                    self._matched = _WHOLE
                    return b"".join(pieces), pos + 2
                if _dense(len(pieces), pos - start):
                    return self._decode_dense(data, start, pos, pieces)
        rest = data[pos : self._certain(data, start)]
        return b"".join([*pieces, rest]) if pieces else rest, len(data)

    def _decode_dense(self, data: bytes, start: int, pos: int, pieces: list[bytes]) -> tuple[bytes, int]:
        end = data.find(_END, pos)
        if end >= 0:
            self._matched = _WHOLE
            stop, consumed = end + 2, end + _WHOLE
        else:
            stop, consumed = self._certain(data, start), len(data)
        pieces.append(b"\r\n".join(_LEADING_DOT.split(data[pos:stop])))
        return b"".join(pieces), consumed

    def _certain(self, data: bytes, start: int) -> int:
        # The end of the octets that may go out, and with it the new state.
        self._matched = 0
        if data and data[-1] in b"\r\n.":
            for matched in (4, 3, 2, 1):
                if data.endswith(_END[:matched], start):
                    self._matched = matched
                    return len(data) - max(matched - 2, 0)
        return len(data)


class BodyEncoder:
    r"""Stuff a message for the wire, and let all its lines end with CRLF.

    A bare LF becomes CRLF: else a tolerant client could take `\n.\n` in a mail for the end of the
    body (RFC 5321 section 2.3.8, RFC 1939 section 11). A CR waits for the octet behind it.

    Args:
        bare_cr: what becomes of a CR without LF: "keep" leaves it alone, "crlf" makes it a CRLF.
        trusted_crlf: whether the caller knows that the message has neither bare LF nor bare CR;
            then nobody looks, and it is only stuffed.
    """

    __slots__ = ("_bare_cr", "_cr_waits", "_finished", "_line_start", "_octets", "_trusted_crlf")

    def __init__(self, *, bare_cr: Literal["keep", "crlf"] = "keep", trusted_crlf: bool = False) -> None:
        self._bare_cr = bare_cr
        self._trusted_crlf = trusted_crlf
        self._cr_waits = False
        self._line_start = True
        self._finished = False
        self._octets = 0

    @property
    def octets(self) -> int:
        """The size of the message so far, as STAT and LIST announce it (RFC 1939 section 11).

        Every line end counts as CRLF, that which `finish` adds too; what is stuffed does not count,
        nor does the terminator, nor a CR that waits.
        """
        return self._octets

    def feed(self, chunk: Buffer) -> bytes:
        """Encode the next octets.

        Args:
            chunk: any number of octets. Exact `bytes` may come back uncopied; anything else is
                copied once.

        Returns:
            What goes over the wire.

        Raises:
            LocalProtocolError: the message is finished; nothing has changed.
        """
        self._check_unfinished()
        data = chunk if type(chunk) is bytes else memoryview(chunk).tobytes()
        if self._cr_waits:
            data = b"\r" + data
        self._cr_waits = data.endswith(b"\r")
        if self._cr_waits:
            data = data[:-1]
        return self._encode(data) if data else b""

    def finish(self) -> bytes:
        """End the message.

        Returns:
            The CRLF that the last line lacks, if any, and the terminator.

        Raises:
            LocalProtocolError: the message is finished already; nothing has changed.
        """
        self._check_unfinished()
        self._finished = True
        missing = b"" if self._line_start else b"\r\n"
        if self._cr_waits:
            missing = b"\r\n" if self._bare_cr == "crlf" else b"\r\r\n"
        self._octets += len(missing)
        return missing + b".\r\n"

    def _check_unfinished(self) -> None:
        if self._finished:
            raise LocalProtocolError("this message is finished; each needs an encoder of its own")

    def _encode(self, data: bytes) -> bytes:
        leading_dot = self._line_start and data.startswith(b".")
        octets = self._encode_lines(data)
        self._line_start = octets.endswith(b"\r\n")
        return b"." + octets if leading_dot else octets

    def _encode_lines(self, data: bytes) -> bytes:
        # All but a dot that leads the first line.
        if self._trusted_crlf:
            return self._stuff(data)
        if self._bare_cr == "keep" and data.find(b"\r") >= 0:
            return self._check_and_stuff(data)
        return self._stuff(self._with_crlf(data))

    def _check_and_stuff(self, data: bytes) -> bytes:
        # Where there is a CR, most likely all lines end with CRLF: one pass proves that, and finds
        # the leading dots. If it is not so, or the dots are many, several passes take over.
        pieces: list[bytes] = []
        pos = 0
        for match in _BARE_LF_OR_LEADING_DOT.finditer(data):
            end = match.end()
            if match.group() == b"\n" or _dense(len(pieces), end):
                self._octets += pos
                return b"".join([*pieces, self._stuff(self._with_crlf(data[pos:]))])
            pieces.append(data[pos:end])
            pos = end - 1  # so the dot goes out twice
        self._octets += len(data)
        return b"".join([*pieces, data[pos:]])

    def _with_crlf(self, data: bytes) -> bytes:
        # Single octets are replaced in a third of the time in which a CRLF is found. Take away all
        # CRs and put one before every LF: if the data are as before, they had CRLFs and no others.
        without_cr = data.replace(b"\r", b"")
        lines = without_cr.replace(b"\n", b"\r\n")
        if len(without_cr) == len(data) or lines == data:
            return lines
        unix = data.replace(b"\r\n", b"\n")
        if self._bare_cr == "crlf":
            unix = unix.replace(b"\r", b"\n")
        return unix.replace(b"\n", b"\r\n")

    def _stuff(self, lines: bytes) -> bytes:
        self._octets += len(lines)
        if lines.find(b".") < 0:
            return lines
        return b"\r\n..".join(_LEADING_DOT.split(lines))
