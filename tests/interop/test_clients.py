"""What clients of others make of `pop3proto serve`.

That each of them reads every message octet for octet, from each adapter, is shown in test_interop_adapters.py.
"""

import poplib
import time
from contextlib import suppress

import pytest

from tests.helpers.corpus import corpus, difference, maildir_contents, make_maildir, top, wire
from tests.helpers.programs import PASSWORD, PATIENCE, USER, pop3proto_serving, run

EXPECTED = {name: wire(message) for name, message in corpus().items()}
SIZES = [len(message) for message in EXPECTED.values()]
FEW = [b"Subject: 1\n\none\n", b"Subject: 2\n\ntwo\n.\n", b"Subject: 3\n\nthree"]


@pytest.fixture(scope="module")
def corpus_server(tmp_path_factory):
    with pop3proto_serving(tmp_path_factory.mktemp("corpus"), corpus().values()) as server:
        yield server


@pytest.fixture
def server(corpus_server):
    """The corpus, which nobody may delete. What the server says is shown if the test fails."""
    yield corpus_server
    print(corpus_server.program.said)  # noqa: T201 - for pytest


@pytest.fixture
def small_server(tmp_path):
    """A maildrop of three messages for one test alone."""
    with pop3proto_serving(tmp_path, FEW) as server:
        yield server
    print(server.program.said)  # noqa: T201 - for pytest


def differences(got):
    """What is wrong with messages, by name; pytest would take minutes to compare megabytes."""
    assert list(got) == list(EXPECTED)
    return {name: text for name, message in got.items() if (text := difference(message, EXPECTED[name]))}


# Python's poplib.


@pytest.fixture
def connect(monkeypatch):
    """Connect with poplib and log in."""
    # Beyond 2048 octets poplib takes a line for an attack, and mail has longer ones.
    monkeypatch.setattr(poplib, "_MAXLINE", 2**30)
    connections = []

    def connect(server, password=PASSWORD):
        client = poplib.POP3(server.host, server.port, timeout=60)
        connections.append(client)
        client.user(USER)
        client.pass_(password)
        return client

    yield connect
    for client in connections:
        # The answer to QUIT says that the lock is released: the next test on the same server needs it.
        if client.sock is not None:
            with suppress(OSError, poplib.error_proto):
                client.quit()
            client.close()


def joined(lines):
    """The body that poplib has split: it splits at LF, takes LF or CRLF away, and all lines here end with CRLF."""
    return b"".join(line + b"\r\n" for line in lines)


def test_poplib_reads_every_message(server, connect):
    client = connect(server)
    got, octets = {}, []
    for number, name in enumerate(EXPECTED, 1):
        _, lines, size = client.retr(number)
        got[name] = joined(lines)
        octets.append(size)
    client.quit()
    assert differences(got) == {}
    assert octets == SIZES  # poplib counts what it reads, and not the dots that were stuffed


def test_poplib_reads_the_sizes_that_retr_keeps(server, connect):
    client = connect(server)
    assert client.stat() == (len(SIZES), sum(SIZES))
    assert client.list()[1] == [b"%d %d" % pair for pair in enumerate(SIZES, 1)]
    assert [client.list(number) for number in range(1, len(SIZES) + 1)] == [
        b"+OK %d %d" % pair for pair in enumerate(SIZES, 1)
    ]


def test_poplib_reads_unique_ids_that_stay(server, connect):
    client = connect(server)
    ids = client.uidl()[1]
    assert [int(row.split()[0]) for row in ids] == list(range(1, len(SIZES) + 1))
    assert len({row.split()[1] for row in ids}) == len(SIZES)
    assert [client.uidl(number) for number in range(1, len(SIZES) + 1)] == [b"+OK " + row for row in ids]
    client.quit()
    assert connect(server).uidl()[1] == ids


@pytest.mark.parametrize("lines", [0, 1, 7, 10**9])
def test_poplib_reads_the_top_of_every_message(server, connect, lines):
    client = connect(server)
    wrong = {}
    for number, (name, message) in enumerate(corpus().items(), 1):
        if text := difference(joined(client.top(number, lines)[1]), top(message, lines)):
            wrong[name] = text
    assert wrong == {}


def test_poplib_deletes_at_quit(small_server, connect):
    client = connect(small_server)
    ids = client.uidl()[1]
    client.dele(2)
    assert client.stat() == (2, len(wire(FEW[0]) + wire(FEW[2])))
    with pytest.raises(poplib.error_proto, match="-ERR"):
        client.retr(2)
    client.quit()
    assert sorted(maildir_contents(small_server.maildir)) == sorted([wire(FEW[0]), wire(FEW[2])])
    client = connect(small_server)
    assert [row.split()[1] for row in client.uidl()[1]] == [ids[0].split()[1], ids[2].split()[1]]


@pytest.mark.deep
def test_poplib_deletes_nothing_without_quit(small_server, connect):
    client = connect(small_server)
    client.dele(1)
    client.close()
    # The server may need a moment to see that it is gone: until then the maildrop is locked.
    client = connect_when_free(connect, small_server)
    client.dele(1)
    client.rset()
    client.quit()
    assert len(maildir_contents(small_server.maildir)) == len(FEW)


def connect_when_free(connect, server):
    """Log in as soon as the maildrop is not in use any more. Nothing else tells a client when that is."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return connect(server)
        except poplib.error_proto as error:
            if b"[IN-USE]" not in error.args[0] or time.monotonic() > until:
                raise


@pytest.mark.deep
def test_poplib_is_refused_a_second_session(small_server, connect):
    connect(small_server)
    with pytest.raises(poplib.error_proto, match=r"-ERR \[IN-USE\]"):
        connect(small_server)


@pytest.mark.deep
def test_poplib_is_refused_with_a_wrong_password(small_server, connect):
    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"):
        connect(small_server, "wrong")
    connect(small_server)


def test_poplib_reads_the_capabilities(server, connect):
    capabilities = connect(server).capa()
    assert capabilities.keys() >= {"TOP", "UIDL", "USER", "SASL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
    assert capabilities["SASL"][0] == "SCRAM-SHA-512"
    assert {"PLAIN", "LOGIN", "CRAM-MD5"} <= set(capabilities["SASL"])


# curl.


@pytest.fixture
def curl(require_program, server):
    program = require_program("curl")

    def curl(path, *options):
        url = f"pop3://{server.host}:{server.port}/{path}"
        # No configuration of the user's, and no proxy: this goes to our own server.
        return run(
            program,
            *("--disable", "--silent", "--show-error", "--noproxy", "*", "--user", f"{USER}:{PASSWORD}"),
            *options,
            url,
        ).stdout

    return curl


@pytest.mark.deep
@pytest.mark.interop
def test_curl_reads_sizes_and_unique_ids(curl):
    rows = curl("").splitlines()
    assert rows == [f"{number} {size}" for number, size in enumerate(SIZES, 1)]
    assert curl("", "--request", "UIDL").splitlines()[0].startswith("1 1700000000.M000000P1.host")
    assert "X-Corpus: plain" in curl("", "--request", "TOP 1 0")


# mpop.


@pytest.fixture
def mpop(require_program, server, tmp_path):
    program = require_program("mpop")
    configuration = tmp_path / "mpoprc"

    def mpop(*lines):
        configuration.write_text(
            "\n".join(
                (
                    "account ours",
                    f"host {server.host}",
                    f"port {server.port}",
                    f"user {USER}",
                    f"password {PASSWORD}",
                    "tls off",
                    "keep on",
                    "received_header off",
                    f"uidls_file {tmp_path}/uidls",
                    *lines,
                    "",
                )
            )
        )
        configuration.chmod(0o600)  # else it refuses to read it
        return run(program, "--file", configuration, "--debug", "ours").stdout

    return mpop


@pytest.mark.deep
@pytest.mark.interop
def test_mpop_fetches_nothing_twice(mpop, tmp_path):
    maildir = make_maildir(tmp_path / "got", [])
    lines = (f"delivery maildir {maildir}", "auth user")
    mpop(*lines)
    assert "RETR" not in mpop(*lines)
    assert len(maildir_contents(maildir)) == len(EXPECTED)
