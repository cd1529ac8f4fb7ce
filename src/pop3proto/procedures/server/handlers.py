"""How a server answers each command, in a table."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import Capa, Dele, List, ListOne, Noop, Quit, Retr, Rset, Stat, Top, Uidl, UidlOne
from pop3proto.core.events import BodyChunk, BodyEnd
from pop3proto.core.replies import Ok
from pop3proto.core.results import ScanListing, UniqueIdListing
from pop3proto.sasl.authenticator import PasswordVerifier, implements

from .login_handlers import LOGIN_HANDLERS
from .output import TURN
from .session import HandlerTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pop3proto.procedures.maildrop import Message
    from pop3proto.procedures.operations import Procedure

    from .session import Handlers, ServerSession

__all__ = ["HANDLERS", "capabilities"]

_ROWS: Final = 1_000  # rows of a listing that are a turn's work

_table: Final = HandlerTable()


@_table.answers(Capa)
def _capa(session: ServerSession, command: Capa) -> Procedure[None]:
    session.say_body(*command.answer((yield from capabilities(session)), "capabilities follow"))


def capabilities(session: ServerSession) -> Procedure[Capabilities]:
    """Return what the server can do for this session now, as CAPA announces it."""
    settings = session.settings
    user = session.user if session.maildrop is not None else None
    added = yield from session.call_store(partial(settings.store.capabilities, user))
    return Capabilities(
        top=True,
        uidl=True,
        user=session.may_show_password and settings.user_pass and implements(settings.authenticator, PasswordVerifier),
        sasl=tuple(session.offers),
        stls=session.may_start_tls,
        resp_codes=True,
        auth_resp_code=True,
        pipelining=True,
        implementation=settings.implementation,
        expire=added.expire,
        login_delay=session.policy.login_delay(user) or added.login_delay,
        other=added.other,
    )


@_table.answers(Quit)
def _quit(session: ServerSession, _command: Quit) -> Procedure[None]:
    if (maildrop := session.maildrop) is not None:
        deleted, retrieved = (
            [maildrop.messages[number - 1] for number in sorted(numbers)]
            for numbers in (session.deleted, session.retrieved)
        )
        committed = False
        # The lock goes before the answer does: a client that has read it may log in again at once.
        try:
            yield from session.call_store(
                partial(maildrop.commit, frozenset(session.deleted), frozenset(session.retrieved))
            )
            committed = True
            session.record.deleted = len(session.deleted)
        finally:
            try:
                yield from session.close_maildrop()
            except BaseException:
                if committed:  # what is gone is told, whatever else fails
                    session.tell_committed(deleted, retrieved)
                raise
        session.say(Ok("bye"))  # before the observers are told: the client hears the truth even if one of them fails
        session.tell_committed(deleted, retrieved)
    else:
        session.say(Ok("bye"))


@_table.answers(Stat)
def _stat(session: ServerSession, command: Stat) -> None:
    reply, _ = command.answer(session.status)
    session.say(reply)


@_table.answers(List)
def _list(session: ServerSession, command: List) -> Procedure[None]:
    def rows(messages: Mapping[int, Message]) -> bytes:
        _, body = command.answer(ScanListing({number: message.octets for number, message in messages.items()}))
        return body

    return _say_listing(session, rows)


@_table.answers(ListOne)
def _list_one(session: ServerSession, command: ListOne) -> None:
    reply, _ = command.answer(session.message(command.number).octets)
    session.say(reply)


@_table.answers(Uidl)
def _uidl(session: ServerSession, command: Uidl) -> Procedure[None]:
    def rows(messages: Mapping[int, Message]) -> bytes:
        _, body = command.answer(UniqueIdListing({number: message.unique_id for number, message in messages.items()}))
        return body

    return _say_listing(session, rows)


@_table.answers(UidlOne)
def _uidl_one(session: ServerSession, command: UidlOne) -> None:
    reply, _ = command.answer(session.message(command.number).unique_id)
    session.say(reply)


@_table.answers(Retr)
def _retr(session: ServerSession, command: Retr) -> Procedure[None] | None:
    announced = session.message(command.number).octets
    reply = Ok(f"{announced} octets")
    if session.say_message(command.number, reply):
        return _retrieved(session, command, announced)
    return _retrieve(session, command, announced, reply)


def _retrieve(session: ServerSession, command: Retr, announced: int, reply: Ok) -> Procedure[None]:
    yield from session.send_message(command.number, reply)
    if (correction := _retrieved(session, command, announced)) is not None:
        yield from correction


def _retrieved(session: ServerSession, command: Retr, announced: int) -> Procedure[None] | None:
    """Note that a message was sent; return what is still to be done."""
    session.retrieved.add(command.number)
    session.record.retrieved += 1
    sent = session.connection.body_octets
    return None if sent == announced else session.correct(command.number, sent)


@_table.answers(Top)
def _top(session: ServerSession, command: Top) -> Procedure[None] | None:
    session.message(command.number)
    reply = Ok("top of message follows")
    if session.say_message(command.number, reply, command.lines):
        return None
    return session.send_message(command.number, reply, command.lines)


@_table.answers(Dele)
def _dele(session: ServerSession, command: Dele) -> None:
    session.delete(command.number)
    session.say(Ok(f"message {command.number} deleted"))


@_table.answers(Noop)
def _noop(session: ServerSession, _command: Noop) -> None:
    session.say(Ok("nothing done"))


@_table.answers(Rset)
def _rset(session: ServerSession, _command: Rset) -> None:
    session.reset()
    session.say(Ok(f"maildrop has {session.summary()}"))


def _say_listing(session: ServerSession, rows: Callable[[Mapping[int, Message]], bytes]) -> Procedure[None]:
    """Answer with a row for each message that is not deleted; other sessions can run between the parts of it.

    Args:
        session: after login.
        rows: makes the rows of messages by number.
    """
    messages = enumerate(session.maildrop.messages if session.maildrop is not None else (), 1)
    session.say(Ok(session.summary()))
    while part := dict(islice(messages, _ROWS)):
        remaining = {number: message for number, message in part.items() if number not in session.deleted}
        session.say(BodyChunk(rows(remaining)))
        session.worked += TURN * len(part) / _ROWS
        yield from session.give_way()
    session.say(BodyEnd())


HANDLERS: Final[Handlers] = {**LOGIN_HANDLERS, **_table}
"""What answers each class of commands. To add a private verb: `{**HANDLERS, Xdate: answer_xdate}`.

A handler gets the session and the command. It answers with `session.say`, or raises `Refused`. If it has to wait, it is
a generator that yields operations: `yield from session.call_store(...)` for example."""
