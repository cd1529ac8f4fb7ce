"""Which program a server is, by its greeting and what CAPA says; and what is known of it."""

from __future__ import annotations

import re
from typing import Final

import attrs

__all__ = ["Implementation", "implementation_of"]


@attrs.frozen
class Implementation:
    """A program that serves POP3.

    Args:
        name: what it is called.
        known: what is known of it, in a sentence; "" if there is nothing to warn of.
        profile: the set of quirks for it, a name of `PROFILES`; None if it needs none.
    """

    name: str
    known: str = ""
    profile: str | None = None


_KNOWN: Final = tuple(
    (re.compile(pattern), implementation)
    for pattern, implementation in (
        (
            r"\bGpop ready",
            Implementation(
                "Gmail",
                "It lists the oldest few hundred messages; what was fetched is gone from POP3 after QUIT, unless the "
                "user name begins with recent:.",
                "gmail",
            ),
        ),
        (
            r"Microsoft Exchange POP3 service is ready",
            Implementation(
                "Microsoft Exchange", "As Microsoft 365 it takes no passwords, only OAuth tokens.", "exchange"
            ),
        ),
        (
            r"Microsoft Exchange",
            Implementation("Microsoft Exchange", "LIST may have other sizes than RETR sends.", "exchange"),
        ),
        (
            r"\bDovecot\b",
            Implementation("Dovecot", "Of a message without a last line end, LIST has two octets less than RETR."),
        ),
        (
            r"\bCourier\b|Hello there\.",
            Implementation("Courier", "Its unique ids were file names for a long time.", "courier"),
        ),
        (r"\bMaillennium\b", Implementation("Maillennium", "TOP may cut messages: use RETR.")),
        (r"\bCyrus\b", Implementation("Cyrus")),
        (r"(?i)\bqpop", Implementation("Qpopper")),
        (r"\bmailutils\b", Implementation("GNU mailutils")),
        (r"\bSolid POP3\b", Implementation("Solid POP3", "It has no CAPA.")),
        (r"\bTwisted\b", Implementation("Twisted")),
        (r"\bWildDuck\b", Implementation("WildDuck")),
        (r"\bhMailServer\b", Implementation("hMailServer")),
        (r"\bZimbra\b", Implementation("Zimbra")),
        (r"\bJAMES\b", Implementation("Apache James")),
        (r"\bMailEnable\b", Implementation("MailEnable")),
        (r"\bKerio\b", Implementation("Kerio Connect")),
        (r"\bMDaemon\b", Implementation("MDaemon")),
        (r"\bStalwart\b", Implementation("Stalwart")),
        (r"\bpop3proto\b", Implementation("pop3proto")),
    )
)


def implementation_of(greeting: str, announced: str | None) -> Implementation | None:
    """Return which program a server is; None if it does not say so, and is not known.

    Args:
        greeting: its first line.
        announced: what follows IMPLEMENTATION in the answer to CAPA.
    """
    for text in filter(None, (announced, greeting)):
        for pattern, implementation in _KNOWN:
            if pattern.search(text):
                return implementation
    return Implementation(announced) if announced else None
