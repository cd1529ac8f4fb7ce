"""The dialogues that the RFCs print, and a few of other makers, through both connections at once.

`tests/data/dialogues.json` has them: who said what ("C", "S"; "S_BODY" stands for a message that is not printed), in
which state it began and, where that is known, ended; CONNECT is the state before the greeting. What the server reads
the client sends, and the other way round: so both must come to the very octets that stand there.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pop3proto.core.capabilities import Capabilities, Expire
from pop3proto.core.commands import Apop, Auth, Stls
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.events import NEED_DATA, PAUSED, Answer, AuthResponse, BadCommand, BodyChunk, ConnectionClosed
from pop3proto.core.replies import Err
from pop3proto.core.states import State
from tests.helpers.sessions import client_in, in_pieces, server_in, take

DIALOGUES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "dialogues.json").read_text("utf-8")
)
BY_ID = {dialogue["id"]: dialogue for dialogue in DIALOGUES}
FRAGMENTS = [dialogue for dialogue in DIALOGUES if "fragment" in dialogue]
# The client of one is refused by our own client, the other's sends what is no base64: they have tests of their own.
SPECIAL = {"2595-stls-active", "xoauth2-ms-pop-err"}
SESSIONS = [dialogue for dialogue in DIALOGUES if dialogue not in FRAGMENTS and dialogue["id"] not in SPECIAL]

# Messages in the place of those that are not printed, in order. The session's have the sizes that it announces.
BODIES = {
    "1939-retr": [b"Subject: x\r\n\r\n.\r\n..\r\n"],
    "1939-top": [b"Subject: x\r\n\r\n"],
    "1939-session": [b"Subject: 1\r\n\r\n" + b".2345678\r\n" * 10 + b"3456\r\n", b"x" * 198 + b"\r\n"],
}
# What follows by the note where a dialogue stops halfway.
CONTINUED = {"xoauth2-google-pop-err": [["C", "\r\n"], ["S", "-ERR [AUTH] Web login required\r\n"]]}
# Some servers leave out the blank of an empty challenge; ours sends it (RFC 5034 section 4).
NOT_OURS = {b"+\r\n": b"+ \r\n"}


def steps_of(dialogue):
    """(who, octets) of each step that goes over the wire, messages filled in, and "TLS" for a handshake."""
    bodies = iter(BODIES.get(dialogue["id"], ()))
    steps = []
    for who, text in dialogue["steps"] + CONTINUED.get(dialogue["id"], []):
        if who == "S_BODY":
            steps.append(("S", (b"\r\n" + next(bodies)).replace(b"\r\n.", b"\r\n..")[2:]))
        elif who != "NOTE":
            steps.append((who, text.encode()))
    assert next(bodies, None) is None
    return steps


def joined(events):
    """The events, neighbouring chunks of a body as one."""
    result = []
    for event in events:
        if isinstance(event, BodyChunk) and result and isinstance(result[-1], BodyChunk):
            result[-1] = BodyChunk(result[-1].data + event.data)
        else:
            result.append(event)
    return result


def talk(client, server, steps, cut):
    """Let two connections have a dialogue; each sends what the other has read, which must be the same octets."""
    for who, octets in steps:
        if who == "TLS":
            assert (client.next_event(), server.next_event()) == (PAUSED, PAUSED)
            client.tls_established()
            server.tls_established()
        elif who == "C":
            [event, signal] = take(server, *cut(octets))
            assert signal is PAUSED
            assert client.send(event) == octets
        else:
            *events, _ = joined(take(client, *cut(octets)))
            items = [event.reply if isinstance(event, Answer) else event for event in events]
            assert b"".join(map(server.send, items)) == NOT_OURS.get(octets, octets)


def whole(octets):
    return in_pieces(octets)[0]


def one_at_a_time(octets):
    return in_pieces(octets)[1]


def starts():
    """Each dialogue with each state that it may begin in."""
    for dialogue in SESSIONS:
        names = dialogue["state"].replace("CONNECT", "GREETING").split(" or ")
        for name in names:
            yield pytest.param(dialogue, State[name], id=dialogue["id"] + (f" in {name}" if len(names) > 1 else ""))


@pytest.mark.parametrize("cut", [whole, one_at_a_time])
@pytest.mark.parametrize("dialogue, state", [*starts()])
def test_both_connections_have_the_dialogue(dialogue, state, cut):
    steps = steps_of(dialogue)
    tls = "TLS" in dialogue.get("precondition", "")
    if steps[0][0] == "TLS":
        tls = True
        del steps[0]
    client, server = client_in(state, tls=tls), server_in(state, tls=tls)
    talk(client, server, steps, cut)
    assert client.state is server.state
    assert client.outstanding == ()
    assert client.tls is server.tls is (tls or "TLS" in dict(steps))
    if "end_state" in dialogue:
        assert client.state is State[dialogue["end_state"]]


def test_every_dialogue_is_had():
    assert len(DIALOGUES) == 66
    assert len(FRAGMENTS) + len(SPECIAL) + len(SESSIONS) == 66
    assert {dialogue["id"] for dialogue in DIALOGUES if dialogue.get("placeholder")} == BODIES.keys()


def test_the_messages_of_the_session_have_the_sizes_that_it_announces():
    assert list(map(len, BODIES["1939-session"])) == [120, 200]


def test_the_session_ends_with_the_end_of_stream():
    client, server = client_in(State.GREETING), server_in(State.GREETING)
    talk(client, server, steps_of(BY_ID["1939-session"]), whole)
    assert take(client, b"") == take(server, b"") == [ConnectionClosed(), ConnectionClosed()]


@pytest.mark.parametrize("name", ["1939-apop", "1939-session"])
def test_the_digest_is_that_of_the_timestamp_and_the_secret(name):
    dialogue = BY_ID[name]
    (_, greeting), (_, apop), *_ = steps_of(dialogue)
    [event, _] = take(client_in(State.GREETING), greeting)
    digest = hashlib.md5((event.timestamp + dialogue["secret"]).encode(), usedforsecurity=False).hexdigest()
    assert take(server_in(State.AUTHORIZATION), apop) == [Apop("mrose", digest), PAUSED]


@pytest.mark.parametrize("cut", [whole, one_at_a_time])
def test_stls_while_tls_is_active(cut):
    (_, stls), (_, answer) = steps_of(BY_ID["2595-stls-active"])
    client, server = client_in(State.AUTHORIZATION, tls=True), server_in(State.AUTHORIZATION, tls=True)
    reason = "STLS is not legal because TLS is already active"
    with pytest.raises(LocalProtocolError, match=reason):
        client.send(Stls())
    assert take(server, *cut(stls)) == [BadCommand(b"STLS", reason, Err(reason)), PAUSED]
    assert server.send(Err("Command not permitted when TLS active")) == answer
    assert server.state is State.AUTHORIZATION


@pytest.mark.parametrize("cut", [whole, one_at_a_time])
def test_a_response_that_lacks_its_padding(cut):
    dialogue = BY_ID["xoauth2-ms-pop-err"]
    *steps, (_, response), (_, answer) = steps_of(dialogue)
    client, server = client_in(State.AUTHORIZATION), server_in(State.AUTHORIZATION)
    talk(client, server, steps, cut)
    assert len(response) % 4 == 1  # CRLF included: one octet of base64 is missing
    token = b"user=someuser@example.com\1auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\1\1"
    assert client.send(AuthResponse(token)) == response.replace(b"=\r\n", b"==\r\n")
    reason = "the response is not valid base64"
    assert take(server, *cut(response)) == [BadCommand(response[:-2], reason, Err(reason)), PAUSED]
    [event, signal] = take(client, *cut(answer))
    assert (event.command, signal) == (Auth("XOAUTH2"), NEED_DATA)
    assert server.send(event.reply) == answer
    assert client.state is server.state is State[dialogue["end_state"]]


@pytest.mark.parametrize("dialogue", FRAGMENTS, ids=lambda dialogue: dialogue["id"])
def test_a_fragment_is_a_capability(dialogue):
    [(_, line)] = steps_of(dialogue)
    expire = {
        b"EXPIRE 5 USER\r\n": Expire(5, per_user=True),
        b"EXPIRE 30\r\n": Expire(30),
        b"EXPIRE NEVER\r\n": Expire(None),
        b"EXPIRE 0\r\n": Expire(0),
    }[line]
    assert Capabilities.parse(line) == Capabilities(expire=expire)
    assert Capabilities(expire=expire).encode() == line
    client, server = client_in(State.TRANSACTION), server_in(State.TRANSACTION)
    talk(client, server, [("C", b"CAPA\r\n"), ("S", b"+OK\r\n" + line + b".\r\n")], one_at_a_time)
