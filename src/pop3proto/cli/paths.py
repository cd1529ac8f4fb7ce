"""Arguments that are paths."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

__all__ = ["path_argument"]


def path_argument(text: str) -> Path:
    """Return a path.

    Raises:
        ArgumentTypeError: it is empty, as a variable of a shell that is not set. `Path` takes that for this folder.
    """
    if not text:
        raise ArgumentTypeError("the path is empty")
    return Path(text)
