"""Conformance checks within a probe: what failed becomes findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pop3proto.testing.checks import Check, Outcome

    from .findings import Findings

__all__ = ["GRAVE", "add_outcomes", "severity_of"]

GRAVE: Final = frozenset(
    {
        # Somebody is let in who may not log in.
        "apop-wrong-digest",
        "cram-md5-wrong-digest",
        "login-needed",
        "pass-without-user",
        "plain-another-identity",
        "plain-wrong-password",
        "scram-wrong-proof",
        "wrong-password-refused",
        # Mail is cut, or taken for other mail. Checks that need leave to delete are not run in a probe.
        "dots-are-doubled",
        "pipelined-in-order",
        "pipelined-retr",
        "retr-sends-message",
        "uidl-stable",
    }
)
"""The checks whose failure is broken; that of another MUST is a warning, as clients live with most of them."""


def severity_of(check: Check) -> Severity:
    """Return how bad it is that a check fails."""
    if check.id in GRAVE:
        return Severity.BROKEN
    return Severity.NOTE if check.level.name == "PRACTICE" else Severity.WARNING


def add_outcomes(outcomes: Iterable[Outcome], findings: Findings) -> dict[str, int]:
    """Note the checks that failed; return how many passed, failed and were skipped.

    Those that failed before they began, as nobody can log in, are counted, and not noted: one check is about that.

    Args:
        outcomes: of `run_checks`.
        findings: where.
    """
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for outcome in outcomes:
        counts[outcome.result] += 1
        if outcome.result == "failed" and (outcome.transcript or _is_first(outcome.check)):
            check = outcome.check
            text = f"Not so here: {check.title.removesuffix('.')} ({check.source})."
            findings.note(Finding(f"check.{check.id}", severity_of(check), text, "", outcome.why, findings.port))
    return counts


def _is_first(check: Check) -> bool:
    """Return whether nothing comes before a check but the connection."""
    return check.state == "connection" and "login" not in {need.value for need in check.needs}
