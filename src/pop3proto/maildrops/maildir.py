"""A maildrop store over Maildirs, which other programs may use at the same time. For POSIX systems."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from io import BytesIO
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Protocol, Self

import attrs
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.replies import ResponseCode
from pop3proto.core.text import counted, visible
from pop3proto.procedures.maildrop import (
    InUse,
    Maildrop,
    MaildropStore,
    Message,
    MessageStream,
    Refused,
    Unavailable,
)

from .compressed import may_be_compressed
from .counting import count_all, open_message
from .files import MessageFiles
from .folders import MessageFolders, add_to_quota, complete, is_maildir, missing, not_followed
from .ids import IdRecord, retire
from .listing import list_messages
from .lock import FolderLock
from .names import is_seen
from .sizes import SizeCache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pop3proto.sasl.channel import SessionInfo

    from .files import Removed
    from .listing import MessageFile

__all__ = ["MaildirMaildrop", "MaildirStore", "Maildirs"]

_log: Final = logging.getLogger("pop3proto")

# Permanent errors, SYS/PERM; other errors are temporary, SYS/TEMP (RFC 3206 section 4).
_PERMANENT: Final = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOSYS,
    errno.ENOTDIR,
    errno.ENOTSUP,
    errno.EPERM,
    errno.EROFS,
}
# The Maildir does not exist; a name that is too long cannot exist either.
_NOT_THERE: Final = {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}
# The process or the system is out of a resource; the file itself is not at fault.
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_GONE: Final = "it was removed"


class Maildirs(Protocol):
    """Finds the Maildir of a user. A mapping from user name to path is one."""

    def get(self, user: str, /) -> Path | None:
        """Return the path of a user's Maildir, or None if the user has no Maildir."""
        ...


class MaildirStore(MaildropStore):
    """A maildrop store that serves a Maildir to each user.

        store = MaildirStore({"ann": Path("/home/ann/Maildir")})

    A session holds an exclusive lock on its Maildir; the kernel releases it when the process ends. Other programs do
    not use this lock and may deliver, move, flag and remove messages during a session. The store never renames a
    message file and removes one only in `commit`. It adds files to a Maildir: `.pop3proto-lock`; `.pop3proto-sizes`, a
    cache that may be deleted at any time; and `.pop3proto-ids`, unique ids that no other message may get. Whoever may
    write to the Maildir may write to these files. They belong to its owner if the server may give them away.

    The unique id of a message is the unique part of its file name. By the rules of Maildir, delivery programs never
    use a unique part again. Copies of a file share its unique part: each gets an id of its own, and keeps it when the
    others are gone. `commit` removes the file that the session saw, all hard links of it. A copy made during the
    session is another file: it stays, with another id. If another program changes the unique part of a file during a
    session, the file is recognised by its inode, size and modification time.

    Files that are compressed as Dovecot does it are unpacked: gzip, bzip2 and xz, and with the extra `compressed` zstd
    and LZ4. A file is taken for compressed if it begins with the octets of such a format, unless its name holds its
    size (`,S=`).

    A message that cannot be read (no permission, a bad disk, a missing package), and whose size is unknown, is left out
    of the maildrop until it can be read: any size would be wrong, and the other messages can still be served. The
    logger "pop3proto" gets a warning; it gets an error when a Maildir cannot be opened.

    A Maildir that the process may only read is served; deletions are refused at QUIT. Of `new`, `cur` and `tmp`, those
    that are missing are made again if the rest is a Maildir.

    Args:
        maildirs: the Maildir of each user: a mapping from user name to path, or an object with such a `get`. It is
            consulted at every login, with the name that the authenticator has verified.
        follow_links: whether `new` and `cur` may be symbolic links. Whoever may write to a Maildir can make such a link
            to the mail of others, and the server would read and delete it with its own rights.
    """

    def __init__(self, maildirs: Maildirs, *, follow_links: bool = False) -> None:
        self._maildirs = maildirs
        self._follow_links = follow_links

    @classmethod
    def of_folder(cls, folder: Path, *, follow_links: bool = False) -> Self:
        """Return a store for a folder that holds one Maildir for each user, named like the user.

        The Maildir is looked up at every login, so users may be added while the server runs. A user whose name begins
        with a dot, or holds a slash or NUL, has no Maildir. The name is the one that the authenticator has verified:
        after SASLprep, with the case of letters as the client sent it.

        Args:
            folder: the folder that holds the Maildirs.
            follow_links: whether the Maildirs, and their `new` and `cur`, may be symbolic links.
        """
        return cls(_FolderOfMaildirs(folder, follow_links=follow_links), follow_links=follow_links)

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def open(self, user: str, session: SessionInfo) -> Maildrop:
        """Lock the user's Maildir for one session, and list its messages."""
        try:
            maildir = self._maildirs.get(user)
            if maildir is None:
                raise Refused("this user has no maildrop", ResponseCode.SYS_PERM)
            return self._open_maildrop(maildir, user)
        except BlockingIOError as error:
            raise InUse from error
        except OSError as error:
            _log.error("the maildrop of %s cannot be opened: %s", visible(user), visible(_path_and_reason(error)))
            raise _refusal(error) from error

    def _open_maildrop(self, maildir: Path, user: str) -> MaildirMaildrop:  # noqa: ARG002 - others have rules by user
        return MaildirMaildrop(maildir, follow_links=self._follow_links)

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        """Return no capabilities: a Maildir adds none."""
        return Capabilities()


@attrs.frozen
class _FolderOfMaildirs:
    """A folder that holds one Maildir for each user, named like the user."""

    folder: Path
    follow_links: bool

    def get(self, user: str, /) -> Path | None:
        """Return the path of a user's Maildir; None if the user name is not a plain file name."""
        try:
            octets = os.fsencode(user)
        except UnicodeEncodeError:  # no file can have this name
            return None
        if not octets or octets.startswith(b".") or b"/" in octets or b"\0" in octets:
            return None
        path = self.folder / user
        if not self.follow_links and path.is_symlink():
            raise not_followed(path)
        return path


class MaildirMaildrop(Maildrop):
    """A locked Maildir, with a snapshot of its messages from the start of the session.

    Raises:
        OSError: the Maildir cannot be locked or read.
    """

    def __init__(self, maildir: Path, *, follow_links: bool) -> None:
        self._maildir = maildir
        self._folders = MessageFolders(maildir, follow_links=follow_links)
        self._prepare()  # before the lock file is created in a folder that is no Maildir
        self._lock = FolderLock(maildir)
        try:
            self._messages: list[Message] = []
            self._files = self._take_all()
            self._corrected: dict[int, tuple[MessageFile, int]] = {}
        except BaseException:
            self._lock.release()
            raise

    def _prepare(self) -> None:
        if missing(self._maildir) and is_maildir(self._maildir):
            with suppress(OSError):
                complete(self._maildir)
        with self._folders.open():  # raises unless both are there
            pass

    def _take_all(self) -> MessageFiles:
        """Take all messages whose size is known, or can be counted."""
        sizes, ids = SizeCache(self._maildir), IdRecord(self._maildir)
        listed = self._shown(list_messages(self._folders, ids))
        files = MessageFiles(self._folders, listed)
        left_out: dict[int, str] = {}  # the reasons
        known = [sizes.get(file) for file in listed]
        for index, octets in count_all(files, [index for index, size in enumerate(known) if size is None]):
            if isinstance(octets, int):
                known[index] = octets
                sizes.put(listed[index], octets)
            elif octets.errno in _EXHAUSTED:
                raise octets
            else:
                left_out[index] = _GONE if isinstance(octets, FileNotFoundError) else _reason(octets)
        for file, size in zip(listed, known, strict=True):
            if size is not None:
                self._messages.append(Message(size, file.unique_id, retrieved=is_seen(file.name)))
        # Save now: the next session need not count again, and gives the same ids, however this one ends.
        sizes.save()
        ids.save(session=True)
        if not left_out:
            return files
        self._tell({listed[index].name: reason for index, reason in left_out.items()})
        return MessageFiles(self._folders, [files[index] for index in range(len(listed)) if index not in left_out])

    def _tell(self, left_out: Mapping[str, str]) -> None:
        """Log which messages are left out: a line for each reason. Those that are gone by now are no news."""
        names: dict[str, list[str]] = {}
        for name, reason in left_out.items():
            names.setdefault(reason, []).append(name)
        for reason, those in names.items():
            if reason != _GONE:
                number = counted(len(those), "message")
                # A name may hold a line end, which would forge a line of the log.
                words = (visible(text) for text in (str(self._maildir), those[0], reason))
                _log.warning("%s of %s left out, the first is %s: %s", number, *words)

    @property
    @override
    def messages(self) -> Sequence[Message]:
        return self._messages

    @override
    def open(self, number: int) -> MessageStream:
        try:
            return open_message(self._files, number - 1)
        except FileNotFoundError as error:
            raise Refused(f"message {number} was removed by another program") from error
        except OSError as error:
            raise Unavailable(f"message {number} cannot be read now") from error

    def open_many(self, numbers: Sequence[int]) -> Sequence[MessageStream]:
        """Open a message; those behind it are read at once, up to one that is not as it was listed, or compressed."""
        first = self.open(numbers[0])
        try:
            contents = self._files.read_as_listed(number - 1 for number in numbers[1:])
        except OSError:
            contents = []
        return [first, *map(BytesIO, takewhile(lambda octets: not may_be_compressed(octets), contents))]

    @override
    def correct(self, number: int, octets: int) -> None:
        self._messages[number - 1] = attrs.evolve(self._messages[number - 1], octets=octets)
        self._corrected[number - 1] = self._files[number - 1], octets

    @override
    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        if not deleted:
            return
        removed = self._remove([number - 1 for number in sorted(deleted)])
        if removed.failures:
            permanent = all(failure.errno in _PERMANENT for failure in removed.failures)
            # The text of RFC 1939 section 6.
            code = ResponseCode.SYS_PERM if permanent else ResponseCode.SYS_TEMP
            raise Refused("some deleted messages not removed", code) from ExceptionGroup(
                "not removed", removed.failures
            )

    def _shown(self, listed: Iterable[MessageFile]) -> list[MessageFile]:
        return list(listed)

    def _remove(self, indices: Sequence[int]) -> Removed:
        removed = self._files.remove(indices)
        if removed.indices:
            with suppress(OSError):
                retire(self._maildir, [self._messages[index].unique_id for index in removed.indices])
        if removed.files:
            add_to_quota(self._maildir, -removed.octets, -removed.files)
        return removed

    @override
    def close(self) -> None:
        try:
            if self._corrected:
                sizes = SizeCache(self._maildir, keep=True)
                for file, octets in self._corrected.values():
                    sizes.put(file, octets)
                sizes.save()
        finally:
            self._lock.release()


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _path_and_reason(error: OSError) -> str:
    # The name of a folder that is open is the number of its descriptor.
    return f"{error.filename}: {_reason(error)}" if isinstance(error.filename, str) else _reason(error)


def _refusal(error: OSError) -> Refused:
    """Return the refusal to send to the client. Paths are not in its text, only in the error that is its cause."""
    if error.errno in _NOT_THERE:
        return Refused("the maildrop does not exist or is not a Maildir", ResponseCode.SYS_PERM)
    if error.errno in _PERMANENT:
        return Refused("the server may not access the maildrop", ResponseCode.SYS_PERM)
    return Unavailable()
