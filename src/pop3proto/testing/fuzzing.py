"""Fuzz a service: sessions whose octets are changed by chance, without sockets, threads and time."""

from __future__ import annotations

import asyncio
import re
import zlib
from contextlib import closing
from copy import copy
from datetime import UTC, datetime
from inspect import isawaitable
from typing import TYPE_CHECKING, Final, cast

from pop3proto.core.commands import Command, Quit
from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.maildrop import Refused
from pop3proto.procedures.operations import (
    Await,
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Run,
    Sleep,
    StartTls,
    UtcNow,
    Write,
)
from pop3proto.procedures.server.loop import serve_session
from pop3proto.sasl.channel import SessionInfo, TlsInfo

from .mutation import Mutator, minimise, pieces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.events import ServerEvent
    from pop3proto.core.server import Response
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.maildrop import Maildrop, MaildropStore
    from pop3proto.procedures.server.service import Service

__all__ = ["FuzzFailure", "check_service", "fuzz_service"]

_SHORT: Final = 512  # an input up to this size is also sent octet by octet
_OPERATIONS: Final = 1_000  # that a session may perform, beside _OPERATIONS_PER_OCTET
_OPERATIONS_PER_OCTET: Final = 20
_SHOWN: Final = 300  # octets of an input, in a message
_CHALLENGE: Final = re.compile(rb"^\+ .*$", re.MULTILINE)
_ROW: Final = re.compile(rb"^((?:\+OK )?[0-9]+ )(\S+)(?=\r$)", re.MULTILINE)  # of UIDL, and of LIST

_AFTER_LOGIN: Final = (
    b"STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nRSET\r\nQUIT\r\n",
    b"CAPA\r\nTOP 1 0\r\nTOP 1 5\r\nLIST 1\r\nUIDL 1\r\nNOOP\r\n",
    b"RETR 1\r\nRETR 2\r\nRETR 3\r\nDELE 1\r\nDELE 1\r\nRETR 1\r\nLIST\r\nSTAT\r\nQUIT\r\n",
    b"DELE 1\r\nDELE 2\r\n",
)
_BEFORE_LOGIN: Final = (
    b"CAPA\r\nAUTH\r\nAUTH PLAIN\r\n*\r\nSTLS\r\nQUIT\r\n",
    b"AUTH LOGIN\r\nYW5u\r\ndGFuc3RhYWY=\r\nSTAT\r\n",
    b"AUTH SCRAM-SHA-256 biwsbj1hbm4scj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==\r\n*\r\n",
    b"AUTH CRAM-MD5\r\n*\r\nAPOP ann 0123456789abcdef0123456789abcdef\r\nUTF8\r\nLANG en\r\n",
)


class FuzzFailure(AssertionError):
    """A service did what it must not. `__cause__` is the error that it raised, if it did.

    Attributes:
        message: what does not hold.
        octets: what the client sent.
    """

    def __init__(self, message: str, octets: bytes) -> None:
        shown = repr(octets) if len(octets) <= _SHOWN else f"{octets[:_SHOWN]!r}... ({len(octets)} octets)"
        super().__init__(f"{message}\nthe client sent: {shown}")
        self.message: Final = message
        self.octets: Final = octets


def fuzz_service(  # noqa: PLR0913 - each has its default, and a name
    make: Callable[[], Service],
    *,
    user: str = "ann",
    password: str = "tanstaaf",  # noqa: S107 - not a secret
    lines: Iterable[bytes] = (),
    runs: int = 1_000,
    seed: int = 0,
    tls: TlsMode = "none",
) -> None:
    """Run `check_service` on dialogues that are changed by chance: handlers, store and authenticator are fuzzed.

    The same arguments give the same inputs. A failing input is made small before it is reported.

    Args:
        make: returns a new service, with new maildrops; it is called several times for each input.
        user: a user who can log in.
        password: the user's password.
        lines: command lines of your own, with their CRLF; they are mixed with those of the standard.
        runs: the number of inputs.
        seed: another one gives other inputs.
        tls: as in `check_service`.

    Raises:
        FuzzFailure: as `check_service`.
    """
    login = f"USER {user}\r\nPASS {password}\r\n".encode()
    own = list(lines)
    dialogues = [*(login + dialogue for dialogue in _AFTER_LOGIN), *_BEFORE_LOGIN]
    for each in [b"".join(own), *own] if own else []:
        dialogues += [login + each, *(login + dialogue.removesuffix(b"QUIT\r\n") + each for dialogue in _AFTER_LOGIN)]
    verbs = {kind.verb.encode() for kind in make().handlers if issubclass(kind, Command)}
    words = [*sorted(verbs), *own, login, b"QUIT\r\n"]
    mutator = Mutator(dialogues, words, seed=seed)
    for number in range(runs):
        octets = dialogues[number] if number < len(dialogues) else mutator.next()
        try:
            check_service(make, octets, tls=tls)
        except FuzzFailure as failure:
            _report(make, failure, tls)


def _report(make: Callable[[], Service], failure: FuzzFailure, tls: TlsMode) -> None:
    """Raise the failure for a small input."""
    smallest = failure

    def fails(octets: bytes) -> bool:
        nonlocal smallest
        try:
            check_service(make, octets, tls=tls)
        except FuzzFailure as another:
            if another.message.partition("\n")[0] != failure.message.partition("\n")[0]:
                return False
            smallest = another
            return True
        return False

    minimise(failure.octets, fails)
    raise smallest


def check_service(make: Callable[[], Service], octets: bytes, *, tls: TlsMode = "none") -> bytes:
    """Let a client that sends these octets talk to a service, and check what must hold for every service.

    There is a session for each of several ways to cut the octets. Each time that the server reads it gets one piece;
    then the client hangs up. Time passes only where the server sleeps. Coroutine methods run in an asyncio event loop.

    - No handler, store or authenticator raises what it must not, and each handler answers.
    - However the octets are cut, the answers are the same.
    - The session ends; then the maildrop can be opened again.
    - Messages are removed only if QUIT came after login.

    Args:
        make: returns a new service, with new maildrops.
        octets: all that the client sends.
        tls: where TLS begins; a handshake always succeeds.

    Returns:
        What the server has sent when it got all octets at once.

    Raises:
        FuzzFailure: one of these does not hold.
    """
    whole = _Run(make(), octets, tls)
    whole.play([octets] if octets else [])
    few = len(octets) <= _SHORT
    one_by_one = [octets[at : at + 1] for at in range(len(octets))]
    for cutting in (pieces(octets, zlib.crc32(octets)), one_by_one if few else pieces(octets, len(octets))):
        run = _Run(make(), octets, tls)
        run.play(cutting)
        _compare(whole, run, octets)
    return whole.written


def _compare(whole: _Run, cut: _Run, octets: bytes) -> None:
    one, other = whole.comparable(), cut.comparable()
    if isinstance(whole.error, RemoteProtocolError) or isinstance(cut.error, RemoteProtocolError):
        # Octets behind STLS end the session only if they are there before the handshake.
        length = min(len(one), len(other))
        one, other = one[:length], other[:length]
    if one != other:
        at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
        start = max((min(len(one), len(other)) if at is None else at) - 20, 0)
        shown = one[start : start + 60], other[start : start + 60]
        raise FuzzFailure("the answers depend on how the octets are cut\n{!r}\n{!r}".format(*shown), octets)


class _Run:
    """One session of a service."""

    def __init__(self, service: Service, octets: bytes, tls: TlsMode) -> None:
        self.error: BaseException | None = None
        self._octets = octets
        self._store = _WatchedStore(service.store)
        self._watch = _Watch()
        # `attrs.evolve` would check the service again, as when it was made, and that takes longer than a session.
        self._service = copy(service)
        object.__setattr__(self._service, "store", self._store)
        object.__setattr__(self._service, "observer", (*service.observer, self._watch))
        self._tls: Final = tls
        self._written: list[bytes] = []
        self._clock = 0.0
        self._runner = asyncio.Runner()  # it makes an event loop when it has something to await

    @property
    def written(self) -> bytes:
        """What the server has sent."""
        return b"".join(self._written)

    def comparable(self) -> bytes:
        """Return what the server has sent, without what chance decides: challenges and unique ids."""
        octets = _CHALLENGE.sub(b"+ ", self.written)
        unique_ids = enumerate(unique_id for ids in self._store.opened.values() for unique_id in ids)
        numbers = {unique_id.encode(): b"id.%d" % number for number, unique_id in unique_ids}
        return _ROW.sub(lambda row: row[1] + numbers.get(row[2], row[2]), octets)

    def play(self, chunks: Sequence[bytes]) -> None:
        """Serve a client that sends these chunks, and check what must hold then."""
        connection = self._service.connection(tls=self._tls == "implicit")
        procedure = serve_session(self._service, connection, SessionInfo("127.0.0.1"), loopback=True, tls=self._tls)
        with closing(self._runner):
            try:
                self._perform(procedure, list(chunks))
            except (RemoteProtocolError, ConnectionLost, TimedOut) as error:
                self.error = error
            except FuzzFailure:
                raise
            except Exception as error:
                raise FuzzFailure(f"the session ended by {type(error).__name__}: {error}", self._octets) from error
            self._check_maildrops()

    def _perform(self, procedure: Procedure[None], chunks: list[bytes]) -> None:
        left = _OPERATIONS + _OPERATIONS_PER_OCTET * len(self._octets)
        result: object = None
        error: BaseException | None = None
        while True:
            try:
                operation = procedure.send(result) if error is None else procedure.throw(error)
            except StopIteration:
                return
            if (left := left - 1) < 0:
                raise FuzzFailure("the session does not end", self._octets)
            result = error = None
            try:
                result = self._result(operation, chunks)
            except Exception as raised:  # noqa: BLE001 - it belongs to the procedure
                error = raised

    def _result(self, operation: Operation[object], chunks: list[bytes]) -> object:
        match operation:
            case Run():
                return operation.call()
            case Await():
                return self._settled(operation.awaitable)
            case Write() | Read() if operation.until is not None and operation.until <= self._clock:
                raise TimedOut("the deadline has passed")
            case Write() | StartTls():
                self._written.append(operation.octets if isinstance(operation, Write) else operation.last_words)
                return TlsInfo("TLSv1.3", verified=False) if isinstance(operation, StartTls) else None
            case Read():
                return chunks.pop(0) if chunks else b""
            case Now() | UtcNow():
                return self._clock if isinstance(operation, Now) else datetime.fromtimestamp(self._clock, UTC)
            case Sleep(seconds):
                self._clock += seconds
                return None
            case Random(count):
                return bytes(count)
            case _:
                raise TypeError(f"a handler has yielded {operation!r}, which is no operation")

    def _settled(self, answer: object) -> object:
        """Return an answer; if it is awaitable, await it first."""
        return self._runner.run(_coroutine(cast("Awaitable[object]", answer))) if isawaitable(answer) else answer

    def _check_maildrops(self) -> None:
        for user, before in self._store.opened.items():
            try:
                maildrop = cast("Maildrop", self._settled(self._store.store.open(user, SessionInfo("127.0.0.1"))))
            except Refused as refusal:
                raise FuzzFailure(
                    f"the maildrop cannot be opened again after the session: {refusal}", self._octets
                ) from refusal
            after = {message.unique_id for message in maildrop.messages}
            self._settled(maildrop.close())
            if not self._watch.quit and not after.issuperset(before):
                raise FuzzFailure("messages were removed although no QUIT came after login", self._octets)


async def _coroutine(awaitable: Awaitable[object]) -> object:
    return await awaitable


class _WatchedStore:
    """A store that remembers which maildrops were opened, and which messages were in them."""

    def __init__(self, store: MaildropStore) -> None:
        self.store: Final = store
        self.opened: dict[str, list[str]] = {}  # unique ids by user

    @property
    def blocks(self) -> bool:
        return self.store.blocks

    def open(self, user: str, session: SessionInfo) -> Maildrop | Awaitable[Maildrop]:
        maildrop = self.store.open(user, session)
        if isawaitable(maildrop):
            return self._noted_later(user, maildrop)
        return self._noted(user, maildrop)

    def capabilities(self, user: str | None) -> Capabilities | Awaitable[Capabilities]:
        return self.store.capabilities(user)

    def _noted(self, user: str, maildrop: Maildrop) -> Maildrop:
        self.opened[user] = [message.unique_id for message in maildrop.messages]
        return maildrop

    async def _noted_later(self, user: str, maildrop: Awaitable[Maildrop]) -> Maildrop:
        return self._noted(user, await maildrop)


class _Watch:
    """An observer that knows whether QUIT came after login."""

    def __init__(self) -> None:
        self.quit = False

    def heard(self, session: SessionInfo, event: ServerEvent, /) -> None:
        self.quit |= session.user is not None and isinstance(event, Quit)

    def said(self, session: SessionInfo, item: Response, /) -> None:
        pass

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        pass
