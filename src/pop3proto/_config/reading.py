"""Configuration files in TOML."""

from __future__ import annotations

import codecs
import os
import stat
import tomllib
from typing import TYPE_CHECKING, Any, Final

from .errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_toml"]

_OTHERS: Final = 0o077


def read_toml(path: Path) -> tuple[dict[str, Any], bool]:
    """Read a file.

    Returns:
        What it says; and whether no other user may read it.

    Raises:
        ConfigError: it is no TOML.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        octets = file.read()
    if octets.startswith(codecs.BOM_UTF8):
        raise ConfigError([f"{path}: it begins with a byte order mark (BOM): save it as UTF-8 without one"])
    try:
        data = tomllib.loads(octets.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: it is not UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: {error}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{path}: its arrays or tables are nested too deeply"]) from error
    return data, os.name != "posix" or not stat.S_ISREG(mode) or not mode & _OTHERS
