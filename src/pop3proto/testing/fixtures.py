"""The pytest fixture `start_pop3_server`, for test servers.

Put `pytest_plugins = ["pop3proto.testing.fixtures"]` in the topmost conftest.py.
"""

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
    """Return a function that starts a test server; it has the arguments of `pop3_server`. Servers end with the test."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(pop3_server(*args, **kwargs))
