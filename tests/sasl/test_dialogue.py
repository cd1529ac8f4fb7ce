"""What holds for every mechanism of both roles, whatever the peer says."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.external import AnonymousClient, AnonymousServer, ExternalClient, ExternalServer
from pop3proto.sasl.md5 import CramMd5Client, CramMd5Server
from pop3proto.sasl.mechanism import (
    CredentialsRejected,
    Dialogue,
    DialogueServer,
    Identity,
    MechanismError,
    OneMessageClient,
)
from pop3proto.sasl.oauth import OAuthBearerClient, OAuthBearerServer, XOAuth2Client, XOAuth2Server
from pop3proto.sasl.plain import LoginClient, LoginServer, PlainClient, PlainServer
from tests.helpers.sasl_exchanges import assert_over

CLIENTS = {
    "ANONYMOUS": lambda: AnonymousClient("ann"),
    "CRAM-MD5": lambda: CramMd5Client("ann", "secret"),
    "EXTERNAL": lambda: ExternalClient("ann"),
    "LOGIN": lambda: LoginClient("ann", "secret"),
    "OAUTHBEARER": lambda: OAuthBearerClient("ann", "token"),
    "PLAIN": lambda: PlainClient("ann", "secret"),
    "XOAUTH2": lambda: XOAuth2Client("ann", "token"),
}
SERVERS = {
    "ANONYMOUS": lambda: AnonymousServer(lambda trace: trace or None),
    "CRAM-MD5": lambda: CramMd5Server(lambda user: user, b"<1@example.com>"),
    "EXTERNAL": lambda: ExternalServer(lambda authzid: authzid or None),
    "LOGIN": lambda: LoginServer(lambda user, password: password > user),
    "OAUTHBEARER": lambda: OAuthBearerServer(lambda user, token: token if token > user else None),
    "PLAIN": lambda: PlainServer(lambda user, password: password > user),
    "XOAUTH2": lambda: XOAuth2Server(lambda user, token: token if token > user else None),
}

# Octets that lead somewhere, among them what each mechanism means.
pieces = st.sampled_from([b"\0", b"\1", b"\1\1", b",", b"=", b" ", b"\n", b"\xff", "é".encode(), "\u00ad".encode()])
words = st.sampled_from([b"n,,", b"n,a=", b"user=", b"auth=Bearer ", b"ann", b"secret", b"0" * 32])
octets = st.binary(max_size=20) | st.lists(pieces | words | st.binary(max_size=3), max_size=8).map(b"".join)


def until_refused(respond, messages):
    """What comes of messages before one is refused, and by what."""
    steps = []
    for message in messages:
        try:
            steps.append(respond(message))
        except (MechanismError, CredentialsRejected) as refusal:
            return steps, refusal
    return steps, None


@pytest.mark.parametrize("name", SERVERS)
@given(responses=st.lists(st.none() | octets, min_size=1, max_size=4))
def test_a_server_answers_anything_or_refuses(name, responses):
    server = SERVERS[name]()
    steps, refusal = until_refused(server.respond, responses)
    assert str(refusal).isprintable(), "it becomes the text of a reply"
    assert all(isinstance(step, bytes) for step in steps[:-1])
    if steps and isinstance(steps[-1], Identity):
        identity = steps[-1]
        assert identity.authcid
        assert not set("\0\r\n") & set(identity.authcid + identity.authzid)
        assert_over(server)
    elif steps:
        assert isinstance(steps[-1], bytes)
    if refusal:
        assert_over(server)


@pytest.mark.parametrize("name", CLIENTS)
@given(challenges=st.lists(octets, max_size=4))
def test_a_client_answers_anything_or_refuses(name, challenges):
    steps, refusal = until_refused(CLIENTS[name]().respond, challenges)
    assert all(isinstance(step, bytes) for step in steps)
    assert refusal is None or isinstance(refusal, MechanismError)


@pytest.mark.parametrize("name", SERVERS)
def test_no_exchange_is_endless(name):
    _, refusal = until_refused(SERVERS[name]().respond, [None, b"ann", b"ann", b"ann"])
    assert refusal is not None


@pytest.mark.parametrize("name", CLIENTS)
def test_no_client_answers_for_ever(name):
    _, refusal = until_refused(CLIENTS[name]().respond, [b"challenge"] * 3)
    assert isinstance(refusal, MechanismError)


@pytest.mark.parametrize("name", SERVERS)
def test_only_the_first_response_can_be_missing(name):
    server = SERVERS[name]()
    assert isinstance(server.respond(None), bytes)
    with pytest.raises(MechanismError):
        server.respond(None)
    assert_over(server)


@pytest.mark.parametrize("name", CLIENTS)
def test_both_roles_bear_the_name(name):
    assert CLIENTS[name]().name == SERVERS[name]().name == name


class Counting(DialogueServer):
    """Takes anything, twice."""

    name = "COUNTING"

    def _begin(self, initial: bytes | None) -> Dialogue:
        first = yield b"one" if initial is None else initial
        second = yield first
        return Identity(second.decode())


def test_a_server_goes_from_top_to_bottom():
    server = Counting()
    assert server.respond(None) == b"one"
    assert server.respond(b"two") == b"two"
    assert server.respond(b"three") == Identity("three")
    assert_over(server)


def test_what_goes_wrong_comes_through_and_ends_it():
    server = Counting()
    assert server.respond(b"initial") == b"initial"
    server.respond(b"")
    with pytest.raises(UnicodeDecodeError):
        server.respond(b"\xff")
    assert_over(server)


def test_a_client_with_one_message_has_said_it():
    client = OneMessageClient("é")
    assert client.initial_response == b"\xc3\xa9"
    assert client.complete
    with pytest.raises(MechanismError):
        client.respond(b"")
