"""Files of other servers with a hash for each user: who gets in by them, and what becomes of them when they change."""

import base64
import hashlib
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from pop3proto.authenticators import CombinedAuthenticator, Htpasswd, MalformedUsers, PasswdFile, SecretsFile, UserEntry
from pop3proto.authenticators.schemes import PasswordHash
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.channel import SessionInfo
from pop3proto.sasl.scram.keys import ScramKeys

HERE = SessionInfo("192.0.2.1")
GOOD = "{PLAIN}tanstaaf"
PROHIBITED = "the text contains a character that is prohibited in names and passwords (RFC 4013 section 2.3)"


def ssha(password):
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + b"salt").digest() + b"salt").decode()


def scram(password):
    keys = ScramKeys.derive("SHA-256", password, b"salty", 4096)
    encoded = (base64.b64encode(each).decode() for each in (keys.salt, keys.stored_key, keys.server_key))
    return f"{{SCRAM-SHA-256}}4096,{','.join(encoded)}"


@pytest.fixture
def write(tmp_path):
    def write(text, *, age=60):
        file = tmp_path / "users"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o600)
        moment = time.time() - age
        os.utime(file, (moment, moment))
        return file

    return write


def test_a_passwd_file_of_dovecot(write):
    users = PasswdFile(
        write(
            "# the users\n\n"
            f"ann:{ssha('tanstaaf')}:1000:1000:Ann:/home/ann:/bin/sh:userdb_quota_rule=*:storage=1G userdb_mail=x\n"
            f"bob@example.org:{GOOD}::::::\n"
            f"eve:{GOOD}\n"
        )
    )
    assert users.names() == ("ann", "bob@example.org", "eve")
    assert users.find("ann") == UserEntry("ann", home=Path("/home/ann"), quota_octets=1 << 30)
    assert users.find("eve") == UserEntry("eve")
    assert users.find("nobody") is None
    for name in users.names():
        assert users.check_password(name, "tanstaaf", HERE)
        assert not users.check_password(name, "tanstaa", HERE)
    assert not users.check_password("nobody", "tanstaaf", HERE)
    assert users.problems == ()
    assert users.blocks


def test_a_file_of_htpasswd(write):
    sha = "{SHA}" + base64.b64encode(hashlib.sha1(b"tanstaaf").digest()).decode()
    users = Htpasswd(write(f"ann:{sha}\nbob:$apr1$abcdefgh$wRfGqjLZvTd71OzkFdqS60\n"))
    assert users.names() == ("ann", "bob")
    assert users.check_password("ann", "tanstaaf", HERE)
    assert not users.check_password("bob", "tanstaaf", HERE)


@pytest.mark.interop
@pytest.mark.parametrize("option", ["-B", "-2", "-5", "-m", "-s"])
def test_htpasswd_writes_what_is_read(require_program, tmp_path, option):
    import subprocess

    htpasswd = require_program("htpasswd")
    file = tmp_path / "users"
    subprocess.run([htpasswd, "-cb", option, str(file), "ann", "tanstaaf"], check=True, timeout=60, capture_output=True)
    users = Htpasswd(file)
    assert users.check_password("ann", "tanstaaf", HERE)
    assert not users.check_password("ann", "tanstaa", HERE)


def test_one_user_that_cannot_log_in_does_not_keep_out_the_others(write, caplog):
    file = write(f"ann:{{CRAM-MD5}}Marker\nbob:{GOOD}\nbob:{{PLAIN}}other\n\x01:{GOOD}\neve:{GOOD}::::::nopassword\n")
    with caplog.at_level(logging.ERROR, "pop3proto"):
        users = PasswdFile(file)
    assert [problem.partition(";")[0] for problem in users.problems] == [
        f"{file}, line 1: the scheme CRAM-MD5 is not supported",
        f"{file}, line 3: the same user is in a line before",
        f"{file}, line 4: this user name cannot be used to log in: {PROHIBITED}",
        f"{file}, line 5: nopassword is not supported: any password would do",
    ]
    assert all(problem in caplog.text for problem in users.problems)
    assert "Marker" not in caplog.text
    assert users.check_password("bob", "tanstaaf", HERE)
    assert not users.check_password("bob", "other", HERE)
    assert users.names() == ("ann", "bob", "eve")  # mail can be delivered to them
    assert not users.check_password("ann", "Marker", HERE)
    assert not users.check_password("eve", "tanstaaf", HERE)


@pytest.mark.parametrize(
    "extra, octets, messages",
    [
        ("userdb_quota_rule=*:storage=100", 102_400, None),
        ("userdb_quota_rule=*:bytes=100", 100, None),
        ("userdb_quota_rule=*:storage=1M:messages=7", 1 << 20, 7),
        ("userdb_quota_rule2=Trash:storage=1M", None, None),
        ("userdb_quota_rule=*:storage=0", 0, None),
        ("userdb_quota_storage_size=2G userdb_quota_message_count=9", 2 << 30, 9),
        ("proxy host=x", None, None),
    ],
)
def test_the_quota_of_a_user(write, extra, octets, messages):
    users = PasswdFile(write(f"ann:{GOOD}::::::{extra}\n"))
    assert users.find("ann") == UserEntry("ann", quota_octets=octets, quota_messages=messages)


def test_a_quota_that_is_no_number_is_told(write):
    [problem] = PasswdFile(write(f"ann:{GOOD}::::::userdb_quota_rule=*:storage=+10%\n")).problems
    assert "the quota is not a number" in problem


def test_a_user_may_be_locked_or_bound_to_networks(write):
    users = PasswdFile(
        write(
            f"ann:{GOOD}::::::nologin\n"
            f"bob:{GOOD}::::::allow_nets=192.0.2.0/24,2001:db8::/32\n"
            f"eve:{GOOD}::::::allow_nets=x\n"
        )
    )
    assert not users.check_password("ann", "tanstaaf", HERE)
    assert users.find("ann") == UserEntry("ann")
    for address, allowed in {
        "192.0.2.9": True,
        "::ffff:192.0.2.9": True,
        "2001:db8::1": True,
        "192.0.3.1": False,
        "": False,
    }.items():
        assert users.check_password("bob", "tanstaaf", SessionInfo(address)) is allowed
    assert "allow_nets" in users.problems[0]


def test_a_user_without_a_hash_or_with_a_locked_one_is_no_problem(write):
    users = PasswdFile(write(f"ann:\nbob:!$6$x$y\neve:*\nidle::::::: allow_nets=10.0.0.0/8\njoe:{GOOD}::::::nologin\n"))
    assert users.problems == ()
    far, near = SessionInfo("192.0.2.1"), SessionInfo("10.0.0.1")
    for name, admitted in {"ann": "far near", "bob": "", "eve": "", "idle": "near", "joe": "", "nobody": ""}.items():
        assert users.find(name) == (None if name == "nobody" else UserEntry(name))
        assert [users.lets_in(name, far), users.lets_in(name, near)] == ["far" in admitted, "near" in admitted]
        for password in ("", "!", "*", "tanstaaf", "!$6$x$y"):
            assert not users.check_password(name, password, near)


def test_scram_where_all_users_have_its_keys(write):
    users = PasswdFile(write(f"ann:{scram('tanstaaf')}\nbob:{scram('x')}::::::allow_nets=10.0.0.0/8\n"))
    assert users.scram_algorithms == ["SHA-256"]
    assert users.check_password("ann", "tanstaaf", HERE)
    keys = users.scram_keys("ann", "SHA-256", HERE)
    assert keys == ScramKeys.derive("SHA-256", "tanstaaf", b"salty", 4096)
    unknown = users.scram_keys("nobody", "SHA-256", HERE)
    assert (unknown.iterations, len(unknown.salt)) == (4096, 5)
    assert unknown == users.scram_keys("nobody", "SHA-256", HERE)
    assert users.scram_keys("bob", "SHA-256", HERE).salt != b"salty"
    assert users.scram_keys("bob", "SHA-256", SessionInfo("10.0.0.1")).salt == b"salty"
    assert PasswdFile(write(f"ann:{scram('tanstaaf')}\nbob:{GOOD}\n")).scram_algorithms == []


def test_a_change_counts_from_the_next_login(write):
    users = PasswdFile(write(f"ann:{GOOD}\n"))
    write(f"ann:{{PLAIN}}new\nbob:{GOOD}\n")
    assert users.check_password("ann", "new", HERE)
    assert users.names() == ("ann", "bob")


@pytest.mark.parametrize(
    "text, age, why",
    [
        ("", 60, "is empty"),
        (f"ann:{{PLAIN}}new\nbob:{GOOD}"[:-1], 0, "still being written"),
        ("ann:{PLAIN}new\nbob\n", 60, "line 2: a line user:hash is expected"),
        (None, 60, "No such file"),
    ],
)
def test_a_file_that_is_half_written_or_gone_keeps_the_old_one(write, caplog, text, age, why):
    file = write(f"ann:{GOOD}\n")
    users = PasswdFile(file)
    if text is None:
        file.unlink()
    else:
        write(text, age=age)
    with caplog.at_level(logging.ERROR, "pop3proto"):
        assert users.check_password("ann", "tanstaaf", HERE)
        assert users.check_password("ann", "tanstaaf", HERE)
    assert why in caplog.text
    assert "the users are those that it had before" in caplog.text
    if why.startswith("line"):
        assert len(caplog.records) == 1  # said once
    write(f"ann:{{PLAIN}}new\nbob:{GOOD}")
    assert users.check_password("ann", "new", HERE)


@pytest.mark.parametrize("kind", [PasswdFile, Htpasswd, SecretsFile])
@pytest.mark.parametrize("text, age, why", [("", 60, "is empty"), ("ann:{SHA}x", 0, "still being written")])
def test_an_authenticator_that_takes_the_place_of_another_takes_no_less(write, kind, text, age, why):
    file = write(f"ann:{GOOD}\nbob:{GOOD}\n")
    before = kind(file)
    write(text, age=age)
    with pytest.raises(MalformedUsers, match=why):
        kind(file, before=before)
    kind(file)  # at the start of a server that is what there is
    write(f"bob:{GOOD}\n")
    assert kind(file, before=before).names() == ("bob",)
    write("")
    assert kind(file, before=kind(file)).names() == ()  # it was empty before


def test_a_file_of_which_nothing_can_be_used_is_told_in_few_lines(write, caplog):
    with caplog.at_level(logging.ERROR, "pop3proto"):
        file = write("".join(f"user{number}:{{CRAM-MD5}}x\n" for number in range(900)) + f"ann:{GOOD}\n")
        PasswdFile(file)
    assert len(caplog.records) == 21
    assert caplog.records[-1].getMessage() == f"{file}: 900 lines are not taken, and 1 are"


def test_what_is_no_such_file_is_refused(write, tmp_path):
    with pytest.raises(MalformedUsers, match=r"users, line 2: a line user:hash is expected"):
        PasswdFile(write(f"ann:{GOOD}\nbob\n"))
    with pytest.raises(FileNotFoundError):
        PasswdFile(tmp_path / "none")


def test_the_password_of_an_unknown_user_is_compared_with_a_hash_like_the_others(write, monkeypatch):
    compared = []
    true = PasswordHash.matches
    monkeypatch.setattr(
        PasswordHash, "matches", lambda hashed, password: compared.append(hashed.scheme) or true(hashed, password)
    )
    users = PasswdFile(write(f"ann:{GOOD}\nbob:{ssha('x')}\neve:{ssha('y')}\nroot:{GOOD}::::::nologin\n"))
    assert not users.check_password("nobody", "y", HERE)
    assert not users.check_password("nobody", "x", HERE)
    assert compared == ["SSHA", "SSHA"]
    assert not users.check_password("root", "x", HERE)
    assert len(compared) == 3


def test_without_users_no_password_is_right(write):
    assert not PasswdFile(write("# none yet\n")).check_password("ann", "", HERE)


@given(content=st.binary(max_size=80))
def test_any_octets_are_users_or_an_error(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    for kind in (PasswdFile, Htpasswd):
        with suppress(MalformedUsers):
            assert not kind(file).check_password("nobody", "x", HERE)


def test_passwords_for_apop_and_cram_md5(write):
    file = write("ann:tan:staaf\nbob:\n")
    secrets = SecretsFile(file)
    assert secrets.secret("ann", HERE) == "tan:staaf"
    assert secrets.secret("bob", HERE) is None
    assert secrets.secret("nobody", HERE) is None
    assert "line 2: the password is missing" in secrets.problems[0]
    file.chmod(0o644)
    with pytest.raises(MalformedUsers, match="all users of this machine can read the passwords"):
        SecretsFile(file)


class Tokens:
    blocks = False

    def check_token(self, user, token, session, /):
        return "ann" if token == "right" else None


class Store:
    blocks = False

    def open(self, user, session): ...

    def capabilities(self, user): ...


def test_several_authenticators_are_one(write):
    users = CombinedAuthenticator(Htpasswd(write("ann:{SHA}x\n")), Tokens())
    assert users.blocks
    assert users.check_token("", "right", HERE) == "ann"
    service = Service(store=Store(), authenticator=users)
    assert [*service.offers(HERE, may_show_password=True)] == ["PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"]
    with_secrets = CombinedAuthenticator(Htpasswd(write("ann:{SHA}x\n")), SecretsFile(write("ann:x\n")))
    offers = [*Service(store=Store(), authenticator=with_secrets).offers(HERE, may_show_password=True)]
    assert offers == ["CRAM-MD5", "PLAIN", "LOGIN"]
    assert not CombinedAuthenticator(Tokens()).blocks
    with pytest.raises(AttributeError, match="no authenticator has secret"):
        _ = users.secret
