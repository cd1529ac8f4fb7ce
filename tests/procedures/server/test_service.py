"""What a Service hands to each of its sessions."""

import pytest

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import Limits, Quirk
from pop3proto.procedures.server.service import Service
from tests.helpers.drivers import FakeStore, OneUser, Serving

LIMITS = Limits(bad_commands=2, command_line=40)


def service(**arguments) -> Service:
    return Service(store=FakeStore(), authenticator=OneUser(), **arguments)


@pytest.mark.parametrize("tls", [True, False])
def test_each_connection_has_the_limits_and_quirks_of_the_service(tls):
    connection = service(limits=LIMITS, quirks={Quirk.BARE_LF}).connection(tls=tls)
    assert (connection.limits, connection.quirks) == (LIMITS, {Quirk.BARE_LF})
    assert connection.tls == tls
    assert service().connection(tls=tls).limits == Limits()


def test_the_limits_hold_in_a_session():
    connection = service(limits=LIMITS).connection(tls=False)
    session = Serving(FakeStore(), connection=connection).greeted()
    assert session.lines(b"NOOP " + b"x" * 40 + b"\r\n")[0].startswith(b"-ERR")
    assert session.lines(b"NOPE\r\nCAPA\r\n")[0].startswith(b"-ERR")
    assert session.actor.finished


def test_a_greeting_must_fit_into_the_limits():
    with pytest.raises(LocalProtocolError):
        service(greeting="x" * 30, limits=Limits(reply_line_sent=30))
