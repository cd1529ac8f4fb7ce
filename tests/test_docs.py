"""Every example of the pages in docs runs, as it stands there, against servers on this machine."""

from __future__ import annotations

import asyncio
import inspect
import poplib
import re
import shlex
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme

import pop3proto
from pop3proto import Auth, Command, Limits, Pass, Pop3Error
from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.blocking import Server, serve
from pop3proto.cli import _COMMANDS, _import, _parser_of
from pop3proto.core.events import ServerEvent
from pop3proto.core.server import Response
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Deadlines, Service, SessionInfo
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.client.login_plan import APOP, USER_PASS
from pop3proto.sasl import CLIENT_MECHANISMS, SERVER_MECHANISMS, ChannelBinding, ServerMechanisms, Strength, TlsInfo
from pop3proto.sasl.authenticator import CustomAuthenticator
from pop3proto.testing import Pop3Server
from tests.helpers.snippets import DOCS, PAGES, Snippet, shell_commands, snippets

pytest_plugins = ["pop3proto.testing.fixtures"]

AUTHENTICATION = DOCS / "authentication"
SNIPPETS = list(snippets(*PAGES))

TOKEN = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"  # the one in Google's description of XOAUTH2
LONG_TOKEN = "eyJ0eXAi" + 500 * "Ab0-"  # Microsoft's are as long
SHORT_TOKEN = "mF_9.B5f-4.1JqM"  # that of the examples in RFC 6750
TOKENS = {TOKEN: "ann@example.com", LONG_TOKEN: "ann@example.com", SHORT_TOKEN: "ann"}
MAIL = [b"Subject: one\n\n.one\n", b"Subject: two\n\ntwo\n"]

# What each page is about: the names in the plan, and what a server of that page must offer.
ABOUT = {
    "plain": {"PLAIN"},
    "login": {"LOGIN"},
    "cram-md5": {"CRAM-MD5"},
    "scram": {name for name in CLIENT_MECHANISMS if name.startswith("SCRAM-")},
    "external": {"EXTERNAL"},
    "anonymous": {"ANONYMOUS"},
    "oauthbearer": {"OAUTHBEARER"},
    "xoauth2": {"XOAUTH2"},
    "apop": {APOP},
    "user-pass": {USER_PASS},
}


# ------------------------------------------------------------------------------------------- the servers


class Everybody(MemoryTokenAuthenticator):
    """Passwords, tokens, certificates, and anybody."""

    def check_certificate(self, certificate: bytes, authzid: str, session: object, /) -> str | None:
        return "ann" if authzid in ("", "ann") else None

    def admit(self, trace: str, session: object, /) -> str | None:
        return "public"


class Witness:
    """Sees what clients say to one server."""

    def __init__(self) -> None:
        self.commands: list[Command[object]] = []

    def heard(self, session: SessionInfo, event: ServerEvent, /) -> None:
        if isinstance(event, Command):
            self.commands.append(event)

    def said(self, session: SessionInfo, response: Response, /) -> None:
        pass

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        pass

    def ways(self) -> set[str]:
        """How clients have tried to log in."""
        named = {command.mechanism if isinstance(command, Auth) else command.verb for command in self.commands}
        return {USER_PASS if name == "PASS" else name for name in named}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: certificates and keys of servers and users, and their authority."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.cert_pem.write_to_path(folder / "clients.pem")
    for name, hosts in {"server": ["pop.example.org"], "cloud": ["pop.gmail.com", "outlook.office365.com"]}.items():
        authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    ann = authority.issue_cert("ann@example.org")
    ann.private_key_and_cert_chain_pem.write_to_path(folder / "ann.pem")
    ann.cert_chain_pems[0].write_to_path(folder / "ann-certificate.pem")
    return folder


class World:
    """What the examples take for pop.example.org, Gmail and Microsoft 365: each begins when it is connected to."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.users = Everybody({"ann": "tanstaaf", "ann@example.com": "abcdefghijklmnop"}, TOKENS)
        self.witness = Witness()
        self.servers: dict[tuple[str, int], Server] = {}

    def address(self, host: str, port: int) -> tuple[str, int]:
        """Return where a server of this name is."""
        if host == "127.0.0.1":
            return host, port
        if (host, port) not in self.servers:
            self.servers[host, port] = self.start(host, port)
        return self.servers[host, port].address

    def start(self, host: str, port: int) -> Server:
        tls: TlsMode = "implicit" if port == 995 else "starttls"
        match host:
            case "pop.example.org":
                return self.serve(self.users, tls, certificate="server.pem")
            case "pop.gmail.com":
                return self.serve(self.users, tls, names=("PLAIN", "XOAUTH2", "OAUTHBEARER"), certificate="cloud.pem")
            case "outlook.office365.com":
                return self.serve(self.users, tls, names=("PLAIN", "XOAUTH2"), certificate="cloud.pem")
            case _:
                raise AssertionError(f"an example connects to {host}")

    def serve(self, users: Everybody, tls: TlsMode, names: tuple[str, ...] | None = None, **options: Any) -> Server:
        known: ServerMechanisms = (
            SERVER_MECHANISMS if names is None else {each: SERVER_MECHANISMS[each] for each in names}
        )
        service = Service(
            store=MemoryStore({"ann": MAIL, "ann@example.com": MAIL, "public": MAIL}),
            authenticator=users,
            mechanisms=known,
            failure_delay=0,
            login_penalty=None,
            observer=self.witness,
            deadlines=Deadlines(grace=0),
        )
        return self.stack.enter_context(serve(service, tls=tls, **options))

    def ask_for_certificates(self) -> None:
        """Let pop.example.org want to know who its clients are, as TLS tells."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.folder / "clients.pem")
        context.load_cert_chain(self.folder / "server.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        self.servers["pop.example.org", 995] = self.serve(Everybody({}, {}), "implicit", context=context)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: Path) -> Iterator[World]:
    shutil.copytree(certificates, tmp_path, dirs_exist_ok=True)
    (tmp_path / "token").write_text(f"{SHORT_TOKEN}\n")
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        monkeypatch.chdir(tmp_path)
        send_there(world, monkeypatch)
        yield world


def send_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names lead to this machine, by the three ways in which the adapters and poplib connect."""
    connect = socket.create_connection
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda address, *args, **options: connect(world.address(*address), *args, **options),
    )
    create = asyncio.BaseEventLoop.create_connection

    def create_connection(loop: asyncio.BaseEventLoop, protocol: Any, host: str, port: int, **options: Any) -> Any:
        return create(loop, protocol, *world.address(host, port), **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create_connection)
    open_stream = trio.open_tcp_stream
    monkeypatch.setattr(
        trio, "open_tcp_stream", lambda host, port, **options: open_stream(*world.address(host, port), **options)
    )


# ------------------------------------------------------------------------------------------ the examples


@pytest.mark.deep(keep=60)
@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_an_example_runs(
    snippet: Snippet,
    world: World,
    capsys: pytest.CaptureFixture[str],
    start_pop3_server: Callable[..., Pop3Server],
) -> None:
    if snippet.page.stem == "external":
        world.ask_for_certificates()
    token = LONG_TOKEN if "office365" in snippet.code else TOKEN if "gmail" in snippet.code else SHORT_TOKEN
    (world.folder / "token").write_text(f"{token}\n")
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(snippet.code, str(snippet), "exec", dont_inherit=True), names)
    for name, value in names.items():
        if name.startswith("test_"):
            assert [*inspect.signature(value).parameters] == ["start_pop3_server"]
            value(start_pop3_server)
    if snippet.output is not None:
        assert capsys.readouterr().out == snippet.output

    about = ABOUT.get(snippet.page.stem, set())
    if about and world.witness.commands:  # a client of that page logs in as the page says
        assert world.witness.ways() & about
    if about and isinstance(service := names.get("service"), Service):  # and a server of that page lets it
        assert about <= offered(service)


def test_the_lines_on_the_page_of_logs_are_those_of_its_example(caplog: pytest.LogCaptureFixture) -> None:
    [snippet] = snippets(DOCS / "logs.md")
    [told] = re.findall(r"^```\n(session .*?)^```$", snippet.page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    with caplog.at_level("INFO", logger="pop3proto.server"):
        exec(compile(snippet.code, str(snippet), "exec", dont_inherit=True), {})
    lines = [record.getMessage() for record in caplog.records if record.name == "pop3proto.server"]
    number = re.compile("^session [0-9]+", re.MULTILINE)  # that of the process: other tests have had sessions
    assert number.sub("session N", "\n".join(lines)) == number.sub("session N", told.rstrip())


def test_an_example_can_be_read_at_a_glance() -> None:
    assert SNIPPETS
    assert [str(snippet) for snippet in SNIPPETS if len(snippet.code.splitlines()) > 50] == []
    too_wide = [str(each) for each in SNIPPETS if max(map(len, each.code.splitlines())) > 120]
    assert too_wide == []


COMMANDS = [
    pytest.param(command, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, command in enumerate(shell_commands(page))
    if command.startswith("pop3proto ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_the_command_line_takes(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    _parser_of(name, _import(name)).parse_args(arguments)


def test_microsoft_hears_the_mechanism_on_a_line_of_its_own(world: World) -> None:
    [snippet] = [each for each in SNIPPETS if "office365" in each.code]
    world.users = Everybody({}, {"short": "ann@example.com"})  # so short that it would fit into the line of AUTH
    (world.folder / "token").write_text("short")
    exec(compile(snippet.code, str(snippet), "exec"), {})
    assert Auth("XOAUTH2") in world.witness.commands
    assert not any(isinstance(command, Pass) for command in world.witness.commands)


# --------------------------------------------------------------------------------------------- the facts

TLS = TlsInfo("TLSv1.3", verified=True, certificate=b"x", bindings=(ChannelBinding("tls-server-end-point", b"x"),))


def offered(service: Service) -> set[str]:
    """How one can log in at a server, the client having shown a certificate."""
    ways = set(service.offers(SessionInfo(tls=TLS), may_show_password=True))
    if service.greet(b"0").timestamp is not None:
        ways.add(APOP)
    if hasattr(service.authenticator, "check_password"):
        ways.add(USER_PASS)
    return ways


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of the index, without its head."""
    text = (AUTHENTICATION / "index.md").read_text("utf-8")
    [section] = [each for each in re.split(r"^## ", text, flags=re.MULTILINE) if each.startswith(f"{heading}\n")]
    [first] = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[:1]
    rows = [line.strip("|").split("|") for line in first.splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_table_of_mechanisms_is_that_of_the_code() -> None:
    rows = {name: cells for cell, *cells in table("All of them") for name in names_in(cell)}
    assert set(rows) == {*CLIENT_MECHANISMS, *SERVER_MECHANISMS, APOP, USER_PASS}
    strengths = {name: entry.strength for name, entry in CLIENT_MECHANISMS.items()}
    strengths |= {APOP: Strength.DIGEST, USER_PASS: Strength.CLEAR}
    for name, (shows, needs_tls, *_) in rows.items():
        assert (strengths[name] is Strength.CLEAR) is shows.startswith(("the password", "the token")), name
        assert (strengths[name] in (Strength.CLEAR, Strength.BOUND)) is needs_tls.startswith("yes"), name


def names_in(cell: str) -> list[str]:
    """`[SCRAM-SHA-256](scram.md), -SHA-1` and the like, written out."""
    return re.findall(r"[A-Z][A-Z0-9/-]+", re.sub(r"\(.*?\)", "", cell))


METHODS = {
    "PasswordVerifier": "check_password",
    "SecretSource": "secret",
    "ScramKeySource": "scram_keys",
    "TokenVerifier": "check_token",
    "CertificateVerifier": "check_certificate",
    "AnonymousHost": "admit",
    "Authorizer": "may_act_as",
}


def test_the_table_of_protocols_is_what_a_server_offers() -> None:
    rows = table("A server")
    assert {protocol.strip("`") for protocol, *_ in rows} == set(METHODS)
    for protocol, method, mechanisms, *_ in rows:
        name = METHODS[protocol.strip("`")]
        assert method.startswith(f"`{name}(")
        members: dict[str, Any] = {
            "blocks": False,
            name: lambda *_: None,
            "scram_algorithms": ("SHA-1", "SHA-256", "SHA-512"),
        }
        if name != "scram_keys":
            del members["scram_algorithms"]
        authenticator: Any = type("Authenticator", (CustomAuthenticator,), members)()
        told = set(names_in(mechanisms)) & {*SERVER_MECHANISMS, APOP, USER_PASS}
        if "and their -PLUS" in mechanisms:
            told |= {f"{each}-PLUS" for each in told}
        assert told == offered(
            Service(store=MemoryStore({}), authenticator=authenticator, mechanisms=SERVER_MECHANISMS)
        )


# ------------------------------------------------------------------------------------- more facts on pages


def first_column(page: str, heading: str) -> list[str]:
    """The names in code in the first column of all tables below a heading."""
    text = (DOCS / page).read_text("utf-8")
    [section] = [each for each in re.split(r"^##? ", text, flags=re.MULTILINE) if each.startswith(f"{heading}\n")]
    return [name for row in re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE) for name in re.findall("`(.*?)`", row)]


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    [tree] = re.findall(r"^```text\n(Pop3Error\n.*?)^```$", (DOCS / "errors.md").read_text(), re.MULTILINE | re.DOTALL)
    path: list[type[BaseException]] = []
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 4, line.strip()
        kind = getattr(pop3proto, name)
        assert kind.__base__ is (path[depth - 1] if depth else Exception) or path[depth - 1] in kind.__bases__
        path[depth:] = [kind]
    public = (getattr(pop3proto, name) for name in pop3proto.__all__)
    errors = {each.__name__ for each in public if inspect.isclass(each) and issubclass(each, Pop3Error)}
    assert errors == set(tree.split())
    states = first_column("errors.md", "Which errors are there, and what is left of the session?")
    assert {*states, "Pop3Error", "ProtocolError"} == errors


def test_every_method_of_poplib_has_its_counterpart() -> None:
    told = {name.partition("(")[0] for name in first_column("from-poplib.md", "Method by method")}
    methods = {name for name in {**vars(poplib.POP3), **vars(poplib.POP3_SSL)} if not name.startswith("_")}
    assert methods | {"POP3", "POP3_SSL", "error_proto"} == told - {"timeout="}


def test_the_page_of_the_command_line_knows_every_option_and_status() -> None:
    text = (DOCS / "command-line.md").read_text("utf-8")
    parsers = [_parser_of(name, _import(name)) for name in _COMMANDS]
    options = {option for parser in parsers for option in parser._option_string_actions}
    assert set(re.findall(r"--[a-z][a-z-]*|(?<=`)-[a-z](?=`)", text)) - {"--version"} == options - {"-h"}
    statuses = re.findall(r"^\| ([0-9]+) \|", text, re.MULTILINE)
    tables = "\n".join(parser.epilog or "" for parser in parsers)
    had = {int(number) for number in re.findall(r"^ +(\d+)  ", tables, re.MULTILINE)}
    assert statuses == [str(each) for each in sorted(had - {3})]  # that one is a verdict of `probe`


def test_the_pages_know_the_defaults() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (DOCS / "server.md").read_text("utf-8"), re.MULTILINE))
    defaults = {each.name: each.default for each in attrs.fields(Service)}
    assert told.pop("deadlines") == "`Deadlines()`"
    assert told.pop("login_penalty") == "`LoginPenalty()`"
    assert (told.pop("exempt"), defaults["exempt"]) == ("none", ())
    assert (told.pop("max_sessions_before_login"), defaults["max_sessions_before_login"]) == ("half of these", None)
    assert Service(store=MemoryStore(), authenticator=MemoryAuthenticator({"ann": "x"})).most_before_login == 500
    assert {name: value.strip('`"') for name, value in told.items()} == {name: str(defaults[name]) for name in told}
    security, limits = (DOCS / "security.md").read_text("utf-8"), Limits()
    for number in (limits.reply_line, limits.command_line, limits.sasl_line, limits.listing_entries, limits.buffered):
        assert re.search(rf"\b{number:,}\b", security)
    assert f"| {limits.body >> 20} MiB |" in security


# --------------------------------------------------------------------------------------------- the links

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    return _LINK.findall(re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The headings, as their links are made on the usual sites."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_knows_every_page() -> None:
    known = {link.partition("#")[0] for link in links(AUTHENTICATION / "index.md")}
    assert {page.name for page in AUTHENTICATION.glob("*.md")} - {"index.md"} <= known


def test_each_mechanism_has_a_page() -> None:
    assert {f"{name}.md" for name in ABOUT} <= {page.name for page in AUTHENTICATION.glob("*.md")}
    assert set.union(*ABOUT.values()) == {*CLIENT_MECHANISMS, APOP, USER_PASS}
