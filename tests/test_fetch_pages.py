"""The pages on fetching mail: what they say is printed is printed, and what they name is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from pop3proto import Capabilities, Expire
from pop3proto.cli import main
from pop3proto.fetching import FileJournal, Policy, ProblemKind, Report
from pop3proto.fetching.accounts import check_config
from pop3proto.fetching.accounts.config import KEYS
from pop3proto.testing import PASSWORD, Pop3Server, pop3_server
from pop3proto.testing.faults import (
    Cut,
    Fault,
    NoUid,
    Refuse,
    SameUid,
    SlowLock,
    Throttle,
    TooEarly,
    Unstuffed,
    WrongCount,
)
from tests.helpers.client_certificates import ClientAuthority
from tests.helpers.snippets import DOCS

TROUBLE = (DOCS / "fetch-trouble.md").read_text("utf-8")
LIBRARY = (DOCS / "fetch-library.md").read_text("utf-8")
MOVING = (DOCS / "fetch-moving.md").read_text("utf-8")
MAIL = [b"Subject: %d\n\nmail\n" % number for number in range(3)]
DOTTED = [MAIL[0], b"Subject: dot\n\none\n.\ntwo\n", MAIL[2]]


@attrs.frozen
class Trouble:
    """What the server does, and what is printed then.

    Args:
        says: on standard error, and on the page.
        faults: of the server.
        options: of the command.
        runs: how often it is run; the last one is looked at.
        announce: changes what CAPA announces.
        mail: in the maildrop.
        status: of the last run.
    """

    says: str
    faults: tuple[Fault, ...] = ()
    options: tuple[str, ...] = ()
    runs: int = 1
    announce: Callable[[Capabilities], Capabilities] | None = None
    mail: list[bytes] = MAIL
    status: int = 1


def without_uidl(capabilities: Capabilities) -> Capabilities:
    return attrs.evolve(capabilities, uidl=False)


def expiring(capabilities: Capabilities) -> Capabilities:
    return attrs.evolve(capabilities, expire=Expire(0))


BROKEN = "message 2 stays on the server: the server closed the connection in the middle of the body of RETR 2"
TROUBLES = {
    "a message breaks the session": Trouble(BROKEN, (Cut(after="RETR 2", octets=30),)),
    "not dot-stuffed": Trouble(
        "message 2 stays on the server: the server sent 'two' instead of an answer to",
        (Unstuffed(),),
        mail=DOTTED,
    ),
    "dots are lost": Trouble(
        "message 2 is stored, but it may lack 1 dot at the beginning of lines: LIST says so many octets more, as of a "
        "server that does not stuff dots. It is not deleted on the server",
        (Unstuffed(),),
        ("--delete",),
        mail=[MAIL[0], b"Subject: two\n\n.two\n", MAIL[0]],
        status=0,
    ),
    "throttled": Trouble(
        "the server refused RETR 3: [SYS/TEMP] download limit exceeded, try again later", (Throttle(2),)
    ),
    "STAT counts more": Trouble(
        "1 message left on the server: UIDL shows 3 messages, but STAT counts 4", (WrongCount(),)
    ),
    "a row without id": Trouble("a message was left on the server: its row in UIDL cannot be read: 2", (NoUid((2,)),)),
    "shared id": Trouble("note: 2 messages share one unique id: 1, 2", (SameUid(),), status=0),
    "hang-up at DELE": Trouble(
        "message 1 is stored, and cannot be deleted on the server: the server closed the connection before answering "
        "DELE 1",
        (Cut(after="DELE 1"),),
        ("--delete",),
    ),
    "QUIT unanswered": Trouble(
        "it is unknown whether the server has deleted 3 messages: the server closed the connection before answering "
        "QUIT; deletions may or may not have happened",
        (Cut(after="QUIT", session=1), Cut(after="greeting", session=2)),
        ("--delete",),
        status=75,
    ),
    "QUIT refused": Trouble(
        "the server may not have deleted all of 3 messages: the server refused QUIT", (Refuse("QUIT"),), ("--delete",)
    ),
    "UIDL refused now": Trouble(
        "the server refuses to tell unique ids (UIDL), which it had before: all mail would come twice. Nothing was "
        "fetched; try again later",
        (Refuse("UIDL", session=2),),
        runs=2,
        announce=without_uidl,
        status=75,
    ),
    "EXPIRE 0": Trouble(
        "note: this server may delete messages once they are fetched (it announces EXPIRE 0)",
        announce=expiring,
        status=0,
    ),
    "locked": Trouble("[IN-USE] the maildrop is locked)", (SlowLock(),), runs=2, status=75),
    "too early": Trouble("[LOGIN-DELAY] the last login is too recent)", (TooEarly(),), runs=2, status=75),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file of the password."""
    monkeypatch.chdir(tmp_path)
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    return tmp_path


def fetch(server: Pop3Server, *options: str) -> int:
    url = f"pop://ann@{server.host}:{server.port}"
    return main(["fetch", url, "Maildir", "--password-file", "password", "--allow-cleartext", *options])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", TROUBLES)
def test_what_the_page_on_trouble_quotes_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    trouble = TROUBLES[name]
    status = -1
    with pop3_server({"ann": trouble.mail}, faults=trouble.faults, announce=trouble.announce) as server:
        for _ in range(trouble.runs):
            capsys.readouterr()
            status = fetch(server, *trouble.options)
    assert trouble.says in capsys.readouterr().err
    assert trouble.says in TROUBLE
    assert status == trouble.status


def test_what_the_page_quotes_of_a_maildir_that_is_not_mounted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = [b"Subject: %d\n\nmail\n" % number for number in range(12)]
    with pop3_server({"ann": mail}) as server:
        assert fetch(server, "--journal", "journal") == 0
        (folder / "Maildir").rename(folder / "elsewhere")
        assert fetch(server, "--journal", "journal", "--when-gone") == 78
        assert "is not there" in capsys.readouterr().err
        for name in ("new", "cur", "tmp"):
            (folder / "Maildir" / name).mkdir(parents=True)
        assert fetch(server, "--journal", "journal", "--when-gone") == 1
        assert len(server.messages("ann")) == 12
    [quoted] = re.findall(r"`(none of the 12 messages [^`]*)`", TROUBLE)
    assert quoted in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_what_the_page_quotes_of_two_fetches_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pop3_server({"ann": MAIL}) as server:
        assert fetch(server) == 0
        with FileJournal(Path("Maildir", ".pop3proto-fetched"), "ann@pop.example.org"):
            assert fetch(server) == 75
    [quoted] = re.findall(r"`(another fetch is running [^`]*)`", TROUBLE)
    assert quoted in capsys.readouterr().err


def a_home_with_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the files of passwords and certificates be there that accounts on the pages name; return the certificate."""
    monkeypatch.setenv("HOME", str(home))
    certificate = home / ".config/pop3proto/ann.pem"
    certificate.parent.mkdir(parents=True)
    ClientAuthority().issue_for(certificate, "ann@example.org")
    files = {home / "password": "x", home / ".netrc": "machine pop.example.org login ann password x"}
    for file, text in files.items():
        file.write_text(text)
    for file in (certificate, *files):
        file.chmod(0o600)
    return certificate


def test_the_page_shows_what_a_check_says_of_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cattrs", reason="the extra cli is not installed")
    page = (DOCS / "fetch-configuration.md").read_text("utf-8")
    section = page[page.index("## Client certificates") :]
    [block] = re.findall(r"^```toml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    [shown] = re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    certificate = a_home_with_secrets(tmp_path, monkeypatch)
    (tmp_path / "fetch.toml").write_text(block, "utf-8")
    date = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}")
    lines = [date.sub("DATE", line) for line in check_config(tmp_path / "fetch.toml")]
    for line in shown.replace("/home/ann/.config/pop3proto/ann.pem", str(certificate)).splitlines():
        assert date.sub("DATE", line) in lines


@pytest.mark.parametrize("page", ["fetch.md", "fetch-configuration.md", "fetch-moving.md"])
def test_accounts_on_pages_are_right(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cattrs", reason="the extra cli is not installed")
    blocks = re.findall(r"^```toml\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    a_home_with_secrets(tmp_path, monkeypatch)
    for block in blocks:
        (tmp_path / "fetch.toml").write_text(block, "utf-8")
        (tmp_path / "fetch.toml").chmod(0o600)
        assert check_config(tmp_path / "fetch.toml")


def test_the_page_on_moving_names_keys_that_there_are() -> None:
    cells = re.findall(r"^\| [^|]+ \| ([^|]+) \|$", MOVING, re.MULTILINE)
    keys = {key for cell in cells for key in re.findall(r"`([a-z_]+)(?: =[^`]*)?`", cell)}
    assert {"deliver", "max_size", "via"} <= keys  # they are found
    assert keys <= {*KEYS}


def names_in_tables(text: str, head: str) -> set[str]:
    [table] = re.findall(rf"^\| `?{re.escape(head)}`? \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    return {name for row in table.splitlines()[2:] for name in re.findall("`([A-Za-z_]+)", row.split("|")[1])}


def test_the_page_of_the_library_knows_fields_and_kinds() -> None:
    assert names_in_tables(LIBRARY, "Report") == {*(field.name for field in attrs.fields(Report)), "ok"}
    assert names_in_tables(LIBRARY, "problem.kind") == {kind.name for kind in ProblemKind}
    told = names_in_tables(LIBRARY, "Policy(...)")
    assert told <= {field.name for field in attrs.fields(Policy)}
    for name, default in re.findall(r"`([a-z_]+)=([^`]+)`", LIBRARY[LIBRARY.index("| `Policy(") :]):
        if name in told:
            assert repr(getattr(Policy(), name)) == default.replace('"', "'"), name
