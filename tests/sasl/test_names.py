"""Names, passwords and headers: what the mechanisms have in common."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.sasl.mechanism import CredentialsRejected, MechanismError
from pop3proto.sasl.names import (
    check_name,
    check_password,
    escape_name,
    password_key,
    prepare_name,
    proves,
    read_name,
    read_password,
    read_utf8,
    unescape_name,
)
from pop3proto.sasl.saslprep import prepare
from tests.helpers.sasl_exchanges import SECRET, assert_without_secret, names, passwords

UNSAYABLE = ["\0", "\r", "\n", "\ud800", "\udcff"]
NO_NAMES = [*UNSAYABLE, "\t", "\x1b", "\x7f", "\x85", "\x9f"]


@given(names)
def test_a_server_reads_what_a_client_says_prepared(name):
    assert read_name(name.encode(), "the name") == prepare(name, stored=False) == prepare_name(name, "the name")


@given(passwords)
def test_a_password_is_read_prepared(password):
    assert read_password(password.encode()) == prepare(password, stored=False)


@given(st.binary())
def test_any_octets_are_a_name_or_refused(octets):
    try:
        name = read_name(octets, "the name")
    except MechanismError:
        return
    assert name
    assert not any(unsayable in name for unsayable in NO_NAMES)


def test_only_one_that_was_empty_may_be_empty():
    assert read_name(b"", "the name", required=False) == ""
    for octets in (b"", "\u00ad".encode()):
        with pytest.raises(MechanismError, match="the name must not be empty"):
            read_name(octets, "the name")
    with pytest.raises(MechanismError):
        read_name("\u00ad".encode(), "the name", required=False)


@pytest.mark.parametrize("bad", NO_NAMES)
def test_no_name(bad):
    with pytest.raises(MechanismError, match="the trace must not contain control"):
        check_name(f"a{bad}b", "the trace", required=False)
    with pytest.raises(MechanismError):
        prepare_name(f"a{bad}b", "the name")


def test_a_name_that_is_asked_for_is_not_empty():
    check_name("", "the name", required=False)
    check_name("Jörg \u00ad", "the name")
    with pytest.raises(MechanismError):
        check_name("", "the name")


@pytest.mark.parametrize("bad", UNSAYABLE)
def test_no_password(bad):
    with pytest.raises(MechanismError) as refusal:
        check_password(f"{SECRET}{bad}")
    assert_without_secret(refusal.value, SECRET)
    with pytest.raises(MechanismError) as refusal:
        password_key(f"{SECRET}{bad}", stored=False)
    assert_without_secret(refusal.value, SECRET)


def test_a_password_may_hold_what_no_name_may():
    check_password("\x7f \t")


@pytest.mark.parametrize("password", ["", "\u00ad", "a\tb", "\u06271", "\0"])
def test_what_cannot_be_a_password_is_that_of_nobody(password):
    with pytest.raises(CredentialsRejected):
        read_password(password.encode())
    with pytest.raises(MechanismError):
        password_key(password, stored=False)
    assert not proves("", password, lambda secret: password_key(secret, stored=False).decode())


def test_octets_that_are_not_utf8_are_not_kept():
    for read in (read_password, lambda octets: read_utf8(octets, "it")):
        with pytest.raises(MechanismError, match="is not UTF-8") as refusal:
            read(SECRET.encode() + b"\xff")
        assert refusal.value.__context__ is None
        assert_without_secret(refusal.value, SECRET)


def test_a_key_is_prepared_by_the_rules_that_are_asked_for():
    assert password_key("\u00aa", stored=True) == b"a"
    assert password_key("\U0001f512", stored=False) == "\U0001f512".encode()
    with pytest.raises(MechanismError):
        password_key("\U0001f512", stored=True)


@pytest.mark.parametrize(
    "secret,digest,expected",
    [("a", "aa", True), ("a", "ab", False), ("a", "", False), ("a", "aä", False), ("a", "a\ud800", False)],
)
def test_a_digest_proves_what_it_was_made_from(secret, digest, expected):
    assert proves(digest, secret, lambda text: text * 2) is expected


def test_nobody_has_no_digest_that_could_be_guessed():
    made = []

    def make(secret):
        made.append(secret)
        return "always the same"

    assert not proves("always the same", None, make)
    assert len(made) == 1, "one digest, as for a user"


@given(st.text(st.characters(codec="utf-8")))
def test_an_escaped_name_is_the_same_name(name):
    escaped = escape_name(name)
    assert "," not in escaped
    assert unescape_name(escaped) == name


@pytest.mark.parametrize(
    "name,escaped", [("u=s,er", "u=3Ds=2Cer"), ("=2C", "=3D2C"), ("=", "=3D"), (",", "=2C"), ("ä", "ä")]
)
def test_escapes(name, escaped):
    assert escape_name(name) == escaped
    assert unescape_name(escaped) == name


@pytest.mark.parametrize("escaped", ["a=20b", "a=", "a=2", "a=2cb", "a,b", "=="])
def test_no_escapes(escaped):
    with pytest.raises(MechanismError):
        unescape_name(escaped)
