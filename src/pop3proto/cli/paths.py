"""Arguments that are paths; and what arguments are added to."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any, Protocol

__all__ = ["TakesArguments", "path_argument"]


class TakesArguments(Protocol):
    """A parser, or a group of its arguments."""

    def add_argument(self, *names: str, **settings: Any) -> Any:  # noqa: ANN401 - as argparse has it
        """Add an argument."""
        ...

    def add_mutually_exclusive_group(self) -> TakesArguments:
        """Add a group of arguments of which one may be given."""
        ...


def path_argument(text: str) -> Path:
    """Return a path.

    Raises:
        ArgumentTypeError: it is empty, as a variable of a shell that is not set. `Path` takes that for this folder.
    """
    if not text:
        raise ArgumentTypeError("the path is empty")
    return Path(text)
