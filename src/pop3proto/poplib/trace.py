"""What `set_debuglevel` prints: as `poplib` does, without the secrets that it prints, too."""

from __future__ import annotations

import binascii
import re
from typing import Final

__all__ = ["MASK", "MAY_LOG_IN", "LoginLine", "tell"]

MASK: Final = "***"

MAY_LOG_IN: Final = frozenset(
    first + second
    for verb in ("PASS", "APOP", "AUTH", "RPOP")
    for first in (verb[0], verb[0].lower())
    for second in (verb[1], verb[1].lower())
)
"""How a line that logs in begins."""

_STATUS: Final = re.compile(
    rb"(?:[+]OK|-ERR|[+])(?: +(?:\[(?:AUTH|IN-USE|LOGIN-DELAY|SYS(?:/(?:TEMP|PERM))?|UTF8)\])?|$)", re.IGNORECASE
)
"""What an answer says to programs: its status, and a response code of those that are registered."""
_FIELDS: Final = re.compile(rb"[\0\1]")  # of PLAIN (RFC 4616), OAUTHBEARER (RFC 7628)
_LEAST: Final = 4  # octets of a secret that is hidden within a word, too


def tell(what: str, shown: object) -> None:
    """Print a line of the trace."""
    print(f"*{what}*", repr(shown))  # noqa: T201 - as poplib


class LoginLine:
    """A command line that logs in, or that goes on with that.

    Args:
        line: the line.
        octets: as it is sent.
        ahead: how many answers to earlier commands are due before its own.
        before: the line of the same exchange to which the server has answered by a challenge.

    Attributes:
        logs_in: a positive answer to it means that a user is logged in.
        is_sasl: a challenge may come before that.
        shown: the line without its secret.
        secrets: what must not be shown of an answer.
        challenged: the server has answered by a challenge, so that the next line is a response.
    """

    def __init__(self, line: str, octets: bytes, *, ahead: int = 0, before: LoginLine | None = None) -> None:
        self.octets: Final = octets
        self.ahead: int = ahead
        self.challenged: bool = False
        self.shown: str = line
        self.is_sasl: bool = False
        verb, _, rest = line.partition(" ")
        secret: bytes = b""
        match "" if before else verb.upper():
            case "":
                self.shown, secret, self.is_sasl = MASK, octets, True
            case "PASS":
                self.shown, secret = f"{verb} {MASK}", octets[len("PASS ") :]
            case "APOP" | "AUTH" as name:
                self.is_sasl = name == "AUTH"
                user_or_mechanism, _, shown = rest.partition(" ")
                if shown:
                    self.shown = f"{verb} {user_or_mechanism} {MASK}"
                    secret = octets.split(b" ", 2)[-1]
            case _:
                pass
        # AUTH alone asks for the mechanisms (RFC 1734 knows it not; servers do).
        self.logs_in: bool = before is not None or (
            verb.upper() in {"PASS", "APOP", "AUTH", "RPOP"} and not (self.is_sasl and not rest.strip())
        )
        self.secrets: frozenset[bytes] = _forms(secret, encoded=self.is_sasl)
        if before is not None:
            self.secrets |= before.secrets

    def without_secrets(self, answer: bytes) -> bytes:
        """Return an answer for people to see. What it says to programs stays: status and response code."""
        if not self.secrets:
            return answer
        status = _STATUS.match(answer)
        begin = status.end() if status else 0
        text = answer[begin:]
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= _LEAST:
                text = text.replace(secret, MASK.encode())
            else:
                text = re.sub(rb"(?<!\w)" + re.escape(secret) + rb"(?!\w)", MASK.encode(), text)
        return answer[:begin] + text


def _forms(secret: bytes, *, encoded: bool) -> frozenset[bytes]:
    """Return in what forms a server may repeat a secret: as it was sent, and of a SASL message what is in it."""
    forms = {secret}
    if encoded:
        try:
            fields = [field for field in _FIELDS.split(binascii.a2b_base64(secret)) if field]
        except binascii.Error:
            fields = []
        plain = {*fields[-1:], *(field.rpartition(b" ")[2] for field in fields[-1:])}
        forms.update(form for form in plain if len(form) >= _LEAST)
    return frozenset(filter(None, forms))
