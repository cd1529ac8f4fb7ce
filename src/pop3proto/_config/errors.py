"""What is wrong with a configuration file."""

from __future__ import annotations

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
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: python3 -m pip install 'pop3proto[{extra}]'")
