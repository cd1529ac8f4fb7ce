r"""Dot-stuffing: encoder and decoder for the body of a multi-line reply (RFC 1939 section 3).

A line with a single dot ends the body. Where a line of the message begins with a dot, the sender adds
one more dot in front, and the receiver removes it::

    message  b"a\r\n.b\r\n"        wire  b"a\r\n..b\r\n.\r\n"

Both classes accept chunks of any size, need no more memory than the current chunk, and scan each octet
a fixed number of times. All scanning is done in C; `python -m benchmarks` measures it.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from typing_extensions import Buffer

from .errors import LocalProtocolError

__all__ = ["BodyDecoder", "BodyEncoder"]

_END: Final = b"\r\n.\r\n"
_DOT: Final = 3  # length of _END up to its dot
_WHOLE: Final = len(_END)

# The regex engine finds a pattern that is all literal in 0.6 to 1.0 of the time of `find`.
# (Measure that on a megabyte: on small inputs, branch prediction flatters `find`.)
_LEADING_DOT: Final = re.compile(rb"\r\n\.")

# An LF without CR, or an LF and a dot at the start of the next line. The pattern begins with one literal
# octet, so the engine skips from LF to LF; with a look-behind in front it takes thirteen times as long.
_BARE_LF_OR_LEADING_DOT: Final = re.compile(rb"\n(?:(?<!\r\n)|\.)")

_FEW: Final = 4
_SPARSE: Final = 512


def _dense(hits: int, octets: int) -> bool:
    # Whether leading dots are so frequent that another pass is faster than a Python step for each.
    return hits > _FEW and octets < hits * _SPARSE


class BodyDecoder:
    r"""Incremental decoder of a body: removes dot-stuffing and finds the end.

    The interface is that of `zlib.decompressobj`. Only CRLF ends a line: a bare LF, a bare CR, NUL
    and octets above 127 are content. The first dot of every line but the last is removed, whatever
    follows it (RFC 1939 section 3). Only a dot that may be the terminator, and a CR after it, are held
    back.

    For example::

        decoder = BodyDecoder()
        assert decoder.feed(b"a\r\n..b\r\n.\r\n+OK") == b"a\r\n.b\r\n"
        assert decoder.eof
        assert decoder.unused_data == b"+OK"
    """

    __slots__ = ("_matched", "_unused")

    def __init__(self) -> None:
        # How many octets of _END the input so far ends with: 2 at first, because the status line before
        # the body ended with CRLF.
        self._matched = 2
        self._unused = bytearray()

    @property
    def eof(self) -> bool:
        """Whether the end of the body was found."""
        return self._matched == _WHOLE

    @property
    def held(self) -> bytes:
        r"""Octets held back because they may be the terminator: `b""`, `b"."` or `b".\r"`."""
        return b"" if self.eof else _END[2 : self._matched]

    @property
    def unused_data(self) -> bytes:
        """Octets that were fed after the end of the body."""
        return bytes(self._unused)

    def feed(self, chunk: Buffer) -> bytes:
        """Decode the next octets.

        Args:
            chunk: any number of octets. `bytes` may be returned without a copy; any other buffer
                is copied once.

        Returns:
            The decoded octets, with CRLFs. After the end of the body they are empty, and the input
            is added to `unused_data`.
        """
        data = chunk if type(chunk) is bytes else memoryview(chunk).tobytes()
        octets, offset = self.decode(data, 0)
        if offset < len(data):
            self._unused += memoryview(data)[offset:]
        return octets

    def decode(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Decode `data[start:]`, up to the end of the body.

        Args:
            data: the octets to decode.
            start: offset of the first octet that was not yet decoded.

        Returns:
            The decoded octets, and the offset of the first octet that was not consumed: `len(data)`,
            unless the body ends before that. Nothing after the end is consumed.
        """
        if self._matched:
            return self._decode_border(data, start)
        return self._decode_lines(data, start, [])

    def _decode_border(self, data: bytes, start: int) -> tuple[bytes, int]:
        # The octets before `start` end with a part of _END: see how far `data` continues it.
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
        # It was not the terminator: the dot is stuffing, and the CR after it, if any, is content.
        return self._decode_lines(data, pos, [crlf, _END[_DOT:matched]])

    def _decode_lines(self, data: bytes, start: int, pieces: list[bytes]) -> tuple[bytes, int]:
        # No part of _END reaches across `start`.
        pos = start
        if data.find(b".", start) >= 0:  # base64 has no dots, and searching for one octet is fast
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
        # The end of the octets that can be returned; sets the new state.
        self._matched = 0
        if data and data[-1] in b"\r\n.":
            for matched in (4, 3, 2, 1):
                if data.endswith(_END[:matched], start):
                    self._matched = matched
                    return len(data) - max(matched - 2, 0)
        return len(data)


class BodyEncoder:
    r"""Incremental encoder of a body: converts line ends to CRLF, adds dot-stuffing and the terminator.

    A bare LF becomes CRLF; otherwise a tolerant client could take `\n.\n` in a message for the end of
    the body (RFC 5321 section 2.3.8, RFC 1939 section 11). A CR at the end of a chunk is held back
    until the next octet is known. Use one encoder per message.

    For example::

        encoder = BodyEncoder()
        assert encoder.feed(b"a\n.b") + encoder.finish() == b"a\r\n..b\r\n.\r\n"
        assert encoder.octets == len(b"a\r\n.b\r\n")

    Args:
        bare_cr: how to treat a CR without LF: "keep" leaves it unchanged, "crlf" makes it a CRLF.
        trusted_crlf: the caller guarantees that the message has no bare LF and no bare CR; line ends
            are then not checked, only dots are stuffed.
    """

    __slots__ = ("_bare_cr", "_cr_held", "_finished", "_line_start", "_octets", "_trusted_crlf")

    def __init__(self, *, bare_cr: Literal["keep", "crlf"] = "keep", trusted_crlf: bool = False) -> None:
        self._bare_cr = bare_cr
        self._trusted_crlf = trusted_crlf
        self._cr_held = False
        self._line_start = True
        self._finished = False
        self._octets = 0

    @property
    def octets(self) -> int:
        """The size of the message so far in octets, as STAT and LIST announce it (RFC 1939 section 11).

        Every line end counts as CRLF, including one that `finish` adds. Stuffed dots, the terminator
        and a CR that is held back do not count.
        """
        return self._octets

    def feed(self, chunk: Buffer) -> bytes:
        """Encode the next octets.

        Args:
            chunk: any number of octets. `bytes` may be returned without a copy; any other buffer
                is copied once.

        Returns:
            The encoded octets.

        Raises:
            LocalProtocolError: `finish` was called before. Nothing has changed.
        """
        self._check_unfinished()
        data = chunk if type(chunk) is bytes else memoryview(chunk).tobytes()
        if self._cr_held:
            data = b"\r" + data
        self._cr_held = data.endswith(b"\r")
        if self._cr_held:
            data = data[:-1]
        return self._encode(data) if data else b""

    def finish(self) -> bytes:
        """End the message.

        Returns:
            A CRLF if the last line lacks one, and the terminator.

        Raises:
            LocalProtocolError: `finish` was called before. Nothing has changed.
        """
        self._check_unfinished()
        self._finished = True
        missing = b"" if self._line_start else b"\r\n"
        if self._cr_held:
            missing = b"\r\n" if self._bare_cr == "crlf" else b"\r\r\n"
        self._octets += len(missing)
        return missing + b".\r\n"

    def _check_unfinished(self) -> None:
        if self._finished:
            raise LocalProtocolError("this BodyEncoder is finished; create one for each message")

    def _encode(self, data: bytes) -> bytes:
        leading_dot = self._line_start and data.startswith(b".")
        octets = self._encode_lines(data)
        self._line_start = octets.endswith(b"\r\n")
        return b"." + octets if leading_dot else octets

    def _encode_lines(self, data: bytes) -> bytes:
        # Does everything except stuffing a dot at the start of the first line.
        if self._trusted_crlf:
            return self._stuff(data)
        if self._bare_cr == "keep" and data.find(b"\r") >= 0:
            return self._check_and_stuff(data)
        return self._stuff(self._with_crlf(data))

    def _check_and_stuff(self, data: bytes) -> bytes:
        # If there is a CR, most likely all lines end with CRLF: one pass verifies that and finds the
        # leading dots. If a line does not, or there are many dots, several passes do the rest.
        pieces: list[bytes] = []
        pos = 0
        for match in _BARE_LF_OR_LEADING_DOT.finditer(data):
            end = match.end()
            if match.group() == b"\n" or _dense(len(pieces), end):
                self._octets += pos
                return b"".join([*pieces, self._stuff(self._with_crlf(data[pos:]))])
            pieces.append(data[pos:end])
            pos = end - 1  # so the dot is emitted twice
        self._octets += len(data)
        return b"".join([*pieces, data[pos:]])

    def _with_crlf(self, data: bytes) -> bytes:
        # Replacing single octets takes a third of the time of finding CRLFs. Remove all CRs and put one
        # before every LF: if the result equals the input, all its line ends were CRLF.
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
