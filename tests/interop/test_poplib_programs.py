"""Programs of the package index that use `poplib`, unchanged, on the standard library's and on ours, side by side.

They are those of the extra `programs`. What each of them did is in a table of `docs/poplib.md`, too.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from attrs import frozen

import tests
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import Cut, DoubleAnswer, Drip, Refuse, TrailingJunk, faulty
from tests.helpers.corpus import maildir_contents
from tests.helpers.processes import PATIENCE
from tests.helpers.programs import PASSWORD as DOVECOT_PASSWORD, dovecot_serving
from tests.helpers.snippets import DOCS

pytestmark = pytest.mark.programs

MAIL = [b"Subject: one\n\nfirst\n", b"Subject: two\n\nsecond\n.\n..\n", b"Subject: three\n\nthird\n"]
LONG = [MAIL[0], b"Subject: two\n\n" + b"x" * 5_000 + b"\n", MAIL[2]]
MODULES = {"poplib": (), "pop3proto.poplib": ("-m", "pop3proto.poplib")}
TIMEOUT = 8  # seconds, of getmail6
NOBODY = "nobody"  # getmail6 delivers nothing as root


@frozen
class Scenario:
    """What goes wrong.

    Args:
        seconds: after which a program waits for ever, as far as anybody can tell. getmail6 has one itself.
    """

    faults: tuple = ()
    mail: list = MAIL
    tls: str = "none"
    programs: tuple = ("getmail6", "django-mailbox")
    seconds: float = PATIENCE


@frozen
class Place:
    """Where the mail is."""

    host: str
    port: int
    user: str
    password: str
    tls: bool = False


SCENARIOS = {
    "nothing": Scenario(),
    "message 2 has a line of 5,000 octets": Scenario(mail=LONG),
    "`RETR 2` is refused": Scenario((Refuse("RETR 2", "SYS/TEMP"),)),
    "the connection ends within message 2": Scenario((Cut(after="RETR 2", octets=20),)),
    "`DELE 1` is answered twice": Scenario((DoubleAnswer(to="DELE 1"),)),
    "the status line of `RETR 1` comes twice": Scenario((DoubleAnswer(to="RETR 1"),)),
    "junk follows message 1": Scenario((TrailingJunk(after="RETR 1"),)),
    "the certificate is not trusted": Scenario(tls="implicit"),
    "message 2 comes by an octet a second": Scenario(
        (Drip(1, 1.0, on="RETR 2"),), programs=("getmail6",), seconds=3 * TIMEOUT
    ),
}


def stored_by_getmail(folder, said):
    files = [path.read_bytes() for path in (folder / "Maildir" / "new").iterdir()]
    return lambda message: b"Return-Path: <unknown>\n" + message in files


def stored_by_django(folder, said):
    return lambda message: f"{_subject(message)} {len(_text(message))}" in said.splitlines()


def _subject(message):
    return message.split(b"\n")[0].decode().removeprefix("Subject: ")


def _text(message):
    return message.partition(b"\n\n")[2].decode().strip().replace("\n", "\r\n")


def getmail(place, folder):
    if find_spec("getmailcore") is None:
        pytest.skip("getmail6 is not installed: it is one of the extra programs")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("getmail", path=path) or pytest.skip("getmail6 has no script on the PATH")
    maildir = folder / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    user = ""
    if os.geteuid() == 0:
        user = f"user = {NOBODY}"
        for each in (maildir, *maildir.iterdir()):
            shutil.chown(each, NOBODY)
    rc = folder / "getmailrc"
    rc.write_text(f"""
[retriever]
type = SimplePOP3{"SSL" if place.tls else ""}Retriever
server = {place.host}
port = {place.port}
username = {place.user}
password = {place.password}
timeout = {TIMEOUT}
[destination]
type = Maildir
path = {maildir}/
{user}
[options]
delete = true
read_all = true
delivered_to = false
received = false
""")
    rc.chmod(0o600)
    return [program, f"--getmaildir={folder}", f"--rcfile={rc}"]


def django_mailbox(place, folder):
    if find_spec("django_mailbox") is None:
        pytest.skip("django-mailbox is not installed: it is one of the extra programs")
    script = Path(tests.__file__).parent / "data" / "django_mailbox_fetch.py"
    return [str(script), f"pop3{'+ssl' * place.tls}://{place.user}:{place.password}@{place.host}:{place.port}"]


PROGRAMS = {"getmail6": (getmail, stored_by_getmail), "django-mailbox": (django_mailbox, stored_by_django)}


@pytest.fixture
def folder():
    """A folder that others may enter, too: not in pytest's, which each run of it closes to them again."""
    with tempfile.TemporaryDirectory(prefix="pop3proto-") as name:
        made = Path(name)
        made.chmod(0o755)
        yield made


def outcome(module, program, folder, place, scenario, *, left):
    """Run a program, and say what became of the mail."""
    arguments, stored_by = PROGRAMS[program]
    command = [sys.executable, "-W", "ignore", *MODULES[module], *arguments(place, folder)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=scenario.seconds, check=False)
    except subprocess.TimeoutExpired:
        return "waits on"
    print(ended.stdout, ended.stderr)  # noqa: T201 - shown if the test fails
    stored = stored_by(folder, ended.stdout)
    kept, safe = left(), [message for message in scenario.mail if stored(message)]
    told = [f"{len(safe)} stored"]
    if kept:
        told.append(f"{len(kept)} left")
    if lost := [message for message in scenario.mail if message not in safe and message not in kept]:
        told.append(f"{len(lost)} lost")
    if ended.returncode:
        told.append("fails")
    return ", ".join(told)


def table():
    """The table of the page: by what goes wrong, program and module."""
    text = (DOCS / "poplib.md").read_text("utf-8")
    [section] = re.findall(r"^## Programs.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.MULTILINE)
    ]
    return {
        (what, program, module): cell
        for what, *cells in rows[2:]
        for (program, module), cell in zip(
            [(program, module) for program in PROGRAMS for module in MODULES], cells, strict=True
        )
    }


CASES = [
    (what, program, module)
    for what, scenario in SCENARIOS.items()
    for program in scenario.programs
    for module in MODULES
]


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("what, program, module", CASES)
def test_the_page_says_what_a_program_does(what, program, module, folder):
    scenario = SCENARIOS[what]
    with pop3_server({"ann": scenario.mail}, faults=scenario.faults, tls=scenario.tls) as server:

        def left():
            return [message.replace(b"\r\n", b"\n") for message in server.messages("ann")]

        place = Place(server.host, server.port, "ann", PASSWORD, tls=scenario.tls != "none")
        told = outcome(module, program, folder, place, scenario, left=left)
        assert told == table()[what, program, module]


def test_the_page_says_nothing_else():
    assert {case for case, cell in table().items() if cell != "-"} == set(CASES)


@pytest.fixture(scope="module")
def dovecot(require_program):
    with dovecot_serving(require_program("dovecot")) as server:
        yield server


MAILDROPS = itertools.count()


def outcome_with_dovecot(server, module, program, folder, scenario):
    """As `outcome`, with Dovecot behind the faults; the user of each has a maildrop of its own."""
    user = f"ann{next(MAILDROPS)}"
    maildir = server.deliver(user, scenario.mail)

    def left():
        return [message.replace(b"\r\n", b"\n") for message in maildir_contents(maildir)]

    with faulty(server.host, server.port, scenario.faults) as proxy:
        place = Place(proxy.host, proxy.port, user, DOVECOT_PASSWORD)
        told = outcome(module, program, folder, place, scenario, left=left)
        assert len(proxy.struck) == len(scenario.faults)
        return told


BEHIND_FAULTS = [
    (what, program, module)
    for what, program, module in CASES
    if SCENARIOS[what].tls == "none"
    and SCENARIOS[what].seconds == PATIENCE  # the proxy has no certificate, nor we time
]


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("what, program, module", BEHIND_FAULTS)
def test_with_dovecot_behind_the_same_faults_they_do_the_same(what, program, module, dovecot, folder):
    told = outcome_with_dovecot(dovecot, module, program, folder, SCENARIOS[what])
    assert told == table()[what, program, module]
