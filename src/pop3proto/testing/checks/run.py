"""Run checks: their scripts are driven here, in this thread, with a limit on everything that they wait for."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import attrs

from pop3proto.core.errors import Pop3Error, TimedOut
from pop3proto.procedures.operations import Operation, Read, StartTls, Write
from pop3proto.testing.masking import Secrets

from .check import Check, Need
from .conversation import Deliver, HangUp, Open, Over, Pause
from .facts import Facts
from .learning import learn
from .obstacles import failure, obstacle, wording
from .steps import begin
from .table import CHECKS
from .target import connect
from .transcript import Transcript
from .verdicts import CheckFailed, CheckSkipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pop3proto.procedures.operations import Procedure

    from .target import Link, Target

__all__ = ["Checker", "Outcome", "Result", "run_checks"]

T = TypeVar("T")

Result: TypeAlias = Literal["passed", "failed", "skipped"]


@attrs.frozen
class Outcome:
    """What a check has found.

    Args:
        check: the check.
        result: "passed", "failed" or "skipped".
        why: what the server did instead, or why it could not be found out; "" if it has passed.
        transcript: what both sides have said, a line for each line, without secrets; "" if nothing was said.
    """

    check: Check
    result: Result
    why: str = ""
    transcript: str = attrs.field(default="", repr=False)


class Checker:
    """Runs checks of one server, one by one.

    Args:
        target: the server.

    Attributes:
        facts: what is known of it; nothing, until the first check is run.
    """

    def __init__(self, target: Target) -> None:
        self.facts: Final = Facts()
        self._target: Final = target
        self._until: float | None = None

    def run(self, check: Check) -> Outcome:
        """Run a check, over connections of its own. It raises nothing that the check does."""
        target, facts = self._target, self.facts
        if self._until is None:
            self._until = time.monotonic() + target.total
            until = min(self._until, time.monotonic() + target.limit)
            World(target, Transcript(target.login), until).close_after(learn(target, facts))
        hidden = Secrets(target.login)
        if (why := failure(check, target, facts)) is not None:
            return Outcome(check, "failed", hidden.masked(why))
        if (why := obstacle(check, target, facts)) is not None:
            return Outcome(check, "skipped", hidden.masked(why))
        if Need.SLOW not in check.needs and time.monotonic() >= self._until:
            return Outcome(check, "skipped", f"{target.total:g} seconds for all checks are over")
        transcript = Transcript(target.login)
        world = World(target, transcript, time.monotonic() + target.limit)
        result: Result = "failed"
        try:
            world.close_after(_script(check, target, facts))
        except CheckSkipped as error:
            result, why = "skipped", str(error)
        except CheckFailed as error:
            why = str(error)
        except Pop3Error as error:
            why = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - the other checks are run all the same
            why = f"the check could not be carried out: {type(error).__name__}: {error}"
        else:
            result, why = "passed", ""
        return Outcome(check, result, hidden.masked(why), str(transcript))


def run_checks(target: Target, checks: Iterable[Check] = CHECKS) -> Iterator[Outcome]:
    """Run checks, each over connections of its own, and yield what each has found as soon as it is known.

    First the server is asked what it can do, so that a check can be skipped where it does not apply. Whatever happens
    in a check, the others are run, too.

    Args:
        target: the server.
        checks: those to be run, in this order.
    """
    yield from map(Checker(target).run, checks)


def _script(check: Check, target: Target, facts: Facts) -> Procedure[None]:
    yield from check.script((yield from begin(check, target, facts)))


class World:
    """Performs the operations of one script.

    Args:
        target: the server.
        transcript: gets what is said.
        until: when all of it must be over.
    """

    def __init__(self, target: Target, transcript: Transcript, until: float) -> None:
        self._target: Final = target
        self._transcript: Final = transcript
        self._until = until
        self._links: Final[list[Link]] = []

    def close_after(self, procedure: Procedure[T]) -> T:
        """Run a procedure, and hang up on all its connections."""
        result: object = None
        error: Exception | None = None
        try:
            while True:
                try:
                    operation = procedure.send(result) if error is None else procedure.throw(error)
                except StopIteration as end:
                    value: T = end.value
                    return value
                result = error = None
                try:
                    result = self._perform(operation)
                except Exception as raised:  # noqa: BLE001 - it belongs to the procedure
                    error = raised
        finally:
            for link in self._links:
                link.close()

    def _perform(self, operation: Operation[object]) -> object:
        match operation:
            case Over(number, inner):
                return self._perform_over(number, inner)
            case Open():
                link = connect(self._target, self._left())
                self._links.append(link)
                return len(self._links), link
            case Deliver(message):
                if self._target.deliver is None:
                    raise CheckSkipped(f"it needs {wording(Need.DELIVERY)}")
                # Real messages have such a line, and some servers make unique ids of it.
                message_id = f"Message-ID: <{secrets.token_hex(8)}@checks.invalid>\r\n".encode()
                self._target.deliver(message_id + message)
            case HangUp(number):
                self._links[number - 1].close()
                self._transcript.note(number, "the client has hung up")
            case Pause(seconds):
                self._pause(seconds)
            case _:
                raise TypeError(f"{type(operation).__name__} is no operation of a check")
        return None

    def _perform_over(self, number: int, operation: Operation[object]) -> object:
        link = self._links[number - 1]
        if isinstance(operation, Read | Write | StartTls):
            until = time.monotonic() + self._left()
            if operation.until is None or operation.until > until:
                operation = attrs.evolve(operation, until=until)
        if isinstance(operation, Write):
            self._transcript.client(number, operation.octets)
        result = link.perform(operation)
        if isinstance(operation, Read) and isinstance(result, bytes):
            if result:
                self._transcript.server(number, result)
            else:
                self._transcript.note(number, "the server has hung up")
        elif isinstance(operation, StartTls):
            self._transcript.note(number, "TLS has begun")
        return result

    def _pause(self, seconds: float) -> None:
        """Wait, but in memory, where nothing happens meanwhile."""
        if self._target.in_memory is None:
            time.sleep(seconds)
            self._until += seconds

    def _left(self) -> float:
        """Return how long the next operation may take."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimedOut(f"it has taken {self._target.limit:g} seconds, which is too long")
        return min(left, self._target.timeout)
