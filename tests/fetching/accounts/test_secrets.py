"""The secret of an account during a run: fetched once, and again when it is refused."""

import os
import sys
from pathlib import Path

import pytest

from pop3proto.fetching.accounts import Access, FromCommand, FromFile, SecretError, SecretSource
from pop3proto.sasl import ClientCertificate, Password, Token

COUNTS = (
    "import pathlib, sys; file = pathlib.Path(sys.argv[1]); "
    "number = int(file.read_text()) + 1 if file.exists() else 1; file.write_text(str(number)); print(f'token{number}')"
)


def access(**settings):
    return Access.of_url("pops://ann@pop.example.org", **settings)


def counting(file):
    return FromCommand((sys.executable, "-c", COUNTS, str(file)))


def test_a_command_is_run_once_and_again_when_its_token_is_refused(tmp_path):
    source = SecretSource(access(token=counting(tmp_path / "count")))
    assert not (tmp_path / "count").exists()
    assert [source.get(), source.get()] == [Token("ann", "token1")] * 2
    assert source.get(refused=True) == Token("ann", "token2")
    assert source.get() == Token("ann", "token2")
    assert (tmp_path / "count").read_text() == "2"


def test_the_same_secret_is_never_returned_after_it_was_refused(tmp_path):
    file = tmp_path / "password"
    file.write_text("tanstaaf")
    source = SecretSource(access(password=FromFile(file)))
    assert source.get() == Password("ann", "tanstaaf")
    with pytest.raises(SecretError, match="the password is still the one that the server has refused") as failed:
        source.get(refused=True)
    assert "tanstaaf" not in str(failed.value)
    file.write_text("another")
    assert source.get(refused=True) == Password("ann", "another")


def test_without_a_place_it_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr("getpass.getpass", lambda question: asked.append(question) or "typed")
    assert SecretSource(access()).get() == Password("ann", "typed")
    assert SecretSource(access(login="XOAUTH2")).get() == Token("ann", "typed")
    assert asked == ["Password for ann on pop.example.org: ", "Token for ann on pop.example.org: "]


def test_a_certificate_needs_no_secret():
    for settings in ({"login": "EXTERNAL"}, {}):
        source = SecretSource(access(certificate=Path("/c"), **settings))
        assert not source.asks
        assert source.get() == ClientCertificate("ann")
    assert SecretSource(access(certificate=Path("/c"), login="PLAIN")).asks


@pytest.mark.skipif(os.name != "posix", reason="elsewhere modes say nothing")
def test_a_key_that_others_may_read_is_noted(tmp_path):
    both, key, password = (tmp_path / name for name in ("both.pem", "key.pem", "password"))
    for file in (both, key, password):
        file.write_text("-----BEGIN EC PRIVATE KEY-----\n" if file != password else "tanstaaf")
        file.chmod(0o600)
    for settings, holder in (
        ({"certificate": both}, both),
        ({"certificate": both, "certificate_key": key}, key),
        ({"certificate": both, "password": FromFile(password)}, both),  # it is shown all the same
    ):
        notes = []
        SecretSource(access(**settings), notes.append).get()
        assert notes == []
        holder.chmod(0o640)
        SecretSource(access(**settings), notes.append).get()
        assert notes == [
            f"note: other users of this machine may read the private key in {holder} (mode 0640): chmod 600 it"
        ]
        holder.chmod(0o600)
    both.write_text("-----BEGIN CERTIFICATE-----\n")
    both.chmod(0o644)
    notes = []
    SecretSource(access(certificate=both), notes.append).get()
    assert notes == [], "there is no key in it"


def test_notes_come_to_the_caller(tmp_path):
    file = tmp_path / "password"
    file.write_text("tanstaaf")
    file.chmod(0o644)
    notes = []
    SecretSource(access(password=FromFile(file)), notes.append).get()
    assert len(notes) == 1


def test_nothing_shows_the_secret(tmp_path):
    file = tmp_path / "password"
    file.write_text("tanstaaf")
    source = SecretSource(access(password=FromFile(file)))
    source.get()
    assert "tanstaaf" not in f"{source!r}{source.get()!r}"
