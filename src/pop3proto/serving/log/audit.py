"""The audit: a line for each message that a user has deleted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.core.events import ServerEvent
    from pop3proto.core.server import Response
    from pop3proto.procedures.maildrop import Message
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["AUDIT", "AuditLog"]

AUDIT: Final = "pop3proto.audit"
"""The name of the logger."""


class AuditLog:
    """An observer that logs each message which QUIT has deleted: user, unique id, octets, session, address.

    The lines are records of the logger "pop3proto.audit", at the level INFO, with the fields in `record.pop3proto`:

        session 7 from 192.0.2.1: deleted: user=ann unique_id=1700000000.M1P2.host octets=1234

    Args:
        logger: another logger.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger: Final = logger or logging.getLogger(AUDIT)

    def heard(self, session: SessionInfo, event: ServerEvent, /) -> None:
        """Log nothing."""

    def said(self, session: SessionInfo, item: Response, /) -> None:
        """Log nothing."""

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        """Log nothing."""

    def committed(self, session: SessionInfo, deleted: Sequence[Message], _: Sequence[Message], /) -> None:
        """Log the messages that are gone."""
        for message in deleted:
            fields = {
                "event": "deleted",
                "session": session.id,
                "address": session.address,
                "listener": session.listener,
                "user": session.user,
                "unique_id": message.unique_id,
                "octets": message.octets,
            }
            self._logger.info(
                "session %d: deleted: %s, %d octets",
                session.id,
                message.unique_id,
                message.octets,
                extra={"pop3proto": fields},
            )
