"""The page about checks has the table of all checks. To write it again: `python -m tests.testing.test_checks_page`."""

import re
from pathlib import Path

from pop3proto.testing.checks import CHECKS, Check, Need

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
HEADING = "## All checks\n"
INTRODUCTION = """
What a check needs, beside a login after which it begins: without it the check is skipped.

| check | the rule | level | from | needs |
|---|---|---|---|---|
"""
_UNSAID = {Need.LOGIN}


def needs(check: Check) -> str:
    names = sorted(need.name.replace("_", "-") for need in check.needs - _UNSAID)
    return ", ".join(["login"] * (Need.LOGIN in check.needs) + names)


def table() -> str:
    rows = [
        f"| `{check.id}` | {check.title} | {check.level.value} | {check.source} | {needs(check)} |\n"
        for check in CHECKS
    ]
    return INTRODUCTION + "".join(rows)


def test_the_page_has_all_checks() -> None:
    assert PAGE.read_text("utf-8").split(HEADING)[1] == table()
    assert f"\n{len(CHECKS)} checks " in PAGE.read_text("utf-8")


def test_the_servers_that_deviate_do_so_in_checks_that_there_are() -> None:
    section = PAGE.read_text("utf-8").split("## What real servers do")[1].split(HEADING)[0]
    names = re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)
    assert len(names) > 20
    assert set(names) <= {check.id for check in CHECKS}
    assert len(names) == len(set(names))


if __name__ == "__main__":
    before = PAGE.read_text("utf-8").split(HEADING)[0]
    PAGE.write_text(before + HEADING + table(), "utf-8")
