"""The programs that fetch mail: how each is told to take all of a maildrop into a folder, and to leave it there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from .harness.rounds import GivesUp
from .processes import HOST, PASSWORD, USER

_ORDINARY: Final = "nobody"
"""A user who is not root."""


@frozen
class Program:
    """A program.

    Args:
        name: of the row.
        command: returns what to run, from a port, the number of messages, and an empty folder for all that it needs.
        mail: returns the files of the messages that it has stored in that folder.
        note: what it does besides, or does not do.
    """

    name: str
    command: Callable[[int, int, Path], Sequence[str]]
    mail: Callable[[Path], Sequence[Path]]
    note: str = ""


def ours(port: int, _: int, folder: Path) -> Sequence[str]:
    password = _private(folder / "password", PASSWORD)
    url = f"pop://{USER}@{HOST}:{port}"
    options = ("--allow-cleartext", "--password-file", str(password))
    return (sys.executable, "-m", "pop3proto", "fetch", url, str(folder / "mail"), *options)


def mpop(port: int, _: int, folder: Path) -> Sequence[str]:
    configuration = f"""
account ours
host {HOST}
port {port}
user {USER}
password {PASSWORD}
auth user
tls off
keep on
uidls_file {folder}/uidls
delivery maildir {_maildir(folder)}
"""
    return (_found("mpop"), "--quiet", "--file", str(_private(folder / "mpoprc", configuration)), "ours")


def getmail(port: int, _: int, folder: Path) -> Sequence[str]:
    maildir = _maildir(folder)
    as_user = ""
    if os.geteuid() == 0:  # as root it delivers nothing
        as_user = f"user = {_ORDINARY}"
        folder.chmod(0o755)
        for path in (maildir, *maildir.iterdir()):
            shutil.chown(path, _ORDINARY)
    configuration = f"""
[retriever]
type = SimplePOP3Retriever
server = {HOST}
port = {port}
username = {USER}
password = {PASSWORD}
[destination]
type = Maildir
path = {maildir}/
{as_user}
[options]
read_all = false
delete = false
verbose = 0
"""
    return (_found("getmail"), f"--getmaildir={folder}", f"--rcfile={_private(folder / 'getmailrc', configuration)}")


def fetchmail(port: int, _: int, folder: Path) -> Sequence[str]:
    # Process ids come again.
    deliver = f"read now idle < /proc/uptime; exec cat > {_maildir(folder)}/new/$now.$$"
    configuration = f"""
set no syslog
poll {HOST} protocol pop3 service {port} auth password uidl
  user {USER} password {PASSWORD} keep sslproto '' mda "{deliver}"
"""
    files = ("--idfile", str(folder / "ids"), "--pidfile", str(folder / "pid"))
    return (_found("fetchmail"), "--silent", "-f", str(_private(folder / "fetchmailrc", configuration)), *files)


def curl(port: int, count: int, folder: Path) -> Sequence[str]:
    url = f"pop3://{HOST}:{port}/[1-{count}]"
    return (_found("curl"), "--silent", "--user", f"{USER}:{PASSWORD}", url, "-o", f"{_maildir(folder)}/new/#1")


def _private(file: Path, text: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(text, encoding="ascii")
    return file


def _maildir(folder: Path) -> Path:
    for name in ("cur", "new", "tmp"):
        (folder / "mail" / name).mkdir(parents=True, exist_ok=True)
    return folder / "mail"


def _found(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise GivesUp("not installed")
    return program


def _in_maildir(folder: Path) -> Sequence[Path]:
    return [Path(entry.path) for entry in os.scandir(folder / "mail" / "new")]


PROGRAMS: Final = (
    Program("pop3proto", ours, _in_maildir),
    Program("mpop", mpop, _in_maildir),
    Program("getmail6", getmail, _in_maildir),
    Program("fetchmail", fetchmail, _in_maildir, "a shell with cat for each message, which syncs nothing"),
    Program("curl", curl, _in_maildir, "knows nothing of what it has fetched before, and syncs nothing"),
)
