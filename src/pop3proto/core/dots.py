r"""Dot-stuffing: encoder and decoder for the body of a multi-line reply (RFC 1939 section 3).

A line with a single dot ends the body. Where a line of the message begins with a dot, the sender adds
one more dot in front, and the receiver removes it::

    message  b"a\r\n.b\r\n"        wire  b"a\r\n..b\r\n.\r\n"

Both classes accept chunks of any size, need memory in proportion to the current chunk, and scan each octet
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

# How fast a way of searching is depends on the compiler and the options that the interpreter was built with. So all
# ways were measured on five builds, on a megabyte: on small inputs, branch prediction flatters `find`. Relative to the
# speed of `count(b"\r\n.")`, `find` has 0.9 to 1.0, `rfind` 0.9 to 1.35, and this pattern 0.65 to 1.7. It is at least
# as fast as `find` on four of them, but takes longer to begin.
_LEADING_DOT: Final = re.compile(rb"\r\n\.")

# An LF without CR; and that, or an LF and a dot at the start of the next line. A pattern that begins with one literal
# octet lets the engine skip from LF to LF; with a look-behind in front it takes thirteen times as long.
_BARE_LF: Final = re.compile(rb"\n(?<!\r\n)")
_BARE_LF_OR_LEADING_DOT: Final = re.compile(rb"\n(?:(?<!\r\n)|\.)")

# Where leading dots are frequent, or little is left to search, another pass takes less time than a step of Python for
# each of them.
_FEW: Final = 2
_SPARSE: Final = 512  # octets for each dot
_SHORT: Final = 2048

# `replace` searches twice, but makes no object for each piece. Where leading dots are closer than this, it is up to
# three times as fast as splitting and joining; where they are rare, it takes up to twice as long. A few of them tell
# most often; whoever has written the message may have made these few unlike the others, so the pieces are bounded.
_CLOSE: Final = 32
_SAMPLE: Final = 16


def _dense(hits: int, octets: int) -> bool:
    return hits > _FEW and octets < hits * _SPARSE


def _replace_leading_dots(lines: bytes, new: bytes) -> bytes:
    # Replaces each b"\r\n.".
    pieces = lines.rsplit(b"\r\n.", _SAMPLE)
    if len(pieces) <= _SAMPLE:
        return new.join(pieces)
    if len(lines) - len(pieces[0]) >= _SAMPLE * _CLOSE:
        most = len(lines) // _CLOSE
        pieces[:1] = pieces[0].rsplit(b"\r\n.", most)
        if len(pieces) <= most:
            return new.join(pieces)
    pieces.clear()
    return lines.replace(b"\r\n.", new)


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

    Attributes:
        removed: dots of stuffing that were removed so far.
    """

    __slots__ = ("_matched", "_unused", "removed")

    def __init__(self) -> None:
        # How many octets of _END the input so far ends with: 2 at first, because the status line before
        # the body ended with CRLF.
        self._matched = 2
        self._unused = bytearray()
        self.removed: int = 0

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
        head = b""
        if self._matched:
            head, start = self._decode_border(data, start)
            if self._matched:
                return head, start
        dot = data.find(b".", start)  # base64 has no dots, and searching for one octet is fast
        first = -1 if dot < 0 else data.find(b"\r\n.", dot - 2 if dot > start + 1 else start)
        if first < 0:
            return head + data[start : self._certain(data, start)], len(data)
        if data.startswith(_END, first):  # most messages have no other leading dot
            self._matched = _WHOLE
            return head + data[start : first + 2], first + _WHOLE
        if len(data) - first < _SHORT:
            return self._decode_dense(data, start, first, head)
        return self._decode_sparse(data, start, first, head)

    def _decode_border(self, data: bytes, start: int) -> tuple[bytes, int]:
        # The octets before `start` end with a part of _END: see how far `data` continues it. Returns what is certain
        # now, and the offset behind it. The state is 0 if the search has to go on from there.
        before = matched = self._matched
        pos = start
        while matched < _WHOLE and pos < len(data) and data[pos] == _END[matched]:
            matched += 1
            pos += 1
        crlf = _END[before : min(matched, 2)]
        if matched == _WHOLE or pos == len(data):
            self._matched = matched
            return crlf, pos
        self._matched = 0
        if matched < _DOT:
            return b"", start
        # It was not the terminator: the dot is stuffing, and the CR after it, if any, is content.
        self.removed += 1
        return crlf + _END[_DOT:matched], pos

    def _decode_sparse(self, data: bytes, start: int, first: int, head: bytes) -> tuple[bytes, int]:
        # As views, the long pieces between the dots are copied once only, when they are joined.
        view = memoryview(data)
        pieces: list[Buffer] = [head]
        pos = start
        for match in _LEADING_DOT.finditer(data, first):
            dot_end = match.end()
            pieces.append(view[pos : dot_end - 1])
            pos = dot_end
            if data.startswith(b"\r\n", pos):
                self._matched = _WHOLE
                self.removed += len(pieces) - 2
                return b"".join(pieces), pos + 2
            if _dense(len(pieces), pos - start):
                return self._decode_dense(data, start, first, head)
        pieces.append(view[pos : self._certain(data, start)])
        self.removed += len(pieces) - 2 - (self._matched >= _DOT)  # a dot at the end may still be the terminator
        return b"".join(pieces), len(data)

    def _decode_dense(self, data: bytes, start: int, first: int, head: bytes) -> tuple[bytes, int]:
        end = data.find(_END, first)
        if end >= 0:
            self._matched = _WHOLE
            stop, consumed = end + 2, end + _WHOLE
        else:
            stop, consumed = self._certain(data, start), len(data)
        octets = _replace_leading_dots(data[start:stop], b"\r\n")
        self.removed += stop - start - len(octets)
        return head + octets, consumed

    def _certain(self, data: bytes, start: int) -> int:
        # The end of the octets that can be returned; sets the new state.
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
        if data.find(b"\r") < 0:
            return self._stuff(data.replace(b"\n", b"\r\n"))
        if self._bare_cr == "crlf":
            return self._stuff(_all_crlf(data))
        return self._check_and_stuff(data)

    def _check_and_stuff(self, data: bytes) -> bytes:
        # If there is a CR, most likely all lines end with CRLF: one pass verifies that and finds the
        # leading dots. If a line does not, or there are many dots, several passes do it.
        view = memoryview(data)
        pieces: list[Buffer] = []
        pos = 0
        for match in _BARE_LF_OR_LEADING_DOT.finditer(data):
            end = match.end()
            if match.group() == b"\n" or _dense(len(pieces), end):
                return self._stuff(_no_bare_lf(data))
            pieces.append(view[pos:end])
            pos = end - 1  # so the dot is emitted twice
        self._octets += len(data)
        return b"".join([*pieces, view[pos:]]) if pieces else data

    def _stuff(self, lines: bytes) -> bytes:
        self._octets += len(lines)
        return lines if lines.find(b".") < 0 else _replace_leading_dots(lines, b"\r\n..")


def _no_bare_lf(data: bytes) -> bytes:
    # Makes CRLF of each bare LF.
    if _BARE_LF.search(data) is None:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _all_crlf(data: bytes) -> bytes:
    # Makes CRLF of each bare LF and bare CR. Replacing single octets takes a third of the time of finding CRLFs. Remove
    # all CRs and put one before every LF: if the result equals the input, all its line ends were CRLF.
    lines = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    if lines == data:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
