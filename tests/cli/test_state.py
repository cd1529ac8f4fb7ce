"""`pop3proto state`: what it shows, and what it changes in a journal."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pop3proto.blocking import Server
from pop3proto.cli import main
from pop3proto.core.results import UniqueId
from pop3proto.fetching.accounts.targets import JOURNAL_NAME
from pop3proto.fetching.accounts.url import Address
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.file_journal import FileJournal, read_journal
from pop3proto.fetching.history import History
from pop3proto.fetching.marks import mark_of
from pop3proto.maildrops import MemoryStore
from pop3proto.maildrops.delivery import ensure_maildir
from tests.helpers.cli_servers import Scripted, body, fetch, password_file, serving

URL = "pops://ann@pop.example.org"
ACCOUNT = Address.of_url(URL).key
NOW = 1_795_898_996.0


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """With a journal."""
    path = tmp_path / "mail"
    ensure_maildir(path)
    return path


def event(
    unique_id: str, state: MessageState = MessageState.STORED, when: float | None = NOW, why: str = "", copy: int = 0
) -> Event:
    return Event(
        MessageIdentity(UniqueId(unique_id), copy),
        state,
        when,
        1234,
        None if state is MessageState.SKIPPED else 1236,
        why=why,
    )


def record(maildir: Path, *events: Event) -> None:
    with FileJournal(maildir / JOURNAL_NAME, ACCOUNT) as journal:
        journal.append(events)


def states(maildir: Path, account: str = ACCOUNT) -> dict[str, MessageState]:
    history = History(read_journal(maildir / JOURNAL_NAME, account))
    return {entry.identity.unique_id: entry.state for entry in history}


LIVES = [
    event("QhdPYR:00WBw1Ph7x7"),
    event(
        "QhdPYR:00WBw1Ph7x8", MessageState.SUSPECT, why="the server hung up in the middle of it, " + "and again " * 5
    ),
    event("big", MessageState.SKIPPED, why="it is larger than 1,000 octets"),
    event("two", MessageState.SEEN, None, copy=1),
    event("two", MessageState.SEEN, None, copy=2),
    event("x" * 70, MessageState.HEADERS),
    event("old"),
    event("old", MessageState.DELETED),
    event("kept"),
    event("kept", MessageState.SKIPPED, NOW + 60),
]

TABLE = f"""\
STATE        DATE                   OCTETS  UNIQUE ID
stored       2026-11-28 20:49        1,236  QhdPYR:00WBw1Ph7x7
suspect      2026-11-28 20:49        1,236  QhdPYR:00WBw1Ph7x8
    the server hung up in the middle of it, and again and again and again and
    again and again
skipped      2026-11-28 20:49        1,234  big
    it is larger than 1,000 octets
seen         -                       1,236  two (1)
seen         -                       1,236  two (2)
headers      2026-11-28 20:49        1,236
    {"x" * 70}
deleted      2026-11-28 20:49        1,236  old
stored       2026-11-28 20:50        1,236  kept
{ACCOUNT}: 8 messages: 2 seen, 1 skipped, 1 suspect, 1 headers only, 2 stored, 1 deleted
"""


# ---------------------------------------------------------------------------------------------- list


def test_a_table_shows_what_is_recorded(maildir, capsys):
    record(maildir, *LIVES)
    assert main(["state", URL, str(maildir), "list"]) == 0
    assert capsys.readouterr() == (TABLE, "")
    assert all(len(line) <= 80 for line in TABLE.splitlines()[:-1])


def test_the_journal_can_be_named(maildir, capsys):
    record(maildir, *LIVES)
    elsewhere = (maildir / JOURNAL_NAME).rename(maildir.parent / "journal")
    place = ["--journal", str(elsewhere)]
    for arguments in ([*place, URL, str(maildir), "list"], [URL, *place, str(maildir), "list"]):
        assert main(["state", *arguments]) == 0
        assert capsys.readouterr() == (TABLE, "")


def test_a_program_reads_lines_of_json(maildir, capsys):
    record(maildir, *LIVES)
    assert main(["state", URL, str(maildir), "list", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 8
    assert lines[-1] == {
        "unique_id": "kept",
        "copy": 0,
        "state": "skipped",
        "date": "2026-11-28T20:50:56+00:00",
        "stored": "stored",
        "stored_date": "2026-11-28T20:49:56+00:00",
        "listed": 1234,
        "octets": 1236,
        "header": None,
        "dated": None,
        "failures": 0,
        "why": "",
    }
    assert lines[3]["date"] is lines[3]["stored"] is lines[3]["stored_date"] is None


def test_an_account_without_messages(maildir, capsys):
    record(maildir)
    assert main(["state", URL, str(maildir), "list"]) == 0
    assert capsys.readouterr() == (f"{ACCOUNT}: 0 messages\n", "")


def test_the_words_of_a_server_do_nothing_on_the_terminal(maildir, capsys):
    record(maildir, event("1", MessageState.SUSPECT, why="\x1b[2J" + "b" * 100))
    assert main(["state", URL, str(maildir), "list"]) == 0
    assert "    \\x1b[2Jbbb" in capsys.readouterr().out


def test_listing_works_while_a_fetch_runs(maildir, capsys):
    with FileJournal(maildir / JOURNAL_NAME, ACCOUNT) as journal:
        journal.append(LIVES)
        assert main(["state", URL, str(maildir), "list"]) == 0
    assert capsys.readouterr() == (TABLE, "")


# -------------------------------------------------------------------------------------------- forget


def test_messages_are_forgotten(maildir, capsys):
    record(maildir, *LIVES)
    assert main(["state", URL, str(maildir), "forget", "two", "QhdPYR:00WBw1Ph7x7"]) == 0
    assert capsys.readouterr().out.startswith("3 messages forgotten; ")
    assert {unique_id for unique_id, state in states(maildir).items() if state is MessageState.FORGOTTEN} == {
        "two",
        "QhdPYR:00WBw1Ph7x7",
    }
    assert main(["state", URL, str(maildir), "forget", "two"]) == 0
    assert capsys.readouterr().out.startswith("0 messages forgotten; ")


def test_all_messages_are_forgotten_but_those_that_are_gone(maildir, capsys):
    record(maildir, *LIVES)
    assert main(["state", URL, str(maildir), "forget", "--all"]) == 0
    assert capsys.readouterr().out.startswith("7 messages forgotten; ")
    assert states(maildir).pop("old") is MessageState.DELETED
    assert set(states(maildir).values()) == {MessageState.DELETED, MessageState.FORGOTTEN}


def test_an_unknown_unique_id_forgets_nothing(maildir, capsys):
    record(maildir, *LIVES)
    before = states(maildir)
    assert main(["state", URL, str(maildir), "forget", "two", "QhdPYR:00WBw1Ph7x9"]) == 1
    assert capsys.readouterr().err == (
        "pop3proto state: the journal has no message of the unique id QhdPYR:00WBw1Ph7x9; "
        "the nearest is QhdPYR:00WBw1Ph7x8; nothing was forgotten\n"
    )
    assert main(["state", URL, str(maildir), "forget", "@@@@@@@"]) == 1
    assert "nearest" not in capsys.readouterr().err
    assert states(maildir) == before


def test_a_unique_id_may_look_like_an_option_or_an_action(maildir):
    record(maildir, event("-x"), event("--"), event("list"))
    assert main(["state", URL, str(maildir), "forget", "list"]) == 0
    assert main(["state", URL, str(maildir), "forget", "--", "-x"]) == 0
    assert states(maildir) == {"-x": MessageState.FORGOTTEN, "--": MessageState.STORED, "list": MessageState.FORGOTTEN}


# ------------------------------------------------------------------------------------------- compact


def test_a_journal_is_compacted(maildir, capsys):
    record(maildir, *[event("1", MessageState.SUSPECT, float(when)) for when in range(7)], event("1"))
    assert main(["state", URL, str(maildir), "compact"]) == 0
    assert capsys.readouterr() == (f"7 lines removed from {maildir / JOURNAL_NAME}\n", "")
    assert states(maildir) == {"1": MessageState.STORED}


# -------------------------------------------------------------------------------------------- repair


def repair(server: Server | Scripted, target: Path) -> int:
    host, port = server.address
    url, password = f"pop://ann@{host}:{port}", password_file(target.parent)
    return main(["state", url, str(target), "repair", "--password-file", str(password), "--allow-cleartext"])


def test_a_lost_journal_is_made_again(tmp_path, capsys):
    mail = [b"Subject: one\n\n1\n", b"same\n", b"same\n"]
    store, target = MemoryStore({"ann": mail}), tmp_path / "mail"
    with serving(store) as server:
        account = Address.of_url("pop://ann@{}:{}".format(*server.address)).key
        assert fetch(server, target, "--allow-cleartext") == 0
        (target / JOURNAL_NAME).unlink()
        store.deliver("ann", b"new\n")
        capsys.readouterr()
        assert repair(server, target) == 0
        assert capsys.readouterr() == (
            "3 messages recorded as stored; 1 of 4 messages on the server are not here\n",
            "",
        )
        history = History(read_journal(target / JOURNAL_NAME, account))
        assert len(history) == 3
        for entry in history:
            assert entry.is_here
            assert entry.last.octets in {19, 6}
            assert entry.last.listed is None  # it may be another message
            assert entry.last.when is not None
            assert abs(entry.last.when - time.time()) < 3600
        assert repair(server, target) == 0
        assert capsys.readouterr().out == (
            "0 messages recorded as stored; 1 of 4 messages on the server are not here\n"
        )


def test_shared_ids_headers_and_what_is_known(tmp_path, capsys):
    target = tmp_path / "mail"
    ensure_maildir(target)
    with Scripted({"UIDL": body("1 two", "2 two", "3 h", "4 known", "5 wanted", "6 other")}) as server:
        account = Address.of_url("pop://ann@{}:{}".format(*server.address)).key

        def put(folder: str, unique_id: str, copy: int = 0, kind: str = "U", size: str = ",S=5,W=6") -> None:
            mark = mark_of(account, MessageIdentity(UniqueId(unique_id), copy))
            (target / folder / f"1.M1{kind}{mark}.pop3proto{size}:2,S").write_bytes(b"x")

        put("cur", "two", 2)
        put("cur", "h", kind="H")
        put("new", "known")
        put("new", "wanted", size="")
        (target / "cur" / "1.M1Uno.pop3proto").write_bytes(b"x")
        with FileJournal(target / JOURNAL_NAME, account) as journal:
            before = [event("known"), event("wanted", MessageState.FORGOTTEN)]
            journal.append(before)
        assert repair(server, target) == 0
        assert server.heard[-1] == "QUIT"
        assert capsys.readouterr().out == (
            "2 messages recorded as stored; 3 of 6 messages on the server are not here\n"
        )
        events = read_journal(target / JOURNAL_NAME, account)[2:]
        assert [(each.identity, each.state, each.octets) for each in events] == [
            (MessageIdentity(UniqueId("two"), 2), MessageState.STORED, 6),
            (MessageIdentity(UniqueId("h")), MessageState.HEADERS, None),
        ]
        put("cur", "h")  # now all of it
        assert repair(server, target) == 0
        assert states(target, account)["h"] is MessageState.STORED


def test_a_server_without_unique_ids(maildir, capsys):
    with Scripted({}) as server:
        assert repair(server, maildir) == 1
    assert "the server refused LIST" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("action", [["forget", "--all"], ["compact"]])
def test_another_fetch_is_running(maildir, action, capsys):
    with FileJournal(maildir / JOURNAL_NAME, ACCOUNT):
        assert main(["state", URL, str(maildir), *action]) == 75
    assert capsys.readouterr().err == (
        f"pop3proto state: another fetch is running with the journal {maildir / JOURNAL_NAME}; "
        "wait for it to end, or stop it\n"
    )


@pytest.mark.parametrize("action", [["list"], ["forget", "x"], ["compact"]])
def test_where_nothing_was_fetched_nothing_is_made(maildir, action, capsys):
    assert main(["state", URL, str(maildir), *action]) == 1
    assert capsys.readouterr().err == (
        f"pop3proto state: there is no journal {maildir / JOURNAL_NAME}: nothing was fetched into this folder, "
        "or --journal FILE must name it\n"
    )
    assert not (maildir / JOURNAL_NAME).exists()


@pytest.mark.parametrize("action", [["list"], ["forget", "x"], ["compact"]])
def test_a_journal_that_cannot_be_read(maildir, action, capsys):
    (maildir / JOURNAL_NAME).mkdir()
    assert main(["state", URL, str(maildir), *action]) == 1
    err = capsys.readouterr().err
    assert err.startswith("pop3proto state: cannot ")
    assert str(maildir / JOURNAL_NAME) in err


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([], "the following arguments are required"),
        ([URL, "mail"], "the action must be one of list, forget, repair, compact"),
        ([URL, "mail", "lst"], "the action must be one of list, forget, repair, compact"),
        ([URL, "mail", "list", "x"], "nothing may follow list"),
        ([URL, "mail", "forget"], "forget takes unique ids, or --all"),
        ([URL, "mail", "forget", "x", "--all"], "forget takes unique ids, or --all"),
        ([URL, "mail", "list", "--all"], "--all belongs to forget"),
        ([URL, "mail", "compact", "--json"], "--json belongs to list"),
        ([URL, "mail", "list", "--journal", ""], "argument --journal: the path is empty"),
        ([URL, "mail", "list", "--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_mistakes_in_usage(arguments, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["state", *arguments])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    for action in ("list", "forget [ID ...]", "repair", "compact"):
        assert f" pop3proto state [OPTION ...] {{ACCOUNT | URL TARGET}} {action}\n" in err
    assert all(len(line) < 80 for line in err.splitlines() if not line.startswith("pop3proto"))
    assert f"pop3proto state: error: {told}" in err


@pytest.mark.parametrize(
    "arguments, told, status",
    [
        (["imap://ann@h", "mail", "list"], "the URL must begin with pops://", 2),
        ([URL, "", "list"], "TARGET is empty", 2),
        ([URL, "mbox:", "list"], "TARGET says mbox, and not which", 2),
        ([URL, "-", "repair"], "standard output cannot tell which messages it has been given", 2),
        ([URL, "/no/such/folder", "list"], "there is no journal /no/such/folder/.pop3proto-fetched: ", 1),
        (["ann", "list", "--timeout", "3"], "--timeout goes with a URL; for accounts it is set in the ", 2),
        (["ann", "list", "--config", "/no/such/file"], "cannot read the configuration file /no/such/file: ", 78),
    ],
)
def test_what_is_not_there(arguments, told, status, capsys):
    assert main(["state", *arguments]) == status
    assert capsys.readouterr().err.startswith(f"pop3proto state: {told}")
