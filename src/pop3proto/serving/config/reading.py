"""Reading the configuration file of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pop3proto._config.errors import ConfigError
from pop3proto._config.reading import read_toml
from pop3proto._config.structuring import explain

from .main import ServeConfig
from .structuring import STRUCTURING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_config"]


def read_config(path: Path) -> ServeConfig:
    """Read a configuration file. What it names is not looked at.

    Raises:
        ConfigError: it has errors, all of which are told.
        MissingExtra: the extra `server` is not installed.
        OSError: it cannot be read.
    """
    STRUCTURING.require_extra()
    data, _ = read_toml(path)
    try:
        return cast("ServeConfig", STRUCTURING.value(data, ServeConfig))
    except Exception as error:
        raise ConfigError([f"{path}: {line}" for line in explain(error, "")]) from error
