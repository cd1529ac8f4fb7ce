"""Every program in examples runs, as it stands there, against servers on this machine."""

import ast
import poplib
import re
import runpy
import shlex
import socket
import sqlite3
import ssl
import sys
import threading
import time
from base64 import b64encode
from collections import deque
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from unittest.mock import Mock

import attrs
import pytest
import trustme

from pop3proto import ConnectionLost, LoginFailed, MaildropStatus, ResponseCode
from pop3proto.blocking import connect
from pop3proto.testing import PASSWORD, Pop3Server, pop3_server
from tests.helpers.cli_servers import HangUp, Scripted, body
from tests.helpers.processes import join
from tests.helpers.programs import PATIENCE, Program, run_script

EXAMPLES = Path(__file__).parent.parent / "examples"
MAIL = [b"Subject: one\n\n.one\n", b"Subject: two\n\n" + b"two\n" * 50_000, b"Subject: three\n\nthree"]
WIRE = [message.replace(b"\n", b"\r\n") for message in MAIL[:2]] + [b"Subject: three\r\n\r\nthree\r\n"]
MODES = ["none", "starttls", "implicit"]


@attrs.frozen
class World:
    """Servers on this machine, one for each place where TLS may come in, and a folder to work in."""

    folder: Path
    certificates: Path
    servers: dict[str, Pop3Server]

    @property
    def ca_file(self):
        return self.certificates / "ca.pem"

    def run(self, example, *arguments, password=PASSWORD, **options):
        """Run an example to its end."""
        return run_script(EXAMPLES / example, *arguments, env=self.env(password), **options)

    def env(self, password=PASSWORD):
        # Warnings are errors in these programs, too.
        return {"POP3_PASSWORD": password, "SSL_CERT_FILE": str(self.ca_file), "PYTHONWARNINGS": "error"}

    def place(self, mode):
        """Where a server is, as the clients among the examples want to be told."""
        return self.servers[mode].host, ("--tls", mode, "--port", str(self.servers[mode].port))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.fixture
def world(tmp_path, certificates):
    pem = certificates / "server.pem"
    with ExitStack() as stack:
        servers = {
            mode: stack.enter_context(pop3_server({"ann": MAIL}, tls=mode, certificate=file))
            for mode, file in {"none": None, "starttls": pem, "implicit": pem}.items()
        }
        yield World(tmp_path, certificates, servers)


# ------------------------------------------------------------------------------------------ the clients

CLIENTS = ["client_blocking.py", "client_asyncio.py", "client_trio.py"]


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_fetches_what_is_new(world, client, mode):
    host, options = world.place(mode)
    folder = world.folder / "mail" / "ann"
    said = world.run(client, host, "ann", folder, *options, apart=True).stdout
    assert re.findall(r"(?m)^(\d) \S+: (\d+) octets, (known|new)$", said) == [
        (str(number), str(len(message)), "new") for number, message in enumerate(WIRE, 1)
    ]
    assert sorted(file.read_bytes() for file in folder.iterdir()) == sorted(WIRE)

    world.servers[mode].deliver("ann", b"Subject: four\n")
    said = world.run(client, host, "ann", folder, *options, apart=True).stdout
    assert re.findall(r"octets, (known|new)$", said, re.MULTILINE) == ["known"] * 3 + ["new"]
    assert sorted(file.read_bytes() for file in folder.iterdir()) == sorted([*WIRE, b"Subject: four\r\n"])
    assert len(world.servers[mode].messages("ann")) == 4


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_fails_in_one_line(world, client):
    host, options = world.place("starttls")
    failed = world.run(client, host, "ann", world.folder / "mail", *options, password="wrong", status=1)
    assert (failed.stdout, failed.stderr.count("\n")) == ("", 1)
    assert "[AUTH]" in failed.stderr
    _, implicit = world.place("implicit")
    failed = world.run(client, host, "ann", world.folder / "mail", *options, *implicit[:2], status=1)
    assert (failed.stdout, failed.stderr.count("\n")) == ("", 1)
    assert "TLS" in failed.stderr


def test_a_message_is_streamed_to_a_file(world):
    host, options = world.place("implicit")
    file = world.folder / "two.eml"
    ended = world.run("stream_to_file.py", host, "ann", "2", file, *options)
    size = f"{len(WIRE[1]):,}"
    assert ended.stdout == f"{size} octets are in {file}\n"
    first, *lines = ended.stderr.splitlines()  # CR ends them, and goes back to their beginning
    assert first == ""
    assert all(re.fullmatch(rf"[0-9,]+ of {size} octets", line) for line in lines)
    assert lines[-1].startswith(f"{size} of ")
    assert file.read_bytes() == WIRE[1]


def test_a_message_that_is_not_there_makes_no_file(world):
    host, options = world.place("implicit")
    failed = world.run("stream_to_file.py", host, "ann", "9", world.folder / "nine.eml", *options, status=1)
    assert "no such message" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert not (world.folder / "nine.eml").exists()


# ------------------------------------------------------------------------------ the core in a loop of selectors

WINDOW = 16  # what the program takes for its own


@pytest.mark.parametrize("mode", ["none", "implicit"])
def test_fifty_messages_come_by_the_core_alone(world, mode):
    host, options = world.place(mode)
    more = [b"Subject: %d\r\n\r\n.%d\r\n" % (number, number) + b".\r\n" * number for number in range(4, 53)]
    for message in more:
        world.servers[mode].deliver("ann", message)
    folder = world.folder / "mail"
    ended = world.run("sans_io_selectors.py", host, "ann", folder, *options)
    assert (ended.stdout, ended.stderr) == ("", "")
    expected = {f"{number}.eml": message for number, message in enumerate([*WIRE, *more][:50], 1)}
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == expected
    assert len(world.servers[mode].messages("ann")) == 52


class Counting:
    """A server that counts how many requests are unanswered; it writes each answer whole before it reads again."""

    def __init__(self, messages, capa):
        self.messages, self.capa = messages, capa
        self.heard, self.most = [], 0
        self._waiting, self._unfinished = deque(), b""

    @contextmanager
    def serving(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            thread = threading.Thread(target=self._serve, args=[listener], daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            join(thread)

    def _serve(self, listener):
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(PATIENCE)
            sock.sendall(b"+OK ready\r\n")
            while self.heard[-1:] != ["QUIT"]:
                # A client that pipelines fills its window before the first message is answered.
                expected = WINDOW if self._waiting == deque(["RETR 1"]) and b"PIPELINING" in self.capa else 1
                while len(self._waiting) < expected:
                    self._receive(sock)
                sock.settimeout(0)
                try:
                    self._receive(sock)  # more than should be
                except BlockingIOError:
                    pass
                finally:
                    sock.settimeout(PATIENCE)
                self.most = max(self.most, len(self._waiting))
                self.heard.append(self._waiting.popleft())
                sock.sendall(self._answer(self.heard[-1]))

    def _receive(self, sock):
        octets = sock.recv(65_536)
        if not octets:
            raise ConnectionError("the client hung up")
        *lines, self._unfinished = (self._unfinished + octets).split(b"\r\n")
        self._waiting += [line.decode() for line in lines]

    def _answer(self, line):
        verb, _, argument = line.partition(" ")
        match verb:
            case "CAPA":
                return self.capa
            case "STAT":
                return f"+OK {len(self.messages)} 1\r\n".encode()
            case "RETR":
                return b"+OK\r\n" + self.messages[int(argument) - 1] + b".\r\n"
            case _:
                return b"+OK\r\n"


@pytest.mark.parametrize(
    "capa, most",
    [
        (b"+OK\r\nPIPELINING\r\n.\r\n", WINDOW),
        (b"+OK\r\nTOP\r\n.\r\n", 1),
        (b"-ERR unknown\r\n", 1),
    ],
)
def test_requests_are_pipelined_in_a_window_if_the_server_says_that_it_can(world, capa, most):
    messages = [b"%d\r\n" % number + b"x" * 100_000 + b"\r\n" for number in range(50)]
    server = Counting(messages, capa)
    folder = world.folder / "mail"
    with server.serving() as port:
        world.run("sans_io_selectors.py", "127.0.0.1", "ann", folder, "--tls", "none", "--port", str(port))
    retrieved = [f"RETR {number}" for number in range(1, 51)]
    assert server.heard == ["USER ann", f"PASS {PASSWORD}", "CAPA", "STAT", *retrieved, "QUIT"]
    assert server.most == most
    assert [(folder / f"{number}.eml").read_bytes() for number in range(1, 51)] == messages


def test_the_core_in_a_loop_fails_in_one_line(world):
    host, options = world.place("implicit")
    failed = world.run("sans_io_selectors.py", host, "ann", world.folder, *options, password="wrong", status=1)
    assert (failed.stdout, failed.stderr.count("\n")) == ("", 1)
    assert "[AUTH]" in failed.stderr
    for answers, greeting, why in [
        ({}, b"-ERR too busy\r\n", "too busy"),
        ({"STAT": b"+OK 2 9\r\n", "RETR 1": body("one"), "RETR 2": b"-ERR gone\r\n"}, b"+OK\r\n", "gone"),
        ({"STAT": b"+OK 1 9\r\n", "RETR 1": HangUp(b"+OK\r\nhalf")}, b"+OK\r\n", "closed the connection"),
        ({"USER": b"what?\r\n"}, b"+OK\r\n", "what?"),
    ]:
        with Scripted(answers, greeting) as server:
            folder = world.folder / "".join(filter(str.isalpha, why))
            place = ("--tls", "none", "--port", str(server.address[1]))
            failed = world.run("sans_io_selectors.py", "127.0.0.1", "ann", folder, *place, status=1)
        assert (failed.stdout, failed.stderr.count("\n")) == ("", 1)
        assert why in failed.stderr
        assert [file.read_bytes() for file in folder.glob("*.eml")] == ([b"one\r\n"] if why == "gone" else [])


@pytest.mark.parametrize(
    "address, taken", [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("fe80::1%eth0", False)]
)
def test_the_core_in_a_loop_sends_no_password_in_clear_to_another_machine(address, taken):
    names = runpy.run_path(str(EXAMPLES / "sans_io_selectors.py"))
    sock = Mock(getpeername=lambda: (address, 110))
    with nullcontext() if taken else pytest.raises(ConnectionLost, match="only over TLS"):
        names["check_loopback"](sock)


# ------------------------------------------------------------------------------------- a script from poplib

BEFORE, AFTER = Path(__file__).parent / "data" / "from_poplib.py", EXAMPLES / "moved_from_poplib.py"


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("mode", MODES)
def test_a_script_from_poplib_does_the_same_when_it_is_moved(world, mode):
    server, (host, options) = world.servers[mode], world.place(mode)
    mail = [*WIRE, "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nGrüße\r\n".encode(), b"\r\nno header\r\n"]
    for message in mail[3:]:
        server.deliver("ann", message)
    before = world.run(BEFORE, host, "ann", world.folder / "before", *options)
    assert server.messages("ann") == []
    for message in mail:
        server.deliver("ann", message)
    after = world.run(AFTER, host, "ann", world.folder / "after", *options)
    assert server.messages("ann") == []
    subjects = ["one", "two", "three", "Grüße", "(no subject)"]
    assert before.stdout.splitlines() == [
        f"{number}: {len(message)} octets, {subject}"
        for number, (message, subject) in enumerate(zip(mail, subjects, strict=True), 1)
    ]
    assert after.stdout == before.stdout
    assert files(world.folder / "after") == files(world.folder / "before")
    assert sorted(files(world.folder / "after").values()) == sorted(mail)


@pytest.mark.parametrize("script", [BEFORE, AFTER], ids=["before", "after"])
def test_a_script_from_poplib_fails_in_one_line_as_before(world, script):
    host, options = world.place("starttls")
    failed = world.run(script, host, "ann", world.folder / "mail", *options, password="wrong", status=1)
    assert (failed.stdout, failed.stderr.count("\n")) == ("", 1)
    assert failed.stderr.startswith("failed: ")
    assert "[AUTH]" in failed.stderr
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # free again in a moment
    place = ("--tls", "none", "--port", str(port))
    failed = world.run(script, "127.0.0.1", "ann", world.folder / "mail", *place, status=1)
    assert (failed.stdout, failed.stderr.count("\n")) == ("", 1)
    assert failed.stderr.startswith("failed: ")


def scripted_runs(world, answers):
    """What each script printed, how it ended, and what it sent from LIST on; and what it stored."""
    for script in BEFORE, AFTER:
        with Scripted({"DELE": b"+OK\r\n", **answers}) as server:
            folder = world.folder / script.stem
            place = ("--tls", "none", "--port", str(server.address[1]))
            ended = world.run(script, "127.0.0.1", "ann", folder, *place, status=None)
        yield ended, server.heard[server.heard.index("LIST") :], files(folder)


def test_a_script_from_poplib_skips_what_is_refused_as_before(world):
    answers = {
        "LIST": body("1 17", "2 17", "3 17"),
        "RETR 1": body("Subject: one", ""),
        "RETR 2": b"-ERR gone\r\n",
        "RETR 3": body("Subject: three", ""),
    }
    (before, *did_before), (after, *did_after) = scripted_runs(world, answers)
    assert (before.returncode, after.returncode) == (0, 0)
    assert before.stdout == "1: 17 octets, one\n2: skipped, b'-ERR gone'\n3: 17 octets, three\n"
    assert after.stdout == "1: 17 octets, one\n2: skipped, gone\n3: 17 octets, three\n"
    assert did_after == did_before
    assert did_after[0] == ["LIST", "RETR 1", "DELE 1", "RETR 2", "RETR 3", "DELE 3", "QUIT"]


def test_a_script_from_poplib_tells_a_lost_connection_from_a_refusal(world):
    answers = {
        "LIST": body("1 17", "2 17", "3 17"),
        "RETR 1": body("Subject: one", ""),
        "RETR 2": HangUp(b"+OK\r\nSubject: t"),
    }
    (before, *did_before), (after, *did_after) = scripted_runs(world, answers)
    assert (before.returncode, after.returncode) == (1, 1)
    assert did_after == did_before
    assert did_after[0] == ["LIST", "RETR 1", "DELE 1", "RETR 2"]
    assert list(did_after[1].values()) == [b"Subject: one\r\n\r\n"]
    assert "2: skipped" in before.stdout  # it took the end of the connection for an answer
    assert after.stdout == "1: 17 octets, one\n"
    assert "closed the connection" in after.stderr


def test_a_script_from_poplib_takes_long_lines_when_it_is_moved(world):
    message = b"Subject: long\r\n\r\n" + b"x" * 3_000 + b"\r\n"
    with pop3_server({"ann": [message]}) as server:
        place = ("--tls", "none", "--port", str(server.port))
        before = world.run(BEFORE, server.host, "ann", world.folder / "before", *place, status=1)
        assert "line too long" in before.stdout
        assert (files(world.folder / "before"), len(server.messages("ann"))) == ({}, 1)
        world.run(AFTER, server.host, "ann", world.folder / "after", *place)
        assert (list(files(world.folder / "after").values()), server.messages("ann")) == ([message], [])


# ------------------------------------------------------------------------- the client that deletes old mail


def test_mail_stays_on_the_server_for_fourteen_days(world):
    host, options = world.place("starttls")
    server, folder = world.servers["starttls"], world.folder / "mail"

    def keep(*more):
        return world.run("asyncio_keep_14_days.py", host, "ann", folder, *options, *more).stdout

    def stored_days_ago(number, days):
        """Change the record, as if one of the messages had been stored then."""
        day = (datetime.now(tz=UTC).date() - timedelta(days=days)).isoformat()
        with closing(sqlite3.connect(folder / "record.sqlite")) as database, database:
            assert database.execute("UPDATE stored SET day = ? WHERE unique_id = ?", (day, ids[number])).rowcount == 1

    def recorded():
        with closing(sqlite3.connect(folder / "record.sqlite")) as database:
            return {unique_id for (unique_id,) in database.execute("SELECT unique_id FROM stored")}

    ids = dict(re.findall(r"(?m)^(\d) (\S+) stored$", keep()))
    assert sorted(ids) == ["1", "2", "3"]
    assert sorted(file.read_bytes() for file in folder.glob("*.eml")) == sorted(WIRE)
    assert keep() == ""  # nothing is new, nothing old

    stored_days_ago("1", 14)  # 15, if midnight passes meanwhile
    stored_days_ago("2", 16)
    server.deliver("ann", b"Subject: four\n")
    said = keep("--days", "15")
    assert re.findall(r"(?m)^(\d) \S+ (stored|deleted on the server)$", said) == [
        ("4", "stored"),
        ("2", "deleted on the server"),
    ]
    assert server.messages("ann") == [MAIL[0], MAIL[2], b"Subject: four\n"]
    files = [*WIRE, b"Subject: four\r\n"]
    assert sorted(file.read_bytes() for file in folder.glob("*.eml")) == sorted(files)  # what was stored here stays
    assert ids["2"] in recorded()  # until the server lists it no more

    stored_days_ago("1", 16)
    assert keep() == f"1 {ids['1']} deleted on the server\n"
    assert ids["2"] not in recorded()
    assert server.messages("ann") == [MAIL[2], b"Subject: four\n"]
    assert keep("--days", "1") == ""  # yesterday's would stay, if midnight has passed meanwhile
    assert sorted(file.read_bytes() for file in folder.glob("*.eml")) == sorted(files)


def test_nothing_is_deleted_by_a_run_that_fails(world):
    """The second message cannot be stored: what was marked before is not removed, what was stored is known."""
    host, options = world.place("none")
    folder = world.folder / "mail"
    folder.mkdir()
    with connect(host, world.servers["none"].port, tls="none") as client:
        client.login("ann", PASSWORD)
        second = client.uidl_one(2)
    (folder / f"{sha256(second.encode()).hexdigest()}.part").mkdir()  # it is in the way
    failed = world.run("asyncio_keep_14_days.py", host, "ann", folder, *options, status=1)
    assert "IsADirectoryError" in failed.stderr
    assert [file.read_bytes() for file in folder.glob("*.eml")] == WIRE[:1]
    assert world.servers["none"].messages("ann") == MAIL
    (folder / f"{sha256(second.encode()).hexdigest()}.part").rmdir()
    said = world.run("asyncio_keep_14_days.py", host, "ann", folder, *options).stdout
    assert re.findall(r"(?m)^(\d) \S+ stored$", said) == ["2", "3"]
    assert sorted(file.read_bytes() for file in folder.glob("*.eml")) == sorted(WIRE)


# ------------------------------------------------------------------------------------------- the server


@pytest.fixture
def own_maildrop(world):
    """The server of a folder of files; the folder and the port."""
    folder = world.folder / "outbox"
    folder.mkdir()
    for number, message in enumerate(MAIL):
        (folder / f"{number}.eml").write_bytes(message)
    (folder / "note.txt").write_text("no message")
    words = (EXAMPLES / "server_own_maildrop.py", folder, "ann", "127.0.0.1", "0")
    program = Program(sys.executable, *words, env=world.env())
    try:
        ready = program.wait_for(r"serving on 127\.0\.0\.1 port (\d+); Ctrl-C ends it\n")
        assert ready is not None, program.said
        yield folder, int(ready[1])
    finally:
        program.stop()


def logged_in(port):
    client = poplib.POP3("127.0.0.1", port, timeout=PATIENCE)
    try:
        client.user("ann")
        client.pass_(PASSWORD)
    except BaseException:
        client.close()
        raise
    return client


def until_unlocked(log_in):
    """Log in once the server has noticed that the session before has ended."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return log_in()
        except poplib.error_proto as error:
            if "[IN-USE]" not in str(error) or time.monotonic() > until:
                raise


@pytest.mark.deep
def test_a_maildrop_of_ones_own(own_maildrop):
    folder, port = own_maildrop
    client = logged_in(port)
    assert client.stat() == (3, sum(map(len, WIRE)))
    ids = client.uidl()[1]
    assert len({row.split()[1] for row in ids}) == 3
    for number, message in enumerate(WIRE, 1):
        assert b"".join(line + b"\r\n" for line in client.retr(number)[1]) == message
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        logged_in(port)
    client.dele(2)
    client.quit()
    assert sorted(file.name for file in folder.iterdir()) == ["0.eml", "2.eml", "note.txt"]
    client = logged_in(port)
    assert [row.split()[1] for row in client.uidl()[1]] == [ids[0].split()[1], ids[2].split()[1]]
    client.quit()


def test_a_message_that_was_removed_meanwhile_ends_one_session(own_maildrop):
    folder, port = own_maildrop
    client = logged_in(port)
    (folder / "0.eml").unlink()
    with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
        client.retr(1)
    client.close()


# ----------------------------------------------------------------------------------- the server of a database


@pytest.fixture
def sqlite_server(world):
    """The server of a database that has the mail in it; the database and the port."""
    database, files = world.folder / "mail.sqlite", [world.folder / f"{number}.eml" for number in range(len(MAIL))]
    for file, message in zip(files, MAIL, strict=True):
        file.write_bytes(message)
    words = (database, "ann", world.certificates / "server.pem", "127.0.0.1", "0", "--add", *files)
    program = Program(sys.executable, EXAMPLES / "asyncio_sqlite_server.py", *words, env=world.env())
    try:
        ready = program.wait_for(r"serving on 127\.0\.0\.1 port (\d+); Ctrl-C ends it\n")
        assert ready is not None, program.said
        yield database, int(ready[1])
    finally:
        program.stop()


def in_database(database, statement, *values):
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def test_a_maildrop_in_a_database(world, sqlite_server):
    database, port = sqlite_server
    context = ssl.create_default_context(cafile=world.ca_file)
    with connect("127.0.0.1", port, tls="starttls", context=context) as client:
        client.login("ann", PASSWORD)
        assert client.stat() == MaildropStatus(3, sum(map(len, WIRE)))
        ids = dict(client.uidl())
        assert [octets for _, octets in client.retrieve(client.list())] == WIRE
        with pytest.raises(LoginFailed) as refused, connect("127.0.0.1", port, tls="none") as second:
            second.login("ann", PASSWORD)
        assert refused.value.code == ResponseCode.IN_USE
        in_database(database, "INSERT INTO message (user, octets, body) VALUES ('ann', 1, ?)", b"Subject: four\n")
        assert client.stat().count == 3  # the next session sees it
        client.dele(2)
        client.dele(3)
    client = logged_in(port)
    assert client.uidl()[1] == [f"1 {ids[1]}".encode(), b"2 4"]
    assert client.retr(2)[1] == [b"Subject: four"]
    assert client.list(2).endswith(b" 15")  # was counted wrong
    client.quit()
    assert in_database(database, "SELECT octets, body FROM message WHERE user = 'ann'") == [
        (len(WIRE[0]), MAIL[0]),
        (15, b"Subject: four\n"),
    ]
    in_database(database, "DELETE FROM message WHERE id = 4")
    in_database(database, "INSERT INTO message (user, octets, body) VALUES ('ann', 2, ?)", b"")
    client = logged_in(port)
    assert client.uidl()[1][-1] == b"2 5"  # no id is used twice
    client.quit()


@pytest.mark.deep
def test_a_session_that_hangs_up_deletes_nothing_from_a_database(sqlite_server):
    database, port = sqlite_server
    client = logged_in(port)
    client.dele(1)
    in_database(database, "DELETE FROM message WHERE id = 3")
    with pytest.raises(poplib.error_proto, match="another program has removed this message"):
        client.retr(3)
    client.noop()  # the session goes on
    client.close()
    until_unlocked(lambda: logged_in(port)).quit()
    assert [body for (body,) in in_database(database, "SELECT body FROM message ORDER BY id")] == MAIL[:2]


@pytest.mark.deep
def test_a_database_that_is_locked_is_unavailable(sqlite_server):
    database, port = sqlite_server
    client = logged_in(port)
    client.dele(1)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            client.quit()
    client.close()
    until_unlocked(lambda: logged_in(port)).quit()
    assert len(in_database(database, "SELECT id FROM message")) == 3


# ---------------------------------------------------------------------------------------------- the proxy

TOKEN = "mF_9.B5f-4.1JqM"


@attrs.frozen
class Proxied:
    """A proxy, and the server behind it that takes no passwords from it."""

    upstream: Pop3Server
    token_file: Path
    program: Program
    port: int


@contextmanager
def upstream_of_a_proxy(world):
    certificate, passwords = world.certificates / "server.pem", {"ann": "not the one of the proxy"}
    with pop3_server(
        {"ann": MAIL}, passwords=passwords, tokens={TOKEN: "ann"}, tls="implicit", certificate=certificate
    ) as upstream:
        yield upstream


@contextmanager
def proxying(world, upstream, *source):
    words = (upstream.host, "ann", "0", "--port", str(upstream.port), *source)
    program = Program(sys.executable, EXAMPLES / "oauth_proxy.py", *words, env=world.env())
    try:
        ready = program.wait_for(r"serving on 127\.0\.0\.1 port (\d+); Ctrl-C ends it\n")
        assert ready is not None, program.said
        yield program, int(ready[1])
    finally:
        program.stop()


@pytest.fixture(params=["file", "command"])
def proxied(world, request):
    token_file = world.folder / "token"
    token_file.write_text(f"{TOKEN}\n")
    script = "import sys; print(open(sys.argv[1]).read())"
    source = {
        "file": ("--token-file", token_file),
        "command": ("--token-command", shlex.join([sys.executable, "-c", script, str(token_file)])),
    }[request.param]
    with upstream_of_a_proxy(world) as upstream, proxying(world, upstream, *source) as (program, port):
        yield Proxied(upstream, token_file, program, port)


def upstream_session(world, proxied):
    """A session with the server itself; it is refused while the proxy has one."""
    context = ssl.create_default_context(cafile=world.ca_file)
    client = poplib.POP3_SSL(proxied.upstream.host, proxied.upstream.port, timeout=PATIENCE, context=context)
    try:
        client.user("ann")
        client.pass_("not the one of the proxy")
    except BaseException:
        client.close()
        raise
    return client


@pytest.mark.deep(keep=1)
def test_a_proxy_passes_a_maildrop_through(world, proxied):
    client = logged_in(proxied.port)
    assert client.stat() == (3, sum(map(len, WIRE)))
    assert client.list()[1] == [f"{number} {len(message)}".encode() for number, message in enumerate(WIRE, 1)]
    ids = client.uidl()[1]
    for number, message in enumerate(WIRE, 1):
        assert b"".join(line + b"\r\n" for line in client.retr(number)[1]) == message
    assert client.top(2, 1)[1] == [b"Subject: two", b"", b"two"]
    assert client.retr(1)[1] == [b"Subject: one", b"", b".one"]  # the session goes on where TOP left it
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        logged_in(proxied.port)
    client.dele(1)
    client.dele(2)
    assert proxied.upstream.messages("ann") == MAIL
    client.quit()
    assert proxied.upstream.messages("ann") == MAIL[2:]
    client = until_unlocked(lambda: upstream_session(world, proxied))
    assert [row.split()[1] for row in client.uidl()[1]] == [ids[2].split()[1]]
    client.quit()


@pytest.mark.deep
def test_a_client_that_hangs_up_at_a_proxy_deletes_nothing(world, proxied):
    client = logged_in(proxied.port)
    client.dele(1)
    client.close()
    until_unlocked(lambda: upstream_session(world, proxied)).quit()  # the proxy has hung up, too
    assert proxied.upstream.messages("ann") == MAIL
    client = logged_in(proxied.port)
    client.dele(1)
    client.sock.sendall(b"RETR 2\r\n")
    assert client.sock.recv(1) == b"+"
    client.close()  # in the middle of a message
    until_unlocked(lambda: upstream_session(world, proxied)).quit()
    assert proxied.upstream.messages("ann") == MAIL


@pytest.mark.deep
def test_a_proxy_keeps_no_session_that_no_client_has(world, proxied):
    """The password is right, and the login is refused all the same: ann may not act as bob."""
    client = poplib.POP3("127.0.0.1", proxied.port, timeout=PATIENCE)
    with pytest.raises(poplib.error_proto):
        client._shortcmd("AUTH PLAIN " + b64encode(f"bob\0ann\0{PASSWORD}".encode()).decode())
    client.close()
    until_unlocked(lambda: upstream_session(world, proxied)).quit()


@pytest.mark.deep
def test_a_proxy_whose_token_has_expired(proxied):
    proxied.token_file.write_text("expired")
    with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
        logged_in(proxied.port)
    assert proxied.program.wait_for(r"session \d+: .*OAUTHBEARER.*\n") is not None
    proxied.token_file.write_text(TOKEN)
    logged_in(proxied.port).quit()  # the token is asked for at each login
    proxied.token_file.unlink()
    with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
        logged_in(proxied.port)


@pytest.mark.deep
def test_a_proxy_says_that_the_upstream_server_is_gone(world):
    (world.folder / "token").write_text(TOKEN)
    with ExitStack() as stack:
        upstream_stack = stack.enter_context(ExitStack())
        upstream = upstream_stack.enter_context(upstream_of_a_proxy(world))
        program, port = stack.enter_context(proxying(world, upstream, "--token-file", world.folder / "token"))
        client = logged_in(port)
        client.dele(1)
        upstream_stack.close()
        for call in (partial(client.retr, 2), client.quit):
            with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
                call()
        client.close()
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            logged_in(port)
        assert upstream.messages("ann") == MAIL
        assert "Traceback" not in program.said


@pytest.mark.deep
def test_a_proxy_checks_its_own_password(proxied):
    client = poplib.POP3("127.0.0.1", proxied.port, timeout=PATIENCE)
    client.user("ann")
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        client.pass_("not the one of the proxy")
    client.close()


# --------------------------------------------------------------------------------------- an I/O of one's own

RELAY = """
import socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def receive():
    while octets := sock.recv(1):  # one at a time: nobody may count on more
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
threading.Thread(target=receive, daemon=True).start()
while octets := sys.stdin.buffer.read1():
    sock.sendall(octets)
"""


def relay(world):
    """A program that leads to the server, as netcat does."""
    server = world.servers["none"]
    return sys.executable, "-c", RELAY, server.host, str(server.port)


def test_pop3_over_pipes(world):
    said = world.run("own_io.py", "ann", *relay(world)).stdout
    assert said == "".join(
        f"--- {number}\nSubject: {text}\n\n" for number, text in enumerate(["one", "two", "three"], 1)
    )


def test_pop3_over_pipes_that_fail(world):
    failed = world.run("own_io.py", "ann", *relay(world), password="wrong", status=1)
    assert failed.stdout == ""
    assert "[AUTH]" in failed.stderr
    for script, why in {
        "": "closed the connection before its greeting",
        "echo hello": "closed the connection before its greeting",
        "printf 'hello\\r\\n'": "instead of a greeting",
        "exec <&-; printf '+OK hello\\r\\n'; exec sleep 1000": "the program reads no more",
        "printf '+OK hello\\r\\n'; read line": "closed the connection before answering CAPA",
    }.items():
        failed = world.run("own_io.py", "ann", "sh", "-c", script, status=1)
        assert (failed.stdout, failed.stderr.count("\n")) == ("", 1)
        assert why in failed.stderr


@pytest.mark.interop
def test_pop3_over_a_pipe_to_openssl(world, require_program):
    server = world.servers["implicit"]
    words = ("s_client", "-quiet", "-verify_return_error", "-CAfile", world.ca_file)
    place = ("-connect", f"{server.host}:{server.port}")
    said = world.run("own_io.py", "ann", require_program("openssl"), *words, *place).stdout
    assert said.count("Subject: ") == 3


# ---------------------------------------------------------------------------------------------- all of them

PROGRAMS = sorted(EXAMPLES.glob("*.py"))


def test_every_example_is_run_by_a_test() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [file.name for file in PROGRAMS if f'"{file.name}"' not in text] == []
    assert len(PROGRAMS) == 11


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: file.name)
def test_an_example_says_what_it_is(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8")))
    assert docstring is not None
    assert f"python {file.name} " in docstring


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: file.name)
def test_an_example_asks_for_the_password(file: Path) -> None:
    assert re.search(r"POP3_PASSWORD.* or getpass\(\)", file.read_text("utf-8"))


def test_the_driver_has_some_thirty_lines() -> None:
    tree = ast.parse((EXAMPLES / "own_io.py").read_text("utf-8"))
    driver = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in {"perform", "do"}]
    assert len(driver) == 2
    assert sum(len(ast.unparse(node).splitlines()) - 1 for node in driver) <= 32  # less the docstrings


def test_the_server_is_short() -> None:
    assert len((EXAMPLES / "server_own_maildrop.py").read_text("utf-8").splitlines()) < 80
