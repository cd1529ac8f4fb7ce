"""Import packages in fresh processes: what a program pays before it begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from .harness.report import Row, Table
from .harness.rounds import Contender, GivesUp, Settings, compare

WORK = {
    "import pop3proto": "import pop3proto",
    "import pop3proto.blocking": "import pop3proto.blocking",
    "import pop3proto.asyncio": "import pop3proto.asyncio",
    "pop3proto --help": "from pop3proto.cli import main; main(['--help'])",
    "import poplib": "import poplib",
    "import h11": "import h11",
    "import twisted.mail.pop3": "import twisted.mail.pop3",
}

CHILD = """
import sys, time
before, began = set(sys.modules), time.process_time()
try:
    exec(sys.argv[1])
except SystemExit:
    pass
print()
print(time.process_time() - began, len(set(sys.modules) - before))
"""


class Fresh:
    """A process for each run. Starting Python does not count in the CPU time; nor does compiling, but in the first run.

    Args:
        code: what to run.
        cache: the folder for what is compiled; None: as in this process.
    """

    def __init__(self, code: str, cache: str | None) -> None:
        self.seconds = 0.0
        self.modules = 0
        self._environment = dict(os.environ)
        if cache is not None:
            self._environment["PYTHONPYCACHEPREFIX"] = cache
            self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._command = [sys.executable, "-c", CHILD, code]

    def run(self) -> None:
        ended = subprocess.run(
            self._command, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        if ended.returncode:
            raise GivesUp("not installed" if "ModuleNotFoundError" in ended.stderr else ended.stderr)
        seconds, modules = ended.stdout.split("\n")[-2].split()
        self.seconds += float(seconds)
        self.modules = int(modules)


def tables(settings: Settings) -> Iterator[Table]:
    with tempfile.TemporaryDirectory() as cache:
        fresh = {name: Fresh(code, None if settings.quick else cache) for name, code in WORK.items()}
        if settings.quick:
            ours = {name: process for name, process in fresh.items() if "pop3proto" in name}
            yield Table("import: modules that are loaded", ("modules",), tuple(map(modules, ours, ours.values())))
            return
        contenders = [
            Contender(name, process.run, output=None, cpu=lambda process=process: process.seconds)
            for name, process in fresh.items()
        ]
        yield compare("import: CPU time in fresh processes", contenders, settings, against=["import poplib"])


def modules(name: str, process: Fresh) -> Row:
    try:
        process.run()
    except GivesUp as reason:
        return Row(name, note=f"gives up: {reason}")
    return Row(name, (process.modules,))
