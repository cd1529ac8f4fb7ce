"""SCRAM (RFC 5802, RFC 7677): the laws, and every vector in both roles."""

import base64
import hashlib
import json
from pathlib import Path

import attrs
import pytest
from hypothesis import assume, given, strategies as st

from pop3proto.core.errors import LocalProtocolError
from pop3proto.sasl.channel import ChannelBinding
from pop3proto.sasl.mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.saslprep import prepare
from pop3proto.sasl.scram.keys import ScramHash, ScramKeys, xor
from pop3proto.sasl.scram.mechanisms import ScramClient, ScramServer
from pop3proto.sasl.scram.messages import (
    ClientFinal,
    ClientFirst,
    ServerFirst,
    auth_message,
    client_final_without_proof,
    client_first_bare,
    gs2_header,
    server_first,
)

VECTORS = [
    pytest.param(vector, id=vector["id"])
    for vector in json.loads((Path(__file__).parent.parent / "data" / "sasl_vectors.json").read_text("utf-8"))
    if vector["mechanism"].startswith("SCRAM-")
]
ALGORITHMS = ["SHA-1", "SHA-256", "SHA-512"]
SALT = b"sixteen octets.."
SECRET = b"known to nobody else"
EXPORTER = ChannelBinding("tls-exporter", bytes(range(32)))
UNIQUE = ChannelBinding("tls-unique", b"first Finished")


def is_preparable(text):
    try:
        return bool(prepare(text, stored=True))
    except MechanismError:
        return False


algorithms = st.sampled_from(ALGORITHMS)
latin = st.characters(max_codepoint=0x24F) | st.sampled_from("=,\u00ad\u00a0\u00aa\u2168\u4e2d\u0301\ufb01")
hebrew = st.text("\u05d0\u05d1\u05d2\u05d3 ", min_size=1, max_size=5)
names = (st.text(latin, min_size=1, max_size=12) | hebrew).filter(is_preparable)
nonces = st.text("".join(map(chr, range(0x21, 0x7F))).replace(",", ""), min_size=1, max_size=40)
channel_bindings = st.builds(
    ChannelBinding, st.sampled_from(["tls-exporter", "tls-unique", "tls-server-end-point"]), st.binary(min_size=1)
)
salts = st.binary(min_size=1, max_size=40)
few = st.integers(1, 3)


def scram_client(algorithm="SHA-256", user="user", password="pencil", *, nonce="client", **options):
    return ScramClient(algorithm, user, password, nonce=nonce, **{"least_iterations": 1} | options)


def scram_server(algorithm="SHA-256", password="pencil", *, nonce="server", salt=SALT, iterations=1, **options):
    keys = ScramKeys.derive(algorithm, password, salt, iterations)
    return ScramServer(algorithm, lambda _user: keys, nonce=nonce, **options)


def talk(client, server):
    """Who has logged in. Raises what either side raises."""
    answer = server.respond(client.initial_response)
    while not isinstance(answer, Identity):
        assert not client.complete
        answer = server.respond(client.respond(answer))
    assert client.complete
    return answer


# ------------------------------------------------------------------------------------------- vectors


def octets(vector, number):
    return bytes.fromhex(vector["messages"][number]["raw_hex"])


def client_of(vector):
    inputs = vector["inputs"]
    gs2 = inputs["gs2"]
    data = bytes.fromhex(inputs.get("cbind_data_hex", ""))
    return ScramClient(
        vector["mechanism"].removeprefix("SCRAM-").removesuffix("-PLUS"),
        inputs["username"],
        inputs["password"],
        nonce=inputs["cnonce"],
        authzid=inputs.get("authzid", ""),
        binding=ChannelBinding(gs2.split(",")[0][2:], data) if gs2.startswith("p=") else None,
        unannounced=gs2.startswith("y"),
    )


def keys_of(vector):
    inputs = vector["inputs"]
    algorithm = vector["mechanism"].removeprefix("SCRAM-").removesuffix("-PLUS")
    return ScramKeys.derive(algorithm, inputs["password"], base64.b64decode(inputs["salt_b64"]), inputs["i"])


def server_of(vector, keys):
    inputs = vector["inputs"]
    return ScramServer(
        vector["mechanism"].removeprefix("SCRAM-").removesuffix("-PLUS"),
        keys,
        nonce=inputs["snonce_suffix"],
        bindings=[EXPORTER] if vector["mechanism"].endswith("-PLUS") else [],
    )


def test_there_are_vectors_for_each_algorithm_with_and_without_plus():
    found = {param.values[0]["mechanism"] for param in VECTORS}
    assert found == {f"SCRAM-{algorithm}{plus}" for algorithm in ALGORITHMS for plus in ("", "-PLUS")}
    assert len(VECTORS) == 14


@pytest.mark.parametrize("vector", VECTORS)
class TestVectors:
    def test_the_client_says_it_octet_by_octet(self, vector):
        client = client_of(vector)
        assert client.name == vector["mechanism"]
        assert client.initial_response == octets(vector, 0)
        assert client.respond(octets(vector, 1)) == octets(vector, 2)
        assert not client.complete
        assert client.respond(octets(vector, 3)) == octets(vector, 4) == b""
        assert client.complete

    def test_the_server_says_it_octet_by_octet(self, vector):
        asked = []
        keys = keys_of(vector)
        server = server_of(vector, lambda user: asked.append(user) or keys)
        assert server.name == vector["mechanism"]
        assert server.respond(octets(vector, 0)) == octets(vector, 1)
        assert server.respond(octets(vector, 2)) == octets(vector, 3)
        inputs = vector["inputs"]
        assert server.respond(octets(vector, 4)) == Identity(inputs["username"], inputs.get("authzid", ""))
        assert asked == [inputs["username"]]

    def test_every_value_between_is_right(self, vector):
        between = {name: value for name, value in vector["intermediate"].items() if name != "AuthMessage"}
        wanted = {name: bytes.fromhex(value) for name, value in between.items()}
        inputs = vector["inputs"]
        hashing = ScramHash(vector["mechanism"].removeprefix("SCRAM-").removesuffix("-PLUS"))
        salted = hashing.salted_password(inputs["password"].encode(), base64.b64decode(inputs["salt_b64"]), inputs["i"])
        first, final = ClientFirst.parse(octets(vector, 0)), ClientFinal.parse(octets(vector, 2))
        signed = auth_message(first.bare, octets(vector, 1), final.without_proof)
        assert signed.decode() == vector["intermediate"]["AuthMessage"]
        client_key, server_key = hashing.client_key(salted), hashing.server_key(salted)
        stored_key = hashing.digest(client_key)
        signature = hashing.hmac(stored_key, signed)
        assert wanted == {
            "SaltedPassword": salted,
            "ClientKey": client_key,
            "StoredKey": stored_key,
            "ClientSignature": signature,
            "ClientProof": xor(client_key, signature),
            "ServerKey": server_key,
            "ServerSignature": hashing.hmac(server_key, signed),
        }
        assert final.proof == wanted["ClientProof"]
        assert keys_of(vector) == ScramKeys(
            base64.b64decode(inputs["salt_b64"]), inputs["i"], wanted["StoredKey"], wanted["ServerKey"]
        )


# ---------------------------------------------------------------------------------------------- laws


@given(st.data())
def test_client_and_server_agree(data):
    algorithm, user, password = data.draw(algorithms), data.draw(names), data.draw(names)
    authzid = data.draw(st.just("") | names)
    binding = data.draw(st.none() | channel_bindings)
    unannounced = data.draw(st.booleans())
    client = scram_client(
        algorithm,
        user,
        password,
        nonce=data.draw(nonces),
        authzid=authzid,
        binding=binding,
        unannounced=unannounced,
    )
    keys = ScramKeys.derive(algorithm, password, data.draw(salts), data.draw(few))
    asked = []
    server = ScramServer(
        algorithm,
        lambda user: asked.append(user) or keys,
        nonce=data.draw(nonces),
        bindings=[] if binding is None else [binding],
        plus_announced=not unannounced,
    )
    assert client.name == server.name == f"SCRAM-{algorithm}" + ("-PLUS" if binding else "")
    prepared = prepare(user, stored=False)
    assert talk(client, server) == Identity(prepared, prepare(authzid, stored=False))
    assert asked == [prepared]
    assert client.failure == ""


@given(algorithms, names, names)
def test_a_wrong_password_is_refused_by_the_server(algorithm, right, wrong):
    assume(prepare(right, stored=True) != prepare(wrong, stored=True))
    client = scram_client(algorithm, password=wrong)
    with pytest.raises(CredentialsRejected):
        talk(client, scram_server(algorithm, right))
    assert not client.complete


@given(channel_bindings, st.binary(min_size=1))
def test_another_channel_is_refused_by_the_server(binding, other):
    if other == binding.octets:
        other += b"x"
    client = scram_client(binding=binding)
    with pytest.raises(CredentialsRejected):
        talk(client, scram_server(bindings=[attrs.evolve(binding, octets=other)]))
    assert not client.complete


@pytest.mark.parametrize("chosen", [EXPORTER, UNIQUE])
def test_a_client_may_bind_to_whatever_the_server_has(chosen):
    assert talk(scram_client(binding=chosen), scram_server(bindings=[EXPORTER, UNIQUE])) == Identity("user")


def test_a_server_that_has_no_initial_response_asks_for_it():
    client, server = scram_client(), scram_server()
    assert server.respond(None) == b""
    assert talk(client, server) == Identity("user")


def test_the_same_password_in_another_spelling_is_the_same():
    client = scram_client(user="\u2168", password="p\u00adencil\u00aa")
    assert talk(client, scram_server(password="pencila")) == Identity("IX")


@given(names, st.just("") | names, nonces, st.none() | channel_bindings)
def test_a_server_reads_the_first_message_of_a_client(user, authzid, nonce, binding):
    user, authzid = prepare(user, stored=False), prepare(authzid, stored=False)
    flag, binding_type = ("p", binding.type) if binding else ("n", "")
    header, bare = gs2_header(flag, binding_type, authzid), client_first_bare(user, nonce)
    assert ClientFirst.parse(header + bare) == ClientFirst(
        header=header, bare=bare, flag=flag, binding_type=binding_type, authzid=authzid, user=user, nonce=nonce
    )


@given(nonces, salts, st.integers(1, 10**20 - 1))
def test_a_client_reads_the_first_message_of_a_server(nonce, salt, iterations):
    assert ServerFirst.parse(server_first(nonce, salt, iterations)) == ServerFirst(nonce, salt, iterations)


@given(st.binary(min_size=1), st.binary(), nonces, st.binary(min_size=1))
def test_a_server_reads_the_last_message_of_a_client(header, binding, nonce, proof):
    without_proof = client_final_without_proof(header, binding, nonce)
    message = without_proof + b",p=" + base64.b64encode(proof)
    assert ClientFinal.parse(message) == ClientFinal(without_proof, header + binding, nonce, proof)


# ------------------------------------------------------------------------------------ what they promise


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_are_mechanisms(algorithm):
    client: ClientMechanism = scram_client(algorithm)
    server: ServerMechanism = scram_server(algorithm)
    assert client.name == server.name == f"SCRAM-{algorithm}"
    assert client.initial_response == b"n,,n=user,r=client"
    assert not client.shows_secret
    assert client.blocks
    assert not client.complete
    assert client.failure == ""


@pytest.mark.parametrize(
    "options,start",
    [
        ({}, b"n,,"),
        ({"unannounced": True}, b"y,,"),
        ({"binding": EXPORTER}, b"p=tls-exporter,,"),
        ({"binding": EXPORTER, "unannounced": True}, b"p=tls-exporter,,"),
        ({"authzid": "a=b,c"}, b"n,a=a=3Db=2Cc,"),
    ],
)
def test_the_header_tells_whether_the_client_binds(options, start):
    assert scram_client(**options).initial_response == start + b"n=user,r=client"


def test_extensions_that_are_optional_are_ignored():
    client, keys = scram_client(), ScramKeys.derive("SHA-256", "pencil", SALT, 1)
    challenge = server_first("clientserver", SALT, 1) + b",x=1,Y=\xc3\xa9=,z=="
    final = ClientFinal.parse(client.respond(challenge))
    signed = auth_message(b"n=user,r=client", challenge, final.without_proof)
    signature = ScramHash("SHA-256").hmac(keys.server_key, signed)
    assert client.respond(b"v=" + base64.b64encode(signature) + b",x=1") == b""
    assert client.complete


def test_extensions_of_a_client_that_are_optional_are_ignored():
    hashing = ScramHash("SHA-256")
    client_key = hashing.client_key(hashing.salted_password(b"pencil", SALT, 1))
    server = scram_server()
    bare, without_proof = b"n=user,r=client,x=1", b"c=biws,r=clientserver,y=2"
    challenge = server.respond(b"n,," + bare)
    signature = hashing.hmac(hashing.digest(client_key), auth_message(bare, challenge, without_proof))
    final = without_proof + b",p=" + base64.b64encode(xor(client_key, signature))
    assert server.respond(final).startswith(b"v=")
    assert server.respond(b"") == Identity("user")


# ---------------------------------------------------------------------------------------------- keys


@given(algorithms, names, st.integers(1, 64))
def test_a_decoy_is_the_same_for_the_same_name_and_looks_like_keys(algorithm, user, salt_octets):
    decoy = ScramKeys.decoy(algorithm, user, SECRET, iterations=5000, salt_octets=salt_octets)
    assert decoy == ScramKeys.decoy(algorithm, user, SECRET, iterations=5000, salt_octets=salt_octets)
    assert decoy.iterations == 5000
    assert len(decoy.salt) == salt_octets
    assert len(decoy.stored_key) == len(decoy.server_key) == ScramHash(algorithm).octets
    others = [
        ScramKeys.decoy(algorithm, user + "x", SECRET, iterations=5000),
        ScramKeys.decoy(algorithm, user, SECRET + b"x", iterations=5000),
        *(ScramKeys.decoy(other, user, SECRET, iterations=5000) for other in ALGORITHMS if other != algorithm),
    ]
    drawn = {(keys.salt, keys.stored_key, keys.server_key) for keys in others}
    assert len(drawn) == 4
    whole = ScramKeys.decoy(algorithm, user, SECRET, iterations=5000)
    values = {whole.salt, whole.stored_key[:16], whole.server_key[:16]}
    assert len(values) == 3, "one tells nothing of another"


@given(algorithms, names, names)
def test_nobody_logs_in_with_a_decoy(algorithm, user, password):
    server = ScramServer(algorithm, lambda user: ScramKeys.decoy(algorithm, user, SECRET, iterations=2), nonce="server")
    with pytest.raises(CredentialsRejected, match=r"^the password is wrong$"):
        talk(scram_client(algorithm, user, password), server)


@pytest.mark.parametrize("bits,iterations", [(b"", 1), (SALT, 0), (SALT, -1), (SALT, 2**31), (SALT, 10**30)])
def test_keys_that_cannot_be_are_refused_at_no_cost(bits, iterations, monkeypatch):
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", lambda *_: pytest.fail("it has computed"))
    with pytest.raises(LocalProtocolError):
        ScramKeys(bits, iterations, b"", b"")
    with pytest.raises(LocalProtocolError):
        ScramKeys.derive("SHA-256", "pencil", bits, iterations)


@pytest.mark.parametrize("algorithm", ["", "MD5", "sha-1", "SHA-1-PLUS", "SHA-224"])
def test_another_algorithm_is_refused(algorithm):
    for make in (
        lambda: ScramKeys.derive(algorithm, "pencil", SALT, 1),
        lambda: ScramKeys.decoy(algorithm, "user", SECRET, iterations=1),
        lambda: scram_client(algorithm),
        lambda: ScramServer(algorithm, lambda _user: pytest.fail("asked"), nonce="server"),
    ):
        with pytest.raises(LocalProtocolError):
            make()


@pytest.mark.parametrize("password", ["", "\u00ad", "a\0b", "a\nb", "a\ud800", "\u0627\u0031", "\u0221"])
def test_a_password_that_cannot_be_prepared_is_refused(password):
    with pytest.raises(MechanismError):
        ScramKeys.derive("SHA-256", password, SALT, 1)
    with pytest.raises(MechanismError):
        scram_client(password=password)


@pytest.mark.parametrize("options", [{"secret": b"fifteen octets."}, {"salt_octets": 0}, {"salt_octets": 65}])
def test_a_decoy_that_could_be_told_is_refused(options):
    with pytest.raises(LocalProtocolError):
        ScramKeys.decoy("SHA-256", "user", **{"secret": SECRET, "iterations": 1} | options)


@pytest.mark.parametrize(
    "options",
    [
        {"user": ""},
        {"user": "\u00ad"},
        {"user": "a\nb"},
        {"user": "a\ud800"},
        {"authzid": "\u00ad"},
        {"authzid": "a\0b"},
        {"nonce": ""},
        {"nonce": "a,b"},
        {"nonce": "a b"},
        {"nonce": "a\n"},
        {"nonce": "\u00e9"},
        {"nonce": "x" * 1025},
        {"binding": ChannelBinding("tls-unique", b"")},
        {"binding": ChannelBinding("", b"x")},
        {"binding": ChannelBinding("tls,unique", b"x")},
        {"binding": ChannelBinding("tls-unique\n", b"x")},
    ],
)
def test_a_client_refuses_what_it_cannot_say(options):
    with pytest.raises(MechanismError):
        scram_client(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"nonce": ""},
        {"nonce": "a,b"},
        {"nonce": "x" * 1025},
        {"bindings": [EXPORTER, ChannelBinding("tls-unique", b"")]},
    ],
)
def test_a_server_refuses_what_it_cannot_say(options):
    with pytest.raises(MechanismError):
        scram_server(**options)


def test_the_longest_nonces_agree():
    assert talk(scram_client(nonce="c" * 1024), scram_server(nonce="s" * 1024)) == Identity("user")


def test_keys_for_another_algorithm_are_the_fault_of_who_keeps_them():
    server = ScramServer("SHA-1", lambda _user: ScramKeys.derive("SHA-256", "pencil", SALT, 1), nonce="server")
    with pytest.raises(LocalProtocolError):
        server.respond(b"n,,n=user,r=client")


def test_what_the_source_of_keys_raises_goes_through():
    class UnreachableError(Exception):
        pass

    def keys(user):
        raise UnreachableError(user)

    server = ScramServer("SHA-1", keys, nonce="server")
    with pytest.raises(UnreachableError, match=r"^user$"):
        server.respond(b"n,,n=user,r=client")
    with pytest.raises(MechanismError):
        server.respond(b"n,,n=user,r=client")
