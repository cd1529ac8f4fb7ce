"""What a fault is, and what it may let happen between a client and a server.

Each fault sees what the faults before it have left. First all of them see whole lines and bodies, told apart; then all
see the octets that this makes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from types import SimpleNamespace

    from .dialogue import Asked, Part

__all__ = ["Action", "Fault", "HangUp", "Here", "Hold", "Octets", "Step", "Wait", "faults_of", "joined"]


@attrs.frozen
class Octets:
    """Octets for the client.

    Args:
        asked: to whose answer they belong.
        octets: any.
        apart: they come in a piece of their own.
    """

    asked: Asked
    octets: bytes
    apart: bool = False


@attrs.frozen
class Wait:
    """Let time pass.

    Args:
        seconds: how long.
    """

    seconds: float


@attrs.frozen
class HangUp:
    """End the connection with the client, and that with the server without QUIT.

    Args:
        reset: the client gets a reset (RST) in place of the end of the stream.
    """

    reset: bool = False


@attrs.frozen
class Hold:
    """Send the client nothing more, and keep the connection open until it hangs up."""


Step: TypeAlias = "Asked | Part | Octets | Wait | HangUp | Hold"
Action: TypeAlias = "Asked | Octets | Wait | HangUp | Hold"


@attrs.frozen
class Here:
    """Where a fault is at work.

    Args:
        session: the number of the session at this server; 1 is the first.
        own: what the fault remembers within the session: any attributes.
        shared: what it remembers from session to session.
        chance: for what it draws; the same seed gives the same.
    """

    session: int
    own: SimpleNamespace
    shared: SimpleNamespace
    chance: random.Random


def faults_of(given: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the faults that a caller has given.

    Raises:
        TypeError: it is no list of faults.
    """
    if isinstance(given, Fault) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"faults takes a list of faults, such as [Cut(after='RETR 1')], not {given!r:.100}")
    faults = tuple(given)
    for fault in faults:
        if not isinstance(fault, Fault):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a fault is an instance of Fault, such as Cut(after='RETR 1'), not {fault!r:.100}")
    return faults


def joined(actions: Iterable[Action]) -> Iterator[Action]:
    """Join octets that follow each other, unless they come in pieces of their own."""
    waiting: Octets | None = None
    for action in actions:
        if isinstance(action, Octets) and not action.apart:
            waiting = action if waiting is None else attrs.evolve(waiting, octets=waiting.octets + action.octets)
            continue
        if waiting is not None:
            yield waiting
            waiting = None
        yield action
    if waiting is not None:
        yield waiting


class Fault:
    """A fault: a subclass changes one of these. Each returns what is to happen; by default nothing changes.

    A fault is a value, and may be used for several servers: what it remembers is in `here`.
    """

    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:  # noqa: ARG002 - subclasses use it
        """Take a line of the client. What is returned of it goes on to the server; with `answer`, to the client."""
        yield asked

    def said(self, part: Part, here: Here) -> Iterable[Step]:  # noqa: ARG002 - subclasses use it
        """Take a part of what the server says. An `Asked` that is returned is a command for the server."""
        yield part

    def sent(self, octets: Octets, here: Here) -> Iterable[Step]:  # noqa: ARG002 - subclasses use it
        """Take octets before the client gets them."""
        yield octets

    def before_tls(self, here: Here) -> Iterable[Step]:  # noqa: ARG002 - subclasses use it
        """Take note that the TLS handshake is to begin."""
        return ()

    def hung_up(self, here: Here) -> Iterable[Step]:  # noqa: ARG002 - subclasses use it
        """Take note that the client has hung up; an `Asked` that is returned is a command for the server."""
        return ()
