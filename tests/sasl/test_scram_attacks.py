"""SCRAM with somebody in the middle, or at the other end, who does not keep to it."""

import base64
import hashlib

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.channel import ChannelBinding
from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.scram.keys import ScramHash, ScramKeys, xor
from pop3proto.sasl.scram.mechanisms import ScramClient, ScramServer
from pop3proto.sasl.scram.messages import ClientFinal, ClientFirst, ServerFirst, auth_message, server_first

SALT = b"sixteen octets.."
PASSWORD = "tanstaaf-pencil"
EXPORTER = ChannelBinding("tls-exporter", b"marker of the channel")
BARE = b"n=ursel,r=clientNONCE"
FIRST = b"n,," + BARE
CHALLENGE = server_first("clientNONCEserverNONCE", SALT, 2)
HASH = ScramHash("SHA-256")
SALTED = HASH.salted_password(PASSWORD.encode(), SALT, 2)
KEYS = ScramKeys.derive("SHA-256", PASSWORD, SALT, 2)
WITHOUT_PROOF = b"c=biws,r=clientNONCEserverNONCE"
SIGNED = auth_message(BARE, CHALLENGE, WITHOUT_PROOF)
RIGHT_FINAL = b"v=" + base64.b64encode(HASH.hmac(HASH.server_key(SALTED), SIGNED))
REFUSALS = (MechanismError, CredentialsRejected)


def scram_client(**options):
    options = {"nonce": "clientNONCE", "least_iterations": 1, "most_iterations": 99} | options
    return ScramClient("SHA-256", "ursel", PASSWORD, **options)


def scram_server(**options):
    return ScramServer("SHA-256", lambda _user: KEYS, **{"nonce": "serverNONCE"} | options)


def proved(without_proof, *, bare=BARE, challenge=CHALLENGE):
    """A client's last message whose proof is right, whatever the rest says."""
    key = HASH.client_key(SALTED)
    signature = HASH.hmac(HASH.digest(key), auth_message(bare, challenge, without_proof))
    return without_proof + b",p=" + base64.b64encode(xor(key, signature))


RIGHT = proved(WITHOUT_PROOF)


def challenged_server(first=FIRST, **options):
    server = scram_server(**options)
    assert server.respond(first) == CHALLENGE
    return server


def proving_client(**options):
    client = scram_client(**options)
    assert client.respond(CHALLENGE)
    return client


@pytest.fixture
def no_pbkdf2(monkeypatch):
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", lambda *_: pytest.fail("it has computed before it looked"))


# ------------------------------------------------------------------------------- a server's messages


@pytest.mark.usefixtures("no_pbkdf2")
@pytest.mark.parametrize(
    "challenge",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=1", id="fewer iterations than wanted"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4095", id="one fewer"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=2000001", id="one more than wanted"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=1000000000", id="far more"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=1" + b"0" * 5000, id="a number that int() refuses"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=0", id="no iterations"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=-4096", id="a sign"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=04096", id="a leading zero"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096 ", id="a blank"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4_096", id="an underscore"),
        pytest.param("r=clientNONCEx,s=c2FsdA==,i=\u0664096".encode(), id="an Arabic digit"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=", id="an empty number"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==", id="no number"),
        pytest.param(b"r=clientNONCEx,i=4096", id="no salt"),
        pytest.param(b"s=c2FsdA==,i=4096", id="no nonce"),
        pytest.param(b"r=clientNONCEx,s=,i=4096", id="an empty salt"),
        pytest.param(b"r=clientNONCEx,s====,i=4096", id="padding for a salt"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA,i=4096", id="a salt without padding"),
        pytest.param(b"r=clientNONCEx,s=c2FsdB==,i=4096", id="a salt that is not canonical"),
        pytest.param(b"r=clientNONCEx,s=c2Fs dA==,i=4096", id="a blank in the salt"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==\n,i=4096", id="a line end in the salt"),
        pytest.param(b"r=clientNONCE,s=c2FsdA==,i=4096", id="a nonce that is ours alone"),
        pytest.param(b"r=clientNONC,s=c2FsdA==,i=4096", id="a shorter nonce"),
        pytest.param(b"r=ClientNONCEx,s=c2FsdA==,i=4096", id="a nonce in another case"),
        pytest.param(b"r=serverNONCE,s=c2FsdA==,i=4096", id="a nonce that is the server's alone"),
        pytest.param(b"r=xclientNONCE,s=c2FsdA==,i=4096", id="a nonce before ours"),
        pytest.param(b"r=clientNONCEx y,s=c2FsdA==,i=4096", id="a blank in the nonce"),
        pytest.param(b"r=clientNONCE\xc3\xa9,s=c2FsdA==,i=4096", id="a nonce beyond ASCII"),
        pytest.param(b"r=clientNONCE\xff,s=c2FsdA==,i=4096", id="not UTF-8"),
        pytest.param(b"r=clientNONCE" + b"x" * 2048 + b",s=c2FsdA==,i=4096", id="a nonce that fills lines"),
        pytest.param(b"m=x,r=clientNONCEx,s=c2FsdA==,i=4096", id="a mandatory extension at the start"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,m=x", id="a mandatory extension at the end"),
        pytest.param(b"s=c2FsdA==,r=clientNONCEx,i=4096", id="another order"),
        pytest.param(b"x=1,r=clientNONCEx,s=c2FsdA==,i=4096", id="an extension before the rest"),
        pytest.param(b"r=clientNONCEx,r=clientNONCEx,s=c2FsdA==,i=4096", id="two nonces"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,i=4097", id="two numbers"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,x=1,x=1", id="two extensions of one name"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,v=c2lnbmVk", id="a signature as an extension"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,", id="a comma at the end"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,x", id="an extension without a value"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,x=", id="an extension with an empty value"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,1=x", id="an extension that is a digit"),
        pytest.param(b"r=clientNONCEx,s=c2FsdA==,i=4096,x=\0", id="NUL in an extension"),
        pytest.param(b"R=clientNONCEx,S=c2FsdA==,I=4096", id="upper case"),
        pytest.param(b"v=c2lnbmVk", id="the last message first"),
        pytest.param(FIRST, id="a client's message"),
    ],
)
def test_a_client_refuses_before_it_computes(challenge):
    client = ScramClient("SHA-256", "ursel", PASSWORD, nonce="clientNONCE")
    with pytest.raises(MechanismError) as refusal:
        client.respond(challenge)
    assert_tells_nothing(refusal.value)
    assert client.failure == ""
    assert_failed(client)


@pytest.mark.usefixtures("no_pbkdf2")
def test_it_would_be_noticed_if_a_client_computed():
    with pytest.raises(pytest.fail.Exception):
        scram_client().respond(CHALLENGE)


@pytest.mark.parametrize(
    "final",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"v=", id="an empty signature"),
        pytest.param(b"v=" + base64.b64encode(bytes(32)), id="a wrong signature"),
        pytest.param(b"v=" + base64.b64encode(bytes(20)), id="a short signature"),
        pytest.param(b"x=1", id="an extension alone"),
        pytest.param(CHALLENGE, id="the first message again"),
    ],
)
def test_a_client_believes_no_server_that_proves_nothing(final):
    client = proving_client()
    with pytest.raises(MechanismError) as refusal:
        client.respond(final)
    assert_tells_nothing(refusal.value)
    assert_failed(client)


def test_a_client_believes_the_right_signature():
    client = proving_client()
    assert client.respond(RIGHT_FINAL) == b""
    assert client.complete


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda final: final[:-1], id="cut short"),
        pytest.param(lambda final: final + b"=", id="more padding"),
        pytest.param(lambda final: final[:-2] + chr(final[-2] + 1).encode() + b"=", id="bits behind the end"),
        pytest.param(lambda final: final + b",m=1", id="a mandatory extension"),
        pytest.param(lambda final: final + b"," + final, id="twice"),
        pytest.param(lambda final: b"x=1," + final, id="not at the start"),
        pytest.param(lambda final: final + b",e=other-error", id="an error behind it"),
    ],
)
def test_a_client_believes_the_right_signature_in_one_form_only(change):
    client = proving_client()
    with pytest.raises(MechanismError):
        client.respond(change(RIGHT_FINAL))
    assert_failed(client)


def test_a_client_takes_nothing_after_the_proof():
    client = proving_client()
    client.respond(RIGHT_FINAL)
    with pytest.raises(MechanismError):
        client.respond(b"")
    assert_failed(client)


@pytest.mark.parametrize("begin", [scram_client, proving_client])
@pytest.mark.parametrize(
    "message,failure",
    [
        (b"e=unknown-user", "unknown-user"),
        (b"e=invalid-proof,x=more", "invalid-proof"),
        (b"e=other-error", "other-error"),
        (b"e=", "other-error"),
        (b"e=tanstaaf", "other-error"),
        (b"e=\xff", "other-error"),
        (b"e=invalid-proof\r\n+OK", "other-error"),
    ],
)
def test_a_client_repeats_no_error_but_those_of_the_rfc(begin, message, failure):
    client = begin()
    with pytest.raises(MechanismError, match=f"^the server sent a SCRAM error: {failure}$"):
        client.respond(message)
    assert client.failure == failure
    assert_failed(client, but=failure)


def assert_failed(client, but=""):
    """Nothing that is said later makes the exchange succeed."""
    assert not client.complete
    for message in (b"", CHALLENGE, RIGHT_FINAL):
        with pytest.raises(MechanismError):
            client.respond(message)
        assert not client.complete
        assert client.failure == but


# ------------------------------------------------------------------------------- a client's messages


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"n", id="a flag"),
        pytest.param(b"n,", id="half a header"),
        pytest.param(b"n,,", id="a header"),
        pytest.param(b"x,,n=ursel,r=clientNONCE", id="no flag"),
        pytest.param(b",,n=ursel,r=clientNONCE", id="an empty flag"),
        pytest.param(b"N,,n=ursel,r=clientNONCE", id="a flag in upper case"),
        pytest.param(b"nn,,n=ursel,r=clientNONCE", id="a longer flag"),
        pytest.param(b"p,,n=ursel,r=clientNONCE", id="no type"),
        pytest.param(b"p=,,n=ursel,r=clientNONCE", id="an empty type"),
        pytest.param(b"p=tls_unique,,n=ursel,r=clientNONCE", id="no such type"),
        pytest.param(b"p=tls-exporter,,n=ursel,r=clientNONCE", id="a binding without the -PLUS"),
        pytest.param(b"n,a=,n=ursel,r=clientNONCE", id="an empty authzid"),
        pytest.param(b"n,ursel,n=ursel,r=clientNONCE", id="an authzid without its name"),
        pytest.param(b"n,b=ursel,n=ursel,r=clientNONCE", id="another name than that of the authzid"),
        pytest.param(b"n,a=u=2cser,n=ursel,r=clientNONCE", id="an authzid with a small escape"),
        pytest.param(b"n,a=\x07,n=ursel,r=clientNONCE", id="a control character in the authzid"),
        pytest.param(b"n,,n=,r=clientNONCE", id="no user"),
        pytest.param(b"n,,n=a=20b,r=clientNONCE", id="another escape"),
        pytest.param(b"n,,n=a=3db,r=clientNONCE", id="a small escape"),
        pytest.param(b"n,,n=a=,r=clientNONCE", id="an escape of nothing"),
        pytest.param(b"n,,n=a=2,r=clientNONCE", id="half an escape"),
        pytest.param(b"n,,n=us\x00er,r=clientNONCE", id="NUL in the user"),
        pytest.param(b"n,,n=us\r\ner,r=clientNONCE", id="a line end in the user"),
        pytest.param(b"n,,n=us\xe2\x80\xa8er,r=clientNONCE", id="a line separator in the user"),
        pytest.param(b"n,,n=\xc2\xad,r=clientNONCE", id="a user of which nothing is left"),
        pytest.param(b"n,,n=\xff,r=clientNONCE", id="not UTF-8"),
        pytest.param(b"n,,n=\xed\xa0\x80,r=clientNONCE", id="a surrogate"),
        pytest.param(b"n,,n=ursel", id="no nonce"),
        pytest.param(b"n,,n=ursel,r=", id="an empty nonce"),
        pytest.param(b"n,,n=ursel,r=client NONCE", id="a blank in the nonce"),
        pytest.param(b"n,,n=ursel,r=client\x7f", id="DEL in the nonce"),
        pytest.param(b"n,,n=ursel,r=client\n", id="a line end behind the nonce"),
        pytest.param(b"n,,n=ursel,r=" + b"x" * 1025, id="a nonce that fills lines"),
        pytest.param(b"n,,r=clientNONCE,n=ursel", id="another order"),
        pytest.param(b"n,,n=ursel,n=ursel,r=clientNONCE", id="two users"),
        pytest.param(b"n,,n=ursel,r=clientNONCE,r=clientNONCE", id="two nonces"),
        pytest.param(b"n,,n=ursel,r=clientNONCE,n=root", id="another user behind"),
        pytest.param(b"n,,n=ursel,r=clientNONCE,a=root", id="an authzid as an extension"),
        pytest.param(b"n,,m=x,n=ursel,r=clientNONCE", id="a mandatory extension"),
        pytest.param(b"n,,n=ursel,r=clientNONCE,m=x", id="a mandatory extension behind"),
        pytest.param(b"n,,n=ursel,r=clientNONCE,", id="a comma at the end"),
        pytest.param(b"n,,n=ursel,r=clientNONCE,xy=1", id="an extension of two letters"),
        pytest.param(CHALLENGE, id="a server's message"),
    ],
)
def test_a_server_asks_for_no_keys_for_what_is_no_first_message(first):
    server = ScramServer("SHA-256", lambda _user: pytest.fail("asked"), nonce="serverNONCE")
    with pytest.raises(MechanismError) as refusal:
        server.respond(first)
    assert_tells_nothing(refusal.value)
    assert_over(server)


def test_a_server_believes_the_right_proof():
    server = challenged_server()
    assert server.respond(RIGHT) == RIGHT_FINAL
    assert server.respond(b"") == Identity("ursel")
    assert_over(server)


@pytest.mark.parametrize(
    "final,error",
    [
        pytest.param(b"", MechanismError, id="nothing"),
        pytest.param(WITHOUT_PROOF, MechanismError, id="no proof"),
        pytest.param(WITHOUT_PROOF + b",p=", MechanismError, id="an empty proof"),
        pytest.param(WITHOUT_PROOF + b",p=AAAA", MechanismError, id="a short proof"),
        pytest.param(RIGHT[:-4] + b"AAAA" + b"AAAA", MechanismError, id="a long proof"),
        pytest.param(RIGHT + b"=", MechanismError, id="more padding"),
        pytest.param(RIGHT[:-1], MechanismError, id="less padding"),
        pytest.param(RIGHT[:-2] + chr(RIGHT[-2] + 1).encode() + b"=", MechanismError, id="bits behind the proof"),
        pytest.param(RIGHT + b",x=1", MechanismError, id="an extension behind the proof"),
        pytest.param(RIGHT + RIGHT[RIGHT.index(b",p=") :], MechanismError, id="two proofs"),
        pytest.param(RIGHT + b"\xff", MechanismError, id="not UTF-8"),
        pytest.param(proved(b"r=clientNONCEserverNONCE,c=biws"), MechanismError, id="another order"),
        pytest.param(proved(b"c=biws"), MechanismError, id="no nonce"),
        pytest.param(proved(b"r=clientNONCEserverNONCE"), MechanismError, id="no header"),
        pytest.param(proved(WITHOUT_PROOF + b",c=biws"), MechanismError, id="two headers"),
        pytest.param(proved(WITHOUT_PROOF + b",m=1"), MechanismError, id="a mandatory extension"),
        pytest.param(proved(WITHOUT_PROOF + b",n=root"), MechanismError, id="another user"),
        pytest.param(proved(b"c=,r=clientNONCEserverNONCE"), MechanismError, id="an empty header"),
        pytest.param(proved(b"c=biw,r=clientNONCEserverNONCE"), MechanismError, id="no base64"),
        pytest.param(proved(b"c=bix=,r=clientNONCEserverNONCE"), MechanismError, id="base64 that is not canonical"),
        pytest.param(proved(b"c=eSws,r=clientNONCEserverNONCE"), CredentialsRejected, id="another flag than before"),
        pytest.param(proved(b"c=biwsYQ==,r=clientNONCEserverNONCE"), CredentialsRejected, id="a binding to something"),
        pytest.param(proved(b"c=biws,r=clientNONCE"), CredentialsRejected, id="the client's nonce alone"),
        pytest.param(proved(b"c=biws,r=clientNONCEserverNONCEx"), CredentialsRejected, id="a longer nonce"),
        pytest.param(proved(b"c=biws,r=clientNONCEotherNONCE"), CredentialsRejected, id="another nonce"),
        pytest.param(
            WITHOUT_PROOF + b",p=" + base64.b64encode(bytes(32)), CredentialsRejected, id="a proof of nothing"
        ),
        pytest.param(proved(WITHOUT_PROOF, bare=b"n=root,r=clientNONCE"), CredentialsRejected, id="for another user"),
        pytest.param(
            proved(WITHOUT_PROOF, challenge=server_first("clientNONCEserverNONCE", SALT, 1)),
            CredentialsRejected,
            id="for another challenge",
        ),
    ],
)
def test_a_server_refuses_a_last_message(final, error):
    server = challenged_server()
    with pytest.raises(REFUSALS) as refusal:
        server.respond(final)
    assert type(refusal.value) is error
    assert_tells_nothing(refusal.value)
    assert_over(server)


@pytest.mark.parametrize("answer", [b"x", b"\0", b"v=", RIGHT, None])
def test_a_server_takes_nothing_but_an_empty_answer_to_its_proof(answer):
    server = challenged_server()
    server.respond(RIGHT)
    with pytest.raises(MechanismError):
        server.respond(answer)
    assert_over(server)


def asked_server():
    server = scram_server()
    assert server.respond(None) == b""
    return server


@pytest.mark.parametrize("begin", [asked_server, challenged_server])
def test_a_server_refuses_a_response_that_is_missing(begin):
    server = begin()
    with pytest.raises(MechanismError):
        server.respond(None)
    assert_over(server)


def assert_over(server):
    for response in (b"", FIRST, RIGHT, None):
        with pytest.raises(MechanismError):
            server.respond(response)


def test_a_proof_holds_for_one_exchange():
    for nonce in ("serverNONCF", "x"):
        server = scram_server(nonce=nonce)
        server.respond(FIRST)
        with pytest.raises(CredentialsRejected):
            server.respond(RIGHT)


def test_the_keys_of_a_server_prove_nothing_to_it():
    for key in (KEYS.stored_key, KEYS.server_key):
        signature = HASH.hmac(KEYS.stored_key, SIGNED)
        with pytest.raises(CredentialsRejected):
            challenged_server().respond(WITHOUT_PROOF + b",p=" + base64.b64encode(xor(key, signature)))


# ---------------------------------------------------------------------------------- channel bindings


def test_a_server_notices_that_the_plus_was_hidden_from_the_client():
    client = scram_client(unannounced=True)
    server = ScramServer("SHA-256", lambda _user: pytest.fail("asked"), nonce="serverNONCE", plus_announced=True)
    with pytest.raises(CredentialsRejected) as refusal:
        server.respond(client.initial_response)
    assert_over(server)
    assert_tells_nothing(refusal.value)


def test_nobody_hides_from_the_server_that_the_client_could_bind():
    client, server = scram_client(unannounced=True), scram_server(plus_announced=True)
    challenge = server.respond(b"n" + client.initial_response[1:])
    with pytest.raises(CredentialsRejected):
        server.respond(client.respond(challenge))


@pytest.mark.parametrize("flag", [b"n", b"y", b"p=tls-unique", b"p=TLS-EXPORTER"])
def test_the_plus_is_for_those_who_bind_to_what_the_server_has(flag):
    server = ScramServer("SHA-256", lambda _user: pytest.fail("asked"), nonce="serverNONCE", bindings=[EXPORTER])
    with pytest.raises(MechanismError):
        server.respond(flag + b",," + BARE)
    assert_over(server)


def test_nobody_takes_the_binding_out_of_an_exchange():
    client, server = scram_client(binding=EXPORTER), scram_server()
    challenge = server.respond(client.initial_response.replace(b"p=tls-exporter", b"n"))
    with pytest.raises(CredentialsRejected):
        server.respond(client.respond(challenge))


def test_a_binding_under_the_name_of_another_is_none():
    other = ChannelBinding("tls-unique", EXPORTER.octets)
    client, server = scram_client(binding=EXPORTER), scram_server(bindings=[other])
    challenge = server.respond(client.initial_response.replace(b"tls-exporter", b"tls-unique"))
    with pytest.raises(CredentialsRejected):
        server.respond(client.respond(challenge))


def test_the_one_in_the_middle_cannot_pass_an_exchange_on():
    """Each half of the way has its own channel; the attacker repeats every octet."""
    client = scram_client(binding=EXPORTER)
    server = scram_server(bindings=[ChannelBinding("tls-exporter", b"the other half")])
    challenge = server.respond(client.initial_response)
    with pytest.raises(CredentialsRejected):
        server.respond(client.respond(challenge))
    assert not client.complete


# --------------------------------------------------------------------------------- any octets at all


def whole_exchange(binding, change):
    """Talk, with every message changed on its way; return whether the server, and the client, came to their end."""
    client = scram_client(authzid="who", binding=binding)
    server = scram_server(bindings=[binding] if binding else [])
    try:
        answer = server.respond(change(0, client.initial_response))
        answer = server.respond(change(2, client.respond(change(1, answer))))
        answer = server.respond(change(4, client.respond(change(3, answer))))
    except REFUSALS as refusal:
        assert_tells_nothing(refusal)
        return False, client.complete
    return isinstance(answer, Identity), client.complete


@pytest.mark.parametrize("binding", [None, EXPORTER])
def test_unchanged_it_succeeds(binding):
    assert whole_exchange(binding, lambda _number, message: message) == (True, True)


@pytest.mark.parametrize("binding", [None, EXPORTER])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_no_changed_bit_goes_unnoticed(number, binding):
    messages = {}
    whole_exchange(binding, messages.setdefault)
    for at in range(len(messages[number]) * 8):

        def flip(now, message, at=at):
            if now != number:
                return message
            changed = bytearray(message)
            changed[at // 8] ^= 1 << at % 8
            return bytes(changed)

        assert whole_exchange(binding, flip) == (False, False)


@given(st.sampled_from([None, EXPORTER]), st.integers(0, 4), st.data())
def test_no_octet_put_in_or_left_out_goes_unnoticed(binding, number, data):
    def change(now, message):
        if now != number:
            return message
        at = data.draw(st.integers(0, len(message)), label="at")
        put_in = data.draw(st.binary(max_size=2), label="put in")
        left_out = data.draw(st.integers(0 if put_in else 1, 2), label="left out")
        changed = message[:at] + put_in + message[at + left_out :]
        return changed if changed != message else message + b"x"

    server_done, client_done = whole_exchange(binding, change)
    assert not server_done
    assert client_done == (number == 4), "the last message is the client's own: it believes the server already"


pieces = st.sampled_from([b"n", b"y", b"p", b"r", b"s", b"i", b"c", b"v", b"e", b"m", b"=", b",", b"1", b"AAAA", b"a"])
anything = st.binary(max_size=40) | st.lists(pieces, max_size=16).map(b"".join)


@given(st.lists(anything, max_size=3), st.integers(0, 2))
def test_any_octets_for_a_client_raise_what_is_documented(messages, right):
    client = scram_client()
    for message in [[], [CHALLENGE], [CHALLENGE, RIGHT_FINAL]][right] + messages:
        try:
            client.respond(message)
        except MechanismError as refusal:
            assert_tells_nothing(refusal)
    assert client.complete == (right == 2 and not messages)


@given(st.lists(anything, max_size=3), st.integers(0, 2))
def test_any_octets_for_a_server_raise_what_is_documented(messages, right):
    server = scram_server()
    for message in [[], [FIRST], [FIRST, RIGHT]][right] + messages:
        try:
            answer = server.respond(message)
        except REFUSALS as refusal:
            assert_tells_nothing(refusal)
        else:
            assert not isinstance(answer, Identity) or (right == 2 and message == b"")


# ------------------------------------------------------------------------------------------- secrets

MARKERS = (
    PASSWORD,
    "NONCE",
    "ursel",
    EXPORTER.octets.decode(),
    *(
        form
        for key in (KEYS.stored_key, KEYS.server_key, HASH.client_key(SALTED), SALTED)
        for form in (repr(key)[2:-1], base64.b64encode(key).decode(), key.hex())
    ),
    RIGHT.partition(b"p=")[2].decode(),
)


def assert_tells_nothing(error):
    """Neither the error nor what came before it holds anything of the exchange."""
    while error is not None:
        shown = f"{error} {error!r} {error.args!r} {vars(error)!r}"
        assert not any(marker in shown for marker in MARKERS)
        assert not isinstance(error, UnicodeError), "it holds what could not be decoded"
        assert error.__cause__ is None
        error = error.__context__


def test_nothing_that_is_printed_holds_a_secret():
    client, server = scram_client(binding=EXPORTER), scram_server(bindings=[EXPORTER])
    server.respond(client.initial_response)
    shown = f"{client!r} {client} {server!r} {server} {KEYS!r} {KEYS} {EXPORTER!r}"
    assert not any(marker in shown for marker in MARKERS)
    assert "stored_key" not in repr(KEYS)


@pytest.mark.parametrize("message", [FIRST, b"n,,n=ursel\xff,r=clientNONCE", b"n,,n=\x07user,r=clientNONCE"])
def test_no_error_holds_what_was_said(message):
    server = challenged_server()
    with pytest.raises(MechanismError) as refusal:
        server.respond(message)
    assert_tells_nothing(refusal.value)


def test_messages_do_not_print_nonces_and_proofs():
    shown = f"{ClientFirst.parse(FIRST)!r} {ServerFirst.parse(CHALLENGE)!r} {ClientFinal.parse(RIGHT)!r}"
    assert not any(marker in shown for marker in MARKERS if marker != "ursel")
