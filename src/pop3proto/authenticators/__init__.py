"""Authenticators for a server: check passwords and access tokens.

`MemoryAuthenticator`, `MemoryTokens` and `MemoryTokenAuthenticator` keep credentials in memory; `UsersFile` reads a
file of scrypt hashes and SCRAM keys, which `set_password` and `remove_user` change; `CheckPassword` runs a program.
`UsersFile`, `set_password`, `remove_user` and `CheckPassword` need a POSIX system and are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from .memory import MemoryAuthenticator, MemoryTokenAuthenticator, MemoryTokens

if TYPE_CHECKING:
    from .checkpassword import CheckPassword
    from .users_file import UsersFile, remove_user, set_password

__all__ = [
    "CheckPassword",
    "MemoryAuthenticator",
    "MemoryTokenAuthenticator",
    "MemoryTokens",
    "UsersFile",
    "remove_user",
    "set_password",
]

_POSIX: Final = {
    "CheckPassword": "checkpassword",
    "UsersFile": "users_file",
    "remove_user": "users_file",
    "set_password": "users_file",
}


def __getattr__(name: str) -> object:
    if name in _POSIX:
        module: object = import_module(f".{_POSIX[name]}", __name__)
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
