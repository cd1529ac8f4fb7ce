"""What the tests of accounts may rely on: files that nobody else can read, and a home of their own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def a_home_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "POP3PROTO_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    before = os.umask(0o077)
    yield home
    os.umask(before)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration file."""

    def write(text: str, mode: int = 0o600) -> Path:
        file = tmp_path / "fetch.toml"
        file.write_text(text)
        file.chmod(mode)
        return file

    return write
