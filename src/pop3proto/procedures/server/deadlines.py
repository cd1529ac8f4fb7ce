"""The deadlines of a server's sessions."""

from __future__ import annotations

from typing import Final

import attrs

from pop3proto.core.errors import LocalProtocolError

__all__ = ["DEFAULT_DEADLINES", "Deadlines"]

_LONGEST: Final = 1_000_000  # operating systems have a bound, too
_LEAST_IDLE: Final = 600  # RFC 1939 section 3: an autologout timer must be of at least ten minutes


@attrs.frozen(kw_only=True)
class Deadlines:
    """Timeouts of a server in seconds. When one passes, the server closes the connection silently, and deletes nothing.

    Args:
        login: for the whole time from the greeting to a successful login.
        idle: for the next command after login.
        write: for the client to read each megabyte of an answer.
        grace: for the next command after a shutdown began; it is answered with [SYS/TEMP], except QUIT.
        short_idle: allow `idle` of less than ten minutes, which RFC 1939 section 3 forbids.

    Raises:
        LocalProtocolError: a deadline is not positive (`grace` may be 0), or `idle` is too short.
    """

    login: float = 60
    idle: float = _LEAST_IDLE
    write: float = 60
    grace: float = 5
    short_idle: bool = False

    def __attrs_post_init__(self) -> None:
        if not all(0 < deadline <= _LONGEST for deadline in (self.login, self.idle, self.write)):
            raise LocalProtocolError(f"a deadline must be positive, and at most {_LONGEST} seconds")
        if not 0 <= self.grace <= _LONGEST:
            raise LocalProtocolError(f"the grace must be at least 0 and at most {_LONGEST} seconds")
        if self.idle < _LEAST_IDLE and not self.short_idle:
            raise LocalProtocolError(f"RFC 1939 wants at least {_LEAST_IDLE} idle seconds; short_idle=True overrides")


DEFAULT_DEADLINES: Final = Deadlines()
