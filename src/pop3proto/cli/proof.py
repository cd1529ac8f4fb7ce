"""What proves that a message was whole: answers that its sender could not write into it.

A server that does not stuff every dot lets a sender end his message early, and write behind that what is then taken for
the server's answers. So RETR is followed by commands whose answers no sender can know.
"""

from __future__ import annotations

import secrets
from itertools import islice
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.commands import ListOne, Noop, UidlOne
from pop3proto.core.errors import CommandFailed, ConnectionLost, MalformedReply, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pop3proto.blocking import Client, IncomingMessage
    from pop3proto.core.commands import Command
    from pop3proto.core.replies import Ok

    from .record import Identity

__all__ = ["SERIES", "Proof", "choose_proof"]

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
