"""One session that fetches mail into a Maildir, and deletes on the server what is stored."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from pop3proto.core.commands import Dele, Noop, Retr, UidlOne
from pop3proto.core.errors import CommandFailed, ConnectionLost, MalformedReply, Pop3Error, RemoteProtocolError

from .failures import FAILURE, Failure, reason, warn
from .terminal import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pop3proto._blocking import Message
    from pop3proto.blocking import Client
    from pop3proto.core.commands import Command

    from .inbox import Inbox
    from .plan import Plan

__all__ = ["Download", "OutOfStep"]


class OutOfStep(Exception):
    """A message ended too early: what followed it was no answer. The session is of no use any more.

    Some servers do not stuff every dot. Then a line of the message itself, a lone dot, is taken for its end, and what
    its sender wrote behind that for the server's answers.

    Args:
        number: the message; nothing of it was stored. Those before it are whole.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"left on the server: message {number}: it seems to end early (does the server stuff dots?)")
        self.number = number


class Download:
    """The steps of a fetch, in order: `retrieve`, `delete` if that is wanted, `finish`.

    What goes wrong with one message is told and counted, and the others go on.

    Args:
        client: logged in.
        inbox: where the mail goes.
        plan: what to do about each message.
        before: how many messages earlier sessions of the same fetch have stored.
    """

    def __init__(self, client: Client, inbox: Inbox, plan: Plan, before: int = 0) -> None:
        self._client = client
        self._inbox = inbox
        self._plan = plan
        self._before = before
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
    def fetched(self) -> int:
        """How many messages were stored, those of earlier sessions included."""
        return self._before + len(self._fetched)

    @property
    def summary(self) -> str:
        """What was done, in one line."""
        parts = [f"{counted(self.fetched, 'message')} fetched"]
        if here := len(self._plan.here) - self._before:
            parts.append(f"{here:,} already here")
        if self._deleted:
            parts.append(f"{len(self._deleted):,} deleted on the server")
        return ", ".join(parts)

    def retrieve(self) -> None:
        """Fetch and store what is wanted, pipelined if the server takes that, in constant memory.

        Raises:
            Failure: the session broke, or a message could not be stored. What was stored before is stored.
            OutOfStep: a message ended early. Likewise.
        """
        wanted = self._plan.wanted
        if not wanted:
            return
        try:
            proof = self._proof()
            messages = self._client.stream(chain.from_iterable((Retr(number), proof(number)) for number in wanted))
            for number in wanted:
                self._retrieve(number, messages)
        except (Pop3Error, OSError) as error:
            raise self._broken_off(error) from error

    def _retrieve(self, number: int, messages: Iterator[Message]) -> None:
        prove = partial(self._prove, number, messages)
        try:
            with next(messages) as message:
                self._inbox.store(message, self._plan.wanted[number], prove)
        except CommandFailed as failure:
            self._complain(str(failure))
            prove()
        else:
            self._fetched.append(number)

    def _proof(self) -> Callable[[int], Command[object]]:
        """Return the command whose answer proves that the message before it was whole.

        That is UIDL: no sender knows the unique id that his message will have, so he cannot write the answer himself.
        Where a server does not answer it for one message, NOOP does, which an evil sender could.
        """
        number, identity = next(iter(self._plan.wanted.items()))
        try:
            if identity is not None and self._client.uidl_one(number) == identity.unique_id:
                return UidlOne
        except (CommandFailed, MalformedReply):
            pass
        return lambda _: Noop()

    def _prove(self, number: int, messages: Iterator[Message]) -> None:
        try:
            with next(messages) as answer:
                proven = self._is_proof(number, answer)
        except (CommandFailed, ConnectionLost, MalformedReply, RemoteProtocolError) as error:
            # A connection that is lost just here was perhaps ended by what looked like the server's last words.
            raise OutOfStep(number) from error
        if not proven:
            raise OutOfStep(number)

    def _is_proof(self, number: int, answer: Message) -> bool:
        identity = self._plan.wanted[number]
        if isinstance(answer.command, Noop) or identity is None or answer.reply is None:
            return True
        return UidlOne(number).parse(answer.reply) == identity.unique_id

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
            if not self._deleted:  # nothing depended on the answer, and all messages were proven whole
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
