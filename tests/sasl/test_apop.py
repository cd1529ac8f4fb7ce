"""The digest of APOP (RFC 1939 section 7, RFC 6856 section 2.2)."""

import hashlib

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.md5 import apop_digest, apop_matches
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import SECRET, assert_without_secret, passwords

TIMESTAMP = "<1896.697170952@dbc.mtview.ca.us>"

timestamps = st.text(st.characters(codec="ascii"))


def is_storable(password):
    try:
        prepare(password, stored=True)
    except MechanismError:
        return False
    return True


secrets = passwords.filter(is_storable)


@given(timestamps, secrets, secrets)
def test_a_digest_matches_its_own_secret_and_no_other(timestamp, secret, other):
    digest = apop_digest(timestamp, secret)
    assert apop_matches(timestamp, secret, digest)
    assert apop_matches(timestamp, other, digest) == (prepare(secret, stored=True) == prepare(other, stored=True))
    assert not apop_matches(f"{timestamp}x", secret, digest)
    assert not apop_matches(timestamp, None, digest)


@given(timestamps, secrets)
def test_a_digest_is_the_md5_of_timestamp_and_secret(timestamp, secret):
    octets = (timestamp + prepare(secret, stored=True)).encode()
    assert apop_digest(timestamp, secret) == hashlib.md5(octets).hexdigest()


@given(st.text(st.characters()))
def test_any_text_is_a_digest_that_does_not_match(digest):
    assert not apop_matches(TIMESTAMP, SECRET, digest)


def test_the_secret_is_prepared():
    assert apop_digest(TIMESTAMP, "\u00aa") == apop_digest(TIMESTAMP, "a")
    assert apop_matches(TIMESTAMP, "\u00aa", apop_digest(TIMESTAMP, "a"))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("\u0221", id="no character of Unicode 3.2"),
        pytest.param("\n", id="LF"),
        pytest.param("\0", id="NUL"),
        pytest.param("\ud800", id="a surrogate"),
        pytest.param("\u0627", id="directions mixed"),
    ],
)
def test_what_no_secret_holds(bad):
    with pytest.raises(MechanismError) as refusal:
        apop_digest(TIMESTAMP, f"{SECRET}{bad}")
    assert_without_secret(refusal.value, SECRET)
    for guess in (SECRET, "decoy password"):
        assert not apop_matches(TIMESTAMP, f"{SECRET}{bad}", apop_digest(TIMESTAMP, guess))


@pytest.mark.parametrize("secret", ["", "\u00ad"])
def test_an_empty_secret_is_none(secret):
    with pytest.raises(MechanismError):
        apop_digest(TIMESTAMP, secret)
    assert not apop_matches(TIMESTAMP, secret, hashlib.md5(TIMESTAMP.encode()).hexdigest())


def test_nobody_has_no_password():
    for guess in ("decoy password", "None", SECRET):
        assert not apop_matches(TIMESTAMP, None, apop_digest(TIMESTAMP, guess))


@pytest.mark.parametrize("timestamp", ["<ä@example.com>", "<\ud800@example.com>"])
def test_a_timestamp_is_ascii(timestamp):
    with pytest.raises(MechanismError):
        apop_digest(timestamp, SECRET)
    for secret in (SECRET, None):
        with pytest.raises(MechanismError):
            apop_matches(timestamp, secret, "0" * 32)
