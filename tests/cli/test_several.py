"""Several accounts at once: apart from each other, and all ended when one says so."""

import signal
import socket
import threading
from contextlib import closing

import pytest

from pop3proto.blocking import connect
from pop3proto.cli.exit_statuses import FAILURE, OK, worst
from pop3proto.cli.several import JOBS, Cancel, Crew, run_several
from pop3proto.core.errors import ConnectionLost
from tests.helpers.processes import PATIENCE, join


class Waited(Crew[int]):
    """A crew that is waited for."""

    def __init__(self, jobs: int = 1) -> None:
        self.rings = threading.Semaphore(0)
        super().__init__(jobs, as_status, self.rings.release)

    def results(self) -> list[tuple[str, int]]:
        assert self.rings.acquire(timeout=PATIENCE)
        return super().results()


def as_status(name: str, error: Exception) -> int:
    return FAILURE


def test_every_account_has_its_result_and_a_failure_stops_no_other():
    def fetch(name):
        if name == "broken":
            raise OSError("no room")
        return OK

    told = []

    def failed(name: str, error: Exception) -> int:
        told.append((name, str(error)))
        return FAILURE

    names = ["work", "broken", "home"]
    results = run_several({name: lambda _, name=name: fetch(name) for name in names}, failed)
    assert results == {"work": OK, "broken": FAILURE, "home": OK}
    assert told == [("broken", "no room")]
    assert worst(results.values()) == FAILURE
    assert run_several({}, failed) == {}


@pytest.mark.parametrize("at_once", [1, JOBS])
def test_so_many_run_at_once_and_no_more(at_once):
    lock = threading.Lock()
    running = most = 0
    all_there = threading.Barrier(at_once)

    def fetch(_: Cancel) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_there.wait(PATIENCE)  # it breaks unless so many are here together
        with lock:
            running -= 1
        return OK

    assert set(run_several({str(number): fetch for number in range(2 * JOBS)}, as_status, at_once).values()) == {OK}
    assert most == at_once


def test_ctrl_c_ends_all_accounts_and_those_that_wait_do_not_begin():
    begun, ended = threading.Semaphore(0), []
    started = []

    def fetch(name: str, cancel: Cancel) -> int:
        started.append(name)
        closed = threading.Event()
        with cancel.calls(closed.set):
            begun.release()
            assert closed.wait(PATIENCE)
        assert cancel.asked
        ended.append(name)
        return OK

    def interrupt() -> None:
        for _ in range(2):
            assert begun.acquire(timeout=PATIENCE)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    jobs = {name: lambda cancel, name=name: fetch(name, cancel) for name in "abcd"}
    with pytest.raises(KeyboardInterrupt):
        run_several(jobs, as_status, 2)
    join(thread)
    assert sorted(ended) == sorted(started) == ["a", "b"]


def test_a_client_is_closed_while_its_server_says_nothing():
    errors = []
    with socket.create_server(("127.0.0.1", 0)) as listener, Waited() as crew:
        listener.settimeout(PATIENCE)

        def fetch(cancel: Cancel) -> int:
            client = connect("127.0.0.1", listener.getsockname()[1], tls="none", timeout=PATIENCE)
            with closing(client), cancel.calls(client.close):
                try:
                    client.login("ann", "tanstaaf")
                except ConnectionLost as error:
                    errors.append(error)
            return FAILURE

        crew.start("work", fetch)
        server, _ = listener.accept()
        with server:
            server.settimeout(PATIENCE)
            server.sendall(b"+OK\r\n")
            assert server.recv(100)  # the first command, which has no answer
            crew.at_once()
        assert crew.results() == [("work", FAILURE)]
    assert len(errors) == 1


def test_what_ends_a_job_is_called_once_and_at_once_if_it_is_late():
    cancel, called = Cancel(), []
    with cancel.calls(lambda: called.append("early")):
        pass
    with cancel.calls(lambda: called.append("first")), cancel.calls(lambda: called.append("second")):
        cancel.ask()
        assert called == []
        assert cancel.asked
        cancel.at_once()
        cancel.at_once()
    assert sorted(called) == ["first", "second"]
    with cancel.calls(lambda: called.append("late")):
        assert called[-1] == "late"


def test_all_are_ended_although_one_cannot_be():
    def broken() -> None:
        raise ValueError("broken")

    cancel, called = Cancel(), []
    with (
        pytest.raises(ValueError, match="broken"),
        cancel.calls(lambda: called.append("first")),
        cancel.calls(broken),
        cancel.calls(lambda: called.append("last")),
    ):
        cancel.at_once()
    assert sorted(called) == ["first", "last"]


def test_a_pause_ends_when_the_job_should():
    cancel = Cancel()
    assert not cancel.pause(0)
    thread = threading.Thread(target=cancel.ask, daemon=True)
    thread.start()
    assert cancel.pause(PATIENCE)
    join(thread)


def test_a_job_is_busy_until_its_result_is_taken():
    with Waited() as crew:
        crew.start("work", lambda _: OK)
        assert crew.busy == {"work"}
        assert crew.results() == [("work", OK)]
        assert crew.busy == frozenset()
        crew.start("work", lambda _: FAILURE)
        assert crew.results() == [("work", FAILURE)]


def test_asked_to_end_what_waits_for_a_thread_does_not_begin():
    go = threading.Event()
    with Waited() as crew:
        begun = threading.Event()

        def fetch(cancel: Cancel) -> int:
            begun.set()
            assert go.wait(PATIENCE)
            assert cancel.asked
            return OK

        crew.start("work", fetch)
        assert begun.wait(PATIENCE)
        crew.start("home", fetch)
        crew.ask()
        assert crew.busy == {"work"}
        go.set()
        assert crew.results() == [("work", OK)]


def test_what_is_no_ordinary_error_is_not_hidden():
    def leave(_: Cancel) -> int:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_several({"work": leave, "home": lambda _: OK}, as_status)
