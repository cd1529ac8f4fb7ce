"""`pop3proto fetch`: what its options and targets stand for, and what it says of those that it cannot take."""

import sys
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path

import attrs
import pytest

from pop3proto.cli import main
from pop3proto.cli.fetch_arguments import add_arguments, chosen_accounts, policy_of
from pop3proto.fetching.accounts.targets import ToFiles, ToMaildir, ToMbox, ToProgram, ToStdout
from pop3proto.fetching.policy import Policy
from pop3proto.maildrops import MemoryStore
from tests.helpers.cli_servers import MAIL, STORED, fetch_in_clear as fetch, name_of, password_file, serving, stored

URL = "pops://ann@pop.example.org"


def policy(*options: str, config: str = "") -> Policy:
    """The policy of these options; `config`: what the account says in the configuration file."""
    parser = ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args([*options, URL, "mail"])
    [account] = chosen_accounts(arguments)
    if config == "deletes":
        account = attrs.evolve(account, delete_after=86_400, when_gone=True, keep=False)
    return policy_of(account, arguments)


def local(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


# ------------------------------------------------------------------------------------------------ policies


@pytest.mark.parametrize(
    "options, changes",
    [
        ([], {}),
        (["--keep"], {}),
        (["--delete"], {"delete_after": 0}),
        (["--delete-after", "14d"], {"delete_after": 14 * 86_400}),
        (["--delete-after=0s"], {"delete_after": 0}),
        (["--when-gone"], {"when_gone": True}),
        (["--max-size", "20M"], {"max_octets": 20_000_000}),
        (["--max-size", "20M", "--headers-only"], {"max_octets": 20_000_000, "too_large": "headers"}),
        (["--headers-only"], {"headers_only": True}),
        (["--complete"], {"complete": True}),
        (["--newest", "7"], {"newest": 7}),
        (["--since", "2026-01-31"], {"since": local("2026-01-31")}),
        (["--since", "2026-01-31T12:00"], {"since": local("2026-01-31T12:00")}),
        (["--again"], {"again": True}),
        (["--message", "a", "--message", "b"], {"only": frozenset("ab"), "again": True}),
        (["--message", "a", "--complete"], {"only": frozenset("a"), "complete": True}),
        (["--on-doubt", "hold"], {"on_doubt": "hold"}),
        (["--session-messages", "9"], {"session_messages": 9}),
        (["--session-size", "1k"], {"session_octets": 1_000}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_option_changes_the_policy(options, changes):
    assert policy(*options) == Policy(**changes)


@pytest.mark.parametrize(
    "options, deletes",
    [
        ([], (86_400, True)),
        (["--keep"], (None, False)),
        (["--delete"], (0, True)),
        (["--delete-after", "2d"], (2 * 86_400, True)),
        (["--newest", "7"], (86_400, True)),
    ],
)
def test_options_replace_what_the_configuration_says(options, deletes):
    made = policy(*options, config="deletes")
    assert (made.delete_after, made.when_gone) == deletes


def test_some_messages_are_fetched_and_the_others_wait(target, capsys):
    """Each option once, on a server."""
    mail = [b"Subject: %d\n\n%s\n" % (number, b"x" * 10 * number) for number in range(1, 5)]
    store = MemoryStore({"ann": mail})
    with serving(store) as server:
        assert fetch(server, target, "--newest", "1") == 0
        assert stored(target) == [mail[3]]
        assert fetch(server, target, "--max-size", "45B") == 0
        assert stored(target) == sorted([*mail[:2], mail[3]])
        capsys.readouterr()
        assert fetch(server, target, "--headers-only") == 0
        assert capsys.readouterr().out == f"{name_of(server)}: 1 header fetched\n"
        assert b"Subject: 3\n" in b"".join(stored(target))
        assert mail[2] not in stored(target)
        assert fetch(server, target, "--complete", "--delete") == 0
        assert stored(target) == sorted(mail)
        assert store.messages("ann") == []


def test_a_message_is_fetched_again_by_its_unique_id(target):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
        [unique_id, *_] = [
            line.split()[1] for line in (target / ".pop3proto-fetched").read_text().splitlines() if " stored " in line
        ]
        assert fetch(server, target, "--message", unique_id) == 0
    assert len(stored(target)) == 4
    assert set(stored(target)) == set(STORED)


# ------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    "word, target",
    [
        ("mail", ToMaildir(Path("mail"))),
        ("a:b", ToMaildir(Path("a:b"))),
        ("./mbox:x", ToMaildir(Path("mbox:x"))),
        ("mbox:in box", ToMbox(Path("in box"))),
        ("files:/tmp/x", ToFiles(Path("/tmp/x"))),
        ("program:a 'b c' -d", ToProgram(("a", "b c", "-d"))),
        ("-", ToStdout(stdout=True)),
    ],
)
def test_targets(word, target):
    parser = ArgumentParser()
    add_arguments(parser)
    [account] = chosen_accounts(parser.parse_args([URL, word]))
    assert account.deliver == (target,)


def test_an_mbox(tmp_path):
    with serving(MemoryStore({"ann": MAIL[:1]})) as server:
        for _ in range(2):
            assert fetch_to(server, tmp_path, f"mbox:{tmp_path / 'inbox'}") == 0
    lines = (tmp_path / "inbox").read_text().splitlines()
    assert lines[0].startswith("From pop3proto-")
    assert lines[1:] == ["Subject: one", "", "1", ""]


def test_files(tmp_path):
    with serving(MemoryStore({"ann": MAIL})) as server:
        for _ in range(2):
            assert fetch_to(server, tmp_path, f"files:{tmp_path / 'folder'}") == 0
    files = sorted((tmp_path / "folder").glob("*.eml"))
    assert len(files) == 3


def test_a_program(tmp_path):
    program = f'{sys.executable} -c "import sys; open(sys.argv[1], chr(97)).write(sys.stdin.read())" {tmp_path / "got"}'
    with serving(MemoryStore({"ann": MAIL})) as server:
        for _ in range(2):
            status = fetch_to(server, tmp_path, f"program:{program}", "--journal", str(tmp_path / "journal"))
            assert status == 0
    got = (tmp_path / "got").read_bytes()
    assert sorted(got.count(each) for each in STORED) == [1, 1, 1]


def test_standard_output(tmp_path, capfdbinary):
    with serving(MemoryStore({"ann": MAIL[:1]})) as server:
        for _ in range(2):
            assert fetch_to(server, tmp_path, "-", "--journal", str(tmp_path / "journal")) == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"From pop3proto ")
    assert out.split(b"\n", 1)[1] == b"Subject: one\n\n1\n\n"
    assert err.decode() == f"{name_of(server)}: 1 message fetched (19 B)\n"


def fetch_to(server, folder: Path, target: str, *options: str) -> int:
    url, file = f"pop://ann@127.0.0.1:{server.address[1]}", password_file(folder)
    return main(["fetch", url, target, "--password-file", str(file), "--allow-cleartext", *options])


# ---------------------------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([URL], "with a URL, the command takes the URL and one TARGET"),
        ([URL, "mail", "more"], "with a URL, the command takes the URL and one TARGET"),
        (["work", URL], "with a URL, the command takes the URL and one TARGET"),
        ([URL, ""], "TARGET is empty"),
        ([URL, "mbox:"], "TARGET says mbox, and not which"),
        ([URL, "files:"], "TARGET says files, and not which"),
        ([URL, "program:"], "TARGET says program, and not which"),
        ([URL, "program:a 'b"], "TARGET: a 'b: No closing quotation"),
        ([URL, "mail", "--when-gone", "--keep"], "--when-gone deletes on the server, and --keep does not"),
        ([URL, "mbox:x", "--when-gone"], "ann@pop.example.org:995: --when-gone needs a Maildir, or files"),
        ([URL, "mail", "--config", "x"], "--config goes with accounts, not with a URL"),
        (["work", "--password-file", "x"], "--password-file goes with a URL; for accounts it is set in the"),
        (["work", "--token-file", "x"], "--token-file goes with a URL; for accounts it is set in the"),
        (["--password-encoding", "latin-1"], "--password-encoding goes with a URL; for accounts it is set in the"),
        (["work", "--ca-file", "x"], "--ca-file goes with a URL; for accounts it is set in the"),
        (["--allow-cleartext"], "--allow-cleartext goes with a URL; for accounts it is set in the"),
        (["--journal", "x"], "--journal goes with a URL; for accounts it is set in the"),
        (["--timeout", "3"], "--timeout goes with a URL; for accounts it is set in the"),
        (["--quirks", "bare_lf"], "--quirks goes with a URL; for accounts it is set in the"),
        ([URL, "mail", "--password-file", "x", "--daemon"], "ann@pop.example.org:995: how often? Use --every"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, told, capsys):
    assert main(["fetch", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"pop3proto fetch: {told}")


@pytest.mark.parametrize(
    "options, told",
    [
        (["--delete", "--keep"], "argument --keep: not allowed with argument --delete"),
        (["--delete", "--delete-after", "1d"], "argument --delete-after: not allowed with argument --delete"),
        (["-q", "-v"], "argument -v/--verbose: not allowed with argument -q/--quiet"),
        (["--delete-after", "soon"], "argument --delete-after: "),
        (["--max-size", "large"], "argument --max-size: "),
        (["--max-size", "0"], "argument --max-size: "),
        (["--session-size", "0"], "argument --session-size: "),
        (["--every", "0s"], "argument --every: a time above 0 is expected"),
        (["--since", "0001-01-01"], "argument --since: "),
        (["--every", "-1"], "argument --every: "),
        (["--session-size", ""], "argument --session-size: "),
        (["--newest", "0"], "argument --newest: a number above 0 is expected"),
        (["--session-messages", "x"], "argument --session-messages: a number above 0 is expected"),
        (["--jobs", "0"], "argument --jobs: a number above 0 is expected"),
        (["--since", "yesterday"], "argument --since: a date is expected, such as 2026-01-31"),
        (["--on-doubt", "cry"], "argument --on-doubt: invalid choice: 'cry'"),
        (["--log-format", "xml"], "argument --log-format: invalid choice: 'xml'"),
        (["--journal", ""], "argument --journal: the path is empty"),
    ],
)
def test_values_that_an_option_does_not_take(options, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", URL, "mail", *options])
    assert ended.value.code == 2
    assert f"pop3proto fetch: error: {told}" in capsys.readouterr().err
