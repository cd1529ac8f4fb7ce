"""Programs that this process has started: what they inherit, and how they are waited for and ended."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Final

__all__ = ["inherited_descriptors", "wait"]

_FIRST_PAUSE: Final = 0.001  # seconds, as the next two
_LONGEST_PAUSE: Final = 0.05
_LONGEST_GRACE: Final = 5.0


def inherited_descriptors(*, above: int) -> list[int]:
    """Return the descriptors that a program would inherit, such as sockets passed by a supervisor.

    Args:
        above: only descriptors with higher numbers.
    """
    descriptors: list[int] = []
    with suppress(OSError):  # not every system has /dev/fd
        descriptors = [int(name) for name in os.listdir("/dev/fd") if name.isdecimal()]  # noqa: PTH208 - not real files
    return [descriptor for descriptor in descriptors if descriptor > above and _is_inheritable(descriptor)]


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # closed after it was listed
        return False


def wait(process: int, timeout: float, *, grace: float = 0) -> int:
    """Wait for a process that leads a process group, and reap it.

    Args:
        process: its number.
        timeout: seconds after which it is ended with all of its group.
        grace: seconds between SIGTERM and SIGKILL; 0: it is killed at once.

    Returns:
        Its exit status, or the negative number of the signal that killed it.

    Raises:
        TimeoutError: it did not end in time; it was killed and reaped.
        ChildProcessError: other code in this process has already reaped it.
    """
    try:
        status = _poll(process, time.monotonic() + timeout)
    except ChildProcessError:
        raise  # do not kill: the process id may belong to another process by now
    except BaseException:
        _kill(process)
        raise
    if status is None:
        if grace:
            _terminate(process, grace)
        _kill(process)
        raise TimeoutError(errno.ETIMEDOUT, f"it did not end within {timeout:g} seconds")
    return status


def _poll(process: int, until: float) -> int | None:
    """Return the exit status, or None if the process still runs at `until` (a time of `time.monotonic`).

    It polls because no portable system call waits for a process with a timeout.
    """
    pause = _FIRST_PAUSE
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        left = until - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _terminate(process: int, grace: float) -> None:
    with suppress(OSError):  # as in _kill
        os.killpg(process, signal.SIGTERM)
    with suppress(ChildProcessError):
        _poll(process, time.monotonic() + grace)


def _kill(process: int) -> None:
    """Kill a process and its process group, and reap it."""
    with suppress(OSError):  # no permission, if the program has changed its user id
        os.killpg(process, signal.SIGKILL)
    # Reap in a thread: a process that cannot be killed, or hangs in a file system, must not delay the caller.
    reaper = threading.Thread(target=_reap, args=(process,), daemon=True)
    reaper.start()
    reaper.join(_LONGEST_GRACE)


def _reap(process: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(process, 0)
