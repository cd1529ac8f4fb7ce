"""Let programs that import `poplib` have this module instead."""

from __future__ import annotations

import importlib
import sys
from typing import Final

from .standard import STANDARD
from .tls import verify_by_default

__all__ = ["install", "uninstall"]

_CLASSES: Final = ("POP3", "POP3_SSL")
_before: Final = {name: getattr(STANDARD, name) for name in _CLASSES if hasattr(STANDARD, name)}


def install(*, verify: bool = True) -> None:
    """From now on `import poplib` gives this module; call it before the program is imported.

    A module that has imported `poplib` before, as a module, has our classes in it. One that has taken its classes
    (`from poplib import POP3`) keeps those.

    Args:
        verify: verify TLS where the program passes no context; False: do as `poplib` does, which lets an
            attacker in between read the password.
    """
    module = importlib.import_module("pop3proto.poplib")
    sys.modules["poplib"] = module
    for name in _before:
        setattr(STANDARD, name, getattr(module, name))
    verify_by_default(verify)


def uninstall() -> None:
    """Take back `install`, for programs that are imported later, and for tests."""
    if STANDARD is None:
        sys.modules.pop("poplib", None)
    else:
        sys.modules["poplib"] = STANDARD
    for name, value in _before.items():
        setattr(STANDARD, name, value)
    verify_by_default(verify=True)
