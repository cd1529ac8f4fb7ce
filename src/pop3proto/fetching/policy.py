"""What to fetch, and what to delete on the server. Pure data."""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs

__all__ = ["DAY", "Policy"]

DAY: Final = 86_400.0
"""Seconds."""


@attrs.frozen(kw_only=True)
class Policy:
    """What a fetch does with each message of the maildrop.

    A message is deleted on the server only if all of it was fetched, stored, synced and recorded, whatever else is
    said here.

    Args:
        delete_after: seconds since a message was stored after which it is deleted on the server; 0: in the same
            session; None: never.
        when_gone: delete what is stored, but no longer in the destination, as it was deleted or moved away there. Only
            for destinations that can tell.
        max_octets: of larger messages nothing is fetched, or the header alone, as `too_large` says; None: no limit. The
            size is the one that LIST announces.
        too_large: what is fetched of messages above `max_octets`: "skip" is nothing.
        headers_only: fetch the headers of new messages alone.
        complete: fetch the rest of messages of which the header is stored: all of them (True), or those with these
            unique ids.
        newest: fetch nothing but the last so many messages of the maildrop; None: all.
        since: fetch no message that its mail system received earlier, in seconds since 1970; None: all.
        only: fetch and delete only the messages with these unique ids; None: all.
        again: fetch what is stored already once more, and go on although all unique ids seem to have changed.
        on_doubt: what to do with messages that may have been delivered before a crash: "again" delivers them once more,
            "hold" leaves them.
        session_messages: after so many messages QUIT is sent, and a new session goes on.
        session_octets: likewise after so many octets.
        session_seconds: likewise after so many seconds.
        partial_from: a server that lists so many messages or more may have others that it does not show: new sessions
            follow until one brings nothing; None: it shows all.
        suspects: of the messages that failed in earlier runs, so many may fail again before the others are left for the
            next run.
        pauses: seconds after which a message that has failed once, twice, ... is tried again; the last one counts for
            each further failure.
        retry_after: seconds to wait after the first, second, ... session in a row that broke and brought nothing; then
            the run ends.
        patience: most seconds to wait for a server that wants some time between two logins (LOGIN-DELAY).
    """

    delete_after: float | None = None
    when_gone: bool = False
    max_octets: int | None = None
    too_large: Literal["skip", "headers"] = "skip"
    headers_only: bool = False
    complete: bool | frozenset[str] = False
    newest: int | None = None
    since: float | None = None
    only: frozenset[str] | None = None
    again: bool = False
    on_doubt: Literal["again", "hold"] = "again"
    session_messages: int = 5_000
    session_octets: int = 1 << 30
    session_seconds: float = 1_800.0
    partial_from: int | None = None
    suspects: int = 3
    pauses: tuple[float, ...] = (300, 1_800, 7_200, 28_800, DAY)
    retry_after: tuple[float, ...] = (0, 2, 10)
    patience: float = 60.0

    def __attrs_post_init__(self) -> None:
        if self.delete_after is not None and not 0 <= self.delete_after < math.inf:
            raise ValueError("delete_after must be 0 or more seconds, or None")
        for name in ("max_octets", "newest", "session_messages", "session_octets", "session_seconds"):
            value: float | None = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0")

    @property
    def deletes(self) -> bool:
        """Whether anything may be deleted on the server."""
        return self.delete_after is not None or self.when_gone

    @property
    def deletes_at_once(self) -> bool:
        """Whether messages are deleted in the session in which they are fetched."""
        return self.delete_after == 0
