"""Who may log in: where the users and their passwords are."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cattrs reads the annotations
from typing import TypeAlias

import attrs

from pop3proto._config.keys import about
from pop3proto._config.units import Seconds

from .checks import positive

__all__ = ["CheckpasswordUsers", "FileUsers", "Users"]


@attrs.frozen(kw_only=True)
class FileUsers:
    """Users in a file of `pop3proto passwd`."""

    file: Path = attrs.field(metadata=about("a file that `pop3proto passwd` writes"))


@attrs.frozen(kw_only=True)
class CheckpasswordUsers:
    """Users that a program knows."""

    checkpassword: tuple[str, ...] = attrs.field(
        metadata=about("a program with its arguments, which checks each password as qmail's checkpassword does")
    )
    timeout: Seconds = attrs.field(
        default=Seconds(30), metadata=about("the time that the program has"), validator=positive
    )


Users: TypeAlias = FileUsers | CheckpasswordUsers
