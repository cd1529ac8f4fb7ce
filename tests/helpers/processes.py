"""Processes and threads that tests start: nothing waits for them without a limit, and what hangs is shown."""

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 120
"""Seconds after which a process or a thread is taken to hang. Nothing waits that long unless it is broken."""


@contextlib.contextmanager
def started(*command: str | Path, **options: Any) -> Generator[subprocess.Popen[Any]]:
    """Run a process beside a block; a read from its pipes ends at the latest after `PATIENCE`.

    Then it is aborted, and Python shows on the process's standard error what it was doing. Leaving the block kills
    it, if it has not ended.

    Args:
        options: those of `subprocess.Popen`.
    """
    options["env"] = {**options.get("env", os.environ), "PYTHONFAULTHANDLER": "1"}
    with subprocess.Popen(command, **options) as process:
        watchdog = threading.Timer(PATIENCE, process.send_signal, [signal.SIGABRT])
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            watchdog.join(PATIENCE)
            process.kill()


def join(*threads: threading.Thread) -> None:
    """Wait until threads have ended; if one does not, fail and show what all threads do."""
    for thread in threads:
        thread.join(PATIENCE)
    if any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
        pytest.fail("a thread did not end; standard error shows where it is")


def wait_until(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds of which nothing tells; if it never does, fail with these words."""
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            pytest.fail(otherwise)
        time.sleep(0.001)  # leaves the interpreter to the threads that are waited for
