"""Observers: objects that receive each event and response of a session, with secrets masked. For both roles.

One protocol serves both roles. What differs is what is heard and what is said: a server hears `ServerEvent`s
(commands) and says `Response`s; a client hears `ClientEvent`s (answers) and says `Request`s (commands). So an observer
for a server is a `ServerObserver`, one for a client is a `ClientObserver`, and one that takes the items of both, as
`pop3proto.logs.LogObserver` does, is either.

`observer=` takes one observer or a sequence of them. A session holds them as `Observers`, which masks the secrets and
tells each observer in order. An exception of an observer ends the session; observers behind it do not get that item,
but every observer gets `ended`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.client import Request
from pop3proto.core.commands import Command
from pop3proto.core.events import Answer, AuthResponse, BadChallenge, BadCommand, ClientEvent, ServerEvent
from pop3proto.core.replies import Challenge
from pop3proto.core.server import Response
from pop3proto.sasl.answers import is_coroutine_method

if TYPE_CHECKING:
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["ClientObserver", "Observer", "Observers", "ServerObserver", "masked", "observers_of"]

T = TypeVar("T")
E = TypeVar("E")
I = TypeVar("I")  # noqa: E741 - item
E_contra = TypeVar("E_contra", contravariant=True)
I_contra = TypeVar("I_contra", contravariant=True)


class Observer(Protocol[E_contra, I_contra]):
    """Receives what the sessions of one role hear and say, with secrets masked.

    It is called where the session runs: in the event loop, or in the thread of a blocking session. So it must not
    block, and under the blocking server several threads call it at once.
    """

    def heard(self, session: SessionInfo, event: E_contra, /) -> None:
        """Take note of an event: what the peer sent."""
        ...

    def said(self, session: SessionInfo, item: I_contra, /) -> None:
        """Take note of what is sent to the peer, octets of messages too."""
        ...

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        """Take note of the end of a session: None if it ended by QUIT, or the peer closed the connection."""
        ...


ServerObserver: TypeAlias = Observer[ServerEvent, Response]
ClientObserver: TypeAlias = Observer[ClientEvent, Request]


def observers_of(given: Observer[E, I] | Sequence[Observer[E, I]] | None) -> tuple[Observer[E, I], ...]:
    """Return the observers that an argument `observer=` names: one, a sequence of them, or None.

    Raises:
        TypeError: something in it is not an observer; or is a class; or has a coroutine method, which is never awaited.
    """
    if given is None:
        return ()
    found = tuple(given) if isinstance(given, Sequence) else (given,)
    for observer in found:
        if isinstance(observer, type):
            raise TypeError(f"an observer is a class, {observer.__name__}; pass an instance: {observer.__name__}(...)")
        for name in ("heard", "said", "ended"):
            if not callable(method := getattr(observer, name, None)):
                raise TypeError(f"an observer needs the methods heard, said and ended; {observer!r} has no {name}")
            if is_coroutine_method(method):
                raise TypeError(f"{name} of the observer {observer!r} is a coroutine method; it must be a plain one")
    return found


class Observers(Generic[E, I]):
    """The observers of one session.

    Args:
        observers: in the order in which they are told.

    Attributes:
        present: there is one. Where not, a session spares itself the calls, and the events.
    """

    def __init__(self, observers: tuple[Observer[E, I], ...]) -> None:
        self.present: Final = bool(observers)
        self._observers: Final = observers

    def heard(self, session: SessionInfo, event: E) -> None:
        """Tell what the peer sent, masked."""
        if self._observers:
            shown = masked(event)
            for observer in self._observers:
                observer.heard(session, shown)

    def said(self, session: SessionInfo, item: I) -> None:
        """Tell what is sent to the peer, masked."""
        if self._observers:
            shown = masked(item)
            for observer in self._observers:
                observer.said(session, shown)

    def ended(self, session: SessionInfo, error: BaseException | None) -> None:
        """Tell every observer that the session has ended, even if one of them raises.

        Raises:
            Exception: what the first of those raised.
        """
        failures: list[Exception] = []
        for observer in self._observers:
            try:
                observer.ended(session, error)
            except Exception as failure:  # noqa: BLE001 - it is raised when all have been told
                failures.append(failure)
        if failures:
            raise failures[0]


def masked(item: T) -> T:
    """Return an event, a response or a request without the secret that it may hold."""
    if isinstance(item, Command):
        return cast("T", cast("Command[object]", item).redacted())
    match item:
        case Answer(command=command):
            return attrs.evolve(item, command=command.redacted())
        case AuthResponse() | Challenge():
            return attrs.evolve(item, data=b"")
        case BadCommand() | BadChallenge():
            return attrs.evolve(item, octets=b"")
        case _:
            return item
