"""Checks of whether a POP3 server, any server, follows the RFCs.

    target = Target("pop.example.org", user="ann", password="...")
    for outcome in run_checks(target):
        print(outcome.result, outcome.check.id, outcome.why)

`pytest --pop3-server URL` runs them as tests. A check of your own is a `Check` with a script.
"""

from __future__ import annotations

from .check import Check, CheckFailed, CheckSkipped, Level, Need, expect, skip
from .conversation import Conversation
from .facts import Facts
from .run import Checker, Outcome, run_checks
from .table import CHECKS
from .target import SessionInMemory, Target

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailed",
    "CheckSkipped",
    "Checker",
    "Conversation",
    "Facts",
    "Level",
    "Need",
    "Outcome",
    "SessionInMemory",
    "Target",
    "expect",
    "run_checks",
    "skip",
]
