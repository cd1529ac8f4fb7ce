"""The maildrops of a site: Maildirs, each with the rules of its user."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.core.text import visible
from pop3proto.maildrops.folders import not_followed
from pop3proto.maildrops.memory import MemoryStore

from .quota.maildir_quota import MaildirQuota
from .retention.rules import MaildropRules
from .retention.store import RetainingStore

if TYPE_CHECKING:
    from pathlib import Path

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.maildrops.maildir import MaildirMaildrop
    from pop3proto.procedures.maildrop import Maildrop
    from pop3proto.sasl.channel import SessionInfo

    from .metrics.figures import ServerMetrics
    from .retention.job import PurgeJob
    from .site import Site

__all__ = ["SiteStore", "quota_level"]

_log: Final = logging.getLogger("pop3proto.serving")


class SiteStore(RetainingStore):
    """The store of a site.

    A user without a Maildir has an empty maildrop, if other users have theirs. How full a maildrop is goes to the log,
    from the warning level on, and to the metrics.

    Args:
        site: the users, and what each of them has.
        job: the job that removes what has expired; None: none runs, and EXPIRE is not announced.
        metrics: are told of each login; None: there are none.
    """

    def __init__(self, site: Site, job: PurgeJob | None, metrics: ServerMetrics | None = None) -> None:
        config = site.config
        rules = MaildropRules(config.quota, config.retain, config.on_delete)
        follow = config.maildrops.follow_links
        super().__init__(_SiteMaildirs(site, follow_links=follow), rules, job=job, follow_links=follow)
        self._site: Final = site
        self._metrics: Final = metrics

    @override
    def open(self, user: str, session: SessionInfo) -> Maildrop:
        """Open a user's maildrop. That of a user to whom no mail has come yet, and who has no Maildir, is empty."""
        path = self._site.maildir(user)
        if path is not None and not os.path.lexists(path) and self._has_maildrops(path):
            return MemoryStore().open(user, session)
        return super().open(user, session)

    def _has_maildrops(self, path: Path) -> bool:
        """Return whether there are maildrops where one is missing. If not, the disk may not be mounted.

        An empty maildrop would make clients forget which messages they have fetched.
        """
        root = self._site.template.root
        try:
            with os.scandir(path.parent if root is None else root) as entries:
                return root is None or next(entries, None) is not None
        except OSError:
            return False

    @override
    def rules(self, user: str) -> MaildropRules:
        """Return what holds for a user. It may block."""
        return self._site.rules(user)

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        """Return EXPIRE, while the purge job runs: it is the same for all users."""
        return super().capabilities(None)

    @override
    def _open_maildrop(self, maildir: Path, user: str) -> MaildirMaildrop:
        maildrop = super()._open_maildrop(maildir, user)
        level, words = quota_level(maildir, self.rules(user), follow_links=self._follow_links)
        if level != "ok":
            _log.warning("the maildrop of %s: %s", visible(user), words)
        if self._metrics is not None:
            self._metrics.opened(level)
        return maildrop


def quota_level(maildir: Path, rules: MaildropRules, *, follow_links: bool) -> tuple[str, str]:
    """Return how full a maildrop is: "ok", "warn" or "full"; and how much is used, in words.

    Args:
        maildir: the maildrop.
        rules: those of its user.
        follow_links: whether its folders may be symbolic links.
    """
    if not rules.quota.is_limited:
        return "ok", ""
    try:
        usage = MaildirQuota(maildir, rules.quota, follow_links=follow_links).usage()
    except OSError:  # this does not keep the user from reading mail
        return "ok", ""
    level = "full" if rules.quota.is_full(usage) else "warn" if rules.quota.warns(usage) else "ok"
    return level, rules.quota.describe(usage)


@attrs.frozen
class _SiteMaildirs:
    """Finds the Maildir of a user."""

    site: Site
    follow_links: bool

    def get(self, user: str, /) -> Path | None:
        """Return the path of a user's Maildir; None if the user has none.

        Raises:
            OSError: it is a symbolic link, and these are not followed.
        """
        path = self.site.maildir(user)
        if path is not None and not self.follow_links and path.is_symlink():
            raise not_followed(path)
        return path
