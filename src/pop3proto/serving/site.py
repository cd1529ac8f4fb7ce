"""A site: its users, and what each of them has: a maildrop, a quota, a time for which mail is kept."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.authenticators.directory import UserDirectory, UserEntry
from pop3proto.core.text import ascii_lower, visible
from pop3proto.serving.retention.rules import MaildropRules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.serving.config.main import ServeConfig
    from pop3proto.serving.template import Template

__all__ = ["Site", "UnknownUsers"]


class UnknownUsers(ValueError):
    """The users are not known: neither their source nor the template of their maildrops tells who they are."""


class Site:
    """What the configuration says of each user. Its methods may block: they ask the source of users.

        site = Site.of(read_config(Path("/etc/pop3proto/serve.toml")))
        maildirs = {user: site.maildir(user) for user in site.users()}

    Args:
        config: what the configuration file says.
        directory: the source of users; None: only a password tells whether a user exists.
    """

    def __init__(self, config: ServeConfig, directory: UserDirectory | None) -> None:
        self.config: Final[ServeConfig] = config
        self._directory: Final = directory

    @property
    def template(self) -> Template:
        """Where the maildrops are."""
        return self.config.maildrops.maildir

    @property
    def follow_links(self) -> bool:
        """Whether Maildirs, and folders in them, may be symbolic links."""
        return self.config.maildrops.follow_links

    def user_name(self, name: str) -> str:
        """Return the name of a user as their source has it, from what is written on a command line."""
        return ascii_lower(name) if self.config.lower_case_users else name

    def find(self, user: str) -> UserEntry | None:
        """Return a user; None if there is no such user.

        Where only a password tells whether a user exists, those exist that have a maildrop; others may exist.

        Raises:
            Unavailable: the source of users cannot be asked now.
            UnknownUsers: there is no source that could be asked, and no maildrop.
        """
        if self._directory is not None:
            return self._directory.find(user)
        path = self.template.path(user)
        if path is None:  # no user can have this name
            return None
        if not path.is_dir():
            what = f"{visible(user)}: there is no {visible(str(path))}"
            raise UnknownUsers(f"nothing but a password tells whether there is a user {what}")
        return UserEntry(user)

    def maildir(self, user: str) -> Path | None:
        """Return where the maildrop of a user is, whether or not it exists; None: the user has none.

        Raises:
            Unavailable: the source of users cannot be asked now.
        """
        if "home" not in self.template.fields:
            return self.template.path(user)
        entry = None if self._directory is None else self._directory.find(user)
        return None if entry is None else self.template.path(user, entry.home)

    def rules(self, user: str) -> MaildropRules:
        """Return what holds for the maildrop of a user: the quota of the users' source comes before that of the file.

        Raises:
            Unavailable: the source of users cannot be asked now.
        """
        rules = MaildropRules(self.config.quota, self.config.retain, self.config.on_delete)
        entry = None if self._directory is None else self._directory.find(user)
        if entry is None:
            return rules
        octets = _limit(entry.quota_octets, rules.quota.octets)
        messages = _limit(entry.quota_messages, rules.quota.messages)
        return attrs.evolve(rules, quota=attrs.evolve(rules.quota, octets=octets, messages=messages))

    def users(self) -> Sequence[str]:
        """Return the names of all users, or of those that have a maildrop.

        Raises:
            UnknownUsers: nothing tells who they are.
            Unavailable: the source of users cannot be asked now.
            OSError: the folder of the maildrops cannot be read.
        """
        return _with_maildrop(self.template) if self._directory is None else self._directory.names()


def _limit(of_user: int | None, of_all: int | None) -> int | None:
    """Return a limit: 0, or less, of a user is no limit, as in the tables of Dovecot."""
    if of_user is None:
        return of_all
    return of_user if of_user > 0 else None


def _with_maildrop(template: Template) -> Sequence[str]:
    """Return the users that have a maildrop, as the folders that the template names are called."""
    if "home" in template.fields or not ({"user"} <= template.fields or {"local", "domain"} <= template.fields):
        raise UnknownUsers(
            f"the users cannot be listed: their source does not list them, and {template} does not tell their names"
        )
    pattern = re.compile(_expression(template.text))
    os.scandir(template.root).close()  # raises what `glob` would hide
    wanted = re.sub(r"\{[a-z]+\}", "*", glob.escape(template.text).replace("[{]", "{"))
    found: list[str] = []
    for path in sorted(Path("/").glob(wanted.lstrip("/"))):
        match = pattern.fullmatch(str(path))
        if match is None or not path.is_dir():
            continue
        parts = match.groupdict()
        user = parts.get("user") or f"{parts['local']}@{parts['domain']}"
        if template.path(user) == path:
            found.append(user)
    return tuple(found)


def _expression(template: str) -> str:
    """Return a regular expression for the paths of a template."""
    known: set[str] = set()
    expression = ""
    for at, part in enumerate(re.split(r"\{([a-z]+)\}", template)):
        if at % 2 == 0:
            expression += re.escape(part)
        elif part in known:
            expression += f"(?P={part})"
        else:
            known.add(part)
            expression += f"(?P<{part}>[^/]+)"
    return expression
