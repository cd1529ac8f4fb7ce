"""`pop3proto fetch`: accounts of a configuration file, several at once, and the outputs and modes of the command."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from pop3proto.blocking import Server
from pop3proto.cli import main
from pop3proto.fetching.file_journal import FileJournal
from pop3proto.maildrops import MemoryStore
from tests.helpers.cli_servers import (
    MAIL,
    PASSWORD,
    STORED,
    Scripted,
    body,
    fetch_in_clear as fetch,
    name_of,
    password_file,
    serving,
    stored,
)
from tests.helpers.processes import PATIENCE, started


@pytest.fixture(autouse=True)
def a_home_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "POP3PROTO_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def configured(folder: Path, **servers: tuple[Server | Scripted, Path]) -> str:
    """A configuration file with an account for each server and its target."""
    password = password_file(folder)
    text = "".join(
        f"""
[account.{name}]
user = "ann"
host = "127.0.0.1"
port = {server.address[1]}
tls = "none"
password = {{ file = "{password}" }}
deliver = {{ maildir = "{target}" }}
"""
        for name, (server, target) in servers.items()
    )
    file = folder / "fetch.toml"
    file.write_text(text)
    return str(file)


# ------------------------------------------------------------------------------------------------ accounts


def test_accounts_are_fetched_by_name_or_all(tmp_path, capsys):
    stores = [MemoryStore({"ann": [b"Subject: %d\n" % number]}) for number in range(2)]
    with serving(stores[0]) as one, serving(stores[1]) as two:
        config = configured(tmp_path, home=(one, tmp_path / "home"), work=(two, tmp_path / "work"))
        assert main(["fetch", "work", "--config", config]) == 0
        assert capsys.readouterr() == ("work: 1 message fetched (12 B)\n", "")
        assert not (tmp_path / "home").exists()
        assert main(["fetch", "--config", config]) == 0
        assert capsys.readouterr() == ("home: 1 message fetched (12 B)\n", "")
    assert stored(tmp_path / "home") == [b"Subject: 0\n"]
    assert stored(tmp_path / "work") == [b"Subject: 1\n"]


def test_what_a_configuration_cannot_give(tmp_path, capsys):
    config = tmp_path / "fetch.toml"
    assert main(["fetch", "--config", str(config)]) == 78
    assert capsys.readouterr().err == (
        f"pop3proto fetch: cannot read the configuration file {config}: No such file or directory; write one, or "
        "name a URL and a target\n"
    )
    config.write_text("")
    config.chmod(0o600)
    assert main(["fetch", "--config", str(config)]) == 78
    assert f"pop3proto fetch: {config}: there is no account" in capsys.readouterr().err
    with Scripted({}) as server:
        config = configured(tmp_path, work=(server, tmp_path / "work"))
        assert main(["fetch", "wrok", "--config", config]) == 78
    assert "wrok" in (err := capsys.readouterr().err)
    assert "work" in err


def test_one_account_that_fails_keeps_no_other(tmp_path, capsys):
    with serving(MemoryStore({"ann": MAIL})) as good, Scripted({"PASS": b"-ERR [AUTH] no\r\n"}) as bad:
        config = configured(tmp_path, bad=(bad, tmp_path / "bad"), good=(good, tmp_path / "good"))
        assert main(["fetch", "--config", config]) == 77
    out, err = capsys.readouterr()
    assert out == "good: 3 messages fetched (58 B)\n"
    assert err == (f"bad: 127.0.0.1, port {bad.address[1]}, user ann: login failed (PASS ***: [AUTH] no)\n")
    assert stored(tmp_path / "good") == STORED


def test_accounts_with_one_maildir_take_turns(tmp_path, capsys):
    mails = [[b"Subject: %d of %d\n" % (number, box) for number in range(20)] for box in range(4)]
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(MemoryStore({"ann": mail}))) for mail in mails]
        accounts = {f"a{number}": (server, tmp_path / "mail") for number, server in enumerate(servers)}
        config = configured(tmp_path, **accounts)
        for _ in range(2):
            assert main(["fetch", "--config", config]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert sorted(out.splitlines()) == [f"a{number}: 20 messages fetched (350 B)" for number in range(4)]
    assert stored(tmp_path / "mail") == sorted(each for mail in mails for each in mail)


# ------------------------------------------------------------------------------------------------- outputs


def test_a_dry_run_shows_what_would_be_done_and_does_nothing(target, capsys):
    store = MemoryStore({"ann": MAIL})
    with serving(store) as server:
        assert fetch(server, target, "--dry-run", "--delete") == 0
        out, err = capsys.readouterr()
        assert not target.exists()
        assert err == ""
        name = name_of(server)
        assert out.startswith(f"{name}: what would be done\n")
        assert f"{name}: what would be deleted on the server, once it is stored\n" in out
        assert out.endswith(f"{name}: 3 of 3 messages would be fetched (58 B), 3 deleted (58 B)\n")
        assert fetch(server, target) == 0
        capsys.readouterr()
        journal = (target / ".pop3proto-fetched").read_bytes()
        assert fetch(server, target, "--dry-run") == 0
        assert capsys.readouterr().out.endswith("0 of 3 messages would be fetched (0 B), none deleted\n")
        assert (target / ".pop3proto-fetched").read_bytes() == journal
    assert store.messages("ann") == MAIL


def test_the_status_counts_what_is_there(target, capsys):
    store = MemoryStore({"ann": MAIL})
    with serving(store) as server:
        assert fetch(server, target, "--status") == 0
        assert capsys.readouterr() == (f"{name_of(server)}: 3 new (58 B)\n", "")
        assert not target.exists()
        assert fetch(server, target) == 0
        store.deliver("ann", b"Subject: four\n")
        capsys.readouterr()
        assert fetch(server, target, "--status") == 0
        assert capsys.readouterr() == (f"{name_of(server)}: 1 new (15 B), 3 fetched before\n", "")
        assert len(stored(target)) == 3


@pytest.mark.parametrize("option", ["--dry-run", "--status"])
def test_a_look_that_fails_has_a_status_too(target, capsys, option):
    with Scripted({"PASS": b"-ERR [AUTH] no\r\n"}) as server:
        assert fetch(server, target, option) == 77
    assert "login failed" in capsys.readouterr().err


def test_a_look_does_not_disturb_a_fetch(target, capsys):
    """The journal is only read, although another process has it locked."""
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
        with FileJournal(target / ".pop3proto-fetched", "bob@h:1"):
            assert fetch(server, target, "--status") == 0
    assert capsys.readouterr().out.endswith(": 0 new, 3 fetched before\n")


def test_a_trace_shows_the_dialogue_without_secrets_and_mail(target, capsys):
    with Scripted({"UIDL": body("1 a"), "RETR": body("Subject: private")}) as server:
        assert fetch(server, target, "--trace") == 0
    out, err = capsys.readouterr()
    assert out == f"{name_of(server)}: 1 message fetched (18 B)\n"
    lines = err.splitlines()
    assert {"S: +OK ready", "C: USER ann", "C: PASS ***", "C: RETR 1", "C: QUIT"} <= {*lines}
    assert PASSWORD.strip() not in err
    assert "private" not in err


def test_a_trace_of_several_accounts_names_them(tmp_path, capsys):
    with Scripted({"UIDL": body()}) as one, Scripted({"UIDL": body()}) as two:
        config = configured(tmp_path, home=(one, tmp_path / "home"), work=(two, tmp_path / "work"))
        assert main(["fetch", "--config", config, "--trace"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert {"home: C: PASS ***", "work: C: PASS ***"} <= {*lines}


def test_json_is_an_object_a_line(target, capsys):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target, "--log-format", "json") == 0
        out, err = capsys.readouterr()
        assert out == ""
        lines = [json.loads(line) for line in err.splitlines()]
        assert {line["account"] for line in lines} == {name_of(server)}
        events = [line["event"] for line in lines]
        assert events[0] == "planned"
        assert sum(len(line["messages"]) for line in lines if line["event"] == "stored") == 3
        assert (lines[-1]["event"], lines[-1]["status"], lines[-1]["stored"]) == ("ended", 0, 3)
        assert fetch(server, target, "--log-format", "json", "--status") == 0
        [status] = map(json.loads, capsys.readouterr().out.splitlines())
        assert (status["event"], status["new"], status["before"]) == ("status", 0, 3)


def test_quiet_shows_problems_only(target, capsys):
    answers = {"UIDL": body("1 a", "2 b"), "RETR 1": body("one"), "RETR 2": b"-ERR no\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target, "-q") == 1
    assert capsys.readouterr() == ("", f"{name_of(server)}: the server refused RETR 2: no\n")


def test_verbose_has_a_line_for_each_message(target, capsys):
    with Scripted({"UIDL": body("1 a", "2 b"), "LIST": body("1 6", "2 6"), "RETR": body("mail")}) as server:
        assert fetch(server, target, "-v") == 0
        name = name_of(server)
        assert capsys.readouterr().out.splitlines() == [
            f"{name}: message 1 (6 octets, a) stored: new",
            f"{name}: message 2 (6 octets, b) stored: new",
            f"{name}: 2 messages fetched (12 B)",
        ]
        assert fetch(server, target, "-v") == 0
        assert capsys.readouterr().out.splitlines() == [f"{name}: 2 messages here already", f"{name}: no new messages"]


# ------------------------------------------------------------------------------------------ again and again


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
@pytest.mark.parametrize("end, status", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_goes_on_until_a_signal_ends_it(tmp_path, end, status):
    store, target = MemoryStore({"ann": MAIL[:1]}), tmp_path / "mail"
    with serving(store) as server:
        arguments = [f"pop://ann@127.0.0.1:{server.address[1]}", str(target), "--allow-cleartext"]
        arguments += ["--password-file", str(password_file(tmp_path)), "--every", "1d", "-v"]
        command = [sys.executable, "-m", "pop3proto", "fetch", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with started(*command, **pipes, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
            name = name_of(server)
            assert " stored: new\n" in process.stdout.readline()
            assert process.stdout.readline() == f"{name}: 1 message fetched (19 B)\n"
            store.deliver("ann", b"Subject: two\n")
            process.send_signal(signal.SIGUSR1)
            assert process.stdout.readline() == f"{name}: 1 message here already\n"
            assert " stored: new\n" in process.stdout.readline()
            assert process.stdout.readline() == f"{name}: 1 message fetched (14 B)\n"
            process.send_signal(end)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (status, "", "")
    assert len(stored(target)) == 2


def test_it_ends_when_all_logins_are_refused(target, capsys):
    with Scripted({"PASS": b"-ERR [AUTH] no\r\n"}) as server:
        assert fetch(server, target, "--every", "1d") == 77
    assert capsys.readouterr().err.endswith(
        f"{name_of(server)}: the login was refused: not tried again until SIGUSR1, or a new start\n"
    )


def test_a_new_start_knows_when_the_last_session_was(target, capsys, monkeypatch):
    given = []

    class Asked:
        def __init__(self, **arguments):
            given.append(arguments["since_last"])

        def run(self) -> int:
            return 0

    monkeypatch.setattr("pop3proto.cli.fetch.Repeat", Asked)
    journal = target / ".pop3proto-fetched"
    with Scripted({"PASS": b"-ERR [AUTH] no\r\n"}) as server:
        assert fetch(server, target) == 77
        assert fetch(server, target, "--every", "1d") == 0
    with serving(MemoryStore({"ann": MAIL[:1]})) as server:
        assert fetch(server, target) == 0
        os.utime(journal, (7_000.0, 7_000.0))
        assert fetch(server, target, "--every", "1d") == 0
        assert fetch(server, target) == 0  # nothing is new, and nothing is recorded but that
        assert fetch(server, target, "--every", "1d") == 0
    refused, old, new = given
    assert refused == {}
    assert list(old.values()) == [pytest.approx(time.time() - 7_000, abs=PATIENCE)]
    assert list(new.values()) == [pytest.approx(0, abs=PATIENCE)]


@pytest.mark.parametrize(
    "arguments, status, texts",
    [
        (["--check-config"], 78, ["[account.a]: user is missing", "[account.a]: newest must be"]),
        ([], 78, ["[account.a]: user is missing", "[account.a]: newest must be"]),
        (["--dry-run", "--status"], 2, ["--dry-run does not go with what else is given"]),
    ],
)
def test_errors_of_the_configuration_are_events_of_a_log_in_json(tmp_path, capsys, arguments, status, texts):
    config = tmp_path / "fetch.toml"
    config.write_text("[account.a]\nhost = 'h'\ndeliver = {stdout = true}\nnewest = 0\n")
    assert main(["fetch", "--config", str(config), "--log-format", "json", *arguments]) == status
    out, err = capsys.readouterr()
    told = [json.loads(line) for line in err.splitlines()]
    kind = "configuration" if status == 78 else "usage"
    assert out == ""
    assert [(each["event"], each["account"], each["kind"]) for each in told] == [("problem", None, kind)] * len(texts)
    assert all(text in each["text"] for text, each in zip(texts, told, strict=True))
