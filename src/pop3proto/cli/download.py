"""One session that fetches mail into a Maildir, and deletes on the server what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto.core.commands import Dele, Retr
from pop3proto.core.errors import CommandFailed, Pop3Error

from .failures import FAILURE, Failure, reason, warn
from .terminal import counted

if TYPE_CHECKING:
    from pop3proto.blocking import Client

    from .inbox import Inbox
    from .plan import Plan

__all__ = ["Download"]


class Download:
    """The steps of a fetch, in order: `retrieve`, `delete` if that is wanted, `finish`.

    What goes wrong with one message is told and counted, and the others go on.

    Args:
        client: logged in.
        inbox: where the mail goes.
        plan: what to do about each message.
    """

    def __init__(self, client: Client, inbox: Inbox, plan: Plan) -> None:
        self._client = client
        self._inbox = inbox
        self._plan = plan
        self._fetched: list[int] = []
        self._deleted: list[int] = []
        self._failures = 0
        for obstacle in plan.obstacles:
            self._complain(obstacle)

    @property
    def status(self) -> int:
        """The exit status of the command."""
        return FAILURE if self._failures else 0

    @property
    def summary(self) -> str:
        """What was done, in one line."""
        parts = [f"{counted(len(self._fetched), 'message')} fetched"]
        if self._plan.here:
            parts.append(f"{len(self._plan.here):,} already here")
        if self._deleted:
            parts.append(f"{len(self._deleted):,} deleted on the server")
        return ", ".join(parts)

    def retrieve(self) -> None:
        """Fetch and store what is wanted, pipelined if the server takes that, in constant memory.

        Raises:
            Failure: the session broke, or a message could not be stored. What was stored before is stored.
        """
        wanted = self._plan.wanted
        try:
            messages = self._client.stream(map(Retr, wanted))
            for (number, identity), message in zip(wanted.items(), messages, strict=True):
                try:
                    with message:
                        self._inbox.store(message, identity)
                except CommandFailed as failure:
                    self._complain(str(failure))
                else:
                    self._fetched.append(number)
        except (Pop3Error, OSError) as error:
            raise self._broken_off(error) from error

    def delete(self) -> None:
        """Mark what is stored as deleted, pipelined; `finish` makes the server remove it.

        A message that was stored by an earlier fetch, and shares its unique id, is left: it may be another copy now.

        Raises:
            Failure: the session broke. Nothing is deleted.
        """
        numbers = sorted([*self._fetched, *self._plan.certain])
        if doubtful := len(self._plan.here) - len(self._plan.certain):
            warn(f"note: {counted(doubtful, 'message')} left on the server: stored before, but the unique id is shared")
        try:
            results = self._client.call_all(map(Dele, numbers))
        except Pop3Error as error:
            raise self._broken_off(error) from error
        for number, result in zip(numbers, results, strict=True):
            if isinstance(result, CommandFailed):
                self._complain(str(result))
            else:
                self._deleted.append(number)

    def finish(self) -> None:
        """Say QUIT, upon which the server removes what is marked."""
        try:
            self._client.quit()
        except Pop3Error as error:
            if not self._deleted:  # nothing depended on the answer
                return
            marked = counted(len(self._deleted), "message")
            self._complain(f"it is not certain that the server has deleted {marked}: {reason(error)}")
            self._deleted.clear()
        else:
            recorded = sum(self._plan.wanted[number] is not None for number in self._fetched)
            self._inbox.record.leave(max(recorded + len(self._plan.here) - len(self._deleted), 0))

    def _complain(self, text: str) -> None:
        warn(f"pop3proto fetch: {text}")
        self._failures += 1

    def _broken_off(self, error: Exception) -> Failure:
        return Failure(f"{reason(error)} ({self.summary} before that; nothing was deleted)")
