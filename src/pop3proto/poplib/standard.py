"""The classes of the standard library's `poplib`; where a Python has none, what stands in for them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from poplib import POP3 as StandardPOP3, POP3_SSL as StandardPOP3_SSL, error_proto  # noqa: N811 - they are classes
    from types import ModuleType

__all__ = ["STANDARD", "StandardPOP3", "StandardPOP3_SSL", "error_proto"]


def _standard() -> ModuleType | None:
    try:
        return importlib.import_module("poplib")
    except ImportError:  # a later Python, perhaps
        return None


STANDARD: Final = _standard()
"""The module of the standard library; None: this Python has none."""

if not TYPE_CHECKING:
    if STANDARD is not None:
        StandardPOP3, error_proto = STANDARD.POP3, STANDARD.error_proto
        StandardPOP3_SSL = getattr(STANDARD, "POP3_SSL", StandardPOP3)  # none without OpenSSL
    else:

        class error_proto(Exception):  # noqa: N801 - its name
            """What `poplib` raises for whatever the server says or does wrong."""

        class StandardPOP3:
            """The base of `POP3`."""

        class StandardPOP3_SSL(StandardPOP3):  # noqa: N801 - its name
            """The base of `POP3_SSL`."""
