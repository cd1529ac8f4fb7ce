"""The command LAST, which RFC 1725 took out of POP3, for clients that know nothing newer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.command import PlainCommand
from pop3proto.core.replies import Ok
from pop3proto.core.states import AFTER_LOGIN
from pop3proto.procedures.server.session import HandlerTable

if TYPE_CHECKING:
    from pop3proto.procedures.server.session import ServerSession

__all__ = ["LAST_HANDLERS", "Last"]


@attrs.frozen
class Last(PlainCommand):
    """LAST: the highest number of a message that was retrieved, in this session or an earlier one (RFC 1460)."""

    verb = "LAST"
    legal_in = AFTER_LOGIN


LAST_HANDLERS: Final = HandlerTable()
"""What answers LAST: `Service(handlers={**HANDLERS, **LAST_HANDLERS})`. RSET takes back what this session retrieved."""


@LAST_HANDLERS.answers(Last)
def _last(session: ServerSession, _command: Last) -> None:
    messages = session.maildrop.messages if session.maildrop is not None else ()
    numbers = range(len(messages), max(session.retrieved, default=0), -1)
    highest = next((number for number in numbers if messages[number - 1].retrieved), None)
    session.say(Ok(str(max(session.retrieved, default=0) if highest is None else highest)))
