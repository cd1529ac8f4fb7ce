"""Limits and quirks: the bounds of a connection, and the deviations that it tolerates."""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs
from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError

__all__ = ["DEFAULT_LIMITS", "MAX_DIGITS", "NO_QUIRKS", "Limits", "Quirk"]

# Not a field of Limits: a number that one connection may send must be one that every other may receive. 20 digits
# hold any unsigned 64-bit octet count.
MAX_DIGITS: Final = 20


@attrs.frozen(kw_only=True, repr=False)
class Limits:
    """The bounds of one connection. All are positive; lengths are octets and include the CRLF.

    Args:
        command_line: the longest command line, sent or received (RFC 2449 section 4).
        sasl_line: the longest challenge or response, and the longest AUTH line that a server reads. RFC 5034 section
            4 sets no figure; 12,288 is the one that RFC 4954 section 4 gives for SMTP.
        reply_line: the longest status line that a client reads. The RFC says 512, some servers send more. What answers
            AUTH may be as long as the larger of this and `sasl_line`.
        reply_line_sent: the longest status line that a server sends (RFC 2449 section 4).
        listing_entries: rows of a LIST or UIDL listing that are taken in; more are a `MalformedReply`.
        text_lines: lines of an answer to CAPA, LANG or AUTH that are taken in; more are a `MalformedReply`.
        body: octets of a body that is assembled for the caller, un-stuffed. Bodies that stream have no limit.
        bad_commands: refused commands (bad syntax, unknown, out of place) after which a server ends the session.
        buffered: octets that may wait behind a command that is being answered, beyond any one chunk.

    Raises:
        LocalProtocolError: a bound is not positive, or `buffered` cannot hold the longest line.
    """

    command_line: int = 255
    sasl_line: int = 12_288
    reply_line: int = 8_192
    reply_line_sent: int = 512
    listing_entries: int = 1_000_000
    text_lines: int = 1_000
    body: int = 268_435_456
    bad_commands: int = 10
    buffered: int = 65_536

    def __attrs_post_init__(self) -> None:
        for name, bound in attrs.asdict(self).items():
            if bound < 1:
                raise LocalProtocolError(f"limit {name} must be positive, not {bound}")
        if self.buffered < max(self.command_line, self.sasl_line, self.reply_line):
            raise LocalProtocolError("limit buffered must be able to hold the longest line")

    @override
    def __repr__(self) -> str:
        fields = [field for field in attrs.fields(Limits) if getattr(self, field.name) != field.default]
        return f"Limits({', '.join(f'{field.name}={getattr(self, field.name)}' for field in fields)})"


DEFAULT_LIMITS: Final = Limits()


class Quirk(Enum):
    """One deviation of real peers. Connections and parsers take a set of these; none is on by default.

    This version carries the names only: strictness is the same whatever the set holds.
    """

    BARE_LF = "LF alone ends a line"
    UIDL_ANY_UNIQUE_ID = "unique ids longer than 70 octets, or with octets outside 0x21-0x7E"
    UIDL_PREFIXED_ROWS = "+OK before each row of a UIDL listing"
    UIDL_WITHOUT_UNIQUE_ID = "rows of a UIDL listing that hold only the message number"
    STAT_WITHOUT_OCTETS = "a drop listing that holds only the message count"
    OK_AS_CHALLENGE = "+OK in place of a SASL challenge"
    UNENCODED_CHALLENGE = "text that is not base64 in a SASL challenge"
    STRAY_DOT = "a lone dot after a single-line answer"
    NO_PIPELINING = "PIPELINING is announced and does not work"


NO_QUIRKS: Final[frozenset[Quirk]] = frozenset()
