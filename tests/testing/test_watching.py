"""A server that watches its clients, and reports what they do that they must not."""

import poplib
import re
import socket
import ssl
from pathlib import Path

import pytest

from pop3proto.blocking import connect
from pop3proto.core.commands import Capa, Dele, Noop, Quit, Stat
from pop3proto.testing import PASSWORD, ClientRule, Offence, OffencesFound, pop3_in_memory, pop3_server
from pop3proto.testing.faults import Cut, Drip, SplitEvery
from tests.helpers.processes import PATIENCE

MAIL = [b"Subject: one\n\none\n", b"Subject: two\n\ntwo\n"]
PAGE = Path(__file__).parents[2] / "docs" / "watching.md"
LOGIN = (b"USER ann\r\n", b"PASS tanstaaf\r\n")


def said(*pieces: bytes, **options: object) -> list[Offence]:
    """What a client has done that says these pieces, each behind the answer to the one before, and hangs up."""
    server = pop3_in_memory({"ann": MAIL}, watch=True, **options)  # type: ignore[arg-type]
    with server.session() as session:
        for piece in pieces:
            session.hear(piece)
            session.take()
    return list(server.sessions[0].offences)


def rules(*pieces: bytes, **options: object) -> list[ClientRule]:
    return [offence.rule for offence in said(*pieces, **options)]


CAPA = b"CAPA\r\n"
QUIT = b"QUIT\r\n"


@pytest.mark.parametrize(
    "pieces, expected",
    [
        ((*LOGIN, QUIT), []),
        ((CAPA, *LOGIN, b"STAT\r\nLIST\r\n", QUIT), []),
        ((*LOGIN, b"STAT\r\nLIST\r\n", QUIT), [ClientRule.PIPELINED]),
        ((*LOGIN, b"RETR 1\r\nRETR 2\r\nNOOP\r\n", QUIT), [ClientRule.PIPELINED] * 2),
        ((CAPA, LOGIN[0] + LOGIN[1], QUIT), []),  # RFC 2449 section 6.6 allows it
        ((CAPA, LOGIN[0], LOGIN[1] + b"STAT\r\n", QUIT), [ClientRule.BEHIND_LOGIN]),
        ((*LOGIN, b"QUIT\r\nNOOP\r\n"), [ClientRule.BEHIND_QUIT]),
        ((*LOGIN,), [ClientRule.NO_QUIT]),
        ((), []),
        (LOGIN[:1], []),
        ((b"USER " + 250 * b"x" + b"\r\n",), [ClientRule.TOO_LONG]),
        ((b"CAPA\n",), [ClientRule.BARE_LF]),
        ((b"capa\r\n", *LOGIN, QUIT), [ClientRule.LOWER_CASE]),
        ((b"XYZZ\r\n", b"RETR\r\n", b"STAT 1\r\n"), [ClientRule.MALFORMED] * 3),
        ((b"STAT\r\n",), [ClientRule.ILLEGAL]),
        ((b"PASS x\r\n",), [ClientRule.ILLEGAL]),
        ((LOGIN[0], CAPA), [ClientRule.BEHIND_USER]),
        ((LOGIN[0], LOGIN[0]), [ClientRule.BEHIND_USER]),
        ((LOGIN[0], QUIT), []),
        ((CAPA, b"USER ann\r\nCAPA\r\n"), [ClientRule.BEHIND_USER]),
        ((*LOGIN, *LOGIN, QUIT), [ClientRule.ILLEGAL] * 2),
        ((b"AUTH PLAIN AGFubgB0YW5zdGFhZg==\r\n", QUIT), [ClientRule.UNANNOUNCED_RESPONSE]),
        ((CAPA, b"AUTH PLAIN AGFubgB0YW5zdGFhZg==\r\n", QUIT), []),
        ((CAPA, b"AUTH PLAIN\r\n", b"AGFubgB0YW5zdGFhZg==\r\n", b"STAT\r\n", QUIT), []),
        ((CAPA, b"AUTH PLAIN\r\n", b"*\r\n", *LOGIN, QUIT), []),
        ((*LOGIN, b"DELE 1\r\n", QUIT), [ClientRule.DELETED_UNREAD]),
        ((*LOGIN, b"TOP 1 0\r\n", b"DELE 1\r\n", QUIT), [ClientRule.DELETED_UNREAD]),
        ((*LOGIN, b"RETR 1\r\n", b"DELE 1\r\n", QUIT), []),
        ((*LOGIN, b"TOP 1 99999999\r\n", b"DELE 1\r\n", QUIT), []),
        ((*LOGIN, b"TOP 1 2\r\n", b"DELE 1\r\n", QUIT), []),  # its body has one line
        ((*LOGIN, b"TOP 1 1\r\n", b"DELE 1\r\n", QUIT), [ClientRule.DELETED_UNREAD]),  # it cannot know that
        ((CAPA, *LOGIN, b"RETR 1\r\nDELE 1\r\n", QUIT), []),
        ((CAPA, *LOGIN, b"RETR 1\r\nDELE 1\r\nQUIT\r\n"), [ClientRule.DELETED_UNREAD]),  # before it has come
        ((*LOGIN, b"DELE 1\r\n", b"RSET\r\n", QUIT), []),
        ((*LOGIN, b"DELE 1\r\n", b"DELE 1\r\n", QUIT), [ClientRule.DELETED_UNREAD]),
        ((*LOGIN, b"DELE 9\r\n", QUIT), []),
        ((*LOGIN, b"DELE " + 5000 * b"9" + b"\r\n", QUIT), [ClientRule.TOO_LONG, ClientRule.MALFORMED]),
        ((*LOGIN, b"DELE 1\r\n"), [ClientRule.NO_QUIT]),
    ],
)
def test_offences(pieces, expected):
    assert rules(*pieces) == expected


def test_a_command_that_comes_in_pieces_is_none():
    assert rules(*(bytes([octet]) for octet in b"".join((CAPA, *LOGIN, b"STAT\r\n", QUIT)))) == []


def test_check_raises_one_error_with_all_offences():
    server = pop3_in_memory({"ann": MAIL}, watch=True)
    server.check()
    with server.session() as session:
        session.hear(b"STAT\r\n")
    with server.session() as session:
        for line in LOGIN:
            session.hear(line)
    with pytest.raises(OffencesFound) as caught:
        server.check()
    assert [offence.rule for offence in caught.value.offences] == [ClientRule.ILLEGAL, ClientRule.NO_QUIT]
    assert str(caught.value).splitlines() == [
        "offences of clients: 2",
        f"  session 1: 'STAT': {ClientRule.ILLEGAL.text}",
        f"  session 2: {ClientRule.NO_QUIT.text}",
    ]
    server.check(allow={ClientRule.ILLEGAL, ClientRule.NO_QUIT})


def test_only_some_rules():
    server = pop3_in_memory({"ann": MAIL}, watch={ClientRule.LOWER_CASE})
    with server.session() as session:
        session.hear(b"stat\r\n")
    assert [offence.rule for offence in server.sessions[0].offences] == [ClientRule.LOWER_CASE]


@pytest.mark.parametrize("given", ["NO_QUIT", ["NO_QUIT"], {"NO_QUIT"}, {ClientRule.NO_QUIT, None}, ClientRule.NO_QUIT])
def test_what_is_no_rule_is_refused(given):
    with pytest.raises(TypeError, match=r"^watch= takes a collection of members of ClientRule, not .*; .* NO_QUIT"):
        pop3_in_memory({"ann": MAIL}, watch=given)
    with pytest.raises(TypeError, match=r"^allow= takes .*; there are BEFORE_GREETING, "):
        pop3_in_memory({"ann": MAIL}, watch=True).check(allow=given)


def test_the_values_of_rules_are_short_names():
    assert all(rule.value == rule.name.lower().replace("_", "-") for rule in ClientRule)
    assert ClientRule("no-quit") is ClientRule.NO_QUIT


def test_a_session_has_one_number_its_place_in_sessions():
    for _ in range(2):  # sessions of another server do not count
        with pop3_server({"ann": MAIL}, watch=True) as server:
            for _ in range(2):
                with socket.create_connection((server.host, server.port), 60) as sock:
                    assert sock.recv(100)
                    sock.sendall(b"stat\r\n")
                    assert sock.recv(100)
            for session in server.sessions:
                session.wait(PATIENCE)
            with pytest.raises(OffencesFound) as caught:
                server.check(allow={ClientRule.ILLEGAL})
            assert [repr(session).partition(",")[0] for session in server.sessions] == ["<session 1", "<session 2"]
            numbered = [line.partition(":")[0] for line in str(caught.value).splitlines()[1:]]
            assert numbered == ["  session 1", "  session 2"]


def test_without_watching():
    server = pop3_in_memory({"ann": MAIL})
    with server.session() as session:
        session.hear(b"stat\r\n")
    assert list(server.sessions[0].offences) == []
    with pytest.raises(TypeError, match="watch=True"):
        server.check()


def test_dele_of_what_an_earlier_session_has_retrieved_is_none():
    server = pop3_in_memory({"ann": MAIL}, watch=True)
    for lines in ((*LOGIN, b"RETR 1\r\n", QUIT), (*LOGIN, b"DELE 1\r\n", QUIT)):
        with server.session() as session:
            for line in lines:
                session.hear(line)
    server.check()


@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_our_client_does_nothing_of_that(adapter, tls):
    with pop3_server({"ann": MAIL}, adapter=adapter, tls=tls, watch=True) as server:
        with server.connect() as client:
            client.login("ann", PASSWORD)
            assert [number for number, _ in client.retrieve([1, 2])] == [1, 2]
            client.call_all([Dele(1), Stat(), Noop()])
        server.sessions[0].wait(PATIENCE)
        server.check()
        assert server.sessions[0].commands[-1] == Quit()


@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
def test_a_command_before_the_greeting(adapter):
    with pop3_server({"ann": MAIL}, adapter=adapter, watch=True) as server:
        with socket.create_connection((server.host, server.port), 60) as sock:
            sock.sendall(b"CAPA\r\n")
            with sock.makefile("rb") as answers:
                assert answers.readline().startswith(b"+OK POP3 server ready")
                while answers.readline() != b".\r\n":
                    pass
                sock.sendall(b"QUIT\r\n")
                assert answers.readline() == b"+OK bye\r\n"
        server.sessions[0].wait(PATIENCE)
        assert [offence.rule for offence in server.sessions[0].offences] == [ClientRule.BEFORE_GREETING]
        assert Capa() in server.sessions[0].commands


@pytest.mark.parametrize("octets", [b"STLS\r\nCAPA\r\n", b"STLS\r\nCA"])
def test_octets_behind_stls(octets):
    with pop3_server({"ann": MAIL}, tls="starttls", watch=True) as server:
        with socket.create_connection((server.host, server.port), 60) as sock:
            assert sock.recv(100)
            sock.sendall(octets)
            while sock.recv(100):
                pass
        server.sessions[0].wait(PATIENCE)
        assert [offence.rule for offence in server.sessions[0].offences] == [ClientRule.BEHIND_STLS]


def test_a_password_in_clear_where_there_is_tls():
    with pop3_server({"ann": MAIL}, tls="starttls", watch=True) as server:
        mailbox = poplib.POP3(server.host, server.port, timeout=60)
        mailbox.user("ann")
        mailbox.pass_(PASSWORD)
        mailbox.quit()
        server.sessions[0].wait(PATIENCE)
        assert [offence.rule for offence in server.sessions[0].offences] == [ClientRule.CLEAR_PASSWORD]
        mailbox = poplib.POP3(server.host, server.port, timeout=60)
        context: ssl.SSLContext = server.client_context
        mailbox.stls(context)
        mailbox.user("ann")
        mailbox.pass_(PASSWORD)
        mailbox.quit()
        server.sessions[1].wait(PATIENCE)
        assert list(server.sessions[1].offences) == []


def test_what_was_announced_before_tls_counts_no_more():
    with pop3_server({"ann": MAIL}, tls="starttls", watch=True) as server:
        mailbox = poplib.POP3(server.host, server.port, timeout=60)
        mailbox.capa()
        mailbox.stls(server.client_context)
        mailbox.sock.sendall(b"USER ann\r\nPASS tanstaaf\r\n")
        assert mailbox.file.readline()
        assert mailbox.file.readline()
        mailbox.quit()
        server.sessions[0].wait(PATIENCE)
        assert [offence.rule for offence in server.sessions[0].offences] == [ClientRule.PIPELINED]


@pytest.mark.parametrize("fault", [Drip(octets=7, every=0), SplitEvery(1)])
def test_together_with_faults(fault):
    """The watch is at the client's end of the faulty line."""
    with pop3_server({"ann": MAIL}, faults=[fault], watch=True) as server:
        with connect(server.host, server.port, tls="none") as client:
            client.login("ann", PASSWORD)
            list(client.retrieve([1, 2]))
        server.sessions[0].wait(PATIENCE)
        server.check()


def test_a_message_that_was_cut_off_was_not_retrieved():
    server = pop3_in_memory({"ann": MAIL}, faults=[Cut(after="RETR 1", octets=5)], watch=True)
    with server.session() as session:
        for line in (*LOGIN, b"RETR 1\r\n"):
            session.hear(line)
    with server.session() as session:
        for line in (*LOGIN, b"DELE 1\r\n", QUIT):
            session.hear(line)
    assert ClientRule.DELETED_UNREAD in [offence.rule for offence in server.sessions[1].offences]


def test_the_page_has_all_rules():
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(rule.name, rule.text) for rule in ClientRule]
