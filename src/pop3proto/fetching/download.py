"""One session of a fetch: retrieve messages, prove each of them complete, store them, and delete stored messages."""

from __future__ import annotations

import secrets
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.commands import Dele, ListOne, Noop, Retr, UidlOne
from pop3proto.core.errors import ConnectionLost, MalformedReply, Pop3Error, RemoteProtocolError
from pop3proto.core.limits import NO_QUIRKS
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.text import counted
from pop3proto.fetching.failures import FAILURE, Failure, cannot, reason, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Set as AbstractSet

    from pop3proto.blocking import Client, IncomingMessage
    from pop3proto.core.commands import Command
    from pop3proto.core.limits import Quirk
    from pop3proto.core.replies import Ok
    from pop3proto.fetching.inbox import Inbox
    from pop3proto.fetching.journal import Identity
    from pop3proto.fetching.plan import Plan

__all__ = ["SERIES", "Download", "OutOfStep", "Proof", "choose_proof"]

SERIES: Final = 8
"""Commands after each message on a server without UIDL. Text in a message that imitates their answers is right once in
256 times (2**8), and then only cuts that message short. To replace the next message too, the text must also imitate
the answers after it."""

_UIDL_ATTEMPTS: Final = 10
"""Messages to try `UIDL n` with before concluding that the server does not support it."""

_ACCEPTED: Final = Noop()
_REFUSED: Final = ListOne(2**31 - 1)
"""No maildrop has a message with this number. An unknown verb would be refused too, but many servers end a session
after a few of these."""


@attrs.frozen
class Proof:
    """How to prove that the messages of a session are complete: by commands after each RETR and their answers.

    A message is complete if the right answers follow it. Its sender cannot have written them into the message, because
    the sender cannot know them.

    Args:
        commands: returns the commands to send after RETR, for a message number.
        length: number of these commands.
        quirks: deviations of the server that are tolerated in their answers.
    """

    commands: Callable[[int], Sequence[Command[object]]]
    length: int
    quirks: AbstractSet[Quirk] = NO_QUIRKS

    def holds(self, answers: Iterator[IncomingMessage], identity: Identity | None, *, refused: bool) -> bool:
        """Read the answers after one message; return whether all of them are right.

        Args:
            answers: the answers of the session, positioned after the message.
            identity: identity of the message.
            refused: the server refused RETR; it may then refuse UIDL for this message too.
        """
        return all(self._is_right(next(answers), identity, refused=refused) for _ in range(self.length))

    def _is_right(self, answer: IncomingMessage, identity: Identity | None, *, refused: bool) -> bool:
        command = answer.command
        try:
            with answer:
                return self._is_accepted(command, answer.reply, identity)
        except CommandFailed:
            return command == _REFUSED or (refused and isinstance(command, UidlOne))
        except (ConnectionLost, MalformedReply, RemoteProtocolError):
            # The connection may be lost here because the message ended early, with text that looked like a last reply.
            return False

    def _is_accepted(self, command: Command[object], reply: Ok | None, identity: Identity | None) -> bool:
        if reply is None:
            return False
        if isinstance(command, UidlOne):
            return identity is not None and command.parse(reply, quirks=self.quirks) == identity.unique_id
        return command == _ACCEPTED


def choose_proof(client: Client, wanted: Mapping[int, Identity | None]) -> Proof:
    """Choose how to prove messages complete with this server.

    Normally by `UIDL n`: a sender does not know the unique id, which is given to the message later. The server may
    refuse it for a message that was removed, so several messages are tried. If none returns the right unique id, the
    proof is a random series of commands, some of which the server accepts and some of which it refuses.

    Args:
        client: a client that is logged in.
        wanted: identities of the messages to fetch, by message number.
    """
    if any(_supports_uidl_one(client, number, identity) for number, identity in islice(wanted.items(), _UIDL_ATTEMPTS)):
        return Proof(lambda number: (UidlOne(number),), 1, client.session.connection.quirks)
    return Proof(lambda _: _series(), SERIES)


def _supports_uidl_one(client: Client, number: int, identity: Identity | None) -> bool:
    try:
        return identity is not None and client.uidl_one(number) == identity.unique_id
    except (CommandFailed, MalformedReply):
        return False


def _series() -> tuple[Command[object], ...]:
    return tuple(secrets.choice((_ACCEPTED, _REFUSED)) for _ in range(SERIES))


class OutOfStep(Exception):
    """A message was not followed by the right answers: it probably ended early. The session cannot be used any more.

    Some servers do not stuff every dot. Then a line in the message that is a single dot is taken for its end, and the
    text after it for the server's answers.

    Args:
        number: number of the message, which was not stored. The messages before it are complete.
    """

    def __init__(self, number: int) -> None:
        super().__init__(
            f"message {number} was left on the server: it seems to end early (the server may not have dot-stuffed it), "
            "or the connection was lost right after it"
        )
        self.number = number


class Download:
    """The steps of a fetch in one session, in order: `retrieve`, `delete` if wanted, `finish`.

    A failure for one message is reported on standard error and counted; the rest are still fetched.

    Args:
        client: a client that is logged in.
        inbox: the target.
        plan: the messages to fetch.
        server: host and port of the server, for messages.
        before: number of messages stored by earlier sessions of the same fetch.
    """

    def __init__(self, client: Client, inbox: Inbox, plan: Plan, server: str, before: int = 0) -> None:
        self._client = client
        self._inbox = inbox
        self._plan = plan
        self._server = server
        self._before = before
        self._fetched: list[int] = []
        self._deleted: list[int] = []
        self._failures = 0
        for obstacle in plan.obstacles:
            self._report_failure(obstacle)

    @property
    def status(self) -> int:
        """The exit status of the command."""
        return FAILURE if self._failures else 0

    @property
    def fetched(self) -> int:
        """Number of messages stored, including those of earlier sessions of this fetch."""
        return self._before + len(self._fetched)

    @property
    def summary(self) -> str:
        """What was done, in one line for the user."""
        parts = [f"{counted(self.fetched, 'message')} fetched"]
        if here := len(self._plan.here) - self._before:
            parts.append(f"{here:,} already here")
        if self._deleted:
            parts.append(f"{len(self._deleted):,} deleted on the server")
        return ", ".join(parts)

    def retrieve(self) -> None:
        """Fetch and store the wanted messages: pipelined if the server allows it, in constant memory.

        Raises:
            Failure: the session broke, or a message could not be stored. Messages stored before that are kept.
            OutOfStep: a message ended early. Messages stored before that are kept.
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
            raise self._session_failure(error) from error

    def _retrieve(self, number: int, messages: Iterator[IncomingMessage], proof: Proof) -> None:
        identity = self._plan.wanted[number]

        def prove(*, refused: bool = False) -> None:
            if not proof.holds(messages, identity, refused=refused):
                raise OutOfStep(number)

        try:
            with next(messages) as message:
                self._inbox.store(message, identity, prove)
        except CommandFailed as failure:
            self._report_failure(str(failure))
            prove(refused=True)
        else:
            self._fetched.append(number)

    def delete(self) -> None:
        """Send DELE for the stored messages, pipelined. The server deletes them when `finish` sends QUIT.

        A message stored by an earlier fetch is not deleted if it may now be another message: if other messages share
        its unique id, or if its size has changed, which happens when a reinstalled server reuses unique ids.

        Raises:
            Failure: the session broke. Nothing was deleted.
        """
        if shared := len(self._plan.here) - len(self._plan.certain):
            warn(
                f"note: {counted(shared, 'message')} left on the server: stored before, "
                "but other messages share the unique id"
            )
        try:
            numbers = sorted([*self._fetched, *self._unchanged()])
            results = self._client.call_all(map(Dele, numbers), return_exceptions=True)
        except Pop3Error as error:
            raise self._session_failure(error) from error
        for number, result in zip(numbers, results, strict=True):
            if result is not None:
                self._report_failure(str(result))
            else:
                self._deleted.append(number)

    def _unchanged(self) -> list[int]:
        """Return the numbers of the messages stored by an earlier fetch whose size is still the same."""
        certain = self._plan.certain
        if not certain:
            return []
        noted, announced = self._inbox.journal.octets, self._announced()
        same = [number for number in certain if _sizes_agree(noted(certain[number]), announced.get(number))]
        if doubtful := len(certain) - len(same):
            warn(
                f"note: {counted(doubtful, 'message')} left on the server: stored before under the same unique id, "
                "but LIST reports a different size now, or none"
            )
        return same

    def _announced(self) -> Mapping[int, int]:
        try:
            return self._client.list()
        except (CommandFailed, MalformedReply):
            return {}

    def finish(self) -> None:
        """Send QUIT, so that the server deletes the marked messages. A failure is reported and counted."""
        try:
            self._client.quit()
        except Pop3Error as error:
            if not self._deleted:  # nothing was to be deleted, and all messages are proven complete
                return
            marked = counted(len(self._deleted), "message")
            self._report_failure(
                f"it is unknown whether the server has deleted {marked}: {reason(error, self._server)}"
            )
            self._deleted.clear()
        else:
            recorded = sum(self._plan.wanted[number] is not None for number in self._fetched)
            self._inbox.journal.leave(max(recorded + len(self._plan.here) - len(self._deleted), 0))

    def _report_failure(self, text: str) -> None:
        warn(f"pop3proto fetch: {text}")
        self._failures += 1

    def _session_failure(self, error: Exception) -> Failure:
        if isinstance(error, OSError) and not isinstance(error, Pop3Error):
            why = cannot("store mail in", self._inbox.maildir, error)
        else:
            why = reason(error, self._server)
        return Failure(f"{why} ({self.summary} before this; nothing was deleted)")


def _sizes_agree(noted: int | None, announced: int | None) -> bool:
    """Return whether two sizes can be of the same message.

    Args:
        noted: size received by an earlier fetch, in octets.
        announced: size in LIST now, in octets. Some servers do not count the CRLF that they add at the end.
    """
    return noted is not None and announced is not None and noted - announced in {0, 2}
