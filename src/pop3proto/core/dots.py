r"""Dot-stuffing: how a body of many lines travels, and where it ends (RFC 1939 section 3).

A body ends with a line that is a lone dot. A line of the message that begins with a dot travels with one dot more,
and the receiver takes the first dot away again::

    message  b"a\r\n.b\r\n"        wire  b"a\r\n..b\r\n.\r\n"

Both classes take the octets in any pieces, need no more memory than the piece in hand, and search each octet a fixed
number of times. All the searching is done in C: which search is the fastest was measured, see `benchmarks`.
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

# Where `find` was compiled without a profile, this pattern takes 0.6 to 1.0 of the time of `find(b"\r\n.")`; where it
# was compiled with one, both are several times faster, and it takes 1.3.
_LEADING_DOT: Final = re.compile(rb"\r\n\.")
# A LF without CR, or else a LF and the dot that leads the next line. That it begins with a single octet lets the
# engine leap from LF to LF; an alternative in front takes four times as long, a look-behind thirteen times.
_BARE_LF_OR_LEADING_DOT: Final = re.compile(rb"\n(?:(?<!\r\n)|\.)")

_FEW: Final = 4
_SPARSE: Final = 512


def _dense(hits: int, octets: int) -> bool:
    """Whether leading dots are so close that passes over all the rest are faster than a step of Python for each."""
    return hits > _FEW and octets < hits * _SPARSE


class BodyDecoder:
    r"""Take the stuffing out of a body, and find its end.

    The words are those of `zlib.decompressobj`. Only CRLF ends a line: a bare LF, a bare CR, NUL and octets above 127
    are content. The first dot of any line but the last is taken away, whether or not another follows (RFC 1939
    section 3). Only a dot that may still be the end is held back, and the CR behind it.
    """

    __slots__ = ("_matched", "_unused")

    def __init__(self) -> None:
        # How many octets of _END the input so far ends with. The line before the body ended with CRLF.
        self._matched = 2
        self._unused = bytearray()

    @property
    def eof(self) -> bool:
        """Whether the end of the body was seen."""
        return self._matched == _WHOLE

    @property
    def held(self) -> bytes:
        r"""The octets that are held back, because they may be the end: b"", b"." or b".\r"."""
        return b"" if self.eof else _END[2 : self._matched]

    @property
    def unused_data(self) -> bytes:
        """The octets that were fed behind the end of the body."""
        return bytes(self._unused)

    def feed(self, chunk: Buffer) -> bytes:
        """Decode the next octets of the body.

        Args:
            chunk: any number of octets. Exact `bytes` may come back uncopied, anything else is copied once.

        Returns:
            What is certain of the body, CRLF line ends included. Behind the end: nothing, and the chunk goes to
            `unused_data`.
        """
        data = chunk if type(chunk) is bytes else memoryview(chunk).tobytes()
        octets, offset = self.decode(data, 0)
        if offset < len(data):
            self._unused += data[offset:]
        return octets

    def decode(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Decode `data[start:]`, as far as the body goes; for callers that keep what is behind it themselves.

        Args:
            data: the octets at hand.
            start: where the next octets of the body begin in them.

        Returns:
            What is certain of the body, and the offset behind what was consumed: all of `data`, unless the body ends
            before. Nothing is consumed behind the end.
        """
        if self._matched:
            return self._decode_border(data, start)
        return self._decode_lines(data, start, [])

    def _decode_border(self, data: bytes, start: int) -> tuple[bytes, int]:
        # The octets before `start` ended like the beginning of _END: see how far it goes on.
        before = matched = self._matched
        pos = start
        while matched < _WHOLE and pos < len(data) and data[pos] == _END[matched]:
            matched += 1
            pos += 1
        self._matched = matched
        line_end = _END[before:2] if pos > start else b""
        if matched == _WHOLE or pos == len(data):
            return line_end, pos
        if matched < _DOT:
            return self._decode_lines(data, start, [])
        # A leading dot, and the CR behind it if there was one, were not the end: the dot goes, the CR is content.
        return self._decode_lines(data, pos, [line_end, _END[_DOT:matched]])

    def _decode_lines(self, data: bytes, start: int, pieces: list[bytes]) -> tuple[bytes, int]:
        # From here _END, or a part of it, begins at `start` or behind it.
        pos = start
        if data.find(b".", start) >= 0:  # base64 has none, and looking for one octet is nearly free
            for match in _LEADING_DOT.finditer(data, start):
                dot = match.end()
                pieces.append(data[pos : dot - 1])
                pos = dot
                if data[pos : pos + 2] == b"\r\n":
                    self._matched = _WHOLE
                    return b"".join(pieces), pos + 2
                if _dense(len(pieces), pos - start):
                    return self._decode_dense(data, start, pos, pieces)
        rest = data[pos : self._stop(data, start)]
        return b"".join([*pieces, rest]) if pieces else rest, len(data)

    def _decode_dense(self, data: bytes, start: int, pos: int, pieces: list[bytes]) -> tuple[bytes, int]:
        end = data.find(_END, pos)
        if end >= 0:
            self._matched = _WHOLE
            stop, consumed = end + 2, end + _WHOLE
        else:
            stop, consumed = self._stop(data, start), len(data)
        pieces.append(b"\r\n".join(_LEADING_DOT.split(data[pos:stop])))
        return b"".join(pieces), consumed

    def _stop(self, data: bytes, start: int) -> int:
        # Where the octets end that may go out now: before a last dot that may still be the end.
        self._matched = 0
        if data and data[-1] in b"\r\n.":
            for matched in (4, 3, 2, 1):
                if data.endswith(_END[:matched], start):
                    self._matched = matched
                    return len(data) - max(matched - 2, 0)
        return len(data)


class BodyEncoder:
    r"""Stuff a message for the wire, and make all its lines end with CRLF.

    A bare LF becomes CRLF (RFC 5321 section 2.3.8: else `\n.\n` in a mail could end the body for a tolerant client).
    A CR at the end of a chunk waits for the octet behind it.

    Args:
        bare_cr: what becomes of a CR without LF: "keep" leaves it, "crlf" makes a line end of it.
        trusted_crlf: the caller knows that every LF follows a CR; nobody looks, and the message is only stuffed.
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

        That is with CRLF line ends, the one that `finish` may add included, and without stuffing and terminator.
        """
        return self._octets

    def feed(self, chunk: Buffer) -> bytes:
        """Encode the next octets of the message.

        Args:
            chunk: any number of octets. Exact `bytes` may come back uncopied, anything else is copied once.

        Returns:
            What goes over the wire.

        Raises:
            LocalProtocolError: the message was finished; nothing has changed.
        """
        self._refuse_if_finished()
        data = chunk if type(chunk) is bytes else memoryview(chunk).tobytes()
        if self._cr_waits:
            data = b"\r" + data
        self._cr_waits = data.endswith(b"\r")
        if self._cr_waits:
            data = data[:-1]
        leading_dot = self._line_start and data.startswith(b".")
        if data:
            self._line_start = data.endswith(b"\n")
        octets = self._encode(data)
        return b"." + octets if leading_dot else octets

    def finish(self) -> bytes:
        """End the message.

        Returns:
            The line end that the message lacks, and the terminator. An empty message lacks none.

        Raises:
            LocalProtocolError: the message was finished before; nothing has changed.
        """
        self._refuse_if_finished()
        self._finished = True
        missing = b"" if self._line_start else b"\r\n"
        if self._cr_waits:
            missing = b"\r\n" if self._bare_cr == "crlf" else b"\r\r\n"
        self._octets += len(missing)
        return missing + b".\r\n"

    def _encode(self, data: bytes) -> bytes:
        # All but a dot that leads the first line.
        if self._trusted_crlf:
            return self._stuff(data)
        if self._bare_cr == "keep" and data.find(b"\r") >= 0:
            return self._check_and_stuff(data)
        return self._stuff(self._with_crlf(data))

    def _check_and_stuff(self, data: bytes) -> bytes:
        # Where there are CRs, most likely all line ends are CRLF. One pass proves that and finds the leading dots.
        pieces: list[bytes] = []
        pos = 0
        for match in _BARE_LF_OR_LEADING_DOT.finditer(data):
            end = match.end()
            if match.group() == b"\n" or _dense(len(pieces), end):
                self._octets += pos
                return b"".join([*pieces, self._stuff(self._with_crlf(data[pos:]))])
            pieces.append(data[pos:end])
            pos = end - 1  # the dot goes out again with the next piece
        self._octets += len(data)
        return b"".join([*pieces, data[pos:]])

    def _with_crlf(self, data: bytes) -> bytes:
        # Single octets are replaced several times faster than two are found. Take every CR away and put one before
        # every LF: if that changes nothing, then every CR and every LF was half of a CRLF.
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
        if lines.find(b".") < 0:  # base64 has none
            return lines
        return b"\r\n..".join(_LEADING_DOT.split(lines))

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise LocalProtocolError("the message was finished: its terminator is already encoded")
