"""Whole messages, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pop3proto.core.commands import Retr

from .pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pop3proto.core.errors import MalformedReply
    from pop3proto.core.refusals import CommandFailed
    from pop3proto.procedures.operations import Procedure

    from .session import Session

__all__ = ["Retrieval"]


class Retrieval:
    """Whole messages in order, one in memory at a time.

    Args:
        session: logged in.
        numbers: of the messages; taken one by one.
        return_exceptions: as in `Pipeline.result`.
    """

    def __init__(self, session: Session, numbers: Iterable[int], *, return_exceptions: bool) -> None:
        self._pipeline = Pipeline(session, map(Retr, numbers))
        self._return_exceptions = return_exceptions
        self._begun = False

    def next(self) -> Procedure[tuple[int, bytes | CommandFailed | MalformedReply] | None]:
        """Return the next message with its number; None behind the last.

        Raises:
            CommandFailed, MalformedReply, LocalProtocolError: as `Pipeline.result`.
        """
        if not self._begun:
            yield from self._pipeline.begin()
            self._begun = True
        if (command := self._pipeline.command) is None:
            self._pipeline.poll()
            return None
        result = yield from self._pipeline.result(return_exceptions=self._return_exceptions)
        return cast("Retr", command).number, result
