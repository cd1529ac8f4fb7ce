"""Unique ids of files that share a unique part: none is ever given to another message."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from typing_extensions import override

from pop3proto.maildrops import MaildirStore
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.ids import IDS_NAME
from pop3proto.procedures.maildrop import Maildrop, Refused
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.depth import deep
from tests.helpers.far_times import FAR_YEARS, far_time


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    return path


def opened(maildir: Path) -> Maildrop:
    return MaildirStore({"ann": maildir}).open("ann", SessionInfo())


def contents(maildrop: Maildrop) -> dict[str, bytes]:
    """The messages of a maildrop by unique id."""
    found: dict[str, bytes] = {}
    for number, message in enumerate(maildrop.messages, 1):
        source = maildrop.open(number)
        octets = source.read(99)
        assert isinstance(octets, bytes)
        found[message.unique_id] = octets
        source.close()
    return found


def look(maildir: Path) -> dict[str, bytes]:
    maildrop = opened(maildir)
    try:
        return contents(maildrop)
    finally:
        maildrop.close()


def delete(maildir: Path, *unique_ids: str) -> None:
    maildrop = opened(maildir)
    numbers = [number for number, message in enumerate(maildrop.messages, 1) if message.unique_id in unique_ids]
    maildrop.commit(frozenset(numbers), frozenset())
    maildrop.close()


def test_the_second_of_two_files_with_one_unique_part_does_not_inherit_the_id_of_the_first(maildir: Path) -> None:
    (maildir / "new/1.a").write_bytes(b"one\n")
    assert look(maildir) == {"1.a": b"one\n"}
    (maildir / "cur/1.a:2,S").write_bytes(b"two\n")
    both = look(maildir)
    assert sorted(both.values()) == [b"one\n", b"two\n"]
    [first] = [unique_id for unique_id, octets in both.items() if octets == b"one\n"]
    delete(maildir, first)
    del both[first]
    assert look(maildir) == both
    assert look(maildir) == both


def test_an_id_stays_although_the_file_is_touched(maildir: Path) -> None:
    for name in ("new/1.a", "cur/1.a:2,S"):
        (maildir / name).write_bytes(name.encode())
    before = look(maildir)
    os.utime(maildir / "new/1.a", (1, 1))
    (maildir / "new/1.a").rename(maildir / "cur/1.a:2,F")
    assert look(maildir) == before


@pytest.mark.parametrize("removed_by", ["the session", "another program"])
def test_a_copy_that_was_made_during_the_session_gets_an_id_of_its_own(maildir: Path, removed_by: str) -> None:
    (maildir / "new/1.a").write_bytes(b"one\n")
    maildrop = opened(maildir)
    shutil.copy2(maildir / "new/1.a", maildir / "tmp/1.a")
    if removed_by != "the session":
        (maildir / "new/1.a").unlink()
    maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    (maildir / "tmp/1.a").rename(maildir / "cur/1.a:2,S")
    [unique_id] = look(maildir)
    assert unique_id != "1.a"
    assert list(look(maildir)) == [unique_id]


@pytest.mark.parametrize("year", FAR_YEARS)
def test_an_id_stays_although_the_time_of_the_file_is_far_away(maildir: Path, year: int) -> None:
    for name in ("new/1.a", "cur/1.a:2,S"):
        (maildir / name).write_bytes(name.encode())
        os.utime(maildir / name, ns=far_time(year))
    before = look(maildir)
    for name in ("new/1.a", "cur/1.a:2,S"):
        os.utime(maildir / name, (1, 1))
    assert look(maildir) == before


def test_what_was_removed_is_remembered_for_one_session(maildir: Path) -> None:
    for name in ("new/1.a", "new/2.a"):
        (maildir / name).write_bytes(b"a\n")
    delete(maildir, "1.a")
    assert (maildir / IDS_NAME).read_text() == "1.a\n"
    assert list(look(maildir)) == ["2.a"]
    assert not (maildir / IDS_NAME).exists()


def test_a_session_that_shares_nothing_writes_no_record(maildir: Path) -> None:
    (maildir / "new/1.a").write_bytes(b"a\n")
    look(maildir)
    assert not (maildir / IDS_NAME).exists()


def test_what_could_not_be_removed_keeps_its_id(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (maildir / "new/1.a").write_bytes(b"a\n")

    def failing(path: str, **_folder: int) -> None:
        raise PermissionError(errno.EACCES, "no", path)

    maildrop = opened(maildir)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", failing)
        with pytest.raises(Refused):
            maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    assert list(look(maildir)) == ["1.a"]


@pytest.mark.parametrize("spoil", [b"\xff\0\n", b"1.a x y\n", b"1.a 1\n", b" \n\n", b"x" * 500])
def test_rows_of_the_record_that_make_no_sense_are_passed_over(maildir: Path, spoil: bytes) -> None:
    (maildir / "new/1.a").write_bytes(b"a\n")
    (maildir / IDS_NAME).write_bytes(spoil)
    assert list(look(maildir)) == ["1.a"]


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_record_that_is_no_file_is_refused(maildir: Path, make: object) -> None:
    assert callable(make)
    make(maildir / IDS_NAME)
    with pytest.raises(Refused):
        opened(maildir)


class Ids(RuleBasedStateMachine):
    """Other programs deliver files that share a unique part and flag them; sessions look, and remove messages."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.maildir = Path(self.folder.name)
        ensure_maildir(self.maildir)
        self.serial = 0
        self.shown: dict[str, bytes] = {}  # what each id was shown for

    @rule(part=st.sampled_from(["1.a", "2.b"]))
    def deliver_and_look(self, part: str) -> None:
        if part in self.shown and not [*self.maildir.glob(f"cur/{part}:*")]:
            return  # by the rules of Maildir, no program does that
        self.serial += 1
        (self.maildir / f"cur/{part}:2,{'x' * self.serial}").write_bytes(b"%d\n" % self.serial)
        self.look()

    @rule()
    def look(self) -> None:
        for unique_id, octets in look(self.maildir).items():
            assert self.shown.setdefault(unique_id, octets) == octets

    @rule(which=st.integers(0, 9))
    def delete(self, which: int) -> None:
        found = look(self.maildir)
        delete(self.maildir, *sorted(found, key=found.__getitem__)[which : which + 1])

    @rule(data=st.data())
    def flag(self, data: st.DataObject) -> None:
        if files := sorted(self.maildir.glob("*/[0-9]*")):
            path = data.draw(st.sampled_from(files))
            path.rename(path.with_name(path.name + "S"))

    @override
    def teardown(self) -> None:
        self.folder.cleanup()


TestIds = Ids.TestCase
TestIds.settings = settings(max_examples=deep(100, 10), stateful_step_count=15, deadline=None)
