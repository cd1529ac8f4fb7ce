"""Servers in processes of their own, and what they cost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from attrs import frozen

from .harness.rounds import GivesUp, library

PATIENCE = 60
"""Seconds after which a process that does not end is killed."""

HOST = "127.0.0.1"


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
            said = process.stdout.readline().strip()
            if not said.isdecimal():
                raise GivesUp(said or "it does not start")
            pids = (process.pid,)
            yield Started(int(said), lambda: cpu_of(pids), lambda: resident(process.pid))
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def cpu_of(pids: Iterable[int]) -> float:
    """Return the CPU seconds that processes have taken so far. It takes Linux, where each has a clock."""
    seconds = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            seconds += time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) does it
    return seconds


def resident(pid: int) -> int:
    """Return the octets of memory of a process that no file backs and no other process shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise GivesUp("the system does not tell")


def until_input_ends() -> None:
    """Wait until the process that has started this one wants it to end, or has ended."""
    sys.stdin.read()


def on_one_core() -> None:
    """Keep this process on the last core that it may use, as all servers that are compared."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


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
