"""SASL PLAIN (RFC 4616), both roles."""

import base64
import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import Pop3Error
from pop3proto.sasl import ClientMechanism, MechanismError, PlainClient, PlainCredentials

VECTORS = json.loads((Path(__file__).parent / "data" / "sasl_plain.json").read_text("utf-8"))
SECRET = "tanstaaftanstaaf"

characters = st.characters(codec="utf-8", exclude_characters="\0\r\n")
parts = st.text(characters, min_size=1)
credentials = st.builds(PlainCredentials, parts, parts, st.text(characters))


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["id"]) for vector in VECTORS])
class TestVectors:
    def test_a_client_says_it(self, vector):
        client = PlainClient(**vector["inputs"])
        [message] = vector["messages"]
        assert client.initial_response == bytes.fromhex(message["raw_hex"])
        assert base64.b64encode(client.initial_response).decode() == message["base64"]

    def test_a_server_understands_it(self, vector):
        [message] = vector["messages"]
        parsed = PlainCredentials.parse(base64.b64decode(message["base64"]))
        assert attrs.asdict(parsed) == vector["inputs"]


def test_there_are_vectors():
    assert len(VECTORS) == 5


@given(credentials)
def test_a_server_understands_what_a_client_says(given_credentials):
    assert PlainCredentials.parse(given_credentials.encode()) == given_credentials


@given(credentials)
def test_the_client_says_what_its_credentials_are(given_credentials):
    client = PlainClient(given_credentials.authcid, given_credentials.password, given_credentials.authzid)
    assert client.initial_response == given_credentials.encode()


@given(st.binary() | st.lists(st.binary(max_size=5), max_size=5).map(b"\0".join))
def test_any_octets_are_credentials_or_refused(octets):
    try:
        parsed = PlainCredentials.parse(octets)
    except MechanismError:
        return
    assert parsed.encode() == octets


def test_the_name_comes_before_the_password_and_the_other_name_first_of_all():
    assert PlainCredentials.parse(b"who\0ann\0secret") == PlainCredentials("ann", "secret", authzid="who")
    assert PlainCredentials("ann", "secret", "who").encode() == b"who\0ann\0secret"


def test_without_another_name_the_first_part_is_empty():
    assert PlainCredentials("ann", "secret").encode() == b"\0ann\0secret"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"ann\0secret", id="two parts"),
        pytest.param(b"\0ann\0secret\0", id="four parts"),
        pytest.param(b"\0\0secret", id="no name"),
        pytest.param(b"\0ann\0", id="no password"),
        pytest.param(b"\0an\xffn\0secret", id="not UTF-8"),
        pytest.param(b"\0an\xed\xa0\x80n\0secret", id="a surrogate"),
        pytest.param(b"\0ann\0sec\rret", id="CR in the password"),
        pytest.param(b"\0an\nn\0secret", id="LF in the name"),
        pytest.param(b"w\nho\0ann\0secret", id="LF in the other name"),
    ],
)
def test_a_server_refuses(octets):
    with pytest.raises(MechanismError) as refusal:
        PlainCredentials.parse(octets)
    assert "\n" not in str(refusal.value), "it becomes the text of a reply"
    assert "\r" not in str(refusal.value)


@pytest.mark.parametrize("part", ["authcid", "password", "authzid"])
@pytest.mark.parametrize("text", ["a\0b", "a\rb", "a\nb", "a\ud800b"])
def test_a_part_that_cannot_be_said_is_refused(part, text):
    with pytest.raises(MechanismError):
        PlainCredentials(**({"authcid": "ann", "password": "secret"} | {part: text}))


@pytest.mark.parametrize("name,password", [("", "secret"), ("ann", "")])
def test_name_and_password_must_not_be_empty(name, password):
    with pytest.raises(MechanismError):
        PlainCredentials(name, password)
    with pytest.raises(MechanismError):
        PlainClient(name, password)


def test_a_mechanism_error_is_one_of_ours():
    assert issubclass(MechanismError, Pop3Error)


def test_the_client_is_a_mechanism_that_begins():
    client: ClientMechanism = PlainClient("ann", SECRET)
    assert client.name == "PLAIN"
    assert client.initial_response is not None


@pytest.mark.parametrize("challenge", [b"", b"anything"])
def test_the_client_has_one_message_only(challenge):
    with pytest.raises(MechanismError):
        PlainClient("ann", SECRET).respond(challenge)


def test_secrets_are_not_shown():
    marked = PlainCredentials("ann", SECRET)
    shown = [repr(marked), str(marked), repr(PlainClient("ann", SECRET)), str(PlainClient("ann", SECRET))]
    for bad in (f"{SECRET}\n", f"{SECRET}\ud800"):
        with pytest.raises(MechanismError) as refusal:
            PlainCredentials("ann", bad)
        shown += [repr(refusal.value), str(refusal.value)]
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
    for octets in (SECRET.encode(), SECRET.encode() + b"\xff"):
        with pytest.raises(MechanismError) as refusal:
            PlainCredentials.parse(octets)
        shown += [repr(refusal.value), str(refusal.value)]
    assert "ann" in repr(marked)
    assert not any(SECRET in text for text in shown)
