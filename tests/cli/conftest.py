"""What the tests of the command may rely on."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def files_of_ones_own() -> Iterator[None]:
    """Let no other user read the files with passwords that tests make: the command warns of it."""
    before = os.umask(0o077)
    yield
    os.umask(before)
