"""The public names: what the packages below promise, and nothing else.

`tests/data/public_names.txt` is the promise. A change of it is a change of the API: it needs a line in the changelog.
To write it again: `python -m tests.test_public_names`.
"""

import importlib
from pathlib import Path

PACKAGES = (
    "pop3proto",
    "pop3proto.asyncio",
    "pop3proto.authenticators",
    "pop3proto.blocking",
    "pop3proto.logs",
    "pop3proto.maildrops",
    "pop3proto.procedures",
    "pop3proto.sasl",
    "pop3proto.testing",
    "pop3proto.trio",
)
LIST = Path(__file__).parent / "data" / "public_names.txt"


def public_names() -> list[str]:
    return [f"{package}.{name}" for package in PACKAGES for name in sorted(importlib.import_module(package).__all__)]


def test_the_public_names_are_those_that_were_promised() -> None:
    assert public_names() == LIST.read_text("utf-8").splitlines()


def test_each_of_them_is_there() -> None:
    for name in public_names():
        package, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(package), last), name


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n", "utf-8")
