"""`pop3proto fetch`: OAuth tokens in place of passwords."""

from collections.abc import Generator
from pathlib import Path

import pytest

from pop3proto.authenticators import MemoryTokenAuthenticator
from pop3proto.cli import main
from pop3proto.maildrops import MemoryStore
from tests.helpers.cli_servers import MAIL, STORED, Scripted, at, body, stored
from tests.helpers.cli_tls import Authority, fetch_tls, serving_tls, token_file


def test_an_encoding_is_not_for_tokens(target, capsys):
    file = token_file(target.parent)
    options = ("--token-file", file, "--password-encoding", "latin-1")
    assert main(["fetch", "pops://ann@127.0.0.1", str(target), *options]) == 2
    assert capsys.readouterr().err == "pop3proto fetch: --password-encoding cannot be used with --token-file\n"


TOKEN = "ya29.T0ken-._~+/=="


@pytest.fixture
def token_server(target: Path, authority: Authority) -> Generator[int]:
    authenticator = MemoryTokenAuthenticator({}, {TOKEN: "ann", "x" * 4_000: "ann"})
    certificate = authority.certificate()
    with serving_tls(MemoryStore({"ann": MAIL}), certificate, "starttls", authenticator) as port:
        yield port


@pytest.mark.deep(keep=6)
@pytest.mark.parametrize(
    "content",
    [
        TOKEN.encode(),
        b"\xef\xbb\xbf" + TOKEN.encode() + b" \r\nmore\n",
        b"x" * 4_000 + b"\n",  # too long for a command: it goes on a line of its own
    ],
)
@pytest.mark.parametrize("user", ["ann", "ann;AUTH=XOAUTH2", "ann;AUTH=oauthbearer"])
def test_a_token_in_place_of_a_password(target, authority, token_server, content, user):
    file = token_file(target.parent, content)
    assert fetch_tls("starttls", token_server, target, *authority.trusted, "--token-file", file, user=user) == 0
    assert stored(target) == sorted(STORED)


@pytest.mark.parametrize("way", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_that_is_refused(target, authority, token_server, capsys, way):
    file = token_file(target.parent, b"S3cret\n")
    options = (*authority.trusted, "--token-file", file)
    assert fetch_tls("starttls", token_server, target, *options, user=f"ann;AUTH={way}") == 77
    note, err = capsys.readouterr().err.splitlines(keepends=True)
    assert note.endswith("note: the token is still the one that the server has refused\n")
    assert err.startswith(f"{at(token_server, 'ann')}login failed (AUTH {way} ***: [AUTH] wrong name or password ({{")
    assert {"XOAUTH2": '"status":"400"', "OAUTHBEARER": '"invalid_token"'}[way] in err
    assert err.endswith(
        "; check the token: it may have expired (one hour is usual), belong to another user, or not allow POP\n"
    )
    assert "S3cret" not in err


def test_a_refusal_that_is_not_about_the_token(target, capsys):
    answers = {"CAPA": body("SASL XOAUTH2"), "AUTH": b"-ERR [IN-USE] another session\r\n"}
    with Scripted(answers) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--token-file", token_file(target.parent), "--allow-cleartext"]) == 75
    assert capsys.readouterr().err == f"{at(server, 'ann')}login failed (AUTH XOAUTH2 ***: [IN-USE] another session)\n"


def test_a_token_never_goes_where_a_password_is_wanted(target, capsys):
    with Scripted({"CAPA": body("SASL PLAIN", "USER")}) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--token-file", token_file(target.parent), "--allow-cleartext"]) == 77
        assert server.heard == ["CAPA"]
    assert capsys.readouterr().err.startswith(f"{at(server)}no usable login method: OAUTHBEARER, XOAUTH2: ")


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "is empty"),
        (b"\xff\n", "is not UTF-8"),
        (b"   \n", "visible ASCII"),
        (b'{"access_token": "S3cret"}\n', "visible ASCII"),
        (b"Bearer S3cret\n", "visible ASCII"),
        (b"x" * 70_000, "too long for a token"),
    ],
)
def test_what_is_no_token(target, capsys, content, why):
    assert (
        main(["fetch", "pops://ann@127.0.0.1", str(target), "--token-file", token_file(target.parent, content)]) == 78
    )
    err = capsys.readouterr().err
    assert why in err
    assert "S3cret" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "way, option, why",
    [
        ("PLAIN", "--token-file", "PLAIN takes a password, not a token"),
        ("+APOP", "--token-file", "APOP takes a password, not a token"),
        ("XOAUTH2", "--password-file", "XOAUTH2 takes a token, not a password"),
    ],
)
def test_a_secret_of_the_wrong_kind(target, capsys, way, option, why):
    assert main(["fetch", f"pops://ann;AUTH={way}@127.0.0.1", str(target), option, "no-such-file"]) == 2
    assert capsys.readouterr().err == f"pop3proto fetch: {why}\n"


def test_a_password_and_a_token_exclude_each_other(target, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "pops://ann@h", str(target), "--password-file", "a", "--token-file", "b"])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
