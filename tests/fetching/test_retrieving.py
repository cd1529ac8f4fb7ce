"""What a broken session is blamed on: the message that was fetched by itself, or the server that ends each session."""

from __future__ import annotations

import errno
from typing import Any, cast

import pytest

from pop3proto.core.errors import ConnectionLost, Pop3Error, RemoteProtocolError, TimedOut
from pop3proto.core.results import UniqueId
from pop3proto.fetching.events import MessageIdentity
from pop3proto.fetching.plan import Action, Step
from pop3proto.fetching.policy import Policy
from pop3proto.fetching.proof import OutOfStep, Proof
from pop3proto.fetching.retrieving import Retrieving
from pop3proto.fetching.run import FetchRun, StorageFailed
from pop3proto.procedures.operations import Procedure
from tests.helpers.fetching import ListJournal, MemoryDestination

STEP = Step(7, MessageIdentity(UniqueId("a")), 100, Action.FETCH, "new")
MOST = 1_000


class Broken(Retrieving):
    """Each message breaks the session."""

    error: Pop3Error | StorageFailed

    def _retrieve_batches(self, batches: object) -> Procedure[None]:
        raise self.error
        yield


def perform(procedure: Procedure[None]) -> None:
    """Run a procedure that only calls functions."""
    try:
        operation: Any = next(procedure)
        while True:
            operation = procedure.send(operation.call())
    except StopIteration:
        pass


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("stored", [0, 8])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("the server has hung up"),
        TimedOut("the peer sent nothing in time"),
        RemoteProtocolError("the server said no answer"),
        OutOfStep("a message seems to end early"),
        StorageFailed(OSError(errno.EACCES, "not this one")),
        StorageFailed(OSError(errno.ENOENT, "the folder is not there")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_only_a_server_that_hangs_up_after_others_had_come_gets_the_message_another_chance(
    error: Pop3Error | StorageFailed, stored: int, last: bool
) -> None:
    """A server may end each session after so many commands. None is silent then, or sends what is no answer: for that
    the message is to blame, which may cost a timeout each time."""
    journal = ListJournal()
    run = FetchRun(
        cast("Any", None), journal, MemoryDestination(), Policy(session_messages=MOST), lambda _: None, lambda: 0.0
    )
    run.most = 50
    retrieving = Broken(run, Proof(frozenset(), (), None), last=last)
    retrieving.error = error
    retrieving.stored.extend([cast("Any", None)] * stored)
    with pytest.raises(type(error)):
        perform(retrieving._retrieve_single(STEP))
    again = isinstance(error, ConnectionLost) and stored > 0 and not last
    nowhere = isinstance(error, StorageFailed) and error.fatal
    assert run.is_first(STEP) is again
    assert run.is_left(STEP) is not (again or nowhere)
    assert run.most == (stored // 2 if again else MOST)
    told = [problem.identity for problem in run.report.problems]
    assert told == ([] if again or nowhere else [STEP.identity])
    assert len(journal.events) == (0 if again or isinstance(error, StorageFailed) else 1)
