"""SASL EXTERNAL (RFC 4422 appendix A), both roles."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.external import ExternalClient, ExternalServer
from pop3proto.sasl.mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import assert_over, exchange, names


@given(st.just("") | names, st.booleans())
def test_both_agree_on_whom_the_client_acts_for(authzid, two_steps):
    asked = []

    def identify(authzid):
        asked.append(authzid)
        return "ann"

    identity = exchange(ExternalClient(authzid), ExternalServer(identify), two_steps=two_steps)
    assert identity == Identity("ann", prepare(authzid, stored=False))
    assert asked == [identity.authzid]


def test_to_say_nothing_is_something():
    server = ExternalServer(lambda authzid: "ann")
    assert server.respond(None) == b""
    assert server.respond(b"") == Identity("ann")
    assert_over(server)


def test_a_client_that_is_not_known_is_rejected():
    server = ExternalServer(lambda authzid: None)
    with pytest.raises(CredentialsRejected):
        server.respond(b"")
    assert_over(server)


@pytest.mark.parametrize("octets", [b"\0", b"an\nn", b"an\xffn", "\u00ad".encode(), "\u06271".encode()])
def test_what_is_no_name(octets):
    server = ExternalServer(lambda authzid: "ann")
    with pytest.raises(MechanismError):
        server.respond(octets)
    assert_over(server)


@pytest.mark.parametrize("text", ["a\0b", "a\rb", "a\nb", "a\ud800b", "\x7f"])
def test_what_a_client_cannot_say(text):
    with pytest.raises(MechanismError):
        ExternalClient(text)


def test_what_they_are():
    client: ClientMechanism = ExternalClient()
    server: ServerMechanism = ExternalServer(lambda authzid: "ann")
    assert client.name == server.name == "EXTERNAL"
    assert client.initial_response == b"", "which is not None: RFC 5034 says it with ="
    assert not client.shows_secret
    assert not client.blocks
    assert client.complete
    assert client.failure == ""
    with pytest.raises(MechanismError):
        client.respond(b"")
