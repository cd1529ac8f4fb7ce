"""ALPN (RFC 7301): "pop3" is offered and chosen, and another protocol is refused."""

import ssl
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
import trustme
from hypothesis import given, strategies as st

from pop3proto._io import alpn
from pop3proto._io.alpn import ClientHello, ForeignProtocol
from pop3proto._io.server_tls import ServerTls
from pop3proto._io.tls import client_context
from pop3proto._io.tls_channel import TlsChannel, client_channel, server_channel
from pop3proto.core.errors import ConnectionLost


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def pem(authority, tmp_path_factory):
    file = tmp_path_factory.mktemp("tls") / "pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
    return file


def trusting(authority, protocols=None):
    """A client's context that offers these protocols; None: what the library offers."""
    context = client_context()
    authority.configure_trust(context)
    if protocols is not None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if protocols:
            context.set_alpn_protocols(protocols)
    return context


def hello_of(context) -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def shake_hands(client: TlsChannel, server: TlsChannel, size: int = 100_000) -> None:
    """Let both talk, in pieces of so many octets."""
    done = [False, False]
    while not all(done):
        for number, (one, other) in enumerate(((client, server), (server, client))):
            try:
                done[number] = done[number] or one.handshake()
            finally:
                octets = one.take()
                for at in range(0, len(octets), size):
                    other.feed(octets[at : at + size])


def chosen(channel: TlsChannel) -> str | None:
    return vars(channel)["_object"].selected_alpn_protocol()


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("protocols", [None, ["h2", "pop3"], []])
def test_pop3_is_chosen(authority, pem, protocols, size):
    client = client_channel(trusting(authority, protocols), "localhost")()
    server = server_channel(ServerTls.load(pem))()
    shake_hands(client, server, size)
    assert chosen(client) == chosen(server) == ("pop3" if protocols != [] else None)


@pytest.mark.parametrize("size", [1, 100_000])
def test_another_protocol_is_refused_by_the_server(authority, pem, size):
    client = client_channel(trusting(authority, ["h2", "http/1.1"]), "localhost")()
    server = server_channel(ServerTls.load(pem))()
    with pytest.raises(ForeignProtocol) as refused:
        shake_hands(client, server, size)
    failure = server.failure(refused.value, b"")
    assert isinstance(failure, ConnectionLost)
    assert str(failure) == "the TLS handshake failed: the client speaks h2, http/1.1, not pop3 (ALPN)"
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        client.handshake()


@pytest.mark.parametrize("empty", [0, 1, 31])
def test_no_cut_into_records_hides_a_protocol_that_openssl_would_read(authority, pem, empty):
    client = client_channel(trusting(authority, ["h2"]), "localhost")()
    server = server_channel(ServerTls.load(pem))()
    assert not client.handshake()
    octets = records(client.take()[5:], 1, b"\x16\3\1\0\0" * empty)
    for at in range(0, len(octets), 4_096):
        server.feed(octets[at : at + 4_096])
    with pytest.raises(ForeignProtocol):
        server.handshake()


def test_another_protocol_is_refused_by_the_client(authority, pem):
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(pem)
    theirs.set_alpn_protocols(["imap"])
    client = client_channel(trusting(authority, ["imap", "pop3"]), "localhost")()
    with pytest.raises(ForeignProtocol) as refused:
        shake_hands(client, server_channel(ServerTls(theirs))())
    assert (
        str(client.failure(refused.value, b"")) == "the TLS handshake failed: the server speaks imap, not pop3 (ALPN)"
    )


def test_the_context_of_a_caller_is_left_as_it_is(authority, pem):
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(pem)
    client = client_channel(trusting(authority, ["h2"]), "localhost")()
    server = server_channel(ServerTls.choose("implicit", context=theirs))()
    shake_hands(client, server)
    assert chosen(client) is None


def test_a_server_that_chooses_nothing_is_taken(authority, pem):
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(pem)
    client = client_channel(trusting(authority), "localhost")()
    shake_hands(client, server_channel(ServerTls(theirs))())
    assert chosen(client) is None


# ------------------------------------------------------------------------------------------------ the reader


def vector(size: int, octets: bytes) -> bytes:
    return len(octets).to_bytes(size, "big") + octets


def hello(*names: bytes, before: bytes = b"", alpn: bool = True) -> bytes:
    """A ClientHello in one message, without its records."""
    data = vector(2, b"".join(vector(1, name) for name in names))
    extensions = before + (b"\0\x10" + vector(2, data) if alpn else b"")
    body = b"\3\3" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0") + vector(2, extensions)
    return b"\1" + vector(3, body)


def records(message: bytes, size: int = 16_384, before: bytes = b"") -> bytes:
    return b"".join(before + b"\x16\3\1" + vector(2, message[at : at + size]) for at in range(0, len(message), size))


def read(octets: bytes, size: int = 100_000) -> bool:
    reader = ClientHello()
    return any([reader.feed(octets[at : at + size]) for at in range(0, len(octets), size)])  # noqa: C419 - all of them


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=4),
    st.integers(1, 100),
    st.integers(1, 100),
    st.sampled_from([b"", b"\0\0" + vector(2, b"name")]),
)
def test_what_is_offered_is_read_however_it_is_cut(names, record, chunk, before):
    octets = records(hello(*names, before=before), record)
    if names and b"pop3" not in names:
        with pytest.raises(ForeignProtocol) as refused:
            read(octets, chunk)
        assert str(refused.value.strerror).isprintable()
    else:
        assert read(octets, chunk)
        assert not read(octets[:-1], chunk)


def test_a_client_that_does_not_speak_of_it_is_let_in():
    assert read(records(hello(alpn=False)))
    assert read(hello_of(trustless()))
    body = b"\3\3" + bytes(32) + vector(1, b"") + vector(2, b"\0\x2f") + vector(1, b"\0")
    assert read(records(b"\1" + vector(3, body))), "TLS 1.2 may have no extensions"


def trustless():
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda end: records(hello(b"x"))[:40] + end))
def test_anything_else_is_left_to_openssl(octets):
    try:
        read(octets, 11)
    except ForeignProtocol:
        assert octets[:1] == b"\x16"


def test_it_does_not_read_for_ever():
    reader = ClientHello()
    message = records(b"\1" + vector(3, bytes(100_000)))
    assert [reader.feed(message[at : at + 4_096]) for at in range(0, 20_480, 4_096)] == [False] * 4 + [True]


@pytest.mark.parametrize(
    "octets", [b"CAPA\r\n", b"\x16\2\0\0\1\1", b"\x15\3\1\0\2\1\0", records(b"\2" + vector(3, b"x"))]
)
def test_what_is_no_client_hello(octets):
    assert read(octets)


def outcome(octets: bytes, cuts: list[int]) -> bool | str:
    """What the reader says about octets that are cut at these places."""
    reader = ClientHello()
    places = [0, *sorted(cuts), len(octets)]
    try:
        return any(reader.feed(octets[start:end]) for start, end in pairwise(places))
    except ForeignProtocol as error:
        return str(error)


@given(st.data())
def test_cuts_make_no_difference(data):
    message = hello(*data.draw(st.lists(st.binary(min_size=1, max_size=9), max_size=3)))
    octets = bytearray(
        records(message, data.draw(st.integers(1, 60)), data.draw(st.sampled_from([b"", b"\x16\3\1\0\0"])))
    )
    for at, octet in data.draw(st.lists(st.tuples(st.integers(0, len(octets) - 1), st.integers(0, 255)), max_size=2)):
        octets[at] = octet
    sent = bytes(octets[: data.draw(st.integers(0, len(octets)))]) if data.draw(st.booleans()) else bytes(octets)
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=20))
    assert outcome(sent, cuts) == outcome(sent, []) == outcome(sent, list(range(len(sent))))


@pytest.mark.parametrize("length, is_read", [(16_384, True), (16_385, False)])
@pytest.mark.parametrize("size", [1, 1_000, 100_000])
def test_the_longest_message_that_is_read(length, is_read, size):
    short = len(hello(b"h2", before=b"\0\x15" + vector(2, b"")))
    message = hello(b"h2", before=b"\0\x15" + vector(2, bytes(length - short)))
    assert len(message) == length
    octets = records(message)
    assert (outcome(octets, list(range(0, len(octets), size))) is not True) is is_read


# ------------------------------------------------------------------------------------------------ its work


def calls_of(work: Callable[[], object]) -> int:
    """How many functions are called, those of the interpreter included."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


class Counted(bytes):
    """Octets that count how many of them are copied, also out of copies."""

    copied = 0

    def __getitem__(self, key):
        taken = super().__getitem__(key)
        if isinstance(taken, int):
            return taken
        Counted.copied += len(taken)
        return Counted(taken)


class Gathered(bytearray):
    """The same for octets that are kept."""

    def __getitem__(self, key):
        taken = super().__getitem__(key)
        if isinstance(taken, int):
            return taken
        Counted.copied += len(taken)
        return taken


def counted_bytes(octets: bytes) -> Counted:
    Counted.copied += len(octets)
    return Counted(octets)


UNENDING = b"\1\0\xff\xff" + bytes(2_000)


@pytest.mark.parametrize("size", [1, 5, 6, 64, 100_000])
@pytest.mark.parametrize(
    "octets", [records(UNENDING, 1), b"\x16\3\1\0\0" * 400, records(UNENDING)], ids=["of one", "empty", "long"]
)
def test_the_work_grows_as_the_octets_do(octets, size, monkeypatch):
    def feed(count: int) -> tuple[int, int]:
        reader = ClientHello()
        Counted.copied = 0
        pieces = [Counted(octets[at : min(at + size, count)]) for at in range(0, count, size)]
        calls = calls_of(lambda: [reader.feed(piece) for piece in pieces])
        return calls, Counted.copied

    monkeypatch.setattr(alpn, "bytearray", Gathered, raising=False)
    monkeypatch.setattr(alpn, "bytes", counted_bytes, raising=False)
    calls, copied = feed(500)
    more_calls, more_copied = feed(2_000)
    assert more_calls <= 4.5 * calls + 20
    assert calls <= 30 * 500
    assert copied <= 5 * 500
    assert more_copied <= 5 * 2_000


def test_many_extensions_are_not_copied_for_each():
    body = hello(before=b"\0\0\0\0" * 4_000, alpn=False)[4:]
    Counted.copied = 0
    assert vars(alpn)["_offers"](Counted(body)) == []
    assert Counted.copied <= 3 * len(body)


def test_a_message_is_parsed_once(monkeypatch):
    parsed: list[bytes] = []
    monkeypatch.setattr(alpn, "_offers", lambda body: parsed.append(body) or [])
    message = hello(b"h2")
    octets = records(message, 1)
    assert outcome(octets, list(range(len(octets)))) is True
    assert parsed == [message[4:]]


def test_a_refused_client_is_not_read_again(pem, monkeypatch):
    server = server_channel(ServerTls.load(pem))()
    server.feed(records(hello(b"h2")))
    monkeypatch.setattr(ClientHello, "feed", lambda *_: pytest.fail("it was read"))
    server.feed(b"more")
    with pytest.raises(ForeignProtocol):
        server.handshake()
