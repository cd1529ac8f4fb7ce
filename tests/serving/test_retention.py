"""Retention: what is kept, for how long, what a client is told of it, and what comes back."""

import errno
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import Client, connect, serve
from pop3proto.core.capabilities import Capabilities, Expire
from pop3proto.maildrops import MaildirStore
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.names import with_flags
from pop3proto.procedures import HANDLERS, Service
from pop3proto.procedures.maildrop import Maildrop, Refused
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import (
    LAST_HANDLERS,
    Last,
    MaildirQuota,
    MaildropInUse,
    MaildropRules,
    OnDelete,
    Purged,
    PurgeJob,
    PurgeReport,
    Quota,
    Retain,
    RetainingStore,
    purge,
    undelete,
)
from pop3proto.serving.retention import purge as purging, store as storing, undelete as undeleting
from pop3proto.serving.retention.times import arrived

DAY = 86_400
NOW = 1_700_000_000
TRASH = MaildropRules(on_delete=OnDelete("trash"))
HIDE = MaildropRules(on_delete=OnDelete("hide"))
REMOVE = MaildropRules()


def put(maildir: Path, age: float, flags: str | None = None, octets: bytes = b"Subject: x\n\nx\n") -> Path:
    """Put a message of this age, in seconds, into a Maildir."""
    when = int(NOW - age)
    name = f"{when}.M{age}P1.host"
    path = maildir / "new" / name if flags is None else maildir / "cur" / f"{name}:2,{flags}"
    path.write_bytes(octets)
    os.utime(path, (when, when))
    return path


def opened(maildir: Path, rules: MaildropRules = REMOVE) -> Maildrop:
    return RetainingStore({"ann": maildir}, rules).open("ann", SessionInfo())


def session(
    maildir: Path, rules: MaildropRules, deleted: Sequence[int] = (), retrieved: Sequence[int] = ()
) -> list[str]:
    """Delete and retrieve; return the unique ids that the session has seen."""
    maildrop = opened(maildir, rules)
    try:
        ids = [str(message.unique_id) for message in maildrop.messages]
        maildrop.commit(frozenset(deleted), frozenset(retrieved))
    finally:
        maildrop.close()
    return ids


def names(maildir: Path, folder: str = "") -> list[str]:
    return sorted(path.name for each in ("new", "cur") for path in (maildir / folder / each).glob("*"))


# ---------------------------------------------------------------------------------------------- deleting


@pytest.mark.parametrize("rules", [REMOVE, TRASH, HIDE])
def test_what_stays_keeps_its_unique_id_and_what_is_deleted_is_never_seen_again(
    maildir: Path, rules: MaildropRules
) -> None:
    for age in (5, 4, 3, 2):
        put(maildir, age, None if age % 2 else "S")
    before = session(maildir, rules, [1, 4])
    assert session(maildir, rules) == before[1:3]
    assert session(maildir, rules) == before[1:3]
    assert len(names(maildir, ".Trash")) == (2 if rules == TRASH else 0)
    assert len(names(maildir)) == (4 if rules == HIDE else 2)
    if rules == HIDE:
        assert [name.partition("host")[2] for name in names(maildir)] == [":2,T", ":2,S", "", ":2,ST"]
    else:
        opening = MaildirStore({"ann": maildir}).open("ann", SessionInfo())
        assert [message.unique_id for message in opening.messages] == before[1:3]
        opening.close()


def test_the_trash_is_a_folder_of_the_maildir_and_a_name_in_it_is_not_overwritten(maildir: Path) -> None:
    path = put(maildir, 5)
    ensure_maildir(maildir / ".Trash")
    (maildir / ".Trash/cur" / f"{path.name}:2,").write_bytes(b"other")
    session(maildir, TRASH, [1])
    assert (maildir / ".Trash/maildirfolder").exists()
    assert names(maildir) == []
    assert len(names(maildir, ".Trash")) == 2
    assert (maildir / ".Trash/cur" / f"{path.name}:2,").read_bytes() == b"other"


@pytest.mark.parametrize("rules", [TRASH, HIDE])
def test_all_names_of_a_file_are_gone(maildir: Path, rules: MaildropRules) -> None:
    path = put(maildir, 5)
    os.link(path, maildir / "cur" / f"{path.name}:2,S")
    session(maildir, rules, [1])
    assert session(maildir, rules) == []


@pytest.mark.parametrize("rules", [TRASH, HIDE])
def test_a_message_that_another_program_has_moved_is_deleted(maildir: Path, rules: MaildropRules) -> None:
    path = put(maildir, 5)
    maildrop = opened(maildir, rules)
    path.rename(maildir / "cur" / f"{path.name}:2,RS")
    maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    assert session(maildir, rules) == []
    where = maildir / ("cur" if rules == HIDE else ".Trash/cur")
    assert where.joinpath(f"{path.name}:2,RS{'T' if rules == HIDE else ''}").exists()


def test_a_message_that_another_program_has_removed_counts_as_deleted(maildir: Path) -> None:
    for rules in (TRASH, HIDE):
        path = put(maildir, 5)
        maildrop = opened(maildir, rules)
        path.unlink()
        maildrop.commit(frozenset({1}), frozenset())
        maildrop.close()


def test_a_trash_that_cannot_be_used_is_told_and_nothing_is_deleted(maildir: Path, tmp_path: Path) -> None:
    put(maildir, 5)
    (maildir / ".Trash").touch()
    with pytest.raises(Refused, match="some deleted messages not removed"):
        session(maildir, TRASH, [1])
    (maildir / ".Trash").unlink()
    elsewhere = tmp_path / "elsewhere"
    ensure_maildir(elsewhere)
    (maildir / ".Trash").symlink_to(elsewhere)
    with pytest.raises(Refused, match="some deleted messages not removed"):
        session(maildir, TRASH, [1])
    assert len(session(maildir, TRASH)) == 1
    assert names(elsewhere) == []


def test_a_copy_of_what_went_to_the_trash_has_another_id(maildir: Path) -> None:
    path = put(maildir, 5)
    maildrop = opened(maildir, TRASH)
    copy = path.with_name(f"{path.name}:2,")
    maildrop.commit(frozenset({1}), frozenset())
    copy.write_bytes(b"a copy")
    maildrop.close()
    [other] = session(maildir, TRASH)
    assert other != path.name


# --------------------------------------------------------------------------------------- the flag S, LAST


def test_what_was_retrieved_is_flagged_at_quit(maildir: Path) -> None:
    for age in (5, 4, 3, 2):
        put(maildir, age, None if age != 4 else "F")
    before = session(maildir, REMOVE, [4], [1, 2, 4])
    assert [name.partition("host")[2] for name in names(maildir)] == [":2,S", ":2,FS", ""]
    maildrop = opened(maildir)
    assert [message.retrieved for message in maildrop.messages] == [True, True, False]
    assert [message.unique_id for message in maildrop.messages] == before[:3]
    maildrop.close()


def test_a_message_that_is_gone_or_cannot_be_flagged_is_no_error(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(maildir, 5)
    maildrop = opened(maildir)
    path.unlink()
    maildrop.commit(frozenset(), frozenset({1}))
    maildrop.close()
    put(maildir, 5)

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "rename", failing)
    session(maildir, REMOVE, [], [1])


@pytest.mark.parametrize(
    "name,add,remove,result",
    [
        ("1.a", "S", "", "1.a:2,S"),
        ("1.a:2,RS", "F", "", "1.a:2,FRS"),
        ("1.a:2,S", "S", "", "1.a:2,S"),
        ("1.a;2,S", "T", "", "1.a;2,ST"),
        ("1.a,S=5!2,", "S", "", "1.a,S=5!2,S"),
        ("1.a:2,ST", "", "T", "1.a:2,S"),
        ("1.a:1,xyz", "S", "", "1.a:1,xyz"),
        ("1.a:", "S", "", "1.a:2,S"),
    ],
)
def test_flags_are_in_order(name: str, add: str, remove: str, result: str) -> None:
    assert with_flags(name, add=add, remove=remove) == result


def test_old_clients_are_told_the_last_message_that_was_retrieved(maildir: Path) -> None:
    for age in (5, 4, 3, 2):
        put(maildir, age)
    store = RetainingStore({"ann": maildir}, REMOVE)
    handlers = {**HANDLERS, **LAST_HANDLERS}
    service = Service(store=store, authenticator=MemoryAuthenticator({"ann": "x"}), handlers=handlers)

    def last(client: Client) -> str:
        client.call(Last())
        assert client.last_reply is not None
        return client.last_reply.text

    with serve(service) as server:
        with connect(*server.address, tls="none") as client:
            client.login("ann", "x")
            assert last(client) == "0"
            client.fetch(2)
            client.fetch(1)
            assert last(client) == "2"
            client.rset()
            assert last(client) == "0"
            client.fetch(2)
        for _ in range(2):
            with connect(*server.address, tls="none") as client:
                client.login("ann", "x")
                assert last(client) == "2"
                client.fetch(3)
                assert last(client) == "3"
                client.rset()
                assert last(client) == "2"


# ----------------------------------------------------------------------------------------------- purging


def purged(maildir: Path, rules: MaildropRules, later: float = 0, **how: Any) -> dict[str, str]:
    """Purge, and return the age and the reason of what was removed."""
    seen: list[Purged] = []
    report = purge("ann", maildir, rules, clock=lambda: NOW + later, audit=seen.append, **how)
    assert report.failures == ()
    if not how.get("dry_run"):
        assert seen == list(report.purged)
    return {each.unique_id.split("M")[1].split("P")[0]: each.reason for each in report.purged}


def test_old_messages_are_removed_read_and_unread_by_their_own_times(maildir: Path) -> None:
    for days in (1, 10, 30):
        put(maildir, days * DAY)
        put(maildir, days * DAY + 1, "S")
    rules = MaildropRules(retain=Retain(unread=20 * DAY, read=5 * DAY))
    before = names(maildir)
    expired = {f"{30 * DAY}": "unread", f"{30 * DAY + 1}": "read", f"{10 * DAY + 1}": "read"}
    assert purged(maildir, rules, dry_run=True) == expired
    assert names(maildir) == before
    assert purged(maildir, rules) == expired
    assert len(names(maildir)) == 3
    assert purged(maildir, rules) == {}
    assert purged(maildir, MaildropRules()) == {}
    assert purged(maildir, MaildropRules(retain=Retain(read=1))) == {f"{DAY + 1}": "read"}


def test_mail_is_kept_longer_and_never_shorter_if_the_clock_is_set_back(maildir: Path) -> None:
    put(maildir, -10 * DAY)  # it came before the clock was set back
    path = put(maildir, 30 * DAY)
    os.utime(path, (NOW - DAY, NOW - DAY))  # it was copied a day ago
    rules = MaildropRules(retain=Retain(unread=20 * DAY))
    assert purged(maildir, rules) == {}
    assert purged(maildir, rules, 18 * DAY) == {}
    assert purged(maildir, rules, 20 * DAY) == {f"{30 * DAY}": "unread"}
    assert purged(maildir, rules, 30 * DAY + 1) == {f"{-10 * DAY}": "unread"}


@given(st.integers(0, 2**64 - 1), st.integers(0, 10**12))
def test_the_time_of_arrival_is_the_later_one(modified: int, named: int) -> None:
    when = arrived(f"{named}.M1.host", modified)
    assert when >= 0
    if named < 2**33:
        assert when >= named
    if modified < 2**63:
        assert when >= modified / 1e9


@pytest.mark.parametrize("rules", [TRASH, HIDE])
def test_deleted_messages_are_removed_when_they_were_kept_long_enough(maildir: Path, rules: MaildropRules) -> None:
    now = int(time.time())
    path = put(maildir, 500 * DAY, "S")
    session(maildir, rules, [1])

    def left(later: float, these: MaildropRules = rules) -> int:
        purge("ann", maildir, these, clock=lambda: now + later)
        return len(names(maildir)) + len(names(maildir, ".Trash"))

    assert left(6 * DAY) == 1
    assert left(-900 * DAY) == 1
    assert left(9 * DAY, REMOVE) == 1  # the trash of other programs is not ours
    assert left(9 * DAY, MaildropRules(on_delete=OnDelete(rules.on_delete.to, None))) == 1
    report = purge("ann", maildir, rules, clock=lambda: now + 8 * DAY)
    assert [(each.unique_id, each.reason) for each in report.purged] == [
        (path.name.partition(":")[0], "trash" if rules == TRASH else "hidden")
    ]
    assert left(8 * DAY) == 0


def test_a_purge_counts_for_the_quota(maildir: Path) -> None:
    rules = MaildropRules(Quota(octets=1000), Retain(unread=DAY))
    put(maildir, 2 * DAY)
    put(maildir, 0)
    assert opened(maildir, rules).close() is None
    purged(maildir, rules)
    assert (maildir / "maildirsize").read_text() == "1000S\n28 2\n-14 -1\n"


def test_a_maildrop_in_use_is_skipped(maildir: Path) -> None:
    put(maildir, 2 * DAY)
    lock = FolderLock(maildir)
    with pytest.raises(MaildropInUse, match="in use"):
        purged(maildir, MaildropRules(retain=Retain(unread=DAY)))
    with pytest.raises(MaildropInUse, match="in use"):
        undelete(maildir, TRASH)
    lock.release()
    assert len(names(maildir)) == 1


def test_nothing_more_is_removed_if_an_audit_line_cannot_be_written(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(maildir, 2 * DAY)
    put(maildir, 3 * DAY)
    monkeypatch.setattr(purging, "_BATCH", 1)

    def full(_: Purged) -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        purge("ann", maildir, MaildropRules(retain=Retain(unread=DAY)), audit=full, clock=lambda: NOW)
    assert len(names(maildir)) == 1


def test_the_id_of_what_was_purged_is_not_given_to_a_copy(maildir: Path) -> None:
    path = put(maildir, 2 * DAY)
    purged(maildir, MaildropRules(retain=Retain(unread=DAY)))
    path.write_bytes(b"a copy")
    [other] = session(maildir, REMOVE)
    assert other != path.name


# -------------------------------------------------------------------------------------------- undeleting


@pytest.mark.parametrize("quota", [Quota(), Quota(octets=1000), Quota(octets=1000, trash=True)])
@pytest.mark.parametrize("to", ["trash", "hide"])
@pytest.mark.parametrize("sessions", [0, 1])
def test_what_comes_back_has_the_id_that_it_had(maildir: Path, to: Any, quota: Quota, sessions: int) -> None:
    rules = MaildropRules(quota, on_delete=OnDelete(to))
    for age in (5, 4, 3):
        put(maildir, age, "S" if age == 4 else None)
    before = session(maildir, rules, [1, 2, 3])
    for _ in range(sessions):
        assert session(maildir, rules) == []
    assert undelete(maildir, rules, [before[1]]) == [before[1]]
    assert session(maildir, rules) == [before[1]]
    assert undelete(maildir, rules, ["none"]) == []
    assert sorted(undelete(maildir, rules)) == [before[0], before[2]]
    for _ in range(2):
        assert session(maildir, rules) == before
    assert undelete(maildir, rules) == []
    if quota.is_limited:
        lines = (maildir / "maildirsize").read_text().splitlines()[1:]
        assert sum(int(line.split()[0]) for line in lines) == 42


def test_what_has_its_id_in_use_stays_in_the_trash(maildir: Path) -> None:
    path = put(maildir, 5)
    [before] = session(maildir, TRASH, [1])
    session(maildir, TRASH)
    path.write_bytes(b"another program has put it back")
    assert undelete(maildir, TRASH) == []
    assert session(maildir, TRASH) == [before]
    assert len(names(maildir, ".Trash")) == 1


# ------------------------------------------------------------------------------------------------ EXPIRE


def test_expire_is_announced_only_while_the_job_runs(maildir: Path) -> None:
    now = 0.0
    purges: list[Exception | None] = [None]
    failed: list[Exception] = []

    def work() -> None:
        if (error := purges[0]) is not None:
            raise error

    job = PurgeJob(work, every=60, failed=failed.append, clock=lambda: now)
    rules = MaildropRules(retain=Retain(unread=30.5 * DAY, read=14 * DAY))
    short = {"bob": MaildropRules(retain=Retain(unread=3 * DAY)), "eve": MaildropRules()}
    store = RetainingStore({"ann": maildir}, rules, of_user=short, job=job)

    def expire(user: str | None) -> Expire | None:
        capabilities = store.capabilities(user)
        assert isinstance(capabilities, Capabilities)
        return capabilities.expire

    assert expire(None) is None
    job.beat()
    assert expire("ann") is None
    job.run_once()
    assert expire(None) == Expire(3, per_user=True)
    assert [expire(user) for user in ("ann", "bob", "eve")] == [Expire(14), Expire(3), None]
    now = 120
    assert expire("ann") is not None
    now = 121
    assert expire("ann") is None
    job.run_once()
    now = 200
    job.beat()
    now = 300
    assert expire("ann") is not None
    purges[0] = OSError(errno.EIO, "it fails")
    job.run_once()
    assert expire("ann") is None
    assert failed == [purges[0]]
    purges[0] = None
    job.run_once()
    store = RetainingStore({"ann": maildir}, rules, job=job)
    assert expire(None) == Expire(14)
    store = RetainingStore({"ann": maildir}, rules)
    assert expire(None) is None


@pytest.mark.parametrize("done", [False, PurgeReport("ann", failures=(OSError(errno.EACCES, "no"),))])
def test_a_purge_that_could_not_remove_all_is_no_purge(done: object) -> None:
    results = [None, done, PurgeReport("ann")]
    job = PurgeJob(lambda: results.pop(0), every=60)
    seen: list[bool] = []
    for _ in range(3):
        job.run_once()
        seen.append(job.runs)
    assert seen == [True, False, True]


def test_a_log_that_cannot_be_written_does_not_end_the_job() -> None:
    calls: list[Exception] = []

    def failing(error: Exception | None = None) -> None:
        calls.append(error or ValueError())
        raise calls[-1]

    job = PurgeJob(failing, every=60, failed=failing)
    job.run_once()
    assert len(calls) == 2
    with pytest.raises(ValueError, match="at most a year"):
        PurgeJob(failing, every=1e10)
    with pytest.raises(ValueError, match="at most a year"):
        Retain(every=1e10)


@pytest.mark.parametrize("use", ["session", "purge", "undelete"])
def test_what_is_counted_while_messages_go_or_come_is_counted_again(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    rules = MaildropRules(Quota(octets=1000), Retain(unread=DAY), OnDelete("trash"))
    quota = MaildirQuota(maildir, rules.quota)
    for age in (2 * DAY, 3 * DAY, 0):
        put(maildir, age)
    if use == "undelete":
        session(maildir, rules, [1])
    quota.recalculate()

    def recount(*_: object) -> None:
        quota.recalculate()

    module: Any = {"session": storing, "purge": purging, "undelete": undeleting}[use]
    monkeypatch.setattr(module, "sync_descriptor" if use == "undelete" else "retire", recount)
    match use:
        case "session":
            session(maildir, rules, [1])
        case "purge":
            assert len(purged(maildir, rules)) == 2
        case _:
            assert len(undelete(maildir, rules)) == 1
    assert quota.recorded() == quota.counted()


def test_a_job_that_was_stopped_does_not_run() -> None:
    stop = threading.Event()
    job = PurgeJob(stop.set, every=3600)
    job.run(stop)
    assert not job.runs
    with pytest.raises(ValueError, match="above 0"):
        PurgeJob(stop.set, every=0)


@pytest.mark.parametrize("wrong", [{"unread": 0}, {"read": -1}])
def test_a_duration_without_meaning_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Retain(**wrong)
    with pytest.raises(ValueError, match="above 0"):
        OnDelete(keep=0)
    with pytest.raises(ValueError, match="must be in"):
        OnDelete("burn")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------- over the wire


def test_a_client_is_told_of_the_quota_at_login_and_stat_has_numbers_only(maildir: Path) -> None:
    put(maildir, 5)
    job = PurgeJob(lambda: None, every=3600)
    job.run_once()
    rules = MaildropRules(Quota(octets=100), Retain(unread=30 * DAY), OnDelete("trash"))
    store = RetainingStore({"ann": maildir}, rules, job=job)
    service = Service(store=store, authenticator=MemoryAuthenticator({"ann": "x"}))
    with serve(service) as server, connect(*server.address, tls="none") as client:
        client.login("ann", "x")
        assert client.last_reply is not None
        assert client.last_reply.text == "maildrop has 1 message (17 octets); 14 % of 100 octets used"
        assert client.stat().count == 1
        assert client.last_reply.text == "1 17"
        assert client.capa().expire == Expire(30)
        client.fetch(1)
        client.dele(1)
    assert len(names(maildir, ".Trash")) == 1
    assert session(maildir, rules) == []
