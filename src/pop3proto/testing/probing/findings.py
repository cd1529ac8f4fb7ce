"""What a probe finds: findings, each with an id, how bad it is, what it says and what to do."""

from __future__ import annotations

import time
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import Pop3Error, TimedOut

from .catalogue import CATALOGUE
from .talk import OutOfStep

if TYPE_CHECKING:
    from collections.abc import Generator

    from .talk import Body, Talk

__all__ = ["Finding", "Findings", "Severity"]

_EXTRAS: Final = {"LANG", "UTF8"}
"""Commands that most clients never send."""


class Severity(IntEnum):
    """How bad a finding is. The value is the exit status that it causes."""

    NOTE = 0
    """Good to know; nothing is wrong."""
    WARNING = 1
    """It works, and somebody will have trouble with it."""
    BROKEN = 2
    """It does not work, or mail or passwords are at risk."""
    UNREACHABLE = 3
    """There was no connection, so nothing is known."""


@attrs.frozen
class Finding:
    """One thing that was found.

    Args:
        id: its name in `CATALOGUE`, or "check." and the id of a check.
        severity: how bad it is.
        text: what is the case, in a sentence.
        advice: what to do; "" if nothing is to be done.
        evidence: what shows it: octets of the dialogue, numbers.
        port: where; 0: on all ports.
    """

    id: str
    severity: Severity
    text: str
    advice: str = ""
    evidence: str = ""
    port: int = 0


class Findings:
    """Collects what is found at one port.

    Args:
        port: of all of them.

    Attributes:
        found: in the order in which they were found; each id once.
    """

    def __init__(self, port: int = 0) -> None:
        self.port: Final = port
        self.found: Final[list[Finding]] = []

    def add(
        self, name: str, text: str, *, evidence: str = "", severity: Severity | None = None, advice: str | None = None
    ) -> None:
        """Note a finding, unless it is known already.

        Args:
            name: its id, of `CATALOGUE`.
            text: what is the case.
            evidence: what shows it.
            severity: None: that of the catalogue.
            advice: None: that of the catalogue.
        """
        usual, remedy = CATALOGUE[name]
        self.note(
            Finding(
                name,
                Severity[usual] if severity is None else severity,
                text,
                remedy if advice is None else advice,
                evidence,
                self.port,
            )
        )

    @contextmanager
    def failing(self, what: str, talk: Talk | None = None) -> Generator[None]:
        """Note what fails in a block, and go on behind it.

        Args:
            what: is done in the block, as "at STLS".
            talk: the dialogue in it, if no client can do without that; None: it is an extra, and its failure a warning.
        """
        try:
            yield
        except OutOfStep as error:
            text = "Its answers are out of step with the commands, so not all was asked."
            self.add("out-of-step", text, evidence=str(error))
        except Pop3Error as error:
            if talk is None or talk.at is None or talk.at.split()[0] in _EXTRAS:
                self.add("failed", f"The connection failed {what}.", evidence=str(error))
            elif isinstance(error, TimedOut) and talk.cut_short(time.monotonic()):
                self.add("failed", f"The time was up before the answer to {talk.at} came.", evidence=str(error))
            else:
                self.breaks_off(talk.at, error)

    def check_end(self, body: Body, command: str) -> None:
        """Note if the answer to a command did not end.

        Raises:
            OutOfStep: it did not, so nothing more can be asked.
        """
        if body.ended in {"silence", "closed"}:
            self.add("no-terminator", f"The answer to {command} does not end: no line with a dot alone came.")
            raise OutOfStep(f"the answer to {command} did not end")

    def breaks_off(self, at: str, error: Pop3Error) -> None:
        """Note that the server fails where each client needs it.

        Args:
            at: a command, "the greeting" or "the login".
            error: how.
        """
        does = "does not answer" if isinstance(error, TimedOut) else "breaks the session off"
        self.add("breaks-off", f"At {at} the server {does}.", evidence=str(error))

    def note(self, finding: Finding) -> None:
        """Note a finding, unless one with its id is known already."""
        if not self.has(finding.id):
            self.found.append(finding)

    def has(self, name: str) -> bool:
        """Return whether it was found."""
        return any(each.id == name for each in self.found)
