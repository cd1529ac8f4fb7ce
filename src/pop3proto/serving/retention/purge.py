"""Removing what has expired: old messages, and deleted ones that were kept long enough."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs
from typing_extensions import override

from pop3proto.core.errors import Pop3Error
from pop3proto.maildrops.disposal import Disposal
from pop3proto.maildrops.files import MessageFiles
from pop3proto.maildrops.folders import clean_tmp
from pop3proto.maildrops.holding import held, held_inside
from pop3proto.maildrops.ids import GivenIds, IdRecord, retire
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.names import is_seen, is_trashed, stored_size
from pop3proto.serving.quota.counting import TRASH
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Usage

from .times import arrived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pop3proto.core.results import UniqueId
    from pop3proto.maildrops.folders import HeldFolders, MessageFolders
    from pop3proto.maildrops.listing import MessageFile

    from .rules import MaildropRules

__all__ = ["MaildropInUse", "PurgeReport", "Purged", "purge"]

_BILLION: Final = 10**9
_BATCH: Final = 64  # messages that are removed before their lines are written


class MaildropInUse(Pop3Error):
    """A session, or another command, holds the lock of the maildrop: try again later."""


@attrs.frozen
class Purged:
    """A message that is removed.

    Args:
        user: whose it is.
        unique_id: its unique id.
        octets: size of its file.
        arrived: when it arrived, in seconds.
        reason: what was kept long enough: a message that was never retrieved, or was retrieved; or a deleted one in the
            trash, or hidden.
    """

    user: str
    unique_id: UniqueId
    octets: int
    arrived: float
    reason: Literal["unread", "read", "trash", "hidden"]


@attrs.frozen
class PurgeReport:
    """What a purge did with one maildrop, or would do.

    Args:
        user: whose it is.
        purged: the messages that were removed, or would be.
        failures: why some of them may still be there.
    """

    user: str
    purged: tuple[Purged, ...] = ()
    failures: tuple[OSError, ...] = ()


def purge(  # noqa: PLR0913 - what it is about, and how it is done, each by its name
    user: str,
    maildir: Path,
    rules: MaildropRules,
    *,
    audit: Callable[[Purged], object] | None = None,
    dry_run: bool = False,
    follow_links: bool = False,
    clock: Callable[[], float] = time.time,
) -> PurgeReport:
    """Remove what has expired in a maildrop, under its lock.

    A message is removed when it is older than the rules say, by the later of the times of its name and of its file. If
    the clock is set back, mail is kept longer, never shorter. One that another program flags otherwise meanwhile, so
    that it has not expired any more, is kept.

    Args:
        user: whose it is.
        maildir: the Maildir.
        rules: what holds for it.
        audit: is called with each message after it was removed; if it raises, nothing more is removed.
        dry_run: nothing is removed, and nothing is written.
        follow_links: whether the Maildir, and folders in it, may be symbolic links.
        clock: returns the time of day, in seconds.

    Raises:
        MaildropInUse: the lock is held; nothing was removed.
        OSError: the maildrop cannot be read; nothing was removed.
    """
    with held(maildir, follow_links=follow_links) as folders:
        with folders.open():
            pass
        try:
            lock = FolderLock(maildir, make=not dry_run)
        except BlockingIOError as error:
            raise MaildropInUse(f"the maildrop of {user or maildir} is in use") from error
        try:
            with held_inside(folders, TRASH) as trash:
                work = _Purge(user, folders, rules, audit or (lambda _: None), clock(), dry_run)
                expired = work.expired()
                if trash is not None:
                    expired += work.expired_in_trash(trash)
                if dry_run:
                    return PurgeReport(user, tuple(each for each, _, _ in expired))
                clean_tmp(folders)
                return work.remove(expired)
        finally:
            lock.release()


_Reason: TypeAlias = Literal["unread", "read", "trash", "hidden"]
_Expired: TypeAlias = "tuple[Purged, MessageFolders, MessageFile]"


@attrs.frozen
class _Purge:
    user: str
    folders: HeldFolders
    rules: MaildropRules
    audit: Callable[[Purged], object]
    now: float
    dry_run: bool

    def expired(self) -> list[_Expired]:
        """Return the messages of the maildrop that are to be removed."""
        ids = IdRecord(self.folders.maildir)
        found = self._expired(self.folders, list_messages(self.folders, ids))
        if not self.dry_run:
            ids.save(session=False)
        return found

    def expired_in_trash(self, trash: HeldFolders) -> list[_Expired]:
        """Return the messages of the trash that are to be removed."""
        if self.rules.on_delete.to == "remove":  # it is that of other programs
            return []
        ids = GivenIds(trash.held)
        try:
            found = self._expired(trash, list_messages(trash, ids))
        except FileNotFoundError:  # it lacks `new` or `cur`: it is no folder of mail
            return []
        if not self.dry_run:
            ids.save()
        return found

    def _expired(self, folders: MessageFolders, files: Iterable[MessageFile]) -> list[_Expired]:
        found: list[_Expired] = []
        with folders.open() as descriptors:
            for file in files:
                came = arrived(file.name, file.modified)
                reason, limit = self.limit(file.name, trash=folders is not self.folders)
                if limit is None or self.now - came < limit:
                    continue
                if reason in ("trash", "hidden") and self.now - max(came, _changed(file, descriptors)) < limit:
                    continue
                size = stored_size(file.name)
                octets = file.size if size is None else size
                found.append((Purged(self.user, file.unique_id, octets, came, reason), folders, file))
        return found

    def limit(self, name: str, *, trash: bool) -> tuple[_Reason, float | None]:
        """Return why a message may be removed, and after how many seconds."""
        if trash:
            return "trash", self.rules.on_delete.keep
        if is_trashed(name) and self.rules.on_delete.to != "remove":
            return "hidden", self.rules.on_delete.keep
        read = is_seen(name)
        return "read" if read else "unread", self.rules.retain.limit(read=read)

    def remove(self, expired: Sequence[_Expired]) -> PurgeReport:
        """Remove messages; those of the trash are not listed by sessions, so their ids are not recorded."""
        purged: list[Purged] = []
        failures: list[OSError] = []
        quota = MaildirQuota(self.folders.maildir, self.rules.quota, follow_links=self.folders.follow_links)
        with quota.following() if expired else nullcontext():
            for at in range(0, len(expired), _BATCH):
                batch = expired[at : at + _BATCH]
                for folders in dict.fromkeys(folders for _, folders, _ in batch):
                    mine = [(each, file) for each, where, file in batch if where is folders]
                    gone = self._remove(folders, mine, quota, failures)
                    purged += gone
                    for each in gone:
                        self.audit(each)
        return PurgeReport(self.user, tuple(purged), tuple(failures))

    def _remove(
        self,
        folders: MessageFolders,
        expired: Sequence[tuple[Purged, MessageFile]],
        quota: MaildirQuota,
        failures: list[OSError],
    ) -> list[Purged]:
        """Remove messages of one folder; return those that this has removed."""
        trash = folders is not self.folders
        disposal = _Expiring(self, {each.unique_id: each for each, _ in expired}, trash=trash)
        removed = MessageFiles(folders, [file for _, file in expired]).remove(range(len(expired)), disposal)
        failures += removed.failures
        gone = [expired[index] for index in sorted(removed.indices) if expired[index][0].unique_id in disposal.removed]
        if not trash and gone:
            with suppress(OSError):  # else a copy that is made meanwhile could have its id
                retire(folders.maildir, [each.unique_id for each, _ in gone])
        counted = [each for each, file in gone if self.rules.quota.trash or not (trash or is_trashed(file.name))]
        quota.add(-Usage(sum(each.octets for each in counted), len(counted)))
        return [each for each, _ in gone]


class _Expiring(Disposal):
    """Removes messages whose flags, as they are now, say that they have expired."""

    def __init__(self, work: _Purge, expired: Mapping[UniqueId, Purged], *, trash: bool) -> None:
        self._work = work
        self._expired = expired
        self._trash = trash
        self._kept: set[str] = set()
        self.removed: set[UniqueId] = set()

    @override
    def dispose(self, name: str, folder: int, unique_id: UniqueId) -> None:
        reason, limit = self._work.limit(name, trash=self._trash)
        message = self._expired[unique_id]
        # What has another reason by now has been flagged a moment ago: the next purge looks at it.
        if limit is None or reason != message.reason:
            self._kept.add(name)
            raise FileNotFoundError(name)
        os.unlink(name, dir_fd=folder)
        self.removed.add(unique_id)

    @override
    def is_gone(self, name: str) -> bool:
        return name in self._kept

    @override
    def sync(self) -> None:
        pass


def _changed(file: MessageFile, descriptors: tuple[int, ...]) -> float:
    """Return when a file was renamed or changed last, in seconds; the far future if it is gone."""
    try:
        return os.stat(file.name, dir_fd=descriptors[file.folder], follow_symlinks=False).st_ctime_ns / _BILLION
    except OSError:
        return float("inf")
