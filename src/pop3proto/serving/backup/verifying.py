"""Verifying a backup: each message is what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import visible

from .archive import open_archive
from .digest import WireDigest
from .errors import BadBackup

if TYPE_CHECKING:
    from pathlib import Path

    from .archive import Archive
    from .manifest import BackedUp

__all__ = ["VerifyReport", "check_message", "verify_backup"]

_CHUNK: Final = 1 << 18


@attrs.frozen
class VerifyReport:
    """What is in a backup, and what is wrong with it.

    Args:
        users: whose maildrops are in it.
        messages: how many messages are right.
        octets: their octets on the wire.
        problems: what is wrong, a line each.
    """

    users: tuple[str, ...]
    messages: int
    octets: int
    problems: tuple[str, ...]


def verify_backup(file: Path) -> VerifyReport:
    """Read a backup to its end, and compare each message with its size and its digest.

    Raises:
        BadBackup: it is none, or it is cut off.
        OSError: it cannot be read.
    """
    problems: list[str] = []
    messages = octets = 0
    with open_archive(file) as archive:
        for user in archive.users:
            try:
                manifest = archive.manifest(user)
            except BadBackup as error:
                problems.append(str(error))
                continue
            for message in manifest.messages:
                try:
                    check_message(archive, user, message)
                except BadBackup as error:
                    problems.append(str(error))
                else:
                    messages += 1
                    octets += message.octets
        return VerifyReport(archive.users, messages, octets, tuple(problems))


def check_message(archive: Archive, user: str, message: BackedUp) -> None:
    """Compare a message with its size and its digest.

    Raises:
        BadBackup: it is another.
        OSError: the backup cannot be read.
    """
    digest = WireDigest()
    for octets in archive.read(message.path, _CHUNK):
        digest.feed(octets)
    if digest.finish() != (message.octets, message.sha256):
        raise BadBackup(f"{archive.path}: the message {message.unique_id} of {visible(user)} is damaged")
