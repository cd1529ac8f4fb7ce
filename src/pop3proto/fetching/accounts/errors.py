"""What is wrong with an account: in its URL, its configuration, or where its secret comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._config import errors as shared

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AccountError", "ConfigError", "SecretError", "missing_extra"]


class AccountError(ValueError):
    """An account cannot be used as it is written. Nothing was sent to a server.

    Args:
        problems: what is wrong, a line each; the message has all of them.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems: tuple[str, ...] = problems


class SecretError(AccountError):
    """A password or token cannot be had. The message does not show it."""


class ConfigError(AccountError, shared.ConfigError):
    """A configuration file has errors.

    Args:
        errors: all of them, a line each, with the file, the table and the key.
    """

    def __init__(self, errors: Sequence[str]) -> None:
        shared.ConfigError.__init__(self, errors)
        self.problems: tuple[str, ...] = self.errors


def missing_extra(what: str, extra: str) -> AccountError:
    """Return the error for an extra that is not installed.

    Args:
        what: what needs it.
        extra: its name.
    """
    return AccountError(str(shared.MissingExtra(what, extra)))
