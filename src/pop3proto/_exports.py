"""Public names that are imported when they are first used.

A package's `__init__.py` runs before any of its modules. If it imported what it exports, each program would load all
of it: a client the server, `pop3proto --help` everything. So it says three times what it exports: in imports that type
checkers alone see, in `__all__`, and in `export`. A test compares them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["export"]


def export(namespace: dict[str, object], names: Mapping[str, str]) -> None:
    """Let a package import each of its public names when it is first used (PEP 562).

    `from package import name`, `import *`, `dir()` and `hasattr()` work as ever. An `ImportError` of the module behind
    a name is raised where the name is first used. Type checkers do not see what this adds, so that they still report a
    name that does not exist.

    Args:
        namespace: the package's `globals()`.
        names: the names in each module, separated by spaces. A module that begins with a dot is in the package.
    """
    package = str(namespace["__name__"])
    modules = {name: module for module, several in names.items() for name in several.split()}

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        value: object = getattr(import_module(modules[name], package), name)
        namespace[name] = value  # from now on Python finds it without asking again
        return value

    namespace["__getattr__"] = load
    namespace["__dir__"] = lambda: sorted({*namespace, *modules})
