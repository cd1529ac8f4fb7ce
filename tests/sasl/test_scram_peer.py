"""SCRAM with a peer of another origin, scramp, in both roles."""

import pytest
import scramp
from hypothesis import given, settings, strategies as st

from pop3proto.sasl.channel import ChannelBinding
from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.saslprep import prepare
from pop3proto.sasl.scram.keys import ScramKeys
from pop3proto.sasl.scram.mechanisms import ScramClient, ScramServer
from tests.helpers.depth import deep

ALGORITHMS = ["SHA-1", "SHA-256", "SHA-512"]
ITERATIONS = 4096  # scramp takes no fewer


def is_preparable(text):
    try:
        return bool(prepare(text, stored=True))
    except MechanismError:
        return False


algorithms = st.sampled_from(ALGORITHMS)
latin = st.characters(max_codepoint=0x24F) | st.sampled_from("=,\u00ad\u00a0\u00aa\u2168\u4e2d\u0301\ufb01")
names = st.text(latin, min_size=1, max_size=12).filter(is_preparable)
nonces = st.text("".join(map(chr, range(0x21, 0x7F))).replace(",", ""), min_size=1, max_size=40)
salts = st.binary(min_size=12, max_size=40)
# scramp knows no tls-exporter.
bindings = st.none() | st.builds(
    ChannelBinding, st.sampled_from(["tls-unique", "tls-server-end-point"]), st.binary(min_size=1, max_size=64)
)
exchanges = st.fixed_dictionaries(
    {
        "algorithm": algorithms,
        "user": names,
        "password": names,
        "ours": nonces,
        "theirs": nonces,
        "salt": salts,
        "binding": bindings,
    }
)
UNIQUE = ChannelBinding("tls-unique", b"first Finished")


def pair(binding):
    return None if binding is None else (binding.type, binding.octets)


def mechanism(algorithm, binding):
    return f"SCRAM-{algorithm}" + ("-PLUS" if binding else "")


def stranger_server(algorithm, binding, salt, password, *, nonce=None):
    theirs = scramp.ScramMechanism(mechanism(algorithm, binding))
    stored = theirs.make_auth_info(password, ITERATIONS, salt)
    asked = []
    server = theirs.make_server(lambda user: asked.append(user) or stored, pair(binding), nonce)
    return server, asked


@settings(max_examples=deep(50, 10))
@given(exchanges)
def test_our_client_logs_in_to_their_server(drawn):
    algorithm, user, password, binding = (drawn[name] for name in ("algorithm", "user", "password", "binding"))
    server, asked = stranger_server(algorithm, binding, drawn["salt"], password, nonce=drawn["theirs"])
    client = ScramClient(algorithm, user, password, nonce=drawn["ours"], binding=binding)
    server.set_client_first(client.initial_response.decode())
    server.set_client_final(client.respond(server.get_server_first().encode()).decode())
    assert client.respond(server.get_server_final().encode()) == b""
    assert client.complete
    assert asked == [prepare(user, stored=False)]


@settings(max_examples=deep(50, 10))
@given(exchanges)
def test_their_client_logs_in_to_our_server(drawn):
    algorithm, user, password, binding = (drawn[name] for name in ("algorithm", "user", "password", "binding"))
    keys = ScramKeys.derive(algorithm, password, drawn["salt"], ITERATIONS)
    server = ScramServer(algorithm, lambda _user: keys, nonce=drawn["ours"], bindings=[binding] if binding else [])
    client = scramp.ScramClient([mechanism(algorithm, binding)], user, password, pair(binding), drawn["theirs"])
    client.set_server_first(server.respond(client.get_client_first().encode()).decode())
    client.set_server_final(server.respond(client.get_client_final().encode()).decode())
    assert server.respond(b"") == Identity(prepare(user, stored=False))


@settings(max_examples=deep(50, 10))
@given(algorithms, names, salts)
def test_both_keep_the_same_keys(algorithm, password, salt):
    ours = ScramKeys.derive(algorithm, password, salt, ITERATIONS)
    theirs = scramp.ScramMechanism(f"SCRAM-{algorithm}").make_auth_info(password, ITERATIONS, salt)
    assert (ours.salt, ours.stored_key, ours.server_key, ours.iterations) == theirs


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_our_client_hears_why_their_server_refuses(algorithm):
    server, _ = stranger_server(algorithm, None, b"sixteen octets..", "pencil")
    client = ScramClient(algorithm, "user", "crayon", nonce="client")
    server.set_client_first(client.initial_response.decode())
    final = client.respond(server.get_server_first().encode())
    with pytest.raises(scramp.ScramException):
        server.set_client_final(final.decode())
    with pytest.raises(MechanismError, match=r"^the server sent a SCRAM error: invalid-proof$"):
        client.respond(server.get_server_final().encode())
    assert client.failure == "invalid-proof"
    assert not client.complete


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_our_server_refuses_their_client_with_a_wrong_password(algorithm):
    keys = ScramKeys.derive(algorithm, "pencil", b"sixteen octets..", ITERATIONS)
    server = ScramServer(algorithm, lambda _user: keys, nonce="server")
    client = scramp.ScramClient([f"SCRAM-{algorithm}"], "user", "crayon")
    client.set_server_first(server.respond(client.get_client_first().encode()).decode())
    with pytest.raises(CredentialsRejected):
        server.respond(client.get_client_final().encode())


def test_our_server_refuses_their_client_at_the_end_of_another_channel():
    keys = ScramKeys.derive("SHA-256", "pencil", b"sixteen octets..", ITERATIONS)
    server = ScramServer("SHA-256", lambda _user: keys, nonce="server", bindings=[UNIQUE])
    client = scramp.ScramClient(["SCRAM-SHA-256-PLUS"], "user", "pencil", ("tls-unique", b"another"))
    client.set_server_first(server.respond(client.get_client_first().encode()).decode())
    with pytest.raises(CredentialsRejected):
        server.respond(client.get_client_final().encode())


def test_their_server_refuses_our_client_at_the_end_of_another_channel():
    server, _ = stranger_server("SHA-256", UNIQUE, b"sixteen octets..", "pencil")
    client = ScramClient("SHA-256", "user", "pencil", nonce="client", binding=ChannelBinding("tls-unique", b"another"))
    server.set_client_first(client.initial_response.decode())
    final = client.respond(server.get_server_first().encode())
    with pytest.raises(scramp.ScramException):
        server.set_client_final(final.decode())
    with pytest.raises(MechanismError, match="channel-bindings-dont-match"):
        client.respond(server.get_server_final().encode())


def test_our_server_notices_that_the_plus_was_hidden_from_their_client():
    server = ScramServer("SHA-256", lambda _user: pytest.fail("asked"), nonce="server", plus_announced=True)
    client = scramp.ScramClient(["SCRAM-SHA-256"], "user", "pencil", pair(UNIQUE))
    with pytest.raises(CredentialsRejected):
        server.respond(client.get_client_first().encode())


def test_their_server_notices_that_the_plus_was_hidden_from_our_client():
    theirs = scramp.ScramMechanism("SCRAM-SHA-256")
    server = theirs.make_server(lambda _user: pytest.fail("asked"), pair(UNIQUE))
    client = ScramClient("SHA-256", "user", "pencil", nonce="client", unannounced=True)
    with pytest.raises(scramp.ScramException, match="server-does-support-channel-binding"):
        server.set_client_first(client.initial_response.decode())
