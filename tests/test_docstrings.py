"""The examples in the docstrings of the core and of SASL run."""

import inspect
import os
import textwrap
from itertools import takewhile

import pytest

import pop3proto
from pop3proto import sasl

PUBLIC = {name: getattr(package, name) for package in (pop3proto, sasl) for name in package.__all__}


def example(documented):
    """The code block of a docstring; "" if it has none."""
    _, _, rest = (inspect.getdoc(documented) or "").partition("::\n\n")
    lines = takewhile(lambda line: line.startswith(" ") or not line.strip(), rest.splitlines(keepends=True))
    return textwrap.dedent("".join(lines))


EXAMPLES = {name: code for name, value in PUBLIC.items() if inspect.isclass(value) and (code := example(value))}


def test_they_are_found():
    assert EXAMPLES.keys() >= {"BodyDecoder", "BodyEncoder", "Capabilities", "ClientConnection", "ServerConnection"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name):
    exec(EXAMPLES[name], {**PUBLIC, "os": os})
