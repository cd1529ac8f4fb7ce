"""`pop3proto serve --config`: what it checks, what it says, and which signals it obeys."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pop3proto.blocking import connect
from pop3proto.cli import main, serve_config
from pop3proto.testing.certificates import authority, certificate_file
from tests.helpers.client_certificates import ClientAuthority
from tests.helpers.processes import PATIENCE, started, wait_until

USERS = "ann:{PLAIN}tanstaaf\n"


def site_in(folder):
    """Writes the configuration of a site in a folder, which has a user with a message."""
    (folder / "users").write_text(USERS)
    (folder / "users").chmod(0o640)
    for name in ("new", "cur", "tmp"):
        (folder / "ann" / name).mkdir(parents=True)
    (folder / "ann" / "new" / "1700000000.M1P1.host").write_bytes(b"hello\n")

    def write(text=""):
        file = folder / "serve.toml"
        file.write_text(
            f'listen = {{ address = "127.0.0.1:0" }}\nusers = {{ passwd_file = "{folder}/users" }}\n'
            f'maildrops = {{ maildir = "{folder}/{{user}}" }}\n{text}'
        )
        return file

    write.folder = folder
    return write


@pytest.fixture
def site(tmp_path):
    return site_in(tmp_path)


def test_a_check_says_what_the_file_comes_to(site, capsys):
    text = f"""
quota = {{ octets = "1G", messages = 7 }}
retain = {{ read = "30d" }}
on_delete = {{ to = "trash" }}
limits = {{ per_user = 3 }}
log = {{ to = "{site.folder}/log", audit = "{site.folder}/audit" }}
metrics = {{ address = "127.0.0.1:9110" }}
access = {{ user = "x", refuse = {{}} }}
login = {{ delay = {{ every = "1m", burst = 3 }}, methods = ["PLAIN"] }}
"""
    assert main(["serve", "--config", str(site(text)), "--check-config"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "listens on 127.0.0.1:0, no TLS, as there is no certificate",
        f"users: the passwd-file {site.folder}/users",
        "login: PLAIN",
        "passwords without TLS: from this machine only",
        "time between logins of *: 1m, 3 at once",
        "access: 1 rule",
        f"maildrops: {site.folder}/{{user}}",
        "quota: 1G, 7 messages; warning from 90%",
        "mail is kept: unread for any time, read for 30d; looked at every 1h",
        "deleted mail is kept in the trash for 7d",
        "sessions: 1000 at once, 100 from one address, 3 of one user",
        "runs as: who starts it",
        f"log: {site.folder}/log, as text; audit: {site.folder}/audit",
        "metrics: http://127.0.0.1:9110/metrics",
    ]
    assert not (site.folder / "log").exists()


def test_a_check_opens_what_the_file_names(site, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    (site.folder / "users").write_text("ann:{X}y\n")
    text = """
run = { user = "no-such-user" }
log = { to = "/none/log", audit = "/" }
metrics = { address = "127.0.0.1:9110" }
hostname = "a b"
[tls]
certificate = "/none.pem"
"""
    file = site(text)
    assert main(["serve", "--config", str(file), "--check-config"]) == 78
    err = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"pop3proto serve: {file}: ").partition(";")[0] for line in err] == [
        "tls: the certificate /none.pem cannot be used: No such file or directory",
        f"users: {site.folder}/users, line 1: the scheme X is not supported",
        "a hostname has letters, digits, dots and hyphens",
        "log.to: there is no folder /none",
        "log.audit: / is a folder",
        f"metrics: metrics needs more packages: install pop3proto with the extra [metrics] for {sys.executable}",
        "run: there is no user 'no-such-user' on this system",
        "pop3proto serve: 7 problems with what the configuration names",
    ]


def test_what_may_not_be_meant_is_noted(site, capsys):
    (site.folder / "users").chmod(0o644)
    file = site("login = { cleartext = 'always' }\n")
    file.write_text(file.read_text().replace("127.0.0.1:0", "0.0.0.0:0"))
    assert main(["serve", "--config", str(file), "--check-config"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"note: all users of this machine can read {site.folder}/users: chmod o-rwx it",
        "note: without TLS on 0.0.0.0:0, others on the network can read passwords and mail",
    ]


def test_certificates_of_clients_that_let_nobody_in_are_noted(site, capsys):
    ca = site.folder / "ca"
    authority().cert_pem.write_to_path(ca)
    with certificate_file() as certificate:
        tls = f'[tls]\ncertificate = "{certificate}"\nclient_ca = "{ca}"\n'
        assert main(["serve", "--config", str(site(tls)), "--check-config"]) == 0
        noted = capsys.readouterr().err
        assert "clients may show certificates, but no user logs in by one: tls.client_name is missing" in noted
        named = f'{tls}client_name = "user_id"\n'
        assert main(["serve", "--config", str(site(named)), "--check-config"]) == 0
        out, err = capsys.readouterr()
        assert f"certificates of clients: those of {ca}; the user is the UID of its subject\n" in out
        assert "no user logs in" not in err
        assert (
            main(["serve", "--config", str(site(f'login = {{ methods = "plain" }}\n{named}')), "--check-config"]) == 0
        )
        told = capsys.readouterr().err
        assert told == "note: no user logs in by a certificate: EXTERNAL is missing in login.methods\n"


def test_lists_of_revoked_certificates_that_are_out_of_date_are_told(site, capsys):
    clients, ca, crl = ClientAuthority(), site.folder / "ca", site.folder / "crl"
    clients.authority.cert_pem.write_to_path(ca)
    with certificate_file() as certificate:
        tls = f'certificate = "{certificate}"\nclient_ca = "{ca}"\nclient_crl = "{crl}"\nclient_name = "email"\n'
        file = site(f"[tls]\n{tls}")
        for days, status, words in ((30, 0, ""), (0, 78, "ended on"), (1.01, 0, "ends on")):
            clients.revoke(crl, days=days)
            assert main(["serve", "--config", str(file), "--check-config"]) == status
            out, err = capsys.readouterr()
            assert f"certificates of clients: those of {ca}, unless {crl} revokes them; the user is" in out
            assert words in err
            assert bool(words) == bool(err)


def test_names_that_can_no_longer_log_in_are_told(site, capsys):
    (site.folder / "users").write_text("ann:{PLAIN}x\nBea:{PLAIN}y\n")
    assert main(["serve", "--config", str(site()), "--check-config"]) == 0
    file = site("lower_case_users = true\n")
    capsys.readouterr()
    assert main(["serve", "--config", str(file), "--check-config"]) == 78
    assert capsys.readouterr().err.splitlines()[0] == (
        f"pop3proto serve: {file}: users: Bea cannot log in: names are folded to lower case (lower_case_users)"
    )


def test_a_program_that_is_not_there_is_told(site, capsys):
    file = site()
    users = f'users = {{ passwd_file = "{site.folder}/users" }}'
    file.write_text(file.read_text().replace(users, 'users = { checkpassword = ["/none"] }'))
    assert main(["serve", "--config", str(file), "--check-config"]) == 78
    assert "users: /none does not exist or is not executable" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["login = { methods = 'APOP' }", "login = { cleartext = 'never' }", "login = { methods = ['SCRAM-SHA-1'] }"]
)
def test_a_check_finds_that_nobody_can_log_in(site, capsys, text):
    assert main(["serve", "--config", str(site(text)), "--check-config"]) == 78
    assert "nobody can log in on 127.0.0.1:0: none of the login methods works there" in capsys.readouterr().err


def test_a_check_finds_that_users_have_no_home(site, capsys):
    file = site()
    (site.folder / "users").write_text("ann:{SHA}pXBcXz5p8hJdvaXqWQGTwUG2fhM=\n")
    text = file.read_text().replace("passwd_file", "htpasswd").replace(f"{site.folder}/{{user}}", "{home}/Maildir")
    file.write_text(text)
    assert main(["serve", "--config", str(file), "--check-config"]) == 78
    assert "these users have no home folder; {home} cannot be used" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # the command has no threads, but the tests may
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can go on as another user")
def test_a_check_looks_as_the_user_of_the_server(site, capsys, tmp_path):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        users, pem, mail = folder / "users", folder / "pem", folder / "mail"
        users.write_text(USERS)
        mail.mkdir()
        pem.write_bytes(authority().issue_cert("pop.example.org").private_key_and_cert_chain_pem.bytes())
        file = folder / "serve.toml"
        file.write_text(
            f'listen = {{ address = "127.0.0.1:0" }}\nusers = {{ passwd_file = "{users}" }}\n'
            f'maildrops = {{ maildir = "{mail}/{{user}}" }}\nrun = {{ user = "nobody" }}\n'
            f'[tls]\ncertificate = "{pem}"\n'
        )
        for path in (users, pem):
            path.chmod(0o600)
        assert main(["serve", "--config", str(file), "--check-config"]) == 78
        err = capsys.readouterr().err
        assert f"as nobody: users: cannot read {users}: Permission denied" in err
        assert "note: nobody cannot read it, so that no reload will work: tls: " in err
        users.chmod(0o644)
        assert main(["serve", "--config", str(file), "--check-config"]) == 0
        assert "no reload will work" in capsys.readouterr().err
        os.chown(pem, 65_534, 65_534)
        assert main(["serve", "--config", str(file), "--check-config"]) == 0
        assert "no reload will work" not in capsys.readouterr().err
        file.write_text(file.read_text().replace('"nobody"', '"root"'))
        assert main(["serve", "--config", str(file), "--check-config"]) == 78
        assert "run: the user 'root' is root" in capsys.readouterr().err
        file.write_text(file.read_text().replace('"root"', '"nobody", group = "no-such-group"'))
        assert main(["serve", "--config", str(file), "--check-config"]) == 78
        assert "run: there is no group 'no-such-group'" in capsys.readouterr().err


def test_errors_of_the_file_are_told_with_their_keys(site, capsys):
    file = site("x = 1\nlog = { too = 1 }\n")
    for more in ([], ["--check-config"]):
        assert main(["serve", "--config", str(file), *more]) == 78
        assert capsys.readouterr().err.splitlines() == [
            f'pop3proto serve: {file}: log: unknown key "too"; did you mean "to"?',
            f'pop3proto serve: {file}: unknown key "x"',
            "pop3proto serve: 2 errors in the configuration",
        ]
    assert main(["serve", "--config", "/none"]) == 78
    assert capsys.readouterr().err.endswith("cannot read the configuration file /none: No such file or directory\n")


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--check-config"], "--check-config needs --config FILE"),
        (["Maildir", "--config", "f"], "--config says who is served: leave out MAILDIR"),
        (["--config", "f", "--users", "u"], "--config says who is served: leave out MAILDIR"),
        (["--config", "f", "--port", "1"], "leave out --port"),
        (["--config", "f", "--check-config", "--verbose", "--core-dumps"], "leave out --core-dumps, --verbose"),
        (["--config", "f", "--allow-cleartext", "--max-sessions", "3"], "leave out --allow-cleartext, --max-sessions"),
        (["--config", "f", "--quirks", "bare_lf"], "leave out --quirks"),
    ],
)
def test_what_does_not_go_together(arguments, why, capsys):
    assert main(["serve", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_core_files_are_not_written_unless_they_are_wanted(site, monkeypatch):
    disabled = []
    monkeypatch.setattr(serve_config, "disable_core_dumps", lambda: disabled.append(True))
    monkeypatch.setattr(serve_config.asyncio, "run", lambda coroutine: coroutine.close())
    for wanted, times in (("true", 0), ("false", 1)):
        main(["serve", "--config", str(site(f"run = {{ core_dumps = {wanted} }}\n"))])
        assert len(disabled) == times


@pytest.mark.parametrize(
    "more",
    ['run = { user = "nosuch" }', '[tls]\ncertificate = "/none.pem"', 'log = { to = "/none/log" }'],
)
def test_what_the_configuration_names_and_is_not_there_is_78_at_the_start(site, more):
    assert main(["serve", "--config", str(site(f"{more}\n"))]) == 78


def test_a_port_that_is_taken_is_worth_another_start(site, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = site("")
        path.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{taken.getsockname()[1]}", path.read_text()))
        assert main(["serve", "--config", str(path)]) == 1
    assert "Address already in use" in capsys.readouterr().err


def test_what_keeps_it_from_beginning_is_a_failure(site, capsys):
    assert main(["serve", "--config", str(site('log = { to = "/none/log" }\n'))]) == 78
    assert "pop3proto serve: /none/log: No such file or directory" in capsys.readouterr().err


@pytest.mark.deep
def test_it_serves_reloads_and_ends():
    # Not below pytest's folder, which each session that begins closes to other users.
    with tempfile.TemporaryDirectory() as name:
        serve_reload_and_end(Path(name))


def serve_reload_and_end(folder):
    site = site_in(folder)
    text = f'log = {{ to = "{folder}/log", format = "json" }}\n'
    if others := os.getuid() == 0 and others_can_run_this():  # it goes on as another user
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        text += 'run = { user = "nobody" }\n'
    command = (sys.executable, "-m", "pop3proto", "serve", "--config", str(site(text)))
    with started(*command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        port = int(re.search(r"on 127\.0\.0\.1 port (\d+)", line)[1])
        if others:
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert not re.search(r"^[UG]id:.*\b0\b", status, re.MULTILINE)
        with connect("127.0.0.1", port, tls="none", timeout=PATIENCE) as client:
            client.login("ann", "tanstaaf")
            (site.folder / "users").write_text("bob:{PLAIN}x\n")
            site("access = 3\n")
            process.send_signal(signal.SIGHUP)
            wait_for(folder / "log", "nothing was reloaded")
            site(text + 'greeting = "hello"\n')
            process.send_signal(signal.SIGHUP)
            wait_for(folder / "log", "reloaded")
            assert client.fetch(1) == b"hello\r\n"
            client.dele(1)
        with connect("127.0.0.1", port, tls="none", timeout=PATIENCE) as client:
            assert client.greeting.reply.text == "hello"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    events = [json.loads(each)["event"] for each in (folder / "log").read_text().splitlines()]
    assert events.count("ended") == 2
    assert list((folder / "ann" / "new").iterdir()) == []


def others_can_run_this():
    """Whether another user than root may read Python's modules."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (*Path(os.__file__).parents, *Path(__file__).parents))


def wait_for(path, text):
    wait_until(lambda: text in path.read_text(), f"{text!r} is not in the log")
