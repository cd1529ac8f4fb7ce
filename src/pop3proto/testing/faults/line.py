"""The line between a client and a server, with faults in it: octets in, and what is to be done out. No I/O.

Each fault sees what the faults before it have left. First all of them see whole lines and bodies, told apart; then all
see the octets that this makes.
"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from pop3proto.core.dots import BodyEncoder

from .dialogue import GREETING, Asked, Body, ChallengeLine, Dialogue, End, Part, StatusLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Action", "Fault", "FaultyLine", "FaultyLines", "HangUp", "Here", "Hold", "Octets", "Step", "Wait", "joined"]


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
_PARTS: Final = (StatusLine, ChallengeLine, Body, End)
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


def _checked(step: object) -> Wait | HangUp | Hold:
    if not isinstance(step, Wait | HangUp | Hold):
        raise TypeError(f"a fault may return what it was given, Asked, Octets, Wait, HangUp or Hold, not {step!r:.100}")
    return step


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


class FaultyLines:
    """The lines of all sessions of one server.

    Args:
        faults: in order.
        seed: another one lets the faults draw otherwise.
    """

    def __init__(self, faults: Sequence[Fault], seed: int = 0) -> None:
        self.faults: Final = tuple(faults)
        for fault in self.faults:
            if not isinstance(fault, Fault):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"a fault is an instance of Fault, such as Cut(after='RETR 1'), not {fault!r}")
        self._shared: Final = [SimpleNamespace() for _ in self.faults]
        self._chance: Final = random.Random(seed)  # noqa: S311 - it is to be repeated
        self._sessions = 0

    def begin(self) -> FaultyLine:
        """Return the line of another session."""
        self._sessions += 1
        return FaultyLine(
            [
                (fault, Here(self._sessions, SimpleNamespace(), shared, self._chance))
                for fault, shared in zip(self.faults, self._shared, strict=True)
            ]
        )


class FaultyLine:
    """The line of one session. Of what the methods yield, `Asked` is for the server, and `Octets` for the client.

    Args:
        faults: in order, each with where it is.

    Attributes:
        opaque: TLS goes through the line: octets are passed on, and nothing in them is told apart.
        passes_tls: it becomes opaque behind STLS.
    """

    def __init__(self, faults: Sequence[tuple[Fault, Here]]) -> None:
        self.opaque: bool = False
        self.passes_tls: bool = False
        self._hung_up = False
        self._faults: Final = faults
        self._dialogue: Final = Dialogue()
        self._encoder = BodyEncoder(trusted_crlf=True)

    def client(self, octets: bytes) -> Iterator[Action]:
        """Take what the client sends; empty: it has hung up."""
        if not octets:
            if not self._hung_up:
                self._hung_up = True
                yield from self._perform([step for fault, here in self._faults for step in fault.hung_up(here)])
            return
        if self.opaque:
            yield Asked(octets)
            return
        for asked in self._dialogue.client(octets):
            steps: list[Step] = [asked]
            for fault, here in self._faults:
                steps = [
                    new for step in steps for new in (fault.asked(step, here) if isinstance(step, Asked) else (step,))
                ]
            yield from self._perform(steps)

    def server(self, octets: bytes) -> Iterator[Action]:
        """Take what the server sends."""
        if self.opaque:
            yield from self._send(Octets(GREETING, octets))
            return
        if not octets and (rest := self._dialogue.rest()):
            yield from self._send(Octets(GREETING, rest))  # it has ended within a line
        for part in self._dialogue.server(octets):
            if not part.asked.silent:
                yield from self._pass_on(part)
            yield from self._answers()
            if self.passes_tls and isinstance(part, StatusLine) and part.positive and part.asked.is_a("STLS"):
                self.opaque = True
                yield from self.before_tls()
                yield from self._send(Octets(GREETING, self._dialogue.rest()))
                return

    def before_tls(self) -> Iterator[Action]:
        """Take note that the TLS handshake is to begin."""
        yield from self._perform([step for fault, here in self._faults for step in fault.before_tls(here)])

    @property
    def unfinished(self) -> bool:
        """Whether the client has begun a line that has not ended."""
        return self._dialogue.unfinished

    def _answers(self) -> Iterator[Action]:
        for part in self._dialogue.answers():
            if not part.asked.silent:
                yield from self._pass_on(part)

    def _pass_on(self, part: Part) -> Iterator[Action]:
        steps: list[Step] = [part]
        for fault, here in self._faults:
            steps = [new for step in steps for new in (fault.said(step, here) if isinstance(step, _PARTS) else (step,))]
        yield from self._perform(steps)

    def _perform(self, steps: Iterable[Step]) -> Iterator[Action]:
        for step in steps:
            match step:
                case Asked():
                    self._dialogue.ask(step)
                    if step.answer is None:
                        yield step
                    yield from self._answers()
                case StatusLine() | ChallengeLine() | Body() | End():
                    yield from self._send(Octets(step.asked, self._encoded(step)))
                case Octets():
                    yield from self._send(step)
                case _:
                    yield _checked(step)

    def _encoded(self, part: Part) -> bytes:
        match part:
            case StatusLine(_, octets):
                self._encoder = BodyEncoder(trusted_crlf=True)
                return octets
            case ChallengeLine(_, octets):
                return octets
            case Body(_, octets):
                return self._encoder.feed(octets)
            case End():
                return self._encoder.finish()

    def _send(self, octets: Octets) -> Iterator[Action]:
        steps: list[Step] = [octets]
        for fault, here in self._faults:
            steps = [new for step in steps for new in (fault.sent(step, here) if isinstance(step, Octets) else (step,))]
        for step in steps:
            yield step if isinstance(step, Octets) else _checked(step)
