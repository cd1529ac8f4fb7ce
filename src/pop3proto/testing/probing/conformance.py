"""Conformance checks within a probe: what failed becomes findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pop3proto.testing.checks import Check, Outcome

    from .findings import Findings

__all__ = ["add_outcomes", "severity_of"]


def severity_of(check: Check) -> Severity:
    """Return how bad it is that a check fails.

    What an RFC demands after login concerns the mail, and is broken; before login it is a warning, as is what an RFC
    recommends. What is good practice is a note.
    """
    match check.level.name:
        case "MUST":
            return Severity.BROKEN if check.state == "transaction" else Severity.WARNING
        case "SHOULD":
            return Severity.WARNING
        case _:
            return Severity.NOTE


def add_outcomes(outcomes: Iterable[Outcome], findings: Findings) -> dict[str, int]:
    """Note the checks that failed; return how many passed, failed and were skipped.

    Args:
        outcomes: of `run_checks`.
        findings: where.
    """
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for outcome in outcomes:
        counts[outcome.result] += 1
        if outcome.result == "failed":
            check = outcome.check
            text = f"{check.source} is not followed: {check.title}"
            findings.note(Finding(f"check.{check.id}", severity_of(check), text, "", outcome.why, findings.port))
    return counts
