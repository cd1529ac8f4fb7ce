"""What people have reported of programs that fetch mail: each report, and its kind."""

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from pop3proto.cli import main
from pop3proto.fetching.downloading import download_new
from pop3proto.testing import PASSWORD, Pop3Server, pop3_server
from pop3proto.testing.faults import (
    Asked,
    CloseAfter,
    Fault,
    HangUp,
    Here,
    ListsAll,
    NoUid,
    Part,
    Refuse,
    Stall,
    StatusLine,
    Step,
    WrongSize,
)
from tests.helpers.maildrop_trials import ENDS, Breaks, Changing, Mail, OneMaildrop, QuitLies, Rows

PATIENCE = 60
SHORT = 0.3
"""Seconds of silence that the client bears."""


def mail(number: int, text: str = "Hello.\n") -> Mail:
    header = f"From: a{number}@example.org\nSubject: no {number}\nMessage-ID: <{number}@example.org>\n\n"
    return Mail(f"uid-{number}", f"{header}{text}".encode())


FIVE = [mail(number) for number in range(1, 6)]
ALL = [1, 2, 3, 4, 5]


@attrs.define
class Box:
    """A target, and what the command does with it.

    Attributes:
        store: the maildrop.
        fault: what goes wrong now.
    """

    folder: Path
    capsys: pytest.CaptureFixture[str]
    store: OneMaildrop = attrs.Factory(lambda: OneMaildrop(FIVE))
    fault: Changing = attrs.Factory(Changing)
    server: Pop3Server | None = None
    out: str = ""
    err: str = ""

    @property
    def maildir(self) -> Path:
        return self.folder / "mail"

    @contextmanager
    def serving(
        self, *faults: Fault, avoidable: bool = False, password: str = PASSWORD, **options: Any
    ) -> Generator[None]:
        """Serve the maildrop until the block ends.

        Args:
            faults: what goes wrong all the time.
            avoidable: a good client may never meet them.
            password: of the user.
            options: of `pop3_server`.
        """
        options = {"mechanisms": (), "apop": False, **options}
        with pop3_server(
            store=self.store, passwords={"ann": password}, faults=[*faults, self.fault], **options
        ) as self.server:
            yield
            if not avoidable:
                assert {*map(id, faults)} <= {*map(id, self.server.struck)}, "nothing went wrong"

    def fetch(self, *options: str, password: str = PASSWORD, timeout: float = 20) -> int:
        """Fetch once; return the exit status."""
        server = self.server
        assert server is not None
        if server.tls == "none":
            options = (*options, "--allow-cleartext")
        else:
            (self.folder / "ca.pem").write_bytes(server.authority)
            options = (*options, "--ca-file", str(self.folder / "ca.pem"))
        secret = self.folder / "password"
        secret.write_text(f"{password}\n", encoding="utf-8")
        secret.chmod(0o600)
        url = f"{'pops' if server.tls == 'implicit' else 'pop'}://ann@{server.host}:{server.port}"
        before = len(server.sessions)
        status = main(
            ["fetch", url, str(self.maildir), "--password-file", str(secret), "--timeout", str(timeout), *options]
        )
        for session in server.sessions[before:]:
            session.wait(PATIENCE)
        captured = self.capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        assert "Traceback" not in self.err
        return status

    @property
    def stored(self) -> list[int]:
        """The numbers in the subjects of what is stored, sorted."""
        files = [file for name in ("new", "cur") for file in (self.maildir / name).glob("*")]
        return sorted(int(re.search(rb"no (\w+)", file.read_bytes())[1]) for file in files)

    @property
    def left(self) -> list[int]:
        """Likewise of what is on the server."""
        return [int(re.search(rb"no (\w+)", each.octets)[1]) for each in self.store.messages]


@pytest.fixture
def box(tmp_path, capsys) -> Box:
    return Box(tmp_path, capsys)


def without(numbers: Iterable[int], number: int) -> list[int]:
    return [each for each in numbers if each != number]


# ---------------------------------------------------------------------- one message that spoils every session

which = pytest.mark.parametrize("number", [1, 3, 5], ids=["first", "middle", "last"])


@pytest.mark.deep(keep=4)
@which
@pytest.mark.parametrize("how", ENDS)
def test_a_message_that_ends_the_session(box, number, how):
    box.fault.now = Breaks(box.store, "RETR", f"uid-{number}", how)
    with box.serving():
        statuses = [box.fetch("--delete", timeout=SHORT) for _ in range(4)]
    if how == "behind" and number in box.stored:  # all of it came, and this can be proven by its size
        assert (box.stored, box.left) == (ALL, [])
        return
    assert (box.stored, box.left) == (without(ALL, number), [number])
    assert statuses[-1] != 0
    assert f"uid-{number}" in box.err or f"message {number}" in box.err or "message 1" in box.err


def test_two_messages_that_end_the_session(box):
    with box.serving(Breaks(box.store, "RETR", "uid-2", "in the body"), Breaks(box.store, "RETR", "uid-4", "before")):
        for _ in range(6):
            box.fetch("--delete")
    assert (box.stored, box.left) == ([1, 3, 5], [2, 4])


def test_a_message_that_ends_the_session_keeps_no_later_mail_away(box):
    box.fault.now = Breaks(box.store, "RETR", "uid-1")
    with box.serving():
        box.fetch()
        box.store.messages += [mail(6), mail(7)]
        for _ in range(3):
            box.fetch()
    assert box.stored == [2, 3, 4, 5, 6, 7]


def test_a_message_that_ended_the_session_comes_when_it_does_not_any_more(box, monkeypatch):
    box.fault.now = Breaks(box.store, "RETR", "uid-2")
    with box.serving():
        for _ in range(3):
            box.fetch()
        assert box.stored == [1, 3, 4, 5]
        box.fault.now = None
        assert box.fetch() == 1
        assert "tried again in " in box.err
        monkeypatch.setitem(download_new.__kwdefaults__, "clock", lambda: time.time() + 86_400)
        assert box.fetch() == 0
    assert box.stored == ALL


@pytest.mark.deep(keep=3)
@which
@pytest.mark.parametrize("how", ["before", "in the status line", "by a reset", "by silence"])
def test_a_dele_that_ends_the_session(box, number, how):
    box.fault.now = Breaks(box.store, "DELE", f"uid-{number}", how)
    with box.serving():
        statuses = [box.fetch("--delete", timeout=SHORT) for _ in range(6)]
    assert (box.stored, box.left) == (ALL, [number])
    assert statuses[-1] != 0


@which
def test_a_session_that_ends_behind_the_answer_to_a_dele(box, number):
    box.fault.now = Breaks(box.store, "DELE", f"uid-{number}", "behind")
    with box.serving():
        for _ in range(6):
            box.fetch("--delete", timeout=SHORT)
    assert (box.stored, box.left) == (ALL, [number])


@pytest.mark.parametrize("how", ["before", "in the body", "behind"])
def test_no_unique_ids_and_a_message_that_ends_the_session(box, how):
    box.fault.now = Breaks(box.store, "RETR", "uid-4", how)
    with box.serving(NoUid(), announce=lambda able: attrs.evolve(able, uidl=False)):
        for _ in range(4):
            box.fetch("--delete")
    assert len(set(box.stored)) == len(box.stored)
    assert {*box.stored, *box.left} == {*ALL}


# ------------------------------------------------------------------------------------ unique ids and sizes


def anew(numbers: Sequence[int], text: str) -> list[Mail]:
    """Return other messages, whose unique ids are those of the first ones."""
    return [Mail(f"uid-{at}", mail(number, text).octets) for at, number in enumerate(numbers, 1)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "Hello.\n",
            marks=pytest.mark.xfail(strict=True, reason="nothing is compared but unique ids and sizes"),
            id="equal sizes",
        ),
        pytest.param("quite another text\n", id="other sizes"),
    ],
)
def test_unique_ids_begin_again(box, text):
    box.store.messages = FIVE[:3]
    with box.serving():
        assert box.fetch() == 0
        box.store.messages = anew([7, 8, 9], text)
        status = box.fetch()
    assert box.stored == [1, 2, 3, 7, 8, 9] or status != 0


@pytest.mark.parametrize("rerun", ["deletes", "keeps"])
@pytest.mark.parametrize("text", ["Hello.\n", "quite another text\n"], ids=["equal sizes", "other sizes"])
def test_unique_ids_begin_again_and_nothing_is_deleted_that_was_not_fetched(box, text, rerun):
    box.store.messages = FIVE[:3]
    with box.serving():
        box.fetch("--delete" if rerun == "deletes" else "--timeout=20")
        box.store.messages = anew([7, 8, 9], text)
        for _ in range(2):
            box.fetch("--delete")
    assert {*box.stored, *box.left} >= {1, 2, 3, 7, 8, 9}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=name)
        for name, fault in {
            "rounded up": Rows("LIST", lambda _, octets: b"%d" % (-(-int(octets) // 1024) * 1024)),
            "too small": WrongSize(by=-3),
            "too large": WrongSize(by=7),
            "refused": Refuse("LIST"),
        }.items()
    ],
)
def test_sizes_are_guesses_and_what_was_stored_can_be_deleted(box, fault):
    with box.serving(fault):
        assert box.fetch() == 0
        for _ in range(2):
            box.fetch("--delete")
    assert (box.stored, box.left) == (ALL, [])


def test_uidl_lists_too_few(box):
    with box.serving(Rows("UIDL", lambda number, uid: uid if number <= 2 else None)):
        status = box.fetch()
    assert box.stored == ALL or (status != 0 and "3" in box.err)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            Rows("UIDL", lines=lambda row: b"+OK\r\n" + row + b"\r\n.\r\n"),
            id="row and dot",
        ),
        pytest.param(
            ListsAll("UIDL"),
            id="all rows",
        ),
        pytest.param(Rows("UIDL", lines=lambda row: b"+OK " + row.split()[1] + b"\r\n"), id="no number"),
        pytest.param(Rows("UIDL", lines=lambda _: b"-ERR syntax\r\n"), id="refused"),
    ],
)
def test_uidl_of_one_message_is_answered_oddly(box, fault):
    with box.serving(fault, avoidable=True):
        for _ in range(2):
            box.fetch("--delete")
    assert (box.stored, box.left) == (ALL, [])


@attrs.frozen
class HangsUpAt(Fault):
    """The server hangs up when it hears a line.

    Args:
        verb: of the line.
        words: how many words the line has.
    """

    verb: str
    words: int = 1

    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        return (HangUp(),) if asked.is_a(self.verb) and len(asked.words) == self.words else (asked,)


@pytest.mark.parametrize("verbs", [["UIDL"], ["LIST"], ["UIDL", "LIST"]], ids=", ".join)
def test_a_server_that_hangs_up_at_commands_that_are_not_needed(box, verbs):
    """UIDL and LIST for single messages prove only that messages are whole."""
    with box.serving(*(HangsUpAt(verb, 2) for verb in verbs), avoidable=True):
        box.fetch()
    assert box.stored == ALL


def test_uidl_is_refused_once(box):
    with box.serving(announce=lambda able: attrs.evolve(able, uidl=False)):
        assert box.fetch() == 0
        box.fault.now = Refuse("UIDL")
        box.fetch("--delete")
    assert box.stored == ALL


def test_an_empty_maildrop_whose_uidl_is_refused(box):
    box.store.messages = []
    with box.serving(Refuse("UIDL")):
        assert box.fetch() == 0


class DeleNeedsRetr(Fault):
    """A message can be deleted only in the session in which it was retrieved."""

    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        retrieved: set[int | None] = here.own.__dict__.setdefault("retrieved", set())
        if asked.is_a("RETR"):
            retrieved.add(asked.number)
        elif asked.is_a("DELE") and asked.number not in retrieved:
            return (attrs.evolve(asked, answer=(StatusLine(asked, b"-ERR not retrieved\r\n"),)),)
        return (asked,)


def test_dele_takes_retr_in_the_same_session(box):
    with box.serving(DeleNeedsRetr()):
        box.fetch()
        for _ in range(2):
            box.fetch("--delete")
    assert (box.stored, box.left) == (ALL, [])


# ------------------------------------------------------------------------------------------------- logins


def test_apop_is_refused_and_the_server_hangs_up(box):
    faults = [Refuse("APOP", None, "authorization failed"), CloseAfter("APOP", refused=True)]
    with box.serving(*faults, tls="implicit", apop=True):
        assert box.fetch() == 0, box.err
    assert box.stored == ALL


def test_apop_is_refused_and_the_connection_stays(box):
    with box.serving(Refuse("APOP", "AUTH", "invalid"), tls="implicit", apop=True):
        assert box.fetch() == 0, box.err
    assert box.stored == ALL


def test_a_password_that_is_not_ascii_over_tls(box):
    with box.serving(password="pässwörd", tls="implicit"):
        assert box.fetch(password="pässwörd") == 0, box.err
    assert box.stored == ALL


def test_a_server_that_hangs_up_at_stls(box):
    with box.serving(HangsUpAt("STLS"), avoidable=True):
        assert box.fetch() == 0, box.err
    assert box.stored == ALL


def test_a_refusal_in_an_encoding_of_the_servers_own(box):
    with box.serving(AnsweredBy("PASS", b"-ERR \xb5\xc7\xc2\xbc\xca\xa7\xb0\xdc\x1b[31m\r\n")):
        assert box.fetch() != 0
    assert "\\x1b" in box.err


@attrs.frozen
class AnsweredBy(Fault):
    """A command is answered by these octets; the server does not hear of it."""

    command: str
    octets: bytes

    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.is_a(self.command):
            asked = attrs.evolve(asked, answer=(StatusLine(asked, self.octets),))
        return (asked,)


# ------------------------------------------------------------------------------- file systems and Maildirs


def test_a_file_system_without_fsync_of_folders(box, monkeypatch):
    fsync: Callable[[int], None] = os.fsync

    def refuses_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuses_folders)
    with box.serving():
        assert box.fetch("--delete") == 0, box.err
    assert (box.stored, box.left) == (ALL, [])


def test_a_file_system_without_locks_is_named(box, monkeypatch):
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, refuses)
    with box.serving():
        assert box.fetch() != 0
    assert str(box.maildir) in box.err


def test_a_maildir_that_lost_its_empty_folders(box):
    (box.maildir / "cur").mkdir(parents=True)
    (box.maildir / "cur/1.a:2,S").write_bytes(b"Subject: no 0\n\n")
    (box.maildir / "dovecot-uidlist").write_bytes(b"3 V1 N2\n")
    with box.serving():
        assert box.fetch() == 0
    assert box.stored == [0, *ALL]


# ------------------------------------------------------------------------------------------------- words


def test_silence_is_named(box):
    with box.serving(Stall("RETR 3")):
        assert box.fetch(timeout=SHORT) != 0
    assert "RETR 3" in box.err or "message 3" in box.err or "uid-3" in box.err


# ------------------------------------------------------------------------------------- what works already


class QuotaAfter(Fault):
    """After two messages, RETR is refused in this session."""

    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.is_a("RETR") and asked.number is not None and asked.number > 2:
            asked = attrs.evolve(asked, answer=(StatusLine(asked, b"-ERR download quota exceeded\r\n"),))
        return (asked,)


def test_a_daily_quota(box):
    with box.serving(QuotaAfter()):
        assert box.fetch("--delete") != 0
    assert (box.stored, box.left) == ([1, 2], [3, 4, 5])


def test_a_message_that_was_removed_meanwhile(box):
    with box.serving(Refuse("RETR 3", None, "message 3 expunged")):
        assert box.fetch("--delete") != 0
    assert (box.stored, box.left) == ([1, 2, 4, 5], [3])


def test_quit_is_refused_although_the_server_has_deleted(box):
    box.fault.now = QuitLies()
    with box.serving():
        assert box.fetch("--delete") != 0
        box.fault.now = None
        assert box.fetch("--delete") == 0
    assert (box.stored, box.left) == (ALL, [])


def test_quit_is_not_answered(box):
    box.fault.now = Stall("QUIT")
    with box.serving():
        assert box.fetch("--delete", timeout=SHORT) == 0  # another session has seen what was deleted
    assert "5 deleted on the server" in box.out
    assert (box.stored, box.left) == (ALL, [])


def test_tls_ends_without_close_notify(box):
    with box.serving(CloseAfter("QUIT"), tls="implicit"):
        assert box.fetch("--delete") == 0, box.err
    assert (box.stored, box.left) == (ALL, [])


def test_uidl_begins_with_an_empty_row(box):
    with box.serving(EmptyRow()):
        assert box.fetch("--delete") == 0, box.err
    assert (box.stored, box.left) == (ALL, [])


class EmptyRow(Fault):
    """The first row of UIDL is empty, and UIDL of one message is answered without its number."""

    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if part.asked.is_a("UIDL") and isinstance(part, StatusLine) and part.positive:
            if part.asked.number is None:
                part = attrs.evolve(part, octets=part.octets + b"\r\n")
            else:
                part = part.with_text(part.text.split()[1])
        return (part,)
