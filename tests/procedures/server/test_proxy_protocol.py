"""The header of the PROXY protocol: what proxies send, however it is cut, and what nobody may send."""

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import RemoteProtocolError, TimedOut
from pop3proto.procedures.server.proxy_protocol import HeaderReader, ProxyHeader, ProxyTls, crc32c, read_header
from tests.helpers.drivers import Actor, sessions_come_to_their_end  # noqa: F401 - it is a fixture
from tests.helpers.proxy_headers import SIGNATURE, binary, line, tls_tlv, tlv, with_checksum

IP4 = st.ip_addresses(v=4).map(str)
IP6 = st.ip_addresses(v=6).map(str)
PORTS = st.integers(0, 65_535)
PAIRS = st.tuples(IP4, IP4) | st.tuples(IP6, IP6)
NAMES = st.sampled_from(["", "ann"])


def read(octets, cuts=()):
    """What a reader finds in octets that come in pieces, and what it leaves."""
    reader = HeaderReader()
    for start, end in pairwise([0, *sorted(cuts), len(octets)]):
        if start == end:
            continue
        if (header := reader.feed(octets[start:end])) is not None:
            return header, reader.rest + octets[end:]
    return None, b""


@given(PAIRS, st.tuples(PORTS, PORTS), st.binary(max_size=40), st.data(), st.booleans())
def test_any_cut_gives_the_same(pair, ports, rest, data, version_2):
    (client, server), (client_port, server_port) = pair, ports
    if version_2:
        header = binary(client, server, ports=(client_port, server_port))
    else:
        header = line(client, server, client_port, server_port)
    octets = header + rest
    cuts = data.draw(st.lists(st.integers(1, len(octets)), max_size=6))
    found, left = read(octets, cuts)
    assert found == ProxyHeader(client=(client, client_port), server=(server, server_port))
    assert left == rest
    for end in range(1, len(header)):
        assert HeaderReader().feed(header[:end]) is None


@given(st.binary(max_size=300) | st.binary(max_size=80).map(lambda octets: b"PROXY " + octets + b"\r\n"))
def test_no_octets_raise_anything_else(octets):
    if not octets:
        return
    try:
        found, _ = read(octets)
    except RemoteProtocolError:
        return
    assert found is None or octets.startswith((b"PROXY ", SIGNATURE))


@given(
    st.sampled_from([0x20, 0x21]),
    st.sampled_from([0x00, 0x11, 0x21, 0x31]),
    st.binary(max_size=300),
)
def test_no_binary_header_raises_anything_else(command, family, body):
    try:
        header, _ = read(binary(command=command, family=family, body=body))
    except RemoteProtocolError:
        return
    assert isinstance(header, ProxyHeader)
    assert header.local == (command == 0x20)


@pytest.mark.parametrize(
    "octets",
    [
        b"USER ann\r\n",
        b"\x16\x03\x01",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 \xb2 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 00080 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n",
        b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
        b"PROXY TCP4 ::1 ::1 1 1\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY TCP6 fe80::1%lo fe80::1%lo 1 1\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 " + b"1" * 100,
        binary("192.0.2.1", command=0x22),
        binary("192.0.2.1", command=0x11),
        binary("192.0.2.1", family=0x12),
        binary("192.0.2.1", family=0x41),
        binary(family=0x11, body=bytes(11)),
        binary("192.0.2.1", more=b"\x01\0"),
        binary("192.0.2.1", more=b"\x01\0\x05abc"),
        binary("192.0.2.1", more=tlv(0x20, b"\x01\0\0")),
        binary("192.0.2.1", more=tlv(0x20, bytes([1, 0, 0, 0, 0, 0x21, 0, 9]))),
        binary("192.0.2.1", more=tlv(3, b"abcd")),
        binary("192.0.2.1", more=tlv(3, b"")),
        SIGNATURE + b"\x21\x11\x0f\xf1",
    ],
)
def test_what_is_no_header_is_refused(octets):
    with pytest.raises(RemoteProtocolError, match="PROXY header"):
        read(octets)


def test_a_stream_that_ends_too_early():
    reader = HeaderReader()
    reader.feed(b"PROXY TCP4")
    with pytest.raises(RemoteProtocolError, match="ended before"):
        reader.feed(b"")


def test_the_longest_of_each_version():
    longest = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(105) + b"\r\n"
    assert read(longest) == (ProxyHeader(), b"")
    assert read(SIGNATURE + b"\x20\0\x0f\xf0" + bytes(4_080))[0] == ProxyHeader(local=True)


@pytest.mark.parametrize(
    "header, announced",
    [
        (b"PROXY UNKNOWN\r\n", ProxyHeader()),
        (b"PROXY UNKNOWN whatever there is\r\n", ProxyHeader()),
        (binary(), ProxyHeader()),
        (binary(command=0x20), ProxyHeader(local=True)),
        (binary("192.0.2.1", command=0x20), ProxyHeader(local=True)),
        (binary(command=0x20, family=0x11, body=b"junk"), ProxyHeader(local=True)),
        (binary(family=0x31, body=b"/run/x".ljust(108, b"\0") + bytes(108)), ProxyHeader(unix=True)),
    ],
)
def test_a_client_that_is_not_announced(header, announced):
    assert read(header + b"USER") == (announced, b"USER")


def test_what_is_said_of_tls():
    def tls(more):
        return read(binary("192.0.2.1", more=more))[0].tls

    assert tls(b"") is None
    assert tls(tls_tlv(flags=0)) is None
    assert tls(tls_tlv()) == ProxyTls(version="TLSv1.3")
    assert tls(tls_tlv(flags=3, verify=0, name="ann")) == ProxyTls(version="TLSv1.3", verified=True, common_name="ann")
    assert tls(tls_tlv(flags=5, verify=0)) == ProxyTls(version="TLSv1.3", verified=True)
    assert tls(tls_tlv(flags=3, verify=10)) == ProxyTls(version="TLSv1.3")
    assert tls(tls_tlv(flags=1, verify=0)) == ProxyTls(version="TLSv1.3"), "there is no certificate to be verified"


def test_the_name_that_the_client_asked_for():
    header, _ = read(binary("192.0.2.1", more=tlv(1, b"pop3") + tlv(2, b"pop.example.org") + tlv(4, b"??")))
    assert header.server_name == "pop.example.org"
    twice, _ = read(binary("192.0.2.1", more=tlv(2, b"one.example") + tlv(2, b"two.example")))
    assert twice.server_name == "one.example", "the first of a type counts"
    for bad in (b"a\nb", b"\xff"):
        assert read(binary("192.0.2.1", more=tlv(2, bad)))[0].server_name is None


@given(PAIRS, st.binary(max_size=30), st.integers(0, 10_000), st.integers(1, 255))
def test_the_checksum(pair, unknown, place, change):
    header = with_checksum(binary(*pair), tlv(0xEE, unknown))
    assert read(header)[0].client[0] == pair[0]
    place = 16 + place % (len(header) - 16)
    wrong = header[:place] + bytes([header[place] ^ change]) + header[place + 1 :]
    try:
        found, _ = read(wrong)
    except RemoteProtocolError:
        return
    # Only the type of the checksum itself can make it another addition, which is not looked at.
    assert found is None or place == len(header) - 7 or wrong[place] == 3


def test_the_checksum_of_the_specification():
    """The vectors of RFC 3720 appendix B.4, and the usual one."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_it_is_read_until_a_deadline():
    actor = Actor(read_header(3)).receive(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r", b"\nUSER ann\r\n")
    header, rest = actor.outcome()
    assert (header.client, rest) == (("192.0.2.1", 1), b"USER ann\r\n")
    slow = Actor(read_header(3)).receive(b"PROXY").sleep(2).receive(b" T").sleep(1)
    with pytest.raises(TimedOut):
        slow.outcome()


def test_addresses_are_written_as_python_writes_them():
    found, _ = read(line("2001:DB8:0:0:0:0:0:1", "::1"))
    assert found.client[0] == str(ipaddress.ip_address("2001:db8::1"))
