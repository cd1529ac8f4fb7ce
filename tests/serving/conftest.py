"""Maildirs of tests."""

from pathlib import Path

import pytest

from pop3proto.maildrops.delivery import ensure_maildir


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    return path
