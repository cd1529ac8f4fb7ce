"""What a user with access to a Maildir can put there: links, other folders, names that are taken. None does harm."""

import io
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pop3proto.maildrops import MaildirStore, ids
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.ids import IDS_NAME
from pop3proto.procedures.maildrop import Maildrop, Refused
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import (
    DeliverLater,
    Filtering,
    MaildirQuota,
    MaildropPlace,
    MaildropRules,
    NothingToBackUp,
    OnDelete,
    Quota,
    Retain,
    RetainingStore,
    Usage,
    deliver_message,
    purge,
    restore_backup,
    undelete,
    write_backup,
)

DAY = 86_400
LATE = 4e9
TRASH = MaildropRules(Quota(octets=10**6), on_delete=OnDelete("trash"))
HIDE = MaildropRules(on_delete=OnDelete("hide"))
NAME = "1700000000.M1P1.host"
TEXT = b"Subject: x\n\nx\n"


def put(maildir: Path, name: str = NAME, octets: bytes = TEXT) -> Path:
    path = maildir / ("cur" if ":" in name else "new") / name
    path.write_bytes(octets)
    return path


def opened(maildir: Path, rules: MaildropRules = TRASH, **how: Any) -> Maildrop:
    return RetainingStore({"ann": maildir}, rules, **how).open("ann", SessionInfo())


def listed(maildir: Path, rules: MaildropRules = TRASH) -> dict[str, bytes]:
    maildrop = opened(maildir, rules)
    found: dict[str, bytes] = {}
    for number, message in enumerate(maildrop.messages, 1):
        source = maildrop.open(number)
        found[str(message.unique_id)] = bytes(source.read(1 << 16))
        source.close()
    maildrop.close()
    return found


def delete(maildir: Path, rules: MaildropRules = TRASH, **how: Any) -> list[str]:
    maildrop = opened(maildir, rules, **how)
    try:
        maildrop.commit(frozenset(range(1, len(maildrop.messages) + 1)), frozenset())
        return [str(message.unique_id) for message in maildrop.messages]
    finally:
        maildrop.close()


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def deliver(maildir: Path, **how: Any) -> Path:
    return deliver_message(io.BytesIO(TEXT), maildir, **how).path


@pytest.fixture
def bob(tmp_path: Path) -> Path:
    path = tmp_path / "bob"
    ensure_maildir(path)
    put(path, octets=b"of bob")
    path.chmod(0o700)
    return path


# ----------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize("first", [f"{NAME}:2,", NAME])
def test_flagging_takes_no_name_that_another_message_has(maildir: Path, first: str) -> None:
    put(maildir, first, b"FIRST")
    put(maildir, f"{NAME}:2,S", b"SECOND")
    before = listed(maildir)
    assert sorted(before.values()) == [b"FIRST", b"SECOND"]
    maildrop = opened(maildir)
    maildrop.commit(frozenset(), frozenset({1, 2}))
    maildrop.close()
    assert listed(maildir) == before


@pytest.mark.parametrize("name", [f"{NAME}:1,abc", f"{'x' * 240}:2,"])
def test_what_cannot_be_flagged_is_hidden_all_the_same(maildir: Path, name: str) -> None:
    put(maildir, name)
    [one] = delete(maildir, HIDE)
    assert listed(maildir, HIDE) == {}
    assert undelete(maildir, HIDE) == [one]
    assert [*listed(maildir, HIDE)] == [one]


@pytest.mark.parametrize("length", [251, 255])
@pytest.mark.parametrize("rules", [TRASH, HIDE])
def test_a_name_of_any_length_goes_to_the_trash(maildir: Path, rules: MaildropRules, length: int) -> None:
    put(maildir, "x" * length)
    if rules is HIDE and length > 251:
        with pytest.raises(Refused, match="some deleted messages not removed"):
            delete(maildir, rules)
    else:
        delete(maildir, rules)
        assert listed(maildir, rules) == {}


def test_a_session_does_not_end_if_hiding_is_impossible(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(maildir)
    maildrop = opened(maildir, HIDE)
    (maildir / "cur").rmdir()
    with pytest.raises(Refused, match="some deleted messages not removed"):
        maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()


# ----------------------------------------------------------------------------------- links in the folders


def junk(maildir: Path) -> object:
    return deliver(maildir, filtering=Filtering(command=("sh", "-c", "exit 98")))


@pytest.mark.parametrize("part", ["new", "cur", "tmp"])
def test_a_part_that_is_a_link_is_refused_and_what_it_leads_to_stays_as_it_is(
    maildir: Path, bob: Path, part: str
) -> None:
    before = everything(bob)
    maildir.chmod(0o777)
    for name in (".Trash", ".Junk"):
        (maildir / name).mkdir()
        (maildir / name / part).symlink_to(bob / "new")
    put(maildir)
    use: Callable[[], object] = (lambda: delete(maildir)) if part == "cur" else lambda: junk(maildir)
    with pytest.raises((DeliverLater, Refused)):
        use()
    if part != "tmp":
        for late in (lambda: undelete(maildir, TRASH), lambda: purge("ann", maildir, TRASH, clock=lambda: LATE)):
            with pytest.raises(OSError, match="symbolic link"):
                late()
    assert everything(bob) == before
    assert stat.S_IMODE((bob / "new").stat().st_mode) == 0o700


def test_a_mark_that_is_a_link_makes_no_file(maildir: Path, tmp_path: Path) -> None:
    (maildir / ".Trash").mkdir()
    (maildir / ".Trash/maildirfolder").symlink_to(tmp_path / "nologin")
    put(maildir)
    delete(maildir)
    assert not (tmp_path / "nologin").exists()
    assert len([*(maildir / ".Trash/cur").iterdir()]) == 1


def test_what_is_there_keeps_its_mode(maildir: Path) -> None:
    ensure_maildir(maildir / ".Trash")
    for part in ("new", "cur", "tmp"):
        (maildir / ".Trash" / part).chmod(0o750)
    maildir.chmod(0o755)
    put(maildir)
    delete(maildir)
    assert {stat.S_IMODE((maildir / ".Trash" / part).stat().st_mode) for part in ("new", "cur", "tmp")} == {0o750}
    deliver(maildir, filtering=Filtering(command=("sh", "-c", "exit 98")))
    assert {stat.S_IMODE((maildir / ".Junk" / part).stat().st_mode) for part in ("", "new", "cur", "tmp")} == {0o755}


@pytest.mark.parametrize("use", ["purge", "undelete", "trash", "count"])
def test_a_folder_that_is_exchanged_while_it_is_used_leads_nowhere_else(
    maildir: Path, bob: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    """The trash is what was opened, even if a link to the mail of another has its name by then."""
    put(maildir)
    delete(maildir)
    put(maildir, f"{NAME}2")
    before = everything(bob)
    fstat, open_ = os.fstat, os.open

    def exchange() -> None:
        if not (maildir / ".Trash").is_symlink():
            (maildir / ".Trash").rename(maildir / ".gone")
            (maildir / ".Trash").symlink_to(bob)

    def opening(path: Any, *words: Any, **how: Any) -> int:
        descriptor = open_(path, *words, **how)
        if str(path).endswith(".Trash"):
            exchange()
        return descriptor

    monkeypatch.setattr(os, "open", opening)
    match use:
        case "purge":
            purge("ann", maildir, TRASH, clock=lambda: LATE)
        case "undelete":
            undelete(maildir, TRASH)
        case "trash":
            delete(maildir)
        case _:
            MaildirQuota(maildir, Quota(octets=10**6, trash=True)).recalculate()
    assert fstat is os.fstat
    assert (maildir / ".Trash").is_symlink()
    monkeypatch.undo()
    assert everything(bob) == before


# ----------------------------------------------------------------------------------------- follow_links


@pytest.mark.parametrize("what", ["Maildir", "new"])
def test_links_are_followed_by_all_or_none(maildir: Path, tmp_path: Path, what: str) -> None:
    path = tmp_path / "link" if what == "Maildir" else maildir
    if what == "Maildir":
        path.symlink_to(maildir)
    else:
        (maildir / "new").rmdir()
        (tmp_path / "real").mkdir()
        (maildir / "new").symlink_to(tmp_path / "real")
    place = MaildropPlace("ann", path, TRASH.quota)
    followed = MaildropPlace("ann", path, TRASH.quota, follow_links=True)
    file = tmp_path / "mail.tar"
    with pytest.raises(DeliverLater, match="symbolic link"):
        deliver(path)
    for use in (
        lambda: purge("ann", path, TRASH),
        lambda: undelete(path, TRASH),
        lambda: write_backup(file, [place]),
    ):
        with pytest.raises((OSError, NothingToBackUp), match="symbolic link"):
            use()
    deliver(path, quota=TRASH.quota, follow_links=True)
    assert write_backup(file, [followed]).messages == 1
    with pytest.raises(OSError, match="symbolic link"):
        restore_backup(file, [place])
    [one] = delete(path, follow_links=True)
    assert undelete(path, TRASH, follow_links=True) == [one]
    assert purge("ann", path, MaildropRules(retain=Retain(unread=1)), follow_links=True, clock=lambda: LATE).purged
    [report] = restore_backup(file, [followed])
    assert [*report.restored] == [one]
    assert MaildirQuota(path, TRASH.quota, follow_links=True).counted() == Usage(len(TEXT), 1)


# -------------------------------------------------------------------------------------------- unique ids


@pytest.mark.parametrize("use", ["purge", "undelete", "backup", "restore"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_only_a_session_lets_ids_of_removed_messages_go(maildir: Path, tmp_path: Path, use: str, dry_run: bool) -> None:
    put(maildir, "1.other.host")
    file = tmp_path / "mail.tar"
    place = MaildropPlace("ann", maildir)
    write_backup(file, [place])
    path = put(maildir)
    maildrop = opened(maildir, MaildropRules())
    maildrop.commit(frozenset({2}), frozenset())
    maildrop.close()
    before = everything(maildir)
    match use:
        case "purge":
            purge("ann", maildir, TRASH, dry_run=dry_run)
        case "undelete":
            undelete(maildir, TRASH, dry_run=dry_run)
        case "backup":
            write_backup(file, [place])
        case _:
            restore_backup(file, [place], dry_run=dry_run)
    assert everything(maildir) == before
    path.write_bytes(b"another message")
    assert NAME not in listed(maildir)


@pytest.mark.parametrize("use", ["purge", "undelete", "restore"])
def test_a_dry_run_writes_nothing_at_all(maildir: Path, tmp_path: Path, use: str) -> None:
    put(maildir)
    put(maildir, f"{NAME}:2,F", b"a copy")
    write_backup(tmp_path / "mail.tar", [MaildropPlace("ann", maildir)])
    other = tmp_path / "other"
    shutil.copytree(maildir, other)
    for name in (".pop3proto-lock", IDS_NAME, ".pop3proto-sizes"):
        (other / name).unlink(missing_ok=True)
    before = everything(other)
    match use:
        case "purge":
            assert len(purge("ann", other, MaildropRules(retain=Retain(1, 1)), dry_run=True, clock=lambda: LATE).purged)
        case "undelete":
            undelete(other, TRASH, dry_run=True)
        case _:
            restore_backup(tmp_path / "mail.tar", [MaildropPlace("ann", other)], dry_run=True)
    assert everything(other) == before


def test_copies_come_back_with_the_ids_that_clients_saw(maildir: Path) -> None:
    put(maildir, f"{NAME}:2,", b"FIRST")
    put(maildir, f"{NAME}:2,S", b"SECOND")
    before = listed(maildir)
    ids_seen = delete(maildir)
    assert sorted(ids_seen) == sorted(before)
    assert undelete(maildir, TRASH, ids_seen[:1]) == ids_seen[:1]
    assert listed(maildir) == {ids_seen[0]: before[ids_seen[0]]}
    assert undelete(maildir, TRASH) == ids_seen[1:]
    for _ in range(2):
        assert listed(maildir) == before


def test_what_comes_back_beside_a_copy_has_its_id(maildir: Path) -> None:
    put(maildir)
    delete(maildir)
    put(maildir, octets=b"a copy")
    [copy] = listed(maildir)
    assert undelete(maildir, TRASH) == [NAME]
    for _ in range(2):
        assert listed(maildir) == {NAME: TEXT, copy: b"a copy"}


def test_a_name_that_lives_is_not_overwritten_by_what_comes_back(maildir: Path) -> None:
    put(maildir, f"{NAME}:2,S")
    delete(maildir)
    put(maildir, f"{NAME}:2,S", b"another message")
    before = listed(maildir)
    assert undelete(maildir, TRASH) == [NAME]
    assert listed(maildir) == {**before, NAME: TEXT}


@pytest.mark.parametrize("retired", [True, False])
def test_a_restored_message_takes_no_name_that_is_taken_meanwhile(
    maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retired: bool
) -> None:
    path = put(maildir)
    write_backup(tmp_path / "mail.tar", [MaildropPlace("ann", maildir)])
    if retired:
        maildrop = opened(maildir, MaildropRules())
        maildrop.commit(frozenset({1}), frozenset())
        maildrop.close()
    else:
        path.unlink()
    link = os.link

    def slower(source: str, target: str, **how: Any) -> None:
        if target == NAME:
            path.write_bytes(b"another message")
        link(source, target, **how)

    monkeypatch.setattr(os, "link", slower)
    [report] = restore_backup(tmp_path / "mail.tar", [MaildropPlace("ann", maildir)])
    monkeypatch.undo()
    assert [*report.restored] == [NAME]
    assert path.read_bytes() == b"another message"
    assert sorted(listed(maildir).values()) == [TEXT, b"another message"]


# ------------------------------------------------------------------------------------- purge and flags


def test_a_message_that_is_flagged_otherwise_meanwhile_is_kept(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(maildir, f"{NAME}:2,ST")
    real = ids.IdRecord.save

    def save(record: ids.IdRecord, *, session: bool) -> None:
        real(record, session=session)
        path.rename(path.with_name(f"{NAME}:2,S"))

    monkeypatch.setattr(ids.IdRecord, "save", save)
    report = purge("ann", maildir, HIDE, clock=lambda: LATE, audit=lambda _: pytest.fail("it is not removed"))
    assert (report.purged, report.failures) == ((), ())
    assert (maildir / f"cur/{NAME}:2,S").exists()


@pytest.mark.parametrize("deleted_by,now", [(HIDE, TRASH), (TRASH, HIDE)])
def test_what_was_kept_expires_after_the_rule_has_changed(
    maildir: Path, deleted_by: MaildropRules, now: MaildropRules
) -> None:
    put(maildir)
    delete(maildir, deleted_by)
    assert purge("ann", maildir, MaildropRules(), clock=lambda: LATE).purged == ()
    assert len(purge("ann", maildir, now, clock=lambda: LATE).purged) == 1


def test_a_message_that_cannot_be_removed_is_not_in_the_audit(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(maildir)
    unlink = os.unlink

    def failing(path: Any, **how: Any) -> None:
        if path == NAME:
            raise PermissionError(13, "no")
        unlink(path, **how)

    monkeypatch.setattr(os, "unlink", failing)
    rules = MaildropRules(retain=Retain(unread=1))
    report = purge("ann", maildir, rules, clock=lambda: LATE, audit=lambda _: pytest.fail("it is there"))
    assert report.purged == ()
    assert report.failures
    assert MaildirStore({"ann": maildir}).open("ann", SessionInfo()).messages


# -------------------------------------------------------------------------------------------- the owner


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_delivers_belongs_to_the_owner_of_the_maildir(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    path = deliver(home / "Maildir", filtering=Filtering(command=("sh", "-c", "exit 98")))
    assert {each.lstat().st_uid for each in (home, *home.rglob("*"))} == {65534}
    assert path.parent == home / "Maildir/.Junk/new"
