"""What is wrong with a configuration file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ConfigError", "MissingExtra"]


class ConfigError(ValueError):
    """A configuration file has errors.

    Args:
        errors: all of them, a line each, with the file, the table and the key.
    """

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors: tuple[str, ...] = tuple(errors)


class MissingExtra(ValueError):
    """An extra is not installed.

    Args:
        what: what needs it.
        extra: its name.
        error: why a package could not be imported. If a module of Python itself is missing, no extra helps, and that is
            told: the user as whom the process runs may not read them all.
    """

    def __init__(self, what: str, extra: str, error: ImportError | None = None) -> None:
        python = sys.executable or "python3"
        missing = "" if error is None else (error.name or "").partition(".")[0]
        if missing in sys.stdlib_module_names:
            super().__init__(f"{what} cannot be used: {error}; can this user read all files of {python}?")
        else:
            super().__init__(f"{what} needs more packages: install pop3proto with the extra [{extra}] for {python}")
