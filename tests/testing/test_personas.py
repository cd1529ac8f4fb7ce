"""Personas: what each is to a client of ours, in memory over each adapter, and over sockets."""

import asyncio
import base64
import inspect
import re
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import attrs
import pytest
import trio

import pop3proto.asyncio
import pop3proto.trio
from pop3proto import PROFILES, Auth, Capabilities, Expire, LoginDelay, Quirk, Top
from pop3proto.blocking import connect, connect_over
from pop3proto.core.errors import MalformedReply, RemoteProtocolError
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.client.login_plan import USER_PASS
from pop3proto.testing import PASSWORD, personas, pop3_in_memory, pop3_server
from pop3proto.testing.faults import (
    HideAfterRetr,
    NoJsonChallenge,
    OldestOnly,
    Refuse,
    Reword,
    Throttle,
    TooEarly,
    faulty,
)
from pop3proto.testing.personas import Persona, PersonaName
from tests.helpers.processes import PATIENCE

pytest_plugins = ["pop3proto.testing.fixtures"]

NAMES = get_args(PersonaName)
MAIL = [b"Subject: %d\n\n.dot\nbody\n" % number for number in range(1, 4)]
WIRE = [message.replace(b"\n", b"\r\n") for message in MAIL]
OCTETS = len(WIRE[0])
TOKENS = {"good": "ann"}
PAGE = (Path(__file__).parents[2] / "docs" / "personas.md").read_text("utf-8")


# -------------------------------------------------------------------------------- one script, three adapters


class Awaited:
    """A blocking client whose methods can be awaited, so that one script serves all."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        value = getattr(self._client, name)
        if name == "login_plan" or not inspect.ismethod(value):
            return value

        async def method(*arguments, **options):
            return value(*arguments, **options)

        return method


def step_through(script):
    with pytest.raises(StopIteration) as ended:
        script.send(None)
    return ended.value.value


def over_blocking(server, script, **options):
    with connect_over(server.socket(), tls="none", cleartext="always", **options) as client:
        return step_through(script(Awaited(client)))


def over_asyncio(server, script, **options):
    async def run():
        transport = server.transport()
        async with pop3proto.asyncio.connect_over(transport, tls="none", cleartext="always", **options) as client:
            return await script(client)

    return asyncio.run(run())


def over_trio(server, script, **options):
    async def run():
        stream = server.stream()
        async with pop3proto.trio.connect_over(stream, tls="none", cleartext="always", **options) as client:
            return await script(client)

    return trio.run(run)


each_adapter = pytest.mark.parametrize("over", [over_blocking, over_asyncio, over_trio])
each_persona = pytest.mark.parametrize("name", NAMES)


# ------------------------------------------------------------------------------------- what a client meets


@attrs.frozen
class Met:
    """What a client meets, with the profile that it needs.

    Args:
        plan: the login methods that it would try, in clear on this machine.
        profile: of quirks, by name.
        tolerated: of these, those that it meets.
        login: what it is told beside the name.
        said: by which verbs it has logged in.
        octets: what is announced for a message.
    """

    plan: list
    profile: str = "strict"
    tolerated: frozenset = frozenset()
    login: dict = attrs.field(factory=lambda: {"password": PASSWORD})
    said: list = attrs.field(factory=lambda: ["USER", "PASS"])
    octets: int = OCTETS


SCRAM = ["SCRAM-SHA-256"]
IGNORED = frozenset({Quirk.NO_PIPELINING})  # it is announced
MET = {
    "gmail": Met(["PLAIN", USER_PASS], "gmail", IGNORED, said=["AUTH PLAIN"]),
    "microsoft365": Met(
        ["XOAUTH2"],
        "microsoft365",
        login={"token": "good", "initial_response": False},
        said=["AUTH XOAUTH2"],
    ),
    "exchange2003": Met([USER_PASS], "exchange", IGNORED, octets=OCTETS + 40),
    "courier": Met(["CRAM-MD5"], "courier", frozenset({Quirk.UIDL_ANY_UNIQUE_ID}), said=["AUTH CRAM-MD5"]),
    "dovecot": Met(SCRAM, said=["AUTH SCRAM-SHA-256"]),
    "cyrus": Met(SCRAM, said=["AUTH SCRAM-SHA-256"]),
    "maillennium": Met([USER_PASS]),
    "qpopper": Met([USER_PASS]),
    "mailpit_2024": Met([USER_PASS]),
}


def test_each_persona_is_met():
    assert set(MET) == set(NAMES) == set(personas.__all__) - {"Persona", "PersonaName"}


def script_of(met):
    async def script(client):
        before = await client.capa()
        secret = {key: met.login[key] for key in met.login if key != "initial_response"}
        plan = client.login_plan("ann", **secret)
        await client.login("ann", **met.login)
        status, sizes, uids = await client.stat(), await client.list(), await client.uidl()
        fetched = [await client.fetch(number) for number in uids]
        return before, [step.name for step in plan.steps], client, status, sizes, uids, fetched

    return script


def check(name, server, result):
    met, persona = MET[name], getattr(personas, name)
    before, plan, client, status, sizes, uids, fetched = result
    after = persona.after_login or persona.capabilities
    known = [each for each in persona.capabilities.sasl if not each.endswith("-PLUS")]  # there is no TLS
    assert before == attrs.evolve(persona.capabilities, sasl=tuple(known))
    assert client.capabilities == attrs.evolve(after, sasl=tuple(known) if after.sasl else ())
    assert plan == met.plan
    assert client.tolerated == met.tolerated
    assert (status.count, status.octets, dict(sizes)) == (3, 3 * met.octets, dict.fromkeys((1, 2, 3), met.octets))
    assert (len({*uids.values()}), uids.unreadable, fetched) == (3, (), WIRE)
    assert persona.options["greeting"].strip() in client.greeting.reply.text
    (session,) = server.sessions
    verbs = [f"AUTH {each.mechanism}" if isinstance(each, Auth) else each.verb for each in session.commands]
    at = verbs.index(met.said[0])
    assert verbs[at : at + len(met.said)] == met.said


@each_adapter
@each_persona
def test_what_a_client_meets(name, over):
    server = pop3_in_memory({"ann": MAIL}, tokens=TOKENS, persona=name)
    check(name, server, over(server, script_of(MET[name]), quirks=PROFILES[MET[name].profile]))


@pytest.mark.deep(keep=5)
@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
@each_persona
def test_over_sockets_it_is_the_same(name, adapter, start_pop3_server):
    server = start_pop3_server({"ann": MAIL}, tokens=TOKENS, persona=name, adapter=adapter)
    with connect(server.host, server.port, tls="none", quirks=PROFILES[MET[name].profile], timeout=PATIENCE) as client:
        check(name, server, step_through(script_of(MET[name])(Awaited(client))))


@contextmanager
def logged_in(server, user="ann", password=PASSWORD, **options):
    with connect_over(server.socket(), tls="none", cleartext="always", **options) as client:
        client.login(user, password)
        yield client


# ------------------------------------------------------------------------------------------------- Gmail


async def take_all(client):
    await client.login("ann", PASSWORD)
    return [await client.fetch(number) for number in await client.uidl()]


@pytest.mark.deep(keep=1)
@each_adapter
def test_gmail_is_emptied_session_by_session(over):
    mail = [b"Subject: %d\n\n" % number for number in range(601)]
    server = pop3_in_memory({"ann": mail}, persona="gmail")
    batches = [over(server, take_all, quirks=PROFILES["gmail"]) for _ in range(4)]
    assert [len(batch) for batch in batches] == [250, 250, 101, 0]
    assert [message for batch in batches for message in batch] == [each.replace(b"\n", b"\r\n") for each in mail]


def test_gmail_hides_only_what_was_retrieved_and_only_after_quit():
    server = pop3_in_memory({"ann": MAIL}, persona="gmail")
    client = server.connect()
    client.login("ann", PASSWORD)
    client.fetch(1)
    client.close()  # no QUIT
    with logged_in(server) as client:
        assert client.stat().count == 3
        client.call(Top(1, 0))
        client.fetch(2)
    with logged_in(server) as client:
        assert client.stat().count == 2
    assert server.messages("ann") == [MAIL[0], MAIL[2]]


@each_adapter
def test_gmail_shows_again_what_is_recent(over):
    async def again(client):
        await client.login("recent:ann", PASSWORD)
        return dict(await client.uidl()), [await client.fetch(number) for number in range(1, 4)]

    server = pop3_in_memory({"ann": MAIL}, persona="gmail")
    assert over(server, take_all) == WIRE
    assert over(server, take_all) == []
    first, second = over(server, again), over(server, again)
    assert first == second
    assert first[1] == WIRE
    server.deliver("ann", b"new\n")
    with logged_in(server, "recent:ann") as client:
        assert client.stat().count == 4
        client.dele(1)
    with logged_in(server) as client:
        assert next(iter(client.uidl().values())) not in first[0].values()
        assert client.fetch(1) == b"new\r\n"
    with logged_in(server, "recent:ann") as client:
        assert client.stat().count == 4


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_gmail_takes_a_token_for_what_is_recent(mechanism):
    server = pop3_in_memory({"ann": MAIL}, tokens={"good": "ann"}, persona="gmail")
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        with pytest.raises(LoginFailed):
            client.login("recent:bob", token="good", only=[mechanism])
        client.login("recent:ann", token="good", only=[mechanism])
        assert client.stat().count == 3
    with pytest.raises(LoginFailed), logged_in(server, "recent:ann", "wrong"):
        pass


def test_gmail_may_find_that_one_comes_too_early():
    server = pop3_in_memory({"ann": MAIL}, persona="gmail", faults=[TooEarly()])
    with logged_in(server) as client:
        assert client.capabilities.login_delay == LoginDelay(300)
        assert client.capabilities.expire == Expire(0)
    with pytest.raises(LoginFailed, match="LOGIN-DELAY"), logged_in(server):
        pass


def test_gmail_in_front_of_another_server():
    small = [OldestOnly(2), HideAfterRetr()]
    with pop3_server({"ann": MAIL}) as server, faulty(server.host, server.port, small) as proxy:
        for expected in (2, 1, 0):
            with connect(proxy.host, proxy.port, tls="none", timeout=PATIENCE) as client:
                assert len(step_through(take_all(Awaited(client)))) == expected


# ----------------------------------------------------------------------------------------- Microsoft 365


@each_adapter
def test_microsoft_takes_no_password(over):
    server = pop3_in_memory({"ann": MAIL}, persona="microsoft365")

    async def script(client):
        await client.login("ann", PASSWORD, initial_response=False)

    with pytest.raises(LoginFailed) as failed:
        over(server, script)
    assert [attempt.reply.text for attempt in failed.value.attempts] == [
        "Authentication failure: unknown user name or bad password."
    ] * 2


@each_adapter
def test_microsoft_refuses_a_token_with_json(over):
    server = pop3_in_memory({"ann": MAIL}, tokens=TOKENS, persona="microsoft365")

    async def script(client):
        await client.login("ann", token="bad", initial_response=False)

    with pytest.raises(LoginFailed) as failed:
        over(server, script)
    (attempt,) = failed.value.attempts
    assert attempt.detail == '{"status":"400","schemes":"Bearer"}'
    assert "[" not in attempt.reply.text
    server = pop3_in_memory({"ann": MAIL}, persona="microsoft365", faults=[NoJsonChallenge()])
    with pytest.raises(LoginFailed) as failed:
        over(server, script)
    assert [attempt.detail for attempt in failed.value.attempts] == [""]


@each_adapter
def test_microsoft_hangs_up_on_an_initial_response(over):
    server = pop3_in_memory({"ann": MAIL}, tokens=TOKENS, persona="microsoft365")

    async def script(client):
        await client.login("ann", token="good")

    with pytest.raises(LoginFailed, match=r"Protocol error\. Connection is closed\. 10"):
        over(server, script)


def test_a_client_that_can_connect_again_finds_out_what_microsoft_wants():
    with (
        pop3_server({"ann": MAIL}, tokens=TOKENS, persona="microsoft365") as server,
        server.connect(timeout=PATIENCE) as client,
    ):
        client.login("ann", token="good")
        assert client.stat().count == 3
        assert len(server.sessions) == 2


@pytest.mark.deep
def test_microsoft_throttles():
    server = pop3_in_memory({"ann": MAIL}, tokens=TOKENS, persona="microsoft365")
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        client.login("ann", token="good", initial_response=False)
        for _ in range(1_000):
            client.fetch(1)
        with pytest.raises(CommandFailed) as failed:
            client.fetch(1)
    assert (failed.value.reply.text, failed.value.code) == ("Server Unavailable. 21", None)


# ------------------------------------------------------------------------------------------ the programs


def test_strictly_the_unique_ids_of_courier_cannot_be_read():
    with logged_in(pop3_in_memory({"ann": MAIL}, persona="courier")) as client:
        listing = client.uidl()
        assert (dict(listing), len(listing.unreadable)) == ({}, 3)
        with pytest.raises(MalformedReply, match="has no valid row"):
            client.uidl_one(1)
        assert client.fetch(1) == WIRE[0]


@pytest.mark.parametrize(
    "name,login,lost",
    [
        ("courier", b"USER ann\r\nPASS tanstaaf\r\n", True),
        ("courier", b"AUTH PLAIN %b\r\n", True),
        ("cyrus", b"USER ann\r\nPASS tanstaaf\r\n", False),
        ("cyrus", b"AUTH PLAIN %b\r\n", True),
        ("dovecot", b"AUTH PLAIN %b\r\n", False),
    ],
)
def test_what_is_lost_behind_a_login(name, login, lost):
    """So a client sends nothing behind one, whatever is announced."""
    session = pop3_in_memory({"ann": MAIL}, persona=name).session()
    session.hear(login.replace(b"%b", base64.b64encode(b"\0ann\0tanstaaf")) + b"STAT\r\n")
    assert (b"+OK 3 " not in session.take()) is lost


@each_adapter
def test_exchange_says_ok_where_it_asks(over):
    async def script(client):
        await client.login("ann", PASSWORD, only=["PLAIN"], initial_response=False)
        return (await client.stat()).count, client.tolerated

    server = pop3_in_memory({"ann": MAIL}, persona="exchange2003")
    with pytest.raises(RemoteProtocolError, match="impostor"):
        over(server, script)
    assert over(server, script, quirks=PROFILES["exchange"]) == (3, {Quirk.OK_AS_CHALLENGE, Quirk.NO_PIPELINING})


@pytest.mark.parametrize("command", ["uidl_one", "list_one"])
@each_adapter
def test_mailpit_lists_all_where_one_is_asked_for(command, over):
    async def script(client):
        await client.login("ann", PASSWORD)
        with pytest.raises(MalformedReply):
            await getattr(client, command)(2)
        await client.noop()

    with pytest.raises(RemoteProtocolError, match=r"the server sent '1 .*' although no command was outstanding"):
        over(pop3_in_memory({"ann": MAIL}, persona="mailpit_2024"), script)


@each_adapter
def test_qpopper_says_good_bye_behind_a_refusal(over):
    async def script(client):
        with pytest.raises(LoginFailed, match=r"\[AUTH\] Password supplied"):
            await client.login("ann", "wrong")
        await client.capa()

    with pytest.raises(RemoteProtocolError, match="signing off"):
        over(pop3_in_memory({"ann": MAIL}, persona="qpopper"), script)


def test_qpopper_has_a_timestamp():
    server = pop3_in_memory({"ann": MAIL}, persona="qpopper")
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        client.login("ann", PASSWORD, only=["APOP"])
    words = r"APOP ann.*\[AUTH\] Password supplied"
    with pytest.raises(LoginFailed, match=words), server.connect() as client:
        client.login("ann", "wrong", only=["APOP"])


@each_adapter
def test_maillennium_cuts_top(over):
    long = b"Subject: long\n\n" + b"x" * 99_000 + b"\n"

    async def script(client):
        await client.login("ann", PASSWORD)
        return await client.call(Top(1, 9)), await client.fetch(1)

    top, whole = over(pop3_in_memory({"ann": [long]}, persona="maillennium"), script)
    assert whole == long.replace(b"\n", b"\r\n")
    assert top == whole[:65_536] + b"\r\n"


def test_dovecot_ends_a_session_of_bad_commands():
    session = pop3_in_memory({"ann": MAIL}, persona="dovecot").session()
    session.hear(b"NOOP\r\n" * 4)
    assert not session.ended
    session.hear(b"NOOP\r\n")
    assert session.ended


def test_cyrus_refuses_what_is_bound_to_tls():
    """A password that is right is refused as if it were wrong, and the same mechanism without binding takes it."""
    with (
        pop3_server({"ann": MAIL}, persona="cyrus", tls="starttls") as server,
        server.connect(timeout=PATIENCE) as client,
    ):
        assert "SCRAM-SHA-256-PLUS" in client.capa().sasl
        client.login("ann", PASSWORD)
        assert client.stat().count == 3
        (refused,) = client.session.attempts
        assert str(refused).startswith("AUTH SCRAM-SHA-256-PLUS")
        assert refused.reply.text == "[AUTH] authenticating: authentication failure"
        heard = [each.mechanism for each in server.sessions[0].commands if isinstance(each, Auth)]
        assert heard == ["SCRAM-SHA-256"], "the fault is in front of the server"


# ----------------------------------------------------------------------------------------- how it is used


def test_what_is_given_wins():
    server = pop3_in_memory(
        {"ann": MAIL}, persona="gmail", greeting="mine", mechanisms=["SCRAM-SHA-256"], announce=without_user
    )
    with logged_in(server) as client:
        assert client.greeting.reply.text == "mine"
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        capabilities = client.capa()
    assert (capabilities.sasl, capabilities.user, capabilities.expire) == (("SCRAM-SHA-256",), False, Expire(0))


def without_user(capabilities):
    return attrs.evolve(capabilities, user=False)


def test_passwords_that_are_given_are_right_for_microsoft_too():
    server = pop3_in_memory({"ann": MAIL, "bob": []}, passwords={"ann": "secret"}, persona="microsoft365")
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        client.login("ann", "secret", initial_response=False)
    with pytest.raises(LoginFailed), connect_over(server.socket(), tls="none", cleartext="always") as client:
        client.login("bob", PASSWORD, initial_response=False)


def test_faults_of_a_test_come_behind_those_of_the_persona():
    later = Reword("PASS", "later")
    with pop3_in_memory({"ann": MAIL}, persona="dovecot", faults=[later]).session() as session:
        session.hear(b"USER ann\r\nPASS tanstaaf\r\n")
        assert session.take().endswith(b"+OK later\r\n")


def test_where_passwords_are_not_shown_they_are_not_announced():
    with connect_over(
        pop3_in_memory({"ann": MAIL}, persona="dovecot", cleartext="never").socket(), tls="none"
    ) as client:
        capabilities = client.capa()
    assert capabilities.user is False
    assert {"PLAIN", "LOGIN", "XOAUTH2"}.isdisjoint(capabilities.sasl)
    assert {"CRAM-MD5", "SCRAM-SHA-256"} <= {*capabilities.sasl}


@pytest.mark.parametrize("name", sorted({*NAMES} - {"exchange2003", "courier"}))
def test_what_is_announced_can_be_used(name):
    """NTLM of Exchange, and CRAM-SHA1 and CRAM-SHA256 of Courier, the test server does not have."""
    server = pop3_in_memory({"ann": MAIL}, passwords={"ann": PASSWORD}, tokens=TOKENS, persona=name)
    with connect_over(server.socket(), tls="none", cleartext="always") as client:
        announced = client.capa().sasl
    for mechanism in announced:
        secret = {"token": "good"} if "OAUTH" in mechanism or "AUTH2" in mechanism else {"password": PASSWORD}
        with connect_over(server.socket(), tls="none", cleartext="always") as client:
            client.login("ann", **secret, only=[mechanism], initial_response=name != "microsoft365")


def test_stls_is_announced_where_tls_can_begin(start_pop3_server):
    server = start_pop3_server({"ann": MAIL}, persona="courier", tls="starttls")
    with connect(server.host, server.port, tls="none", timeout=PATIENCE) as client:
        assert client.capa().stls
    with server.connect(timeout=PATIENCE) as client:
        assert not client.capa().stls
        client.login("ann", PASSWORD)
        assert not client.capa().stls


def test_a_persona_is_changed_or_made():
    small = attrs.evolve(personas.gmail, faults=[OldestOnly(1), *personas.gmail.faults])
    assert small != personas.gmail
    assert isinstance(hash(small), int)
    with logged_in(pop3_in_memory({"ann": MAIL}, persona=small)) as client:
        assert client.stat().count == 1
    own = Persona(capabilities=Capabilities(uidl=True, other=("X-MINE",)), faults=[Refuse("CAPA", times=0)])
    with logged_in(pop3_in_memory({"ann": MAIL}, persona=own)) as client:
        assert "X-MINE" in client.capabilities
        assert not client.capabilities.top
    late = Persona(after_login=Capabilities(top=True, other=("X-LATE",)))
    with logged_in(pop3_in_memory({"ann": MAIL}, persona=late)) as client:
        assert client.capabilities == late.after_login
    with logged_in(pop3_in_memory({"ann": MAIL}, persona=Persona(faults=[Throttle(0)]))) as client:
        assert client.capabilities.top
        with pytest.raises(CommandFailed):
            client.fetch(1)


def test_what_is_recent_is_for_any_persona_and_for_the_store_of_the_kit():
    server = pop3_in_memory({"ann": MAIL}, persona=Persona(has_recent=True))
    for mechanism in ("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "APOP", USER_PASS):
        with connect_over(server.socket(), tls="none", cleartext="always") as client:
            client.login("recent:ann", PASSWORD, only=[mechanism])
            assert client.stat().count == 3
    own = pop3_in_memory(store=MemoryStore({"ann": MAIL}), passwords={"ann": "secret"}, persona="gmail")
    with pytest.raises(LoginFailed), logged_in(own, "recent:ann", "secret"):
        pass
    with logged_in(own, "ann", "secret") as client:
        assert client.stat().count == 3


@pytest.mark.parametrize("wrong", ["gmial", "", "Persona", "__doc__", 3])
def test_what_is_no_persona(wrong):
    with pytest.raises(ValueError, match=r"there is no persona .*; there are courier, cyrus"):
        pop3_in_memory({"ann": MAIL}, persona=wrong)


def test_tokens_are_looked_up_when_they_are_used():
    tokens = {}
    server = pop3_in_memory({"ann": MAIL}, tokens=tokens)
    for expected in (False, True, False):
        with connect_over(server.socket(), tls="none", cleartext="always") as client:
            if expected:
                tokens["late"] = "ann"
                client.login("ann", token="late")
                assert client.stat().count == 3
                tokens.clear()
            else:
                with pytest.raises(LoginFailed):
                    client.login("ann", token="late")


def test_what_the_page_says_of_gmail():
    mail = [b"Subject: %d\n\n" % number for number in range(252)]
    server = pop3_in_memory({"ann": mail}, persona="gmail")
    for count in (250, 250):
        with server.connect() as client:
            client.login("ann", PASSWORD)
            assert client.stat().count == count
            client.fetch(1)
            client.rset()
    assert server.messages("ann") == mail[2:]
    verbs = [command.verb for command in server.sessions[1].commands]
    assert verbs[-6:] == ["LIST", "STAT", "RETR", "RSET", "DELE", "QUIT"]


def test_gmail_refuses_what_a_test_wants():
    for command, refused in (("STAT", b"STAT\r\n"), ("LIST", b"LIST\r\n")):
        with pop3_in_memory({"ann": [b"one\n"]}, persona="gmail", faults=[Refuse(command)]).session() as session:
            session.hear(f"USER ann\r\nPASS {PASSWORD}\r\n".encode())
            session.take()
            session.hear(refused)
            assert session.take().startswith(b"-ERR refused by a fault")


def test_the_page_has_each_persona():
    assert set(re.findall(r"(?m)^\| `(\w+)` ", PAGE)) == set(NAMES)


def test_what_a_good_server_says_differs_in_words_only():
    script = b"USER ann\r\nPASS tanstaaf\r\nLIST\r\nRETR 1\r\nUIDL\r\nTOP 2 1\r\nNOOP\r\nQUIT\r\n"
    plain, dovecot = (pop3_in_memory({"ann": MAIL}, persona=each).session() for each in (None, "dovecot"))
    for session in (plain, dovecot):
        session.hear(script)
        assert session.ended
    assert plain.take().count(b"\r\n") == dovecot.take().count(b"\r\n")
