"""A fixture for pytest: put `pytest_plugins = ["pop3proto.testing.fixtures"]` into the topmost conftest.py."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from . import Pop3Server, pop3_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["start_pop3_server"]


@pytest.fixture
def start_pop3_server() -> Iterator[Callable[..., Pop3Server]]:
    """A function that starts a server; it takes what `pop3_server` takes, and the server ends with the test."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(pop3_server(*args, **kwargs))
