"""What the refusal of one login method says about the others: pure functions of what the server answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import MalformedReply
from pop3proto.core.replies import ResponseCode
from pop3proto.sasl.mechanism import Strength

if TYPE_CHECKING:
    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.refusals import LoginFailed
    from pop3proto.core.replies import Err

    from .login_plan import LoginMethod

__all__ = ["blames_the_form", "gave_up", "is_judgement", "settles"]

_PASSES: Final = (ResponseCode.IN_USE, ResponseCode.LOGIN_DELAY, ResponseCode.SYS_TEMP)
"""Response codes of refusals that do not depend on the login method (RFC 3206 section 4)."""

_FORM: Final = re.compile(
    r"\bsyntax\b|\bprotocol error\b|\b(?:line|command) (?:is )?too long\b"
    r"|\bcommand (?:is |was )?(?:not|invalid|illegal|unknown|unrecogni[sz]ed|unimplemented|malformed)\b"
    r"|\b(?:invalid|illegal|unknown|unrecogni[sz]ed|unimplemented|malformed|bad|unexpected|extra|too many|too few"
    r"|wrong number of)[ -](?:\w+ )?(?:command|argument|parameter)s?\b",
    re.IGNORECASE,
)
"""How servers complain of a command's form: Exchange "Protocol error", Courier "Invalid command", Dovecot "Unknown
command", Cyrus "Unexpected extra argument"."""


def blames_the_form(reply: Err) -> bool:
    """Return whether a refusal says in plain words that the server did not understand the line.

    Words differ by server and language, so a refusal without such words may mean that as well.
    """
    return reply.code is None and _FORM.search(reply.text) is not None


def gave_up(failure: LoginFailed) -> bool:
    """Return whether the client itself has ended the exchange: this server is not trusted any more."""
    # What the server gave as its reason, "e=..." of SCRAM for example, is a refusal like any other. A challenge that
    # is not base64 shows a broken server and nothing more: one that wants the next method need only refuse.
    cause = failure.__cause__
    return cause is not None and not isinstance(cause, MalformedReply) and not failure.attempts[-1].detail


def is_judgement(capabilities: Capabilities | None, failure: LoginFailed) -> bool:
    """Return whether the server has looked at the credentials, and refused these (RFC 3206 section 6)."""
    # The code means that only if the server has promised to use it.
    promised = capabilities is not None and capabilities.auth_resp_code
    return promised and failure.reply.has(ResponseCode.AUTH)


def settles(step: LoginMethod, failure: LoginFailed, *, judged: bool) -> bool:
    """Return whether no other login method would change a refusal.

    Args:
        step: what was refused.
        failure: the refusal.
        judged: the server has looked at the credentials, and refused them.
    """
    if any(failure.reply.has(code) for code in _PASSES):
        return True
    # When it refuses a token, a server says more within the exchange (RFC 7628 section 3.2.2).
    return step.strength is Strength.CLEAR and (judged or bool(failure.attempts[-1].detail))
