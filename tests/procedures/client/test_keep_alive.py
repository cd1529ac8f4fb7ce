"""NOOP while the caller is busy: said in time, answered in any case, and over when it is asked for."""

import pytest

from pop3proto.core.commands import Retr, Stat
from pop3proto.core.errors import Busy, ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.calls import call
from pop3proto.procedures.client.commands import keep_alive
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.procedures.operations import ShuttingDown
from tests.helpers.drivers import Script, sessions_come_to_their_end  # noqa: F401 - it is a fixture


@pytest.fixture
def script():
    return Script().log_in()


def stop(script, actor):
    actor.throw(ShuttingDown())
    script._listen(actor)
    return actor


def test_it_says_noop_again_and_again(script):
    actor = script.begin(keep_alive(script.session, 30))
    for round_ in range(1, 4):
        actor.sleep(29.9)
        assert len(script.heard) == round_ - 1
        actor.sleep(0.2)
        script.tell(actor, b"+OK\r\n" if round_ != 2 else b"-ERR no\r\n")
        assert script.heard == [b"NOOP\r\n"] * round_
    stop(script, actor).outcome()
    assert script.run(call(script.session, Stat()), b"+OK 1 2\r\n").count == 1


def test_it_ends_at_once_while_nothing_is_due(script):
    actor = script.begin(keep_alive(script.session, 30))
    assert stop(script, actor).outcome() is None
    assert script.heard == []


@pytest.mark.parametrize("before, after", [(b"", b"+OK\r\n"), (b"+O", b"K\r\n")])
def test_it_waits_for_the_answer_that_is_due(script, before, after):
    actor = script.begin(keep_alive(script.session, 30))
    actor.sleep(31)
    if before:
        script.tell(actor, before)
    stop(script, actor)
    assert not actor.finished
    script.tell(actor, after)
    assert actor.outcome() is None
    assert script.run(call(script.session, Stat()), b"+OK 1 2\r\n").count == 1


@pytest.mark.parametrize("news", [b"", b"-ERR idle for too long\r\n"])
def test_a_server_that_hangs_up_meanwhile(script, news):
    actor = script.begin(keep_alive(script.session, 30))
    script.tell(actor, news)
    with pytest.raises(ConnectionLost, match=r"closed the connection|idle for too long"):
        actor.outcome()


def test_a_server_that_does_not_answer():
    script = Script(timeout=60).log_in()
    actor = script.begin(keep_alive(script.session, 30))
    actor.sleep(31).sleep(60)
    with pytest.raises(TimedOut):
        actor.outcome()


def test_a_message_that_is_being_read(script):
    exchange = Pipeline(script.session, [Retr(1)])
    script.run(exchange.begin())
    body = Body(exchange, Retr(1))
    script.run(body.open(), b"+OK\r\nx")
    exchange.locked = True
    with pytest.raises(Busy):
        script.run(keep_alive(script.session, 30))


@pytest.mark.parametrize("every", [0, -1, float("nan")])
def test_there_is_some_time_between(script, every):
    with pytest.raises(LocalProtocolError, match="some time"):
        script.run(keep_alive(script.session, every))
    assert script.heard == []
