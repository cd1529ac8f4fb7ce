"""The maildrops of a site: Maildirs, each with the rules of its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.maildrops.folders import not_followed

from .retention.rules import MaildropRules
from .retention.store import RetainingStore

if TYPE_CHECKING:
    from pathlib import Path

    from pop3proto.core.capabilities import Capabilities

    from .retention.job import PurgeJob
    from .site import Site

__all__ = ["SiteStore"]


class SiteStore(RetainingStore):
    """The store of a site.

    Args:
        site: the users, and what each of them has.
        job: the job that removes what has expired; None: none runs, and EXPIRE is not announced.
    """

    def __init__(self, site: Site, job: PurgeJob | None) -> None:
        config = site.config
        rules = MaildropRules(config.quota, config.retain, config.on_delete)
        follow = config.maildrops.follow_links
        super().__init__(_SiteMaildirs(site, follow_links=follow), rules, job=job, follow_links=follow)
        self._site: Final = site

    @override
    def rules(self, user: str) -> MaildropRules:
        """Return what holds for a user. It may block."""
        return self._site.rules(user)

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        """Return EXPIRE, while the purge job runs: it is the same for all users."""
        return super().capabilities(None)


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
