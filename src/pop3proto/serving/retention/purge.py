"""Removing what has expired: old messages, and deleted ones that were kept long enough."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from pop3proto.core.errors import Pop3Error
from pop3proto.maildrops.files import MessageFiles
from pop3proto.maildrops.folders import FOLDERS, MessageFolders, clean_tmp
from pop3proto.maildrops.ids import IdRecord, retire
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.names import is_seen, is_trashed, stored_size
from pop3proto.serving.quota.counting import TRASH
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Usage

from .times import arrived

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pop3proto.core.results import UniqueId
    from pop3proto.maildrops.listing import MessageFile

    from .rules import MaildropRules

__all__ = ["MaildropInUse", "PurgeReport", "Purged", "purge"]

_BILLION: Final = 10**9


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
    the clock is set back, mail is kept longer, never shorter.

    Args:
        user: whose it is.
        maildir: the Maildir.
        rules: what holds for it.
        audit: is called with each message before it is removed; if it raises, nothing more is removed.
        dry_run: nothing is removed.
        follow_links: as for `MaildirStore`.
        clock: returns the time of day, in seconds.

    Raises:
        MaildropInUse: the lock is held; nothing was removed.
        OSError: the maildrop cannot be read; nothing was removed.
    """
    folders = MessageFolders(maildir, follow_links=follow_links)
    with folders.open():
        pass
    try:
        lock = FolderLock(maildir)
    except BlockingIOError as error:
        raise MaildropInUse(f"the maildrop of {user or maildir} is in use") from error
    try:
        work = _Purge(user, maildir, rules, audit or (lambda _: None), clock())
        purged = [*work.expired(folders), *work.expired(MessageFolders(maildir / TRASH))]
        if dry_run:
            return PurgeReport(user, tuple(each for each, _, _ in purged))
        clean_tmp(maildir)
        return work.remove(purged)
    finally:
        lock.release()


_Reason: TypeAlias = Literal["unread", "read", "trash", "hidden"]
_Expired: TypeAlias = "tuple[Purged, MessageFolders, MessageFile]"


@attrs.frozen
class _Purge:
    user: str
    maildir: Path
    rules: MaildropRules
    audit: Callable[[Purged], object]
    now: float

    def expired(self, folders: MessageFolders) -> list[_Expired]:
        """Return the messages of a folder that are to be removed."""
        trash = folders.maildir != self.maildir
        if trash and (self.rules.on_delete.to != "trash" or not _is_folder(folders.maildir)):
            return []
        found: list[_Expired] = []
        ids = IdRecord(folders.maildir)
        with folders.open() as descriptors:
            for file in list_messages(folders, ids):
                came = arrived(file.name, file.modified)
                reason, limit, since = self._limit(file, came, trash=trash)
                if limit is None or self.now - since < limit:
                    continue
                if reason in ("trash", "hidden"):
                    since = max(came, _changed(file, descriptors))
                    if self.now - since < limit:
                        continue
                size = stored_size(file.name)
                octets = file.size if size is None else size
                found.append((Purged(self.user, file.unique_id, octets, came, reason), folders, file))
        if not trash:
            ids.save()
        return found

    def _limit(self, file: MessageFile, came: float, *, trash: bool) -> tuple[_Reason, float | None, float]:
        """Return why the message may be removed, after how many seconds, and since when they count."""
        if trash:
            return "trash", self.rules.on_delete.keep, came
        if is_trashed(file.name) and self.rules.on_delete.to == "hide":
            return "hidden", self.rules.on_delete.keep, came
        read = is_seen(file.name)
        return "read" if read else "unread", self.rules.retain.limit(read=read), came

    def remove(self, expired: Sequence[_Expired]) -> PurgeReport:
        """Remove messages; those of the trash are not listed by sessions, so their ids are not recorded."""
        purged: list[Purged] = []
        failures: list[OSError] = []
        quota = MaildirQuota(self.maildir, self.rules.quota)
        for folders in dict.fromkeys(folders for _, folders, _ in expired):
            mine = [(each, file) for each, where, file in expired if where == folders]
            for each, _ in mine:
                self.audit(each)
            removed = MessageFiles(folders, [file for _, file in mine]).remove(range(len(mine)))
            gone = [mine[index][0] for index in sorted(removed.indices)]
            purged += gone
            failures += removed.failures
            if folders.maildir == self.maildir and gone:
                with suppress(OSError):  # else a copy that is made meanwhile could have its id
                    retire(self.maildir, [each.unique_id for each in gone])
            counted = [mine[index][0] for index in removed.indices if self._counts(folders, mine[index][1])]
            quota.add(-Usage(sum(each.octets for each in counted), len(counted)))
        return PurgeReport(self.user, tuple(purged), tuple(failures))

    def _counts(self, folders: MessageFolders, file: MessageFile) -> bool:
        """Return whether a message counted for the quota."""
        return self.rules.quota.trash or (folders.maildir == self.maildir and not is_trashed(file.name))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and all((path / name).is_dir() for name in FOLDERS)


def _changed(file: MessageFile, descriptors: tuple[int, ...]) -> float:
    """Return when a file was renamed or changed last, in seconds; the far future if it is gone."""
    try:
        return os.stat(file.name, dir_fd=descriptors[file.folder], follow_symlinks=False).st_ctime_ns / _BILLION
    except OSError:
        return float("inf")
