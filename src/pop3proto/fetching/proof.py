"""How to prove that messages are complete: questions behind them whose answers no sender of mail can know. Pure.

Some servers do not stuff every dot. Then a line of a message that is a single dot is taken for its end, and the text
behind it for the answers to the commands that follow. A sender can write such text. So behind each batch of messages
stand questions that are drawn by lot: the unique id of one of the messages, the size of one, the drop listing. The
sender knows neither which are asked, nor in which order; often he cannot know the answers at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import attrs

from pop3proto.core.commands import ListOne, Stat, UidlOne
from pop3proto.core.errors import Pop3Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.core.commands import Command
    from pop3proto.core.results import MaildropStatus

    from .listing import MaildropListing, Row

__all__ = ["SEED", "OutOfStep", "Proof", "Question", "trial_questions"]

SEED: Final = 16
"""Octets of chance that the questions behind one batch take."""

_BITS: Final = 20
"""A sender who writes answers on the chance that they are right has one chance in 2 ** 20, for each batch. Half of the
questions may be refused, as messages may be removed meanwhile: so it is one in 2 ** 10 at least."""


class OutOfStep(Pop3Error):
    """The questions behind messages were not answered rightly: a message ended early. The session cannot be used."""


@attrs.frozen
class Question:
    """A command, and the one right answer.

    Args:
        command: to be sent.
        answer: what it means, as `Command.parse` returns it.
    """

    command: Command[Any]
    answer: object


def trial_questions(listing: MaildropListing, status: MaildropStatus | None) -> list[Question]:
    """Return one question of each kind, to find out which kinds this server answers rightly.

    Args:
        listing: the messages; there is at least one.
        status: the answer to STAT; None: the server refuses it.
    """
    row = listing.rows[-1]
    questions: list[Question] = []
    if row.identity is not None:
        questions.append(Question(UidlOne(row.number), row.identity.unique_id))
    if row.octets is not None:
        questions.append(Question(ListOne(row.number), row.octets))
    if status is not None:
        questions.append(Question(Stat(), status))  # last, to see that the server is in step after the others
    return questions


@attrs.frozen
class Proof:
    """Draws questions for one session.

    Args:
        kinds: the types of commands that the server answers rightly.
        rows: the messages that may be asked for.
        status: the answer to STAT; None: the server refuses it.
    """

    kinds: frozenset[type[Command[Any]]]
    rows: Sequence[Row]
    status: MaildropStatus | None

    @classmethod
    def of_trial(
        cls,
        listing: MaildropListing,
        status: MaildropStatus | None,
        questions: Sequence[Question],
        answers: Sequence[object],
    ) -> Proof:
        """Return the proof that a server allows, from its answers to `trial_questions`."""
        right = {type(each.command) for each, answer in zip(questions, answers, strict=True) if each.answer == answer}
        rows = [row for row in listing.rows if row.octets is not None or UidlOne in right]
        return cls(frozenset(right), rows, status)

    def questions(self, seed: bytes) -> list[Question]:
        """Return the questions behind a batch; none if the server answers no kind rightly.

        Args:
            seed: `SEED` octets of chance.
        """
        choices = self._choices
        if choices < 2:  # noqa: PLR2004 - nothing can be drawn; a right answer still shows that the server is in step
            return [self._question(0)] if choices else []
        number = int.from_bytes(seed)
        drawn: list[Question] = []
        for _ in range(math.ceil(_BITS / math.log2(choices))):
            number, index = divmod(number, choices)
            drawn.append(self._question(index))
        return drawn

    @property
    def _per_row(self) -> int:
        return (UidlOne in self.kinds) + (ListOne in self.kinds)

    @property
    def _choices(self) -> int:
        choices = self._per_row * len(self.rows)
        # Some servers count new mail during a session, so that STAT is asked only where there is nothing else to draw.
        return choices if choices > 1 else choices + (Stat in self.kinds)

    def _question(self, index: int) -> Question:
        if index == self._per_row * len(self.rows):
            return Question(Stat(), self.status)
        position, kind = divmod(index, self._per_row)
        row = self.rows[position]
        if row.identity is not None and UidlOne in self.kinds and (kind == 0 or row.octets is None):
            return Question(UidlOne(row.number), row.identity.unique_id)
        assert row.octets is not None  # noqa: S101 - `of_trial` has seen to it
        return Question(ListOne(row.number), row.octets)
