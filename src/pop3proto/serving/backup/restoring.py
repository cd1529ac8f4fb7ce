"""Restoring a backup: unique ids and flags survive, and no unique id is taken that lives."""

from __future__ import annotations

import os
import secrets
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from pop3proto._io.files import create, write_all
from pop3proto._io.moving import sync_descriptor
from pop3proto.core.text import visible
from pop3proto.maildrops.counting import open_message
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.files import MessageFiles
from pop3proto.maildrops.folders import FOLDERS
from pop3proto.maildrops.holding import held
from pop3proto.maildrops.ids import IdRecord, give, retire
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.moving import move_message
from pop3proto.maildrops.names import delivery_time, has_flags, is_trashed, unique_id, unique_part, with_flags
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Usage
from pop3proto.serving.retention.purge import MaildropInUse

from .archive import open_archive
from .digest import wire_digest
from .errors import BackupConflict
from .verifying import check_message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from pathlib import Path

    from pop3proto.core.results import UniqueId
    from pop3proto.maildrops.folders import HeldFolders
    from pop3proto.maildrops.listing import MessageFile

    from .archive import Archive
    from .manifest import BackedUp
    from .writing import MaildropPlace

__all__ = ["RestoreReport", "restore_backup"]

_CHUNK: Final = 1 << 18
_BATCH: Final = 64  # messages that are moved to their place with one sync of the folder
_BILLION: Final = 10**9


@attrs.frozen
class RestoreReport:
    """What was restored of one maildrop, or would be.

    Args:
        user: whose it is.
        restored: the unique ids of the messages that are back.
        skipped: how many messages were there already.
    """

    user: str
    restored: tuple[UniqueId, ...]
    skipped: int


def restore_backup(
    file: Path,
    places: Iterable[MaildropPlace],
    *,
    dry_run: bool = False,
    done: Callable[[RestoreReport], object] = lambda _: None,
) -> list[RestoreReport]:
    """Bring the messages of a backup back, each under the lock of its maildrop.

    Unique ids and flags are those of the backup. A message whose unique id lives is left alone, if it is the same
    message. Before anything is changed, all messages are compared with their digests and with the maildrops. To restore
    twice changes nothing; to restore again after a crash brings back the rest.

    Args:
        file: the backup.
        places: the maildrops; one that does not exist is made, if its parent folder exists. The quota is not enforced.
        dry_run: nothing is changed.
        done: is called after each maildrop.

    Raises:
        BadBackup: it is no backup, it is damaged, or a maildrop is not in it; nothing was changed.
        BackupConflict: a unique id is that of another message; nothing was changed.
        MaildropInUse: a lock is held; the maildrops before this one in `places` are restored.
        OSError: the backup cannot be read, or messages cannot be written: some may be back, and some not.
    """
    with open_archive(file) as archive:
        chosen = [(place, archive.manifest(place.user).messages) for place in places]
        for place, messages in chosen:
            for message in messages:
                check_message(archive, place.user, message)
        # Conflicts in any maildrop, before anything is changed in one.
        reports = [_Restoring(archive, place).plan(messages) for place, messages in chosen]
        if not dry_run:
            reports = []
        for place, messages in chosen[len(reports) :]:
            reports.append(_Restoring(archive, place).restore(messages))
            done(reports[-1])
        return reports


@attrs.frozen
class _Restoring:
    archive: Archive
    place: MaildropPlace

    def plan(self, messages: Sequence[BackedUp]) -> RestoreReport:
        """Return what is to be restored, and change nothing."""
        if not os.path.lexists(self.place.maildir):
            return RestoreReport(self.place.user, tuple(message.unique_id for message in messages), 0)
        with self._locked(make=False) as folders:
            missing = _Live(folders, self.place).missing(messages)
        ids = tuple(message.unique_id for message in missing)
        return RestoreReport(self.place.user, ids, len(messages) - len(missing))

    def restore(self, messages: Sequence[BackedUp]) -> RestoreReport:
        """Restore what is missing."""
        maildir, follow = self.place.maildir, self.place.follow_links
        ensure_maildir(maildir, follow_links=follow)
        quota = MaildirQuota(maildir, self.place.quota, follow_links=follow)
        with self._locked(make=True) as folders:
            live = _Live(folders, self.place)
            missing = live.missing(messages)
            live.save()
            with quota.following():
                live.show_hidden()
                absent = [message for message in missing if message.unique_id not in live.hidden]
                for at in range(0, len(absent), _BATCH):
                    batch = absent[at : at + _BATCH]
                    self._bring_back(batch, live, folders)
                    quota.add(Usage(sum(message.size for message in batch), len(batch)))
        ids = tuple(message.unique_id for message in missing)
        return RestoreReport(self.place.user, ids, len(messages) - len(missing))

    @contextmanager
    def _locked(self, *, make: bool) -> Generator[HeldFolders]:
        with held(self.place.maildir, follow_links=self.place.follow_links) as folders:
            with folders.open():
                pass
            try:
                lock = FolderLock(self.place.maildir, make=make)
            except BlockingIOError as error:
                raise MaildropInUse(f"the maildrop of {visible(self.place.user)} is in use") from error
            try:
                yield folders
            finally:
                lock.release()

    def _bring_back(self, messages: Sequence[BackedUp], live: _Live, folders: HeldFolders) -> None:
        """Write messages beside, record their ids, and give them their names."""
        written: list[_Written] = []
        with folders.open_one("tmp") as tmp, folders.open() as descriptors:
            try:
                for message in messages:
                    temporary = f"{int(message.arrived)}.P{os.getpid()}R{secrets.token_hex(8)}.restore"
                    status = self._write(message, temporary, tmp, os.fstat(folders.held))
                    written.append((temporary, live.name_for(message), status, message))
                rows = [row for _, name, status, message in written for row in live.rows(name, status, message)]
                give(folders.held, rows)
                for row in written:
                    folder = descriptors[FOLDERS.index("cur" if has_flags(row[1]) else "new")]
                    _publish(row, tmp, folder, folders, live)
                for descriptor in descriptors:
                    sync_descriptor(descriptor)
            finally:
                for temporary, _, _, _ in written:
                    with suppress(OSError):
                        os.unlink(temporary, dir_fd=tmp)

    def _write(self, message: BackedUp, name: str, tmp: int, owner: os.stat_result) -> os.stat_result:
        try:
            with create(name, folder=tmp) as file:
                for octets in self.archive.read(message.path, _CHUNK):
                    write_all(file, octets)
                with suppress(PermissionError):
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                when = int(message.arrived * _BILLION)
                os.utime(file.fileno(), ns=(when, when))
                os.fsync(file.fileno())
                return os.fstat(file.fileno())
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=tmp)
            raise


_Written: TypeAlias = "tuple[str, str, os.stat_result, BackedUp]"
_Rows: TypeAlias = "list[tuple[str, int, int, UniqueId]]"


def _publish(written: _Written, tmp: int, folder: int, maildir: HeldFolders, live: _Live) -> None:
    """Give a file its name, or one like it if another program has taken that."""
    temporary, name, status, message = written

    def record(new: str) -> None:
        if new != name:
            give(maildir.held, live.rows(new, status, message))
            retire(maildir.maildir, [message.unique_id])  # no session has shown the other file: it gets another id

    move_message(temporary, tmp, name, folder, record)


class _Live:
    """What is in a maildrop now: whose unique ids and names no restored message may take. Its lock is held."""

    def __init__(self, folders: HeldFolders, place: MaildropPlace) -> None:
        self._folders = folders
        self._place = place
        self.hidden: dict[UniqueId, MessageFile] = {}  # those that are there, are to be restored, and are hidden
        self._ids = IdRecord(folders.maildir)
        self._listed = list(list_messages(folders, self._ids))
        self._files = MessageFiles(folders, self._listed)
        self._by_id = {file.unique_id: index for index, file in enumerate(self._listed)}
        self._parts = {unique_part(file.name) for file in self._listed}

    def save(self) -> None:
        """Keep the unique ids as they are."""
        self._ids.save(session=False)

    def missing(self, messages: Sequence[BackedUp]) -> list[BackedUp]:
        """Return the messages that are not there, or are hidden.

        Raises:
            BackupConflict: another message has the unique id of one of them.
        """
        missing: list[BackedUp] = []
        for message in messages:
            index = self._by_id.get(message.unique_id)
            if index is None:
                missing.append(message)
                continue
            with closing(open_message(self._files, index)) as source:
                if wire_digest(source) != (message.octets, message.sha256):
                    raise BackupConflict(
                        f"the unique id {message.unique_id} is that of another message in the maildrop of "
                        f"{visible(self._place.user)}; nothing was changed"
                    )
            if self._place.hides and is_trashed(self._listed[index].name):
                self.hidden[message.unique_id] = self._listed[index]
                missing.append(message)
        return missing

    def show_hidden(self) -> None:
        """Take the flag T from the messages that are hidden; they have their unique ids."""
        if not self.hidden:
            return
        with self._folders.open() as descriptors:
            cur = descriptors[FOLDERS.index("cur")]
            for file in self.hidden.values():
                move_message(file.name, descriptors[file.folder], with_flags(file.name, remove="T"), cur)
            for descriptor in descriptors:
                sync_descriptor(descriptor)

    def name_for(self, message: BackedUp) -> str:
        """Return a name for the file of a message: its own, if no other file has its unique part."""
        name = message.name
        if unique_part(name) in self._parts:
            fresh = f"{delivery_time(name)}.M0P{os.getpid()}R{secrets.token_hex(8)}.restored"
            name = fresh + name[len(unique_part(name)) :]
        if message.retrieved:
            name = with_flags(name, add="S")
        self._parts.add(unique_part(name))
        return name

    def rows(self, name: str, status: os.stat_result, message: BackedUp) -> _Rows:
        """Return the row of the record of unique ids that a message needs, if its name alone does not give its id."""
        unique = unique_part(name)
        if unique_id(unique) == message.unique_id and not self._ids.is_reserved(unique):
            return []
        return [(unique, status.st_ino, status.st_mtime_ns, message.unique_id)]
