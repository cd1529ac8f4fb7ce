"""The users of a configuration: each source that it may name."""

import base64
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from pop3proto.authenticators import CertificateNames, TokenIntrospection, set_password
from pop3proto.sasl.channel import SessionInfo, TlsInfo
from pop3proto.serving import Template
from pop3proto.serving.accounts import AccountsUnusable, open_accounts
from pop3proto.serving.config import (
    CheckpasswordUsers,
    FileUsers,
    HtpasswdUsers,
    Introspection,
    Listen,
    Maildrops,
    PasswdFileUsers,
    ServeConfig,
    SocketAddress,
    SqlUsers,
    Tls,
)
from pop3proto.testing.identity import identity_provider

HERE = SessionInfo()


def opened(users=None, tokens=None, before=None, tls=None, **options):
    config = ServeConfig(
        listen=(Listen(address=SocketAddress("127.0.0.1", 0)),),
        maildrops=Maildrops(maildir=Template("/mail/{user}")),
        users=users,
        tokens=tokens,
        tls=tls,
        **options,
    )
    return open_accounts(config, before)


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users AS SELECT 'ann' AS name, '{PLAIN}tanstaaf' AS password")
        connection.commit()
    return path


def users_file(tmp_path):
    set_password(tmp_path / "users", "ann", "tanstaaf")
    return FileUsers(file=tmp_path / "users")


def passwd_file(tmp_path):
    return PasswdFileUsers(passwd_file=write(tmp_path / "passwd", "ann:{PLAIN}tanstaaf\nbob:{X}y\n"))


def htpasswd(tmp_path):
    return HtpasswdUsers(htpasswd=write(tmp_path / "ht", "ann:{SHA}pXBcXz5p8hJdvaXqWQGTwUG2fhM=\n"))


def with_secrets(tmp_path):
    return FileUsers(file=users_file(tmp_path).file, secrets=write(tmp_path / "secrets", "ann:tanstaaf\n"))


@pytest.mark.parametrize("source", [users_file, passwd_file])
def test_users_of_a_file(tmp_path, source):
    accounts = opened(source(tmp_path))
    assert accounts.authenticator.check_password("ann", "tanstaaf", HERE)
    assert not accounts.authenticator.check_password("ann", "x", HERE)
    assert accounts.directory is accounts.authenticator
    assert len(accounts.problems) == (source is passwd_file)


@pytest.mark.parametrize("source", [passwd_file, htpasswd, with_secrets])
def test_an_empty_file_does_not_take_the_place_of_users(tmp_path, source):
    users = source(tmp_path)
    before = opened(users)
    [path] = [path for path in (getattr(users, key, None) for key in ("passwd_file", "htpasswd", "secrets")) if path]
    path.write_text("")
    with pytest.raises(AccountsUnusable, match="is empty"):
        opened(users, before=before)
    opened(users)
    opened(users, before=opened(users_file(tmp_path)))  # users of another kind


def test_users_of_htpasswd(tmp_path):
    accounts = opened(htpasswd(tmp_path))
    assert accounts.directory.names() == ("ann",)


def test_users_of_a_database(database):
    users = SqlUsers(
        sqlite=database, query="SELECT password FROM users WHERE name = :user", list="SELECT name FROM users"
    )
    accounts = opened(users)
    assert accounts.authenticator.check_password("ann", "tanstaaf", HERE)
    assert accounts.directory.names() == ("ann",)


def test_users_of_a_program(tmp_path):
    program = write(tmp_path / "check", "#!/bin/sh\nread -r line <&3\n")
    accounts = opened(CheckpasswordUsers(checkpassword=("/bin/true",)))
    assert program.exists()
    assert accounts.authenticator.check_password("ann", "x", HERE)
    assert accounts.directory is None


def test_secrets_beside_the_users(tmp_path):
    users_file(tmp_path)
    secrets = write(tmp_path / "secrets", "ann:tan\n")
    accounts = opened(FileUsers(file=tmp_path / "users", secrets=secrets))
    assert accounts.authenticator.secret("ann", HERE) == "tan"
    assert accounts.authenticator.check_password("ann", "tanstaaf", HERE)
    assert not accounts.authenticator.check_password("ann", "tan", HERE)
    assert accounts.directory.names() == ("ann",)


def test_tokens_beside_the_users_or_alone(tmp_path):
    with identity_provider(clients={"pop": "s"}) as provider:
        tokens = Introspection(
            url=provider.introspection_endpoint,
            client_id="pop",
            client_secret=write(tmp_path / "secret", "s\n"),
            cache=0,
        )
        alone = opened(tokens=tokens)
        assert isinstance(alone.authenticator, TokenIntrospection)
        assert alone.directory is None
        both = opened(users_file(tmp_path), tokens)
        assert both.authenticator.check_password("ann", "tanstaaf", HERE)
        assert both.authenticator.check_token("ann", "unknown", HERE) is None
        assert provider.requests[-1].status == 200
        assert both.directory.names() == ("ann",)


def test_a_token_lets_in_no_user_whom_the_users_shut_out(tmp_path, caplog):
    users = write(
        tmp_path / "passwd",
        "ann:{PLAIN}x\nbob:{PLAIN}x::::::nologin\neve:{PLAIN}x::::::allow_nets=10.0.0.0/8\nidle:\nold:{X}y\n"
        "joe@a.org:{PLAIN}x\n",
    )
    with identity_provider(clients={"pop": "s"}) as provider:
        tokens = Introspection(
            url=provider.introspection_endpoint, client_id="pop", client_secret=write(tmp_path / "secret", "s\n")
        )
        provider.pass_time(time.time() - provider.now)
        both = opened(PasswdFileUsers(passwd_file=users), tokens).authenticator

        def owner(name, session):
            return both.check_token("", provider.issue(name).access_token, session)

        far, near = SessionInfo("192.0.2.1"), SessionInfo("10.0.0.1")
        found = {name: (owner(name, far), owner(name, near)) for name in ("ann", "bob", "eve", "idle", "old", "nobody")}
        assert found == {
            "ann": ("ann", "ann"),
            "bob": (None, None),
            "eve": (None, "eve"),
            "idle": ("idle", "idle"),
            "old": (None, None),
            "nobody": (None, None),
        }
        assert owner("joe", SessionInfo("10.0.0.1", domain="a.org")) == "joe@a.org"
        assert owner("joe", near) is None
    assert "a valid token of nobody was refused" in caplog.text


BY_MAIL = Tls(certificate=Path("/c"), client_ca=Path("/ca"), client_name="email")


def test_a_certificate_lets_in_no_user_whom_the_users_shut_out(tmp_path, caplog):
    users = write(
        tmp_path / "passwd",
        "ann@a.org:{PLAIN}x\nbob@a.org:{PLAIN}x::::::nologin\neve@a.org:{PLAIN}x::::::allow_nets=10.0.0.0/8\n",
    )
    accounts = opened(PasswdFileUsers(passwd_file=users), tls=BY_MAIL)
    assert accounts.directory.names() == ("ann@a.org", "bob@a.org", "eve@a.org")

    def owner(name, address):
        tls = TlsInfo("TLSv1.3", verified=True, certificate=b"any", names=(("email", f"{name}@a.org"),))
        return accounts.authenticator.check_certificate(b"any", "", SessionInfo(address, tls))

    found = {name: (owner(name, "192.0.2.1"), owner(name, "10.0.0.1")) for name in ("ann", "bob", "eve", "nobody")}
    assert found == {
        "ann": ("ann@a.org", "ann@a.org"),
        "bob": (None, None),
        "eve": (None, "eve@a.org"),
        "nobody": (None, None),
    }
    assert "a valid certificate of nobody@a.org was refused: the users do not admit its owner" in caplog.text


@pytest.mark.parametrize(
    "password, let_in",
    [
        ("{PLAIN}x", True),
        (None, True),
        ("!{PLAIN}x", False),
        ("*", False),
        ("", True),
        ("{PLAIN}!x", False),
        (b"!x", False),
    ],
)
def test_a_user_of_a_database_whose_password_is_locked_is_shut_out(database, password, let_in):
    """As one of a passwd-file is, also by a certificate."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE users SET name = 'ann@a.org', password = ?", (password,))
        connection.commit()
    users = SqlUsers(sqlite=database, query="SELECT password FROM users WHERE name = :user")
    tls = TlsInfo("TLSv1.3", verified=True, certificate=b"any", names=(("email", "ann@a.org"),))
    owner = opened(users, tls=BY_MAIL).authenticator.check_certificate(b"any", "", SessionInfo(tls=tls))
    assert owner == ("ann@a.org" if let_in else None)


def test_names_in_capitals_are_told_where_names_are_folded(tmp_path, caplog):
    """Those of the users, and of the passwords in clear beside them."""
    users = FileUsers(file=tmp_path / "users", secrets=write(tmp_path / "secrets", "ann:tan\nBob:tan\n"))
    for name in ("ann", "Eve"):
        set_password(tmp_path / "users", name, "tanstaaf")
    told = "{} cannot log in: names are folded to lower case (lower_case_users)"
    assert opened(users).problems == ()
    assert opened(users, lower_case_users=True).problems == (told.format("Eve"), told.format("Bob"))
    assert caplog.messages == [f"users: {told.format(name)}" for name in ("Eve", "Bob")]


def test_certificates_alone():
    accounts = opened(tls=BY_MAIL)
    assert isinstance(accounts.authenticator, CertificateNames)
    assert accounts.directory is None


def test_a_secret_lets_in_no_user_whom_the_users_do_not_have(tmp_path):
    accounts = opened(
        FileUsers(file=users_file(tmp_path).file, secrets=write(tmp_path / "secrets", "ann:tan\nbob:tan\n"))
    )
    assert accounts.authenticator.secret("ann", HERE) == "tan"
    assert accounts.authenticator.secret("bob", HERE) is None


@pytest.mark.parametrize(
    "source, why",
    [
        (lambda _: FileUsers(file=Path("/none")), "cannot read /none: No such file"),
        (lambda folder: PasswdFileUsers(passwd_file=write(folder / "x", "no\n")), "x, line 1: a line user:hash"),
        (lambda folder: SqlUsers(sqlite=write(folder / "x", ""), query="SELECT 1"), "no column password"),
        (lambda folder: SqlUsers(sqlite=write(folder / "x", "no"), query="SELECT x FROM y"), "file is not a database"),
    ],
)
def test_a_source_that_cannot_be_used_is_named(tmp_path, source, why):
    with pytest.raises(AccountsUnusable) as failed:
        opened(source(tmp_path))
    assert why in str(failed.value)


@pytest.mark.parametrize("text, why", [("\nx", "holds no secret"), (None, "cannot read")])
def test_a_secret_of_the_client_that_is_missing_is_told(tmp_path, text, why):
    secret = tmp_path / "secret"
    if text is not None:
        secret.write_text(text)
    with pytest.raises(AccountsUnusable, match=why):
        opened(tokens=Introspection(url="https://id.example.org/", client_id="pop", client_secret=secret))


def test_a_url_that_would_send_tokens_in_clear_is_told(tmp_path):
    secret = write(tmp_path / "secret", "s")
    with pytest.raises(AccountsUnusable, match="must begin with https://"):
        opened(tokens=Introspection(url="http://id.example.org/", client_id="pop", client_secret=secret))


def test_all_that_is_said_of_a_source_reaches_it(database):
    query = "SELECT password FROM users WHERE name = :user"
    assert opened(SqlUsers(sqlite=database, query=query, timeout=3)).authenticator._timeout == 3
    assert opened(SqlUsers(sqlite=database, query=query)).authenticator._timeout == 5


def test_all_that_is_said_of_tokens_reaches_who_asks(tmp_path):
    least = {"url": "https://id.example.org:1/x", "client_id": "pop", "client_secret": write(tmp_path / "secret", "s")}
    more = {"username": "email", "audience": "a", "scope": "b", "timeout": 3, "cache": 4}
    asks = opened(tokens=Introspection(**least, **more)).authenticator
    assert (asks._endpoint.host, asks._endpoint._port, asks._endpoint._path) == ("id.example.org", 1, "/x")
    assert base64.b64decode(asks._authorization.removeprefix("Basic ")) == b"pop:s"
    told = {**vars(asks), **vars(asks._endpoint)}
    assert {name: told[f"_{name}"] for name in more} == more
    plain = opened(tokens=Introspection(**least)).authenticator
    untold = {**vars(plain), **vars(plain._endpoint)}
    assert all(untold[f"_{name}"] != value for name, value in more.items())
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    trusting = opened(tokens=Introspection(**least, ca=tmp_path / "ca.pem")).authenticator
    assert len(trusting._endpoint._context.get_ca_certs()) == 1
    assert trusting._endpoint._context.get_ca_certs()[0] not in plain._endpoint._context.get_ca_certs()
