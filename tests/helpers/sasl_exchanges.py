"""Exchanges of SASL mechanisms without a connection, and the vectors that they are played from."""

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from pop3proto.sasl.mechanism import ClientMechanism, Identity, MechanismError, ServerMechanism
from pop3proto.sasl.saslprep import prepare

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "sasl_vectors.json").read_text("utf-8"))

SECRET = "tanstaaftanstaaf"


def vectors(mechanism):
    """The vectors of a mechanism, as parameters of a test."""
    return [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["mechanism"] == mechanism]


def octets_of(vector, direction):
    """What one side says in a vector: "C" or "S"."""
    return [bytes.fromhex(message["raw_hex"]) for message in vector["messages"] if message["dir"] == direction]


def exchange(client: ClientMechanism, server: ServerMechanism, *, two_steps: bool = False) -> Identity:
    """Let both talk until the server knows who it is; with two steps, the server asks for the initial response."""
    step = server.respond(None if two_steps else client.initial_response)
    if two_steps and client.initial_response is not None:
        assert step == b""
        step = server.respond(client.initial_response)
    while not isinstance(step, Identity):
        assert client.initial_response is not None or not client.complete
        step = server.respond(client.respond(step))
    assert client.complete
    return step


def assert_over(server):
    """Nothing more can be made of it."""
    for response in (None, b"", b"\1", b"\0ann\0secret"):
        with pytest.raises(MechanismError):
            server.respond(response)


def assert_without_secret(error, *secrets):
    """An error shows no secret, and keeps none in what it came from."""
    while error is not None:
        shown = f"{error!r} {error} {vars(error)!r} {getattr(error, 'object', '')!r}"
        assert not any(secret in shown for secret in secrets)
        error = error.__cause__ or error.__context__


def _is_preparable(text):
    try:
        return bool(prepare(text, stored=False))
    except MechanismError:
        return False


_characters = st.characters(codec="utf-8", exclude_categories=["Cc"])
_texts = (
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1)
    | st.text(st.sampled_from("aZ09 =,@<>äßªⅨé\u0301\u00ad\u00a0\u3000½ﬁ漢한"), min_size=1)
    | st.text(st.sampled_from("אבש\u0627\u0628"), min_size=1)
    | st.text(_characters, min_size=1)
)

names = _texts.filter(_is_preparable)
"""Names that a server takes."""

passwords = names
"""Passwords that a server takes."""

sayable = _texts
"""What a client says; a server need not take it."""

tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
