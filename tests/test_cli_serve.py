"""`pop3proto serve`: what it says, whom it lets in, how it ends."""

import hmac
import logging
import poplib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pop3proto.blocking import connect
from pop3proto.cli import serve
from pop3proto.cli.one_user import OneUser
from pop3proto.core.errors import LoginFailed

PASSWORD = " t\u00e4n staaf\t"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "mail"
    for folder in ("new", "cur", "tmp"):
        (path / folder).mkdir(parents=True)
    (path / "new" / "1.a").write_bytes(b"Subject: one\n\n.\n")
    (path / "cur" / "2.b:2,S").write_bytes(b"Subject: two\n")
    return path


@contextmanager
def running(
    maildir: Path, *options: str, password: bytes = PASSWORD.encode() + b"\r\nmore\n"
) -> Generator[tuple[subprocess.Popen[str], str, int]]:
    """`pop3proto serve` as a process, what it says first, and its port."""
    file = maildir.parent / "password"
    file.write_bytes(password)
    arguments = ["serve", str(maildir), "--user", "ann", "--password-file", str(file), "--port", "0", *options]
    with subprocess.Popen(
        [sys.executable, "-m", "pop3proto", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r" port ([0-9]+);", line)
            assert found is not None, process.stderr.read() if process.stderr else ""
            yield process, line, int(found[1])
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_by_a_signal(maildir, ending):
    with running(maildir) as (process, line, port):
        assert line == f"serving {maildir} for ann on 127.0.0.1 port {port}; Ctrl-C ends it\n"
        with connect("127.0.0.1", port, tls="none") as client:
            client.login("ann", PASSWORD)
            assert client.stat().count == 2
        process.send_signal(ending)
        assert process.communicate() == ("", "")
        assert process.returncode == 0


def test_it_ends_although_a_session_is_open_and_deletes_nothing(maildir):
    with running(maildir) as (process, _, port):
        client = connect("127.0.0.1", port, tls="none")
        client.login("ann", PASSWORD)
        client.dele(1)
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("", "")
        assert process.returncode == 0
        client.close()
    assert (maildir / "new" / "1.a").exists()


def test_poplib_fetches_and_deletes(maildir):
    with running(maildir, password=b"secret") as (_, _, port):
        client = poplib.POP3("127.0.0.1", port, timeout=60)
        client.user("ann")
        client.pass_("secret")
        assert client.retr(1)[1] == [b"Subject: one", b"", b"."]
        client.dele(1)
        client.quit()
    assert [file.name for file in (maildir / "new").iterdir()] == []


def test_a_maildrop_that_vanishes_is_told_in_one_line(maildir):
    with running(maildir) as (process, _, port):
        with connect("127.0.0.1", port, tls="none") as client:
            (maildir / "cur").rename(maildir / "gone")
            with pytest.raises(LoginFailed, match="no Maildir"):
                client.login("ann", PASSWORD)
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("", "")


@pytest.mark.parametrize(
    "options, note",
    [
        ([], "note: there is no TLS here, so logins are refused except from this machine (see --allow-cleartext)\n"),
        (["--allow-cleartext"], "note: there is no TLS here, and others on the network can read passwords and mail\n"),
    ],
)
def test_it_speaks_of_clear_text_where_others_can_connect(maildir, options, note):
    with running(maildir, "--host", "0.0.0.0", *options) as (process, _, _):
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("", note)
        assert process.returncode == 0


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
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")


@pytest.mark.parametrize(
    "user, password, right",
    [
        ("ann", PASSWORD, True),
        ("ann", PASSWORD.strip(), False),
        ("Ann", PASSWORD, False),
        ("ann", "", False),
        ("", PASSWORD, False),
        ("ann\udcff", "\udcff", False),
    ],
)
def test_one_user(user, password, right):
    authenticator = OneUser("ann", PASSWORD)
    assert authenticator.check_password(user, password) is right
    assert not authenticator.blocks


def test_the_same_work_whether_or_not_the_name_is_right(monkeypatch):
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def spy(a, b):
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    authenticator = OneUser("ann", "secret")
    assert not authenticator.check_password("bob", "guess")
    assert compared == [(b"bob", b"ann"), (b"guess", b"secret")]


def test_what_the_library_logs_is_one_line_without_a_traceback(capsys):
    with serve._logging_in_lines():
        error = OSError(5, "Input/output error\x1b")
        logging.getLogger("pop3proto").error("session from %s failed", "127.0.0.1", exc_info=error)
    assert capsys.readouterr().err == (
        "pop3proto serve: session from 127.0.0.1 failed: [Errno 5] Input/output error\\x1b\n"
    )
