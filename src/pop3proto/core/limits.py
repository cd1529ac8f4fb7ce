"""Limits of a connection (`Limits`), and deviations from the protocol that it tolerates (`Quirk`)."""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs
from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError

__all__ = ["DEFAULT_LIMITS", "MAX_DIGITS", "NO_QUIRKS", "Limits", "Quirk"]

# Not a field of Limits: every connection must accept the numbers that another may send. 20 digits hold any unsigned
# 64-bit number.
MAX_DIGITS: Final = 20


@attrs.frozen(kw_only=True, repr=False)
class Limits:
    """The limits of one connection. All are positive; lengths are in octets and include the CRLF.

    Args:
        command_line: the longest command line, sent or received (RFC 2449 section 4).
        sasl_line: the longest challenge or response, and the longest AUTH line that a server accepts. RFC 5034 section
            4 sets no maximum; 12,288 is that of RFC 4954 section 4 for SMTP.
        reply_line: the longest status line that a client accepts. RFC 2449 section 4 allows 512, but some servers
            send more. An answer to AUTH may be as long as the larger of this and `sasl_line`.
        reply_line_sent: the longest status line that a server sends (RFC 2449 section 4).
        listing_entries: the most rows of a LIST or UIDL listing; more raise `MalformedReply`.
        text_lines: the most lines of an answer to CAPA, LANG or AUTH; more raise `MalformedReply`.
        text_octets: the most octets, un-stuffed, of such an answer that are held in memory. These answers come before
            login, from a server that has proved nothing.
        body: the most octets, un-stuffed, of a body that is assembled in memory. Streamed bodies have no limit.
        scram_iterations: the most SCRAM iterations that a client computes when a server asks for them. 600,000 take
            about half a second; servers ask for 4,096 to 20,000, and 600,000 is the most that is recommended for
            SHA-256 today.
        bad_commands: how many bad commands (bad syntax, unknown, not legal now) make a server end the session.
        buffered: octets that may be buffered while a command is being answered, beyond any one chunk.

    Raises:
        LocalProtocolError: a limit is not positive, or `buffered` is less than the longest line.
    """

    command_line: int = 255
    sasl_line: int = 12_288
    reply_line: int = 8_192
    reply_line_sent: int = 512
    listing_entries: int = 1_000_000
    text_lines: int = 1_000
    text_octets: int = 65_536
    body: int = 268_435_456
    scram_iterations: int = 600_000
    bad_commands: int = 10
    buffered: int = 65_536

    def __attrs_post_init__(self) -> None:
        for name, bound in attrs.asdict(self).items():
            if bound < 1:
                raise LocalProtocolError(f"limit {name} must be positive, not {bound}")
        if self.buffered < max(self.command_line, self.sasl_line, self.reply_line):
            raise LocalProtocolError(
                "limit buffered must be at least as large as command_line, sasl_line and reply_line"
            )

    @override
    def __repr__(self) -> str:
        fields = [field for field in attrs.fields(Limits) if getattr(self, field.name) != field.default]
        return f"Limits({', '.join(f'{field.name}={getattr(self, field.name)}' for field in fields)})"


DEFAULT_LIMITS: Final = Limits()


class Quirk(Enum):
    """A known deviation from the protocol that some peers show; none is tolerated by default.

    Connections and parsers take a set of these. In this version they have no effect yet.
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
