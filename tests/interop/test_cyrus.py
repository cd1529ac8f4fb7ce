"""Our client at Cyrus 3.6, which refuses SCRAM with the channel bindings that we know over TLS 1.3, and says [AUTH]."""

import pytest

from pop3proto._io.tls import client_context
from pop3proto.blocking import connect
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.results import MaildropStatus
from tests.helpers.cyrus import IS_THERE, cyrus_serving
from tests.helpers.programs import PASSWORD, USER

pytestmark = [
    pytest.mark.cyrus,
    pytest.mark.skipif(not IS_THERE, reason="Cyrus is not there: tools/cyrus.sh unpacks it, on Debian"),
]


@pytest.fixture(scope="module")
def cyrus():
    with cyrus_serving() as cyrus:
        yield cyrus


@pytest.fixture
def trusting(cyrus):
    context = client_context()
    context.load_verify_locations(cyrus.ca_file)
    return context


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_cyrus_takes_us(cyrus, trusting, tls):
    port = cyrus.tls_port if tls == "implicit" else cyrus.port
    with connect(cyrus.host, port, tls=tls, context=trusting) as client:
        assert client.tls.version == "TLSv1.3"
        client.login(USER, PASSWORD)
        assert client.stat() == MaildropStatus(0, 0)
        [attempt] = client.session.attempts
        assert str(attempt.command) == "AUTH SCRAM-SHA-256-PLUS ***"
        assert str(attempt.reply.code) == "AUTH"


def test_cyrus_refuses_a_wrong_password_and_gets_nothing_clear(cyrus, trusting):
    with connect(cyrus.host, cyrus.tls_port, context=trusting) as client, pytest.raises(LoginFailed) as failure:
        client.login(USER, PASSWORD + "x")
    tried = [attempt.command.mechanism for attempt in failure.value.attempts]
    assert tried == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
