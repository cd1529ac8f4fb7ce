"""Restoring a backup: unique ids and flags survive, and no unique id is taken that lives."""

from __future__ import annotations

import os
import secrets
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import create, sync_folder, write_all
from pop3proto.core.text import visible
from pop3proto.maildrops.counting import open_message
from pop3proto.maildrops.files import MessageFiles
from pop3proto.maildrops.folders import MessageFolders
from pop3proto.maildrops.ids import IdRecord, give
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.names import delivery_time, has_flags, unique_id, unique_part, with_flags
from pop3proto.serving.folders import give_to_owner, make_maildir
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Usage
from pop3proto.serving.retention.purge import MaildropInUse

from .archive import open_archive
from .digest import wire_digest
from .errors import BackupConflict
from .verifying import check_message

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from pop3proto.core.results import UniqueId

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


def restore_backup(file: Path, places: Iterable[MaildropPlace], *, dry_run: bool = False) -> list[RestoreReport]:
    """Bring the messages of a backup back, each under the lock of its maildrop.

    Unique ids and flags are those of the backup. A message whose unique id lives is left alone, if it is the same
    message. Before anything is changed, all messages are compared with their digests and with the maildrops. To restore
    twice changes nothing; to restore again after a crash brings back the rest.

    Args:
        file: the backup.
        places: the maildrops; one that does not exist is made, if its parent folder exists. The quota is not enforced.
        dry_run: nothing is changed.

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
        if dry_run:
            return reports
        return [_Restoring(archive, place).restore(messages) for place, messages in chosen]


@attrs.frozen
class _Restoring:
    archive: Archive
    place: MaildropPlace

    @property
    def folders(self) -> MessageFolders:
        """The folders of the maildrop."""
        return MessageFolders(self.place.maildir, follow_links=self.place.follow_links)

    def plan(self, messages: Sequence[BackedUp]) -> RestoreReport:
        """Return what is to be restored, and change nothing."""
        if not self.place.maildir.exists():
            return RestoreReport(self.place.user, tuple(message.unique_id for message in messages), 0)
        with self._locked():
            live = _Live(self.folders)
            missing = live.missing(messages, self.place.user)
            live.save()
        ids = tuple(message.unique_id for message in missing)
        return RestoreReport(self.place.user, ids, len(messages) - len(missing))

    def restore(self, messages: Sequence[BackedUp]) -> RestoreReport:
        """Restore what is missing."""
        maildir = self.place.maildir
        make_maildir(maildir)
        quota = MaildirQuota(maildir, self.place.quota)
        with self._locked():
            live = _Live(self.folders)
            missing = live.missing(messages, self.place.user)
            live.save()
            for at in range(0, len(missing), _BATCH):
                batch = missing[at : at + _BATCH]
                self._bring_back(batch, live)
                quota.add(Usage(sum(message.size for message in batch), len(batch)))
        ids = tuple(message.unique_id for message in missing)
        return RestoreReport(self.place.user, ids, len(messages) - len(missing))

    @contextmanager
    def _locked(self) -> Generator[None]:
        with self.folders.open():
            pass
        try:
            lock = FolderLock(self.place.maildir)
        except BlockingIOError as error:
            raise MaildropInUse(f"the maildrop of {visible(self.place.user)} is in use") from error
        try:
            yield
        finally:
            lock.release()

    def _bring_back(self, messages: Sequence[BackedUp], live: _Live) -> None:
        """Write messages beside, record their ids, and give them their names."""
        maildir = self.place.maildir
        written: list[tuple[Path, str]] = []
        rows: list[tuple[str, int, int, UniqueId]] = []
        try:
            for message in messages:
                name = live.name_for(message)
                temporary = maildir / "tmp" / f"{int(message.arrived)}.P{os.getpid()}R{secrets.token_hex(8)}.restore"
                written.append((temporary, name))
                status = self._write(message, temporary)
                if live.needs_row(name, message):
                    rows.append((unique_part(name), status.st_ino, status.st_mtime_ns, message.unique_id))
            give(maildir, rows)
            folders = {name: maildir / ("cur" if has_flags(name) else "new") for _, name in written}
            for temporary, name in written:
                temporary.rename(folders[name] / name)
            for folder in sorted({*folders.values()}):
                sync_folder(folder)
        finally:
            for temporary, _ in written:
                with suppress(OSError):
                    temporary.unlink()

    def _write(self, message: BackedUp, path: Path) -> os.stat_result:
        with create(path) as file:
            for octets in self.archive.read(message.path, _CHUNK):
                write_all(file, octets)
            when = int(message.arrived * _BILLION)
            give_to_owner(file.fileno(), self.place.maildir)
            os.utime(file.fileno(), ns=(when, when))
            os.fsync(file.fileno())
            return os.fstat(file.fileno())


class _Live:
    """What is in a maildrop now: whose unique ids and names no restored message may take. Its lock is held."""

    def __init__(self, folders: MessageFolders) -> None:
        self._ids = IdRecord(folders.maildir)
        self._listed = list(list_messages(folders, self._ids))
        self._files = MessageFiles(folders, self._listed)
        self._by_id = {file.unique_id: index for index, file in enumerate(self._listed)}
        self._parts = {unique_part(file.name) for file in self._listed}

    def save(self) -> None:
        """Keep the unique ids as they are."""
        self._ids.save()

    def missing(self, messages: Sequence[BackedUp], user: str) -> list[BackedUp]:
        """Return the messages that are not there.

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
                        f"{visible(user)}; nothing was changed"
                    )
        return missing

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

    def needs_row(self, name: str, message: BackedUp) -> bool:
        """Return whether the name alone does not give the unique id of a message."""
        unique = unique_part(name)
        return unique_id(unique) != message.unique_id or self._ids.is_retired(unique)
