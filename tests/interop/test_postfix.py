"""A real Postfix, of its own, hands mail to `pop3proto deliver`: by its pipe transport, and as `mailbox_command`."""

import contextlib
import os
import pwd
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

import pop3proto
from pop3proto.authenticators import set_password
from pop3proto.maildrops.names import stored_size, wire_octets
from tests.helpers.processes import PATIENCE, started, wait_until
from tests.helpers.programs import free_ports

pytestmark = [
    pytest.mark.interop,
    pytest.mark.deep,
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix is started by root only"),
]

USER: Final = "nobody"
NEEDED: Final = ("attr", "attrs", "cattr", "cattrs", "typing_extensions")
MAIN: Final = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.org
mydestination = local.example.org
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = example.org
virtual_transport = pop3proto
pop3proto_destination_recipient_limit = 1
mailbox_command = {deliver} "$USER" --maildir {folder}/mail/local
local_recipient_maps =
alias_maps =
alias_database =
virtual_alias_maps =
notify_classes =
biff = no
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_tls_security_level = none
smtpd_tls_security_level = none
maillog_file = {folder}/log/mail
maillog_file_prefixes = {folder}
message_size_limit = 20000000
mailbox_size_limit = 0
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ PYTHONPATH={folder}/lib
export_environment = PYTHONPATH
"""
MASTER: Final = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
local unix - n n - - local
postlog unix-dgram n - n - 1 postlogd
pop3proto unix - n n - 10 pipe
  flags=Rhu user={user} null_sender=
  argv={deliver} --config {folder}/serve.toml --from=${{sender}} --delivered-to=${{recipient}}
  --original-to=${{original_recipient}} -- ${{user}}
"""


@attrs.frozen
class Postfix:
    """A Postfix that runs.

    Args:
        folder: where all of it is.
        port: of its SMTP server.
    """

    folder: Path
    port: int

    @property
    def log(self) -> str:
        path = self.folder / "log/mail"
        return path.read_text(errors="replace") if path.exists() else ""

    def send(self, to: str, message: bytes, sender: str = "bob@example.org") -> None:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
            client.sendmail(sender, [to], message)

    def stored(self, user: str, count: int) -> list[Path]:
        """Wait for so many messages, and return their files, the last one last."""
        new = self.folder / "mail" / user / "new"
        wait_until(lambda: new.is_dir() and len([*new.iterdir()]) >= count, f"{user} gets no mail: {self.log}")
        return sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def said(self, words: str) -> str:
        """Wait for a line of the log."""
        wait_until(lambda: re.search(f"{words}.*\n", self.log), f"{words} is not in the log: {self.log}")
        match = re.search(f".*{words}.*", self.log)
        assert match is not None
        return match[0]


def python() -> str:
    """A Python that another user than root may run."""
    for program in (sys.executable, "/usr/bin/python3"):
        command = [program, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        with contextlib.suppress(OSError):
            if subprocess.run(command, user=USER, cwd="/", timeout=PATIENCE, check=False).returncode == 0:
                return program
    pytest.skip("there is no Python that another user than root may run")


@pytest.fixture(scope="module")
def postfix(require_program: Callable[[str], str]) -> Generator[Postfix]:
    program = require_program("postfix")
    master = Path(configured("daemon_directory")) / "master"
    folder = Path(tempfile.mkdtemp(prefix="pop3proto-"))
    folder.chmod(0o755)
    try:
        port = prepare(folder)
        etc = folder / "etc"
        subprocess.run([program, "-c", etc, "check"], timeout=PATIENCE, check=True)  # makes the folders of the queue
        with (
            (folder / "said").open("w") as said,
            started(
                master, "-c", etc, "-d", stdout=said, stderr=said, env={**os.environ, "MAIL_CONFIG": str(etc)}
            ) as process,
        ):
            wait_until(lambda: listens(port), "Postfix does not listen")
            yield Postfix(folder, port)
            process.terminate()  # so that it ends all that it has started
            process.wait(PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def configured(name: str) -> str:
    command = ["postconf", "-dh", name]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout.strip()


def prepare(folder: Path) -> int:
    """Write the configurations; return the port."""
    for name in ("etc", "queue", "data", "log", "lib", "mail"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    shutil.chown(folder / "mail", USER)
    shutil.copytree(Path(pop3proto.__file__).parent, folder / "lib/pop3proto")
    for name in NEEDED:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, folder / "lib" / name)
        else:
            shutil.copy(origin, folder / "lib")
    for user in ("ann", "bob", "full", "other"):
        set_password(folder / "users", user, "x")
    shutil.chown(folder / "users", USER)
    os.utime(folder / "users", (1_700_000_000, 1_700_000_000))  # what is new may be half written
    (folder / "serve.toml").write_text(
        f'listen = {{ address = "127.0.0.1:110" }}\nusers = {{ file = "{folder}/users" }}\n'
        f'maildrops = {{ maildir = "{folder}/mail/{{user}}" }}\nquota = {{ messages = 5 }}\n'
    )
    full = folder / "mail/full"
    for path in (full, full / "new", full / "tmp", full / "cur"):
        path.mkdir()
        shutil.chown(path, USER)
    for number in range(5):
        (full / "cur" / f"{number}.M1.host:2,").write_bytes(b"x\n")
    port, _ = free_ports()
    deliver = f"{python()} -m pop3proto deliver"
    words = {
        "folder": folder,
        "port": port,
        "deliver": deliver,
        "user": USER,
        "daemons": configured("daemon_directory"),
    }
    (folder / "etc/main.cf").write_text(MAIN.format(**words))
    (folder / "etc/master.cf").write_text(MASTER.format(**words))
    return port


def test_a_message_by_the_pipe_transport(postfix: Postfix) -> None:
    postfix.send("ann@example.org", b"Subject: x\r\n\r\nHello\r\n.dot\r\n")
    [path] = postfix.stored("ann", 1)
    octets = path.read_bytes()
    assert octets.startswith(b"Return-Path: <bob@example.org>\nDelivered-To: ann@example.org\nX-Original-To: ann@")
    assert octets.count(b"Return-Path") == 1
    assert octets.endswith(b"\n\nHello\n.dot\n")
    assert stored_size(path.name) == len(octets) == path.stat().st_size
    assert wire_octets(path.name, len(octets)) == len(octets) + octets.count(b"\n")
    assert path.stat().st_uid == pwd.getpwnam(USER).pw_uid
    postfix.said(r"to=<ann@example\.org>.*status=sent")


def test_an_address_in_other_letters(postfix: Postfix) -> None:
    postfix.send("Other@Example.ORG", b"Subject: x\r\n\r\nx\r\n")
    [path] = postfix.stored("other", 1)
    assert b"\nDelivered-To: other@example.org\n" in path.read_bytes()


def test_a_large_message(postfix: Postfix) -> None:
    body = b"to and fro, and to and fro\r\n" * 300_000
    before = len([*(postfix.folder / "mail/ann/new").glob("*")])
    postfix.send("ann@example.org", b"Subject: large\r\n\r\n" + body)
    path = postfix.stored("ann", before + 1)[-1]
    assert path.read_bytes().endswith(b"\n\n" + body.replace(b"\r\n", b"\n"))


def test_mail_for_a_full_maildrop_waits(postfix: Postfix) -> None:
    postfix.send("full@example.org", b"Subject: x\r\n\r\nx\r\n")
    line = postfix.said(r"to=<full@example\.org>.*status=deferred")
    assert "the maildrop is full: 100 % of 5 messages used" in line


def test_mail_for_nobody_goes_back_to_its_sender(postfix: Postfix) -> None:
    postfix.send("eve@example.org", b"Subject: for eve\r\n\r\nx\r\n", sender="bob@example.org")
    assert "there is no user eve" in postfix.said(r"to=<eve@example\.org>.*status=bounced")
    [path] = postfix.stored("bob", 1)
    octets = path.read_bytes()
    assert octets.startswith(b"Return-Path: <>\nDelivered-To: bob@example.org\n")
    assert b"there is no user eve" in octets


def test_mail_waits_while_the_configuration_is_wrong(postfix: Postfix) -> None:
    config = postfix.folder / "serve.toml"
    right = config.read_text()
    config.write_text(right + "what = 1\n")
    try:
        postfix.send("bob@example.org", b"Subject: waits\r\n\r\nx\r\n", sender="ann@example.org")
        assert "unknown key" in postfix.said(r"to=<bob@example\.org>.*status=deferred")
    finally:
        config.write_text(right)
    subprocess.run(["postqueue", "-c", postfix.folder / "etc", "-f"], timeout=PATIENCE, check=True)
    wait_until(lambda: any(b"waits" in path.read_bytes() for path in postfix.stored("bob", 1)), postfix.log)


def test_a_message_as_mailbox_command(postfix: Postfix) -> None:
    postfix.send(f"{USER}@local.example.org", b"Subject: local\r\n\r\nx\r\n", sender="ann@example.org")
    [path] = postfix.stored("local", 1)
    octets: Any = path.read_bytes()
    assert not octets.startswith(b"From ")
    assert b"Return-Path: <ann@example.org>\n" in octets
    assert octets.endswith(b"\n\nx\n")
