"""A file of users: laws of its text, how it is changed, who gets in by it, and what nobody learns from it."""

import errno
import hashlib
import logging
import os
import re
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings, strategies as st

from pop3proto._io import files
from pop3proto.authenticators import UsersFile, scrypt, user_table, users_file
from pop3proto.authenticators.scrypt import COST, ScryptCost, ScryptHash
from pop3proto.authenticators.user_table import MalformedRecord, MalformedUsers, UserRecord, UserTable, prepare_name
from pop3proto.authenticators.users_file import remove_user, set_password, users
from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.channel import SessionInfo
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.registry import SERVER_MECHANISMS
from pop3proto.sasl.saslprep import prepare
from pop3proto.sasl.scram.keys import ScramKeys
from tests.helpers.depth import deep
from tests.helpers.processes import PATIENCE, join

HERE = SessionInfo()
CHEAP = ScryptCost(ln=1, r=1, p=1)
HEADER = b"pop3proto-users 1 AAAAAAAAAAAAAAAAAAAAAA==\n"
# RFC 7914 section 12, the vector with r=8 and p=1.
PHC = (
    b"$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU"
    b"$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"
)


@pytest.fixture(autouse=True)
def cheap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost nothing, but where a test is marked to want real ones."""
    if "costly" not in request.fixturenames:
        monkeypatch.setattr(scrypt, "COST", CHEAP)
        monkeypatch.setattr(users_file, "COST", CHEAP)
        monkeypatch.setattr(user_table, "ITERATIONS", 1)


@pytest.fixture
def costly() -> None:
    """What real users have."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users"


def usable(name: str) -> bool:
    try:
        return bool(prepare_name(name))
    except (MechanismError, LocalProtocolError):
        return False


def preparable(password: str) -> bool:
    try:
        return bool(prepare(password, stored=True))
    except MechanismError:
        return False


# SASLprep changes some of them: ligatures, odd blanks, what shows nothing.
MOSTLY_LATIN = st.characters(min_codepoint=0x20, max_codepoint=0x21F, exclude_categories=["Cc"])
ODD = st.sampled_from("\ufb01\u3000\u00a0\u200b\u00ad\u00aa\u2168\u0301\u4e2d")
HEBREW = st.sampled_from("\u05d0\u05d1\u05d2")
texts = st.text(MOSTLY_LATIN | ODD, min_size=1, max_size=20) | st.text(HEBREW, min_size=1)
names = texts.filter(usable)
passwords = texts.filter(preparable)
records = st.builds(UserRecord.of, names, passwords)


# ------------------------------------------------------------------------------------------ laws of text


@given(records)
def test_a_line_is_read_as_it_was_written(record):
    line = record.encode()
    assert UserRecord.parse(line) == record
    assert line.isascii()
    assert not set(line) & set(b"\r\n\0\t")


@given(st.binary(max_size=200) | st.builds(lambda *parts: b" ".join(parts), st.just(b"ann"), st.binary(max_size=200)))
@example(b"%")
@example(b"ann")
@example(b"ann " + PHC + b" SCRAM-SHA-1$1:A===$A===:A===")
def test_any_line_is_a_user_or_none(line):
    assume(line.strip())
    try:
        record = UserRecord.parse(line)
    except MalformedRecord:
        return
    assert UserRecord.parse(record.encode()) == record


def damaged() -> st.SearchStrategy[bytes]:
    """Files of users in which something is other than it was."""
    whole = st.lists(records, max_size=3).map(lambda them: HEADER + b"".join(each.encode() + b"\n" for each in them))
    cut = st.tuples(whole, st.integers(0, 1_500), st.integers(0, 5), st.binary(max_size=5))
    return cut.map(lambda drawn: drawn[0][: drawn[1]] + drawn[3] + drawn[0][drawn[1] + drawn[2] :])


@given(st.binary(max_size=300) | damaged())
@example(b"\r\r\npop3proto-users 1 AAAAAAAAAAAAAAAAAAAAAA==")
@settings(max_examples=deep(300, 50))
def test_any_octets_are_a_table_or_malformed(octets):
    try:
        table = UserTable.parse(octets, "users")
    except MalformedUsers:
        return
    assert UserTable.parse(table.encode(), "users") == table


@given(
    st.lists(records, max_size=6),
    st.lists(st.sampled_from([b"", b"# a comment \xff", b"  ", b" # another"]), max_size=6),
    st.lists(st.integers(0, 20), max_size=4),
)
def test_what_others_wrote_stays(them, comments, removed):
    lines = [each.encode() for each in {record.name: record for record in them}.values()]
    mixed = comments[:3] + [HEADER.rstrip()] + [part for pair in zip(lines, comments, strict=False) for part in pair]
    mixed += lines[len(comments) :]
    table = UserTable.parse(b"".join(line + b"\n" for line in mixed), "users")
    assert table.encode() == b"".join(line + b"\n" for line in mixed)
    for at in removed:
        if not table.records:
            break
        gone = sorted(table.records)[at % len(table.records)]
        mixed.remove(table.records[gone].encode())
        table = table.without(gone)
        assert table == UserTable.parse(b"".join(line + b"\n" for line in mixed), "users")
    changed = UserRecord.of("new one", "secret")
    again = UserRecord.of("new one", "other")
    assert "new one" in table.with_record(changed).records
    assert table.with_record(changed).with_record(again) == table.with_record(again)
    assert table.with_record(changed).without("new one") == table


def test_files_that_people_edited():
    octets = b"# users\r\n\r\n \t\r\n" + HEADER.replace(b"\n", b"\r\n") + b"  a%6en\t" + PHC + b"  "
    table = UserTable.parse(octets, "users")
    assert list(table.records) == ["ann"]
    assert table.records["ann"].scram_keys == {}
    assert table.encode().splitlines()[0] == b"# users"


@pytest.mark.parametrize(
    "line, why",
    [
        (b"marker", "the second field is not a valid scrypt hash"),
        (b"marker $2b$12$marker", "the second field is not a valid scrypt hash"),
        (b"marker " + PHC.replace(b"ln=14", b"ln=30"), "too much memory"),
        (b"marker " + PHC.replace(b"ln=14", b"ln=0"), "not a valid scrypt hash"),
        (b"marker " + PHC.replace(b"ln=14,r=8", b"ln=16,r=1"), "not a valid scrypt hash"),  # N would be 2^(16 r)
        (b"marker " + PHC[:-1], "not a valid scrypt hash"),
        (b"marker " + PHC + b"=", "not a valid scrypt hash"),
        (b"marker%2 " + PHC, "the first field is not a valid user name"),
        (b"marker%ff " + PHC, "the first field is not a valid user name"),
        (b"marker\xff " + PHC, "the first field is not a valid user name"),
        (b"marker%00 " + PHC, "the first field is not a valid user name"),
        (b"%20marker " + PHC, "the first field is not a valid user name"),
        (b"marker%C2%AD " + PHC, "the first field is not a valid user name"),
        (b"marker" * 50 + b" " + PHC, "the first field is not a valid user name"),
        (b"marker " + PHC + b" marker", "a field after the scrypt hash does not hold valid SCRAM keys"),
        (b"marker " + PHC + b" SCRAM-SHA-1$1:marker=$AAAA:AAAA", "the salt for SCRAM-SHA-1 is not base64"),
        (b"marker " + PHC + b" SCRAM-SHA-1$1:" + b"AAAA" * 22 + b"$AAAA:AAAA", "the salt for SCRAM-SHA-1"),
        (b"marker " + PHC + b" SCRAM-SHA-256$1:AAAA$AAAA:AAAA", "the keys for SCRAM-SHA-256 are not base64 of 32"),
        (b"marker " + PHC + b" SCRAM-SHA-1$0:AAAA$AAAA:AAAA", "does not hold valid SCRAM keys"),
        (b"marker " + PHC + b" SCRAM-MD5$1:AAAA$AAAA:AAAA", "does not hold valid SCRAM keys"),
    ],
)
def test_lines_that_tell_of_no_user(line, why):
    with pytest.raises(MalformedUsers) as malformed:
        UserTable.parse(b"\n" + HEADER + line + b"\n", "users")
    assert str(malformed.value).startswith("users, line 3: ")
    assert why in str(malformed.value)
    assert "marker" not in str(malformed.value)
    # For example, no UnicodeDecodeError, which would hold the line.
    assert isinstance(malformed.value.__context__, MalformedRecord)
    assert malformed.value.__context__.__context__ is None


@pytest.mark.parametrize(
    "octets, why",
    [
        (b"", "it is empty"),
        (b"\n# nothing\n", "it is empty"),
        (b"ann " + PHC, "line 1: a users file must begin with"),
        (b"pop3proto-users 2 AAAA", "line 1: only version 1"),
        (b"pop3proto-users 1", "line 1: a users file must begin with"),
        (b"pop3proto-users 1 AAAA", "line 1: the third field is not base64 of at least"),
        (b"pop3proto-users 1 A", "line 1: the third field is not base64 of at least"),
        (HEADER + (b"ann " + PHC + b"\n") * 2, "line 3: the same user is already in line 2"),
        (HEADER + b"ann " + PHC + b"\n%61nn " + PHC, "line 3: the same user is already in line 2"),
    ],
)
def test_files_that_are_none_of_users(file, octets, why):
    file.write_bytes(octets)
    for read in (UsersFile, users):
        with pytest.raises(MalformedUsers) as malformed:
            read(file)
        assert str(malformed.value).startswith(str(file))
        assert why in str(malformed.value)


def test_two_fields_for_one_algorithm():
    line = UserRecord.of("ann", "secret").encode()
    with pytest.raises(MalformedRecord, match="two fields with SCRAM-SHA-512 keys"):
        UserRecord.parse(line + b" " + line.split()[-1])


def test_hashes_of_other_programs():
    parsed = ScryptHash.parse(PHC)
    assert parsed is not None
    assert parsed == ScryptHash(COST, b"SodiumChloride", parsed.digest)
    assert parsed.matches("pleaseletmein")
    assert not parsed.matches("pleaseletmein ")
    assert parsed.encode() == PHC


# ------------------------------------------------------------------------------------------------ logins


@given(user=names, password=passwords, guess=passwords, other=names)
@settings(max_examples=deep(50, 10))
def test_who_has_been_given_a_password_gets_in(tmp_path_factory, user, password, guess, other):
    file = tmp_path_factory.mktemp("users") / "users"
    assert set_password(file, user, password)
    authenticator = UsersFile(file)
    name, right = prepare(user, stored=False), prepare(password, stored=False)
    assert users(file) == (name,)
    assert authenticator.check_password(name, right, HERE)
    for algorithm in authenticator.scram_algorithms:
        keys = authenticator.scram_keys(name, algorithm, HERE)
        assert keys == ScramKeys.derive(algorithm, password, keys.salt, keys.iterations)
    assume(prepare(guess, stored=False) != right)
    assert not authenticator.check_password(name, prepare(guess, stored=False), HERE)
    assert not set_password(file, user, guess)
    assert authenticator.check_password(name, prepare(guess, stored=False), HERE)
    assert not authenticator.check_password(name, right, HERE)
    assume(prepare_name(other) != name)
    assert not authenticator.check_password(prepare_name(other), right, HERE)
    assert not remove_user(file, other)
    assert remove_user(file, user)
    assert users(file) == ()
    assert not authenticator.check_password(name, prepare(guess, stored=False), HERE)


def test_with_what_users_really_get(file, costly):
    set_password(file, "ann", "secret")
    record = UserTable.parse(file.read_bytes(), "users").records["ann"]
    assert record.scrypt.cost == ScryptCost(ln=14, r=8, p=1)
    assert {keys.iterations for keys in record.scram_keys.values()} == {15_000}
    authenticator = UsersFile(file)
    assert authenticator.check_password("ann", "secret", HERE)
    assert not authenticator.check_password("ann", "Secret", HERE)
    assert authenticator.blocks


def test_what_can_be_announced(file):
    set_password(file, "ann", "secret")
    authenticator = UsersFile(file)

    def announced() -> set[str]:
        return {name for name, entry in SERVER_MECHANISMS.items() if entry.suits(authenticator, HERE)}

    assert announced() == {"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"}
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*lines, b"bob " + b" ".join(lines[-1].split()[1:3])]))
    assert not authenticator.check_password("ann", "wrong", HERE)  # reads it again
    # Clients take the best that is announced, and bob would fail with it.
    assert announced() == {"PLAIN", "LOGIN", "SCRAM-SHA-1"}
    decoy = authenticator.scram_keys("bob", "SHA-256", HERE)
    assert decoy == authenticator.scram_keys("bob", "SHA-256", HERE)
    remove_user(file, "ann")
    remove_user(file, "bob")
    assert not authenticator.check_password("ann", "secret", HERE)
    assert "SCRAM-SHA-512" in announced()


def test_the_same_work_whether_or_not_there_is_such_a_user(file, monkeypatch):
    done: list[tuple[object, ...]] = []
    compute = hashlib.scrypt

    def counting(password, *, salt, n, r, p, maxmem, dklen):
        done.append((n, r, p, len(salt), dklen))
        return compute(password, salt=salt, n=n, r=r, p=p, maxmem=maxmem, dklen=dklen)

    for user in ("ann", "bob"):
        set_password(file, user, "secret")
    # What most have counts, not what new users get.
    monkeypatch.setattr(users_file, "COST", ScryptCost(ln=2, r=1, p=1))
    authenticator = UsersFile(file)
    monkeypatch.setattr(hashlib, "scrypt", counting)
    for user in ("ann", "nobody", "\udcff", ""):
        assert not authenticator.check_password(user, "guess", HERE)
    assert done == [done[0]] * 4


def test_names_cannot_be_probed_by_scram(file):
    set_password(file, "ann", "secret")
    authenticator = UsersFile(file)
    for algorithm in ("SHA-1", "SHA-256", "SHA-512"):
        real, decoy, other = (authenticator.scram_keys(user, algorithm, HERE) for user in ("ann", "bob", "eve"))
        assert decoy.salt != other.salt
        assert (len(decoy.salt), decoy.iterations) == (len(real.salt), real.iterations)
        assert (len(decoy.stored_key), len(decoy.server_key)) == (len(real.stored_key), len(real.server_key))
        set_password(file, "ann", "other")
        assert decoy == authenticator.scram_keys("bob", algorithm, HERE)
        assert decoy == UsersFile(file).scram_keys("bob", algorithm, HERE)


def test_it_is_read_again_only_if_it_changed(file, monkeypatch):
    set_password(file, "ann", "secret")
    authenticator = UsersFile(file)
    reads: list[Path] = []
    open_regular = files.open_regular
    monkeypatch.setattr(users_file, "open_regular", lambda path, **how: reads.append(path) or open_regular(path, **how))
    for _ in range(3):
        assert authenticator.check_password("ann", "secret", HERE)
    assert reads == []
    set_password(file, "ann", "other")
    for _ in range(3):
        assert authenticator.check_password("ann", "other", HERE)
    assert reads == [file]


def test_what_cannot_be_read_is_unavailable_until_it_can(file, caplog):
    set_password(file, "ann", "marker")
    octets = file.read_bytes()
    authenticator = UsersFile(file)
    secret_parts = octets.split()[-1].replace(b"$", b":").split(b":")[2:]
    for damage in (Path.unlink, lambda path: path.write_bytes(octets + b"x"), lambda path: path.write_bytes(b"")):
        damage(file)
        for ask in (
            lambda: authenticator.check_password("ann", "marker", HERE),
            lambda: authenticator.scram_keys("nobody", "SHA-256", HERE),
        ):
            with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable) as unavailable:
                ask()
            assert unavailable.value.reply.text == "[SYS/TEMP] logins cannot be checked now; try again later"
            assert str(file) in str(unavailable.value.__cause__)
            assert str(file) in caplog.text
        assert set(authenticator.scram_algorithms) == {"SHA-1", "SHA-256", "SHA-512"}
    assert "marker" not in caplog.text
    assert not any(part.decode() in caplog.text for part in secret_parts)
    file.write_bytes(octets)
    assert authenticator.check_password("ann", "marker", HERE)


@pytest.mark.parametrize("error", [ValueError("memory limit exceeded"), MemoryError()])
def test_a_hash_that_cannot_be_computed_is_unavailable(file, monkeypatch, error):
    set_password(file, "ann", "secret")
    authenticator = UsersFile(file)

    def fail(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr(hashlib, "scrypt", fail)
    with pytest.raises(Unavailable):
        authenticator.check_password("ann", "secret", HERE)


def test_many_threads_ask_while_it_changes(file):
    set_password(file, "ann", "secret")
    set_password(file, "bob", "first")
    authenticator = UsersFile(file)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(authenticator.check_password, "ann", "secret", HERE) for _ in range(50)]
        for at in range(10):
            set_password(file, "bob", f"password {at}")
        assert all(answer.result(PATIENCE) for answer in answers)
    assert authenticator.check_password("bob", "password 9", HERE)


def test_guesses_cannot_take_all_memory(file, monkeypatch):
    """Each computation takes 16 MiB, and a server with a thread for each session may have a thousand of them."""
    set_password(file, "ann", "secret")
    authenticator = UsersFile(file)
    counting, running, most = threading.Lock(), 0, 0

    def computed(password, **_):
        nonlocal running, most
        with counting:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with counting:
            running -= 1
        raise MemoryError

    monkeypatch.setattr(hashlib, "scrypt", computed)
    guesses = 5 * users_file._MAX_CONCURRENT
    with ThreadPoolExecutor(guesses) as pool:
        answers = [pool.submit(authenticator.check_password, "ann", "guess", HERE) for _ in range(guesses)]
        assert all(isinstance(answer.exception(), Unavailable) for answer in answers), "and each gives way to the next"
    assert 1 < most <= users_file._MAX_CONCURRENT


def test_secrets_are_not_printed(file):
    set_password(file, "ann", "marker")
    authenticator = UsersFile(file)
    record = UserTable.parse(file.read_bytes(), "users").records["ann"]
    texts = [repr(each) for each in (authenticator, authenticator._snapshot, authenticator._snapshot.table, record)]
    texts.append(repr(record.scrypt))
    secrets = [b"marker", record.scrypt.digest, authenticator._snapshot.table.decoy_secret]
    assert not any(repr(secret)[2:-1] in text for secret in secrets for text in texts)
    assert b"marker" not in file.read_bytes()


# ----------------------------------------------------------------------------------------------- changes


@pytest.mark.parametrize("name", ["", " ann", "ann ", "\u00ad", "a\nb", "a\0b", "\udcff", "x" * 256, "\u0221"])
def test_names_that_nobody_could_log_in_with(file, name):
    with pytest.raises((MechanismError, LocalProtocolError)):
        set_password(file, name, "secret")
    with pytest.raises((MechanismError, LocalProtocolError)):
        remove_user(file, name)
    assert not file.exists()


@pytest.mark.parametrize("password", ["", "\u00ad", "mar\tker", "mar\0ker", "marker\udcff", "marker\u0221"])
def test_passwords_that_nobody_could_log_in_with(file, password):
    with pytest.raises(MechanismError) as refused:
        set_password(file, "ann", password)
    assert "mar" not in str(refused.value)
    assert not file.exists()


def test_a_new_file_is_private_and_old_ones_stay_as_they_are(file):
    before = os.umask(0)
    try:
        set_password(file, "ann", "secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    set_password(file, "bob", "secret")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [entry.name for entry in file.parent.iterdir()] == ["users"]


def test_the_owner_stays(file, monkeypatch):
    set_password(file, "ann", "secret")
    given_to: list[tuple[int, int]] = []
    fstat = os.fstat

    def another_owner(descriptor: int) -> os.stat_result:
        result = fstat(descriptor)
        if result.st_ino != inode:
            return result
        return os.stat_result((*result[:4], 4711, 4712, *result[6:]))

    inode = file.stat().st_ino
    monkeypatch.setattr(files.os, "fstat", another_owner)
    monkeypatch.setattr(files.os, "fchown", lambda _, user, group: given_to.append((user, group)))
    set_password(file, "bob", "secret")
    assert given_to == [(4711, 4712)]


def test_a_link_stays_one(tmp_path, file):
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(file)
    assert set_password(link, "ann", "secret")
    assert link.is_symlink()
    assert users(file) == users(link) == ("ann",)
    assert not file.is_symlink()
    assert [entry.name for entry in link.parent.iterdir()] == ["link"]
    authenticator = UsersFile(link)
    set_password(file, "bob", "secret")
    assert authenticator.check_password("bob", "secret", HERE)


def test_what_is_no_file(tmp_path, file):
    with pytest.raises(IsADirectoryError):
        set_password(tmp_path, "ann", "secret")
    with pytest.raises(FileNotFoundError):
        set_password(tmp_path / "none" / "users", "ann", "secret")
    with pytest.raises(FileNotFoundError):
        remove_user(file, "ann")
    with pytest.raises(FileNotFoundError):
        UsersFile(file)
    os.mkfifo(file)
    for use in (UsersFile, lambda path: set_password(path, "ann", "secret")):
        with pytest.raises(OSError, match="not a regular file"):
            use(file)
    link = tmp_path / "loop"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        set_password(link, "ann", "secret")


def test_a_file_that_is_none_of_users_is_not_touched(file):
    file.write_bytes(b"mine\n")
    for change in (lambda: set_password(file, "ann", "secret"), lambda: remove_user(file, "ann")):
        with pytest.raises(MalformedUsers):
            change()
        assert file.read_bytes() == b"mine\n"


def test_nobody_to_remove_changes_nothing(file):
    set_password(file, "ann", "secret")
    octets = file.read_bytes()
    assert not remove_user(file, "bob")
    assert file.read_bytes() == octets


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_a_failure_leaves_the_old_file(file, monkeypatch, step):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    set_password(file, "ann", "secret")
    octets = file.read_bytes()
    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        set_password(file, "bob", "secret")
    assert file.read_bytes() == octets
    assert [entry.name for entry in file.parent.iterdir()] == ["users"]


def test_what_a_crash_left_is_in_nobodys_way(file):
    set_password(file, "ann", "secret")
    (file.parent / ".users.new").write_bytes(b"half")
    set_password(file, "bob", "secret")
    assert users(file) == ("ann", "bob")
    assert [entry.name for entry in file.parent.iterdir()] == ["users"]


def test_two_at_once_lose_nothing(file):
    names = [f"user {at}" for at in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda name: set_password(file, name, "secret"), names))
    assert sorted(users(file)) == sorted(names)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda name: remove_user(file, name), names))
    assert users(file) == ()


def test_who_waited_for_the_lock_changes_the_new_file(file):
    set_password(file, "ann", "secret")
    entered, waiting = threading.Event(), threading.Event()

    def slowly(octets: bytes) -> bytes:
        entered.set()
        waiting.wait(PATIENCE)
        return UserTable.parse(octets, "users").with_record(UserRecord.of("bob", "secret")).encode()

    def change() -> None:
        waiting.set()
        set_password(file, "eve", "secret")

    first = threading.Thread(target=files.rewrite, args=(file, slowly), daemon=True)
    first.start()
    assert entered.wait(PATIENCE)
    second = threading.Thread(target=change, daemon=True)
    second.start()
    join(first, second)
    assert users(file) == ("ann", "bob", "eve")


def test_a_file_that_is_gone_when_the_lock_is_had(file, monkeypatch):
    set_password(file, "ann", "secret")
    flock, locks = files.fcntl.flock, []

    def remove_once(opened, operation: int) -> None:
        flock(opened, operation)
        locks.append(operation)
        if len(locks) == 1:
            file.unlink()

    monkeypatch.setattr(files.fcntl, "flock", remove_once)
    assert set_password(file, "bob", "secret")
    assert users(file) == ("bob",)


def test_a_new_file_that_could_not_be_written_is_not_left_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        set_password(tmp_path / "users", "ann", "secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "number,is_error", [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.ENOSYS, False), (errno.EIO, True)]
)
def test_a_folder_that_cannot_be_synced_is_an_error_only_where_folders_can_be_synced(
    tmp_path, monkeypatch, number, is_error
):
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) if is_error else nullcontext():
        set_password(tmp_path / "users", "ann", "tanstaaf")
    if not is_error:
        assert users(tmp_path / "users") == ("ann",)


def test_a_file_system_without_locks_is_told_with_the_path_and_what_to_do(tmp_path, monkeypatch):
    def failing(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", failing)
    with pytest.raises(OSError, match="the file system has no lock for this file") as error:
        set_password(tmp_path / "users", "ann", "tanstaaf")
    assert error.value.errno == errno.ENOLCK
    assert error.value.filename == str(tmp_path / "users")
