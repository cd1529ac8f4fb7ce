"""A site: its users, and where their maildrops are."""

import logging
import os
from pathlib import Path

import pytest
from attrs import evolve

from pop3proto.authenticators import UserEntry, UsersFile, set_password
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.serving import MaildropRules, OnDelete, Quota, Retain, Site, Template, UnknownUsers
from pop3proto.serving.config import FileUsers, Listen, Maildrops, ServeConfig, SocketAddress
from pop3proto.serving.purging import SitePurge


class Directory:
    def __init__(self, *entries):
        self._entries = {entry.name: entry for entry in entries}

    def find(self, user, /):
        return self._entries.get(user)

    def names(self):
        return tuple(self._entries)


def config(template):
    return ServeConfig(
        listen=(Listen(address=SocketAddress("127.0.0.1", 0)),),
        maildrops=Maildrops(maildir=Template.parse(template)),
        users=FileUsers(file=Path("/users")),
    )


def test_where_a_maildrop_is():
    site = Site(config("/mail/{domain}/{local}"), None)
    assert site.maildir("ann@a.org") == Path("/mail/a.org/ann")
    assert site.maildir("ann") is None
    assert site.maildir("../x@a.org") is None


def test_a_home_is_that_of_the_source():
    site = Site(config("{home}/Maildir"), Directory(UserEntry("ann", home=Path("/home/ann")), UserEntry("bob")))
    assert site.maildir("ann") == Path("/home/ann/Maildir")
    assert site.maildir("bob") is None
    assert site.maildir("eve") is None
    assert Site(config("{home}/Maildir"), None).maildir("ann") is None


def test_the_users_are_those_of_the_source():
    site = Site(config("/mail/{user}"), Directory(UserEntry("ann"), UserEntry("bob")))
    assert [*site.users()] == ["ann", "bob"]
    assert site.find("ann") == UserEntry("ann")
    assert site.find("eve") is None


@pytest.mark.parametrize(
    "template, folders, users",
    [
        ("{user}", ["ann", "[bob]", ".hidden", "a*"], ["[bob]", "a*", "ann"]),
        ("{user}/Maildir", ["ann/Maildir", "bob"], ["ann"]),
        ("{domain}/{local}", ["a.org/ann", "b.org/bob", ".x/eve"], ["ann@a.org", "bob@b.org"]),
        ("{domain}/{user}", ["a.org/ann@a.org", "b.org/ann@a.org", "b.org/bob"], ["ann@a.org"]),
    ],
)
def test_a_source_that_lists_no_users_has_those_with_a_maildrop(tmp_path, template, folders, users):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "file").touch()
    site = Site(config(f"{tmp_path}/{template}"), None)
    assert [*site.users()] == users
    assert site.find(users[0]) == UserEntry(users[0])
    with pytest.raises(UnknownUsers, match=r"nothing but a password .* nobody@x.org: there is no "):
        site.find("nobody@x.org")
    assert site.find("../x@x.org/y") is None


@pytest.mark.parametrize("template", ["{home}/Maildir", "/mail/{local}"])
def test_it_is_said_where_nothing_tells_the_users(template):
    with pytest.raises(UnknownUsers, match="the users cannot be listed"):
        Site(config(template), None).users()


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Site(config(f"{tmp_path}/none/{{user}}"), None).users()


def test_a_users_file_lists_its_users(tmp_path):
    file = tmp_path / "users"
    set_password(file, "bob", "x")
    set_password(file, "ann", "x")
    users = UsersFile(file)
    assert users.names() == ("bob", "ann")
    assert users.find("ann") == UserEntry("ann")
    assert users.find("eve") is None
    site = Site(evolve(config("/mail/{user}")), users)
    assert [*site.users()] == ["bob", "ann"]


def test_the_quota_of_the_source_comes_before_that_of_the_file():
    rules = MaildropRules(Quota(octets=10, messages=5, warn=0.5), Retain(read=60), OnDelete("hide"))
    given = evolve(config("/mail/{user}"), quota=rules.quota, retain=rules.retain, on_delete=rules.on_delete)
    site = Site(
        given, Directory(UserEntry("ann", quota_octets=99), UserEntry("bob", quota_messages=7), UserEntry("eve"))
    )
    assert site.rules("eve") == site.rules("none") == Site(given, None).rules("ann") == rules
    assert site.rules("ann") == evolve(rules, quota=Quota(octets=99, messages=5, warn=0.5))
    assert site.rules("bob") == evolve(rules, quota=Quota(octets=10, messages=7, warn=0.5))


def test_a_limit_of_0_is_none(tmp_path):
    class Table:
        def find(self, user):
            return UserEntry(user, quota_octets=0, quota_messages=7 if user == "ann" else None)

        def names(self):
            return ("ann",)

    site = Site(evolve(config(f"{tmp_path}/{{user}}"), quota=Quota(octets=5, messages=6)), Table())
    assert site.rules("ann").quota == Quota(messages=7)
    assert site.rules("bob").quota == Quota(messages=6)


def test_a_purge_of_a_site_that_leaves_something_is_no_purge(tmp_path, monkeypatch):
    for user in ("ann", "bob"):
        ensure_maildir(tmp_path / user)
        (tmp_path / user / "new/1.a.host").write_bytes(b"x")
    (tmp_path / "bob/new").chmod(0o700)
    site = Site(evolve(config(f"{tmp_path}/{{user}}"), retain=Retain(unread=1)), None)
    lines: list[str] = []
    monkeypatch.setattr(logging.getLogger("pop3proto.audit"), "info", lambda *words, **_: lines.append(words[1]))
    unlink, ann = os.unlink, (tmp_path / "ann/new").stat()

    def failing(path, **how):
        if path == "1.a.host" and how.get("dir_fd") and os.path.samestat(os.fstat(how["dir_fd"]), ann):
            raise PermissionError(13, "no")
        unlink(path, **how)

    monkeypatch.setattr(os, "unlink", failing)
    for name in ("ann", "bob"):
        os.utime(tmp_path / name / "new/1.a.host", (1, 1))
    purge = SitePurge(lambda: site, None, lambda: False, lambda: None)
    assert purge() is False
    assert not [*(tmp_path / "bob/new").iterdir()]
    monkeypatch.setattr(os, "unlink", unlink)
    assert purge() is True
    assert purge() is True
    assert lines == ["bob", "ann"]


def test_a_fault_with_one_maildrop_does_not_stop_the_purge_of_the_others(tmp_path, monkeypatch, caplog):
    for user in ("ann", "bob"):
        ensure_maildir(tmp_path / user)
        (tmp_path / user / "new/1.a.host").write_bytes(b"x")
        os.utime(tmp_path / user / "new/1.a.host", (1, 1))
    site = Site(evolve(config(f"{tmp_path}/{{user}}"), retain=Retain(unread=1)), None)
    true = Site.rules

    def rules(site, user):
        if user == "ann":
            raise OverflowError("Marker")
        return true(site, user)

    monkeypatch.setattr(Site, "rules", rules)
    assert SitePurge(lambda: site, None, lambda: False, lambda: None)() is False
    assert not [*(tmp_path / "bob/new").iterdir()]
    assert "the maildrop of ann cannot be purged, by a fault of this program" in caplog.text
