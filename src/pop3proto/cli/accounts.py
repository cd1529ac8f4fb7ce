"""The configuration file of `pop3proto fetch` on the command line: its options, its check, its errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pop3proto.core.text import counted, visible
from pop3proto.fetching.accounts.errors import AccountError, ConfigError

from .exit_statuses import CONFIGURATION
from .failures import Failure
from .paths import path_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["account_failures", "add_config_argument", "check_configuration"]


def add_config_argument(parser: ArgumentParser) -> None:
    """Add the argument that names the configuration file."""
    parser.add_argument(
        "--config",
        type=path_argument,
        metavar="FILE",
        help="the configuration file (default: $POP3PROTO_CONFIG, or pop3proto/fetch.toml in your folder for "
        "configuration, such as ~/.config)",
    )


def check_configuration(given: Path | None) -> int:
    """Print what the accounts of a configuration file come to.

    Args:
        given: its path; None: where it usually is.

    Raises:
        Failure: as `account_failures`.
    """
    with account_failures():
        from pop3proto.fetching.accounts.config import check_config, config_path  # noqa: PLC0415 - not for each fetch

        for line in check_config(config_path(given)):
            print(visible(line))
    return 0


@contextmanager
def account_failures() -> Generator[None]:
    """Turn errors of accounts in a block into failures of a command, with the status for configurations.

    Raises:
        Failure: there was one. It has all errors of a configuration file, a line each.
    """
    try:
        yield
    except ConfigError as error:
        text = f"{counted(len(error.errors), 'error')} in the configuration"
        raise Failure(text, CONFIGURATION, error.errors) from error
    except AccountError as error:
        raise Failure(str(error), CONFIGURATION) from error
