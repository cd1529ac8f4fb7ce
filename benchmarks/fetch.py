"""Fetch a whole maildrop to disk, by processes that begin and end: ours, and other programs."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen

from .dovecot import dovecot
from .far_away import far_away
from .fetch_mail import mail
from .fetch_programs import PROGRAMS, Program
from .harness.report import Row, Table
from .harness.rounds import GivesUp, Settings
from .processes import USER, started

KB, MB = 1 << 10, 1 << 20

WORK: Final = ((2_000, 2 * KB), (20_000, 2 * KB))
"""How many messages, and of how many octets."""
LARGE: Final = ((20, 25 * MB), (1, 200 * MB))
QUICK_WORK: Final = ((20, 2 * KB),)
QUICK_LARGE: Final = ((2, 1 * MB),)

COLUMNS: Final = ("wall s", "CPU s", "CPU us a message", "peak MiB", "syncs a message")

_PATIENCE: Final = 1_800
_LONG: Final = 60
"""Seconds. What takes longer is run once, and its system calls are not counted."""
_SYNCS: Final = "fsync,fdatasync,sync_file_range,syncfs,sync"


@frozen
class Taken:
    """What one run took.

    Args:
        wall: seconds.
        cpu: CPU seconds, with those of processes that it has started.
        memory: octets at the peak.
    """

    wall: float
    cpu: float
    memory: float


@frozen
class Maildrop:
    """What is to be fetched.

    Args:
        port: of the server.
        count: how many messages there are.
        octets: the least that there are of each.
    """

    port: int
    count: int
    octets: int


def tables(settings: Settings) -> Iterator[Table]:
    count, programs = settings.size(1_000, 100), PROGRAMS[: settings.size(len(PROGRAMS), 2)]
    with _kept_until_the_end():
        with started("mail_servers", "blocking", f"{count}x{2 * KB}") as server:
            yield far(programs, Maildrop(server.port, count, 2 * KB), settings)
        yield from _to_disk(programs, QUICK_WORK if settings.quick else WORK, settings)


def tables_of_large(settings: Settings) -> Iterator[Table]:
    programs = PROGRAMS[: settings.size(len(PROGRAMS), 2)]
    yield from _to_disk(programs, QUICK_LARGE if settings.quick else LARGE, settings)


_folders: Final[list[tempfile.TemporaryDirectory[str]]] = []


@contextlib.contextmanager
def _kept_until_the_end() -> Generator[None]:
    """Remove the folders of all runs at the end.

    ext4 passes by each inode that was freed within the last half minute, one by one: behind a run whose thousands of
    files were just removed, to make a file takes several times the CPU time, or does not.
    """
    try:
        yield
    finally:
        while _folders:
            _folders.pop().cleanup()


def _to_disk(programs: Sequence[Program], work: Sequence[tuple[int, int]], settings: Settings) -> Iterator[Table]:
    for count, octets in work:
        with started("mail_servers", "blocking", f"{count}x{octets}") as server:
            yield compared("our server", programs, Maildrop(server.port, count, octets), settings)
        if not settings.quick:
            with contextlib.suppress(GivesUp), dovecot({USER: mail(count, octets)}, stls=False) as server:
                yield compared("Dovecot", programs, Maildrop(server.port, count, octets), settings)


def compared(server: str, programs: Sequence[Program], maildrop: Maildrop, settings: Settings) -> Table:
    """Measure all programs in rounds, in a random order; the figures are medians."""
    rounds = 1 if settings.quick else max(3, settings.rounds // 3)
    notes: dict[str, str] = {}
    taken: dict[str, list[Taken]] = {program.name: [] for program in programs}
    for number in range(rounds):
        for program in random.Random(number).sample(programs, len(programs)):
            its = taken[program.name]
            if program.name in notes or (its and its[0].wall > _LONG):
                continue
            try:
                its.append(run(program, maildrop))
            except GivesUp as reason:
                notes[program.name] = f"gives up: {reason}"
    rows = tuple(
        Row(program.name, note=notes[program.name])
        if program.name in notes
        else row(program, maildrop, taken[program.name], settings)
        for program in programs
    )
    large = maildrop.octets >= MB
    size = f"{maildrop.octets // MB} MiB" if large else f"{maildrop.octets // KB} KiB"
    return Table(
        f"fetch{'-large' * large}: {maildrop.count} x {size} from {server}, medians of {rounds}", COLUMNS, rows
    )


def row(program: Program, maildrop: Maildrop, taken: Sequence[Taken], settings: Settings) -> Row:
    wall, cpu, memory = (median(getattr(each, name) for each in taken) for name in ("wall", "cpu", "memory"))
    calls = syncs(program, maildrop) if wall <= _LONG else None
    if settings.quick:
        return Row(program.name, (None, None, None, None, calls), "checked")
    note = "; ".join(filter(None, (program.note, "ran once" if len(taken) == 1 else "")))
    figures = (wall, cpu, cpu / maildrop.count * 1e6, memory / MB, calls)
    kept = {"cpu": [each.cpu for each in taken], "wall": [each.wall for each in taken]}
    return Row(program.name, figures, note, kept)


def far(programs: Sequence[Program], maildrop: Maildrop, settings: Settings) -> Table:
    """Measure once with a server that is far away: round trips do not differ much between runs."""
    delay = settings.size(20, 2) / 1e3  # seconds each way
    rows: list[Row] = []
    for program in programs:
        try:
            with far_away(maildrop.port, delay) as distance:
                taken = run(program, Maildrop(distance.port, maildrop.count, maildrop.octets))
            trips = distance.beyond_login / maildrop.count * 100
            rows.append(
                Row(program.name, (trips, distance.login, None if settings.quick else taken.wall), program.note)
            )
        except GivesUp as reason:
            rows.append(Row(program.name, note=f"gives up: {reason}"))
    title = f"fetch: {maildrop.count} x 2 KiB from our server, {delay * 1e3:.0f} ms away"
    return Table(title, ("round trips for 100 messages", "to log in before", "wall s"), tuple(rows))


def run(program: Program, maildrop: Maildrop) -> Taken:
    """Run a program once, into a folder of its own, and see that it has stored everything.

    Raises:
        GivesUp: another program than ours is not installed, or has not stored all messages.
        AssertionError: ours has not.
    """
    said = in_folder(program, maildrop, (sys.executable, "-IS", str(Path(__file__).with_name("measured.py"))))
    wall, cpu, memory, status = said.split("\n")[-2].split()
    if status != "0":
        raise GivesUp(f"it ended with the status {status}")
    return Taken(float(wall), float(cpu), float(memory))


def syncs(program: Program, maildrop: Maildrop) -> float | None:
    """Count the system calls that wait for the disk, for each message; None: there is no strace to count them."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    said = in_folder(
        program, maildrop, (strace, "-f", "--seccomp-bpf", "-c", "-e", f"trace={_SYNCS}", "-o", "/dev/stdout")
    )
    rows = re.findall(rf"^ *[0-9.]+ +[0-9.]+ +[0-9]+ +([0-9]+) .*\b(?:{_SYNCS.replace(',', '|')})$", said, re.MULTILINE)
    return sum(map(int, rows)) / maildrop.count


def in_folder(program: Program, maildrop: Maildrop, within: Sequence[str]) -> str:
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="pop3proto-")
        if maildrop.octets < MB:
            _folders.append(made)
        else:  # these are few, and large
            stack.callback(made.cleanup)
        place, folder = made.name, Path(made.name)
        command = program.command(maildrop.port, maildrop.count, folder)
        os.sync()  # what an earlier run has written shall not be waited for in this one
        environment = {
            **os.environ,
            "HOME": place,
            "PYTHONPYCACHEPREFIX": f"{tempfile.gettempdir()}/pop3proto-bytecode",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        ended = subprocess.run(
            (*within, *command),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        sizes = [file.stat().st_size for file in program.mail(folder)]
        least = maildrop.octets * 9 // 10  # line ends may be shorter
        if len(sizes) != maildrop.count or min(sizes) < least:
            text = f"{program.name} stored {len(sizes)} of {maildrop.count}: {ended.stdout}{ended.stderr}"
            raise AssertionError(text) if program is PROGRAMS[0] else GivesUp(text)
        return ended.stdout
