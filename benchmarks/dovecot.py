"""Dovecot, where it is installed, as the interop tests start it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

from .harness.rounds import GivesUp, library
from .processes import PASSWORD, Clock, Started, family, on_one_core, resident

BESIDES = "a process for each session; also keeps an index of the maildrop, statistics and a log"


@contextlib.contextmanager
def dovecot(
    mail: Mapping[str, Iterable[bytes]],
    homes: dict[str, Path] | None = None,
    *,
    stls: bool = True,
    password: str = PASSWORD,
) -> Generator[Started]:
    """Start it on one core, with mail of its own for each user.

    Args:
        mail: the messages of each user, as they are stored.
        homes: gets the Maildir of each user.
        stls: it has TLS for those who ask for it.
        password: of all users; or its hash, with the scheme before it.

    Raises:
        GivesUp: it, or what the tests need to start it, is not installed.
    """
    program = shutil.which("dovecot", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise GivesUp("not installed")
    with library("tests.helpers.programs").dovecot_serving(program, stls=stls, password=password) as server:
        for user, messages in mail.items():
            path = server.deliver(user, messages)
            if homes is not None:
                homes[user] = path
        pid: int = server.program.pid
        for each in family(pid):
            on_one_core(each)
        yield Started(server.port, Clock(pid).seconds, lambda: sum(map(resident, family(pid))))
