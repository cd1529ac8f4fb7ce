"""Authenticators for a server: check passwords and access tokens.

`MemoryAuthenticator`, `MemoryTokens` and `MemoryTokenAuthenticator` keep credentials in memory; `UsersFile` reads a
file of scrypt hashes and SCRAM keys, which `set_password` and `remove_user` change. `PasswdFile`, `Htpasswd` and
`SqliteUsers` read what other servers have, `SecretsFile` passwords for APOP and CRAM-MD5. `CheckPassword` runs a
program. `TokenIntrospection` asks an authorization server. `CertificateNames` goes by the certificates of clients.
`CombinedAuthenticator` is several of them.

Those that read files, and `CheckPassword`, need a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .certificate_names import CertificateField, CertificateNames
    from .checkpassword import CheckPassword
    from .combined import CombinedAuthenticator
    from .directory import UserDirectory, UserEntry
    from .htpasswd import Htpasswd
    from .introspection import TokenIntrospection
    from .memory import MemoryAuthenticator, MemoryTokenAuthenticator, MemoryTokens
    from .passwd_file import PasswdFile
    from .secrets_file import SecretsFile
    from .sqlite import SqliteUsers
    from .users_file import MalformedUsers, UsersFile, remove_user, set_password

__all__ = [
    "CertificateField",
    "CertificateNames",
    "CheckPassword",
    "CombinedAuthenticator",
    "Htpasswd",
    "MalformedUsers",
    "MemoryAuthenticator",
    "MemoryTokenAuthenticator",
    "MemoryTokens",
    "PasswdFile",
    "SecretsFile",
    "SqliteUsers",
    "TokenIntrospection",
    "UserDirectory",
    "UserEntry",
    "UsersFile",
    "remove_user",
    "set_password",
]

export(
    globals(),
    {
        ".certificate_names": "CertificateField CertificateNames",
        ".checkpassword": "CheckPassword",
        ".combined": "CombinedAuthenticator",
        ".directory": "UserDirectory UserEntry",
        ".htpasswd": "Htpasswd",
        ".introspection": "TokenIntrospection",
        ".memory": "MemoryAuthenticator MemoryTokenAuthenticator MemoryTokens",
        ".passwd_file": "PasswdFile",
        ".secrets_file": "SecretsFile",
        ".sqlite": "SqliteUsers",
        ".users_file": "MalformedUsers UsersFile remove_user set_password",
    },
)
