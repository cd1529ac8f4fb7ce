"""Stores, authenticators and observers: with plain methods, coroutine methods, or both; and those that are wrong."""

from collections.abc import Sequence
from typing import assert_type

from pop3proto import Capabilities, ClientConnection, Limits, Quirk
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.client import Request
from pop3proto.core.commands import Command
from pop3proto.core.events import AuthCancel, AuthResponse, BadCommand, ConnectionClosed, Tolerated
from pop3proto.core.server import Response
from pop3proto.logs import LogObserver
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import (
    Await,
    ClientObserver,
    InUse,
    Maildrop,
    Message,
    MessageStream,
    Observer,
    Procedure,
    Service,
    SessionInfo,
)
from pop3proto.sasl import CustomAuthenticator, ScramKeys

STORE = MemoryStore()
USERS = MemoryAuthenticator({})


class Plain:
    blocks = True

    def check_password(self, user: str, password: str, session: SessionInfo) -> bool:
        return password == session.state.get(user)


class Coroutine:
    blocks = False

    async def check_password(self, user: str, password: str, session: SessionInfo) -> bool:
        return password == session.state.get(user)


class Mixed:
    blocks = False
    scram_algorithms = ("SHA-256",)

    async def check_password(self, user: str, password: str, session: SessionInfo) -> bool:
        return False

    def secret(self, user: str, session: SessionInfo) -> str | None:
        return None

    async def scram_keys(self, user: str, algorithm: str, session: SessionInfo) -> ScramKeys:
        return ScramKeys.decoy(algorithm, user, b"secret", iterations=4096, salt_octets=16)

    async def check_token(self, user: str, token: str, session: SessionInfo) -> str | None:
        return None


class Own(CustomAuthenticator):
    pass


def authenticators() -> None:
    Service(store=STORE, authenticator=Plain())
    Service(store=STORE, authenticator=Coroutine())
    Service(store=STORE, authenticator=Mixed())
    Service(store=STORE, authenticator=Own())


class NameInsteadOfBool:
    blocks = False

    def check_password(self, user: str, password: str, session: SessionInfo) -> str | None:
        return user


class LaterNameInsteadOfBool:
    blocks = False

    async def check_password(self, user: str, password: str, session: SessionInfo) -> str | None:
        return user


class Misspelt:
    blocks = False

    def check_pasword(self, user: str, password: str, session: SessionInfo) -> bool:
        return False


class WithoutBlocks:
    def check_password(self, user: str, password: str, session: SessionInfo) -> bool:
        return False


class WithoutSession:
    blocks = False

    def check_password(self, user: str, password: str) -> bool:
        return False


def wrong_authenticators() -> None:
    Service(store=STORE, authenticator=NameInsteadOfBool())  # error
    Service(store=STORE, authenticator=LaterNameInsteadOfBool())  # error
    Service(store=STORE, authenticator=Misspelt())  # error
    Service(store=STORE, authenticator=WithoutBlocks())  # error
    Service(store=STORE, authenticator=WithoutSession())  # error
    Service(store=STORE, authenticator=object())  # error
    Service(store=STORE, authenticator=None)  # error


class PlainMaildrop:
    messages: Sequence[Message] = ()

    def open(self, number: int) -> MessageStream:
        raise InUse

    def correct(self, number: int, octets: int) -> None: ...

    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None: ...

    def close(self) -> None: ...


class PlainStore:
    blocks = True

    def open(self, user: str, session: SessionInfo) -> PlainMaildrop:
        return PlainMaildrop()

    def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()


class CoroutineStream:
    async def read(self, size: int) -> bytes:
        return b""

    async def close(self) -> None: ...


class CoroutineMaildrop:
    messages: Sequence[Message] = ()

    async def open(self, number: int) -> CoroutineStream:
        return CoroutineStream()

    def correct(self, number: int, octets: int) -> None: ...

    async def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None: ...

    async def close(self) -> None: ...


class CoroutineStore:
    blocks = False

    async def open(self, user: str, session: SessionInfo) -> CoroutineMaildrop:
        return CoroutineMaildrop()

    def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()


class TextStore:
    blocks = False

    def open(self, user: str, session: SessionInfo) -> str:
        return user

    async def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()


class HalfStore:
    blocks = False

    def open(self, user: str, session: SessionInfo) -> Maildrop:
        raise InUse


def stores() -> None:
    Service(store=PlainStore(), authenticator=USERS)
    Service(store=CoroutineStore(), authenticator=USERS)
    Service(store=TextStore(), authenticator=USERS)  # error
    Service(store=HalfStore(), authenticator=USERS)  # error


class OnlyServer:
    def heard(
        self,
        session: SessionInfo,
        event: Command[object] | AuthResponse | AuthCancel | BadCommand | ConnectionClosed | Tolerated,
        /,
    ) -> None: ...

    def said(self, session: SessionInfo, item: Response, /) -> None: ...

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None: ...


class OnlyClient:
    def heard(self, session: SessionInfo, event: object, /) -> None: ...

    def said(self, session: SessionInfo, item: Request, /) -> None: ...

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None: ...


def observers(observer: Observer[object, object]) -> None:
    for_clients: ClientObserver = LogObserver()
    for_clients = OnlyClient()
    for_clients = OnlyServer()  # error
    for_clients = observer
    Service(store=STORE, authenticator=USERS, observer=LogObserver())
    Service(store=STORE, authenticator=USERS, observer=[LogObserver(), OnlyServer(), observer])
    Service(store=STORE, authenticator=USERS, observer=OnlyClient())  # error
    Service(store=STORE, authenticator=USERS, observer=print)  # error


def connections() -> None:
    Service(store=STORE, authenticator=USERS, limits=Limits(bad_commands=3), quirks={Quirk.BARE_LF})
    Service(store=STORE, authenticator=USERS, limits=3)  # error
    Service(store=STORE, authenticator=USERS, quirks=ClientConnection())  # error


async def number() -> int:
    return 3


def procedure() -> Procedure[int]:
    assert_type((yield from Await(number())), int)
    yield from Await(3)  # error
    return (yield from Await(number()))


def sessions(session: SessionInfo) -> None:
    assert_type(session.state, dict[str, object])
    assert_type(session.server_name, str | None)
    assert_type(session.local, tuple[str, int] | None)
    session.user = "bob"  # error
