"""Users in a database of SQLite."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pop3proto.authenticators import SqliteUsers, UserEntry
from pop3proto.authenticators.schemes import PasswordHash
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.channel import SessionInfo

HERE = SessionInfo()
QUERY = "SELECT password, home, quota AS quota_octets, 7 AS quota_messages FROM users WHERE name = :user"


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "mail #1?.db"
    run(
        path,
        "CREATE TABLE users (name, password, home, quota)",
        "INSERT INTO users VALUES ('ann', '{PLAIN}tanstaaf', '/home/ann', 1000)",
        "INSERT INTO users VALUES ('bob@example.org', '{PLAIN}tanstaaf', NULL, NULL)",
        "INSERT INTO users VALUES ('bad', '{CRAM-MD5}x', NULL, 'x')",
        "INSERT INTO users VALUES ('none', NULL, NULL, NULL)",
        "INSERT INTO users VALUES (char(1), NULL, NULL, NULL)",
    )
    return path


def run(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_user_of_the_database(database):
    users = SqliteUsers(database, QUERY, listing="SELECT name FROM users")
    assert users.blocks
    for name in ("ann", "bob@example.org"):
        assert users.check_password(name, "tanstaaf", HERE)
        assert not users.check_password(name, "tanstaa", HERE)
    for name in ("nobody", "none", "ann' OR 1=1 --"):
        assert not users.check_password(name, "tanstaaf", HERE)
    assert users.find("ann") == UserEntry("ann", home=Path("/home/ann"), quota_octets=1000, quota_messages=7)
    assert users.find("bob@example.org") == UserEntry("bob@example.org", quota_messages=7)
    assert users.find("nobody") is None
    assert users.names() == ("ann", "bob@example.org", "bad", "none")


@pytest.mark.parametrize("query", ["DELETE FROM users WHERE name = :user RETURNING password", "DROP TABLE users"])
def test_the_database_is_only_read(database, query):
    """Also by a query that would change it."""
    with pytest.raises((Unavailable, ValueError)):
        SqliteUsers(database, query).check_password("ann", "tanstaaf", HERE)
    assert SqliteUsers(database, QUERY).check_password("ann", "tanstaaf", HERE)


def test_the_parts_of_a_name_are_parameters(database):
    query = "SELECT '{PLAIN}' || :local || ' ' || :domain AS password"
    users = SqliteUsers(database, query)
    assert users.check_password("bob@example.org", "bob example.org", HERE)
    assert users.check_password("ann", "ann ", HERE)


def test_a_change_counts_from_the_next_login(database):
    users = SqliteUsers(database, QUERY)
    run(database, "UPDATE users SET password = '{PLAIN}new'")
    assert users.check_password("ann", "new", HERE)


@pytest.mark.parametrize(
    "query, listing, why",
    [
        ("SELECT pasword FROM users", None, "no such column: pasword"),
        ("SELECT name FROM users", None, "the query has no column password; it has name"),
        ("SELECT password FROM users WHERE name = :usr", None, "usr"),
        ("DELETE FROM users", None, "readonly|returns no rows"),
        ("SELECT password FROM users; DROP TABLE users", None, "one statement"),
        (QUERY, "SELECT x FROM y", "no such table"),
        ("SELECT password FROM users", None, "does not ask for a user: it has neither :user nor :local"),
        ("SELECT password FROM users WHERE name = ':user'", None, "does not ask for a user"),
        ("SELECT password FROM users WHERE name LIKE '%@' || :domain", None, "does not ask for a user"),
    ],
)
def test_a_query_that_cannot_work_is_refused_at_once(database, query, listing, why):
    with pytest.raises(ValueError, match=rf"mail #1\?\.db: .*({why})"):
        SqliteUsers(database, query, listing=listing)


def test_without_a_database_there_is_none_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        SqliteUsers(tmp_path / "none.db", QUERY)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda path: path.unlink(), "unable to open database file"),
        (lambda path: path.write_bytes(b"x" * 4096), "not a database"),
        (lambda path: run(path, "DROP TABLE users"), "no such table"),
        (
            lambda path: run(path, "INSERT INTO users VALUES ('ann', '{PLAIN}x', NULL, NULL)"),
            "several rows for one user",
        ),
    ],
)
def test_what_cannot_be_asked_is_no_wrong_password(database, caplog, change, why):
    users = SqliteUsers(database, QUERY)
    change(database)
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        users.check_password("ann", "Marker", HERE)
    assert why in caplog.text
    assert "Marker" not in caplog.text
    with pytest.raises(Unavailable):
        users.find("ann")


def test_a_row_that_cannot_be_used_is_told(database, caplog):
    users = SqliteUsers(database, QUERY)
    with caplog.at_level(logging.ERROR, "pop3proto"):
        assert not users.check_password("bad", "x", HERE)  # as of a user who is not there
    assert "the scheme CRAM-MD5 is not supported" in caplog.text
    with pytest.raises(Unavailable):
        users.find("bad")
    with pytest.raises(Unavailable, match="can be listed only by a query of their own"):
        users.names()


@pytest.mark.parametrize(
    "stored, limit",
    [
        ("0", 0),
        ("NULL", None),
        ("5", 5),
        ("'12'", 12),
        ("1" + "0" * 30, "whole number"),  # a real number for SQLite
        ("'1" + "0" * 30 + "'", 10**17),
        ("-5", "whole number"),
        ("1.5", "whole number"),
        ("1e999", "whole number"),
        ("'12k'", "whole number"),
        ("x'ff'", "whole number"),
    ],
)
def test_a_quota_is_a_whole_number(database, caplog, stored, limit):
    run(database, f"UPDATE users SET quota = {stored}")
    users = SqliteUsers(database, QUERY)
    if not isinstance(limit, str):
        assert users.find("ann").quota_octets == limit
        return
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        users.find("ann")
    assert "the row of a user: quota_octets is not a whole number of 0 or more" in caplog.text


def test_a_query_that_takes_too_long_is_given_up(database, caplog):
    users = SqliteUsers(database, QUERY, timeout=0.05)
    run(database, "ALTER TABLE users RENAME TO people")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(i), 1, 1, '' FROM n"
    run(database, f"CREATE VIEW users (password, home, quota, name) AS {endless}")
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        users.check_password("ann", "x", HERE)
    assert "interrupted" in caplog.text


def test_the_password_of_an_unknown_user_is_compared_with_a_hash_like_the_others(database, monkeypatch):
    compared = []
    true = PasswordHash.matches
    monkeypatch.setattr(
        PasswordHash, "matches", lambda hashed, password: compared.append(hashed.scheme) or true(hashed, password)
    )
    users = SqliteUsers(database, QUERY)
    assert not users.check_password("nobody", "x", HERE)
    assert not users.check_password("ann", "x", HERE)
    assert not users.check_password("nobody", "x", HERE)
    assert compared == ["SHA512-CRYPT", "PLAIN", "PLAIN"]
    # One user with another scheme does not change it.
    run(database, "INSERT INTO users VALUES ('old', '{SHA}pXBcXz5p8hJdvaXqWQGTwUG2fhM=', NULL, NULL)")
    del compared[:]
    for name in ("ann", "old", "nobody", "bad", "none"):
        users.check_password(name, "x", HERE)
    assert compared == ["PLAIN", "SHA", "PLAIN", "PLAIN", "PLAIN"]
