"""A policy and the events of sessions, over real connections of all three adapters."""

import datetime as dt
from base64 import b64encode

import attrs
import pytest

from pop3proto import blocking
from pop3proto.authenticators.memory import MemoryAuthenticator
from pop3proto.core.refusals import LoginFailed, SessionRefused
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.server.policy import DENY, Decision
from pop3proto.serving import AccessPolicy, Refusal, Rule
from tests.adapters.test_listeners import talk
from tests.adapters.test_serve import PATIENCE, adapter, service  # noqa: F401 - the first is a fixture
from tests.procedures.server.test_policy import Says
from tests.procedures.server.test_session_events import Events


def connect(server):
    host, port = server.address
    return blocking.connect(host, port, tls="none", timeout=PATIENCE)


def test_a_connection_is_refused(adapter):  # noqa: F811
    policy = Says(Decision(allowed=False, text="not from there", code=ResponseCode.SYS_PERM))
    with adapter.entered(service(policy=policy)) as server:
        with pytest.raises(SessionRefused, match="not from there"):
            connect(server)
        [facts] = policy.asked
        assert (facts.address, facts.sessions, facts.tls) == ("127.0.0.1", 0, False)
        assert facts.listener == f"127.0.0.1:{server.address[1]}"
        assert abs(dt.datetime.now(dt.UTC) - facts.now) < dt.timedelta(hours=1)


def test_a_login_is_refused(adapter):  # noqa: F811
    policy = Says()
    with adapter.entered(service(policy=policy)) as server, connect(server) as client:
        client.login("ann", "tanstaaf")
        policy.at = Decision(allowed=False, text="not now", code=ResponseCode.LOGIN_DELAY)
        with connect(server) as other, pytest.raises(LoginFailed, match="not now"):
            other.login("ann", "tanstaaf")
        assert (policy.asked[-1].sessions, policy.asked[-1].sessions_of_user) == (1, 1)
        policy.at = DENY
        with connect(server) as other, pytest.raises(LoginFailed, match="wrong name or password"):
            other.login("ann", "tanstaaf")


class Deputy(MemoryAuthenticator):
    """Bob may act for ann."""

    def may_act_as(self, authcid, authzid, _session, /):
        return (authcid, authzid) == ("bob", "ann")


def test_who_is_denied_does_not_get_in_by_acting_for_another(adapter):  # noqa: F811
    policy = AccessPolicy(rules=Rule(user="bob", refuse=Refusal()))
    users = Deputy({"ann": "tanstaaf", "bob": "other"}, scram_algorithms=())
    served = service(authenticator=users, login_penalty=None, failure_delay=0)
    login = b"AUTH PLAIN " + b64encode(b"ann\0bob\0other") + b"\r\nQUIT\r\n"
    with adapter.entered(served) as server:
        assert b"maildrop has 1 message (" in talk(server.address, login)
        adapter.do(server.use, attrs.evolve(served, policy=policy))
        assert b"-ERR [AUTH] wrong name or password" in talk(server.address, login)


def test_events(adapter):  # noqa: F811
    events = Events()
    with adapter.entered(service(observer=events, login_penalty=None)) as server:
        with connect(server) as client, pytest.raises(LoginFailed):
            client.login("ann", "guess")
        with connect(server) as client:
            client.login("ann", "tanstaaf")
            assert client.fetch(1) == b"one\r\n"
            client.dele(1)
    told = [(name, user) for name, user, *_ in events.told]
    assert told == [
        ("login_failed", None),
        ("session_ended", None),
        ("logged_in", "ann"),
        ("committed", "ann"),
        ("session_ended", "ann"),
    ]
