"""The published vectors of the mechanisms, played in both roles. Those of SCRAM are played with SCRAM."""

import base64

import pytest

from pop3proto.sasl.external import AnonymousClient, AnonymousServer, ExternalClient, ExternalServer
from pop3proto.sasl.md5 import CramMd5Client, CramMd5Server, apop_digest, apop_matches, hmac_md5
from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.oauth import OAuthBearerClient, OAuthBearerServer, XOAuth2Client, XOAuth2Server
from pop3proto.sasl.plain import LoginClient, LoginServer, PlainClient, PlainServer
from tests.helpers.sasl_exchanges import VECTORS, octets_of, vectors

COUNTS = {
    "ANONYMOUS": 2,
    "APOP": 2,
    "CRAM-MD5": 2,
    "EXTERNAL": 2,
    "HMAC-MD5": 3,
    "LOGIN": 2,
    "OAUTHBEARER": 5,
    "PLAIN": 5,
    "SASLprep": 1,
    "XOAUTH2": 1,
}

QUERY = "oauthbearer-7628-4.3"  # without a token, which no client of ours says
MALFORMED = "oauthbearer-7628-4.4-malformed"


def test_every_vector_is_played():
    found = {name: len(vectors(name)) for name in COUNTS}
    assert found == COUNTS
    assert {vector["mechanism"] for vector in VECTORS if "SCRAM" not in vector["mechanism"]} == set(COUNTS)


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["messages"]])
def test_octets_and_base64_agree(vector):
    for message in vector["messages"]:
        if "base64" in message:
            assert base64.b64decode(message["base64"], validate=True) == bytes.fromhex(message["raw_hex"])


@pytest.mark.parametrize("vector", vectors("PLAIN"))
def test_plain(vector):
    inputs = vector["inputs"]
    [message] = octets_of(vector, "C")
    assert PlainClient(**inputs).initial_response == message
    server = PlainServer(lambda *said: said == (inputs["authcid"], inputs["password"]))
    assert server.respond(message) == Identity(inputs["authcid"], inputs["authzid"])


@pytest.mark.parametrize("vector", vectors("LOGIN"))
def test_login(vector):
    inputs = vector["inputs"]
    prompts, answers = octets_of(vector, "S"), octets_of(vector, "C")
    client = LoginClient(inputs["username"], inputs["password"])
    assert [client.respond(prompt) for prompt in prompts] == answers
    assert client.complete
    server = LoginServer(lambda *said: said == (inputs["username"], inputs["password"]))
    said = [server.respond(answer) for answer in (None, *answers)]
    assert said == [b"Username:", b"Password:", Identity(inputs["username"])]
    assert vector["id"] != "login-common" or said[:2] == prompts


@pytest.mark.parametrize("vector", vectors("CRAM-MD5"))
def test_cram_md5(vector):
    inputs = vector["inputs"]
    [challenge], [response] = octets_of(vector, "S"), octets_of(vector, "C")
    assert challenge == inputs["challenge"].encode()
    assert CramMd5Client(inputs["username"], inputs["secret"]).respond(challenge) == response
    server = CramMd5Server({inputs["username"]: inputs["secret"]}.get, challenge)
    assert server.respond(None) == challenge
    assert server.respond(response) == Identity(inputs["username"])


@pytest.mark.parametrize("vector", vectors("HMAC-MD5"))
def test_hmac_md5(vector):
    key, data = (bytes.fromhex(vector["inputs"][name]) for name in ("key_hex", "data_hex"))
    assert hmac_md5(key, data) == vector["digest"]


@pytest.mark.parametrize("vector", vectors("EXTERNAL"))
def test_external(vector):
    authzid = vector["inputs"]["authzid"]
    [message] = octets_of(vector, "C")
    assert ExternalClient(authzid).initial_response == message
    assert ExternalServer({authzid: "ann"}.get).respond(message) == Identity("ann", authzid)


@pytest.mark.parametrize("vector", vectors("ANONYMOUS"))
def test_anonymous(vector):
    trace = vector["inputs"]["trace"]
    [message] = octets_of(vector, "C")
    assert AnonymousClient(trace).initial_response == message
    assert AnonymousServer({trace: "guest"}.get).respond(message) == Identity("guest")


@pytest.mark.parametrize("vector", [vector for vector in vectors("OAUTHBEARER") if vector.id not in {QUERY, MALFORMED}])
def test_oauthbearer(vector):
    user, host, port, token = (vector["inputs"][name] for name in ("authzid", "host", "port", "token"))
    [message] = octets_of(vector, "C")
    assert OAuthBearerClient(user, token, host=host, port=port).initial_response == message
    server = OAuthBearerServer(lambda *said: user if said == (user, token) else None)
    assert server.respond(message) == Identity(user, user)


@pytest.mark.parametrize("vector", [vector for vector in vectors("OAUTHBEARER") if vector.id in {QUERY, MALFORMED}])
def test_oauthbearer_refused(vector):
    message, dummy = octets_of(vector, "C")
    [error] = octets_of(vector, "S")
    client = OAuthBearerClient("user@example.com", "token")
    assert client.respond(error) == dummy
    assert client.failure == error.decode()
    assert not client.complete
    server = OAuthBearerServer(lambda user, token: user)
    if vector["id"] == MALFORMED:  # a name without "a=", by which RFC 5801 finds it
        with pytest.raises(MechanismError):
            server.respond(message)
        return
    assert server.respond(message) == b'{"status":"invalid_request"}'
    with pytest.raises(CredentialsRejected):
        server.respond(dummy)


@pytest.mark.parametrize("vector", vectors("XOAUTH2"))
def test_xoauth2(vector):
    user, token = vector["inputs"]["user"], vector["inputs"]["token"]
    message, farewell = octets_of(vector, "C")
    [error] = octets_of(vector, "S")
    client = XOAuth2Client(user, token)
    assert client.initial_response == message
    assert XOAuth2Server(lambda *said: user if said == (user, token) else None).respond(message) == Identity(user, user)
    assert client.respond(error) == farewell
    assert client.failure == error.decode().strip()
    assert not client.complete
    server = XOAuth2Server(lambda user, token: None)
    assert b'"status":"400"' in server.respond(message)
    with pytest.raises(CredentialsRejected):
        server.respond(farewell)


def test_xoauth2_says_why_as_pop3_servers_do():
    [vector] = [parameter.values[0] for parameter in vectors("XOAUTH2")]
    client = XOAuth2Client("user", "token")
    client.respond(base64.b64decode(vector["pop3_error_b64"]))
    assert client.failure == '{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}'


@pytest.mark.parametrize("vector", vectors("APOP"))
def test_apop(vector):
    [message] = vector["messages"]
    timestamp = vector["inputs"]["timestamp"]
    _, username, digest = message["raw"].split(" ")
    assert username == vector["inputs"]["username"]
    if vector["verified"]:
        secret = vector["inputs"]["secret"]
        assert apop_digest(timestamp, secret) == digest == vector["digest"]
        assert apop_matches(timestamp, secret, digest)
    else:  # the RFC took the digest of another timestamp
        assert apop_digest(timestamp, "tanstaaf") == "b257e85c7d54b0ee8f863b9f86d56cd1"
        assert not apop_matches(timestamp, "tanstaaf", digest)
