"""What a call returns follows from the command that it is given."""

from typing import assert_type

from pop3proto import (
    Capa,
    Capabilities,
    CommandFailed,
    Dele,
    List,
    ListOne,
    MaildropStatus,
    MalformedReply,
    Ok,
    Quit,
    Retr,
    ScanListing,
    Stat,
    Uidl,
    UidlOne,
    UniqueId,
    UniqueIdListing,
)
from pop3proto.procedures.client.calls import call, call_all
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.operations import Procedure


def single(session: Session) -> Procedure[int]:
    assert_type((yield from call(session, Stat())), MaildropStatus)
    assert_type((yield from call(session, List())), ScanListing)
    assert_type((yield from call(session, ListOne(1))), int)
    assert_type((yield from call(session, Uidl())), UniqueIdListing)
    assert_type((yield from call(session, UidlOne(1))), UniqueId)
    assert_type((yield from call(session, Capa())), Capabilities)
    assert_type((yield from call(session, Retr(1))), bytes)
    status = yield from call(session, Stat())
    status.uids  # error
    yield from call(session, "STAT")  # error
    yield from call(session, Stat)  # error
    return status.octets


def several(session: Session) -> Procedure[None]:
    mixed = yield from call_all(session, [Stat(), Dele(2)])
    assert_type(mixed, list[MaildropStatus | None])
    alike = yield from call_all(session, [Retr(1), Retr(2)])
    assert_type(alike, list[bytes])
    generated = yield from call_all(session, (Dele(number) for number in range(1, 4)))
    assert_type(generated, list[None])
    yield from call_all(session, [Retr(1), "RETR 2"])  # error
    tolerant = yield from call_all(session, [Retr(1), Retr(2)], return_exceptions=True)
    assert_type(tolerant, list[bytes | CommandFailed | MalformedReply])
    for message in tolerant:
        message.decode()  # error
        if not isinstance(message, CommandFailed | MalformedReply):
            assert_type(message, bytes)


def forgets_to_delegate(session: Session) -> Procedure[int]:
    status = call(session, Stat())
    yield from status
    return status.octets  # error


def returns_something_else(session: Session) -> Procedure[str]:
    return (yield from call(session, Stat()))  # error


def without_a_connection() -> None:
    assert_type(Stat().parse(Ok("2 320")), MaildropStatus)
    assert_type(Stat().answer(MaildropStatus(2, 320)), tuple[Ok, bytes])
    Stat().answer(320)  # error
    Stat().parse("2 320")  # error


def listings(sizes: ScanListing, ids: UniqueIdListing) -> None:
    for number, size in sizes.items():
        assert_type(number, int)
        assert_type(size, int)
    assert_type(ids[1], UniqueId)
    sizes[1] = 2  # error
    ids["1"]  # error
    is_text: str = ids[1]
    is_checked: UniqueId = "a text"  # error


def done(session: Session) -> Procedure[None]:
    value = yield from call(session, Quit())  # error: mypy
    assert_type(value, None)
