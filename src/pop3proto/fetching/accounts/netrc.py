"""Passwords in netrc files, as ftp, curl and others read them.

The standard library's `netrc` keeps one entry for each machine; here several users of one server may have theirs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["netrc_password"]

_WORD: Final = re.compile(r'(?P<end>\n)|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>\S+)', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_MACRO: Final = re.compile(r"^[ \t]*macdef\b.*?(?:\n[ \t\r]*(?:\n|\Z)|\Z)", re.DOTALL | re.MULTILINE)  # to a blank line


def netrc_password(text: str, host: str, user: str) -> str | None:
    """Return the password of a user of a machine.

    An entry without a login is for any user. `default` is for any machine, and counts last, wherever it stands.

    Args:
        text: of the file.
        host: the machine, in any case.
        user: its login.

    Returns:
        None if there is none.
    """
    found: str | None = None
    for machine, login, password in _entries(text):
        if password is None or login not in (None, user):
            continue
        if machine is None:
            found = found or password
        elif machine.lower() == host.lower():
            return password
    return found


def _entries(text: str) -> Iterator[tuple[str | None, str | None, str | None]]:
    """Yield machine (None: default), login and password of each entry."""
    words = _words(_MACRO.sub("\n", text))
    entry: dict[str, str | None] = {}
    for word in words:
        match word:
            case "machine" | "default":
                if entry:
                    yield entry["machine"], entry.get("login"), entry.get("password")
                entry = {"machine": _value(words) if word == "machine" else None}
            case "login" | "user" | "password" | "account" if entry:
                entry["login" if word == "user" else word] = _value(words)
            case str() if word.startswith("#"):  # a comment; a value may begin so
                while next(words, None) is not None:
                    pass
            case _:
                pass  # the end of a line, or nothing that is known
    if entry:
        yield entry["machine"], entry.get("login"), entry.get("password")


def _words(text: str) -> Iterator[str | None]:
    """Yield words, and None for the end of a line."""
    for match in _WORD.finditer(text):
        if match["end"]:
            yield None
        else:
            yield match["bare"] or _ESCAPE.sub(r"\1", match["quoted"])


def _value(words: Iterator[str | None]) -> str | None:
    return next((word for word in words if word is not None), None)
