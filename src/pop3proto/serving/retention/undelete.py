"""Bringing back what was deleted by POP3 and is kept."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

from pop3proto._io.moving import sync_descriptor
from pop3proto.maildrops.holding import held, held_inside
from pop3proto.maildrops.ids import GivenIds, IdRecord, give, retire
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import FolderLock
from pop3proto.maildrops.moving import move_message
from pop3proto.maildrops.names import is_trashed, stored_size, unique_id, unique_part, with_flags
from pop3proto.serving.quota.counting import TRASH
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Usage

from .purge import MaildropInUse

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pop3proto.core.results import UniqueId
    from pop3proto.maildrops.folders import HeldFolders, MessageFolders
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

    They have the unique ids again that they had. One whose id a message of the maildrop has stays where it is: of two
    deleted messages with one id, the first comes back. They come back even if that exceeds the quota.

    Args:
        maildir: the Maildir.
        rules: what holds for it.
        unique_ids: those of the messages; None: all.
        dry_run: nothing is brought back, and nothing is written.
        follow_links: whether the Maildir, and folders in it, may be symbolic links.

    Returns:
        The unique ids of the messages that are back, or would be.

    Raises:
        MaildropInUse: the lock is held; nothing has changed.
        OSError: some may be back, and some not. To try again does no harm.
    """
    with ExitStack() as stack:
        folders = stack.enter_context(held(maildir, follow_links=follow_links))
        with folders.open():
            pass
        try:
            lock = FolderLock(maildir, make=not dry_run)
        except BlockingIOError as error:
            raise MaildropInUse(f"the maildrop {maildir} is in use") from error
        stack.callback(lock.release)
        ids = IdRecord(maildir)
        listed = list(list_messages(folders, ids))
        if not dry_run:
            ids.save(session=False)
        hidden = [file for file in listed if is_trashed(file.name)]
        taken = {file.unique_id for file in listed}
        trash = stack.enter_context(held_inside(folders, TRASH))
        trashed = _not_taken(_trashed(trash), taken)
        chosen = [
            [file for file in files if unique_ids is None or file.unique_id in unique_ids]
            for files in (hidden, trashed)
        ]
        if dry_run:
            return [file.unique_id for files in chosen for file in files]
        quota = MaildirQuota(maildir, rules.quota, follow_links=follow_links)
        parts = {unique_part(file.name) for file in listed}
        with quota.following() if any(chosen) else nullcontext():
            back = _back(folders, folders, chosen[0], ids, set())
            if trash is not None:
                back += _back(folders, trash, chosen[1], ids, parts)
            if not rules.quota.trash:
                sizes = [file.size if (size := stored_size(file.name)) is None else size for file in back]
                quota.add(Usage(sum(sizes), len(back)))
        return [file.unique_id for file in back]


def _trashed(trash: HeldFolders | None) -> list[MessageFile]:
    if trash is None:
        return []
    try:
        return list(list_messages(trash, GivenIds(trash.held)))
    except FileNotFoundError:  # it lacks `new` or `cur`: it is no folder of mail
        return []


def _not_taken(files: list[MessageFile], taken: set[UniqueId]) -> list[MessageFile]:
    free: list[MessageFile] = []
    for file in files:
        if file.unique_id not in taken:
            taken.add(file.unique_id)
            free.append(file)
    return free


def _back(
    maildir: HeldFolders, source: MessageFolders, files: Sequence[MessageFile], ids: IdRecord, parts: set[str]
) -> list[MessageFile]:
    """Move files to `cur`, without the flag T; return those that are there.

    Args:
        maildir: the Maildir.
        source: where they are.
        files: the files.
        ids: what is known of the ids of the Maildir.
        parts: unique parts of other files in the Maildir; those of these files are added.
    """
    moved: list[MessageFile] = []
    with ExitStack() as stack:
        descriptors = stack.enter_context(source.open())
        cur = stack.enter_context(maildir.open_one("cur"))
        for file in files:
            target = with_flags(file.name, remove="T")

            def record(name: str, file: MessageFile = file, target: str = target) -> None:
                part = unique_part(name)
                if source is maildir and part == unique_part(file.name):
                    return  # it was listed, and its id recorded
                if unique_id(part) != file.unique_id or ids.is_reserved(part) or part in parts:
                    give(maildir.held, [(part, file.inode, file.modified, file.unique_id)])
                if name != target and source is not maildir:
                    retire(maildir.maildir, [file.unique_id])  # the file that has the name gets another id

            try:
                name = move_message(file.name, descriptors[file.folder], target, cur, record)
            except FileNotFoundError:  # another program has moved it
                continue
            parts.add(unique_part(name))
            moved.append(file)
        sync_descriptor(cur)
        for descriptor in descriptors:
            sync_descriptor(descriptor)
    return moved
