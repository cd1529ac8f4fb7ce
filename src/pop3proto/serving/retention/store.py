"""Maildirs with rules: a quota, a time for which mail is kept, and what becomes of what is deleted."""

from __future__ import annotations

import errno
import logging
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.capabilities import Capabilities, Expire
from pop3proto.core.text import visible
from pop3proto.maildrops.disposal import UNLINKING
from pop3proto.maildrops.files import Removed
from pop3proto.maildrops.holding import NotFolder
from pop3proto.maildrops.ids import retire
from pop3proto.maildrops.maildir import MaildirMaildrop, MaildirStore
from pop3proto.maildrops.names import is_trashed
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Usage

from .disposal import hiding, trashing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pop3proto.maildrops.disposal import Disposal
    from pop3proto.maildrops.listing import MessageFile
    from pop3proto.maildrops.maildir import Maildirs

    from .job import PurgeJob
    from .rules import MaildropRules

__all__ = ["RetainingStore"]

_log: Final = logging.getLogger("pop3proto")


class RetainingStore(MaildirStore):
    """A `MaildirStore` whose maildrops have rules.

    What the user deletes is removed, moved to `.Trash`, or hidden, as the rules say. Messages flagged T are never
    listed. Messages that were retrieved are flagged S at QUIT, which `Message.retrieved` tells later sessions. The
    unique ids of other messages stay as they are. The answer to the login tells how much of a quota is used. EXPIRE is
    announced as long as the purge job runs: before login the lowest value of all rules, after login that of the user.

    Args:
        maildirs: the Maildir of each user, as for `MaildirStore`.
        rules: those of users that `of_user` does not name.
        of_user: rules of single users.
        job: the job that removes expired messages; None: none runs.
        follow_links: as for `MaildirStore`.
    """

    def __init__(
        self,
        maildirs: Maildirs,
        rules: MaildropRules,
        *,
        of_user: Mapping[str, MaildropRules] | None = None,
        job: PurgeJob | None = None,
        follow_links: bool = False,
    ) -> None:
        super().__init__(maildirs, follow_links=follow_links)
        self._rules = rules
        self._of_user = of_user or {}
        self._job = job

    def rules(self, user: str) -> MaildropRules:
        """Return what holds for a user."""
        return self._of_user.get(user, self._rules)

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        """Return EXPIRE, while the purge job runs."""
        if self._job is None or not self._job.runs:
            return Capabilities()
        if user is not None:
            return _expire(self.rules(user).retain.days, per_user=False)
        days = {rules.retain.days for rules in (self._rules, *self._of_user.values())}
        known = [each for each in days if each is not None]
        return _expire(min(known, default=None), per_user=len(days) > 1)

    @override
    def _open_maildrop(self, maildir: Path, user: str) -> MaildirMaildrop:
        return _RetainingMaildrop(maildir, self.rules(user), follow_links=self._follow_links)


def _expire(days: int | None, *, per_user: bool) -> Capabilities:
    return Capabilities() if days is None else Capabilities(expire=Expire(days, per_user))


class _RetainingMaildrop(MaildirMaildrop):
    def __init__(self, maildir: Path, rules: MaildropRules, *, follow_links: bool) -> None:
        self._rules = rules
        super().__init__(maildir, follow_links=follow_links)
        self._quota = MaildirQuota(maildir, rules.quota, follow_links=follow_links)
        self.notice = ""
        if rules.quota.is_limited:
            with suppress(OSError):  # the mail can still be read
                self.notice = rules.quota.describe(self._quota.usage())

    @override
    def _shown(self, listed: Iterable[MessageFile]) -> list[MessageFile]:
        return [file for file in listed if not is_trashed(file.name)]

    @override
    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        try:
            super().commit(deleted, retrieved)
        finally:
            self._mark_seen(sorted(number - 1 for number in retrieved - deleted))

    def _mark_seen(self, indices: Sequence[int]) -> None:
        try:
            self._files.mark_seen(index for index in indices if not self._messages[index].retrieved)
        except OSError as error:  # they count as unread, and are kept as such
            _log.warning("retrieved messages of %s cannot be flagged: %s", visible(str(self._maildir)), error.strerror)

    @override
    def _remove(self, indices: Sequence[int]) -> Removed:
        to = self._rules.on_delete.to
        with self._quota.following():
            try:
                with self._disposal() as disposal:
                    removed = self._files.remove(indices, disposal)
            except NotFolder as error:
                return Removed(failures=[OSError(errno.ENOTDIR, str(error))])
            except OSError as error:
                return Removed(failures=[error])
            if removed.indices and to != "hide":
                with suppress(OSError):
                    retire(self._maildir, [self._messages[index].unique_id for index in removed.indices])
            if to == "remove" or not self._rules.quota.trash:
                self._quota.add(-Usage(removed.octets, removed.files))
        return removed

    def _disposal(self) -> AbstractContextManager[Disposal]:
        match self._rules.on_delete.to:
            case "remove":
                return nullcontext(UNLINKING)
            case "hide":
                return hiding(self._folders)
            case "trash":
                return trashing(self._maildir, follow_links=self._folders.follow_links)
