"""How a server answers each command, in a table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import Capa, Dele, List, ListOne, Noop, Quit, Retr, Rset, Stat, Top, Uidl, UidlOne
from pop3proto.core.events import BodyChunk, BodyEnd
from pop3proto.core.replies import Ok
from pop3proto.core.results import MaildropStatus, ScanListing, UniqueIdListing
from pop3proto.sasl.authenticator import PasswordVerifier

from .login_handlers import LOGIN_HANDLERS
from .session import HandlerTable

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure

    from .session import Handlers, ServerSession

__all__ = ["HANDLERS"]

_table: Final = HandlerTable()


@_table.answers(Capa)
def _capa(session: ServerSession, command: Capa) -> Procedure[None]:
    settings = session.settings
    logged_in = session.maildrop is not None
    user = session.user if logged_in else None
    added = yield from session.call_store(partial(settings.store.capabilities, user))
    capabilities = Capabilities(
        top=True,
        uidl=True,
        user=not logged_in and session.may_show_password and isinstance(settings.authenticator, PasswordVerifier),
        sasl=() if logged_in else tuple(session.offers),
        stls=session.may_start_tls,
        resp_codes=True,
        auth_resp_code=True,
        pipelining=True,
        implementation=settings.implementation,
        expire=added.expire,
        login_delay=added.login_delay,
        other=added.other,
    )
    session.say_body(*command.answer(capabilities, "capabilities follow"))


@_table.answers(Quit)
def _quit(session: ServerSession, _command: Quit) -> Procedure[None]:
    if (maildrop := session.maildrop) is not None:
        # The lock goes before the answer does: a client that has read it may log in again at once.
        try:
            yield from session.call_store(
                partial(maildrop.commit, frozenset(session.deleted), frozenset(session.retrieved))
            )
        finally:
            yield from session.close_maildrop()
    session.say(Ok("bye"))


@_table.answers(Stat)
def _stat(session: ServerSession, command: Stat) -> None:
    messages = session.messages().values()
    reply, _ = command.answer(MaildropStatus(len(messages), sum(message.octets for message in messages)))
    session.say(reply)


@_table.answers(List)
def _list(session: ServerSession, command: List) -> None:
    listing = ScanListing({number: message.octets for number, message in session.messages().items()})
    session.say_body(*command.answer(listing, session.summary()))


@_table.answers(ListOne)
def _list_one(session: ServerSession, command: ListOne) -> None:
    reply, _ = command.answer(session.message(command.number).octets)
    session.say(reply)


@_table.answers(Uidl)
def _uidl(session: ServerSession, command: Uidl) -> None:
    listing = UniqueIdListing({number: message.unique_id for number, message in session.messages().items()})
    session.say_body(*command.answer(listing, session.summary()))


@_table.answers(UidlOne)
def _uidl_one(session: ServerSession, command: UidlOne) -> None:
    reply, _ = command.answer(session.message(command.number).unique_id)
    session.say(reply)


@_table.answers(Retr)
def _retr(session: ServerSession, command: Retr) -> Procedure[None]:
    announced = session.message(command.number).octets
    yield from _send_message(session, command.number, Ok(f"{announced} octets"), None)
    session.retrieved.add(command.number)
    sent = session.connection.body_octets
    if sent != announced and (maildrop := session.maildrop) is not None:
        yield from session.call_store(partial(maildrop.correct, command.number, sent))


@_table.answers(Top)
def _top(session: ServerSession, command: Top) -> Procedure[None]:
    session.message(command.number)
    yield from _send_message(session, command.number, Ok("top of message follows"), command.lines)


@_table.answers(Dele)
def _dele(session: ServerSession, command: Dele) -> None:
    session.message(command.number)
    session.deleted.add(command.number)
    session.say(Ok(f"message {command.number} deleted"))


@_table.answers(Noop)
def _noop(session: ServerSession, _command: Noop) -> None:
    session.say(Ok("nothing done"))


@_table.answers(Rset)
def _rset(session: ServerSession, _command: Rset) -> None:
    session.deleted.clear()
    session.retrieved.clear()
    session.say(Ok(f"maildrop has {session.summary()}"))


def _send_message(session: ServerSession, number: int, reply: Ok, lines: int | None) -> Procedure[None]:
    """Answer with a message, or its top, in constant memory.

    Raises:
        Refused: it cannot be read; nothing was said.
        Broken: it could not be read to its end. The client must not take what it has for the whole: hang up.
    """
    reader = session.reader
    assert reader is not None  # noqa: S101 - RETR and TOP are legal after login only
    piece, message = yield from reader.begin(number, lines)
    session.say(reply)
    try:
        while True:
            session.say(BodyChunk(piece))
            if message is None:
                break
            piece, message = yield from reader.go_on(message)
            if piece:  # the end goes out with the last octets: some clients choke on a dot in a packet of its own
                yield from session.flush()
    finally:
        if message is not None:
            yield from reader.give_up(message)
    session.say(BodyEnd())


HANDLERS: Final[Handlers] = {**LOGIN_HANDLERS, **_table}
"""What answers each class of commands. To add a private verb: `{**HANDLERS, Xdate: answer_xdate}`.

A handler gets the session and the command. It answers with `session.say`, or raises `Refused`. If it has to wait, it is
a generator that yields operations: `yield from session.call_store(...)` for example."""
