"""Checks of whether a POP3 server, any server, follows the RFCs.

    target = Target("pop.example.org", user="ann", password="...")
    for outcome in run_checks(target):
        print(outcome.result, outcome.check.id, outcome.why)

`pytest --pop3-server URL` runs them as tests. A check of your own is a `Check` with a script.
"""

from __future__ import annotations

from .check import Check, Level, Need, Script, Stage
from .conversation import Conversation
from .facts import Facts
from .run import Checker, Outcome, Result, run_checks
from .table import CHECKS
from .target import SessionInMemory, Target
from .verdicts import CheckFailed, CheckSkipped, ServerHungUp, expect, skip

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
    "Result",
    "Script",
    "ServerHungUp",
    "SessionInMemory",
    "Stage",
    "Target",
    "expect",
    "run_checks",
    "skip",
]
