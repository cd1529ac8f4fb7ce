"""Limits of a connection (`Limits`), and deviations from the protocol that it tolerates (`Quirk`)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

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
        least_rate: octets a second that a body must bring, on average over each timeout that is spent waiting for it.
            The client's procedures see to it, as the core knows no time.
        bad_commands: how many bad commands in a row (bad syntax, unknown, not legal now) make a server end a session
            before login.
        bad_commands_after_login: the same after login.
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
    least_rate: int = 1
    bad_commands: int = 10
    bad_commands_after_login: int = 100
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
    """A known deviation of peers from the protocol; none is tolerated by default.

    Connections and parsers take a set of these; `PROFILES` has the sets for some servers. When a deviation is met and
    tolerated, the event `Tolerated` says so. The value describes the deviation; the name in lower case is the name for
    `quirks_named` and for `--quirks`.
    """

    BARE_LF = "LF alone ends a line"
    """LF counts as CRLF, in bodies too. A message that holds a lone dot between two LFs then ends there."""
    UIDL_ANY_UNIQUE_ID = "unique ids longer than 70 octets, or with octets outside 0x21-0x7E"
    """The rest of the row, without blanks at its ends, is the unique id."""
    UIDL_PREFIXED_ROWS = "+OK before each row of a UIDL listing"
    """It is ignored."""
    STAT_WITHOUT_OCTETS = "no octets in the answer to STAT, or a value that is not a number"
    """The octets of the maildrop are then 0."""
    OK_AS_CHALLENGE = "+OK in place of the first SASL challenge"
    """`+OK` to an AUTH without initial response is a challenge, with the text as its data if that is base64."""
    UNENCODED_CHALLENGE = "text that is not base64 in a SASL challenge"
    """The challenge is empty."""
    STRAY_DOT = "a line with a single dot after a single-line answer"
    """It is skipped."""
    NO_PIPELINING = "PIPELINING is announced and does not work"
    """The client waits for each answer before it sends the next command."""

    if not TYPE_CHECKING:
        __hash__ = object.__hash__  # that of Enum is written in Python


NO_QUIRKS: Final[frozenset[Quirk]] = frozenset()
