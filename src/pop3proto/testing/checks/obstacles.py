"""Why a check cannot be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.procedures.cleartext import IN_CLEAR, may_show_password

from .check import Need

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.capabilities import Capabilities

    from .check import Check
    from .facts import Facts
    from .target import Target

__all__ = ["failure", "obstacle", "wording"]

_WORDING: Final = {
    Need.DELETING: "leave to delete messages: a test account",
    Need.DELIVERY: "a way to deliver messages",
    Need.SLOW: "leave to wait for minutes",
    Need.USER: "USER and PASS",
    Need.PLAIN: "SASL PLAIN",
    Need.CRAM_MD5: "SASL CRAM-MD5",
    Need.SCRAM: "SASL SCRAM",
    Need.UTF8_USER: "UTF8 USER",
}


def wording(need: Need) -> str:
    """Return what is needed, in words."""
    return _WORDING.get(need, need.value.upper())


_ANNOUNCED: Final[dict[Need, Callable[[Capabilities], object]]] = {
    Need.SASL: lambda known: known.sasl,
    Need.PLAIN: lambda known: "PLAIN" in known.sasl,
    Need.CRAM_MD5: lambda known: "CRAM-MD5" in known.sasl,
    Need.SCRAM: lambda known: {"SCRAM-SHA-1", "SCRAM-SHA-256"}.intersection(known.sasl),
    Need.PIPELINING: lambda known: known.pipelining,
    Need.RESP_CODES: lambda known: known.resp_codes,
    Need.AUTH_RESP_CODE: lambda known: known.auth_resp_code,
    Need.LOGIN_DELAY: lambda known: known.login_delay,
    Need.EXPIRE: lambda known: known.expire,
    Need.UTF8: lambda known: known.utf8,
    Need.UTF8_USER: lambda known: known.utf8_user,
    Need.LANG: lambda known: known.lang,
}


def failure(check: Check, target: Target, facts: Facts) -> str | None:
    """Return why a check has failed before it begins; None: it has not.

    What was asked for cannot be found out, and that must not look as if all were well.
    """
    if facts.trouble is not None and (check.state != "connection" or facts.silent):
        return f"it could not be found out: {facts.trouble}"
    if Need.LOGIN in check.needs and facts.login_trouble is not None and target.login is not None:
        return f"it could not be found out: {facts.login_trouble}"
    return None


def obstacle(check: Check, target: Target, facts: Facts) -> str | None:
    """Return why a check cannot be run; None: it can."""
    needs = sorted(check.needs, key=list(Need).index)
    known = facts.logged_in or facts.capabilities
    kept = known is None or known.expire is None or known.expire.days != 0
    if not kept and not target.may_delete and check.needs & {Need.MESSAGES, Need.DELIVERY}:
        return f"with EXPIRE 0 what was retrieved may be removed: it needs {wording(Need.DELETING)}"
    return next((why for need in needs if (why := _lack(need, target, facts)) is not None), None)


def _lack(need: Need, target: Target, facts: Facts) -> str | None:
    """Return why a need is not met; None: it is."""
    missing = f"it needs {wording(need)}"
    if need in {Need.UIDL, Need.TOP} and need.value in facts.doubts:
        return f"whether {need.name} works could not be found out: {facts.doubts[need.value]}"
    if need in _ANNOUNCED:
        return _unannounced(need, facts)
    match need:
        case Need.LOGIN:
            return facts.login_trouble
        case Need.PASSWORD:
            return _lack_of_password(target, facts)
        case Need.USER:  # a server without CAPA may have them; one that forbids them in clear does not announce them
            known = facts.capabilities
            return None if known is None or known.user else f"the server does not announce {wording(need)}"
        case Need.CAPA:
            there = facts.capabilities is not None or Need.CAPA.value in facts.doubts
            return None if there else "the server has no CAPA"
        case Need.STLS:
            offered = facts.in_clear is not None and facts.in_clear.stls
            why = "the server does not announce STLS" if target.tls == "starttls" else 'it needs tls="starttls"'
            return None if target.tls == "starttls" and offered else why
        case Need.NETWORK:
            return "the server is on this machine" if facts.loopback else None
        case Need.MESSAGES:
            empty = facts.count == 0 and target.deliver is None
            return "the maildrop has no messages" if empty else None
        case _:
            met = {
                Need.TLS: target.tls != "none",
                Need.DELETING: target.may_delete,
                Need.DELIVERY: target.deliver is not None,
                Need.SLOW: target.slow,
                Need.APOP: facts.timestamp is not None,
                Need.UIDL: facts.uidl,
                Need.TOP: facts.top,
            }
            return None if met[need] else missing


def _unannounced(need: Need, facts: Facts) -> str | None:
    known = facts.capabilities
    if known is None and Need.CAPA.value in facts.doubts:
        return f"what the server announces could not be found out: {facts.doubts[Need.CAPA.value]}"
    return None if known is not None and _ANNOUNCED[need](known) else f"the server does not announce {wording(need)}"


def _lack_of_password(target: Target, facts: Facts) -> str | None:
    if target.secret is None:
        return "it needs a user with a password"
    allowed = may_show_password(target.cleartext, tls=target.tls != "none", loopback=facts.loopback)
    return None if allowed else f"it would show the password, {IN_CLEAR}"
