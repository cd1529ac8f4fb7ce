"""One session that fetches mail into a Maildir, proves that each message is whole, and deletes what is stored."""

from __future__ import annotations

import secrets
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.commands import Dele, ListOne, Noop, Retr, UidlOne
from pop3proto.core.errors import ConnectionLost, MalformedReply, Pop3Error, RemoteProtocolError
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.text import counted
from pop3proto.fetching.failures import FAILURE, Failure, reason, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pop3proto.blocking import Client, IncomingMessage
    from pop3proto.core.commands import Command
    from pop3proto.core.replies import Ok
    from pop3proto.fetching.inbox import Inbox
    from pop3proto.fetching.journal import Identity
    from pop3proto.fetching.plan import Plan

__all__ = ["SERIES", "Download", "OutOfStep", "Proof", "choose_proof"]

SERIES: Final = 8
"""Commands behind a message without UIDL: its sender guesses their answers once in 256 times, and has then ended his
own message early. To harm another he must guess those of the next message too, before anything of it counts."""

_ASKED: Final = 10
"""Messages that are asked for their unique id before it is believed that the server does not tell single ones."""

_GRANTED: Final = Noop()
_REFUSED: Final = ListOne(2**31 - 1)
"""No maildrop has such a message. An unknown verb would be refused too, but many of these end a session."""


@attrs.frozen
class Proof:
    """How the messages of one session are proven whole.

    Args:
        commands: what is sent behind RETR, by the message's number.
        length: how many these are.
    """

    commands: Callable[[int], Sequence[Command[object]]]
    length: int

    def holds(self, answers: Iterator[IncomingMessage], identity: Identity | None, *, refused: bool) -> bool:
        """Read the answers to the commands of one message; return whether all are what only the server could say.

        Args:
            answers: the stream, behind the message.
            identity: of the message.
            refused: the message was: the server may then refuse to tell its unique id too.
        """
        return all(_is_true(answers, identity, refused=refused) for _ in range(self.length))


def choose_proof(client: Client, wanted: Mapping[int, Identity | None]) -> Proof:
    """Return the proof that a server can give.

    That is UIDL, whose answer no sender knows before his message has its unique id. A message that is gone may refuse
    it, so several are asked. Where none tells its own id, it is a series of commands in an order drawn by lot, each to
    be granted or refused.
    """
    if any(_tells_unique_id(client, number, identity) for number, identity in islice(wanted.items(), _ASKED)):
        return Proof(lambda number: (UidlOne(number),), 1)
    return Proof(lambda _: _series(), SERIES)


def _tells_unique_id(client: Client, number: int, identity: Identity | None) -> bool:
    try:
        return identity is not None and client.uidl_one(number) == identity.unique_id
    except (CommandFailed, MalformedReply):
        return False


def _series() -> tuple[Command[object], ...]:
    return tuple(secrets.choice((_GRANTED, _REFUSED)) for _ in range(SERIES))


def _is_true(answers: Iterator[IncomingMessage], identity: Identity | None, *, refused: bool) -> bool:
    answer = next(answers)
    command = answer.command
    try:
        with answer:
            return _is_grant(command, answer.reply, identity)
    except CommandFailed:
        return command == _REFUSED or (refused and isinstance(command, UidlOne))
    except (ConnectionLost, MalformedReply, RemoteProtocolError):
        # A connection that is lost just here was perhaps ended by what looked like the server's last words.
        return False


def _is_grant(command: Command[object], reply: Ok | None, identity: Identity | None) -> bool:
    if reply is None:
        return False
    if isinstance(command, UidlOne):
        return identity is not None and command.parse(reply) == identity.unique_id
    return command == _GRANTED


class OutOfStep(Exception):
    """What followed a message was no answer, or nothing: it ended too early. The session is of no use any more.

    Some servers do not stuff every dot. Then a line of the message itself, a lone dot, is taken for its end, and what
    its sender wrote behind that for the server's answers.

    Args:
        number: the message; nothing of it was stored. Those before it are whole.
    """

    def __init__(self, number: int) -> None:
        super().__init__(
            f"left on the server: message {number}: it seems to end early (does the server stuff dots?), "
            "or the connection broke behind it"
        )
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
            proof = choose_proof(self._client, wanted)
            messages = self._client.stream(
                chain.from_iterable((Retr(number), *proof.commands(number)) for number in wanted)
            )
            for number in wanted:
                self._retrieve(number, messages, proof)
        except (Pop3Error, OSError) as error:
            raise self._broken_off(error) from error

    def _retrieve(self, number: int, messages: Iterator[IncomingMessage], proof: Proof) -> None:
        identity = self._plan.wanted[number]

        def prove(*, refused: bool = False) -> None:
            if not proof.holds(messages, identity, refused=refused):
                raise OutOfStep(number)

        try:
            with next(messages) as message:
                self._inbox.store(message, identity, prove)
        except CommandFailed as failure:
            self._complain(str(failure))
            prove(refused=True)
        else:
            self._fetched.append(number)

    def delete(self) -> None:
        """Mark what is stored as deleted, pipelined; `finish` makes the server remove it.

        A message that was stored by an earlier fetch is left if it may be another one now: if it shares its unique id,
        or has another size, as when a server that was set up anew gives an id again.

        Raises:
            Failure: the session broke. Nothing is deleted.
        """
        if shared := len(self._plan.here) - len(self._plan.certain):
            warn(f"note: {counted(shared, 'message')} left on the server: stored before, but the unique id is shared")
        try:
            numbers = sorted([*self._fetched, *self._same_as_before()])
            results = self._client.call_all(map(Dele, numbers), return_exceptions=True)
        except Pop3Error as error:
            raise self._broken_off(error) from error
        for number, result in zip(numbers, results, strict=True):
            if result is not None:
                self._complain(str(result))
            else:
                self._deleted.append(number)

    def _same_as_before(self) -> list[int]:
        """Return those messages, stored by an earlier fetch, whose size says that they are the same still."""
        certain = self._plan.certain
        if not certain:
            return []
        noted, announced = self._inbox.record.octets, self._announced()
        same = [number for number in certain if _agree(noted(certain[number]), announced.get(number))]
        if doubtful := len(certain) - len(same):
            warn(
                f"note: {counted(doubtful, 'message')} left on the server: stored before under the same unique id, "
                "but LIST does not announce the size that was noted then"
            )
        return same

    def _announced(self) -> Mapping[int, int]:
        try:
            return self._client.list()
        except (CommandFailed, MalformedReply):
            return {}

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


def _agree(noted: int | None, announced: int | None) -> bool:
    """Return whether two sizes are of one message. Some servers do not count a line end that they add at its end."""
    return noted is not None and announced is not None and noted - announced in {0, 2}
