"""Password hashes of other servers: each scheme takes its password and no other."""

import base64
import hashlib
import subprocess
import sys
from contextlib import suppress

import argon2
import bcrypt
import pytest
from hypothesis import given, settings, strategies as st

from pop3proto.authenticators.crypt_hashes import md5_crypt, sha_crypt
from pop3proto.authenticators.schemes import SCHEMES, UnusableHash, parse_hash
from pop3proto.sasl.scram.keys import ScramKeys
from tests.helpers.depth import deep

PASSWORD = "tanstaaf"
OCTETS = PASSWORD.encode()


def b64(octets):
    return base64.b64encode(octets).decode()


def keys(algorithm):
    made = ScramKeys.derive(algorithm, PASSWORD, b"salty", 4096)
    return f"4096,{b64(made.salt)},{b64(made.stored_key)},{b64(made.server_key)}"


def argon(costs, salt="c2FsdHNhbHQ", digest="A" * 22):
    return f"$argon2id$v=19${costs}${salt}${digest}"


# From other programs: doveadm pw, htpasswd, openssl passwd.
HASHES = {
    "PLAIN": "{PLAIN}tanstaaf",
    "SHA256-CRYPT": "{SHA256-CRYPT}$5$saltysalt$" + sha_crypt("sha256", OCTETS, b"saltysalt", 5000).decode(),
    "SHA512-CRYPT": "$6$rounds=1000$saltysalt$" + sha_crypt("sha512", OCTETS, b"saltysalt", 1000).decode(),
    "MD5-CRYPT": "$1$abcdefgh$" + md5_crypt(b"$1$", OCTETS, b"abcdefgh").decode(),
    "APR1": "$apr1$abcdefgh$" + md5_crypt(b"$apr1$", OCTETS, b"abcdefgh").decode(),
    "BLF-CRYPT": "{BLF-CRYPT}" + bcrypt.hashpw(OCTETS, bcrypt.gensalt(4)).decode(),
    "ARGON2I": "{ARGON2I}" + argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I).hash(PASSWORD),
    "ARGON2ID": argon2.PasswordHasher(1, 8, 1).hash(PASSWORD),
    "PBKDF2": "{PBKDF2}$1$salty$1000$" + hashlib.pbkdf2_hmac("sha1", OCTETS, b"salty", 1000).hex(),
    "SCRAM-SHA-1": "{SCRAM-SHA-1}" + keys("SHA-1"),
    "SCRAM-SHA-256": "{SCRAM-SHA-256}" + keys("SHA-256"),
    "SHA": "{SHA}" + b64(hashlib.sha1(OCTETS).digest()),
    "SHA256": "{SHA256}" + b64(hashlib.sha256(OCTETS).digest()),
    "SHA512": "{SHA512.HEX}" + hashlib.sha512(OCTETS).hexdigest(),
    "SSHA": "{SSHA}" + b64(hashlib.sha1(OCTETS + b"salt").digest() + b"salt"),
    "SSHA256": "{ssha256}" + b64(hashlib.sha256(OCTETS + b"salt").digest() + b"salt"),
    "SSHA512": "{SSHA512.b64}" + b64(hashlib.sha512(OCTETS + b"salt").digest() + b"salt"),
    "SMD5": "{SMD5}" + b64(hashlib.md5(OCTETS + b"salt").digest() + b"salt"),
    "LDAP-MD5": "{LDAP-MD5}" + b64(hashlib.md5(OCTETS).digest()),
    "PLAIN-MD5": "{PLAIN-MD5}" + hashlib.md5(OCTETS).hexdigest(),
}


def test_every_scheme_is_tried():
    assert HASHES.keys() == {*SCHEMES}


@pytest.mark.parametrize("scheme", HASHES)
def test_it_takes_its_password_and_no_other(scheme):
    hashed = parse_hash(HASHES[scheme])
    assert hashed.scheme == scheme
    assert hashed.matches(PASSWORD)
    for other in ("", "tanstaa", "tanstaafl", "TANSTAAF", "tanstaaf\0", "é\udc80", PASSWORD * 100):
        assert not hashed.matches(other)
    assert PASSWORD not in repr(hashed)


@pytest.mark.parametrize(
    "hashed, password",
    [  # made by crypt(3) of glibc
        ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
        ("$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA", "Hello world!"),
        ("$5$s$BevISksOPtHXWo6pZAodK36ZX1XnNOGBBaLrAbd3wJ2", "x" * 120),
        (
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            "Hello world!",
        ),
        (
            "$6$rounds=1400$anotherlongsalts$mCoRUqwEX0NrhOqIObM/YK8I0BuCmUYKomWpjONmu9.RqIaLxKSJKLfj4eehxWZCgQbcfoYphnH9InQEfX7x5/",
            "é" * 30,
        ),
        ("$1$abcdefgh$fzmjzFdo5nMtBG8gtud5e0", "Hello world!"),
    ],
)
def test_hashes_of_the_c_library(hashed, password):
    assert parse_hash(hashed).matches(password)
    assert not parse_hash(hashed).matches(password[1:])


@pytest.mark.interop
@pytest.mark.parametrize(
    "option, scheme", [("-1", "MD5-CRYPT"), ("-apr1", "APR1"), ("-5", "SHA256-CRYPT"), ("-6", "SHA512-CRYPT")]
)
@settings(max_examples=deep(20, 3), deadline=None)
@given(password=st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_openssl_makes_the_same(require_program, option, scheme, password):
    openssl = require_program("openssl")
    made = subprocess.run(
        [openssl, "passwd", option, "-stdin"],
        input=password + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    hashed = parse_hash(made.stdout.strip())
    assert hashed.scheme == scheme
    assert hashed.matches(password)
    assert not hashed.matches(password + "x")


@pytest.mark.interop
@pytest.mark.deep
@pytest.mark.parametrize("scheme", [*(each for each in SCHEMES if each != "APR1"), "CRYPT"])
def test_dovecot_makes_the_same(require_program, scheme):
    doveadm = require_program("doveadm")
    command = [doveadm, "pw", "-s", scheme, "-p", PASSWORD]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    hashed = parse_hash(made.stdout.strip())
    assert scheme in {hashed.scheme, "CRYPT"}
    assert hashed.matches(PASSWORD)
    assert not hashed.matches("tanstaa")


@pytest.mark.parametrize(
    "text, why",
    [
        (
            "{CRAM-MD5}9186d855e11eba527a7a52ca82b313e180d62234f0acc9051b527243d41e2740",
            "the scheme CRAM-MD5 is not supported; supported are PLAIN, SHA256-CRYPT",
        ),
        ("{WHATEVER}x", "the scheme WHATEVER is not supported"),
        ("rKFxHbTPGjlaE", "a hash of crypt(3) that is not supported"),
        ("$y$j9T$x$y", "a hash of crypt(3) that is not supported"),
        ("", "a hash of crypt(3) that is not supported"),
        ("{PLAIN}", "an empty password"),
        ("{SSHA}x", "not a hash of the scheme SSHA"),
        ("{SHA}" + b64(b"x" * 21), "not a hash of the scheme SHA"),
        ("{SSHA}" + b64(b"x" * 20), "not a hash of the scheme SSHA"),
        ("{SHA256-CRYPT}$6$salt$x", "not a hash of the scheme SHA256-CRYPT"),
        ("$6$rounds=9999999$salt$x", "the hash has 9999999 rounds"),
        ("$2y$10$x", "not a hash of the scheme BLF-CRYPT"),
        ("$2y$10$" + "a" * 53, "not a hash of the scheme BLF-CRYPT"),
        ("$2x$05$" + "." * 53, "not a hash of the scheme BLF-CRYPT"),
        ("$2y$03$" + "." * 53, "the hash has the cost 03; it may be 4 to 16"),
        ("$2y$00$" + "." * 53, "the hash has the cost 00; it may be 4 to 16"),
        ("{BLF-CRYPT}$2y$31$" + "." * 53, "the hash has the cost 31; it may be 4 to 16"),
        (argon("m=99999999,t=1,p=1"), "the hash has m=99999999,t=1,p=1, which would take too much time or memory"),
        (argon("m=1048576,t=5,p=1"), "too much time or memory"),
        (argon("m=8,t=999999,p=1"), "too much time or memory"),
        (argon("m=8000,t=1,p=1000"), "too much time or memory"),
        (argon("m=8,t=1,p=2"), "not a hash of the scheme ARGON2ID"),
        (argon("m=8,t=1,p=0"), "not a hash of the scheme ARGON2ID"),
        (argon("m=8,t=0,p=1"), "not a hash of the scheme ARGON2ID"),
        (argon("m=08,t=1,p=1"), "not a hash of the scheme ARGON2ID"),
        (argon("m=8,t=1,p=1", salt="c2Fs"), "not a hash of the scheme ARGON2ID"),
        (argon("m=8,t=1,p=1", salt="c2FsdHNhbHR"), "not a hash of the scheme ARGON2ID"),
        (argon("m=8,t=1,p=1", digest="AAA"), "not a hash of the scheme ARGON2ID"),
        (argon("m=8,t=1,p=1", digest="A" * 400_000), "not a hash of the scheme ARGON2ID"),
        ("{PBKDF2}$1$s$1000000$" + "00" * 65, "the hash has more than 64 octets"),
        ("{PLAIN.b64}cHc=", "the encoding .b64 is not supported for the scheme PLAIN"),
        ("{CRYPT.HEX}$6$salt$x", "the encoding .hex is not supported for the scheme SHA512-CRYPT"),
        ("$argon2id$v=19$x", "not a hash of the scheme ARGON2ID"),
        ("{PBKDF2}$1$salt$0$00", "not a hash of the scheme PBKDF2"),
        ("{PBKDF2}$1$\udcf3$1$00", "not a hash of the scheme PBKDF2"),
        ("$6$\udcf3$x", "not a hash of the scheme SHA512-CRYPT"),
        ("{SCRAM-SHA-256}4096,x", "not a hash of the scheme SCRAM-SHA-256"),
        ("{SCRAM-SHA-256}0," + keys("SHA-256").partition(",")[2], "not a hash of the scheme SCRAM-SHA-256"),
        ("$apr1$toolongsalt$" + "." * 22, "not a hash of the scheme APR1"),
    ],
)
def test_what_cannot_be_used_says_why(text, why):
    with pytest.raises(UnusableHash) as failed:
        parse_hash(text)
    assert why in str(failed.value)
    assert (
        not text
        or text.rpartition("}")[2][:20] == "x"
        or text.rpartition("}")[2] not in str(failed.value)
        or not text.rpartition("}")[2]
    )


@given(
    text=st.text(max_size=40)
    | st.from_regex(r"\{(SSHA|SHA512|PBKDF2|SCRAM-SHA-1|CRYPT)\}[$0-9a-zA-Z+/=,]*", fullmatch=True)
)
def test_no_text_raises_anything_else(text):
    with suppress(UnusableHash):
        parse_hash(text)


@pytest.mark.parametrize("scheme, package", [("BLF-CRYPT", "bcrypt"), ("ARGON2ID", "argon2")])
def test_without_its_package_it_says_so(monkeypatch, scheme, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnusableHash, match=rf"the scheme {scheme} needs a package: .*pop3proto\[server\]"):
        parse_hash(HASHES[scheme])
