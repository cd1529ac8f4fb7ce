"""The commands for mail of a server: deliver, quota, purge, undelete."""

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pop3proto.cli import main
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.lock import FolderLock
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import MaildropRules, OnDelete, RetainingStore
from tests.helpers.processes import PATIENCE
from tests.helpers.site_users import users_file

TEXT = b"Subject: secret\n\ntanstaaf\n"
DAY = 86_400
Deliver = Callable[..., int]
PasswdSite = Callable[..., Path]
Refused = Callable[..., tuple[int, str]]


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    return tmp_path / "Maildir"


@pytest.fixture
def deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deliver:
    def deliver(*words: str | Path, octets: bytes = TEXT) -> int:
        path = tmp_path / "stdin"
        path.write_bytes(octets)
        with path.open() as stdin, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", stdin)
            return main(["deliver", *map(str, words)])

    return deliver


@pytest.fixture
def refused(deliver: Deliver, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Delivers, and returns the exit status and what is on standard error."""
    return lambda *words: (deliver(*words), capsys.readouterr().err)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration for the users ann and bob."""

    def site(more: str = "") -> Path:
        (tmp_path / "users").write_bytes(users_file("ann", "bob"))
        os.utime(tmp_path / "users", (1_700_000_000, 1_700_000_000))  # one that is new may be half written
        (tmp_path / "mail").mkdir(exist_ok=True)
        path = tmp_path / "serve.toml"
        path.write_text(
            f'listen = {{ address = "127.0.0.1:110" }}\nusers = {{ file = "{tmp_path}/users" }}\n'
            f'maildrops = {{ maildir = "{tmp_path}/mail/{{user}}" }}\n{more}\n'
        )
        return path

    return site


@pytest.fixture
def passwd_site(site: Callable[..., Path], tmp_path: Path) -> PasswdSite:
    """Writes a configuration whose users are in a passwd-file of this text and age, with their homes."""

    def passwd_site(users: str, age: float = 60) -> Path:
        config = site()
        text = config.read_text().replace(f'file = "{tmp_path}/users"', f'passwd_file = "{tmp_path}/passwd"')
        config.write_text(text.replace(f'"{tmp_path}/mail/{{user}}"', '"{home}/Maildir"'))
        (tmp_path / "passwd").write_text(users)
        os.utime(tmp_path / "passwd", (time.time() - age,) * 2)
        return config

    return passwd_site


def stored(maildir: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((maildir / "new").iterdir())]


def program(tmp_path: Path, status: int) -> Path:
    path = tmp_path / f"exit{status}"
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(stat.S_IRWXU)
    return path


def put(maildir: Path, days: float, flags: str = "") -> str:
    ensure_maildir(maildir)
    when = int(time.time() - days * DAY)
    path = maildir / "cur" / f"{when}.M{int(days)}P1.host:2,{flags}"
    path.write_bytes(TEXT)
    os.utime(path, (when, when))
    return path.name.partition(":")[0]


# ---------------------------------------------------------------------------------------------- deliver


def test_a_message_of_the_mail_server(maildir: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-f", "<bob@b>", "--delivered-to", "ann@a", "-a", "all@a"]
    assert deliver("ann", "--maildir", maildir, *words, octets=b"From bob\n" + TEXT) == 0
    head = b"Return-Path: <bob@b>\nDelivered-To: ann@a\nX-Original-To: all@a\n"
    assert stored(maildir) == [head + TEXT]
    assert capsys.readouterr() == ("", "")


@pytest.mark.deep
def test_a_message_in_a_process(maildir: Path) -> None:
    command = [sys.executable, "-m", "pop3proto", "deliver", "--maildir", str(maildir)]
    result = subprocess.run(command, input=TEXT, capture_output=True, timeout=PATIENCE, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert stored(maildir) == [TEXT]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    assert (result.returncode, result.stderr) == (75, b"pop3proto deliver: there is no message on standard input\n")


def test_the_statuses_for_a_full_maildrop(maildir: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--maildir", maildir, "--quota-messages", "1", "--quota", "1K"]
    assert deliver(*limits) == 0
    assert deliver(*limits) == 75
    assert deliver(*limits, "--when-full", "refuse") == 77
    assert (
        capsys.readouterr().err.splitlines() == ["pop3proto deliver: the maildrop is full: 100 % of 1 message used"] * 2
    )


def test_the_statuses_of_filters(tmp_path: Path, maildir: Path, deliver: Deliver) -> None:
    def with_filter(status: int, *words: str) -> int:
        return deliver("--maildir", maildir, "--filter", f"{program(tmp_path, status)} x", *words)

    assert with_filter(0) == 0
    assert with_filter(98) == 0
    assert stored(maildir / ".Junk") == [TEXT]
    assert with_filter(98, "--junk", "tag") == 0
    assert stored(maildir)[1] == b"X-Spam: Yes\n" + TEXT
    assert with_filter(98, "--junk-folder", ".Spam") == 0
    assert stored(maildir / ".Spam") == [TEXT]
    assert with_filter(99) == 77
    assert with_filter(99, "--virus", "deliver") == 0
    assert with_filter(3) == 75
    assert with_filter(3, "--filter-largest", "5") == 0
    for words in (["--clamd", "/none"], ["--spamd", "/none"], ["--rspamd", "http://127.0.0.1:1"]):
        assert deliver("--maildir", maildir, *words) == 75
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(stat.S_IRWXU)
    assert deliver("--maildir", maildir, "--filter", slow, "--filter-timeout", "0.1s") == 75


@pytest.mark.parametrize(
    "words",
    [
        ["--maildir", "x", "--rspamd", "x"], ["--maildir", "x", "--quota", "much"],
        ["--maildir", "x", "--quota-messages", "0"], ["--maildir", "x", "--filter", " "], ["ann", "--filter", "true"],
        ["ann", "--quota", "1G"], [], ["ann", "bob"], ["--what"], ["ann", "--config", "x", "--maildir", "y"],
        ["--maildir", "x", "--filter-timeout", "soon"], ["--maildir", "x", "--filter", "'"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_64_for_the_mail_server(deliver: Deliver, words: list[str]) -> None:
    try:
        status: object = deliver(*words)
    except SystemExit as end:
        status = end.code
    assert status == 64


def test_a_name_that_the_users_have_in_capitals_is_no_unknown_one(site, refused, tmp_path):
    """The configuration is to blame, and the mail waits."""
    config = site("lower_case_users = true")
    (tmp_path / "users").write_bytes(users_file("Ann"))
    os.utime(tmp_path / "users", (1_700_000_000, 1_700_000_000))
    status, told = refused("Ann", "--config", config)
    assert status == 75
    assert "there is no user ann, but there is Ann: names of users must be in lower case (lower_case_users)" in told


def test_a_name_in_any_case_is_the_same_user(site, deliver, tmp_path):
    """Where names are folded; else there is no such user."""
    assert deliver("ANN", "--config", site()) == 77
    assert deliver("ANN", "--config", site("lower_case_users = true")) == 0
    assert len([*(tmp_path / "mail" / "ann" / "new").iterdir()]) == 1


def test_the_users_and_rules_of_a_site(site: Callable[..., Path], tmp_path: Path, deliver: Deliver) -> None:
    config = site("quota = { messages = 1 }")
    assert deliver("ann", "--config", config) == 0
    assert deliver("ann", "--config", config) == 75
    assert deliver("bob", "--config", config) == 0
    assert deliver("eve", "--config", config) == 77
    assert deliver("../ann", "--config", config) == 77
    assert stored(tmp_path / "mail/ann") == stored(tmp_path / "mail/bob") == [TEXT]
    assert deliver("ann", "--config", site(f'filter = {{ command = ["{program(tmp_path, 98)}"] }}')) == 0
    assert stored(tmp_path / "mail/ann/.Junk") == [TEXT]


def test_mail_waits_if_nothing_but_a_password_tells_who_exists(
    tmp_path: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(
        f'listen = {{ address = "127.0.0.1:0" }}\nusers = {{ checkpassword = ["/bin/true"] }}\n'
        f'maildrops = {{ maildir = "{tmp_path}/mail/{{user}}" }}\n'
    )
    assert deliver("ann", "--config", config) == 75
    assert "nothing but a password tells whether there is a user ann" in capsys.readouterr().err
    assert deliver("../ann", "--config", config) == 77
    ensure_maildir_in(tmp_path / "mail" / "ann")
    assert deliver("ann", "--config", config) == 0


def ensure_maildir_in(path: Path) -> None:
    path.parent.mkdir(parents=True)
    ensure_maildir(path)


@pytest.mark.parametrize("user", ["--maildir=x", "-f", "--from"])
def test_a_name_of_strangers_is_no_option(
    site: Callable[..., Path], tmp_path: Path, deliver: Deliver, user: str
) -> None:
    config = site()
    assert deliver("--from=a@b", "--config", config, "--", user) == 77
    with pytest.raises(SystemExit) as end:
        deliver("--maild", tmp_path / "x", "ann")
    assert end.value.code == 64
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "sender,field",
    [
        ('"a<b>c"@example.org', b'Return-Path: <"a<b>c"@example.org>\n'),
        ("-x@example.org", b"Return-Path: <-x@example.org>\n"),
        ("x" * 950, b""), ("a\nb", b""), ("a<b@x", b""), ("", b"Return-Path: <>\n"),
        ("--maildir=x", b"Return-Path: <--maildir=x>\n"),
    ],
)  # fmt: skip
def test_mail_of_any_sender_comes(maildir: Path, deliver: Deliver, sender: str, field: bytes) -> None:
    assert deliver("-f", sender, "--delivered-to", "ann@a", "--maildir", maildir) == 0
    assert stored(maildir) == [field + b"Delivered-To: ann@a\n" + TEXT]


@pytest.mark.parametrize("more", ["what = 1", "quota = { octets = 0 }", "= ="])
def test_mail_waits_while_the_configuration_is_wrong(site: Callable[..., Path], deliver: Deliver, more: str) -> None:
    assert deliver("ann", "--config", site(more)) == 75


def test_mail_waits_while_there_is_no_configuration_and_whatever_goes_wrong(
    tmp_path: Path, deliver: Deliver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver("ann", "--config", tmp_path / "none") == 75
    assert "cannot read" in capsys.readouterr().err
    for error in (ZeroDivisionError("x"), MemoryError(), KeyboardInterrupt()):

        def failing(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("pop3proto.cli.deliver.deliver_message", failing)
        assert deliver("--maildir", tmp_path / "m") == 75
        assert type(error).__name__ in capsys.readouterr().err


def test_nothing_of_the_message_is_printed(
    tmp_path: Path, maildir: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    for status in (0, 98, 99, 3):
        deliver("--maildir", maildir, "--filter", program(tmp_path, status))
    assert "tanstaaf" not in "".join(capsys.readouterr())


def line(user: str, home: Path, password: str = "{PLAIN}x") -> str:
    return f"{user}:{password}:1:1::{home}::\n"


@pytest.mark.parametrize(
    "kept, age, why",
    [
        (0, 60, "names no users"),
        (7, 60, "names no users"),
        (-3, 60, "ends within a line"),
        (99, 0, "has just been changed"),
    ],
)
def test_mail_waits_while_the_file_of_users_may_be_half_written(
    passwd_site: PasswdSite, refused: Refused, kept: int, age: float, why: str
) -> None:
    config = passwd_site(("# soon\n" + line("ann", Path("/a")) + line("bob", Path("/b")))[:kept], age)
    assert refused("carl", "--config", config) == (
        75, f"pop3proto deliver: there is no user carl, but {config.parent}/passwd {why}\n"
    )  # fmt: skip


def test_a_home_that_may_be_cut_off_gets_no_mail(
    passwd_site: PasswdSite, tmp_path: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mail").mkdir()
    whole = line("ann", tmp_path) + line("bob", tmp_path / "mail" / "bob")
    config = passwd_site(whole.removesuffix("/bob::\n"))
    assert deliver("ann", "--config", config) == 0
    assert deliver("bob", "--config", config) == 75
    assert "has no end" in capsys.readouterr().err
    config = passwd_site(line("ann", tmp_path) + "bob:{PLAIN}x\n")
    assert deliver("bob", "--config", config) == 75  # a fault of the configuration, not of the message
    assert "has no maildrop" in capsys.readouterr().err


def test_strangers_do_not_learn_what_is_wrong_with_other_users(
    passwd_site: PasswdSite, tmp_path: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a process without those of the tests
    config = passwd_site(line("ann", tmp_path) + line("bob", tmp_path, "{CRAM-MD5}ab"))
    assert deliver("carl", "--config", config) == 77
    assert capsys.readouterr().err == "pop3proto deliver: there is no user carl\n"
    assert deliver("bob", "--config", config) == 0
    assert capsys.readouterr().err == ""
    main(["quota", "show", "--all", "--config", str(config)])
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_missing_is_named_with_what_makes_it(
    passwd_site: PasswdSite, tmp_path: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "homes"
    config = passwd_site(line("ann", folder / "ann"))
    assert deliver("ann", "--config", config) == 75
    assert capsys.readouterr().err == (
        f"pop3proto deliver: the folder {folder} does not exist: is a disk not mounted?\n"
    )
    folder.mkdir()
    config.write_text(config.read_text() + 'run = { user = "daemon" }\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.geteuid", lambda: 1)
        assert deliver("ann", "--config", config) == 75
    assert capsys.readouterr().err == (
        f"pop3proto deliver: the folder {folder}/ann does not exist; make it: "
        f"install -d -o daemon -m 0700 {folder}/ann\n"
    )


# --------------------------------------------------------------------------------------- the rights of root


@pytest.mark.parametrize(
    "words, asked",
    [
        (["deliver", "ann"], ["daemon"]), (["purge", "ann"], ["daemon"]), (["quota", "show", "ann"], ["daemon"]),
        (["undelete", "ann"], ["daemon"]), (["backup", "ann", "mail.tar"], []),
    ],
)  # fmt: skip
def test_commands_of_root_go_on_as_the_user_of_the_server(
    site: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], asked: list[str]
) -> None:
    config = site(f'run = {{ user = "daemon" }}\nlog = {{ audit = "{tmp_path}/audit" }}')
    ensure_maildir(tmp_path / "mail/ann")
    monkeypatch.chdir(tmp_path)
    became: list[str] = []

    def become(user: str, _: object) -> None:
        assert not (tmp_path / "audit").exists()
        became.append(user)

    monkeypatch.setattr("pop3proto.cli.maildrop_arguments.drop_privileges", become)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.chown", lambda *_, **__: None)
    monkeypatch.setattr("os.fchown", lambda *_, **__: None)
    (tmp_path / "message").write_bytes(TEXT)
    with (tmp_path / "message").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main([*words, "--config", str(config)]) == 0
    assert became == asked


def test_a_user_of_the_server_that_does_not_exist_is_told(
    site: Callable[..., Path], deliver: Deliver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    config = site('run = { user = "nosuch" }')
    assert main(["purge", "ann", "--config", str(config)]) == 78
    assert deliver("ann", "--config", config) == 75
    assert capsys.readouterr().err.count("run: there is no user 'nosuch' on this system") == 2


@pytest.mark.deep
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_audit_of_a_purge_by_root_belongs_to_the_server() -> None:
    # Not below pytest's folder, which each session that begins closes to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "users").write_bytes(users_file("ann"))
        (folder / "log").mkdir()
        (folder / "mail").mkdir()
        put(folder / "mail/ann", 9, "S")
        config = folder / "serve.toml"
        config.write_text(
            f'listen = {{ address = "127.0.0.1:110" }}\nusers = {{ file = "{folder}/users" }}\n'
            f'maildrops = {{ maildir = "{folder}/mail/{{user}}" }}\n'
            f'run = {{ user = "nobody" }}\nretain = {{ read = "1d" }}\nlog = {{ audit = "{folder}/log/audit" }}\n'
        )
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "nobody")
        command = [sys.executable, "-m", "pop3proto", "purge", "ann", "--config", str(config)]
        result = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        assert (result.returncode, result.stderr) == (0, b"")
        assert (folder / "log/audit").owner() == "nobody"
        assert b"expired" in (folder / "log/audit").read_bytes()


# ------------------------------------------------------------------------------------------------ quota


def test_the_use_is_shown_and_counted_anew(maildir: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--maildir", str(maildir), "--quota", "100"]
    deliver(*limits)
    (maildir / "maildirsize").write_text("100S\n7 7\n")
    size = len(TEXT)
    line = f"1 message ({size} octets); {size} % of 100 octets used"
    assert main(["quota", "show", *limits]) == 0
    assert capsys.readouterr().out == f"{maildir}: {line}; maildirsize said 7 messages (7 octets)\n"
    assert main(["quota", "recalc", *limits]) == 0
    capsys.readouterr()
    assert main(["quota", "show", *limits]) == 0
    assert capsys.readouterr().out == f"{maildir}: {line}\n"
    assert (maildir / "maildirsize").read_text() == f"100S\n{size} 1\n"
    assert main(["quota", "show", "ann", "--json", *limits[:3], "5"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["user"], shown["octets"], shown["full"], shown["recorded"]["messages"]) == ("ann", size, True, 1)


def test_the_use_of_all(
    site: Callable[..., Path], tmp_path: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(site("quota = { messages = 4 }"))
    deliver("bob", "--config", config)
    assert main(["quota", "show", "--all", "--config", config]) == 0
    assert capsys.readouterr().out == f"bob: 1 message ({len(TEXT)} octets); 25 % of 4 messages used\n"
    assert main(["quota", "show", "ann", "--config", config]) == 1
    assert "cannot count" in capsys.readouterr().err
    assert main(["quota", "show", "eve", "--config", config]) == 1
    assert "there is no user eve" in capsys.readouterr().err
    assert main(["quota", "show", "--config", config]) == 2
    assert main(["quota", "show", "ann", "--all", "--config", config]) == 2
    assert main(["quota", "show", "--all", "--maildir", str(tmp_path)]) == 2
    assert main(["quota", "show", "--all", "--config", str(tmp_path / "none")]) == 78


def test_the_use_near_the_limit_is_marked(maildir: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--maildir", str(maildir), "--quota-messages", "10"]
    for _ in range(9):
        deliver(*words)
    capsys.readouterr()
    assert main(["quota", "show", *words]) == 0
    assert capsys.readouterr().out.endswith("90 % of 10 messages used, near the limit\n")


# ---------------------------------------------------------------------------------- purge and undelete


def test_a_purge_where_nothing_expires_says_so(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(maildir, 99)
    assert main(["purge", "--maildir", str(maildir)]) == 0
    assert capsys.readouterr().err == "note: nothing expires: there is neither retain nor on_delete\n"
    assert main(["purge", "--maildir", str(maildir), "--retain-read", "1d"]) == 0
    assert capsys.readouterr().err == ""


def test_a_unique_id_that_was_not_deleted(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(maildir, 1)
    assert main(["undelete", "--maildir", str(maildir), "--uid", "nonsense"]) == 1
    assert capsys.readouterr() == (
        "", "pop3proto undelete: no deleted message has the unique id nonsense, or it is in use\n"
    )  # fmt: skip


def test_what_would_expire_is_shown_and_then_removed(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = put(maildir, 10)
    put(maildir, 1)
    read = put(maildir, 5, "S")
    words = ["purge", "--maildir", str(maildir), "--retain-unread", "7d", "--retain-read", "2d"]
    assert main([*words, "--dry-run"]) == 0
    size = len(TEXT)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[::3] for line in shown[:2]] == [
        [f"{maildir}: {old}", "unread"],
        [f"{maildir}: {read}", "read"],
    ]
    assert shown[2] == f"{maildir}: 2 messages ({2 * size} octets) would be removed"
    assert main([*words, "--json", "--dry-run"]) == 0
    assert [json.loads(line)["removed"] for line in capsys.readouterr().out.splitlines()] == [False, False]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{maildir}: 2 messages ({2 * size} octets) removed\n"
    assert len(list((maildir / "cur").iterdir())) == 1


def test_a_maildrop_in_use_is_left_out_and_told(
    site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(site('retain = { unread = "1d" }'))
    for user in ("ann", "bob"):
        put(tmp_path / "mail" / user, 2)
    lock = FolderLock(tmp_path / "mail/ann")
    try:
        assert main(["purge", "--all", "--config", config]) == 75
        assert main(["undelete", "ann", "--config", config]) == 75
    finally:
        lock.release()
    out, err = capsys.readouterr()
    assert out == f"bob: 1 message ({len(TEXT)} octets) removed\n"
    assert err.startswith("pop3proto purge: ann is in use, and was left out\n")
    assert len(list((tmp_path / "mail/ann/cur").iterdir())) == 1


def test_each_removed_message_has_a_line_in_the_audit_of_the_server(
    site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = tmp_path / "audit"
    config = str(site(f'retain = {{ unread = "1d" }}\nlog = {{ audit = "{audit}" }}'))
    unique_id = put(tmp_path / "mail/ann", 2)
    assert main(["purge", "ann", "--dry-run", "--config", config]) == 0
    assert not audit.exists()
    audit.mkdir()
    assert main(["purge", "ann", "--config", config]) == 1
    assert "the audit cannot be written, so nothing was removed" in capsys.readouterr().err
    audit.rmdir()
    assert main(["purge", "ann", "--config", config]) == 0
    [line] = audit.read_text().splitlines()
    assert f"user=ann unique_id={unique_id} octets={len(TEXT)} reason=unread" in line


def test_links_are_followed_where_the_configuration_says_so(
    site: Callable[..., Path], tmp_path: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    config = site('retain = { unread = "1d" }\nquota = { messages = 9 }\non_delete = { to = "hide" }')
    put(tmp_path / "mail/ann", 2)
    real = tmp_path / "real"
    (tmp_path / "mail/ann/cur").rename(real)
    (tmp_path / "mail/ann/cur").symlink_to(real)
    file = tmp_path / "mail.tar"
    commands = [["backup", "ann", str(file)], ["undelete", "ann"], ["purge", "ann"], ["restore", "ann", str(file)]]
    for command in commands[:3]:
        assert main([*command, "--config", str(config)]) == 1
        assert "symbolic link" in capsys.readouterr().err
    text = config.read_text()
    config.write_text(text.replace('{user}" }', '{user}", follow_links = true }'))
    for command in commands:
        assert main([*command, "--config", str(config)]) == 0
    assert deliver("ann", "--config", config) == 0
    out = capsys.readouterr().out
    assert "1 message (26 octets) removed" in out
    assert "ann: 1 message restored" in out
    assert len([*real.iterdir()]) == 1


def test_who_is_left_out_of_a_backup_or_of_a_restore_is_told(
    site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = site(), tmp_path / "mail.tar"
    put(tmp_path / "mail/ann", 2)
    assert main(["backup", "--all", str(file), "--config", str(config)]) == 0
    assert "note: bob has no maildrop yet, and is not in the backup" in capsys.readouterr().err
    (tmp_path / "mail/bob").touch()
    assert main(["backup", "--all", str(file), "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 maildrop, 1 message")
    assert "the maildrop of bob cannot be read, and is not in the backup: " in err
    (tmp_path / "mail/bob").unlink()
    (tmp_path / "users").write_bytes(users_file("bob"))
    for more in ([], ["--dry-run"]):
        assert main(["restore", "--all", str(file), "--config", str(config), *more]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == [
            "pop3proto restore: ann is in the backup, and is no user of the configuration: not restored",
            "pop3proto restore: the maildrop of bob is not in the backup: it was in use, or could not be read",
        ]
    (tmp_path / "mail").rename(tmp_path / "away")
    before = file.read_bytes()
    assert main(["backup", "--all", str(file), "--config", str(config)]) == 1
    assert "no maildrop exists: is the disk mounted?" in capsys.readouterr().err
    assert main(["backup", "ann", str(file), "--maildir", str(tmp_path / "typo")]) == 1
    assert file.read_bytes() == before


@pytest.mark.deep
def test_a_bounce_tells_strangers_nothing_of_other_users(site: Callable[..., Path], tmp_path: Path) -> None:
    config = site()
    (tmp_path / "table").write_text("ann:{CRAM-MD5}x\nbob:{PLAIN}x\n")
    os.utime(tmp_path / "table", (1_700_000_000, 1_700_000_000))
    config.write_text(config.read_text().replace(f'file = "{tmp_path}/users"', f'passwd_file = "{tmp_path}/table"'))
    command = [sys.executable, "-m", "pop3proto", "deliver", "ghost", "--config", str(config)]
    done = subprocess.run(command, input=TEXT, capture_output=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (77, b"pop3proto deliver: there is no user ghost\n")


def test_what_was_deleted_comes_back(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [put(maildir, days) for days in (3, 2, 1)]
    maildrop = RetainingStore({"ann": maildir}, MaildropRules(on_delete=OnDelete("trash"))).open("ann", SessionInfo())
    maildrop.commit(frozenset({1, 2, 3}), frozenset())
    maildrop.close()
    words = ["undelete", "--maildir", str(maildir)]
    assert main([*words, "--dry-run"]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(ids)
    assert main([*words, "--uid", ids[0], "--uid", "none"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{maildir}: 1 message brought back\n"
    assert err == "pop3proto undelete: no deleted message has the unique id none, or it is in use\n"
    assert main(words) == 0
    assert capsys.readouterr().out == f"{maildir}: 2 messages brought back\n"
    keep = ["--on-delete", "trash", "--keep", "1d"]
    assert main(["purge", "--maildir", str(maildir), *keep]) == 0
