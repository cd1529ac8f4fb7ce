"""What takes long: how many bad commands, how long lines, how long a silence the server takes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.core.text import counted
from pop3proto.procedures.operations import Now

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure

    from .findings import Findings
    from .talk import Talk

__all__ = ["count_bad_commands", "try_long_line", "wait_idle"]

_BAD_COMMANDS: Final = 40
_LEAST_IDLE: Final = 600
"""Seconds that RFC 1939 section 3 wants."""
_LEAST_LINE: Final = 255
"""Octets, with CRLF, that RFC 2449 section 4 allows."""


def count_bad_commands(talk: Talk, findings: Findings) -> Procedure[str]:
    """Send bad commands before login, and count how many the server takes; return it in words."""
    slowest = 0.0
    for number in range(1, _BAD_COMMANDS + 1):
        try:
            said = yield from talk.ask("XPROBE")
        except (ConnectionLost, RemoteProtocolError):
            return f"it hangs up after {counted(number - 1, 'bad command')}"
        except TimedOut:
            return f"it does not answer bad command number {number} in time"
        slowest = max(slowest, said.seconds)
    findings.add("bad-commands-unlimited", f"It takes {_BAD_COMMANDS} bad commands in a row before login.")
    return f"it takes {_BAD_COMMANDS} bad commands; the slowest answer came after {slowest:.1f} s"


def try_long_line(talk: Talk, octets: int, findings: Findings) -> Procedure[str]:
    """Send a line of so many octets, and return in words what became of it."""
    try:
        yield from talk.say(b"XPROBE ".ljust(octets - 2, b"x") + b"\r\n")
        said = yield from talk.hear()
    except (ConnectionLost, RemoteProtocolError):
        end = "ends the session"
    except TimedOut:
        end = "is not answered"
    else:
        return f"a line of {octets:,} octets is answered: {said.text[:40]}"
    if octets <= _LEAST_LINE:
        findings.add("line-limit-low", f"A line of {octets} octets {end}.")
    return f"a line of {octets:,} octets {end}"


def wait_idle(talk: Talk, seconds: float, findings: Findings, *, logged_in: bool) -> Procedure[str]:
    """Say nothing until the server hangs up, or for so many seconds; return in words when it did."""
    begun = yield from Now()
    end = min(begun + seconds, talk.budget.until)
    where = "after login" if logged_in else "before login"
    try:
        while (now := (yield from Now())) < end:
            with suppress(TimedOut):  # the stream may wait less for one read than is asked of it
                yield from talk.hear(end - now)  # a farewell, perhaps
    except (ConnectionLost, RemoteProtocolError):
        waited = (yield from Now()) - begun
        if logged_in and waited < _LEAST_IDLE - 1:
            findings.add("idle-short", f"It hangs up after {waited:.0f} seconds of silence.")
        return f"{where} it hangs up after {waited:.0f} s of silence"
    return f"{where} it keeps a session that is silent for {end - begun:.0f} s"
