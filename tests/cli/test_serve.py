"""`pop3proto serve`: what it says, whom it lets in, how it ends."""

import itertools
import logging
import poplib
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization  # trustme stands on it

from pop3proto.blocking import connect
from pop3proto.cli import main, serve
from pop3proto.cli.serve import ServerTls
from pop3proto.core.errors import ConnectionLost
from pop3proto.core.limits import Quirk
from pop3proto.core.refusals import CommandFailed, LoginFailed, SessionRefused
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.server.service import Service
from tests.helpers.cli_servers import password_file, stored
from tests.helpers.processes import PATIENCE, started

PASSWORD = " t\u00e4n staaf "


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "mail"
    for folder in ("new", "cur", "tmp"):
        (path / folder).mkdir(parents=True)
    (path / "new" / "1.a").write_bytes(b"Subject: one\n\n.\n")
    (path / "cur" / "2.b:2,S").write_bytes(b"Subject: two\n")
    return path


POP3PROTO = (sys.executable, "-m", "pop3proto")
NOTE = "shutting down; press Ctrl-C again to stop at once\n"


@contextmanager
def serving(
    maildir: Path, *options: str, program: Sequence[str] = POP3PROTO
) -> Generator[tuple[subprocess.Popen[str], str, int]]:
    """`pop3proto serve` as a process, what it says first, and its port."""
    arguments = ["serve", str(maildir), "--port", "0", *options]
    with started(*program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r" on \S+ port ([0-9]+); Ctrl-C ends it\n", line)
        assert found is not None, process.stderr.read() if process.stderr else ""
        yield process, line, int(found[1])


@contextmanager
def running(
    maildir: Path,
    *options: str,
    password: bytes = PASSWORD.encode() + b"\r\nmore\n",
    program: Sequence[str] = POP3PROTO,
) -> Generator[tuple[subprocess.Popen[str], str, int]]:
    """The same, to ann alone."""
    file = maildir.parent / "password"
    file.write_bytes(password)
    file.chmod(0o600)
    with serving(maildir, "--user", "ann", "--password-file", str(file), *options, program=program) as started:
        yield started


TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} "
ENDED = re.compile(TIME + r"pop3proto serve: session \d+ from \S+: (ended|refused): .*\n", re.MULTILINE)


def end(process: subprocess.Popen[str], by: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    """End it, and return what it says then.

    But for the note on its end, as a session that was left may linger; and for the lines about the ends of sessions.
    """
    process.send_signal(by)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return out, ENDED.sub("", err).removesuffix(NOTE)


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_by_a_signal(maildir, ending):
    with running(maildir) as (process, line, port):
        assert line == f"serving {maildir} for ann without TLS on 127.0.0.1 port {port}; Ctrl-C ends it\n"
        with connect("127.0.0.1", port, tls="none") as client:
            client.login("ann", PASSWORD)
            assert client.stat().count == 2
        assert end(process, ending) == ("", "")


def test_it_ends_although_a_session_is_open_and_deletes_nothing(maildir):
    with running(maildir) as (process, _, port):
        client = connect("127.0.0.1", port, tls="none")
        client.login("ann", PASSWORD)
        client.dele(1)
        process.send_signal(signal.SIGTERM)
        with pytest.raises((CommandFailed, ConnectionLost)):
            all(client.noop() is None for _ in itertools.count())  # until the signal is there
        client.close()
        assert end(process) == ("", "")
    assert (maildir / "new" / "1.a").exists()


# The same, but open sessions have longer to end than any test would wait.
PATIENT = """
import sys
from functools import partial
from pop3proto.cli import main, serve
from pop3proto.procedures import Deadlines, Service
serve.Service = partial(Service, deadlines=Deadlines(grace=1_000_000))
sys.exit(main())
"""


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("first,second", [*itertools.product([signal.SIGINT, signal.SIGTERM], repeat=2)])
def test_a_second_signal_ends_it_at_once(maildir, first, second):
    with running(maildir, program=(sys.executable, "-c", PATIENT)) as (process, _, port):
        client = connect("127.0.0.1", port, tls="none")
        client.login("ann", PASSWORD)
        client.dele(1)
        process.send_signal(first)
        assert process.stderr is not None
        assert process.stderr.readline() == NOTE
        with pytest.raises(ConnectionLost):
            connect("127.0.0.1", port, tls="none")  # it listens no more
        assert process.poll() is None
        assert end(process, second) == ("", "")
        with pytest.raises(ConnectionLost):
            client.quit()
    assert (maildir / "new" / "1.a").exists()


@pytest.mark.deep
def test_it_waits_for_a_session_that_ends(maildir):
    with running(maildir, program=(sys.executable, "-c", PATIENT)) as (process, _, port):
        with connect("127.0.0.1", port, tls="none") as client:
            client.login("ann", PASSWORD)
            client.dele(1)
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            assert process.stderr.readline() == NOTE
        out, err = process.communicate(timeout=PATIENCE)
        assert (out, ENDED.sub("", err)) == ("", "")
        assert process.returncode == 0
    assert not (maildir / "new" / "1.a").exists()


@pytest.mark.deep
def test_a_signal_that_is_ignored_stays_ignored(maildir):
    # As a shell does it for what it puts into the background.
    program = ("sh", "-c", "trap '' INT && exec \"$@\"", "sh", *POP3PROTO)
    with running(maildir, program=program) as (process, _, port):
        process.send_signal(signal.SIGINT)
        with connect("127.0.0.1", port, tls="none") as client:
            client.login("ann", PASSWORD)
            assert client.stat().count == 2
        assert end(process) == ("", "")


@pytest.mark.deep
def test_verbose(maildir):
    with running(maildir, "--verbose") as (process, _, port):
        with connect("127.0.0.1", port, tls="none") as client:
            with pytest.raises(LoginFailed):
                client.login("ann", "marker", only=["USER/PASS"])
            client.login("ann", PASSWORD, only=["SCRAM-SHA-256"])
            assert next(client.retrieve([1]))[1] == b"Subject: one\r\n\r\n.\r\n"
        out, err = end(process)
    lines = re.sub(TIME, "", err, flags=re.MULTILINE).splitlines()
    assert out == ""
    [failed] = [line for line in lines if "login failed" in line]
    assert failed == "pop3proto serve: session 1 from 127.0.0.1: login failed: method=USER/PASS user=ann"
    lines.remove(failed)
    prefix = "pop3proto serve: 1 127.0.0.1 "  # the number of the session, and the address
    assert all(line.startswith((f"{prefix}- ", f"{prefix}ann ")) for line in lines)
    said = [line.removeprefix(prefix) for line in lines]
    assert said[0].startswith("- S: +OK POP3 server ready <")
    assert {"- C: USER ann", "- C: PASS ***", "- C: AUTH SCRAM-SHA-256 ***"} <= {*said}
    assert {"ann C: RETR 1", "ann S: (16 octets)"} <= {*said}
    assert said[-3:-1] == ["ann C: QUIT", "ann S: +OK bye"]
    assert said[-1] == "ann -: the session ended"
    assert "marker" not in err
    assert "Subject" not in err


@pytest.mark.deep
@pytest.mark.parametrize(
    "options, why",
    [
        (["--max-sessions", "2", "--max-sessions-before-login", "2"], "too many sessions"),
        (["--max-sessions-per-address", "2"], "too many sessions from your address"),
        (["--max-sessions", "4", "--max-sessions-per-address", "2"], "too many sessions from your address"),
    ],
)
def test_no_more_sessions_than_it_is_told(maildir, options, why):
    with running(maildir, *options) as (process, _, port):
        with connect("127.0.0.1", port, tls="none"), connect("127.0.0.1", port, tls="none"):
            with pytest.raises(SessionRefused) as refused:
                connect("127.0.0.1", port, tls="none")
            assert refused.value.reply.text == f"[SYS/TEMP] {why}"
        assert end(process) == ("", "")


def test_the_bounds_of_sessions_are_those_of_the_library(maildir, monkeypatch):
    made: list[Service] = []

    async def serving(service: Service, *_: object) -> None:
        made.append(service)

    monkeypatch.setattr(serve, "_serve", serving)
    secret = password_file(maildir.parent, "secret")
    assert main(["serve", str(maildir), "--user", "ann", "--password-file", str(secret)]) == 0
    [service] = made
    default = Service(store=service.store, authenticator=service.authenticator)
    assert service == default


@pytest.mark.parametrize("option", ["--max-sessions", "--max-sessions-per-address"])
@pytest.mark.parametrize("number", ["0", "-1", "1.5", "many", ""])
def test_bounds_of_sessions_that_are_none(maildir, capsys, option, number):
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(maildir), "--user", "ann", "--password-file", "f", f"{option}={number}"])
    assert ended.value.code == 2
    assert f"argument {option}: it must be a number, 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "names, quirks", [("bare_lf", {Quirk.BARE_LF}), ("lenient", {Quirk.BARE_LF}), ("strict", set())]
)
def test_quirks(maildir, monkeypatch, names, quirks):
    made: list[Service] = []

    async def serving(service: Service, *_: object) -> None:
        made.append(service)

    monkeypatch.setattr(serve, "_serve", serving)
    secret = password_file(maildir.parent, "secret")
    assert main(["serve", str(maildir), "--user", "ann", "--password-file", str(secret), "--quirks", names]) == 0
    assert made[0].quirks == quirks


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("stray_dot", "'stray_dot' does not apply here"),
        ("courier", "'courier' does not apply here"),
        ("bare", "there is no quirk 'bare'"),
    ],
)
def test_a_quirk_that_is_none_of_clients(maildir, capsys, name, wrong):
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(maildir), "--user", "ann", "--password-file", "f", "--quirks", name])
    assert ended.value.code == 2
    assert f"{wrong}; the names are bare_lf, strict, lenient" in capsys.readouterr().err


def test_poplib_fetches_and_deletes(maildir):
    with running(maildir, password=b"secret") as (_, _, port):
        client = poplib.POP3("127.0.0.1", port, timeout=60)
        client.user("ann")
        client.pass_("secret")
        assert client.retr(1)[1] == [b"Subject: one", b"", b"."]
        client.dele(1)
        client.quit()
    assert [file.name for file in (maildir / "new").iterdir()] == []


@pytest.mark.deep
def test_a_maildrop_that_vanishes_is_told_in_one_line(maildir):
    with running(maildir) as (process, _, port):
        with connect("127.0.0.1", port, tls="none") as client:
            (maildir / "cur").rename(maildir / "gone")
            with pytest.raises(LoginFailed, match="not a Maildir"):
                client.login("ann", PASSWORD)
        words = f"the maildrop of ann cannot be opened: {maildir / 'cur'}: No such file or directory"
        out, err = end(process)
        assert (out, re.sub(TIME, "", err)) == ("", f"pop3proto serve: {words}\n")


@pytest.mark.deep
@pytest.mark.parametrize(
    "options, note",
    [
        (
            [],
            (
                "note: serving without TLS: cleartext passwords are accepted only from this machine (see --certificate "
                "and --allow-cleartext); mail is sent in cleartext to other machines too\n"
            ),
        ),
        (
            ["--allow-cleartext"],
            "note: serving without TLS: others on the network can read passwords and mail (see --certificate)\n",
        ),
    ],
)
def test_it_speaks_of_clear_text_where_others_can_connect(maildir, options, note):
    with running(maildir, "--host", "0.0.0.0", *options) as (process, _, _):
        assert end(process) == ("", note)


@pytest.mark.deep
@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_ipv6(maildir):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 loopback")
    with running(maildir, "--host", "::1") as (process, line, port):
        assert f"on ::1 port {port};" in line
        with connect("::1", port, tls="none") as client:
            client.login("ann", PASSWORD)
        assert end(process, signal.SIGINT) == ("", "")


@pytest.mark.deep
def test_the_name_of_the_one_user_is_prepared_like_those_that_clients_send(maildir):
    file = password_file(maildir.parent, "secret")
    with (
        serving(maildir, "--user", "\ufb01n\u00ad", "--password-file", str(file)) as (_, line, port),
        connect("127.0.0.1", port, tls="none") as client,
    ):
        assert " for \ufb01n\\xad without TLS on " in line
        client.login("fin", "secret")
        assert client.stat().count == 2


# ------------------------------------------------------------------------------------------ many users


@pytest.fixture
def folder(maildir: Path) -> Path:
    """A folder of Maildirs: ann has two messages, bob none, carl no Maildir."""
    path = maildir.parent / "all"
    path.mkdir()
    maildir.rename(path / "ann")
    for name in ("new", "cur"):
        (path / "bob" / name).mkdir(parents=True)
    (path / "carl").mkdir()
    return path


@pytest.fixture
def users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file of users, made by `pop3proto passwd`."""
    file = tmp_path / "users"
    for user in ("ann", "bob", "carl", "../ann"):
        secret = password_file(tmp_path, f"{user}'s secret\n")
        assert main(["passwd", str(file), user, "--password-file", str(secret)]) == 0
    capsys.readouterr()
    return file


@pytest.mark.deep
def test_a_file_of_users(folder, users, capsys):
    with serving(folder, "--users", str(users)) as (process, line, port):
        assert f"serving {folder} for the users in {users} without TLS on 127.0.0.1 port " in line
        for user, count in (("ann", 2), ("bob", 0)):
            with connect("127.0.0.1", port, tls="none") as client:
                client.login(user, f"{user}'s secret")
                assert client.stat().count == count
        with connect("127.0.0.1", port, tls="none") as client:
            with pytest.raises(LoginFailed, match=r"\[SYS/PERM\] the maildrop does not exist or is not a Maildir"):
                client.login("carl", "carl's secret", only=["PLAIN"])
            with pytest.raises(LoginFailed, match=r"\[SYS/PERM\] this user has no maildrop"):
                client.login("../ann", "../ann's secret", only=["PLAIN"])
        # Who is new may log in at once.
        (folder / "dora" / "new").mkdir(parents=True)
        (folder / "dora" / "cur").mkdir()
        secret = password_file(folder.parent, "new\n")
        assert main(["passwd", str(users), "dora", "--password-file", str(secret)]) == 0
        with connect("127.0.0.1", port, tls="none") as client:
            client.login("dora", "new", only=["SCRAM-SHA-256"])
        words = f"the maildrop of carl cannot be opened: {folder / 'carl' / 'new'}: No such file or directory"
        out, err = end(process)
        assert (out, re.sub(TIME, "", err)) == ("", f"pop3proto serve: {words}\n")


@pytest.mark.deep
@pytest.mark.parametrize("options,served", [((), False), (("--follow-links",), True)])
def test_links_in_the_folder_are_followed_only_if_it_is_told_to(folder, users, options, served):
    (folder / "ann").rename(folder.parent / "elsewhere")
    (folder / "ann").symlink_to(folder.parent / "elsewhere")
    with serving(folder, "--users", str(users), *options) as (process, _, port):
        refused = nullcontext() if served else pytest.raises(LoginFailed, match="SYS/PERM")
        with connect("127.0.0.1", port, tls="none") as client, refused:
            client.login("ann", "ann's secret")
        _, err = end(process)
    assert ("it is a symbolic link" in err) is not served


@pytest.mark.deep
def test_a_file_of_users_that_breaks_is_told_in_one_line(folder, users):
    with serving(folder, "--users", str(users)) as (process, _, port):
        users.write_bytes(b"rubbish marker\n")
        with connect("127.0.0.1", port, tls="none") as client, pytest.raises(LoginFailed, match=r"\[SYS/TEMP\]"):
            client.login("ann", "ann's secret", only=["PLAIN"])
        _, err = end(process)
    assert re.match(TIME, err)
    assert err.partition(" ")[2].startswith(f"pop3proto serve: logins cannot be checked: {users}, line 1: ")
    _, line = err.splitlines()
    assert line.endswith("session 1 from 127.0.0.1: login not checked: method=PLAIN user=ann")
    assert "marker" not in err


CHECKPASSWORD = """
import os, sys
user, password, *_ = os.read(3, 512).split(b"\\0")
if user == b"broken":
    sys.exit(111)
if (user, password) != (b"ann", b"secret") or sys.argv[1] != "two words":
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.deep
def test_a_program_that_checks_passwords(folder):
    program = folder.parent / "check.py"
    program.write_text(CHECKPASSWORD)
    command = f"{sys.executable} '{program}' 'two words'"
    with serving(folder, "--checkpassword", command) as (process, line, port):
        assert f"serving {folder} for the users of {sys.executable} without TLS on " in line
        assert "words" not in line
        with connect("127.0.0.1", port, tls="none") as client:
            assert set(client.capa().sasl) == {"PLAIN", "LOGIN"}  # what a program can check
            client.login("ann", "secret")
            assert client.stat().count == 2
        with connect("127.0.0.1", port, tls="none") as client, pytest.raises(LoginFailed, match="SYS/TEMP"):
            client.login("broken", "secret")
        out, err = end(process)
    assert out == ""
    why, who = err.splitlines()
    assert " pop3proto serve: logins cannot be checked: " in why
    assert who.endswith("session 2 from 127.0.0.1: login not checked: method=PLAIN user=broken")
    assert "secret" not in err


# ------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def encrypted(key: bytes) -> bytes:
    """A key under a passphrase."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )


class Files:
    """Files with a certificate for this machine and its key, together and apart; with another key; with neither."""

    def __init__(self, authority: trustme.CA, folder: Path) -> None:
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)
        issued, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
        self.both, self.certificate, self.key, self.other, self.neither, self.none = (
            str(folder / name) for name in ("both", "certificate", "key", "other", "neither", "none")
        )
        self.trusted = str(folder / "trusted")
        authority.cert_pem.write_to_path(self.trusted)
        self.broken, self.encrypted = str(folder / "broken"), str(folder / "encrypted")
        issued.private_key_and_cert_chain_pem.write_to_path(self.both)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        other.private_key_pem.write_to_path(self.other)
        Path(self.neither).write_text("MARKER")
        Path(self.broken).write_text("-----BEGIN CERTIFICATE-----\nMARKER==\n-----END CERTIFICATE-----\n")
        Path(self.encrypted).write_bytes(encrypted(issued.private_key_pem.bytes()))


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> Files:
    return Files(authority, tmp_path)


WORDS: dict[TlsMode, str] = {"none": "without TLS", "starttls": "with STLS", "implicit": "over TLS"}


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize(
    "options, tls", [([], "starttls"), (["--tls", "starttls"], "starttls"), (["--tls", "implicit"], "implicit")]
)
def test_tls(maildir, files, options, tls, host):
    options = ["--certificate", files.certificate, "--key", files.key, "--host", host, *options]
    with running(maildir, *options) as (process, line, port):
        assert line == f"serving {maildir} for ann {WORDS[tls]} on {host} port {port}; Ctrl-C ends it\n"
        with connect("127.0.0.1", port, tls=tls, context=files.context) as client:
            assert not any(name.endswith("-PLUS") for name in client.capa().sasl)
            client.login("ann", PASSWORD, only=["SCRAM-SHA-256"])
            assert client.stat().count == 2
        assert end(process) == ("", "")


@pytest.mark.deep
def test_key_and_certificate_in_one_file(maildir, files):
    with running(maildir, "--certificate", files.both) as (_, _, port):
        with connect("127.0.0.1", port, tls="starttls", context=files.context) as client:
            client.login("ann", PASSWORD)
        with pytest.raises(ConnectionLost, match="handshake"):
            connect("127.0.0.1", port, tls="implicit", context=files.context)


def test_without_a_certificate_there_is_no_stls(maildir, files):
    with running(maildir) as (_, _, port), pytest.raises(CommandFailed, match="STLS"):
        connect("127.0.0.1", port, tls="starttls", context=files.context)


def test_default_ports(maildir, files, monkeypatch):
    listened: list[tuple[str, int, TlsMode]] = []

    def listen(_: object, host: str, port: int, tls: ServerTls) -> None:
        listened.append((host, port, tls.mode))
        raise OSError(5, "enough")

    monkeypatch.setattr(serve, "_listen", listen)
    secret = password_file(maildir.parent, "secret")
    for options in ([], ["--certificate", files.both], ["--certificate", files.both, "--tls", "implicit"]):
        assert main(["serve", str(maildir), "--user", "ann", "--password-file", str(secret), *options]) == 1
    assert listened == [
        ("127.0.0.1", 1110, "none"),
        ("127.0.0.1", 1110, "starttls"),
        ("127.0.0.1", 1995, "implicit"),
    ]


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("scheme", ["pop", "pops"])
def test_fetch_from_serve(folder, users, files, capsys, scheme):
    target = folder.parent / "fetched"
    secret = password_file(folder.parent, "ann's secret\n")
    mode = {"pop": "starttls", "pops": "implicit"}[scheme]
    with serving(folder, "--users", str(users), "--certificate", files.both, "--tls", mode) as (_, _, port):
        for way in ("", ";AUTH=SCRAM-SHA-256", ";auth=plain"):
            url = f"{scheme}://ann{way}@127.0.0.1:{port}"
            options = ["--password-file", str(secret), "--ca-file", files.trusted]
            assert main(["fetch", url, str(target), *options]) == 0
    assert capsys.readouterr() == (f"ann@127.0.0.1:{port}: 2 messages fetched (33 B)\n", "")
    assert stored(target) == [b"Subject: one\n\n.\n", b"Subject: two\n"]


# -------------------------------------------------------------------------------------- wrong arguments


def failure(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 1) -> str:
    """What `serve` says: one line, without the name of the command."""
    assert main(["serve", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("pop3proto serve: ")
    return err.removeprefix("pop3proto serve: ").removesuffix("\n")


@pytest.mark.parametrize(
    "options, why",
    [
        (["--user", "ann"], "--user needs --password-file"),
        (["--users", "f", "--password-file", "g"], "--password-file can only be used with --user"),
        (["--checkpassword", "f", "--password-file", "g"], "--password-file can only be used with --user"),
        (["--users", "f", "--tls", "implicit"], "--tls needs --certificate"),
        (["--users", "f", "--key", "g"], "--key needs --certificate"),
        (["--checkpassword", ""], "--checkpassword must name a program"),
        (["--checkpassword", "''"], "--checkpassword must name a program"),
        (["--checkpassword", "'x"], "--checkpassword is not a valid command line: no closing quotation"),
    ],
)
def test_arguments_that_do_not_go_together(folder, capsys, options, why):
    assert failure(capsys, str(folder), *options, status=2) == why


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--password-file", "f"],
        ["--user", "ann", "--users", "f"],
        ["--user", "ann", "--password-file", "f", "--checkpassword", "f"],
        ["--users", "f", "--checkpassword", "f"],
        ["--users", "f", "--certificate", "f", "--tls", "none"],
    ],
)
def test_mistakes_in_usage(folder, capsys, options):
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(folder), *options])
    assert ended.value.code == 2
    assert "usage: pop3proto serve" in capsys.readouterr().err


@pytest.mark.parametrize("password", ["mark\ter", "mark\u0221er", "\u00ad"])
def test_passwords_that_nobody_could_log_in_with(maildir, capsys, password):
    file = password_file(maildir.parent, password)
    line = failure(capsys, str(maildir), "--user", "ann", "--password-file", str(file))
    assert line.startswith("this password cannot be used to log in: ")
    assert "mark" not in line


@pytest.mark.deep
def test_files_of_users_that_are_none(folder, users, tmp_path, capsys):
    assert failure(capsys, str(folder), "--users", str(tmp_path / "none")) == (
        f"cannot read the users file {tmp_path / 'none'}: No such file or directory"
    )
    assert failure(capsys, str(folder), "--users", str(tmp_path)).endswith(f"{tmp_path}: not a regular file")
    lines = users.read_bytes().count(b"\n")
    users.write_bytes(users.read_bytes() + b"dora marker\n")
    line = failure(capsys, str(folder), "--users", str(users))
    assert line.startswith(f"{users}, line {lines + 1}: ")
    assert "marker" not in line
    line = failure(capsys, str(folder), "--users", str(password_file(tmp_path)))
    assert line.startswith(f"{tmp_path / 'password'}, line 1: ")


@pytest.mark.deep
def test_folders_that_hold_no_maildirs(folder, users, capsys):
    for options in (["--users", str(users)], ["--checkpassword", sys.executable]):
        assert (
            failure(capsys, str(folder / "none"), *options)
            == f"cannot serve {folder / 'none'}: No such file or directory"
        )
        assert failure(capsys, str(users), *options) == f"cannot serve {users}: Not a directory"
        assert failure(capsys, str(folder / "ann"), *options) == (
            f"{folder / 'ann'} is itself a Maildir; with --users or --checkpassword, give a folder that holds one "
            "Maildir for each user, named like the user"
        )


@pytest.mark.parametrize("command", ["/no/such/program 'S3cret'", "no-such-program-anywhere S3cret", "/"])
def test_programs_that_cannot_be_run(folder, capsys, command):
    line = failure(capsys, str(folder), "--checkpassword", command)
    assert line == f"--checkpassword: {command.split()[0]} does not exist or is not executable"


@pytest.mark.parametrize(
    "options, why",
    [
        (["none"], "cannot read the certificate {none}: No such file or directory"),
        (["both", "none"], "cannot read the private key {none}: No such file or directory"),
        (["neither"], "{neither} holds no certificate (PEM)"),
        (["key"], "{key} holds no certificate (PEM)"),
        (["certificate"], "{certificate} holds no private key (PEM); give the key file with --key"),
        (["certificate", "neither"], "{neither} holds no private key (PEM)"),
        (["certificate", "other"], "the private key in {other} does not match the certificate in {certificate}"),
        (["broken", "key"], "cannot use the certificate in {broken} with its key: "),
        (
            ["certificate", "encrypted"],
            (
                "the private key in {encrypted} is encrypted: encrypted private keys are not supported; "
                "decrypt it: openssl pkey -in {encrypted} -out NEW"
            ),
        ),
    ],
)
def test_certificates_that_cannot_be_used(folder, files, capsys, options, why):
    named = dict(zip(("--certificate", "--key"), (getattr(files, name) for name in options), strict=False))
    arguments = [argument for option in named.items() for argument in option]
    line = failure(capsys, str(folder), "--checkpassword", sys.executable, *arguments)
    assert line.startswith(why.format_map(vars(files)))
    assert "MARKER" not in line


def test_what_the_library_logs_is_one_line_without_a_traceback(capsys):
    with serve._logging_in_lines():
        error = OSError(5, "Input/output error\x1b")
        logging.getLogger("pop3proto").error("session from %s failed", "127.0.0.1", exc_info=error)
    err = capsys.readouterr().err
    assert re.match(TIME, err)
    assert err.partition(" ")[2] == (
        "pop3proto serve: session from 127.0.0.1 failed: [Errno 5] Input/output error\\x1b\n"
    )
