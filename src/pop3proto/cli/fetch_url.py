"""The account of `pop3proto fetch` that a URL, a target and options stand for."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from .failures import USAGE, Failure

if TYPE_CHECKING:
    from argparse import Namespace

    from pop3proto.fetching.accounts.account import Account
    from pop3proto.fetching.accounts.origins import FromFile
    from pop3proto.fetching.accounts.targets import Target

__all__ = ["OPTIONS", "account_of_url"]

OPTIONS: Final = (
    "password_file",
    "token_file",
    "password_encoding",
    "ca_file",
    "certificate",
    "certificate_key",
    "journal",
    "timeout",
    "quirks",
)
"""Options that go with a URL; those of an account are in the configuration file."""

_NOT_YET: Final = ("imap", "imaps", "lmtp", "smtp", "smtps")


def account_of_url(words: list[str], arguments: Namespace) -> Account:
    """Return the account of a URL and a target.

    Args:
        words: these two.
        arguments: of the command.

    Raises:
        Failure: they are not valid, or do not go together.
    """
    if len(words) != 2 or "://" not in words[0]:  # noqa: PLR2004 - a URL and a target
        raise Failure("with a URL, the command takes the URL and one TARGET", USAGE)
    if arguments.config is not None:
        raise Failure("--config goes with accounts, not with a URL", USAGE)
    from pop3proto.fetching.accounts.account import Account, state_journal  # noqa: PLC0415 - slow to import
    from pop3proto.fetching.accounts.errors import AccountError  # noqa: PLC0415 - as above

    try:
        account = Account.of_url(words[0], **_settings(words[0], words[1], arguments))
        if account.journal is None and account.deliver[0].journal is None:
            # Another program is another destination, which has not been given what this one has.
            digest = hashlib.sha256("\0".join(words[1:]).encode("utf-8", "surrogateescape")).hexdigest()[:8]
            account = attrs.evolve(account, journal=state_journal(f"{account.key} {digest}"))
    except AccountError as error:
        raise Failure(str(error), USAGE) from error
    return account


def _settings(url: str, target: str, arguments: Namespace) -> dict[str, Any]:
    """Return what the arguments say of an account, beside its URL."""
    secrets: dict[str, FromFile] = {}
    for name in ("password", "token"):
        if (path := getattr(arguments, f"{name}_file")) is not None:
            secrets[name] = _from_file(path)
    if arguments.token_file is not None and arguments.password_encoding is not None:
        raise Failure("--password-encoding cannot be used with --token-file", USAGE)
    settings: dict[str, Any] = {
        "name": _name(url),
        "deliver": (_target(target),),
        "ca_file": arguments.ca_file,
        "certificate": arguments.certificate,
        "certificate_key": arguments.certificate_key,
        "journal": arguments.journal,
        "password_encoding": arguments.password_encoding,
        **secrets,
    }
    if arguments.allow_cleartext:
        settings["cleartext"] = "always"
    for name in ("timeout", "quirks"):
        if (value := getattr(arguments, name)) is not None:
            settings[name] = value
    return settings


def _name(url: str) -> str:
    """Return what the account of a URL is called: for people."""
    from pop3proto.fetching.accounts.url import Address  # noqa: PLC0415 - as above

    address = Address.of_url(url)
    name = f"{address.user}@{address.host}:{address.port}"
    return address.key if "/" in name or name.startswith(".") else name


def _from_file(path: Path) -> FromFile:
    from pop3proto.fetching.accounts.origins import FromFile  # noqa: PLC0415 - slow to import

    return FromFile(path)


def _target(word: str) -> Target:
    from pop3proto.fetching.accounts import targets  # noqa: PLC0415 - slow to import

    if word == "-":
        return targets.ToStdout(stdout=True)
    kind, colon, rest = word.partition(":")
    if colon and kind in _NOT_YET:
        raise Failure(f"TARGET cannot be {kind}: yet; for a Maildir of this name write ./{word}", USAGE)
    if not colon or kind not in {"maildir", "mbox", "files", "program"}:
        if not word:
            raise Failure("TARGET is empty", USAGE)
        return targets.ToMaildir(Path(word))
    if not rest:
        raise Failure(f"TARGET says {kind}, and not which", USAGE)
    if kind == "program":
        try:
            return targets.ToProgram(tuple(shlex.split(rest)))
        except ValueError as error:
            raise Failure(f"TARGET: {rest}: {error}", USAGE) from error
    path = Path(rest).expanduser()
    if kind == "maildir":
        return targets.ToMaildir(path)
    return targets.ToMbox(path) if kind == "mbox" else targets.ToFiles(path)
