"""Values of a configuration file by type: what the files of fetch and serve share."""

from pathlib import Path
from typing import Literal

import attrs
import pytest

from pop3proto._config.keys import about
from pop3proto._config.reference import KeyTables
from pop3proto._config.structuring import Structuring, explain
from pop3proto._config.units import Octets


@attrs.frozen
class Inner:
    to: str = attrs.field(metadata=about("where"))


@attrs.frozen
class Outer:
    from_: str = attrs.field(metadata=about("whence"))
    size: int | None = attrs.field(default=1000, metadata=about("how much", Octets))
    then: Literal["keep", "drop"] | Inner = attrs.field(default="keep", metadata=about("what then"))
    place: Literal["here", "there"] | Path = attrs.field(default="here", metadata=about("in a file, or not"))


STRUCTURING = Structuring("x")


def errors(value):
    with pytest.raises(Exception) as failed:  # noqa: PT011 - `explain` tells which
        STRUCTURING.value(value, Outer)
    return [*explain(failed.value, "")]


def test_a_key_may_be_a_word_of_python_and_a_size_is_a_number():
    assert STRUCTURING.value({"from": "x", "size": "2K"}, Outer) == Outer("x", 2000)
    assert errors({"from_": "x"}) == ["from is missing", 'unknown key "from_"; did you mean "from"?']
    assert errors({"from": "x", "size": "2X"}) == ['size: a size above 0 is expected, such as "20M" or "512KiB"']


@pytest.mark.parametrize(
    "key, value, read",
    [
        ("then", "drop", "drop"),
        ("then", {"to": "y"}, Inner("y")),
        ("place", "there", "there"),
        ("place", "/x", Path("/x")),
    ],
)
def test_a_word_or_something_else(key, value, read):
    assert getattr(STRUCTURING.value({"from": "x", key: value}, Outer), key) == read


@pytest.mark.parametrize(
    "key, value, error",
    [
        ("then", "drpo", 'then: "keep" or "drop" or a table is expected; did you mean "drop"?'),
        ("then", 3, 'then: "keep" or "drop" or a table is expected'),
        ("then", {"too": "y"}, "then.to is missing"),
        ("place", "thre", 'place: the path must begin with / or ~; did you mean "there"?'),
        ("place", 3, "place: a text is expected, in quotes and not empty"),
    ],
)
def test_neither_is_an_error(key, value, error):
    assert errors({"from": "x", key: value})[0] == error


def test_the_reference_has_keys_as_the_file_has_them():
    assert [*KeyTables({Inner: "table"}, {}).rows(Outer)] == [
        "| `from` | text | required | whence |",
        '| `size` | size | `"1K"` | how much |',
        '| `then` | `"keep"` or `"drop"` or table | `"keep"` | what then |',
        '| `place` | `"here"` or `"there"` or path | `"here"` | in a file, or not |',
    ]
