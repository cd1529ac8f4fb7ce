"""What `set_debuglevel` prints: as `poplib` does, without the secrets that it prints, too."""

from __future__ import annotations

from typing import Final

__all__ = ["MASK", "LoginLine", "tell"]

MASK: Final = "***"


def tell(what: str, shown: object) -> None:
    """Print a line of the trace."""
    print(f"*{what}*", repr(shown))  # noqa: T201 - as poplib


class LoginLine:
    """A command line that logs in, or that goes on with that.

    Args:
        line: the line.
        going_on: AUTH is under way, so that the line is a response.

    Attributes:
        verb: AUTH, PASS or APOP; "" for any other line.
        shown: the line without its secret.
        secret: what must not be shown; "" if the line has none.
        challenged: the server has answered by a challenge, so that the next line is a response.
    """

    def __init__(self, line: str, *, going_on: bool = False) -> None:
        words = line.split(" ", 2)
        self.verb: str = "AUTH" if going_on else words[0].upper()
        self.shown: str = line
        self.secret: str = ""
        self.challenged: bool = False
        if going_on:
            self.shown, self.secret = MASK, line
        elif self.verb == "PASS":
            self.shown, self.secret = f"{words[0]} {MASK}", line[len("PASS ") :]
        elif self.verb in {"APOP", "AUTH"}:
            if len(words) > 2:  # noqa: PLR2004 - the verb, the user or mechanism, and this
                self.shown, self.secret = f"{words[0]} {words[1]} {MASK}", words[2]
        else:
            self.verb = ""
