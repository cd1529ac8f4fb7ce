"""Passwords in netrc files: as the standard library reads them, and several users of a machine."""

import netrc

import pytest
from hypothesis import given, strategies as st

from pop3proto.fetching.accounts.netrc import netrc_password

WORDS = st.text(st.sampled_from("abc012!$%&/()=?{}[]~+*'-_.:,;<>|^\\\"# "), min_size=1, max_size=8)


def quoted(word):
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4), st.data())
def test_it_reads_what_the_standard_library_reads(entries, data):
    machines = [f"host{number}.example.org" for number in range(len(entries))]
    breaks = st.sampled_from([" ", "\n", "\n\t", " \r\n"])
    text = "".join(
        "".join(
            f"{word}{data.draw(breaks)}"
            for word in ("machine", machine, "login", quoted(login), "password", quoted(password))
        )
        for machine, (login, password) in zip(machines, entries, strict=True)
    )
    file = netrc.netrc.__new__(netrc.netrc)
    file.hosts, file.macros = {}, {}
    import io

    file._parse("netrc", io.StringIO(text), False)
    for machine, (login, password) in zip(machines, entries, strict=True):
        assert file.authenticators(machine) == (login, "", password)
        assert netrc_password(text, machine, login) == password
        assert netrc_password(text, machine, f"{login}x") is None


def test_several_users_of_a_machine_have_each_their_own():
    text = "machine pop.example.org login ann password one\nmachine pop.example.org login bob password two\n"
    assert netrc_password(text, "pop.example.org", "ann") == "one"
    assert netrc_password(text, "POP.Example.org", "bob") == "two"
    assert netrc_password(text, "pop.example.org", "eve") is None
    assert netrc_password(text, "example.org", "ann") is None


@pytest.mark.parametrize(
    "text",
    [
        "default password any machine h login ann password right",
        "machine h password right",
        "machine h user ann account x password right",
        "machine other login ann password wrong\ndefault login ann password right",
        "# machine h login ann password wrong\nmachine h login ann # it is: login bob\n password right",
        "macdef init\nmachine h login ann password wrong\n\nmachine h login ann password right",
        "machine h\n  login ann\n  password right",
        "machine h login ann password right\nmachine h login",
        "port 995 machine h login ann password right",
    ],
)
def test_an_entry_is_found(text):
    assert netrc_password(text, "h", "ann") == "right"


@pytest.mark.parametrize(
    "text",
    ["", "machine h login ann", "machine h login bob password x", "macdef m\nmachine h login ann password x\n", "#"],
)
def test_there_is_none(text):
    assert netrc_password(text, "h", "ann") is None


def test_a_password_may_begin_as_a_comment_does():
    assert netrc_password("machine h login ann password #1", "h", "ann") == "#1"
