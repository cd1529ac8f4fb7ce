"""Bringing back what was deleted by POP3 and is kept."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pop3proto.maildrops.folders import FOLDERS, MessageFolders
from pop3proto.maildrops.ids import IdRecord, give
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.names import is_trashed, stored_size, unique_id, unique_part, with_flags
from pop3proto.serving.quota.counting import TRASH
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Usage

from .disposal import free_name, sync_descriptor
from .purge import MaildropInUse

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pop3proto.core.results import UniqueId
    from pop3proto.maildrops.listing import MessageFile

    from .rules import MaildropRules

__all__ = ["undelete"]


def undelete(
    maildir: Path,
    rules: MaildropRules,
    unique_ids: Collection[str] | None = None,
    *,
    dry_run: bool = False,
    follow_links: bool = False,
) -> list[UniqueId]:
    """Bring back messages from the trash, and those that are hidden, under the lock of the maildrop.

    They have the unique ids again that they had. They come back even if that exceeds the quota.

    Args:
        maildir: the Maildir.
        rules: what holds for it.
        unique_ids: those of the messages; None: all.
        dry_run: nothing is brought back.
        follow_links: as for `MaildirStore`.

    Returns:
        The unique ids of the messages that are back, or would be.

    Raises:
        MaildropInUse: the lock is held; nothing has changed.
        OSError: some may be back, and some not. To try again does no harm.
    """
    folders = MessageFolders(maildir, follow_links=follow_links)
    with folders.open():
        pass
    try:
        lock = FolderLock(maildir)
    except BlockingIOError as error:
        raise MaildropInUse(f"the maildrop {maildir} is in use") from error
    try:
        ids = IdRecord(maildir)
        listed = list(list_messages(folders, ids))
        ids.save()
        hidden = [(file, file.unique_id) for file in listed if is_trashed(file.name)]
        live = {file.unique_id for file in listed}
        trash = MessageFolders(maildir / TRASH)
        trashed: list[tuple[MessageFile, UniqueId]] = []
        if all((trash.maildir / name).is_dir() for name in FOLDERS) and not trash.maildir.is_symlink():
            for file in list_messages(trash, IdRecord(trash.maildir)):
                id_ = unique_id(unique_part(file.name))
                if id_ not in live:
                    trashed.append((file, id_))
        if dry_run:
            return [id_ for _, id_ in (*_chosen(hidden, unique_ids), *_chosen(trashed, unique_ids))]
        back = [_back(folders, folders, _chosen(hidden, unique_ids), ids)]
        back.append(_back(folders, trash, _chosen(trashed, unique_ids), ids))
    finally:
        lock.release()
    moved = [each for several in back for each in several]
    if not rules.quota.trash:
        octets = sum(file.size if (size := stored_size(file.name)) is None else size for file, _ in moved)
        MaildirQuota(maildir, rules.quota).add(Usage(octets, len(moved)))
    return [id_ for _, id_ in moved]


def _chosen(
    files: list[tuple[MessageFile, UniqueId]], unique_ids: Collection[str] | None
) -> list[tuple[MessageFile, UniqueId]]:
    return [each for each in files if unique_ids is None or each[1] in unique_ids]


def _back(
    target: MessageFolders, source: MessageFolders, files: list[tuple[MessageFile, UniqueId]], ids: IdRecord
) -> list[tuple[MessageFile, UniqueId]]:
    """Move files to `cur`, without the flag T; return those that are there."""
    if not files:
        return []
    moved: list[tuple[MessageFile, UniqueId]] = []
    retired = [(unique_part(file.name), file.inode, file.modified, id_) for file, id_ in files]
    give(target.maildir, [row for row in retired if ids.is_retired(row[0])])
    with ExitStack() as stack:
        descriptors = stack.enter_context(source.open())
        cur = stack.enter_context(target.open_one("cur"))
        for file, id_ in files:
            folder = descriptors[file.folder]
            try:
                status = os.stat(file.name, dir_fd=folder, follow_symlinks=False)
                name = free_name(with_flags(file.name, remove="T"), cur, status)
                os.rename(file.name, name, src_dir_fd=folder, dst_dir_fd=cur)
            except FileNotFoundError:  # another program has moved it
                continue
            moved.append((file, id_))
        sync_descriptor(cur)
        for descriptor in descriptors:
            sync_descriptor(descriptor)
    return moved
