"""SASL PLAIN (RFC 4616), both roles."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import Pop3Error
from pop3proto.sasl.mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.plain import PlainClient, PlainServer
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import SECRET, assert_over, assert_without_secret, exchange, names, passwords, sayable


def ann(user, password):
    return (user, password) == ("ann", SECRET)


def nobody(user, password):
    return False


def anybody(user, password):
    return True


@given(names, passwords, st.just("") | names, st.booleans())
def test_a_server_understands_what_a_client_says(name, password, authzid, two_steps):
    asked = []

    def check(user, password):
        asked.append((user, password))
        return True

    identity = exchange(PlainClient(name, password, authzid), PlainServer(check), two_steps=two_steps)
    assert identity == Identity(prepare(name, stored=False), prepare(authzid, stored=False))
    assert asked == [(prepare(name, stored=False), prepare(password, stored=False))]


@given(names, passwords, passwords)
def test_only_the_right_password_will_do(name, password, other):
    def check(user, password):
        return password == prepare(other, stored=False)

    server = PlainServer(check)
    if prepare(password, stored=False) == prepare(other, stored=False):
        assert exchange(PlainClient(name, password), server) == Identity(prepare(name, stored=False))
        return
    with pytest.raises(CredentialsRejected):
        exchange(PlainClient(name, password), server)


@given(sayable, sayable, sayable)
def test_a_client_says_what_it_was_given(name, password, authzid):
    message = PlainClient(name, password, authzid).initial_response
    assert message.decode().split("\0") == [authzid, name, password]


def test_the_name_comes_before_the_password_and_the_other_name_first_of_all():
    assert PlainServer(ann).respond(b"who\0ann\0" + SECRET.encode()) == Identity("ann", authzid="who")
    assert PlainClient("ann", "secret", "who").initial_response == b"who\0ann\0secret"


def test_without_another_name_the_first_part_is_empty():
    assert PlainClient("ann", "secret").initial_response == b"\0ann\0secret"


def test_a_part_has_255_octets():
    parts = ["\u00e9" * 127 + letter for letter in "abc"]
    assert exchange(PlainClient(parts[0], parts[1], parts[2]), PlainServer(anybody)) == Identity(parts[0], parts[2])


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"ann\0secret", id="two parts"),
        pytest.param(b"\0ann\0secret\0", id="four parts"),
        pytest.param(b"\0\0secret", id="no name"),
        pytest.param("\0\u00ad\0secret".encode(), id="a name of which nothing is left"),
        pytest.param("\u00ad\0ann\0secret".encode(), id="another name of which nothing is left"),
        pytest.param(b"\0an\xffn\0secret", id="not UTF-8"),
        pytest.param(b"\0an\xed\xa0\x80n\0secret", id="a surrogate"),
        pytest.param(b"\0ann\0secret\xff", id="a password that is not UTF-8"),
        pytest.param(b"\0an\nn\0secret", id="LF in the name"),
        pytest.param(b"w\nho\0ann\0secret", id="LF in the other name"),
        pytest.param("\0\u06271\0secret".encode(), id="directions mixed in the name"),
    ],
)
def test_what_is_no_message(octets):
    server = PlainServer(anybody)
    with pytest.raises(MechanismError) as refusal:
        server.respond(octets)
    assert_without_secret(refusal.value, "secret")
    assert_over(server)


@pytest.mark.parametrize("password", ["", "\u00ad", "sec\rret", "\u06271"])
def test_what_is_no_password_is_a_wrong_one(password):
    server = PlainServer(anybody)
    with pytest.raises(CredentialsRejected) as refusal:
        server.respond(f"\0ann\0{password}".encode())
    assert "\r" not in str(refusal.value), "it becomes the text of a reply"
    assert_over(server)


def test_after_its_end_it_is_over():
    server = PlainServer(ann)
    assert server.respond(b"\0ann\0" + SECRET.encode()) == Identity("ann")
    assert_over(server)
    server = PlainServer(nobody)
    with pytest.raises(CredentialsRejected):
        server.respond(b"\0ann\0" + SECRET.encode())
    assert_over(server)


def test_what_the_verifier_raises_comes_through():
    def check(user, password):
        raise OSError("the disk is gone")

    server = PlainServer(check)
    with pytest.raises(OSError, match="the disk is gone"):
        server.respond(b"\0ann\0secret")
    assert_over(server)


@pytest.mark.parametrize("part", ["authcid", "password", "authzid"])
@pytest.mark.parametrize("text", ["a\0b", "a\rb", "a\nb", "a\ud800b"])
def test_a_part_that_cannot_be_said_is_refused(part, text):
    with pytest.raises(MechanismError):
        PlainClient(**({"authcid": "ann", "password": "secret"} | {part: text}))


@pytest.mark.parametrize("name,password", [("", "secret"), ("ann", "")])
def test_name_and_password_must_not_be_empty(name, password):
    with pytest.raises(MechanismError):
        PlainClient(name, password)


def test_the_errors_are_ours():
    assert issubclass(MechanismError, Pop3Error)
    assert issubclass(CredentialsRejected, Pop3Error)


def test_what_they_are():
    client: ClientMechanism = PlainClient("ann", SECRET)
    server: ServerMechanism = PlainServer(ann)
    assert client.name == server.name == "PLAIN"
    assert client.shows_secret
    assert not client.blocks
    assert client.complete, "the initial response counts as sent"
    assert client.failure == ""


@pytest.mark.parametrize("challenge", [b"", b"anything"])
def test_the_client_has_one_message_only(challenge):
    with pytest.raises(MechanismError):
        PlainClient("ann", SECRET).respond(challenge)


def test_secrets_are_not_shown():
    client = PlainClient("ann", SECRET)
    server = PlainServer(nobody)
    with pytest.raises(CredentialsRejected) as refusal:
        server.respond(client.initial_response)
    assert_without_secret(refusal.value, SECRET)
    assert SECRET not in f"{client!r} {client} {server!r} {server}"
    for bad in (f"{SECRET}\n", f"{SECRET}\ud800"):
        with pytest.raises(MechanismError) as refusal:
            PlainClient("ann", bad)
        assert_without_secret(refusal.value, SECRET)
