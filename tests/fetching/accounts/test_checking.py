"""`--check-config` reads the files that accounts name: certificates, keys, passwords."""

import datetime as dt
import os
import re
import ssl

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from hypothesis import example, given, strategies as st

from pop3proto.cli import main
from pop3proto.fetching.accounts import AccountError, ConfigError, check_config, read_config, tls_context
from pop3proto.fetching.accounts.certificate_facts import CertificateFacts
from pop3proto.fetching.accounts.tls_files import show_certificate
from tests.helpers.client_certificates import ClientAuthority, with_subject

WHOLE = """
user = "ann"
host = "h"
deliver = { maildir = "/mail" }
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of certificates and keys, good and bad."""
    folder = tmp_path_factory.mktemp("files")
    authority = ClientAuthority()
    names = {"ann": [x509.RFC822Name("ann@example.org"), x509.DNSName("a.example.org")], "bob": ()}
    for name, alternatives in names.items():
        both = folder / f"{name}.pem"
        made = authority.issue(both, with_subject(COMMON_NAME=name), alternatives)
        before = both.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")[0]
        (folder / f"{name}.key").write_bytes(before)
        (folder / f"{name}.crt").write_bytes(made.public_bytes(Encoding.PEM))
        (folder / f"{name}.der").write_bytes(made.public_bytes(Encoding.DER))
        key = load_pem_private_key(before, None)
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        (folder / f"{name}.locked").write_bytes(locked)
        bag = serialize_key_and_certificates(None, key, made, None, BestAvailableEncryption(b"x"))
        (folder / f"{name}.p12").write_bytes(bag)
        (folder / f"{name}.keyder").write_bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    rsa = trustme.CA().issue_cert("x.example.org", key_type=trustme.KeyType.RSA)
    rsa.private_key_pem.write_to_path(folder / "rsa.key")
    (folder / "half.crt").write_bytes((folder / "ann.crt").read_bytes()[:200])
    (folder / "two.crt").write_bytes((folder / "bob.crt").read_bytes() + (folder / "ann.crt").read_bytes())
    (folder / "empty").write_bytes(b"")
    authority.issue(
        folder / "old.pem", with_subject(COMMON_NAME="old"), ends=dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
    )
    for file in folder.iterdir():
        file.chmod(0o600)
    return folder


def test_a_check_says_whose_the_certificate_is(write, files):
    lines = check_config(write(f"[account.a]\n{WHOLE}\ncertificate = '{files}/ann.pem'\n"))
    [shown] = [line for line in lines if "certificate:" in line]
    until = CertificateFacts.of(files / "ann.pem").until_words
    assert shown == f"  client certificate: {files}/ann.pem, of ann@example.org, a.example.org, valid until {until}"
    made = x509.load_pem_x509_certificate((files / "ann.pem").read_bytes())
    assert until == f"{made.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    assert not any("note" in line for line in lines)
    lines = check_config(
        write(f"[account.a]\n{WHOLE}\ncertificate = '{files}/bob.crt'\ncertificate_key = '{files}/bob.key'\n")
    )
    assert f"  its private key: {files}/bob.key" in lines
    assert any(f"{files}/bob.crt, of bob, valid until " in line for line in lines)


PIECES = [b"\x30\x82\x01\x01", b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", b"MIIB\n"]
PIECES += [
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
    b"-----BEGIN X PRIVATE KEY-----\n",
    b"-----END X PRIVATE KEY-----\n",
]


@given(
    st.lists(st.sampled_from(["key", "crt", "locked", "der", "p12"]) | st.sampled_from(PIECES) | st.binary()),
    st.integers(min_value=0),
)
@example(["key", "crt"], 0)
@example(["crt", "key"], 1)
def test_whatever_is_in_a_file_it_is_used_or_refused_in_words(files, pieces, cut):
    octets = b"".join(each if isinstance(each, bytes) else (files / f"ann.{each}").read_bytes() for each in pieces)
    file = files / "any"
    file.write_bytes(octets[: len(octets) - cut % 3 * 20])
    why = None
    try:
        show_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), file)
    except AccountError as error:
        why = str(error)
    if why is None:
        assert CertificateFacts.of(file).names == ("ann@example.org", "a.example.org")
    else:
        assert str(file) in why
        assert why.isprintable()


def test_where_a_certificate_cannot_be_read_nothing_is_said_of_it(files, monkeypatch):
    assert CertificateFacts.of(files / "empty") is None
    monkeypatch.delattr("_ssl._test_decode_cert")
    assert CertificateFacts.of(files / "ann.pem") is None


@pytest.mark.parametrize(
    "settings, why",
    [
        ({"certificate": "nowhere"}, "cannot read the client certificate {0}/nowhere: No such file or directory"),
        (
            {"certificate": "ann.crt"},
            (
                "there is no private key (PEM) in {0}/ann.crt; put it there, or name its file by certificate_key "
                "(--certificate-key FILE)"
            ),
        ),
        ({"certificate": "ann.key"}, "there is no certificate (PEM) in {0}/ann.key"),
        ({"certificate": "empty"}, "there is no certificate (PEM) in {0}/empty"),
        (
            {"certificate": "ann.der", "certificate_key": "ann.key"},
            (
                "there is no certificate (PEM) in {0}/ann.der; it seems to be DER: "
                "openssl x509 -inform DER -in {0}/ann.der -out NEW"
            ),
        ),
        (
            {"certificate": "ann.p12"},
            (
                "there is no certificate (PEM) in {0}/ann.p12; it seems to be PKCS #12: "
                "openssl pkcs12 -in {0}/ann.p12 -nodes -out NEW"
            ),
        ),
        (
            {"certificate": "ann.crt", "certificate_key": "ann.keyder"},
            (
                "there is no private key (PEM) in {0}/ann.keyder; it seems to be DER: "
                "openssl pkey -inform DER -in {0}/ann.keyder -out NEW"
            ),
        ),
        (
            {"certificate": "ann.crt", "certificate_key": "nowhere"},
            "cannot read the private key {0}/nowhere: No such file or directory",
        ),
        (
            {"certificate": "ann.crt", "certificate_key": "ann.crt"},
            "there is no private key (PEM) in {0}/ann.crt",
        ),
        (
            {"certificate": "ann.crt", "certificate_key": "bob.key"},
            "the private key in {0}/bob.key does not belong to the certificate in {0}/ann.crt",
        ),
        (
            {"certificate": "ann.crt", "certificate_key": "rsa.key"},
            "the private key in {0}/rsa.key does not belong to the certificate in {0}/ann.crt",
        ),
        (
            {"certificate": "two.crt", "certificate_key": "ann.key"},
            "the private key in {0}/ann.key does not belong to the first certificate in {0}/two.crt",
        ),
        (
            {"certificate": "ann.crt", "certificate_key": "ann.locked"},
            (
                "the private key in {0}/ann.locked is encrypted, and its passphrase cannot be asked for; decrypt it: "
                "openssl pkey -in {0}/ann.locked -out NEW"
            ),
        ),
        (
            {"certificate": "half.crt", "certificate_key": "ann.key"},
            (
                "the client certificate {0}/half.crt and the private key in {0}/ann.key cannot be used: "
                "one of them is incomplete, or no PEM"
            ),
        ),
        (
            {"certificate": "old.pem"},
            "the client certificate {0}/old.pem has expired: it was valid until 2026-01-02 03:04 UTC",
        ),
        ({"ca_file": "nowhere"}, "cannot read certificate authorities from {0}/nowhere: No such file or directory"),
        ({"ca_file": "ann.key"}, "{0}/ann.key holds no certificates (PEM) of authorities"),
    ],
)
def test_a_check_tells_of_files_that_cannot_be_used(write, files, capsys, settings, why):
    lines = "".join(f"{key} = '{files / name}'\n" for key, name in settings.items())
    config = write(f"[account.a]\n{WHOLE}\n{lines}")
    [account] = read_config(config).accounts  # a fetch of other accounts goes on
    assert main(["fetch", "--check-config", "--config", str(config)]) == 78
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == (
        "",
        [
            f"pop3proto fetch: {config}: [account.a]: {why.format(files)}",
            "pop3proto fetch: 1 error in the configuration",
        ],
    )
    if "expired" not in why:
        with pytest.raises(AccountError, match=re.escape(why.format(files))):
            tls_context(account)


def test_a_check_tells_of_all_files_at_once_and_of_what_else_is_wrong(write, files, tmp_path):
    config = write(
        f"""
[account.a]
{WHOLE}
ca_file = '{files}/empty'
certificate = '{files}/old.pem'
certificate_key = '{files}/nowhere'
password = {{ file = '{files}/nothing' }}
[account.b]
{WHOLE}
token = {{ file = '{files}/empty' }}
[account.c]
{WHOLE}
password = {{ netrc = '{files}/empty' }}
[account.d]
{WHOLE}
newest = 0
[account.e]
user = 'ann'
password = {{ netrc = '{files}/empty' }}
deliver = {{ stdout = true }}
"""
    )
    with pytest.raises(ConfigError) as failed:
        check_config(config)
    assert [line.removeprefix(f"{config}: ").replace(str(files), "FILES") for line in failed.value.errors] == [
        "[account.a]: FILES/empty holds no certificates (PEM) of authorities",
        "[account.a]: cannot read the private key FILES/nowhere: No such file or directory",
        "[account.a]: the client certificate FILES/old.pem has expired: it was valid until 2026-01-02 03:04 UTC",
        "[account.a]: cannot read the password file FILES/nothing: No such file or directory",
        "[account.b]: the first line of the token file FILES/empty is empty",
        "[account.c]: FILES/empty has no password for machine h login ann",
        "[account.d]: newest must be above 0",
        "[account.e]: the server is missing: url, host or provider",
    ]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere modes say nothing")
def test_a_check_notes_secrets_that_others_may_read(write, files, tmp_path):
    key, password = tmp_path / "key", tmp_path / "password"
    key.write_bytes((files / "ann.key").read_bytes())
    password.write_text("tanstaaf")
    text = "".join(
        f"[account.{name}]\n{WHOLE}\ncertificate = '{files}/ann.crt'\ncertificate_key = '{key}'\n{more}\n"
        for name, more in (("a", ""), ("b", f"password = {{ file = '{password}' }}"))
    )
    assert not [line for line in check_config(write(text)) if line.startswith("note")]
    key.chmod(0o644)
    password.chmod(0o640)
    lines = check_config(write(text))
    assert [line for line in lines if line.startswith("note")] == [
        f"note: other users of this machine may read the private key in {key} (mode 0644): chmod 600 it",
        f"note: other users of this machine may read the password in {password} (mode 0640): chmod 600 it",
    ]
    assert "tanstaaf" not in "\n".join(lines)
    assert read_config(write(text)).notes == (), "the run of the account tells it"
