"""Accounts as data: defaults, journals, policies, contradictions."""

import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pop3proto.core.limits import Quirk
from pop3proto.fetching.accounts import (
    Account,
    AccountError,
    Address,
    FromFile,
    MaxSize,
    SessionBounds,
    SocksProxy,
    ToFiles,
    ToMaildir,
    ToMbox,
    ToProgram,
    ToStdout,
)
from pop3proto.fetching.policy import Policy

MAILDIR = ToMaildir(Path("/mail"))
SECRET = FromFile(Path("/secret"))
CERTIFICATE = Path("/certificate")


def account(**settings):
    return Account.of_url("pops://ann@pop.example.org", **{"deliver": (MAILDIR,), **settings})


def test_a_url_says_where_it_is():
    one = Account.of_url("pop://ann%40example.org;AUTH=+APOP@[::1]:1110", deliver=(MAILDIR,))
    assert one.address == Address("starttls", "ann@example.org", "::1", 1110, "APOP")
    assert (one.key, one.server, str(one)) == (
        "ann%40example.org@::1:1110",
        "::1, port 1110",
        "ann@example.org on ::1",
    )
    with pytest.raises(AccountError, match="a password does not belong in a URL") as failed:
        Account.of_url("pops://ann:Marker@pop.example.org", deliver=(MAILDIR,))
    assert "Marker" not in str(failed.value)


def test_a_port_follows_tls():
    ports = {
        tls: Account(name="a", user="ann", host="h", tls=tls, deliver=(MAILDIR,)).port for tls in ("implicit", "none")
    }
    assert ports == {"implicit": 995, "none": 110}


def test_a_provider_stands_for_its_facts():
    one = Account(name="a", user="ann", provider="gmail", deliver=(MAILDIR,), every=60)
    assert (one.host, one.port, one.tls) == ("pop.gmail.com", 995, "implicit")
    assert one.quirks == {Quirk.NO_PIPELINING}
    assert one.policy.partial_from == 200
    assert one.interval == 600
    assert Account.of_url("pops://ann@pop.gmail.com", deliver=(MAILDIR,)).policy.partial_from, "by its host as well"
    assert Account.of_url("pops://ann@pop.gmail.com", deliver=(MAILDIR,), quirks=frozenset()).quirks == frozenset()
    assert account(every=60).interval == 60
    assert account().interval is None


@pytest.mark.parametrize(
    "target, journal",
    [
        (MAILDIR, "/mail/.pop3proto-fetched"),
        (ToMaildir(Path("/mail"), "Lists.python"), "/mail/.Lists.python/.pop3proto-fetched"),
        (ToMbox(Path("/spool/ann")), "/spool/.ann.pop3proto-fetched"),
        (ToFiles(Path("/eml")), "/eml/.pop3proto-fetched"),
    ],
)
def test_the_journal_is_where_the_mail_is(target, journal):
    assert account(deliver=(target,)).journal_path == Path(journal)
    assert account(deliver=(target,), journal=Path("/j")).journal_path == Path("/j")


@pytest.mark.parametrize("target", [ToProgram(("cat",)), ToStdout(True)])
def test_else_the_journal_is_in_the_folder_for_state(target, tmp_path):
    assert account(deliver=(target,), name="work").journal_path == tmp_path / "home/.local/state/pop3proto/fetched/work"
    by_url = account(deliver=(target,)).journal_path
    assert by_url.name == "ann@pop.example.org:995"


def test_its_policy_is_what_it_says():
    assert account().policy == Policy()
    assert account(delete=True).policy == Policy(delete_after=0)
    assert account(
        delete_after=86_400,
        when_gone=True,
        max_size=MaxSize(7, "headers"),
        headers_only=True,
        newest=3,
        since=datetime(2026, 1, 31, 12, tzinfo=UTC),
        session=SessionBounds(1, 2, 3),
        on_doubt="hold",
    ).policy == Policy(
        delete_after=86_400,
        when_gone=True,
        max_octets=7,
        too_large="headers",
        headers_only=True,
        newest=3,
        since=1_769_860_800,
        session_messages=1,
        session_octets=2,
        session_seconds=3,
        on_doubt="hold",
    )


def test_a_date_begins_at_midnight_here():
    since = account(since=date(2026, 7, 1)).policy.since
    assert since is not None
    assert time.localtime(since)[:6] == (2026, 7, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "settings, why",
    [
        ({"name": "a/b"}, "the name of an account"),
        ({"name": ".."}, "the name of an account"),
        ({"login": "DIGEST-MD5"}, "there is no login method 'DIGEST-MD5'"),
        ({"login": "XOAUTH2", "password": SECRET}, "XOAUTH2 takes a token"),
        ({"login": "PLAIN", "token": SECRET}, "PLAIN takes a password"),
        ({"login": "EXTERNAL"}, "EXTERNAL needs a client certificate: name its file by certificate"),
        ({"login": "EXTERNAL", "certificate": CERTIFICATE, "password": SECRET}, "needs no password: leave it out"),
        ({"login": "EXTERNAL", "certificate": CERTIFICATE, "token": SECRET}, "needs no token: leave it out"),
        ({"password": SECRET, "token": SECRET}, "password and token"),
        ({"password_encoding": "latin-77"}, "there is no encoding 'latin-77'"),
        ({"pin_only": True}, "pin_only needs a pin"),
        ({"certificate_key": Path("/k")}, "certificate_key needs certificate"),
        ({"proxy": SocksProxy("h", 1), "via": ("ssh",)}, "proxy and via"),
        ({"source_address": "::1", "via": ("ssh",)}, "source_address"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"deliver": ()}, "deliver is empty"),
        ({"deliver": (MAILDIR, MAILDIR)}, "several destinations are not supported yet"),
        ({"keep": True, "delete_after": 1}, "keep = true contradicts"),
        ({"keep": False}, "keep = false does not say when"),
        ({"delete": True, "delete_after": 1}, "delete and delete_after"),
        ({"when_gone": True, "deliver": (ToProgram(("cat",)),)}, "when_gone needs"),
        ({"newest": 0}, "newest must be above 0"),
    ],
)
def test_contradictions_are_refused(settings, why):
    with pytest.raises(AccountError, match=why):
        account(**settings)


def test_a_certificate_logs_in_where_there_is_no_secret():
    assert account(certificate=CERTIFICATE).way == "EXTERNAL"
    assert account(certificate=CERTIFICATE).address.way == "EXTERNAL"
    assert account(certificate=CERTIFICATE, login="EXTERNAL").way == "EXTERNAL"
    assert account(certificate=CERTIFICATE, password=SECRET).way is None
    assert account(certificate=CERTIFICATE, token=SECRET).way is None
    assert account(certificate=CERTIFICATE, login="PLAIN").way == "PLAIN"
    assert account().way is None


def test_all_contradictions_are_told_at_once():
    with pytest.raises(AccountError, match=r"pin_only needs a pin; .*newest must be above 0"):
        account(pin_only=True, newest=0)


@pytest.mark.parametrize("user, port", [("", 1), ("a\r\nb", 1), ("ann", 0), ("ann", 65_536)])
def test_an_impossible_user_or_port_is_refused(user, port):
    with pytest.raises(AccountError):
        Account(name="a", user=user, host="h", port=port, deliver=(MAILDIR,))


@pytest.mark.parametrize(
    "settings",
    [{"folder": ".Junk"}, {"folder": "a/b"}, {"folder": "a..b"}, {"flags": "SX"}, {"flags": "T"}, {"flags": "SS"}],
)
def test_a_folder_and_flags_must_be_possible(settings):
    with pytest.raises(AccountError):
        ToMaildir(Path("/mail"), **settings)


def test_a_proxy_does_not_show_its_password():
    proxy = SocksProxy.of_url("socks5://ann:M%40rker@[::1]:9050")
    assert proxy == SocksProxy("::1", 9050, "ann", "M@rker")
    assert "rker" not in f"{proxy!r}{proxy}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "socks5://",
        "socks5://h",
        "socks5://h:99999",
        "http://h:1",
        "socks5://Marker@h:1",
        "socks5://a:Marker@h:1/x",
        "socks5://[:1",
    ],
)
def test_what_is_no_proxy_is_refused(url):
    with pytest.raises(AccountError, match="a proxy is socks5://") as failed:
        SocksProxy.of_url(url)
    assert "Marker" not in str(failed.value)
