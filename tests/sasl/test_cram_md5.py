"""SASL CRAM-MD5 (RFC 2195), both roles."""

import hashlib
import hmac

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.md5 import CramMd5Client, CramMd5Server, hmac_md5
from pop3proto.sasl.mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import SECRET, assert_over, assert_without_secret, exchange, names, passwords

CHALLENGE = b"<1896.697170952@postoffice.example.net>"


def made_of(name, secret=SECRET, challenge=CHALLENGE):
    return name + b" " + hmac.new(secret.encode(), challenge, "md5").hexdigest().encode()


def challenged(secret=lambda user: SECRET):
    server = CramMd5Server(secret, CHALLENGE)
    assert server.respond(None) == CHALLENGE
    return server


@given(names, passwords, passwords, st.binary(min_size=1))
def test_both_agree_on_the_right_password_and_no_other(name, password, other, challenge):
    user = prepare(name, stored=False)
    server = CramMd5Server({user: password}.get, challenge)
    assert exchange(CramMd5Client(name, password), server) == Identity(user)
    if prepare(other, stored=False) != prepare(password, stored=False):
        server = CramMd5Server({user: password}.get, challenge)
        with pytest.raises(CredentialsRejected):
            exchange(CramMd5Client(name, other), server)
        assert_over(server)


@given(st.binary(), st.binary())
def test_the_digest_is_that_of_rfc_2104(key, data):
    assert hmac_md5(key, data) == hmac.new(key, data, hashlib.md5).hexdigest()


def test_the_password_is_prepared_on_both_sides():
    assert CramMd5Client("ann", "\u00aa").respond(CHALLENGE) == made_of(b"ann", "a")
    assert challenged(lambda user: "\u2168").respond(made_of(b"ann", "IX")) == Identity("ann")


def test_a_name_may_hold_blanks():
    assert challenged().respond(made_of(b"ann of the lake")) == Identity("ann of the lake")
    assert CramMd5Client("ann of the lake", SECRET).respond(CHALLENGE) == made_of(b"ann of the lake")


def test_the_secret_is_that_of_the_prepared_name():
    assert challenged({"IX": SECRET}.get).respond(made_of("I\u00adX".encode())) == Identity("IX")


@pytest.mark.parametrize("initial", [b"", b"ann", made_of(b"ann")])
def test_the_server_begins(initial):
    server = CramMd5Server(lambda user: SECRET, CHALLENGE)
    with pytest.raises(MechanismError):
        server.respond(initial)
    assert_over(server)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"ann", id="no digest"),
        pytest.param(made_of(b"ann")[:-1], id="31 digits"),
        pytest.param(made_of(b"ann") + b"0", id="33 digits"),
        pytest.param(made_of(b"ann") + b"\n", id="a line end"),
        pytest.param(made_of(b"ann") + b" ", id="a blank at the end"),
        pytest.param(b"ann " + made_of(b"ann")[4:].upper(), id="upper case"),
        pytest.param(b"ann " + b"g" * 32, id="no digits"),
        pytest.param(b"ann " + "٣".encode() * 16, id="digits of others"),
        pytest.param(made_of(b""), id="no name"),
        pytest.param(made_of(b"")[1:], id="no blank"),
        pytest.param(made_of("\u00ad".encode()), id="a name of which nothing is left"),
        pytest.param(made_of(b"an\nn"), id="LF in the name"),
        pytest.param(made_of(b"an\xffn"), id="not UTF-8"),
        pytest.param(None, id="none at all"),
    ],
)
def test_what_is_no_response(response):
    server = challenged()
    with pytest.raises(MechanismError):
        server.respond(response)
    assert_over(server)


@pytest.mark.parametrize("secret", [None, "", "\u00ad", "\u06271", "a\nb"])
def test_nobody_has_the_digest_of_what_is_no_password(secret):
    for guess in ("", secret or "", "decoy password"):
        with pytest.raises(CredentialsRejected) as refusal:
            challenged(lambda user: secret).respond(made_of(b"ann", guess))
        assert str(refusal.value) == "the user name or the password is wrong", "whether there is such a user or not"


def test_a_digest_of_another_challenge_is_wrong():
    server = challenged()
    with pytest.raises(CredentialsRejected) as refusal:
        server.respond(made_of(b"ann", challenge=b"<1@example.net>"))
    assert_without_secret(refusal.value, SECRET)
    assert_over(server)


def test_after_its_end_it_is_over():
    server = challenged()
    assert server.respond(made_of(b"ann")) == Identity("ann")
    assert_over(server)


def test_a_client_answers_once():
    client = CramMd5Client("ann", SECRET)
    client.respond(CHALLENGE)
    assert client.complete
    with pytest.raises(MechanismError):
        client.respond(CHALLENGE)


def test_a_client_makes_no_digest_of_nothing():
    client = CramMd5Client("ann", SECRET)
    with pytest.raises(MechanismError):
        client.respond(b"")
    assert not client.complete


@pytest.mark.parametrize("text", ["", "a\0b", "a\rb", "a\nb", "a\ud800b"])
def test_what_a_client_cannot_say(text):
    with pytest.raises(MechanismError):
        CramMd5Client(text, SECRET)
    with pytest.raises(MechanismError) as refusal:
        CramMd5Client("ann", text and f"{SECRET}{text}")
    assert_without_secret(refusal.value, SECRET)


def test_what_they_are():
    client: ClientMechanism = CramMd5Client("ann", SECRET)
    server: ServerMechanism = CramMd5Server(lambda user: SECRET, CHALLENGE)
    assert client.name == server.name == "CRAM-MD5"
    assert client.initial_response is None
    assert not client.shows_secret
    assert not client.blocks
    assert not client.complete
    assert client.failure == ""
    assert SECRET not in f"{client!r} {client}"
