"""Authenticators for a server: check passwords and access tokens.

`MemoryAuthenticator`, `MemoryTokens` and `MemoryTokenAuthenticator` keep credentials in memory; `UsersFile` reads a
file of scrypt hashes and SCRAM keys, which `set_password` and `remove_user` change; `CheckPassword` runs a program.
`UsersFile`, `set_password`, `remove_user` and `CheckPassword` need a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .checkpassword import CheckPassword
    from .directory import UserDirectory, UserEntry
    from .memory import MemoryAuthenticator, MemoryTokenAuthenticator, MemoryTokens
    from .users_file import UsersFile, remove_user, set_password

__all__ = [
    "CheckPassword",
    "MemoryAuthenticator",
    "MemoryTokenAuthenticator",
    "MemoryTokens",
    "UserDirectory",
    "UserEntry",
    "UsersFile",
    "remove_user",
    "set_password",
]

export(
    globals(),
    {
        ".checkpassword": "CheckPassword",
        ".directory": "UserDirectory UserEntry",
        ".memory": "MemoryAuthenticator MemoryTokenAuthenticator MemoryTokens",
        ".users_file": "UsersFile remove_user set_password",
    },
)
