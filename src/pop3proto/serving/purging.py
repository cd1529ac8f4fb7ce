"""What the purge job of a server does: all maildrops of the site, one after the other."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from pop3proto.core.text import visible
from pop3proto.procedures.maildrop import Refused

from .log.audit import AUDIT
from .retention.purge import MaildropInUse, purge
from .site_store import quota_level

if TYPE_CHECKING:
    from collections.abc import Callable

    from .metrics.figures import ServerMetrics
    from .retention.purge import Purged, PurgeReport
    from .site import Site

__all__ = ["SitePurge", "note_purged"]

_log: Final = logging.getLogger("pop3proto.serving")
_audit: Final = logging.getLogger(AUDIT)


class SitePurge:
    """Removes what has expired in all maildrops of a site, and looks how full they are.

    A maildrop that is in use is left for the next time; one that cannot be read is logged, and the others go on.

    Args:
        site: returns the site, which a reload replaces.
        metrics: are told; None: there are none.
        stopped: returns whether to stop before the next maildrop.
        alive: is called after each maildrop.
    """

    def __init__(
        self,
        site: Callable[[], Site],
        metrics: ServerMetrics | None,
        stopped: Callable[[], bool],
        alive: Callable[[], object],
    ) -> None:
        self._site: Final = site
        self._metrics: Final = metrics
        self._stopped: Final = stopped
        self._alive: Final = alive

    def __call__(self) -> bool:
        """Purge once; return whether all that has expired is removed, except in maildrops that were in use.

        Raises:
            UnknownUsers, Refused, OSError: the users cannot be listed. Nothing was removed.
        """
        site = self._site()
        levels: Counter[str] = Counter()
        messages = octets = 0
        well = True
        for user in site.users():
            if self._stopped():
                return False
            try:
                done = self._purge(site, user)
            except (Refused, OSError) as error:
                well = False
                _log.error("the maildrop of %s cannot be purged: %s", visible(user), visible(str(error)))
            except Exception:  # noqa: BLE001 - one user must not stop the purge of the others
                well = False
                _log.exception("the maildrop of %s cannot be purged, by a fault of this program", visible(user))
            else:
                if done is not None:
                    report, level = done
                    messages += len(report.purged)
                    octets += sum(each.octets for each in report.purged)
                    well = well and not report.failures
                    levels[level] += 1
            self._alive()
        if messages:
            _log.info("the purge has removed %d messages, %d octets", messages, octets)
        if self._metrics is not None:
            self._metrics.purged(messages, octets, well=well)
            self._metrics.fill(ok=levels["ok"], warned=levels["warn"], full=levels["full"])
        return well

    def _purge(self, site: Site, user: str) -> tuple[PurgeReport, str] | None:
        """Purge one maildrop; return what was removed, and how full it is. None: there is none, or it is in use.

        Raises:
            Refused, OSError: it cannot be purged.
        """
        maildir, rules, follow = site.maildir(user), site.rules(user), site.follow_links
        if maildir is None or not maildir.is_dir():  # no mail has come yet
            return None
        try:
            report = purge(user, maildir, rules, audit=note_purged, follow_links=follow)
        except MaildropInUse:
            _log.info("the purge has left out the maildrop of %s: it is in use", visible(user))
            return None
        for failure in report.failures:
            _log.error("the purge of %s: not removed: %s", visible(user), visible(str(failure)))
        return report, quota_level(maildir, rules, follow_links=follow)[0]

    def failed(self, error: Exception) -> None:
        """Take note that the users could not be listed."""
        _log.error("the purge has failed: %s", visible(str(error)))
        if self._metrics is not None:
            self._metrics.purge_failed()


def note_purged(message: Purged) -> None:
    """Write the line of the audit for a message that was removed."""
    fields = {"event": "expired", "user": message.user, "unique_id": message.unique_id, "octets": message.octets}
    _audit.info(
        "expired: user=%s unique_id=%s octets=%d reason=%s",
        visible(message.user),
        message.unique_id,
        message.octets,
        message.reason,
        extra={"pop3proto": {**fields, "reason": message.reason}},
    )
