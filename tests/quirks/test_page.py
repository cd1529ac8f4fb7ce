"""The page about deviations says what the code does."""

import re
from pathlib import Path

import pytest

from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import PROFILES, SERVER_QUIRKS

from .clients import CLIENTS
from .servers import SERVERS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "deviations.md").read_text("utf-8")
# What takes procedures and time has tests of its own.
ELSEWHERE = {"pipelining-broken", "slow-body"}


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
    assert {transcript.row for transcript in SERVERS} == OF_SERVERS.keys() - ELSEWHERE
    assert {transcript.row for transcript in CLIENTS} == OF_CLIENTS.keys()


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
