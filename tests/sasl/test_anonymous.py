"""SASL ANONYMOUS (RFC 4505), both roles."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.external import AnonymousClient, AnonymousServer
from pop3proto.sasl.mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import assert_over, exchange, names


@given(st.just("") | names, st.booleans())
def test_both_agree_on_the_trace(trace, two_steps):
    asked = []

    def admit(trace):
        asked.append(trace)
        return "guest"

    assert exchange(AnonymousClient(trace), AnonymousServer(admit), two_steps=two_steps) == Identity("guest")
    assert asked == [prepare(trace, stored=False)]


def test_a_client_that_is_not_let_in():
    server = AnonymousServer(lambda trace: None)
    with pytest.raises(CredentialsRejected):
        server.respond(b"sirhc")
    assert_over(server)


def test_a_trace_has_255_characters_of_four_octets():
    trace = "\U00020000" * 255
    client = AnonymousClient(trace)
    assert len(client.initial_response) == 1020
    assert exchange(client, AnonymousServer(lambda said: said)) == Identity(trace)
    with pytest.raises(MechanismError):
        AnonymousClient(f"{trace}x")
    with pytest.raises(MechanismError):
        AnonymousServer(lambda said: said).respond(f"{trace}x".encode())


@pytest.mark.parametrize("octets", [b"\0", b"an\nn", b"an\xffn", "\u00ad".encode(), "\u06271".encode()])
def test_what_is_no_trace(octets):
    server = AnonymousServer(lambda trace: "guest")
    with pytest.raises(MechanismError):
        server.respond(octets)
    assert_over(server)


@pytest.mark.parametrize("text", ["a\0b", "a\rb", "a\nb", "a\ud800b", "\x7f"])
def test_what_a_client_cannot_say(text):
    with pytest.raises(MechanismError):
        AnonymousClient(text)


def test_what_they_are():
    client: ClientMechanism = AnonymousClient()
    server: ServerMechanism = AnonymousServer(lambda trace: "guest")
    assert client.name == server.name == "ANONYMOUS"
    assert client.initial_response == b""
    assert not client.shows_secret
    assert not client.blocks
    assert client.complete
    assert client.failure == ""
    with pytest.raises(MechanismError):
        client.respond(b"")
