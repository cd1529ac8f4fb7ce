"""A file of users that costs its hashes once."""

import tempfile
from functools import cache
from pathlib import Path

from pop3proto.authenticators import set_password


@cache
def users_file(*names: str) -> bytes:
    """Return a users file in which the password of each user is "x"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "users"
        for name in names:
            set_password(path, name, "x")
        return path.read_bytes()
