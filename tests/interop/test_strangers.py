"""What programs of others make of a server's defaults against strangers: its log, and the mechanisms that it offers."""

import contextlib
import logging
import os
import poplib
import pty
import re
import selectors
import termios
import time
from pathlib import Path

import pytest
import trustme

import tests
from pop3proto import Err, User
from pop3proto._io.session_log import LoggedSession
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import serve
from pop3proto.logs import LogObserver
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving.config import Log
from pop3proto.serving.log.fields import TextFormatter
from pop3proto.serving.log.setup import ServerLog
from tests.helpers.processes import started
from tests.helpers.programs import PASSWORD, PATIENCE, USER, pop3proto_serving, run

FILTER = Path(tests.__file__).parent.parent / "contrib/fail2ban/filter.d/pop3proto.conf"

# ------------------------------------------------------------------------------------------------ fail2ban

FORMATS = [
    "%(asctime)s pop3proto serve: %(message)s",
    "%(asctime)s %(levelname)s %(name)s: %(message)s",
    "%(asctime)s mail pop3proto[17]: %(message)s",
    TextFormatter(),  # that of `pop3proto serve --config`
]
FORGED = (
    'x session 1 from 198.51.100.1: login failed: method=PLAIN user=y\nsession 1 from 198.51.100.2: login failed: "'
)
GUESSED = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
"""Addresses from which logins have failed in `lines`."""


@pytest.fixture(params=FORMATS)
def lines(request):
    """A log of everything that a server logs, some of it by those who want others to be banned."""
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Handler()
    of_serve = isinstance(request.param, logging.Formatter)
    handler.setFormatter(request.param if of_serve else logging.Formatter(request.param, "%Y-%m-%dT%H:%M:%S+0000"))
    logger = logging.getLogger("pop3proto")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        for number, address in enumerate(GUESSED):
            session = LoggedSession(SessionInfo(address, id=number))
            session.login_failed("PLAIN", ["ann", FORGED, ""][number])
            session.ended(None)
        quiet = LoggedSession(SessionInfo("192.0.2.9", id=9))
        quiet.user = FORGED
        quiet.login_not_checked("PLAIN", FORGED)
        quiet.ended(ConnectionError(FORGED))
        quiet.refused("too many sessions")
        observer, info = LogObserver(), SessionInfo("192.0.2.9", id=9)
        observer.heard(info, User(FORGED.partition("\n")[0].removeprefix("x ")))
        observer.said(info, Err(FORGED.partition("\n")[0].removeprefix("x ")))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    assert not any("\n" in line for line in written)
    return written


def test_the_filter_finds_failed_logins_and_nothing_else(lines):
    [expression] = re.findall(r"^failregex = (.*)$", FILTER.read_text("utf-8"), re.MULTILINE)
    expression = expression.replace("<ADDR>", r"(?P<address>[0-9a-f.:]+)")
    expression = re.sub("</?F-USER>", "", expression)
    # fail2ban takes the time away before it looks.
    found = [re.search(expression, line.partition(" ")[2]) for line in lines]
    assert [match["address"] for match in found if match] == GUESSED


@pytest.mark.interop
@pytest.mark.deep
def test_fail2ban_finds_failed_logins_and_nothing_else(lines, tmp_path, require_program):
    log = tmp_path / "log"
    log.write_text("\n".join([*lines, ""]))
    found = run(require_program("fail2ban-regex"), "-o", "ip", log, FILTER).stdout
    assert found.split() == GUESSED


@pytest.mark.deep
@pytest.mark.interop
def test_fail2ban_reads_what_serve_writes(tmp_path, require_program):
    program = require_program("fail2ban-regex")
    with pop3proto_serving(tmp_path, [b"x\n"]) as server:
        client = poplib.POP3(server.host, server.port, timeout=PATIENCE)
        client.user(USER)
        with pytest.raises(poplib.error_proto):
            client.pass_("wrong")
        client.quit()
        server.program.wait_for("end=quit")
        log = tmp_path / "log"
        log.write_text(server.program.said)
    assert run(program, "-o", "ip", log, FILTER).stdout.split() == ["127.0.0.1"]


@pytest.mark.deep
@pytest.mark.interop
def test_fail2ban_reads_the_log_of_a_configuration(tmp_path, require_program):
    program, log = require_program("fail2ban-regex"), ServerLog(Log(to=tmp_path / "log", audit=tmp_path / "log"))
    try:
        service = Service(store=MemoryStore({"ann": [b"x\n"]}), authenticator=MemoryAuthenticator({"ann": "tanstaaf"}))
        with serve(service) as server:
            client = poplib.POP3(*server.address, timeout=PATIENCE)
            client.user("ann")
            with pytest.raises(poplib.error_proto):
                client.pass_("wrong")
            client.quit()
    finally:
        log.close()
    assert run(program, "-o", "ip", tmp_path / "log", FILTER).stdout.split() == ["127.0.0.1"]


# ------------------------------------------------------------------------------------------------ mutt


def run_on_a_terminal(program: str, *arguments: str, home: Path) -> bytes:
    """Run a program that wants a terminal to its end, and return what it has drawn."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    drawn = b""
    try:
        environment = os.environ | {"TERM": "vt100", "HOME": str(home)}
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        with started(program, *arguments, env=environment, **streams), selectors.DefaultSelector() as selector:
            os.close(theirs)
            selector.register(ours, selectors.EVENT_READ)
            until = time.monotonic() + PATIENCE
            with contextlib.suppress(OSError):  # the program has ended
                while selector.select(max(until - time.monotonic(), 0)) and (octets := os.read(ours, 65_536)):
                    drawn += octets
    finally:
        os.close(ours)
    return drawn


@pytest.mark.interop
@pytest.mark.parametrize("mode", ["implicit", "starttls"])
@pytest.mark.parametrize("name", ["mutt", "neomutt"])
def test_mutt_logs_in_over_tls_with_its_defaults(tmp_path, require_program, name, mode):
    """It takes SCRAM-...-PLUS where it is announced, cannot bind, and gives up."""
    program = require_program(name)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    service = Service(
        store=MemoryStore({USER: [b"Subject: x\n\nmarker\n"]}), authenticator=MemoryAuthenticator({USER: PASSWORD})
    )
    mailbox = tmp_path / "mbox"
    mailbox.touch()
    with serve(service, tls=mode, certificate=tmp_path / "pem") as server:
        scheme = "pops" if mode == "implicit" else "pop"
        settings = {
            "pop_host": f"{scheme}://{USER}@localhost:{server.address[1]}",
            "pop_pass": PASSWORD,
            "pop_delete": "no",
            "certificate_file": tmp_path / "ca",
            "ssl_force_tls": "yes",
            "spoolfile": mailbox,
            "folder": tmp_path,
            "mbox": mailbox,
            "record": "",
            "quit": "yes",
            "sleep_time": 0,
        }
        file = tmp_path / "muttrc"
        lines = [f'set {key}="{value}"' for key, value in settings.items()]
        file.write_text("\n".join([*lines, 'push "<fetch-mail><exit>"', ""]))
        drawn = run_on_a_terminal(program, "-n", "-F", str(file), home=tmp_path)
    assert b"marker" in mailbox.read_bytes(), drawn
