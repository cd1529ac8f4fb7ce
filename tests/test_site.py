"""The site in docs: what the reference names, and what its drawings show."""

from __future__ import annotations

import importlib
import inspect
import re
import types
import typing
from xml.etree import ElementTree as ET

import pytest

from pop3proto import STANDARD, ClientConnection, Err, Greeting, Ok, ServerConnection, State
from pop3proto.core.session_state import transitions
from tests.helpers.snippets import DOCS

PUBLIC = [
    "pop3proto",
    "pop3proto.sasl",
    "pop3proto.poplib",
    "pop3proto.procedures",
    "pop3proto.blocking",
    "pop3proto.asyncio",
    "pop3proto.trio",
    "pop3proto.fetching",
    "pop3proto.fetching.accounts",
    "pop3proto.fetching.destinations",
    "pop3proto.maildrops",
    "pop3proto.authenticators",
    "pop3proto.logs",
    "pop3proto.serving",
    "pop3proto.serving.config",
    "pop3proto.testing",
    "pop3proto.testing.checks",
    "pop3proto.testing.faults",
    "pop3proto.testing.identity",
    "pop3proto.testing.personas",
    "pop3proto.testing.probing",
]


# ---------------------------------------------------------------------------------------------- the drawings


@pytest.fixture
def drawings(monkeypatch):
    """The extension of Sphinx, which is no package."""
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(DOCS / "_ext")
    return importlib.import_module("drawings")


@pytest.mark.site
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_diagram_shows_every_state_and_every_verb(drawings, role):
    texts = [each.text or "" for each in ET.fromstring(drawings.diagram(role)).iter() if "text" in each.tag]
    states = {state.name for state in State if role == "server" or state is not State.UPDATE}
    assert states <= set(texts)
    words = set(re.findall(r"[A-Z0-9]+", " ".join(texts)))
    assert {command.verb for command in STANDARD} <= words


@pytest.mark.site
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_diagram_has_an_arrow_for_each_transition_and_no_other(drawings, role):
    found = drawings.edges(role)
    for (source, _, _), target in transitions(STANDARD).items():
        if target is State.CLOSED and source is State.TRANSACTION and role == "server":
            assert (State.TRANSACTION, State.UPDATE) in found
            assert (State.UPDATE, State.CLOSED) in found
        else:
            assert (source, target) in found
    drawing = ET.fromstring(drawings.diagram(role))
    arrows = [each for each in drawing.iter() if each.get("class") == "edge"]
    assert len(arrows) == len([edge for edge in found if edge[0] is not edge[1]])


@pytest.mark.site
def test_what_is_not_in_the_tables_is_what_connections_do(drawings):
    for reply in (Ok(), Err()):
        client, server = ClientConnection(), ServerConnection()
        client.receive_data(server.send(Greeting(reply)))
        client.next_event()
        assert client.state is server.state
        assert (State.GREETING, server.state) in drawings.edges("client")
    server = ServerConnection()
    server.send(Greeting(Ok()))
    for line, state in {b"USER ann\r\n": State.USER_GIVEN, b"rubbish\r\n": State.AUTHORIZATION}.items():
        server.receive_data(line)
        event = server.next_event()
        server.send(getattr(event, "reply", Ok()))
        assert server.state is state
    assert (State.USER_GIVEN, State.AUTHORIZATION) in drawings.edges("server")


@pytest.mark.site
def test_lines_that_have_the_same_answer_stand_together(drawings):
    assert drawings.labels({"QUIT": {"+OK", "-ERR"}}, 20) == ["QUIT"]
    assert drawings.labels({"": {"+OK", "-ERR"}}, 20) == ["+OK, -ERR"]
    assert drawings.labels({"B": {"+OK"}, "A": {"+OK"}, "C": {"-ERR"}}, 20) == ["A, B +OK", "C -ERR"]
    assert drawings.labels({"A": {"+OK"}, "B": {"+OK"}}, 4) == ["A, B", "+OK"]


# --------------------------------------------------------------------------------------------- the reference


def named() -> list[str]:
    """What the pages of the reference document, each with its package."""
    text = "\n".join(page.read_text("utf-8") for page in sorted((DOCS / "reference").glob("*.rst")))
    return re.findall(r"^\.\. (?:auto\w+|py:data):: (\S+)$", text, re.MULTILINE)


def resolve(dotted):
    package, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(package), name)


def is_definition(thing):
    """Whether two packages that export it export the same: a class, a function or a type alias, and no plain value."""
    alias = typing.get_origin(thing) in (typing.Union, types.UnionType, typing.Literal)
    return alias or inspect.isclass(thing) or inspect.isfunction(thing)


def test_the_reference_names_no_name_twice():
    names = named()
    assert sorted(names) == sorted(set(names))
    definitions = [thing for thing in map(resolve, names) if is_definition(thing)]
    assert len(definitions) == len(set(definitions))


@pytest.mark.parametrize("package", PUBLIC)
def test_the_reference_names_every_public_name(package):
    names = named()
    # What two packages export is named once.
    definitions = {thing for thing in map(resolve, names) if is_definition(thing)}
    missing = []
    for name in importlib.import_module(package).__all__:
        thing = resolve(f"{package}.{name}")
        elsewhere = is_definition(thing) and thing in definitions
        if f"{package}.{name}" not in names and not elsewhere:
            missing.append(name)
    assert missing == []


def test_the_reference_names_public_names_only():
    for dotted in named():
        package, _, name = dotted.rpartition(".")
        assert package in PUBLIC
        assert name in importlib.import_module(package).__all__
