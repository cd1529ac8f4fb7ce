"""An authenticator over a file with passwords in clear, for APOP and CRAM-MD5, which cannot do without."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Self

from typing_extensions import override

from pop3proto.sasl.authenticator import SecretSource

from .directory import UserEntry
from .hash_file import FileUser, HashFile
from .schemes import UnusableHash, parse_hash
from .user_table import MalformedUsers

if TYPE_CHECKING:
    from pathlib import Path

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["SecretsFile"]


class SecretsFile(HashFile, SecretSource):
    """An authenticator over a file with a line `user:password` for each user.

    It is for APOP and CRAM-MD5, beside another authenticator (`CombinedAuthenticator`). Who reads this file can log in
    as any of its users, so that one that all users of the machine can read is refused.

    Args:
        path: the file.
        before: the authenticator over such a file that this one takes the place of while the server runs: a file that
            is empty or half written is malformed then. None: there is none.

    Raises:
        OSError: the file cannot be read.
        MalformedUsers: it is not such a file, or all users of this machine can read it.
    """

    def __init__(self, path: Path, *, before: Self | None = None) -> None:
        if path.stat().st_mode & stat.S_IROTH:
            raise MalformedUsers(f"all users of this machine can read the passwords in {path}: chmod o-rwx it")
        super().__init__(path, before=before)

    @override
    def secret(self, user: str, session: SessionInfo, /) -> str | None:
        """Return the user's password; None if there is no such user."""
        found = self._current().users.get(user)
        return None if found is None or found.hash is None else found.hash.secret

    @override
    def _parse(self, name: str, rest: str) -> FileUser:
        if not rest:
            raise UnusableHash("the password is missing")
        return FileUser(UserEntry(name), parse_hash("{PLAIN}" + rest))
