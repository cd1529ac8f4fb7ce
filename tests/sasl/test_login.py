"""SASL LOGIN (draft-murchison-sasl-login), both roles."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.plain import LoginClient, LoginServer
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import SECRET, assert_over, assert_without_secret, exchange, names, passwords


def ann(user, password):
    return (user, password) == ("ann", SECRET)


@given(names, passwords, passwords)
def test_both_agree_on_the_right_password_and_no_other(name, password, other):
    user, right = prepare(name, stored=False), prepare(password, stored=False)
    server = LoginServer(lambda *said: said == (user, right))
    assert exchange(LoginClient(name, password), server) == Identity(user)
    server = LoginServer(lambda *said: said == (user, right))
    if prepare(other, stored=False) != right:
        with pytest.raises(CredentialsRejected):
            exchange(LoginClient(name, other), server)
        assert_over(server)


@given(st.binary(), st.binary())
def test_the_client_does_not_read_the_challenges(first, second):
    client = LoginClient("ann", SECRET)
    assert client.respond(first) == b"ann"
    assert not client.complete
    assert client.respond(second) == SECRET.encode()
    assert client.complete


def test_there_is_no_third_challenge():
    client = LoginClient("ann", SECRET)
    client.respond(b"Username:")
    client.respond(b"Password:")
    with pytest.raises(MechanismError) as refusal:
        client.respond(b"And now?")
    assert_without_secret(refusal.value, SECRET)


@pytest.mark.parametrize("initial", [b"", b"ann"])
def test_the_server_begins(initial):
    server = LoginServer(ann)
    with pytest.raises(MechanismError):
        server.respond(initial)
    assert_over(server)


def test_the_prompts_are_what_clients_know():
    server = LoginServer(ann)
    assert server.respond(None) == b"Username:"
    assert server.respond(b"ann") == b"Password:"
    assert server.respond(SECRET.encode()) == Identity("ann")
    assert_over(server)


@pytest.mark.parametrize("name", [b"", b"an\nn", b"an\0n", b"an\xffn", "\u00ad".encode(), None])
def test_no_name(name):
    server = LoginServer(ann)
    server.respond(None)
    with pytest.raises(MechanismError):
        server.respond(name)
    assert_over(server)


@pytest.mark.parametrize(
    "password,error",
    [
        (b"", CredentialsRejected),
        (b"wrong", CredentialsRejected),
        (SECRET.encode() + b"\n", CredentialsRejected),
        (SECRET.encode() + b"\0", CredentialsRejected),
        (SECRET.encode() + b"\xff", MechanismError),
        (None, MechanismError),
    ],
)
def test_no_password(password, error):
    server = LoginServer(ann)
    server.respond(None)
    server.respond(b"ann")
    with pytest.raises(error) as refusal:
        server.respond(password)
    assert_without_secret(refusal.value, SECRET)
    assert_over(server)


@pytest.mark.parametrize("text", ["", "a\0b", "a\rb", "a\nb", "a\ud800b"])
def test_what_a_client_cannot_say(text):
    with pytest.raises(MechanismError):
        LoginClient(text, SECRET)
    with pytest.raises(MechanismError):
        LoginClient("ann", text)


def test_what_they_are():
    client: ClientMechanism = LoginClient("ann", SECRET)
    server: ServerMechanism = LoginServer(ann)
    assert client.name == server.name == "LOGIN"
    assert client.initial_response is None
    assert client.shows_secret
    assert not client.blocks
    assert not client.complete
    assert client.failure == ""
    assert SECRET not in f"{client!r} {client}"
