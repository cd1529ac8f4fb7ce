"""The public names: what the packages below promise, and nothing else.

`tests/data/public_names.txt` is the promise. A change of it is a change of the API: it needs a line in the changelog.
To write it again: `python -m tests.test_public_names`.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import FunctionType
from typing import ParamSpec, TypeVar

import pytest

PACKAGES = (
    "pop3proto",
    "pop3proto.asyncio",
    "pop3proto.authenticators",
    "pop3proto.blocking",
    "pop3proto.fetching",
    "pop3proto.fetching.accounts",
    "pop3proto.fetching.destinations",
    "pop3proto.logs",
    "pop3proto.maildrops",
    "pop3proto.poplib",
    "pop3proto.procedures",
    "pop3proto.sasl",
    "pop3proto.serving",
    "pop3proto.serving.config",
    "pop3proto.testing",
    "pop3proto.testing.checks",
    "pop3proto.testing.faults",
    "pop3proto.testing.identity",
    "pop3proto.testing.personas",
    "pop3proto.testing.probing",
    "pop3proto.trio",
)
LIST = Path(__file__).parent / "data" / "public_names.txt"

# The library makes these objects, so their constructors are not public.
MADE_BY_THE_LIBRARY = {
    "AsyncClient",
    "AsyncIncomingMessage",
    "Client",
    "Conversation",
    "Delivered",
    "IncomingMessage",
    "MemoryServer",
    "MemorySession",
    "Place",
    "Pop3Server",
    "Server",
    "ServerSession",
    "SessionLimiter",
}


# These mean one thing in the fetch, and another elsewhere: its words are those of the journal and of the configuration.
# So do these in a server: a policy decides from facts, there and in the fetch and the checks; and its configuration is
# another one.
TWO_MEANINGS = {
    "ConfigError",
    "Facts",
    "Octets",
    "Policy",
    "Report",
    "SecretSource",
    "Step",
    "Target",
    "login",
    "read_config",
}


def all_of(package: str) -> list[str]:
    return list(importlib.import_module(package).__all__)


def public_names() -> list[str]:
    return [f"{package}.{name}" for package in PACKAGES for name in sorted(all_of(package))]


def test_the_public_names_are_those_that_were_promised() -> None:
    assert public_names() == LIST.read_text("utf-8").splitlines()


def test_each_of_them_is_there() -> None:
    for name in public_names():
        package, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(package), last), name


def test_a_name_means_one_thing() -> None:
    """Also in another package, but for the adapters: each has its own `connect`, `serve` and what they return."""
    meanings: dict[str, set[int]] = {}
    for name in public_names():
        package, _, last = name.rpartition(".")
        if package not in {"pop3proto.asyncio", "pop3proto.blocking", "pop3proto.trio"}:
            meanings.setdefault(last, set()).add(id(getattr(importlib.import_module(package), last)))
    assert {name for name, things in meanings.items() if len(things) > 1} == TWO_MEANINGS


# ------------------------------------------------------------------------------- types in signatures


@cache
def types_of_ours(module_name: str) -> dict[str, object]:
    """The types of pop3proto that annotations in a module may name, also those that only type checkers import."""
    module = importlib.import_module(module_name)
    found: dict[str, object] = {
        name: value
        for name, value in vars(module).items()
        if str(getattr(value, "__module__", "")).startswith("pop3proto")
    }
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            found[ast.unparse(node.target)] = getattr(module, ast.unparse(node.target))
        elif isinstance(node, ast.ImportFrom):
            dots_and_name = "." * node.level + (node.module or "")
            source = resolve_name(dots_and_name, str(module.__package__))
            if source.split(".")[0] == "pop3proto":
                origin = importlib.import_module(source)
                found.update({alias.asname or alias.name: getattr(origin, alias.name) for alias in node.names})
    return {name: value for name, value in found.items() if not isinstance(value, TypeVar | ParamSpec)}


def signatures(public: object) -> Iterator[tuple[str, str, dict[str, object]]]:
    """The module, the name and the annotations of a function, or of each public method and field of a class."""
    if isinstance(public, FunctionType):
        function = inspect.unwrap(public)
        yield function.__module__, function.__qualname__, inspect.get_annotations(function)
    elif isinstance(public, type):
        for base in public.__mro__:
            if base.__module__.split(".")[0] == "pop3proto":
                fields = inspect.get_annotations(base).items()
                yield base.__module__, base.__qualname__, {name: one for name, one in fields if name[0] != "_"}
                yield base.__module__, f"{base.__qualname__}.__init__", attributes(base)
                yield from methods(base, with_constructor=public.__name__ not in MADE_BY_THE_LIBRARY)


def attributes(kind: type) -> dict[str, object]:
    """The public attributes that a constructor sets, with their types: annotated, or those of arguments or classes."""
    if "__init__" not in vars(kind) or not isinstance(function := vars(kind)["__init__"], FunctionType):
        return {}
    given = inspect.get_annotations(function)
    found: dict[str, object] = {}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        match node:
            case ast.AnnAssign(
                target=ast.Attribute(value=ast.Name("self"), attr=name), annotation=ast.Name("Final"), value=value
            ):
                found[name] = type_of(value, given)
            case ast.AnnAssign(target=ast.Attribute(value=ast.Name("self"), attr=name), annotation=annotation):
                found[name] = ast.unparse(annotation)
            case ast.Assign(targets=[ast.Attribute(value=ast.Name("self"), attr=name)], value=value):
                found[name] = type_of(value, given)
            case _:
                pass
    return {name: one for name, one in found.items() if not name.startswith("_")}


def type_of(value: ast.expr | None, given: dict[str, object]) -> object:
    match value:
        case ast.Name(name):
            return given.get(name, "object")
        case ast.Call(func=ast.Name(name)):
            return name
        case _:
            return "object"


def methods(kind: type, *, with_constructor: bool) -> Iterator[tuple[str, str, dict[str, object]]]:
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        special = name.startswith("__") and (with_constructor or name != "__init__")
        if isinstance(function, FunctionType) and (special or not name.startswith("_")):
            yield kind.__module__, f"{kind.__qualname__}.{name}", inspect.get_annotations(function)


def types_in(public: object) -> Iterator[tuple[str, str, object]]:
    """Where, by which name, and which type of pop3proto the signatures of a public object have."""
    for module, where, annotations in signatures(public):
        for annotation in annotations.values():
            known = types_of_ours(module)
            for node in ast.walk(ast.parse(annotation, mode="eval")) if isinstance(annotation, str) else ():
                if isinstance(node, ast.Name) and node.id in known:
                    yield f"{module}.{where}", node.id, known[node.id]


def test_types_in_signatures_are_found() -> None:
    blocking = importlib.import_module("pop3proto.blocking")
    assert {"TlsMode", "Cleartext", "Client", "ClientObserver"} <= {name for _, name, _ in types_in(blocking.connect)}
    of_a_client = {name for _, name, _ in types_in(blocking.Client)}
    assert {"LoginPlan", "Capabilities", "TlsInfo"} <= of_a_client, "of methods and properties"
    assert {"Session", "Peer"} <= of_a_client, "of attributes"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_type_in_a_public_signature_is_public(package: str) -> None:
    public = [getattr(importlib.import_module(name), each) for name in PACKAGES for each in all_of(name)]
    hidden = {
        f"{where}: {name}"
        for each in all_of(package)
        for where, name, used in types_in(getattr(importlib.import_module(package), each))
        if not any(used is one for one in public)
    }
    assert hidden == set()


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n", "utf-8")
