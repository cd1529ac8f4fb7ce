"""A maildrop store over Maildirs, which other programs may use at the same time. For POSIX systems."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Protocol, Self

import attrs
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.maildrop import (
    InUse,
    Maildrop,
    MaildropStore,
    Message,
    MessageStream,
    Refused,
    Unavailable,
    wire_size,
)

from .files import FOLDERS, MessageFiles, is_seen
from .lock import FolderLock
from .sizes import SizeCache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pop3proto.sasl.channel import SessionInfo

    from .files import MessageFile

__all__ = ["MaildirStore", "Maildirs"]

# Permanent errors, SYS/PERM; other errors are temporary, SYS/TEMP (RFC 3206 section 4).
_PERMANENT: Final = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
# The Maildir does not exist; a name that is too long cannot exist either.
_NOT_THERE: Final = {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}
# The process or the system is out of a resource; the file itself is not at fault.
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


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
    message file and removes one only in `commit`. It adds two files to a Maildir, `.pop3proto-lock` and
    `.pop3proto-sizes`; the second is a cache and may be deleted at any time.

    The unique id of a message is the unique part of its file name. By the rules of Maildir, delivery programs never
    use a unique part again. Copies of a file share its unique part; as long as they do, each gets an id of its own.
    `commit` removes the file that the session saw, all hard links of it. A copy made during the session is another
    file and stays. If it is then the only file with that unique part, it has the plain id in the next session.

    A message that cannot be read (no permission, a bad disk), and whose size is unknown, is left out of the maildrop
    until it can be read: any size would be wrong, and the other messages can still be served.

    Args:
        maildirs: the Maildir of each user: a mapping from user name to path, or an object with such a `get`. It is
            consulted at every login.
    """

    def __init__(self, maildirs: Maildirs) -> None:
        self._maildirs = maildirs

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Return a store for a folder that holds one Maildir for each user, named like the user.

        The Maildir is looked up at every login, so users may be added while the server runs. A user whose name begins
        with a dot, or holds a slash or NUL, has no Maildir.

        Args:
            folder: the folder that holds the Maildirs.
        """
        return cls(_FolderOfMaildirs(folder))

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def open(self, user: str, session: SessionInfo) -> Maildrop:
        """Lock the user's Maildir for one session, and list its messages."""
        maildir = self._maildirs.get(user)
        if maildir is None:
            raise Refused("this user has no maildrop", ResponseCode.SYS_PERM)
        try:
            return _MaildirMaildrop(maildir)
        except OSError as error:
            raise _refusal(error) from error

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        """Return no capabilities: a Maildir adds none."""
        return Capabilities()


@attrs.frozen
class _FolderOfMaildirs:
    """A folder that holds one Maildir for each user, named like the user."""

    folder: Path

    def get(self, user: str, /) -> Path | None:
        """Return the path of a user's Maildir; None if the user name is not a plain file name."""
        try:
            octets = os.fsencode(user)
        except UnicodeEncodeError:  # no file can have this name
            return None
        if not octets or octets.startswith(b".") or b"/" in octets or b"\0" in octets:
            return None
        return self.folder / user


class _MaildirMaildrop(Maildrop):
    """A locked Maildir, with a snapshot of its messages from the start of the session.

    Raises:
        OSError: the Maildir cannot be locked or read.
    """

    def __init__(self, maildir: Path) -> None:
        for folder in FOLDERS:
            os.scandir(maildir / folder).close()  # check before the lock file is created in a folder that is no Maildir
        self._lock = FolderLock(maildir)
        try:
            self._files = MessageFiles(maildir)
            self._sizes = SizeCache(maildir)
            self._snapshot: list[MessageFile] = []
            self._messages: list[Message] = []
            for file in list(self._files):
                self._take(file)
            self._sizes.save()  # save now: the next session need not count again, however this one ends
        except BaseException:
            self._lock.release()
            raise

    def _take(self, file: MessageFile) -> None:
        octets = self._octets(file)
        if octets is not None:
            self._snapshot.append(file)
            self._messages.append(Message(octets, file.unique_id, retrieved=is_seen(file.paths[-1])))

    def _octets(self, file: MessageFile) -> int | None:
        octets = self._sizes.get(file)
        if octets is not None:
            return octets
        try:
            with self._files.open(file) as source:
                octets = wire_size(source)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            return None
        self._sizes.put(file, octets)
        return octets

    @property
    @override
    def messages(self) -> Sequence[Message]:
        return self._messages

    @override
    def open(self, number: int) -> MessageStream:
        try:
            return self._files.open(self._snapshot[number - 1])
        except FileNotFoundError as error:
            raise Refused(f"message {number} was removed by another program") from error
        except OSError as error:
            raise Unavailable(f"message {number} cannot be read now") from error

    @override
    def correct(self, number: int, octets: int) -> None:
        self._messages[number - 1] = attrs.evolve(self._messages[number - 1], octets=octets)
        self._sizes.put(self._snapshot[number - 1], octets)

    @override
    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        if not deleted:
            return
        failures = self._files.remove([self._snapshot[number - 1] for number in sorted(deleted)])
        if failures:
            permanent = all(failure.errno in _PERMANENT for failure in failures)
            # The text of RFC 1939 section 6.
            code = ResponseCode.SYS_PERM if permanent else ResponseCode.SYS_TEMP
            raise Refused("some deleted messages not removed", code) from ExceptionGroup("not removed", failures)

    @override
    def close(self) -> None:
        try:
            self._sizes.save()
        finally:
            self._lock.release()


def _refusal(error: OSError) -> Refused:
    """Return the refusal to send to the client. Paths are not in its text, only in the error that is its cause."""
    if isinstance(error, BlockingIOError):
        return InUse()
    if error.errno in _NOT_THERE:
        return Refused("the maildrop does not exist or is not a Maildir", ResponseCode.SYS_PERM)
    if error.errno in _PERMANENT:
        return Refused("the server may not access the maildrop", ResponseCode.SYS_PERM)
    return Unavailable()
