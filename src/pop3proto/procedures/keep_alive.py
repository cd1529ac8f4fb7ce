"""How a client keeps a session while its caller is busy with something else."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pop3proto.core.commands import Noop
from pop3proto.core.errors import LocalProtocolError, TimedOut

from .exchange import Exchange
from .operations import GoingDown, Now, Read

if TYPE_CHECKING:
    from .operations import Procedure
    from .session import Session

__all__ = ["keep_alive"]


def keep_alive(session: Session, every: float) -> Procedure[None]:
    """Say NOOP now and then, until `GoingDown` is thrown in: some servers hang up after a minute without a command.

    Args:
        session: logged in; nothing else may use it meanwhile.
        every: seconds.

    Raises:
        LocalProtocolError: there would be no time between two.
        Busy: a message is being read. Nothing was sent.
        ConnectionLost: the server has ended the session.
        RemoteProtocolError, TimedOut: the session is over.
    """
    if not every > 0:
        raise LocalProtocolError("there must be some time between two NOOPs")
    with suppress(GoingDown):  # only an answer to NOOP is waited for all the same
        yield from session.claim(None)
        while True:
            try:
                session.connection.receive_data((yield from Read((yield from Now()) + every)))
                session.check_silence()
            except TimedOut:
                if not (yield from _noop(session)):
                    return


def _noop(session: Session) -> Procedure[bool]:
    """Say NOOP, and wait for the answer in any case; return whether to go on. A refusal keeps a session, too."""
    going_on = True
    exchange = Exchange(session, [Noop()])
    yield from exchange.begin()
    while exchange.command is not None:
        try:
            yield from exchange.result()
        except GoingDown:  # thrown in once, and the answer is still due
            going_on = False
    exchange.poll()
    return going_on
