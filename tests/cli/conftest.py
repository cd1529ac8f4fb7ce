"""What the tests of the command may rely on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pop3proto.blocking.stream import SocketDriver
from tests.helpers.cli_tls import Authority


@pytest.fixture(autouse=True)
def files_of_ones_own() -> Iterator[None]:
    """Let no other user read the files with passwords that tests make: the command warns of it."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch not wait between two sessions."""

    async def sleep(*_: object) -> None:
        pass

    monkeypatch.setattr(SocketDriver, "sleep", sleep)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A Maildir to fetch into: it does not exist yet."""
    return tmp_path / "mail"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
