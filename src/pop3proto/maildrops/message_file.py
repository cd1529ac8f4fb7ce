"""Message files of a Maildir: written to `tmp`, then moved to where they are read, many with one sync of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto._io.new_files import NewFile, OpenFolder, publish
from pop3proto.core.errors import LocalProtocolError

from .folders import add_to_quota
from .line_ends import lines_with_lf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from typing_extensions import Buffer

__all__ = ["MaildirTarget", "MessageFile"]

_CHUNK: Final = 1 << 18


class MessageFile:
    r"""One message that is written into `tmp`.

    Line ends are stored as LF, as is usual in a Maildir, if turning each LF into CRLF gives the same message again.
    A message with a bare LF, or with a CR before a CRLF (`\r\r\n` would come back as `\r\n`), is stored unchanged.

    Args:
        tmp: the folder `tmp`.
        unique: the unique part of the file's name; it must differ from that of every other message.

    Raises:
        OSError: the file cannot be created.
    """

    __slots__ = ("_ends_line", "_held", "_unix", "file", "octets")

    def __init__(self, tmp: OpenFolder, unique: str) -> None:
        self.file: Final = NewFile(tmp, unique)
        self.octets: int = 0
        """Octets of the message on the wire so far, where each line end is CRLF and the last line has one."""
        self._unix = True
        self._ends_line = True
        # CRs at the end of the octets so far, at most two: the next octets decide whether they are part of a line end.
        self._held = b""

    def write(self, chunk: Buffer, /) -> None:
        """Write the next octets of the message.

        Args:
            chunk: octets as received, after dot-unstuffing; it may end anywhere, in a line end too.

        Raises:
            LocalProtocolError: the message is complete; nothing has changed.
            OSError: they cannot be written.
        """
        self._check_open()
        data = chunk if type(chunk) is bytes else bytes(chunk)
        if self._held:
            data = self._held + data
            self._held = b""
        if data.endswith(b"\r"):
            self._held = b"\r\r" if data.endswith(b"\r\r") else b"\r"
            data = data[: -len(self._held)]
        if not data:
            return
        unix = lines_with_lf(data)
        if unix is not None:
            self.octets += len(data)
        else:
            unix = data.replace(b"\r\n", b"\n")
            lf = unix.count(b"\n")
            self.octets += len(unix) + lf
            if self._unix and (lf != len(data) - len(unix) or b"\r\n" in unix):
                self._unix = False
                if self.file.size:
                    self.file.replace_content(b"\n", b"\r\n", _CHUNK)
        self._ends_line = data.endswith(b"\n")
        self.file.write(unix if self._unix else data)

    def finish(self) -> str:
        """Write what is left of a complete message.

        Returns:
            The name that the file gets: with its size and that on the wire, as `,S=` and `,W=`.

        Raises:
            LocalProtocolError: it was called before; nothing has changed.
            OSError: it cannot be written.
        """
        self._check_open()
        if self._held:
            self.file.write(self._held)
            self.octets += len(self._held)
        if self._held or not self._ends_line:
            self.octets += 2
        return f"{self.file.name},S={self.file.size},W={self.octets}"

    def abort(self) -> None:
        """Remove the message, unless it is committed. It may be called again, and does not raise."""
        self.file.discard()

    def _check_open(self) -> None:
        if not self.file.is_open:
            raise LocalProtocolError("this message is already committed or aborted")


class MaildirTarget:
    """An open Maildir that messages are delivered into.

    Args:
        maildir: the folder that holds `tmp`, `new` and `cur`.
        flags: flags of the messages, in order of the alphabet. With flags they are moved to `cur`, without to `new`.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, maildir: Path, flags: str = "") -> None:
        self._maildir = maildir
        self._suffix = f":2,{flags}" if flags else ""
        self.tmp: Final = OpenFolder(maildir / "tmp")
        self.folder: Final = OpenFolder(maildir / ("cur" if flags else "new"))

    def commit(self, messages: Sequence[MessageFile]) -> list[str]:
        """Store complete messages: sync their files to disk, move them, sync the folder.

        If there is a file `maildirsize` of a mail program, the messages are added to it.

        Returns:
            The name of each file.

        Raises:
            LocalProtocolError: one of them was committed or aborted before; nothing has changed.
            OSError: some may be stored, or all, and some not.
        """
        names = [message.finish() + self._suffix for message in messages]
        publish([message.file for message in messages], self.folder, names)
        add_to_quota(self._maildir, sum(message.file.size for message in messages), len(messages))
        return names

    def close(self) -> None:
        """Close the folders; it may be called again."""
        self.tmp.close()
        self.folder.close()
