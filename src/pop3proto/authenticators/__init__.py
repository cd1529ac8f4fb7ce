"""Who may log in: the authenticators.

`UsersFile`, what changes its file, and `CheckPassword` are loaded when they are asked for, because they need a POSIX
system; the others run on any.
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
