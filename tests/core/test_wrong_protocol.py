"""Other protocols, recognised by their first octets."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.replies import looks_like


@pytest.mark.parametrize(
    "octets, name",
    [
        (b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.", "IMAP"),
        (b"* ok", "IMAP"),
        (b"* BYE too busy", "IMAP"),
        (b"* PREAUTH hello", "IMAP"),
        (b"220 mail.example.org ESMTP", "SMTP"),
        (b"220-mail.example.org", "SMTP"),
        (b"HTTP/1.1 400 Bad Request", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.6", "SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "TLS"),
        (b"\x16\x03\x04", "TLS"),
    ],
)
def test_a_wrong_port_is_named(octets, name):
    assert looks_like(octets) == f" (this looks like {name}, not POP3)"


@pytest.mark.parametrize(
    "octets",
    [
        *(
            b"",
            b"+OK ready",
            b"-ERR",
            b"* OKAY",
            b"*OK",
            b" * OK",
            b"+OK * OK",
            b"* NO",
            b"* ",
            b"220",
            b"2200 ",
            b"221 bye",
        ),
        *(
            b"HTTP",
            b"HTTP/x",
            b"xHTTP/1.1",
            b"SSH-",
            b"\x15",
            b"\x15\x03",
            b"\x15\x03\x05",
            b"\x14\x03\x01",
            b"\x16\x02\x00",
        ),
    ],
)
def test_what_may_be_anything_is_not_named(octets):
    assert looks_like(octets) == ""


@given(st.binary())
def test_a_pop3_server_is_no_stranger(octets):
    assert looks_like(b"+OK" + octets) == looks_like(b"-ERR" + octets) == ""
