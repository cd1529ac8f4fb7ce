"""Reading the configuration file of a server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from pop3proto._config.errors import ConfigError
from pop3proto._config.reading import read_toml
from pop3proto._config.structuring import explain, keys_of

from .main import ServeConfig
from .structuring import STRUCTURING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_config"]

_UNKNOWN: Final = re.compile(r'[^:"]+: unknown key "([a-z_]+)"')


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
        raise ConfigError([f"{path}: {_with_place(line)}" for line in explain(error, "")]) from error


def _with_place(line: str) -> str:
    """Return what is wrong, with advice where a key of the file stands behind a table: it belongs to that, in TOML."""
    match = _UNKNOWN.match(line)
    if match is None or match[1] not in keys_of(ServeConfig):
        return line
    return f"{match[0]}; it is a key of the file: put it before the first [table]"
