"""Servers in processes of their own, and what they cost."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

from attrs import frozen

from .harness.rounds import GivesUp, library

PATIENCE = 60
"""Seconds after which a process that does not end is killed."""

HOST, USER, PASSWORD = "127.0.0.1", "ann", "tanstaaf"


@frozen
class Started:
    """A server that listens on loopback.

    Args:
        port: where.
        cpu: the clock of its CPU seconds.
        resident: returns the octets of memory that are its own.
    """

    port: int
    cpu: Callable[[], float]
    resident: Callable[[], int]


@contextlib.contextmanager
def started(module: str, *arguments: str | Path) -> Generator[Started]:
    """Run a module of this package that prints its port, and ends when its input does.

    Raises:
        GivesUp: it says in its last line why it cannot run.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
            said = process.stdout.readline().strip() if ready else ""
            if not said.isdecimal():
                raise GivesUp(said or "it does not start")
            clock = Clock(process.pid)
            yield Started(int(said), clock.seconds, lambda: resident(process.pid))
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


class Clock:
    """CPU seconds of a process, and of those that it starts. It takes Linux, where each process has a clock."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: dict[int, float] = {}  # when they were last looked at: some have ended since

    def seconds(self) -> float:
        """Return how many they have taken so far."""
        for pid in family(self._pid):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._seen[pid] = time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) does it
        return sum(self._seen.values())


def family(pid: int) -> list[int]:
    """Return a process, and those that it has started, and those that they have started."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text(encoding="ascii").split())
    return found


def resident(pid: int) -> int:
    """Return the octets of memory of a process that no file backs and no other process shares; 0 if it has ended."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
    return 0


def until_input_ends() -> None:
    """Wait until the process that has started this one wants it to end, or has ended."""
    sys.stdin.read()


def on_one_core(pid: int = 0) -> None:
    """Keep a process on the last core that it may use, as all servers that are compared; 0 is this one."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(pid, {max(os.sched_getaffinity(pid))})


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for loopback; return the files of its authority, and of itself with its key.

    Raises:
        GivesUp: trustme, which makes it, is not installed.
    """
    authority = library("trustme").CA()
    ca, own = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(own)
    return ca, own
