"""Several accounts at once, each in a thread of its own."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

from .alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

__all__ = ["JOBS", "Cancel", "Crew", "run_several"]

JOBS: Final = 4
"""How many accounts are fetched at once, unless `--jobs` says otherwise."""

T = TypeVar("T")


class Cancel:
    """Tells a job that it should end: soon, after the work in hand, or at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._at_once = False
        self._callbacks: list[Callable[[], object]] = []

    @property
    def asked(self) -> bool:
        """Whether the job should begin nothing new."""
        return self._asked.is_set()

    def pause(self, seconds: float) -> bool:
        """Wait so long, or until the job should end; return whether it should."""
        return self._asked.wait(seconds)

    @contextmanager
    def calls(self, callback: Callable[[], object]) -> Generator[None]:
        """Within the block, the end of the job calls something that ends the work in hand, such as `Client.close`.

        Args:
            callback: it is called in another thread, once; here, if the job should have ended already.
        """
        with self._lock:
            late = self._at_once
            self._callbacks.append(callback)
        if late:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)

    def ask(self) -> None:
        """Let the job end after the work in hand."""
        self._asked.set()

    def at_once(self) -> None:
        """Let the job end now."""
        self.ask()
        with self._lock:
            callbacks = [] if self._at_once else [*self._callbacks]
            self._at_once = True
        _call_all(callbacks)


class Crew(Generic[T]):
    """Runs jobs in threads, a number of them at once, and hands out their results in the order in which they end.

    All methods are for one thread. At the end of the block all jobs end at once, if they have not.

    Args:
        jobs: how many run at once; the others wait for their turn.
        failed: makes a result of a job that raised an exception, so that it stops no other.
        ended: called after each job, in its thread.
    """

    def __init__(self, jobs: int, failed: Callable[[str, Exception], T], ended: Callable[[], object]) -> None:
        self._pool = ThreadPoolExecutor(jobs, "fetch")
        self._failed = failed
        self._ended = ended
        self._jobs: dict[str, tuple[Cancel, Future[T]]] = {}
        self._done: SimpleQueue[tuple[str, Future[T]]] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.at_once()
        self._pool.shutdown(wait=True)

    @property
    def busy(self) -> frozenset[str]:
        """The jobs of which `results` has not handed out a result."""
        return frozenset(self._jobs)

    def start(self, name: str, job: Callable[[Cancel], T]) -> None:
        """Run a job as soon as there is a thread for it.

        Args:
            name: no other job that is busy has it.
            job: it is not begun, and has no result, if it should end before there is a thread for it.
        """
        cancel = Cancel()
        future = self._pool.submit(self._run, name, job, cancel)
        self._jobs[name] = cancel, future
        future.add_done_callback(partial(self._finish, name))

    def _run(self, name: str, job: Callable[[Cancel], T], cancel: Cancel) -> T:
        try:
            return job(cancel)
        except Exception as error:  # noqa: BLE001 - the other accounts go on
            return self._failed(name, error)

    def _finish(self, name: str, future: Future[T]) -> None:
        if not future.cancelled():
            self._done.put((name, future))
            self._ended()

    def results(self) -> list[tuple[str, T]]:
        """Return the results of the jobs that have ended since the last call."""
        results: list[tuple[str, T]] = []
        for _ in range(self._done.qsize()):
            name, future = self._done.get_nowait()
            del self._jobs[name]
            results.append((name, future.result()))
        return results

    def ask(self) -> None:
        """Let all jobs end after the work in hand; those that have not begun do not begin."""
        for cancel in self._begun():
            cancel.ask()

    def at_once(self) -> None:
        """Let all jobs end now."""
        _call_all([cancel.at_once for cancel in self._begun()])

    def _begun(self) -> list[Cancel]:
        """Drop the jobs that have not begun, and return what ends the others."""
        self._jobs = {name: job for name, job in self._jobs.items() if not job[1].cancel()}
        return [cancel for cancel, _ in self._jobs.values()]


def _call_all(functions: Iterable[Callable[[], object]]) -> None:
    """Call them all, although one fails; then raise its error."""
    with ExitStack() as stack:
        for function in functions:
            stack.callback(function)


def run_several(
    jobs: Mapping[str, Callable[[Cancel], T]], failed: Callable[[str, Exception], T], at_once: int = JOBS
) -> dict[str, T]:
    """Run the jobs of several accounts, and return their results by name. For the main thread.

    Args:
        jobs: by name; each runs in a thread.
        failed: makes a result of a job that raised an exception, so that it stops no other.
        at_once: how many run at once.

    Raises:
        KeyboardInterrupt: Ctrl-C. All jobs have ended.
    """
    results: dict[str, T] = {}
    # Not `concurrent.futures.wait`: a signal just before it sleeps would not wake it.
    alarm = Alarm([signal.SIGINT])
    with Crew(at_once, failed, alarm.ring) as crew, alarm:
        for name, job in jobs.items():
            crew.start(name, job)
        while crew.busy:
            if alarm.wait(None):
                raise KeyboardInterrupt
            results.update(crew.results())
    return results
