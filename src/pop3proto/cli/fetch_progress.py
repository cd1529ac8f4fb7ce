"""The progress bar of `pop3proto fetch` on a terminal: a line for each account that is under way."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, TextIO

import attrs
from typing_extensions import override

from pop3proto.core.text import visible
from pop3proto.fetching.plan import Action
from pop3proto.fetching.report import Planned, Received, Stored, Waiting

from .fetch_output import Summaries
from .fetch_words import columns, duration, fit, size, total

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pop3proto.fetching.events import MessageIdentity
    from pop3proto.fetching.report import Report, Telling

__all__ = ["NUMBERS", "Meter", "Painter", "PlainPainter", "Progress"]

_REDRAW: Final = 0.1
"""Seconds between two drawings."""
_WINDOW: Final = 10.0
"""Seconds over which the rate is measured."""
_SAMPLE: Final = 0.25
"""Seconds between two samples of the rate."""

_NAME: Final = 16
"""Most columns of the name of an account."""
NUMBERS: Final = 46
"""Columns of the numbers: as much as they take usually, so that the bar keeps its length."""
_LEAST_BAR: Final = 6
_MOST_BAR: Final = 40


@attrs.define
class Meter:
    """How far the fetch of one account is.

    Attributes:
        account: its name.
        messages: messages that are stored.
        all_messages: those, and what is still to come.
        octets: octets that were received.
        all_octets: those, and what is still to come, as LIST announces.
        waiting: why nothing happens; "" if something does.
    """

    account: str
    messages: int = 0
    all_messages: int = 0
    octets: int = 0
    all_octets: int = 0
    waiting: str = ""
    _stored: set[MessageIdentity] = attrs.field(factory=set["MessageIdentity"], init=False)
    _samples: deque[tuple[float, int]] = attrs.field(factory=deque[tuple[float, int]], init=False)

    @property
    def name(self) -> str:
        """The name of the account, cut to fit."""
        return fit(self.account, _NAME)

    def tell(self, telling: Telling, now: float) -> None:
        """Take what has happened at a moment, in seconds of any clock that never goes back."""
        self.waiting = ""
        match telling:
            case Planned(plan):
                coming = [
                    step
                    for step in plan.of(Action.FETCH, Action.HEADERS, Action.RETRY, Action.CHECK)
                    if step.identity not in self._stored
                ]
                self.all_messages = self.messages + len(coming)
                whole = (step for step in coming if step.action in {Action.FETCH, Action.RETRY})
                self.all_octets = self.octets + total(whole)
                self._samples = deque([(now, self.octets)])
            case Received(octets):
                self.octets += octets
                self._sample(now)
            case Stored(identities):
                self._stored.update(identities)
                self.messages += len(identities)
            case Waiting(seconds, why):
                self.waiting = f"waiting {duration(seconds)}: {visible(why)}"
            case _:
                pass

    def _sample(self, now: float) -> None:
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE:
            self._samples.append((now, self.octets))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:  # noqa: PLR2004 - a rate needs two
            self._samples.popleft()

    @property
    def rate(self) -> float | None:
        """Octets a second in the latest seconds; None: not known yet."""
        if len(self._samples) < 2:  # noqa: PLR2004 - as above
            return None
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        return (last - first) / (ended - began) if ended > began else None

    @property
    def fraction(self) -> float:
        """How much is done, by octets where they are known, from 0 to 1."""
        done, whole = (self.octets, self.all_octets) if self.all_octets else (self.messages, self.all_messages)
        return min(done / whole, 1.0) if whole else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the rate of the latest seconds; None: not known."""
        rate = self.rate
        return max(self.all_octets - self.octets, 0) / rate if rate and self.all_octets else None

    def text(self) -> str:
        """Return the numbers: "12/50  3.4 of 10 MB  1.2 MB/s  0:05 left"."""
        if self.waiting:
            return self.waiting
        if not self.all_messages:
            return "looking for new mail"
        parts = [f"{self.messages:,}/{self.all_messages:,}"]
        if self.all_octets:
            parts.append(f"{size(self.octets)} of {size(max(self.all_octets, self.octets))}")
        elif self.octets:
            parts.append(size(self.octets))
        if (rate := self.rate) is not None:
            parts.append(f"{size(rate)}/s")
        if (left := self.seconds_left) is not None:
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)


class Painter(Protocol):
    """Draws the lines of the meters at the bottom of a terminal."""

    def draw(self, meters: Sequence[Meter], /) -> None:
        """Draw them in place of what was drawn before."""
        ...

    def clear(self) -> None:
        """Remove what was drawn, and leave the cursor where it was."""
        ...


class PlainPainter(Painter):
    """Draws with carriage returns and, for more than one line, cursor movements; in no colour.

    Args:
        stream: the terminal.
        width: returns its columns.
    """

    def __init__(self, stream: TextIO, width: Callable[[], int]) -> None:
        self._stream = stream
        self._width = width
        self._drawn = 0

    @override
    def draw(self, meters: Sequence[Meter], /) -> None:
        width = self._width() - 1  # many terminals begin a new line after the last column
        lines = [plain_line(meter, width) for meter in meters]
        self._put(lines + [""] * (self._drawn - len(lines)), width)
        self._drawn = len(lines)

    @override
    def clear(self) -> None:
        if self._drawn:
            self._put([""] * self._drawn, self._width() - 1)
            self._drawn = 0

    def _put(self, lines: Sequence[str], width: int) -> None:
        """Write lines over those that were drawn, with the cursor at the start of the first before and after."""
        block = "\n".join(f"\r{line}{' ' * (width - columns(line))}" for line in lines)
        back = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        self._stream.write(f"{block}\r{back}")
        self._stream.flush()


def plain_line(meter: Meter, width: int) -> str:
    """Return the line of a meter: name, bar, numbers. The bar is left out where there is no room for it."""
    name, text = meter.name, meter.text()
    room = min(width - columns(f"{name}: [] ") - max(columns(text), NUMBERS), _MOST_BAR)
    if meter.waiting or not meter.all_messages or room < _LEAST_BAR:
        return fit(f"{name}: {text}", width)
    done = int(meter.fraction * room)
    return f"{name}: [{'#' * done}{'-' * (room - done)}] {text}"


class Progress(Summaries):
    """On a terminal: a bar for each account that is under way, lines above it, and a summary at the end.

    Args:
        out: for summaries.
        err: for notes and problems; the terminal.
        painter: draws on it.
        clock: returns seconds, and never goes back.
        width: columns of a table.
    """

    def __init__(self, out: TextIO, err: TextIO, painter: Painter, clock: Callable[[], float], width: int = 80) -> None:
        super().__init__(out, err, width, always=True)
        self._painter = painter
        self._clock = clock
        self._meters: dict[str, Meter] = {}
        self._next = 0.0

    @override
    def _happened(self, account: str, telling: Telling) -> None:
        meter = self._meters.get(account)
        if meter is None:
            meter = self._meters[account] = Meter(account)
        now = self._clock()
        meter.tell(telling, now)
        if now >= self._next or isinstance(telling, Planned | Waiting):
            self._draw(now)

    @override
    def _ended(self, account: str, report: Report) -> None:
        self._meters.pop(account, None)
        super()._ended(account, report)

    @override
    def _write(self, stream: TextIO, line: str) -> None:
        self._paint([])
        super()._write(stream, line)
        self._draw(self._clock())

    @override
    def close(self) -> None:
        with self._lock:
            self._meters.clear()
            self._paint([])
        super().close()

    def _draw(self, now: float) -> None:
        self._paint(list(self._meters.values()))
        self._next = now + _REDRAW

    def _paint(self, meters: Sequence[Meter]) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone: mail is fetched all the same
            if meters:
                self._painter.draw(meters)
            else:
                self._painter.clear()
