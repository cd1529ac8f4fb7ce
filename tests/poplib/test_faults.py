"""The ten faults of the standard library's `poplib` that `docs/poplib.md` names: it has each, and ours has none.

Each test shows both in one run. Where a later Python has mended one of them, the test says since when.
"""

import inspect
import poplib as theirs
import re
import ssl
import sys

import pytest

from pop3proto import poplib as ours
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import Stall
from tests.helpers.dialogues import talking, talking_tls
from tests.helpers.snippets import DOCS

LONG = b"x" * 4_000


def answers(**by_verb):
    return {verb.encode(): answer for verb, answer in by_verb.items()}


def test_1_a_long_line_ends_the_session():
    dialogue = answers(RETR=b"+OK\r\n" + LONG + b"\r\nend\r\n.\r\n", DELE=b"+OK deleted\r\n")
    with talking(theirs.POP3, dialogue) as (client, _):
        with pytest.raises(theirs.error_proto, match="line too long"):
            client.retr(1)
        with pytest.raises(theirs.error_proto):
            client.dele(2)  # the rest of the line passes for the answer
    with talking(ours.POP3, dialogue) as (client, _):
        assert client.retr(1) == (b"+OK", [LONG, b"end"], len(LONG) + 7)
        assert client.dele(2) == b"+OK deleted"


# Faults of what comes: in clear and under TLS, of each method, and however it is cut into segments.

CUTS = {"at once": 0, "in segments of 1": 1, "in segments of 3": 3}


@pytest.fixture(params=["POP3", "POP3_SSL"])
def connected(request):
    """Makes a context manager: a client of a module, talking to a dialogue of these answers, in clear or under TLS."""
    return talking if request.param == "POP3" else talking_tls


@pytest.fixture(params=CUTS)
def cut(request):
    """Makes an answer of octets, which come cut."""
    size = CUTS[request.param]

    def cut(octets):
        if not size:
            return octets
        return [piece for at in range(0, len(octets), size) for piece in (octets[at : at + size], 0.0005)]

    return cut


LONG_ANSWERS = {
    "RETR": lambda client: client.retr(1),
    "TOP": lambda client: client.top(1, 9),
    "LIST": lambda client: client.list(),
    "UIDL": lambda client: client.uidl(),
}


@pytest.mark.parametrize("verb", LONG_ANSWERS)
def test_2_a_dot_between_two_lfs_ends_a_message(connected, cut, verb):
    """Whoever writes the message chooses what the program takes for the server's next answers."""
    body = b"one\n.\n+OK 0 0\r\ntwo\r\n.\r\n"
    dialogue = answers(**{verb: cut(b"+OK\r\n" + body)}, STAT=b"+OK 7 700\r\n")
    with connected(theirs.POP3, dialogue) as (client, _):
        assert LONG_ANSWERS[verb](client)[1] == [b"one"]
        assert client.stat() == (0, 0)
    with connected(ours.POP3, dialogue) as (client, _):
        assert LONG_ANSWERS[verb](client)[1] == [b"one", b".", b"+OK 0 0", b"two"]
        assert client.stat() == (7, 700)


@pytest.mark.parametrize("half", [b"+O", b"+OK\r\n", b"+OK\r\nhalf", b"+OK\r\nline\r\n.\r"])
@pytest.mark.parametrize("verb", LONG_ANSWERS)
def test_3_after_a_failure_commands_are_still_sent(connected, verb, half):
    """A program that goes on with the next message deletes what it did not get."""
    for module, heard in ((theirs, True), (ours, False)):
        with connected(module.POP3, answers(**{verb: half}), timeout=0.05) as (client, server):
            with pytest.raises(TimeoutError):
                LONG_ANSWERS[verb](client)
            with pytest.raises((module.error_proto, OSError)) as caught:
                client.dele(1)
            assert isinstance(caught.value, ours.OutOfStep) is not heard
            client.sock.sendall(b"QUIT\r\n")
            server.wait_for_the_end()
            assert (b"DELE 1" in server.heard) is heard


TWICE = {
    "NOOP": (b"+OK\r\n", lambda client: client.noop()),
    "DELE": (b"+OK\r\n", lambda client: client.dele(1)),
    "RETR": (b"+OK\r\nline\r\n.\r\n", LONG_ANSWERS["RETR"]),
    "TOP": (b"+OK\r\nline\r\n.\r\n", LONG_ANSWERS["TOP"]),
    "LIST": (b"+OK\r\n1 1\r\n.\r\n", LONG_ANSWERS["LIST"]),
}


@pytest.mark.parametrize("apart", [False, True], ids=["in one segment", "in two"])
@pytest.mark.parametrize("verb", TWICE)
def test_4_an_answer_too_many_shifts_all_that_follow(connected, verb, apart):
    answer, call = TWICE[verb]
    surplus = b"+OK 1 100\r\n"
    dialogue = answers(**{verb: [answer, surplus] if apart else answer + surplus}, STAT=b"+OK 7 700\r\n")
    with connected(theirs.POP3, dialogue) as (client, _):
        call(client)
        assert client.stat() == (1, 100)
        assert client.stat() == (7, 700)  # that of the first
    with connected(ours.POP3, dialogue) as (client, server):
        call(client)
        server.has_said(surplus)
        for _ in range(2):
            with pytest.raises(ours.error_proto, match=r"nothing was sent: the server sent '\+OK 1 100'"):
                client.stat()
        assert b"STAT" not in server.heard


def test_5_any_certificate_will_do():
    with pop3_server({"ann": []}, tls="implicit") as server:
        client = theirs.POP3_SSL(server.host, server.port, timeout=10)
        assert client.sock.context.verify_mode is ssl.CERT_NONE
        client.close()
        with pytest.raises(ours.CertificateRefused, match=r"certificate of .*not accepted.*poplib\.insecure\(\)"):
            ours.POP3_SSL(server.host, server.port)


@pytest.mark.parametrize("tls", ["none", "implicit", "starttls"])
def test_6_a_silent_server_is_waited_for_for_ever(tls):
    with pop3_server({"ann": []}, tls=tls) as server:
        for module, timeout in ((theirs, None), (ours, 60)):
            if tls == "implicit":
                client = module.POP3_SSL(server.host, server.port, context=server.client_context)
            else:
                client = module.POP3(server.host, server.port)
            if tls == "starttls":
                client.stls(server.client_context)
            assert client.sock.gettimeout() == timeout
            client.close()


@pytest.mark.parametrize("verb", [*LONG_ANSWERS, "STAT", "the greeting"])
def test_6_a_server_that_says_nothing_is_given_up_in_each_method(verb, monkeypatch):
    """As if a program said nothing of a timeout, with a minute that passes quickly: `poplib` has none to shorten."""
    monkeypatch.setattr("pop3proto.poplib.pop3.TIMEOUT", 0.05)
    fault = Stall(after="greeting" if verb == "the greeting" else verb)
    with pop3_server({"ann": [b"one\n"]}, faults=[fault]) as server:
        if verb == "the greeting":
            with pytest.raises(TimeoutError):
                ours.POP3(server.host, server.port)
            return
        client = ours.POP3(server.host, server.port)
        client.user("ann")
        client.pass_(PASSWORD)
        with pytest.raises(TimeoutError):
            client.stat() if verb == "STAT" else LONG_ANSWERS[verb](client)
        with pytest.raises(ours.OutOfStep):
            client.dele(1)
        client.close()


def test_7_an_octet_now_and_then_begins_the_timeout_again():
    slow = [b"+", *[piece for octet in b"OK 1 23456789" for piece in (0.06, bytes([octet]))], b"\r\n"]
    with talking(theirs.POP3, answers(STAT=slow), timeout=0.3) as (client, _):
        assert client.stat() == (1, 23456789)  # after more than twice the timeout
    with talking(ours.POP3, answers(STAT=slow), timeout=0.3) as (client, _), pytest.raises(TimeoutError):
        client.stat()


def test_8_the_trace_shows_passwords(capsys):
    dialogue = {b"USER": b"+OK\r\n", b"PASS": b"-ERR tanstaaf is wrong\r\n", b"AUTH": b"+ \r\n", b"AGE=": b"+OK\r\n"}
    for module, shown in ((theirs, True), (ours, False)):
        with talking(module.POP3, dialogue) as (client, _):
            client.set_debuglevel(2)
            client.user("ann")
            with pytest.raises(module.error_proto):
                client.pass_("tanstaaf")
            client._shortcmd("AUTH PLAIN")
            client._shortcmd("AGE=")
        traced = capsys.readouterr().out
        assert "USER ann" in traced
        assert ("tanstaaf" in traced) is shown
        assert ("AGE=" in traced) is shown


def test_9_a_line_end_in_an_argument_is_another_command():
    """CPython 3.15 raises ValueError for it, and later releases of versions before may."""
    mended = "Control characters" in inspect.getsource(theirs)
    assert mended or sys.version_info < (3, 15)
    for module, heard in ((theirs, not mended), (ours, False)):
        with talking(module.POP3, answers(USER=b"+OK\r\n", DELE=b"+OK\r\n")) as (client, server):
            if heard:
                client.user("ann\r\nDELE 1")
                server.hears(b"DELE 1")
            else:
                with pytest.raises(ValueError, match="Control characters not allowed"):
                    client.user("ann\r\nDELE 1")
                client.user("ann")
                assert server.heard == [b"USER ann"]


def test_10_apop_answers_a_challenge_that_reveals_the_password():
    """A challenge with octets that are no text belongs to the attack of Leurent (CVE-2007-1558) on MD5."""
    greeting = b"+OK <\x81\xd3\x11\xff@attack>\r\n"
    for module, sent in ((theirs, True), (ours, False)):
        with talking(module.POP3, answers(APOP=b"-ERR no\r\n"), greeting) as (client, server):
            with pytest.raises(module.error_proto):
                client.apop("ann", "tanstaaf")
            client.quit()
            assert any(line.startswith(b"APOP") for line in server.heard) is sent


def test_the_page_names_them_in_this_order():
    text = (DOCS / "poplib.md").read_text("utf-8")
    [section] = re.findall(r"^## The ten faults.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)]
    tests = sorted({int(name.split("_")[1]) for name in globals() if re.match(r"test_\d+_", name)})
    assert numbers == tests == list(range(1, 11))
