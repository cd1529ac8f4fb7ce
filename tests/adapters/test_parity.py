"""The three adapters have the same names and meanings, and nothing in them that belongs into the core."""

import ast
import inspect
import io
import token
import tokenize
from pathlib import Path

import pytest

import pop3proto
from pop3proto import asyncio as over_asyncio, blocking as over_sockets, trio as over_trio
from pop3proto.core.commands import STANDARD

PACKAGE = Path(pop3proto.__file__).parent
MODULES = {"blocking": over_sockets, "asyncio": over_asyncio, "trio": over_trio}
ROOMS = ("_io", "_aio", "asyncio", "trio", "blocking")
SURFACES = ("_aio/client.py", "_aio/message.py", "blocking/client.py", "blocking/message.py")
EVERYTHING = tuple(str(path.relative_to(PACKAGE)) for room in ROOMS for path in sorted((PACKAGE / room).glob("*.py")))
STREAMS = tuple(name for name in EVERYTHING if name not in SURFACES)
MOST = 270  # lines of code in one file

# ------------------------------------------------------------------------------------------- signatures

# What differs, and why. Nothing else may.
SYNCHRONOUS = {  # they do not wait: a context, an iterator, or a plan is returned at once, a service replaced
    *("retr", "top", "retrieve", "stream", "keep_alive", "login_plan", "use"),
}
RENAMED = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "aclose": "close",  # as coroutines are called that close something
}
ONLY_ASYNCHRONOUS = {
    "aside",  # a file is written in a worker thread
    "__anext__",  # an iterator, where the blocking one is a generator
}
WORDS = {"AsyncClient": "Client", "AsyncIncomingMessage": "IncomingMessage"}
AWAITED = {"Connecting"}  # what `connect` returns, to be awaited or entered
PAIRS = [
    (over_sockets.Client, over_asyncio.AsyncClient),
    (over_sockets.IncomingMessage, over_asyncio.AsyncIncomingMessage),
]


def parameters(function, left_out=()):
    """Name, kind and default of each, in order."""
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found if one.name not in left_out]


def annotations(function, left_out=()):
    """How each is annotated, as it is written."""
    found = inspect.signature(function).parameters.values()
    return {one.name: one.annotation for one in found if one.name not in left_out}


def members(kind):
    """What anybody may use of a class, by its blocking name."""
    special = {"__enter__", "__exit__", "__aenter__", "__aexit__", "__iter__", "__aiter__", "__anext__", "__next__"}
    names = {name for one in kind.__mro__[:-1] for name in vars(one) if not name.startswith("_") or name in special}
    return {RENAMED.get(name, name): inspect.getattr_static(kind, name) for name in names - ONLY_ASYNCHRONOUS}


def test_the_names():
    assert {WORDS.get(name, name) for name in over_asyncio.__all__} - AWAITED == set(over_sockets.__all__)
    assert over_asyncio.__all__ == over_trio.__all__
    assert over_asyncio.AsyncClient is over_trio.AsyncClient
    assert over_asyncio.AsyncIncomingMessage is over_trio.AsyncIncomingMessage


@pytest.mark.parametrize("name", ["connect", "connect_over", "serve"])
@pytest.mark.parametrize("module", ["asyncio", "trio"])
def test_functions(module, name):
    ours, theirs = getattr(over_sockets, name), getattr(MODULES[module], name)
    assert parameters(theirs) == parameters(ours)
    assert annotations(theirs, ["stream"]) == annotations(ours, ["stream"])


def test_documentation_of_serve_is_the_same():
    """But for how a server begins."""

    def arguments(module):
        text = inspect.getdoc(module.serve)
        return text[text.index("Args:") : text.index("Returns:")]

    assert arguments(over_asyncio) == arguments(over_trio) == arguments(over_sockets)
    for name in ("address", "close", "abort", "wait"):
        ours, theirs = (getattr(module.Server, name) for module in (over_sockets, over_asyncio))
        assert inspect.getdoc(theirs) == inspect.getdoc(ours), name


@pytest.mark.parametrize("module", ["asyncio", "trio"])
def test_servers(module):
    ours, theirs = members(over_sockets.Server), members(MODULES[module].Server)
    assert ours.keys() == theirs.keys()
    for name, member in ours.items():
        check_pair(name, member, theirs[name])


@pytest.mark.parametrize("pair", PAIRS, ids=["clients", "messages"])
def test_clients_and_messages(pair):
    ours, theirs = map(members, pair)
    assert ours.keys() == theirs.keys()
    for name, member in ours.items():
        check_pair(name, member, theirs[name])


def check_pair(name, ours, theirs):
    """A property stays one; a method has the same parameters, and is waited for unless it says otherwise."""
    if isinstance(ours, property):
        assert isinstance(theirs, property), name
        return
    assert parameters(theirs) == parameters(ours), name
    assert annotations(theirs) == annotations(ours), name
    assert not inspect.iscoroutinefunction(ours), name
    assert inspect.iscoroutinefunction(theirs) == (name not in SYNCHRONOUS | {"__iter__"}), name


@pytest.mark.parametrize("pair", PAIRS, ids=["clients", "messages"])
def test_they_are_made_of_the_same(pair):
    one, other = pair
    assert parameters(one) == parameters(other)


def test_documentation_of_the_methods_is_the_same():
    """But for the words that say how to wait."""
    ours, theirs = map(members, PAIRS[0])
    for name in ours.keys() - {"close", "perform", "__enter__", "__exit__"}:
        text = inspect.getdoc(theirs[name])
        assert text.replace("`async with`", "`with`").replace("an `with`", "a `with`") == inspect.getdoc(ours[name]), (
            name
        )


# --------------------------------------------------------------------------------------------- thinness


def lines_of_code(source):
    """The lines on which there is anything but blanks, comments and docstrings."""
    quiet = {token.NEWLINE, token.NL, token.INDENT, token.DEDENT, token.COMMENT, token.ENDMARKER, token.ENCODING}
    lines = set()
    for item in tokenize.tokenize(io.BytesIO(source).readline):
        if item.type not in quiet:
            lines |= set(range(item.start[0], item.end[0] + 1))
    for node in docstrings(ast.parse(source)):
        lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def docstrings(tree):
    """The nodes of all docstrings, those of attributes too."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]


def test_what_a_line_of_code_is():
    source = b'"""A\nB."""\n\n# no\nx = (  # one\n    1,\n)\n\ndef f():\n    """No."""\n    return x\n'
    assert lines_of_code(source) == 5


@pytest.mark.parametrize("name", EVERYTHING)
def test_it_is_read_in_two_minutes(name):
    assert lines_of_code((PACKAGE / name).read_bytes()) < MOST


def test_no_adapter_is_forgotten():
    assert set(SURFACES) <= set(EVERYTHING)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "_exports.py", "logs.py"}


VERBS = {command.verb for command in STANDARD}


def words_of(tree):
    """Names and literals in code, outside of docstrings."""
    silent = {id(node.value) for node in docstrings(tree)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() | bytes() as value) if id(node) not in silent:
                yield from (value if isinstance(value, str) else value.decode("latin-1")).replace("-", " ").split()
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.alias(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


@pytest.mark.parametrize("name", STREAMS)
def test_where_octets_are_moved_nobody_knows_a_command(name):
    """Neither a verb, nor the class of a command (style, 14)."""
    tree = ast.parse((PACKAGE / name).read_bytes())
    words = {word.strip("\r\n\"'`.,:;()") for word in words_of(tree)}
    assert words & VERBS == set()
    assert words & {command.__name__ for command in STANDARD} == set()


def test_that_a_verb_would_be_found():
    assert {"USER", "PASS", "RETR", "STLS", "QUIT", "AUTH", "CAPA"} <= VERBS
    for source in ("send(b'QUIT\\r\\n')", "QUIT = 1", "x.RETR", "f('+OK RETR')", "from a import STLS"):
        assert {word.strip() for word in words_of(ast.parse(source))} & VERBS
    assert not set(words_of(ast.parse('"""Say QUIT."""\ndef f():\n    """QUIT"""\n'))) & VERBS


CLIENTS = {"_aio/client.py": "AsyncClient", "blocking/client.py": "Client"}
LOOPS = {"_aio/client.py": set(), "blocking/client.py": {"stream"}}  # a generator; the others are classes


@pytest.mark.parametrize("name", list(CLIENTS))
def test_a_client_is_nothing_but_calls(name):
    tree = ast.parse((PACKAGE / name).read_bytes())
    [client] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == CLIENTS[name]]
    methods = [node for node in client.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert len(methods) > 20
    decides = {
        method.name
        for method in methods
        for node in ast.walk(method)
        if isinstance(node, ast.If | ast.IfExp | ast.Match)
    }
    repeats = {method.name for method in methods for node in ast.walk(method) if isinstance(node, ast.For | ast.While)}
    assert decides == set(), "what may be decided is whether it is used, and is over: the runner does"
    assert repeats == LOOPS[name]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert functions == [], "what is not a method is none of its business"
