"""The line between a client and a server with faults at work in it: octets in, and what is to be done out. No I/O."""

from __future__ import annotations

import random
import threading
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import attrs

from .comparison import AnswerComparison, PartEncoder, are_same
from .dialogue import GREETING, Asked, Body, ChallengeLine, Dialogue, End, Part, StatusLine
from .line import HangUp, Here, Hold, Octets, Wait, faults_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .line import Action, Fault, Step

__all__ = ["FaultyLine", "FaultyLines"]

_PARTS: Final = (StatusLine, ChallengeLine, Body, End)


def _checked(step: object) -> Wait | HangUp | Hold:
    if not isinstance(step, Wait | HangUp | Hold):
        raise TypeError(f"a fault may return what it was given, Asked, Octets, Wait, HangUp or Hold, not {step!r:.100}")
    return step


class FaultyLines:
    """The lines of all sessions of one server.

    Args:
        faults: in order.
        seed: another one lets the faults draw otherwise.
    """

    def __init__(self, faults: Sequence[Fault], seed: int = 0) -> None:
        self.faults: Final = faults_of(faults)
        self._shared: Final = [SimpleNamespace() for _ in self.faults]
        self._chance: Final = random.Random(seed)  # noqa: S311 - it is to be repeated
        self._sessions = 0
        self._struck: Final = [False] * len(self.faults)
        self._lock: Final = threading.Lock()  # sessions may be in several threads, and share what faults remember

    @property
    def struck(self) -> tuple[Fault, ...]:
        """Those that have changed something so far, in order."""
        return tuple(fault for fault, struck in zip(self.faults, self._struck, strict=True) if struck)

    def begin(self) -> FaultyLine:
        """Return the line of another session."""
        with self._lock:
            self._sessions += 1
            session = self._sessions
        posts = [
            Post(fault, Here(session, SimpleNamespace(), shared, self._chance), partial(self._note, index))
            for index, (fault, shared) in enumerate(zip(self.faults, self._shared, strict=True))
        ]
        return FaultyLine(posts, self._lock)

    def _note(self, index: int) -> None:
        self._struck[index] = True


@attrs.frozen
class Post:
    """A fault in one line.

    Args:
        fault: what is at work.
        here: where.
        note: is called when it has changed something.
    """

    fault: Fault
    here: Here
    note: Callable[[], None]
    _answers: AnswerComparison = attrs.field(factory=AnswerComparison, init=False, repr=False, eq=False)

    def change(self, steps: list[Step], kinds: tuple[type, ...], way: Callable[..., Iterable[Step]]) -> list[Step]:
        """Return what becomes of steps.

        Args:
            steps: from the posts before.
            kinds: those that the fault may change.
            way: takes the fault, a step, and where it is.
        """
        changed = [
            new for step in steps for new in (way(self.fault, step, self.here) if isinstance(step, kinds) else (step,))
        ]
        if self._answers.differs(steps, changed) if kinds is _PARTS else not are_same(steps, changed):
            self.note()
        return changed

    def add(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Yield steps that the fault adds of itself."""
        for step in steps:
            self.note()
            yield step


def _asked(fault: Fault, step: Asked, here: Here) -> Iterable[Step]:
    return fault.asked(step, here)


def _said(fault: Fault, step: Part, here: Here) -> Iterable[Step]:
    return fault.said(step, here)


def _sent(fault: Fault, step: Octets, here: Here) -> Iterable[Step]:
    return fault.sent(step, here)


class FaultyLine:
    """The line of one session. Of what the methods yield, `Asked` is for the server, and `Octets` for the client.

    Args:
        posts: the faults, in order.
        lock: held while they work, but not while what they yield is carried out.

    Attributes:
        opaque: TLS goes through the line: octets are passed on, and nothing in them is told apart.
        passes_tls: it becomes opaque behind STLS.
    """

    def __init__(self, posts: Sequence[Post], lock: threading.Lock) -> None:
        self.opaque: bool = False
        self.passes_tls: bool = False
        self._hung_up = False
        self._posts: Final = posts
        self._lock: Final = lock
        self._dialogue: Final = Dialogue()
        self._encoder: Final = PartEncoder()

    def client(self, octets: bytes) -> Iterator[Action]:
        """Take what the client sends; empty: it has hung up."""
        return self._locked(self._client(octets))

    def server(self, octets: bytes) -> Iterator[Action]:
        """Take what the server sends."""
        return self._locked(self._server(octets))

    def before_tls(self) -> Iterator[Action]:
        """Take note that the TLS handshake is to begin."""
        return self._locked(self._before_tls())

    def _locked(self, actions: Iterator[Action]) -> Iterator[Action]:
        # One by one: what would come behind the end of a connection never happens.
        while True:
            with self._lock:
                action = next(actions, None)
            if action is None:
                return
            yield action

    def _client(self, octets: bytes) -> Iterator[Action]:
        if not octets:
            if not self._hung_up:
                self._hung_up = True
                yield from self._perform(
                    [step for post in self._posts for step in post.add(post.fault.hung_up(post.here))]
                )
            return
        if self.opaque:
            yield Asked(octets)
            return
        for asked in self._dialogue.client(octets):
            yield from self._perform(self._changed(asked, (Asked,), _asked))

    def _server(self, octets: bytes) -> Iterator[Action]:
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
                yield from self._before_tls()
                yield from self._send(Octets(GREETING, self._dialogue.rest()))
                return

    def _before_tls(self) -> Iterator[Action]:
        yield from self._perform([step for post in self._posts for step in post.add(post.fault.before_tls(post.here))])

    def _changed(self, step: Step, kinds: tuple[type, ...], way: Callable[..., Iterable[Step]]) -> list[Step]:
        steps = [step]
        for post in self._posts:
            steps = post.change(steps, kinds, way)
        return steps

    @property
    def unfinished(self) -> bool:
        """Whether the client has begun a line that has not ended."""
        return self._dialogue.unfinished

    def _answers(self) -> Iterator[Action]:
        for part in self._dialogue.answers():
            if not part.asked.silent:
                yield from self._pass_on(part)

    def _pass_on(self, part: Part) -> Iterator[Action]:
        yield from self._perform(self._changed(part, _PARTS, _said))

    def _perform(self, steps: Iterable[Step]) -> Iterator[Action]:
        for step in steps:
            match step:
                case Asked():
                    self._dialogue.ask(step)
                    if step.answer is None:
                        yield step
                    yield from self._answers()
                case StatusLine() | ChallengeLine() | Body() | End():
                    yield from self._send(Octets(step.asked, self._encoder.encode(step)))
                case Octets():
                    yield from self._send(step)
                case _:
                    yield _checked(step)

    def _send(self, octets: Octets) -> Iterator[Action]:
        for step in self._changed(octets, (Octets,), _sent):
            yield step if isinstance(step, Octets) else _checked(step)
