"""SASL OAUTHBEARER (RFC 7628) and XOAUTH2, both roles."""

import json

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.oauth import (
    OAuthBearerClient,
    OAuthBearerServer,
    XOAuth2Client,
    XOAuth2Server,
    format_pairs,
    parse_pairs,
)
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import assert_over, assert_without_secret, exchange, names, tokens

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
BOTH = pytest.mark.parametrize(
    "client_type,server_type,farewell",
    [
        pytest.param(OAuthBearerClient, OAuthBearerServer, b"\1", id="OAUTHBEARER"),
        pytest.param(XOAuth2Client, XOAuth2Server, b"", id="XOAUTH2"),
    ],
)


def ann(user, token):
    return "ann" if (user, token) == ("ann", TOKEN) else None


def anybody(user, token):
    return user or "the token's"


@BOTH
@given(name=names, token=tokens, two_steps=st.booleans())
def test_both_agree_on_the_name_and_the_token(client_type, server_type, *, farewell, name, token, two_steps):
    asked = []

    def check(user, token):
        asked.append((user, token))
        return "owner"

    user = prepare(name, stored=False)
    assert exchange(client_type(name, token), server_type(check), two_steps=two_steps) == Identity("owner", user)
    assert asked == [(user, token)]


@BOTH
@given(name=names, token=tokens)
def test_another_token_is_refused_and_why_is_kept(client_type, server_type, farewell, name, token):
    client, server = client_type(name, token), server_type(lambda user, token: None)
    assert client.complete
    assert not server.rejected
    error = server.respond(client.initial_response)
    assert server.rejected
    assert client.respond(error) == farewell
    assert not client.complete, "who says no, and then yes, is not believed"
    assert client.failure == error.decode()
    assert "status" in json.loads(client.failure)
    with pytest.raises(CredentialsRejected) as refusal:
        server.respond(farewell)
    assert_without_secret(refusal.value, f"Bearer {token}")
    assert_over(server)


@BOTH
def test_any_answer_ends_what_was_refused(client_type, server_type, farewell):
    for answer in (b"\1", b"", b"what?"):
        server = server_type(lambda user, token: None)
        server.respond(client_type("ann", TOKEN).initial_response)
        with pytest.raises(CredentialsRejected):
            server.respond(answer)
        assert_over(server)


@BOTH
def test_a_server_refuses_once(client_type, server_type, farewell):
    client = client_type("ann", TOKEN)
    client.respond(b"{}")
    with pytest.raises(MechanismError):
        client.respond(b"{}")
    assert not client.complete


@BOTH
@given(challenge=st.binary())
def test_whatever_the_reason_it_is_kept(client_type, server_type, farewell, challenge):
    client = client_type("ann", TOKEN)
    assert client.respond(challenge) == farewell
    assert client.failure == challenge.decode("utf-8", "surrogateescape").strip()
    assert not client.complete


@BOTH
@pytest.mark.parametrize("token", ["", "a b", "a\1b", "a\nb", "ä", "\ud800", "\x7f"])
def test_what_is_no_token(client_type, server_type, farewell, token):
    with pytest.raises(MechanismError) as refusal:
        client_type("ann", f"{TOKEN}{token}" if token else "")
    assert_without_secret(refusal.value, TOKEN)


@BOTH
@pytest.mark.parametrize("name", ["a\0b", "a\1b", "a\nb", "\ud800"])
def test_what_is_no_name(client_type, server_type, farewell, name):
    with pytest.raises(MechanismError):
        client_type(name, TOKEN)


@BOTH
def test_what_they_are(client_type, server_type, farewell):
    client: ClientMechanism = client_type("ann", TOKEN)
    server: ServerMechanism = server_type(ann)
    assert client.name == server.name
    assert client.shows_secret
    assert not client.blocks
    assert client.complete
    assert client.failure == ""
    assert exchange(client, server) == Identity("ann", "ann")
    assert_over(server)
    assert TOKEN not in f"{client!r} {client} {server!r}"


def test_their_names():
    assert OAuthBearerClient("ann", TOKEN).name == "OAUTHBEARER"
    assert XOAuth2Client("ann", TOKEN).name == "XOAUTH2"


def test_the_errors_are_those_that_clients_know():
    oauthbearer, xoauth2 = OAuthBearerServer(ann), XOAuth2Server(ann)
    assert json.loads(oauthbearer.respond(b"n,,\1auth=Bearer x\1\1")) == {"status": "invalid_token"}
    assert json.loads(xoauth2.respond(b"user=ann\1auth=Bearer x\1\1")) == {"status": "400", "schemes": "Bearer"}


@pytest.mark.parametrize("auth", [b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"Bearer a b", b"Bearer\tx", b"xBearer y"])
def test_without_a_bearer_token_nobody_is_asked(auth):
    for server, message, error in (
        (OAuthBearerServer(anybody), b"n,,\1auth=" + auth + b"\1\1", b'{"status":"invalid_request"}'),
        (XOAuth2Server(anybody), b"user=ann\1auth=" + auth + b"\1\1", b'{"status":"400","schemes":"Bearer"}'),
    ):
        assert server.respond(message) == error
        with pytest.raises(CredentialsRejected):
            server.respond(b"\1")
        assert_over(server)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_has_no_case(scheme):
    message = f"auth={scheme} {TOKEN}\1\1"
    assert OAuthBearerServer(ann).respond(f"n,a=ann,\1{message}".encode()) == Identity("ann", "ann")
    assert XOAuth2Server(ann).respond(f"user=ann\1{message}".encode()) == Identity("ann", "ann")


class TestOAuthBearer:
    def test_without_a_name_it_is_that_of_the_token(self):
        client = OAuthBearerClient("", TOKEN)
        assert client.initial_response == f"n,,\1auth=Bearer {TOKEN}\1\1".encode()
        assert exchange(client, OAuthBearerServer(anybody)) == Identity("the token's")

    def test_commas_and_equal_signs_are_escaped(self):
        client = OAuthBearerClient("u=s,er", TOKEN)
        assert client.initial_response.startswith(b"n,a=u=3Ds=2Cer,\1")
        assert exchange(client, OAuthBearerServer(anybody)) == Identity("u=s,er", "u=s,er")

    @pytest.mark.parametrize(
        "host,port,pairs",
        [
            (None, None, b""),
            ("mail.example.com", None, b"host=mail.example.com\1"),
            (None, 1, b"port=1\1"),
            ("::1", 65535, b"host=::1\1port=65535\1"),
        ],
    )
    def test_host_and_port(self, host, port, pairs):
        client = OAuthBearerClient("ann", TOKEN, host=host, port=port)
        assert client.initial_response == b"n,a=ann,\1" + pairs + f"auth=Bearer {TOKEN}\1\1".encode()
        assert exchange(client, OAuthBearerServer(ann)) == Identity("ann", "ann")

    @pytest.mark.parametrize("host", ["", "a b", "a\1b", "münchen.example", "a\n"])
    def test_no_host(self, host):
        with pytest.raises(MechanismError):
            OAuthBearerClient("ann", TOKEN, host=host)

    @pytest.mark.parametrize("port", [-1, 0, 65536])
    def test_no_port(self, port):
        with pytest.raises(MechanismError):
            OAuthBearerClient("ann", TOKEN, port=port)

    def test_a_client_that_could_bind_may_say_so(self):
        message = f"y,a=ann,\1auth=Bearer {TOKEN}\1\1"
        assert OAuthBearerServer(ann).respond(message.encode()) == Identity("ann", "ann")

    def test_other_keys_are_ignored(self):
        message = f"n,a=ann,\1qs=a=b\t c\r\n\1auth=Bearer {TOKEN}\1mthd=\1\1"
        assert OAuthBearerServer(ann).respond(message.encode()) == Identity("ann", "ann")

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"\1", id="what should come at the end"),
            pytest.param(b"n,,", id="a header alone"),
            pytest.param(b"n,,\1", id="no end"),
            pytest.param(b"n,,\1\1", id="no pairs"),
            pytest.param(b"n,,\1host=x\1\1", id="no auth"),
            pytest.param(b"n,,\1auth=Bearer x\1", id="one 0x01 at the end"),
            pytest.param(b"n,,\1auth=Bearer x", id="none at the end"),
            pytest.param(b"n,,\1auth=Bearer x\1\1\1", id="three at the end"),
            pytest.param(b"n,,\1auth=Bearer x\1\1host=y\1\1", id="an empty pair"),
            pytest.param(b"n,,\1auth=Bearer x\1auth=Bearer y\1\1", id="auth twice"),
            pytest.param(b"n,,\1auth\1\1", id="no equal sign"),
            pytest.param(b"n,,\1=x\1auth=Bearer x\1\1", id="no key"),
            pytest.param(b"n,,\1a-b=x\1auth=Bearer x\1\1", id="no letter in a key"),
            pytest.param(b"n,,\1host=\0\1auth=Bearer x\1\1", id="NUL in a value"),
            pytest.param(b"p=tls-unique,,\1auth=Bearer x\1\1", id="bound to a channel"),
            pytest.param(b"p,a=ann,\1auth=Bearer x\1\1", id="bound to no channel"),
            pytest.param(b"x,,\1auth=Bearer x\1\1", id="another flag"),
            pytest.param(b",,\1auth=Bearer x\1\1", id="no flag"),
            pytest.param(b"n,\1auth=Bearer x\1\1", id="one comma"),
            pytest.param(b"n,,,\1auth=Bearer x\1\1", id="three commas"),
            pytest.param(b"n,,x\1auth=Bearer x\1\1", id="something behind the header"),
            pytest.param(b"n,a=,\1auth=Bearer x\1\1", id="an empty name"),
            pytest.param(b"n,ann,\1auth=Bearer x\1\1", id="a name without its key"),
            pytest.param(b"n,a=a=20b,\1auth=Bearer x\1\1", id="a wrong escape"),
            pytest.param(b"n,a=an\nn,\1auth=Bearer x\1\1", id="LF in the name"),
            pytest.param(b"n,a=an\xffn,\1auth=Bearer x\1\1", id="not UTF-8"),
            pytest.param("n,a=\u00ad,\1auth=Bearer x\1\1".encode(), id="a name of which nothing is left"),
        ],
    )
    def test_what_is_no_message(self, message):
        server = OAuthBearerServer(anybody)
        with pytest.raises(MechanismError) as refusal:
            server.respond(message)
        assert_without_secret(refusal.value, "Bearer")
        assert_over(server)


class TestXOAuth2:
    def test_other_keys_are_ignored(self):
        message = f"user=ann\1x=y\1auth=Bearer {TOKEN}\1\1"
        assert XOAuth2Server(ann).respond(message.encode()) == Identity("ann", "ann")

    def test_it_needs_a_name(self):
        with pytest.raises(MechanismError):
            XOAuth2Client("", TOKEN)

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"\1\1", id="no pairs"),
            pytest.param(b"user=ann\1\1", id="no auth"),
            pytest.param(b"auth=Bearer x\1\1", id="no user"),
            pytest.param(b"user=\1auth=Bearer x\1\1", id="an empty name"),
            pytest.param("user=\u00ad\1auth=Bearer x\1\1".encode(), id="a name of which nothing is left"),
            pytest.param(b"user=an\nn\1auth=Bearer x\1\1", id="LF in the name"),
            pytest.param(b"user=an\xffn\1auth=Bearer x\1\1", id="not UTF-8"),
            pytest.param(b"user=ann\1user=bob\1auth=Bearer x\1\1", id="user twice"),
            pytest.param(b"user=ann\1auth=Bearer x\1", id="one 0x01 at the end"),
            pytest.param(b"n,a=ann,\1auth=Bearer x\1\1", id="OAUTHBEARER"),
        ],
    )
    def test_what_is_no_message(self, message):
        server = XOAuth2Server(anybody)
        with pytest.raises(MechanismError):
            server.respond(message)
        assert_over(server)


keys = st.text(st.characters(min_codepoint=0x41, max_codepoint=0x5A), min_size=1)
values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))


@given(st.dictionaries(keys, values, min_size=1))
def test_pairs_are_read_as_they_were_written(pairs):
    read = parse_pairs(format_pairs(**pairs).encode())
    assert {key.decode(): value.decode() for key, value in read.items()} == pairs
