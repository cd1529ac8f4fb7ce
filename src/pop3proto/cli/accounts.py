"""The configuration file of `pop3proto fetch` on the command line: its options, its check, its errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pop3proto.core.text import counted, visible
from pop3proto.fetching.accounts.errors import AccountError, ConfigError

from .exit_statuses import CONFIGURATION
from .failures import Failure, warn
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
    with account_failures("pop3proto fetch"):
        from pop3proto.fetching.accounts.config import check_config, config_path  # noqa: PLC0415 - not for each fetch

        for line in check_config(config_path(given)):
            print(visible(line))
    return 0


@contextmanager
def account_failures(command: str) -> Generator[None]:
    """Turn errors of accounts in a block into failures of a command, with the status for configurations.

    Args:
        command: its name, the prefix of the lines.

    Raises:
        Failure: there was one. All errors of a configuration file are told, a line each.
    """
    try:
        yield
    except ConfigError as error:
        for line in error.errors:
            warn(f"{command}: {line}")
        raise Failure(f"{counted(len(error.errors), 'error')} in the configuration", CONFIGURATION) from error
    except AccountError as error:
        raise Failure(str(error), CONFIGURATION) from error
