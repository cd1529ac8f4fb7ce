"""What an account comes to, in words: without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto._config.units import show_octets, show_seconds

from .certificate_facts import CertificateFacts
from .url import EXTERNAL, takes_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .account import Account

__all__ = ["describe"]

_TLS: Final = {"implicit": "TLS at once", "starttls": "TLS by STLS", "none": "no TLS"}


def describe(account: Account) -> Iterator[str]:
    """Yield what an account comes to, a line each, as `key: value`. The client's certificate is read for that."""
    yield f"  server: {account.server}, {_TLS[account.tls]}"
    yield f"  user: {account.user}"
    yield f"  login: {_login(account)}"
    yield from (f"  {line}" for line in _connection(account))
    yield f"  into: {', '.join(map(str, account.deliver))}"
    yield f"  journal: {account.journal_path}"
    yield f"  deletes: {_deletion(account)}"
    yield from (f"  {line}" for line in _limits(account))
    yield f"  repeats: {_repetition(account)}"


def _login(account: Account) -> str:
    way = account.way or "the best method"
    if way == EXTERNAL:
        return f"{way}, by the client certificate"
    if account.token is not None:
        return f"{way}, token from {account.token}"
    if account.password is not None:
        return f"{way}, password from {account.password}"
    what = "token" if takes_token(account.login) else "password"
    return f"{way}, {what} typed on the terminal"


def _connection(account: Account) -> Iterator[str]:
    if account.cleartext == "always":
        yield "cleartext: the password may be sent without TLS"
    if account.pin:
        pins = "one pin" if len(account.pin) == 1 else f"{len(account.pin)} pins"
        yield f"certificate: {pins}" + (" in place of the usual verification" if account.pin_only else "")
    if account.ca_file is not None:
        yield f"authorities: those of the system, and of {account.ca_file}"
    if account.certificate is not None:
        facts = CertificateFacts.of(account.certificate)
        yield f"client certificate: {account.certificate}" + (f", {facts}" if facts is not None else "")
        if account.certificate_key is not None:
            yield f"its private key: {account.certificate_key}"
    if account.proxy is not None:
        yield f"proxy: {account.proxy}"
    if account.via:
        yield f"via: the program {account.via[0]}"
    if account.source_address is not None:
        yield f"from: {account.source_address}"
    if account.quirks:
        yield f"tolerated: {', '.join(sorted(quirk.name.lower() for quirk in account.quirks))}"


def _deletion(account: Account) -> str:
    ways = [
        "what is stored, at once" if account.delete else "",
        "" if account.delete_after is None else f"what was stored {show_seconds(account.delete_after)} ago",
        "what was stored and is no longer there" if account.when_gone else "",
    ]
    return "; ".join(filter(None, ways)) or "nothing"


def _limits(account: Account) -> Iterator[str]:
    if account.headers_only:
        yield "fetches: headers alone"
    if (size := account.max_size) is not None:
        what = "nothing" if size.then == "skip" else "the header"
        yield f"of messages over {show_octets(size.octets)}: {what}"
    if account.newest is not None:
        yield f"newest: {account.newest}"
    if account.since is not None:
        yield f"since: {account.since}"


def _repetition(account: Account) -> str:
    if account.every is None or account.interval is None:
        return "no"
    floor = f" (the provider allows no less; {show_seconds(account.every)} is asked for)"
    return f"every {show_seconds(account.interval)}{floor if account.interval > account.every else ''}"
