"""What `pop3proto fetch` shows: problems alone, a summary, a line for each message, or a progress bar.

An output serves several accounts at once, each from a thread of its own. Results go to standard output; notes,
problems and progress go to standard error.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TextIO

import attrs
from typing_extensions import override

from pop3proto.core.text import counted, visible
from pop3proto.fetching.plan import Action
from pop3proto.fetching.report import Deleted, Noted, Planned, Problem, ProblemKind, Stored, Waiting

from .exit_statuses import OK, status_of
from .fetch_words import DONE, plan_lines, status_line, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pop3proto.fetching.events import MessageIdentity
    from pop3proto.fetching.plan import Plan, Step
    from pop3proto.fetching.report import Report, Tell, Telling

__all__ = ["Output", "Quiet", "Summaries", "TextOutput", "Verbose"]

MOST_OF_A_KIND: Final = 10
"""So many notes, and problems of each kind, are shown for an account; of the others, the number."""

_KINDS: Final = {
    ProblemKind.MESSAGE: "problem with a message",
    ProblemKind.LATER: "problem with the network or the server",
    ProblemKind.REFUSED: "refusal",
    ProblemKind.CONFIGURATION: "problem with the configuration",
    ProblemKind.STORAGE: "problem with storing",
    ProblemKind.SERVER: "problem with what the server does",
}


class Output(ABC):
    """Shows what happens. Its methods may be called in any thread, for several accounts at once.

    Args:
        out: for results. Where messages themselves go to standard output, it is standard error.
        err: for notes, problems and progress.
    """

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._lock = threading.RLock()
        self._failure: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, account: str) -> Tell:
        """Return what a fetch of this account tells to."""
        return partial(self.tell, account)

    @abstractmethod
    def tell(self, account: str, telling: Telling) -> None:
        """Show something that happens to an account."""

    @abstractmethod
    def end(self, account: str, report: Report) -> None:
        """Show the end of a run for an account. Problems that were not told are shown now."""

    @abstractmethod
    def say(self, account: str | None, text: str) -> None:
        """Show a line that is no telling: of the dialogue, or of what the program does; None: about no account."""

    @abstractmethod
    def show_plan(self, account: str, plan: Plan) -> None:
        """Show a plan that is not carried out."""

    @abstractmethod
    def show_status(self, account: str, plan: Plan) -> None:
        """Show what is on the server, by its plan."""

    def close(self) -> None:
        """Leave the terminal as it was. It may be called again.

        Raises:
            OSError: not all could be written to standard output. Until now the fetch went on without it.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _write(self, stream: TextIO, line: str) -> None:
        """Write a line. Mail is fetched although nobody reads of it: a failure is kept for the end."""
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except OSError as error:
            if stream is self._out and self._failure is None:
                self._failure = error


@attrs.define
class _Account:
    """What was shown of an account in this run."""

    shown: set[tuple[bool, MessageIdentity | None, str]] = attrs.field(
        factory=set[tuple[bool, "MessageIdentity | None", str]]
    )
    of_a_kind: Counter[ProblemKind | None] = attrs.field(factory=Counter["ProblemKind | None"])
    steps: dict[MessageIdentity, Step] = attrs.field(factory=dict["MessageIdentity", "Step"])


class TextOutput(Output):
    """Shows problems, and no more than ten of a kind. The other outputs of text show more.

    Args:
        out: for results.
        err: for notes and problems.
        width: columns of a table.
    """

    def __init__(self, out: TextIO, err: TextIO, width: int = 80) -> None:
        super().__init__(out, err)
        self._width = width
        self._accounts: dict[str, _Account] = {}

    @override
    def tell(self, account: str, telling: Telling) -> None:
        with self._lock:
            match telling:
                case Problem(kind, text, identity):
                    self._once(account, kind, text, identity)
                case Noted(text):
                    self._once(account, None, text)
                case Planned(plan):
                    for text in plan.notes:
                        self._once(account, None, text)
                    for text in plan.obstacles:
                        self._once(account, ProblemKind.SERVER, text)
                    if plan.stop is not None:
                        self._once(account, ProblemKind.SERVER, plan.stop)
                case _:
                    pass
            self._happened(account, telling)

    @override
    def end(self, account: str, report: Report) -> None:
        with self._lock:
            for problem in report.problems:
                self._once(account, problem.kind, problem.text, problem.identity)
            self._ended(account, report)
            self._accounts.pop(account, None)

    @override
    def say(self, account: str | None, text: str) -> None:
        with self._lock:
            self._write(self._err, visible(text if account is None else f"{account}: {text}"))

    @override
    def show_plan(self, account: str, plan: Plan) -> None:
        with self._lock:
            for line in plan_lines(account, plan, self._width):
                self._write(self._out, line)

    @override
    def show_status(self, account: str, plan: Plan) -> None:
        with self._lock:
            self._write(self._out, status_line(account, plan))

    def _of(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())

    def _once(self, account: str, kind: ProblemKind | None, text: str, identity: MessageIdentity | None = None) -> None:
        """Show a problem or, without a kind, a note; what is told twice is shown once."""
        state = self._of(account)
        key = kind is None, identity, text  # a problem may have the words of a note
        if key in state.shown:
            return
        state.shown.add(key)
        state.of_a_kind[kind] += 1
        if state.of_a_kind[kind] <= MOST_OF_A_KIND:
            self._show(account, kind, text)

    def _show(self, account: str, kind: ProblemKind | None, text: str) -> None:
        if kind is not None:
            self.say(account, text)

    def _happened(self, account: str, telling: Telling) -> None:
        """Show what is neither note nor problem."""

    def _ended(self, account: str, _report: Report) -> None:
        """Show the end."""
        self._rest(account, *_KINDS)

    def _rest(self, account: str, *kinds: ProblemKind | None) -> None:
        """Show how many notes and problems were not shown."""
        for kind in kinds:
            if (more := self._of(account).of_a_kind[kind] - MOST_OF_A_KIND) > 0:
                name = "note" if kind is None else _KINDS[kind]
                self.say(account, f"and {_several(more, name)} more")


def _several(number: int, name: str) -> str:
    noun, _, rest = name.partition(" ")
    return f"{counted(number, noun)} {rest}".rstrip()


class Quiet(TextOutput):
    """`-q`: problems alone, on standard error."""


class Summaries(TextOutput):
    """Without a terminal: a summary, notes and problems; nothing at all if nothing came and nothing went wrong.

    Args:
        out: for summaries.
        err: for notes and problems.
        width: columns of a table.
        always: write the summary, although nothing came: somebody is looking.
    """

    def __init__(self, out: TextIO, err: TextIO, width: int = 80, *, always: bool = False) -> None:
        super().__init__(out, err, width)
        self._always = always
        self._notes: dict[str, list[str]] = {}
        self._new: dict[str, list[str]] = {}  # of these, what no other run tells

    @override
    def _show(self, account: str, kind: ProblemKind | None, text: str) -> None:
        if kind is not None:
            self.say(account, text)
        elif self._always:
            self.say(account, f"note: {text}")
        else:  # whether it is shown is known at the end
            self._notes.setdefault(account, []).append(text)

    @override
    def tell(self, account: str, telling: Telling) -> None:
        if isinstance(telling, Noted) and telling.new and not self._always:
            with self._lock:
                self._new.setdefault(account, []).append(telling.text)
        super().tell(account, telling)

    @override
    def _ended(self, account: str, report: Report) -> None:
        notes, new = self._notes.pop(account, []), self._new.pop(account, [])
        came = report.stored or report.headers or report.deleted
        if not (came or self._always or status_of(report) != OK):
            for text in new:
                self.say(account, f"note: {text}")
            return
        if report.problems and not report.sessions:  # the problem says it all
            self._rest(account, None, *_KINDS)
            return
        for text in notes:
            self.say(account, f"note: {text}")
        self._rest(account, None, *_KINDS)
        self._write(self._out, summary(account, report))


class Verbose(Summaries):
    """`-v`: a line for each message, too: its number, octets, unique id, what was done and why.

    Messages that are here already are counted, and have no line.
    """

    def __init__(self, out: TextIO, err: TextIO, width: int = 80) -> None:
        super().__init__(out, err, width, always=True)

    @override
    def _happened(self, account: str, telling: Telling) -> None:
        for text in self._lines(self._of(account).steps, telling):
            self._write(self._out, visible(f"{account}: {text}"))

    @staticmethod
    def _lines(steps: dict[MessageIdentity, Step], telling: Telling) -> Iterator[str]:
        match telling:
            case Planned(plan):
                yield from Verbose._planned(steps, telling)
                steps.update((step.identity, step) for step in plan.steps if step.identity is not None)
            case Stored(identities):
                for each in identities:
                    step = steps.get(each)
                    yield _line(each, step, "stored" if step is None else DONE[step.action], because=True)
            case Deleted(identities):
                for each in identities:
                    yield _line(each, steps.get(each), "deleted on the server", because=False)
            case Waiting(seconds, why):
                yield f"waiting {seconds:.0f} s: {why}"
            case _:
                pass

    @staticmethod
    def _planned(steps: dict[MessageIdentity, Step], planned: Planned) -> Iterator[str]:
        plan = planned.plan
        if not steps and (kept := plan.of(Action.KEEP)):
            yield f"{counted(len(kept), 'message')} here already"
        for step in plan.of(Action.SKIP):
            if step.identity not in steps:  # a later session of the same run says it again
                yield _line(step.identity, step, DONE[step.action], because=True)


def _line(identity: MessageIdentity | None, step: Step | None, done: str, *, because: bool) -> str:
    """Return the line of a message. What no plan named has no number."""
    unique_id = "no unique id" if identity is None else identity.unique_id
    if step is None:
        return f"{unique_id}: {done}"
    octets = "? octets" if step.octets is None else counted(step.octets, "octet")
    why = f": {step.reason}" if because and step.reason else ""
    return f"message {step.number} ({octets}, {unique_id}) {done}{why}"
