"""Paths of maildrops: a template with `{user}`, `{local}`, `{domain}` and `{home}`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import attrs
from typing_extensions import override

from pop3proto._config.nearest import did_you_mean

__all__ = ["Template"]

_FIELDS: Final = ("user", "local", "domain", "home")
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_BEGINNING: Final = re.compile(r"/|\{home\}(/|$)")


@attrs.frozen
class Template:
    """The path of a maildrop, with fields that stand for parts of a user's name.

        Template.parse("/var/vmail/{domain}/{local}/Maildir").path("ann@example.org")

    A name can never lead out of the folder that the template names: what holds a slash or NUL, begins with a dot or is
    empty has no path.

    Args:
        text: the template.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Check a template.

        Raises:
            ValueError: a field does not exist, or stands where it cannot; or the path would depend on the current
                folder.
        """
        for name in _FIELD.findall(text):
            if name not in _FIELDS:
                raise ValueError(
                    f"{{{name}}} does not exist; there are {', '.join(f'{{{each}}}' for each in _FIELDS)}"
                    f"{did_you_mean(name, _FIELDS)}"
                )
        rest = _FIELD.sub("", text)
        if "{" in rest or "}" in rest:
            raise ValueError("a brace stands for nothing but a field, such as {user}")
        if "\0" in text or ".." in Path(text).parts:
            raise ValueError("a path of maildrops has no .. and no NUL")
        if not _BEGINNING.match(text) or "{home}" in text[1:]:
            raise ValueError("the path must begin with / or {home}/")
        if not {"user", "local", "home"} & {*_FIELD.findall(text)}:
            raise ValueError("all users would share one maildrop: {user}, {local} or {home} is missing")
        return cls(text)

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields that it has."""
        return frozenset(_FIELD.findall(self.text))

    @property
    def root(self) -> Path | None:
        """The folder in which all maildrops are; None: they are in home folders."""
        return None if self.text.startswith("{") else Path(self.text.partition("{")[0].rpartition("/")[0] or "/")

    def path(self, user: str, home: Path | None = None) -> Path | None:
        """Return the path for a user; None if there is none.

        Args:
            user: the name, with or without a domain behind the last "@".
            home: the home folder that the users' source names.
        """
        local, at, domain = user.rpartition("@")
        values = {"user": user, "local": local if at else user, "domain": domain if at else ""}
        needed = self.fields
        if any(not _is_plain(values[name]) for name in needed - {"home"}):
            return None
        if "home" in needed:
            if home is None or not home.is_absolute() or ".." in home.parts or "\0" in str(home):
                return None
            values["home"] = str(home).rstrip("/")
        return Path(_FIELD.sub(lambda field: values[field[1]], self.text))

    @override
    def __str__(self) -> str:
        return self.text


def _is_plain(value: str) -> bool:
    """Whether a value is one name of a file, and no hidden one."""
    try:
        octets = os.fsencode(value)
    except UnicodeEncodeError:  # no file can have this name
        return False
    return bool(octets) and not octets.startswith(b".") and b"/" not in octets and b"\0" not in octets
