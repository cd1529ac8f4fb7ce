"""The maildrops of a site: Maildirs, each with the rules of its user."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.core.text import visible
from pop3proto.maildrops.folders import not_followed

from .quota.maildir_quota import MaildirQuota
from .retention.rules import MaildropRules
from .retention.store import RetainingStore

if TYPE_CHECKING:
    from pathlib import Path

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.maildrops.maildir import MaildirMaildrop

    from .metrics.figures import ServerMetrics
    from .retention.job import PurgeJob
    from .site import Site

__all__ = ["SiteStore", "quota_level"]

_log: Final = logging.getLogger("pop3proto.serving")


class SiteStore(RetainingStore):
    """The store of a site.

    How full a maildrop is goes to the log, from the warning level on, and to the metrics.

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
        level, words = quota_level(maildir, self.rules(user))
        if level != "ok":
            _log.warning("the maildrop of %s: %s", visible(user), words)
        if self._metrics is not None:
            self._metrics.opened(level)
        return maildrop


def quota_level(maildir: Path, rules: MaildropRules) -> tuple[str, str]:
    """Return how full a maildrop is: "ok", "warn" or "full"; and how much is used, in words.

    Args:
        maildir: the maildrop.
        rules: those of its user.
    """
    if not rules.quota.is_limited:
        return "ok", ""
    try:
        usage = MaildirQuota(maildir, rules.quota).usage()
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
