"""Run a program again and again, each time with a mishap at another of its system calls.

    with Runs() as runs:
        calls = runs.run("pop3proto.cli:main", ["fetch", ...], folder).calls
        runs.run("pop3proto.cli:main", ["fetch", ...], folder, Mishap(at=17))          # killed at its 17th
        runs.run("pop3proto.cli:main", ["fetch", ...], folder, Mishap(17, errno.EIO))  # which fails

To start Python and to import all that a program needs takes a hundred times as long as to fork: so a process that has
imported it, and has no threads, forks a child for each run.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, Self

import attrs

from tests.helpers.system_calls import KILL, PATIENCE, Call, Hangs, Mishap, Tracer, fork, limited, works

__all__ = ["KILL", "Call", "Mishap", "Run", "Runs", "works"]


@attrs.frozen
class Run:
    """What came of a run.

    Args:
        status: the exit status; None: it was killed.
        said: what it has written to standard output and standard error.
        calls: the system calls that are noted, in order, without those that were spoiled; empty if it was not traced.
        struck: the call that was spoiled; None: there were fewer calls than that.
    """

    status: int | None
    said: str
    calls: tuple[Call, ...] = ()
    struck: Call | None = None


class Runs:
    """A process that forks a child for each run.

    Args:
        imports: modules that it imports before.
    """

    def __init__(self, *imports: str) -> None:
        self._imports = imports

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", __name__, *self._imports]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)

    def warm_up(self, program: str, arguments: Sequence[str]) -> Run:
        """Run a program in the process that forks, so that children find there what else it loads and makes once."""
        return self._ask({"program": program, "arguments": list(arguments), "forks": False})

    def run(
        self,
        program: str,
        arguments: Sequence[str],
        folder: Path | None = None,
        mishap: Mishap | None = None,
        *,
        clock: float = 0,
    ) -> Run:
        """Run a program once.

        Args:
            program: `module:function`, which takes the arguments and returns an exit status.
            arguments: of the program.
            folder: its system calls below this folder, and those that send something, are followed; None: none are.
            mishap: what happens at one of them.
            clock: by how many seconds the time of day differs from the true one.
        """
        asked = {
            "program": program,
            "arguments": list(arguments),
            "folder": None if folder is None else str(folder),
            "mishap": None if mishap is None else attrs.asdict(mishap),
            "clock": clock,
            "forks": True,
        }
        return self._ask(asked)

    def _ask(self, asked: Mapping[str, object]) -> Run:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], 2 * PATIENCE)
        if not ready:
            self._process.kill()
            raise AssertionError(f"{asked}: no answer")
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if (hangs := answer.get("hangs")) is not None:
            raise AssertionError(f"{asked}: {hangs}")
        struck = None if answer["struck"] is None else _call(answer["struck"])
        return Run(answer["status"], answer["said"], tuple(map(_call, answer["calls"])), struck)


def _call(fields: Mapping[str, Any]) -> Call:
    return Call(fields["name"], tuple(fields["paths"]), fields["sent"].encode("latin-1"), fields["creates"])


# What follows runs in the process that forks.


def main(imports: Sequence[str]) -> None:
    for name in imports:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        said = os.memfd_create("said")
        try:
            answer = _answer(asked, said)
            with open(said, encoding="utf-8", errors="replace", closefd=False) as file:
                file.seek(0)
                answer["said"] = file.read()
        finally:
            os.close(said)
        print(json.dumps(answer), flush=True)  # noqa: T201 - to the process that has asked


def _answer(asked: Mapping[str, Any], said: int) -> dict[str, Any]:
    if not asked["forks"]:
        status = _warm_up(asked["program"], asked["arguments"], said)
        return {"status": status, "calls": [], "struck": None}
    work = functools.partial(_work, asked["program"], asked["arguments"], said, asked["clock"])
    if asked["folder"] is None:
        pid = os.fork()
        if not pid:
            os._exit(work())
        try:
            with limited(pid):
                _, status = os.waitpid(pid, 0)
        except Hangs as hangs:
            return {"hangs": str(hangs)}
        return {"status": os.waitstatus_to_exitcode(status), "calls": [], "struck": None}
    mishap = None if asked["mishap"] is None else Mishap(**asked["mishap"])
    tracer = Tracer(fork(work), Path(asked["folder"]), mishap)
    try:
        status = tracer.run()
    except Hangs as hangs:
        return {"hangs": str(hangs)}
    struck = None if tracer.struck is None else _fields(tracer.struck)
    return {"status": status, "calls": [_fields(call) for call in tracer.calls], "struck": struck}


def _fields(call: Call) -> dict[str, Any]:
    return {**attrs.asdict(call), "sent": call.sent.decode("latin-1")}


def _warm_up(program: str, arguments: Sequence[str], said: int) -> int:
    kept = os.dup(1), os.dup(2)
    try:
        return _work(program, arguments, said, 0)
    finally:
        for descriptor, own in enumerate(kept, 1):
            os.dup2(own, descriptor)
            os.close(own)
        gc.collect()
        gc.freeze()  # else each child copies what its collector looks at


def _work(program: str, arguments: Sequence[str], said: int, clock: float) -> int:
    """Run the program, with what it says in a file."""
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    if clock:
        _move_clock(clock)
    module, _, name = program.partition(":")
    main: Callable[[list[str]], int] = getattr(importlib.import_module(module), name)
    status = 1
    try:
        status = main(list(arguments))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - it is shown as Python shows it
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return status


def _move_clock(seconds: float) -> None:
    true = SimpleNamespace(time=time.time, time_ns=time.time_ns)
    time.time = lambda: true.time() + seconds
    time.time_ns = lambda: true.time_ns() + int(seconds * 1e9)
    for module in [each for name, each in sys.modules.items() if name.startswith("pop3proto.")]:
        for defaults in (each.__kwdefaults__ for each in vars(module).values() if isinstance(each, FunctionType)):
            if defaults is not None:  # they hold the function of the time that was there at the import
                defaults.update({name: time.time for name, default in defaults.items() if default is true.time})


if __name__ == "__main__":
    main(sys.argv[1:])
