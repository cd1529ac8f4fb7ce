"""An authenticator over a file of Apache's htpasswd."""

from __future__ import annotations

from typing_extensions import override

from .directory import UserEntry
from .hash_file import FileUser, HashFile
from .schemes import parse_hash

__all__ = ["Htpasswd"]


class Htpasswd(HashFile):
    """An authenticator over a file of htpasswd: `user:hash`.

        authenticator = Htpasswd(Path("/etc/pop3proto/htpasswd"))

    The hashes are those of bcrypt (`htpasswd -B`, extra `server`), SHA-256 and SHA-512 of crypt(3) (`-2`, `-5`), MD5 of
    Apache (`-m`) and SHA-1 (`-s`). Those of the old crypt(3) and passwords in clear are not supported.

    Args:
        path: the file.
        before: the authenticator over such a file that this one takes the place of while the server runs: a file that
            is empty or half written is malformed then. None: there is none.

    Raises:
        OSError: the file cannot be read.
        MalformedUsers: it is not such a file.
    """

    @override
    def _parse(self, name: str, rest: str) -> FileUser:
        return FileUser(UserEntry(name), parse_hash(rest.partition(":")[0]))
