"""How a server answers each command, in a table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import (
    Auth,
    AuthList,
    Capa,
    Command,
    Dele,
    List,
    ListOne,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Top,
    Uidl,
    UidlOne,
    User,
)
from pop3proto.core.errors import Broken
from pop3proto.core.events import AuthResponse, BodyChunk, BodyEnd
from pop3proto.core.replies import Challenge, Ok, ResponseCode
from pop3proto.core.results import MaildropStatus, ScanListing, UniqueIdListing
from pop3proto.sasl import MechanismError, PlainCredentials

from .excerpt import Excerpt
from .maildrop import Maildrop, Octets, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .operations import Procedure
    from .server import Handler, Handlers, ServerSession

__all__ = ["HANDLERS"]

C = TypeVar("C", bound="Command[object] | AuthResponse")

PIECE: Final = 1_048_576
"""Octets of a message that are read in one go."""

_handlers: dict[type[object], Handler] = {}
HANDLERS: Final[Handlers] = _handlers
"""What answers each class of commands. To add a private verb: `{**HANDLERS, Xdate: answer_xdate}`.

A handler gets the session and the command. It answers with `session.say`, or raises `Refused`; if it needs the world,
it is a generator that yields operations, `yield from session.run(...)` above all."""


def _answers(
    kind: type[C],
) -> Callable[[Callable[[ServerSession, C], Procedure[None] | None]], Callable[[ServerSession, C], object]]:
    def register(
        handler: Callable[[ServerSession, C], Procedure[None] | None],
    ) -> Callable[[ServerSession, C], object]:
        _handlers[kind] = cast("Handler", handler)
        return handler

    return register


# Login.


@_answers(User)
def _user(session: ServerSession, command: User) -> None:
    """Accept any name: a refusal would tell who exists (RFC 1939 section 13)."""
    _check_cleartext(session)
    session.user = command.name
    session.say(Ok("send the password"))


@_answers(Pass)
def _pass(session: ServerSession, command: Pass) -> Procedure[None]:
    assert session.user is not None  # noqa: S101 - PASS is legal directly after USER only
    return _log_in(session, session.user, command.password)


@_answers(Auth)
def _auth(session: ServerSession, command: Auth) -> Procedure[None] | None:
    if command.mechanism != "PLAIN":
        raise Refused(f"the mechanism {command.mechanism} is not supported here")
    _check_cleartext(session)
    if command.initial_response is not None:
        return _plain(session, command.initial_response)
    session.say(Challenge())
    return None


@_answers(AuthResponse)
def _auth_response(session: ServerSession, response: AuthResponse) -> Procedure[None]:
    return _plain(session, response.data)


def _plain(session: ServerSession, message: bytes) -> Procedure[None]:
    try:
        credentials = PlainCredentials.parse(message)
    except MechanismError as error:
        raise Refused(str(error)) from None
    if credentials.authzid not in ("", credentials.authcid):
        raise Refused("nobody may act for another here", ResponseCode.AUTH)
    return _log_in(session, credentials.authcid, credentials.password)


def _check_cleartext(session: ServerSession) -> None:
    # The answer must not depend on the credentials (RFC 8314 section 4.1): they have not been looked at.
    if not session.may_show_password:
        raise Refused("passwords are taken under TLS only", ResponseCode.SYS_PERM)


def _log_in(session: ServerSession, user: str, password: str) -> Procedure[None]:
    service = session.service
    right = yield from session.run(
        service.authenticator.blocks, partial(service.authenticator.check_password, user, password)
    )
    if not right:
        session.failed_logins += 1
        raise Refused("wrong name or password", ResponseCode.AUTH)
    session.user = user
    session.maildrop = yield from session.run(service.store.blocks, partial(service.store.open, user, session.info))
    session.say(Ok(f"maildrop has {_summary(session)}"))


@_answers(AuthList)
def _auth_list(session: ServerSession, command: AuthList) -> None:
    _send_body(session, *command.answer(_mechanisms(session), "mechanisms follow"))


# Both states.


@_answers(Capa)
def _capa(session: ServerSession, command: Capa) -> Procedure[None]:
    service = session.service
    user = session.user if session.maildrop is not None else None
    added = yield from session.run(service.store.blocks, partial(service.store.capabilities, user))
    capabilities = Capabilities(
        top=True,
        uidl=True,
        user=session.may_show_password,
        sasl=_mechanisms(session),
        resp_codes=True,
        auth_resp_code=True,
        pipelining=True,
        implementation=service.implementation,
        expire=added.expire,
        login_delay=added.login_delay,
        other=added.other,
    )
    _send_body(session, *command.answer(capabilities, "capabilities follow"))


@_answers(Quit)
def _quit(session: ServerSession, _command: Quit) -> Procedure[None]:
    if (maildrop := session.maildrop) is not None:
        # The lock goes before the answer does: a client that has read it may log in again at once.
        try:
            yield from session.run(
                session.service.store.blocks,
                partial(maildrop.commit, frozenset(session.deleted), frozenset(session.retrieved)),
            )
        finally:
            yield from session.close_maildrop()
    session.say(Ok("bye"))


# TRANSACTION.


@_answers(Stat)
def _stat(session: ServerSession, command: Stat) -> None:
    messages = session.messages().values()
    reply, _ = command.answer(MaildropStatus(len(messages), sum(message.octets for message in messages)))
    session.say(reply)


@_answers(List)
def _list(session: ServerSession, command: List) -> None:
    listing = ScanListing({number: message.octets for number, message in session.messages().items()})
    _send_body(session, *command.answer(listing, _summary(session)))


@_answers(ListOne)
def _list_one(session: ServerSession, command: ListOne) -> None:
    reply, _ = command.answer(session.message(command.number).octets)
    session.say(reply)


@_answers(Uidl)
def _uidl(session: ServerSession, command: Uidl) -> None:
    listing = UniqueIdListing({number: message.unique_id for number, message in session.messages().items()})
    _send_body(session, *command.answer(listing, _summary(session)))


@_answers(UidlOne)
def _uidl_one(session: ServerSession, command: UidlOne) -> None:
    reply, _ = command.answer(session.message(command.number).unique_id)
    session.say(reply)


@_answers(Retr)
def _retr(session: ServerSession, command: Retr) -> Procedure[None]:
    announced = session.message(command.number).octets
    yield from _send_message(session, command.number, Ok(f"{announced} octets"), None)
    session.retrieved.add(command.number)
    sent = session.connection.body_octets
    if sent != announced and (maildrop := session.maildrop) is not None:
        yield from session.run(session.service.store.blocks, partial(maildrop.correct, command.number, sent))


@_answers(Top)
def _top(session: ServerSession, command: Top) -> Procedure[None]:
    session.message(command.number)
    yield from _send_message(session, command.number, Ok("top of message follows"), Excerpt(command.lines))


@_answers(Dele)
def _dele(session: ServerSession, command: Dele) -> None:
    session.message(command.number)
    session.deleted.add(command.number)
    session.say(Ok(f"message {command.number} deleted"))


@_answers(Noop)
def _noop(session: ServerSession, _command: Noop) -> None:
    session.say(Ok("nothing done"))


@_answers(Rset)
def _rset(session: ServerSession, _command: Rset) -> None:
    session.deleted.clear()
    session.retrieved.clear()
    session.say(Ok(f"maildrop has {_summary(session)}"))


def _mechanisms(session: ServerSession) -> tuple[str, ...]:
    return ("PLAIN",) if session.may_show_password else ()


def _summary(session: ServerSession) -> str:
    messages = session.messages().values()
    return f"{len(messages)} messages ({sum(message.octets for message in messages)} octets)"


def _send_body(session: ServerSession, reply: Ok, body: bytes) -> None:
    session.say(reply)
    session.say(BodyChunk(body))
    session.say(BodyEnd())


def _send_message(session: ServerSession, number: int, reply: Ok, excerpt: Excerpt | None) -> Procedure[None]:
    """Answer with a message, or its top, in constant memory.

    Raises:
        Refused: it cannot be read; nothing was said.
        Broken: it could not be read to its end. The client must not take what it has for the whole: hang up.
    """
    maildrop, blocks = session.maildrop, session.service.store.blocks
    assert maildrop is not None  # noqa: S101 - RETR and TOP are legal after login only
    piece, source = yield from session.run(blocks, partial(_open, maildrop, number))
    session.say(reply)
    try:
        while True:
            session.say(BodyChunk(piece if excerpt is None else excerpt.feed(piece)))
            if source is None or (excerpt is not None and excerpt.complete):
                break
            piece, source = yield from session.run(blocks, partial(_rest, number, source))
            if piece:  # the end goes out with the last octets: some clients choke on a dot in a packet of its own
                yield from session.flush()
    finally:
        if source is not None:
            yield from session.run(blocks, source.close)
    session.say(BodyEnd())


def _open(maildrop: Maildrop, number: int) -> tuple[bytes, Octets | None]:
    """Return the first piece of a message, and where the rest is to be had if there may be more."""
    try:
        source = maildrop.open(number)
        try:
            return _go_on(source)
        except BaseException:
            source.close()
            raise
    except OSError as error:
        raise Unavailable("the message cannot be read now") from error


def _rest(number: int, source: Octets) -> tuple[bytes, Octets | None]:
    """Return what `_go_on` does; or raise `Broken`, for it is too late to refuse."""
    try:
        return _go_on(source)
    except (OSError, Refused) as error:
        raise Broken(f"message {number} cannot be read to its end") from error


def _go_on(source: Octets) -> tuple[bytes, Octets | None]:
    """Return the next piece, and the source unless that was the last; then it is closed."""
    pieces: list[bytes] = []
    room = PIECE
    while room and (octets := source.read(room)):
        pieces.append(octets)
        room -= len(octets)
    if room:
        source.close()
    return b"".join(pieces), None if room else source
