"""What our client makes of Debian's Dovecot: it must have every message octet for octet."""

import itertools
import re
import ssl

import pytest

from pop3proto.blocking import connect
from pop3proto.core.commands import Capa, Dele, ListOne, Noop, Pass, Top, UidlOne, User
from pop3proto.core.errors import CertificateError, ConnectionLost
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.core.states import State
from tests.helpers.corpus import corpus, difference, maildir_contents, top, wire
from tests.helpers.programs import ENDLESS_AT_DOVECOT, PASSWORD, as_dovecot_sends, dovecot_serving, run_pop3proto

pytestmark = pytest.mark.interop

MESSAGES = {name: message for name, message in corpus().items() if name != ENDLESS_AT_DOVECOT}
EXPECTED = {name: wire(message) for name, message in MESSAGES.items()}
FEW = [b"Subject: 1\n\none\n", b"Subject: 2\n\ntwo\n.\n", b"Subject: 3\n\nthree"]
FEW_EXPECTED = [wire(message) for message in FEW]

new_user = map("user{}".format, itertools.count(1)).__next__


@pytest.fixture(scope="module")
def running_dovecot(require_program):
    with dovecot_serving(require_program("dovecot")) as dovecot:
        yield dovecot


@pytest.fixture
def dovecot(running_dovecot):
    """What it says meanwhile is shown if the test fails."""
    before = len(running_dovecot.program.said)
    yield running_dovecot
    print(running_dovecot.program.said[before:])  # noqa: T201 - for pytest


def wrong(got, expected):
    """What is wrong with one of our messages, in a line; pytest would take minutes to compare megabytes."""
    return "" if got == as_dovecot_sends(expected) else difference(got, expected)  # "" too if it is as it should be


def all_wrong(got):
    """What is wrong with the corpus, by name."""
    texts = {name: wrong(message, EXPECTED[name]) for name, message in zip(EXPECTED, got, strict=True)}
    return {name: text for name, text in texts.items() if text}


# `pop3proto fetch`.


@pytest.fixture
def fetch(dovecot, tmp_path):
    """Run `pop3proto fetch`, and return how it ended."""
    password_file = tmp_path / "password"

    def fetch(user, target, *options, scheme="pops", password=PASSWORD, **arguments):
        password_file.write_text(f"{password}\n")
        password_file.chmod(0o600)
        port = dovecot.port if scheme == "pop" else dovecot.tls_port
        url = f"{scheme}://{user}@{dovecot.host}:{port}"
        arguments.setdefault("env", {"SSL_CERT_FILE": str(dovecot.ca_file)})
        return run_pop3proto("fetch", url, target, "--password-file", password_file, *options, **arguments)

    return fetch


@pytest.fixture(params=["pops", "pop"])
def scheme_options(request, dovecot):
    return ("--ca-file", dovecot.ca_file), request.param


def assert_fetched(target, expected):
    got = set(maildir_contents(target))
    # No whole messages in what pytest compares and shows.
    assert [message[:999] for message in expected if not got & {message, as_dovecot_sends(message)}] == []
    assert len(maildir_contents(target)) == len(expected)


@pytest.mark.deep(keep=1)
def test_fetch_stores_every_message_once(dovecot, fetch, scheme_options, tmp_path):
    options, scheme = scheme_options
    user, target = new_user(), tmp_path / "target"
    maildir = dovecot.deliver(user, MESSAGES.values())
    fetch(user, target, *options, scheme=scheme)
    assert_fetched(target, list(EXPECTED.values()))
    stored = sorted(target.rglob("*.*"))
    fetch(user, target, *options, scheme=scheme)
    assert sorted(target.rglob("*.*")) == stored
    assert len(maildir_contents(maildir)) == len(MESSAGES)  # all are left on the server


def test_fetch_stores_only_what_is_new(dovecot, fetch, tmp_path):
    user, target = new_user(), tmp_path / "target"
    maildir = dovecot.deliver(user, FEW)
    fetch(user, target, scheme="pop")
    (maildir / "new" / "1800000000.M1P1.host").write_bytes(b"Subject: 4\n\nfour\n")
    fetch(user, target, scheme="pop")
    assert sorted(maildir_contents(target)) == sorted([*FEW_EXPECTED, b"Subject: 4\r\n\r\nfour\r\n"])


def test_fetch_deletes_what_it_has_stored(dovecot, fetch, tmp_path):
    user, target = new_user(), tmp_path / "target"
    maildir = dovecot.deliver(user, MESSAGES.values())
    fetch(user, target, "--delete", scheme="pop")
    assert_fetched(target, list(EXPECTED.values()))
    # What has lost its first dot, which Dovecot 2.3 does not stuff, is not deleted.
    here = maildir_contents(target)
    dotted = [message for message in EXPECTED.values() if message.startswith(b".")]
    assert maildir_contents(maildir) == [message for message in dotted if message not in here]
    fetch(user, target, "--delete", scheme="pop")
    assert len(maildir_contents(target)) == len(MESSAGES)


def test_fetch_deletes_what_was_stored_before(dovecot, fetch, tmp_path):
    user, target = new_user(), tmp_path / "target"
    maildir = dovecot.deliver(user, FEW)
    fetch(user, target, scheme="pop")
    fetch(user, target, "--delete", scheme="pop")
    assert maildir_contents(maildir) == []
    assert sorted(maildir_contents(target)) == sorted(FEW_EXPECTED)


def test_fetch_from_an_empty_maildrop(dovecot, fetch, tmp_path):
    user = new_user()
    dovecot.deliver(user, [])
    fetch(user, tmp_path / "target", scheme="pop")
    assert maildir_contents(tmp_path / "target") == []


@pytest.mark.deep
def test_fetch_takes_the_authorities_of_the_environment(dovecot, fetch, tmp_path):
    user = new_user()
    dovecot.deliver(user, FEW)
    fetch(user, tmp_path / "target", env={"SSL_CERT_FILE": str(dovecot.ca_file)}, apart=True)
    assert_fetched(tmp_path / "target", FEW_EXPECTED)


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize(
    "arguments, line",
    [
        ({"scheme": "pops", "env": {}}, "certificate"),
        ({"scheme": "pop", "env": {}}, "certificate"),
        ({"scheme": "pop", "password": "wrong"}, "Authentication failed"),
    ],
    ids=["unknown authority", "unknown authority behind STLS", "wrong password"],
)
def test_fetch_fails_in_one_line(dovecot, fetch, tmp_path, arguments, line):
    user = new_user()
    maildir = dovecot.deliver(user, FEW)
    failed = fetch(user, tmp_path / "target", "--delete", status=77, **arguments)
    assert failed.stdout == ""
    assert re.fullmatch(rf"{re.escape(user)}@.*{line}.*\n", failed.stderr)
    assert len(maildir_contents(maildir)) == len(FEW)


# Messages that Dovecot 2.3 ends early because it does not stuff their first dot. What follows that dot, if anything, is
# taken for the next answer: whoever writes a mail can put one there.
SPOOFED = b".\n+OK 99 octets\nSubject: spoofed\n\nThis is no message of its own.\n"


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize(
    "messages",
    [[FEW[0], b".\n", FEW[1]], [FEW[0], b".\n"], [SPOOFED, *FEW], [*FEW, SPOOFED]],
    ids=["stray dot", "stray dot at the end", "spoofed answer", "spoofed answer at the end"],
)
def test_fetch_loses_nothing_to_messages_that_end_early(dovecot, fetch, tmp_path, messages):
    user, target = new_user(), tmp_path / "target"
    maildir = dovecot.deliver(user, messages)
    for _ in range(3):
        fetch(user, target, "--delete", scheme="pop", status=None)
        kept = maildir_contents(maildir) + maildir_contents(target)
        assert [message for message in map(wire, messages) if message not in kept] == []


def test_fetch_tells_if_the_last_message_ends_early(dovecot, fetch, tmp_path):
    user = new_user()
    dovecot.deliver(user, [FEW[0], b".\n"])
    fetch(user, tmp_path / "target", scheme="pop", status=None)
    # A Dovecot that stuffs the first dot sends it whole; else somebody must hear of it.
    if b".\r\n" not in maildir_contents(tmp_path / "target"):
        assert "stuff" in fetch(user, tmp_path / "again", scheme="pop", status=1).stderr


# `pop3proto.blocking`; that each adapter's client reads every message is shown in test_interop_adapters.py.


def logged_in(dovecot, user):
    client = connect(dovecot.host, dovecot.port, tls="none")
    try:
        client.login(user, PASSWORD)
    except BaseException:
        client.close()
        raise
    return client


@pytest.fixture(scope="module")
def corpus_user(running_dovecot):
    user = new_user()
    running_dovecot.deliver(user, MESSAGES.values())
    return user


@pytest.fixture
def client(dovecot, corpus_user):
    """Logged in to the corpus."""
    with logged_in(dovecot, corpus_user) as client:
        yield client


@pytest.fixture
def few(dovecot):
    """A new user who has few messages, and the Maildir that they are in."""
    user = new_user()
    return user, dovecot.deliver(user, FEW)


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("lines", [0, 1, 7, 1_000_000])
def test_top(client, lines):
    tops = client.call_all([Top(number, lines) for number in range(1, len(MESSAGES) + 1)])
    texts = {name: wrong(got, top(MESSAGES[name], lines)) for name, got in zip(MESSAGES, tops, strict=True)}
    assert {name: text for name, text in texts.items() if text} == {}


def test_sizes_and_unique_ids(client):
    sizes, ids = client.list(), client.uidl()
    assert list(sizes) == list(ids) == list(range(1, len(EXPECTED) + 1))
    # Dovecot does not count the line end that it adds to a last line without one.
    for number, (name, expected) in enumerate(EXPECTED.items(), 1):
        missing = 0 if MESSAGES[name].endswith(b"\n") or not expected else 2
        assert sizes[number] == len(expected) - missing, name
    status = client.stat()
    assert (status.count, status.octets) == (len(sizes), sum(sizes.values()))
    assert client.call_all(map(ListOne, sizes)) == list(sizes.values())
    assert client.call_all(map(UidlOne, ids)) == list(ids.values())
    assert client.list_one(1) == sizes[1]
    assert client.uidl_one(1) == ids[1]
    assert len(set(ids.values())) == len(ids)


def test_capabilities_before_and_after_login(dovecot, corpus_user):
    with connect(dovecot.host, dovecot.port, tls="none") as client:
        before = client.capa()
        assert (before.top, before.uidl, before.resp_codes, before.pipelining) == (True,) * 4
        assert (before.stls, before.sasl) == (True, ("PLAIN",))
        client.login(corpus_user, PASSWORD)
        assert client.capabilities != before
        assert client.capabilities == client.capa() == client.call(Capa())
        assert not client.capabilities.stls


def test_many_commands_at_once(client):
    assert client.call_all([Noop()] * 3_000) == [None] * 3_000
    numbers = [1, 2, 3] * 200
    assert [number for number, _ in client.retrieve(numbers)] == numbers


def test_refused_commands_leave_the_session_in_step(client):
    results = dict(client.retrieve([1, 999, 2], return_exceptions=True))
    assert [results[1], results[2]] == list(EXPECTED.values())[:2]
    assert isinstance(results[999], CommandFailed)
    with pytest.raises(CommandFailed), client.retr(999):
        pass
    for refused in (client.list_one, client.uidl_one, client.dele):
        with pytest.raises(CommandFailed):
            refused(999)
    client.noop()


def test_what_is_left_unread_is_thrown_away(client):
    with client.retr(1):
        pass
    with client.retr(2) as message:
        assert message.read() == EXPECTED["dots"]
    assert next(client.retrieve([1, 2, 3])) == (1, EXPECTED["plain"])
    client.noop()


def test_wrong_password_and_then_the_right_one(dovecot, corpus_user):
    with connect(dovecot.host, dovecot.port, tls="none") as client:
        with pytest.raises(LoginFailed) as failed:
            client.login(corpus_user, "wrong")
        assert failed.value.code == ResponseCode.AUTH
        assert "wrong" not in str(failed.value)
        assert client.state is State.AUTHORIZATION
        client.login(corpus_user, PASSWORD)
        assert client.state is State.TRANSACTION


def test_user_and_pass(dovecot, corpus_user):
    with connect(dovecot.host, dovecot.port, tls="none") as client:
        client.call(User(corpus_user))
        with pytest.raises(CommandFailed) as failed:
            client.call(Pass("wrong"))
        assert failed.value.code == ResponseCode.AUTH
        client.call(User(corpus_user))
        client.call(Pass(PASSWORD))
        assert client.stat().count == len(MESSAGES)


def test_deletions_happen_at_quit(dovecot, few):
    user, maildir = few
    with logged_in(dovecot, user) as client:
        ids = client.uidl()
        client.dele(2)
        with pytest.raises(CommandFailed):
            client.dele(2)
        assert list(client.list()) == [1, 3]
    assert sorted(maildir_contents(maildir)) == sorted([FEW_EXPECTED[0], FEW_EXPECTED[2]])
    with logged_in(dovecot, user) as client:
        assert list(client.uidl().values()) == [ids[1], ids[3]]
        assert dict(client.retrieve([1, 2])) == {1: FEW_EXPECTED[0], 2: FEW_EXPECTED[2]}


def test_rset_and_hanging_up_take_deletions_back(dovecot, few):
    user, maildir = few
    client = logged_in(dovecot, user)
    client.call_all(map(Dele, (1, 2, 3)))
    client.close()
    with logged_in(dovecot, user) as client:
        client.call_all(map(Dele, (1, 2, 3)))
        client.rset()
        assert client.stat().count == len(FEW)
    assert sorted(maildir_contents(maildir)) == sorted(FEW_EXPECTED)


def test_two_sessions_at_once(dovecot, few):
    user, _ = few
    with logged_in(dovecot, user) as one, logged_in(dovecot, user) as other:
        one.dele(1)
        one.quit()
        # The other keeps its numbers; what is gone it cannot read any more.
        assert list(other.list()) == [1, 2, 3]
        results = dict(other.retrieve([1, 2], return_exceptions=True))
        assert isinstance(results[1], CommandFailed)
        assert results[2] == FEW_EXPECTED[1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls(dovecot, corpus_user, version):
    context = ssl.create_default_context(cafile=dovecot.ca_file)
    context.minimum_version = context.maximum_version = version
    with connect(dovecot.host, dovecot.tls_port, context=context) as client:
        client.login(corpus_user, PASSWORD)
        got = dict(client.retrieve(range(1, len(EXPECTED) + 1)))
    assert all_wrong(got.values()) == {}


@pytest.mark.deep
def test_tls_with_a_server_that_is_not_trusted(dovecot):
    with pytest.raises(CertificateError, match="was not accepted: unable to get local issuer certificate"):
        connect(dovecot.host, dovecot.tls_port)


@pytest.mark.deep
def test_tls_with_a_server_of_another_name(dovecot):
    context = ssl.create_default_context(cafile=dovecot.ca_file)
    with pytest.raises(ConnectionLost, match=r"(?i)mismatch"):
        connect("localhost", dovecot.tls_port, context=context)


@pytest.mark.deep
def test_tls_where_there_is_none(dovecot):
    with pytest.raises(ConnectionLost, match="handshake"):
        connect(dovecot.host, dovecot.port)
