"""`MemoryAuthenticator`: who gets in, what can be announced, and that nothing tells who exists."""

import hashlib
import hmac
import subprocess
import sys

import pytest
from hypothesis import assume, given, strategies as st

from pop3proto import authenticators
from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator, MemoryTokens
from pop3proto.core.errors import LocalProtocolError
from pop3proto.sasl.authenticator import TokenVerifier
from pop3proto.sasl.channel import SessionInfo
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.registry import SERVER_MECHANISMS
from pop3proto.sasl.saslprep import prepare
from pop3proto.sasl.scram.keys import ScramKeys
from tests.helpers.processes import PATIENCE

HERE = SessionInfo()


@pytest.fixture(scope="module", autouse=True)
def scram_keys_are_kept():
    """They are derived by each authenticator here."""


def prepared(text: str) -> str:
    try:
        return prepare(text, stored=True)
    except MechanismError:
        return ""


# SASLprep changes some of them: ligatures, odd blanks, what shows nothing.
MOSTLY_LATIN = st.characters(min_codepoint=0x20, max_codepoint=0x21F, exclude_categories=["Cc"])
ODD = st.sampled_from("\ufb01\u3000\u00a0\u200b\u00ad\u00aa\u2168\u0301\u4e2d")
HEBREW = st.sampled_from("\u05d0\u05d1\u05d2")
texts = (st.text(MOSTLY_LATIN | ODD, min_size=1, max_size=20) | st.text(HEBREW, min_size=1)).filter(prepared)


@given(user=texts, password=texts, guess=texts)
def test_who_knows_the_password_gets_in(user, password, guess):
    authenticator = MemoryAuthenticator({user: password}, scram_algorithms=["SHA-1"], iterations=1)
    name, right = prepare(user, stored=False), prepare(password, stored=False)
    assert authenticator.check_password(name, right, HERE)
    assert authenticator.secret(name, HERE) == right
    keys = authenticator.scram_keys(name, "SHA-1", HERE)
    assert keys == ScramKeys.derive("SHA-1", password, keys.salt, 1)
    assume(prepared(guess) != right)
    assert not authenticator.check_password(name, prepared(guess), HERE)


@given(st.text(), st.text())
def test_nobody_else_does(user, password):
    authenticator = MemoryAuthenticator({"ann": "secret"}, scram_algorithms=[])
    assume((user, password) != ("ann", "secret"))
    assert not authenticator.check_password(user, password, HERE)
    assert user == "ann" or authenticator.secret(user, HERE) is None


@pytest.mark.parametrize("passwords", [{"ann": "\0"}, {"a\nb": "secret"}, {"ann": ""}, {"ann": "\u00ad"}])
def test_what_nobody_could_log_in_with(passwords):
    with pytest.raises(MechanismError):
        MemoryAuthenticator(passwords)


def test_an_algorithm_that_is_none():
    with pytest.raises(LocalProtocolError):
        MemoryAuthenticator({"ann": "secret"}, scram_algorithms=["MD5"])


# ------------------------------------------------------------------------------------------- announced


def announced(authenticator) -> set[str]:
    return {name for name, entry in SERVER_MECHANISMS.items() if entry.suits(authenticator, HERE)}


def test_what_can_be_announced_is_what_it_can_verify():
    passwords = MemoryAuthenticator({"ann": "secret"})
    assert announced(passwords) == {
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "SCRAM-SHA-512",
    }
    assert announced(MemoryAuthenticator({}, scram_algorithms=["SHA-256"])) == {
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "SCRAM-SHA-256",
    }
    assert not isinstance(passwords, TokenVerifier)
    assert announced(MemoryTokens({})) == {"OAUTHBEARER", "XOAUTH2"}
    assert announced(MemoryTokenAuthenticator({}, {})) == announced(passwords) | {"OAUTHBEARER", "XOAUTH2"}


# ------------------------------------------------------------------------------------- equally for all


def test_it_never_computes_for_long(monkeypatch):
    authenticator = MemoryAuthenticator({"ann": "secret"})
    assert not authenticator.blocks

    def never(*_: object) -> bytes:
        raise AssertionError("a login must not compute keys")

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", never)
    for user in ("ann", "bob"):
        for algorithm in authenticator.scram_algorithms:
            assert authenticator.scram_keys(user, algorithm, HERE)


def test_names_cannot_be_probed_by_scram():
    authenticator = MemoryAuthenticator({"ann": "secret"})
    for algorithm in ("SHA-1", "SHA-256", "SHA-512"):
        real, decoy, other = (authenticator.scram_keys(user, algorithm, HERE) for user in ("ann", "bob", "eve"))
        assert decoy == authenticator.scram_keys("bob", algorithm, HERE)
        assert decoy.salt != other.salt
        assert (len(decoy.salt), decoy.iterations) == (len(real.salt), real.iterations)
        assert (len(decoy.stored_key), len(decoy.server_key)) == (len(real.stored_key), len(real.server_key))


def test_the_same_work_whether_or_not_there_is_such_a_user(monkeypatch):
    calls: list[str] = []

    def counting(name, function):
        def call(*arguments, **options):
            calls.append(name)
            return function(*arguments, **options)

        return call

    authenticator = MemoryAuthenticator({"ann": "secret"})
    monkeypatch.setattr(hmac, "compare_digest", counting("compare", hmac.compare_digest))
    monkeypatch.setattr(hmac, "digest", counting("digest", hmac.digest))
    work = []
    for user in ("ann", "bob"):
        calls.clear()
        authenticator.check_password(user, "guess", HERE)
        authenticator.scram_keys(user, "SHA-256", HERE)
        work.append(calls.copy())
    assert work[0] == work[1]
    assert "compare" in work[0]
    assert "digest" in work[0]


# ---------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    "user, token, whose",
    [
        ("ann", "t1", "ann"),
        ("", "t1", "ann"),
        ("", "t2", "bob"),
        ("ann", "t2", None),
        ("ann", "", None),
        ("ann", "T1", None),
        ("", "\udcff", None),
    ],
)
def test_tokens(user, token, whose):
    authenticator = MemoryTokenAuthenticator({"ann": "secret"}, {"t1": "ann", "t2": "bob"}, iterations=1)
    assert authenticator.check_token(user, token, HERE) == whose
    assert authenticator.check_password("ann", "secret", HERE)


def test_secrets_are_not_printed():
    authenticator = MemoryTokenAuthenticator({"ann": "marker"}, {"marked": "ann"}, scram_algorithms=[])
    assert "mark" not in repr(authenticator)


# --------------------------------------------------------------------------------------------- package


def test_the_package_has_what_it_says():
    assert all(hasattr(authenticators, name) for name in authenticators.__all__)
    assert not hasattr(authenticators, "Nobody")


@pytest.mark.parametrize("name, why", [("UsersFile", "are locked with flock"), ("CheckPassword", "descriptor 3")])
def test_a_system_that_is_no_posix_is_told_so_when_it_matters(name, why):
    code = "import sys; sys.modules['fcntl'] = None; from pop3proto.authenticators import "
    for wanted, status in (("MemoryAuthenticator", 0), (name, 1)):
        result = subprocess.run(
            [sys.executable, "-c", code + wanted], check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        assert result.returncode == status
    assert why in result.stderr
