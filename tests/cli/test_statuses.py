"""Exit statuses: each that `--help` lists can be had, and what is had is listed."""

import re
from argparse import ArgumentParser
from pathlib import Path

import pytest

from pop3proto.cli import _COMMANDS, _import, main
from pop3proto.cli.status_help import add_statuses
from pop3proto.fetching.accounts.targets import JOURNAL_NAME
from pop3proto.fetching.accounts.url import Address
from pop3proto.fetching.file_journal import FileJournal
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import Fault, Refuse, WrongSize
from tests.helpers.cli_servers import password_file
from tests.helpers.probing import hurry_up

URL = "pops://ann@pop.example.org"

LISTED = {
    "backup": [0, 1, 2, 75, 78, 130],
    "deliver": [0, 64, 75, 77],
    "demo": [0, 1, 2, 130],
    "fetch": [0, 1, 75, 77, 78, 2, 130],
    "passwd": [0, 1, 2, 130],
    "probe": [0, 1, 2, 3, 130],
    "purge": [0, 1, 2, 75, 78, 130],
    "quota": [0, 1, 2, 78, 130],
    "restore": [0, 1, 2, 75, 78, 130],
    "serve": [0, 1, 2, 78, 130],
    "state": [0, 1, 2, 75, 78, 130],
    "undelete": [0, 1, 2, 75, 78, 130],
    "verify": [0, 1, 2, 130],
}


def status_of(*arguments: object) -> int:
    try:
        return main([*map(str, arguments)])
    except SystemExit as ended:  # from argparse
        return int(ended.code or 0)


def test_no_command_is_forgotten():
    assert {*LISTED} == {*_COMMANDS}


@pytest.mark.parametrize("command, statuses", LISTED.items())
def test_the_help_lists_the_statuses_in_short_lines(command, statuses, capsys):
    assert status_of(command, "--help") == 0
    table = re.split(r"^exit status.*:\n", capsys.readouterr().out, flags=re.MULTILINE)[1]
    assert [int(number) for number in re.findall(r"^ +(\d+)  \S", table, re.MULTILINE)] == statuses
    assert all(len(line) < 80 for line in table.splitlines())


@pytest.mark.parametrize("command", LISTED)
def test_a_mistake_in_usage(command, capsys):
    assert status_of(command, "--bogus") == (64 if command == "deliver" else 2)


@pytest.mark.parametrize(
    "command, arguments",
    [
        ("backup", ["ann", "file.tar"]),
        ("deliver", ["ann"]),
        ("fetch", ["ann"]),
        ("purge", ["ann"]),
        ("quota", ["show", "ann"]),
        ("serve", []),
        ("state", ["ann", "list"]),
        ("undelete", ["ann"]),
    ],
)
def test_a_configuration_that_is_not_there(command, arguments, tmp_path, capsys):
    got = status_of(command, *arguments, "--config", tmp_path / "no.toml")
    assert got == (75 if command == "deliver" else 78)
    assert got in LISTED[command]


@pytest.mark.parametrize(
    "command, at, arguments",
    [
        ("backup", "chosen_maildrops", ["ann", "file.tar"]),
        ("deliver", "chosen_maildrops", ["ann"]),
        ("demo", "serve", []),
        ("fetch", "chosen_accounts", []),
        ("passwd", "ask", ["file", "ann"]),
        ("probe", "probe", ["localhost"]),
        ("purge", "chosen_maildrops", ["ann"]),
        ("quota", "chosen_maildrops", ["show", "ann"]),
        ("restore", "open_archive", ["ann", "file.tar"]),
        ("serve", "raise_descriptor_limit", ["mail", "--users", "users"]),
        ("state", "chosen_accounts", [URL, "mail", "list"]),
        ("undelete", "chosen_maildrops", ["ann"]),
        ("verify", "verify_backup", ["file.tar"]),
    ],
)
def test_ctrl_c(command, at, arguments, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_import(command), at, interrupted)
    got = status_of(command, *arguments)
    assert got == (75 if command == "deliver" else 130)
    assert got in LISTED[command]


# ------------------------------------------------------------------------------------------ one by one


def test_passwd(tmp_path, capsys):
    users = tmp_path / "users"
    assert status_of("passwd", users, "--list") == 1
    assert status_of("passwd", users) == 2
    assert status_of("passwd", users, "a\0", "--delete") == 2
    assert status_of("passwd", users, "ann", "--password-file", password_file(tmp_path, "secret\n")) == 0
    assert status_of("passwd", users, "--list") == 0
    assert status_of("passwd", users, "bea", "--delete") == 1
    assert status_of("passwd", users, "ann", "--delete") == 0


def test_demo(monkeypatch, capsys):
    assert status_of("demo") == 0
    monkeypatch.setattr(_import("demo"), "_wire", lambda message: message + b"?")
    assert status_of("demo") == 1


def test_state(tmp_path, capsys):
    maildir = tmp_path / "mail"
    ensure_maildir(maildir)
    assert status_of("state", URL, maildir, "list") == 1
    with FileJournal(maildir / JOURNAL_NAME, Address.of_url(URL).key) as journal:
        journal.append([])
        assert status_of("state", URL, maildir, "list") == 0
        assert status_of("state", URL, maildir, "compact") == 75


def test_state_where_the_server_is_not_reached_or_refuses_the_login(tmp_path, capsys):
    maildir = tmp_path / "mail"
    ensure_maildir(maildir)
    with pop3_server({"ann": []}) as server:
        url = f"pop://ann@127.0.0.1:{server.port}"
        wrong = "--password-file", password_file(tmp_path, "wrong\n")
        assert status_of("state", url, maildir, "repair", "--allow-cleartext", *wrong) == 1
        assert status_of("state", url, maildir, "repair", "--allow-cleartext", "--password-file", tmp_path / "no") == 78
    assert status_of("state", url, maildir, "repair", "--allow-cleartext", *wrong) == 1


@pytest.mark.parametrize("faults, status", [([], 0), ([WrongSize()], 1), ([Refuse("RETR 1")], 2)])
def test_probe(faults: list[Fault], status: int, tmp_path: Path, capsys, monkeypatch):
    hurry_up(monkeypatch)
    secret = password_file(tmp_path, f"{PASSWORD}\n")
    with pop3_server({"ann": [b"Subject: x\n\nx\n"]}, faults=faults) as server:
        target = ["probe", f"localhost:{server.port}", "--user", "ann"]
        assert status_of(*target, "--password-file", secret) == status
        assert status_of(*target, "--password-file", tmp_path / "no") == 3
        assert status_of(*target, "--password-file", secret, "--nagios") == status
        assert status_of("probe", "--nagios", "--bogus") == 3
    assert status_of(*target, "--password-file", secret) == 3
    assert status_of(*target, "--password-file", secret, "--nagios") == 2


def test_a_monitor_is_not_told_of_a_verdict_by_ctrl_c(monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_import("probe"), "probe", interrupted)
    assert status_of("probe", "localhost", "--nagios") == 3


# ------------------------------------------------------------------------------------------- the table


def test_a_command_may_say_what_a_status_means_there():
    parser = ArgumentParser()
    add_statuses(parser, 75, own={0: "fine " * 30, 3: "odd"}, note="well " * 30)
    lines = parser.format_help().partition("exit status:\n")[2].splitlines()
    table, _, note = "\n".join(lines).partition("\n\n")
    assert [int(number) for number in re.findall(r"^ +(\d+)  ", table, re.MULTILINE)] == [0, 1, 2, 3, 75, 130]
    assert table.count("fine") == 30
    assert note.split() == ["well"] * 30
    assert all(len(line) < 80 for line in lines)
