"""The page about deviations says what the code does."""

import re
from pathlib import Path

import pytest

from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import PROFILES, SERVER_QUIRKS

from .clients import CLIENTS
from .servers import SERVERS

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs" / "deviations.md").read_text("utf-8")
# What takes procedures, time or two sessions has tests of its own.
CLIENT, SERVER = "procedures/client", "procedures/server"
ELSEWHERE = {
    "pipelining-broken": f"{CLIENT}/test_session.py::test_pipelining_that_is_announced_and_broken",
    "busy-words": "core/test_replies.py::test_words_are_a_guess_where_there_is_no_code",
    "idle-hang-up": f"{CLIENT}/test_keep_alive.py::test_a_server_that_hangs_up_meanwhile",
    "slow-body": f"{CLIENT}/test_commands.py::test_a_body_that_drips_is_given_up",
    "half-close": f"{SERVER}/test_loop.py::test_half_close_everything_is_answered",
    "deaf": "adapters/test_contract.py::test_a_client_that_never_reads",
    "same-user": f"{SERVER}/test_loop.py::test_the_maildrop_is_locked_until_the_session_ends",
    "end-of-body": f"{SERVER}/test_loop.py::test_a_large_message_goes_out_in_pieces_and_the_end_with_the_last_octets",
    "stls-octets": f"{SERVER}/test_tls.py::test_octets_behind_stls_however_it_is_cut",
    "apop-timestamp": (
        f"{SERVER}/test_login_handlers.py::test_a_timestamp_is_always_another_and_always_one_that_clients_know"
    ),
}


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading, by their names."""
    section = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.MULTILINE)
    ]
    assert rows[0] == ["row", "what comes", rows[0][2], "quirk", "profiles"]
    return {row[0]: row[1:] for row in rows[2:]}


OF_SERVERS, OF_CLIENTS = table("Servers, as a client meets them"), table("Clients, as a server meets them")


def test_each_row_has_a_transcript():
    assert {transcript.row for transcript in SERVERS} == OF_SERVERS.keys() - ELSEWHERE.keys()
    assert {transcript.row for transcript in CLIENTS} == OF_CLIENTS.keys() - ELSEWHERE.keys()
    assert ELSEWHERE.keys() <= OF_SERVERS.keys() | OF_CLIENTS.keys()


@pytest.mark.parametrize("test", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_row_without_a_transcript_has_a_test(test):
    file, _, name = test.partition("::")
    assert f"\ndef {name}(" in (TESTS / file).read_text("utf-8")


@pytest.mark.parametrize("rows, quirks", [(OF_SERVERS, set(Quirk)), (OF_CLIENTS, SERVER_QUIRKS)])
def test_each_quirk_has_its_row(rows, quirks):
    named = [quirk for _, _, quirk, _ in rows.values() if quirk]
    assert sorted(named) == sorted(f"`{quirk.name.lower()}`" for quirk in quirks)


@pytest.mark.parametrize("name, row", [*OF_SERVERS.items(), *OF_CLIENTS.items()])
def test_what_a_row_says(name, row):
    _, what_happens, quirk, profiles = row
    assert what_happens.startswith("strict: " if quirk else "*always*: ")
    within = [
        profile for profile, quirks in PROFILES.items() if quirk.strip("`") in {each.name.lower() for each in quirks}
    ]
    assert profiles == ", ".join(within)
    used = {met for each in (*SERVERS, *CLIENTS) if each.row == name for met in each.quirks}
    if quirk and name not in ELSEWHERE:
        assert quirk.strip("`") in {met.name.lower() for met in used}


def test_each_profile_is_named():
    assert all(f"`{profile}`" in PAGE for profile in PROFILES)
