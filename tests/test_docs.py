"""Every example of the pages in docs runs, as it stands there, against servers on this machine."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from typing_extensions import override

from pop3proto import Auth, Command, Pass
from pop3proto.authenticators import MemoryTokenAuthenticator
from pop3proto.blocking import Server, serve
from pop3proto.core.events import ServerEvent
from pop3proto.core.server import Response
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service, SessionInfo
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.client.login_plan import APOP, USER_PASS
from pop3proto.sasl import CLIENT_MECHANISMS, SERVER_MECHANISMS, ChannelBinding, ServerMechanisms, Strength, TlsInfo
from pop3proto.sasl.authenticator import CustomAuthenticator

DOCS = Path(__file__).parent.parent / "docs"
AUTHENTICATION = DOCS / "authentication"
PAGES = sorted(DOCS.rglob("*.md"))

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


@attrs.frozen
class Example:
    """A block of Python, and what it prints if a block of text follows at once."""

    page: Path
    line: int
    code: str
    output: str | None

    @override
    def __str__(self) -> str:
        return f"{self.page.relative_to(DOCS)}:{self.line}"


_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\s*^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def examples() -> Iterator[Example]:
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in _EXAMPLE.finditer(text):
            yield Example(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])


EXAMPLES = list(examples())


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


class World:
    """What the examples take for pop.example.org, Gmail and Microsoft 365; their certificates are trusted."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(folder / "clients.pem")
        self.authority.issue_cert("pop.example.org").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        ann = self.authority.issue_cert("ann@example.org")
        ann.private_key_and_cert_chain_pem.write_to_path(folder / "ann.pem")
        ann.cert_chain_pems[0].write_to_path(folder / "ann-certificate.pem")
        users = Everybody({"ann": "tanstaaf", "ann@example.com": "abcdefghijklmnop"}, TOKENS)
        self.witness = Witness()
        self.servers = {
            ("pop.example.org", 995): self.start(users),
            ("pop.example.org", 110): self.start(users, "starttls"),
            ("pop.gmail.com", 995): self.start(users, names=("PLAIN", "XOAUTH2", "OAUTHBEARER")),
            ("outlook.office365.com", 995): self.start(users, names=("PLAIN", "XOAUTH2")),
        }

    def start(self, users: Everybody, tls: TlsMode = "implicit", names: tuple[str, ...] | None = None) -> Server:
        known: ServerMechanisms = (
            SERVER_MECHANISMS if names is None else {each: SERVER_MECHANISMS[each] for each in names}
        )
        service = Service(
            store=MemoryStore({"ann": MAIL, "ann@example.com": MAIL, "public": MAIL}),
            authenticator=users,
            mechanisms=known,
            failure_delay=0,
            observer=self.witness,
        )
        if names is None:
            return self.stack.enter_context(serve(service, tls=tls, certificate=self.folder / "server.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("pop.gmail.com", "outlook.office365.com").configure_cert(context)
        return self.stack.enter_context(serve(service, tls=tls, context=context))

    def ask_for_certificates(self) -> None:
        """Let pop.example.org want to know who its clients are, as TLS tells."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.folder / "clients.pem")
        context.load_cert_chain(self.folder / "server.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        service = Service(
            store=MemoryStore({"ann": MAIL}), authenticator=Everybody({}, {}), failure_delay=0, observer=self.witness
        )
        server = self.stack.enter_context(serve(service, tls="implicit", context=context))
        self.servers["pop.example.org", 995] = server


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        monkeypatch.chdir(tmp_path)
        connect = socket.create_connection

        def here(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
            host, _ = address
            return connect(address if host == "127.0.0.1" else world.servers[address].address, *args, **kwargs)

        monkeypatch.setattr(socket, "create_connection", here)
        yield world


# ------------------------------------------------------------------------------------------ the examples


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_runs(example: Example, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    if example.page.stem == "external":
        world.ask_for_certificates()
    token = LONG_TOKEN if "office365" in example.code else TOKEN if "gmail" in example.code else SHORT_TOKEN
    names = {"__name__": "example", "get_token": lambda: token}
    exec(compile(example.code, str(example), "exec"), names)
    if example.output is not None:
        assert capsys.readouterr().out == example.output

    about = ABOUT.get(example.page.stem, set())
    if about and world.witness.commands:  # a client of that page logs in as the page says
        assert world.witness.ways() & about
    if about and isinstance(service := names.get("service"), Service):  # and a server of that page lets it
        assert about <= offered(service)


def test_an_example_can_be_read_at_a_glance() -> None:
    assert EXAMPLES
    assert [str(example) for example in EXAMPLES if len(example.code.splitlines()) > 50] == []
    too_wide = [str(each) for each in EXAMPLES if max(map(len, each.code.splitlines())) > 120]
    assert too_wide == []


def test_microsoft_hears_the_mechanism_on_a_line_of_its_own(world: World) -> None:
    [example] = [each for each in EXAMPLES if "office365" in each.code]
    users = Everybody({}, {"short": "ann@example.com"})  # so short that it would fit into the line of AUTH
    world.servers["outlook.office365.com", 995] = world.start(users, names=("PLAIN", "XOAUTH2"))
    exec(compile(example.code, str(example), "exec"), {"get_token": lambda: "short"})
    assert Auth("XOAUTH2") in world.witness.commands
    assert not any(isinstance(command, Pass) for command in world.witness.commands)


# --------------------------------------------------------------------------------------------- the facts

TLS = TlsInfo("TLSv1.3", verified=True, certificate=b"x", bindings=(ChannelBinding("tls-server-end-point", b"x"),))


def offered(service: Service) -> set[str]:
    """How one can log in at a server, the client having shown a certificate."""
    ways = set(service.offers(SessionInfo(tls=TLS), may_show_password=True))
    if service.greet("0").timestamp is not None:
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
        assert told == offered(Service(store=MemoryStore({}), authenticator=authenticator))


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
