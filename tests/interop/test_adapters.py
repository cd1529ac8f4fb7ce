"""Clients of others at the server of each adapter, and the client of each adapter at Debian's Dovecot: octet for octet.

All is done in clear, over STLS, and over TLS from the first octet.
"""

import functools
import importlib
import itertools
import poplib
import re
import ssl
import threading
from contextlib import contextmanager

import anyio
import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from attrs import field, frozen

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.commands import Auth, Dele, Pass, Quit
from pop3proto.maildrops import MaildirStore, MemoryStore
from pop3proto.procedures import Service
from pop3proto.procedures.observer import Observer
from tests.helpers.corpus import corpus, difference, maildir_contents, make_maildir, wire
from tests.helpers.programs import ENDLESS_AT_DOVECOT, PASSWORD, PATIENCE, USER, as_dovecot_sends, dovecot_serving, run

pytestmark = pytest.mark.interop

ADAPTERS = ["blocking", "asyncio", "trio"]
MODES = ["none", "starttls", "implicit"]
EXPECTED = {name: wire(message) for name, message in corpus().items()}
NUMBERS = range(1, len(EXPECTED) + 1)


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(request):
    return request.param


@pytest.fixture(scope="module", params=MODES)
def mode(request):
    return request.param


def differences(got, expected=EXPECTED):
    """What is wrong with messages, by name; pytest would take minutes to compare megabytes."""
    assert len(got) == len(expected)
    pairs = zip(expected, got, expected.values(), strict=True)
    return {name: text for name, message, right in pairs if (text := difference(message, right))}


# --------------------------------------------------------------------------------- others at our servers


class Witness(Observer):
    """Knows whether those who logged in did it over TLS."""

    def __init__(self):
        self.over_tls = []

    def heard(self, info, item):
        if isinstance(item, Pass | Auth):
            self.over_tls.append(info.tls is not None)

    def said(self, info, item):
        pass

    def ended(self, info, error):
        pass


@frozen
class Ours:
    """A server in this process that holds the corpus, which nobody may delete."""

    port: int
    mode: str
    ca_file: str
    witness: Witness = field(repr=False)
    host: str = "localhost"  # a name: not every client takes an address for what a certificate says


@contextmanager
def served(adapter, service, **tls):
    """Serve in other threads of this process, until the block ends; yield the port."""
    serve = functools.partial(importlib.import_module(f"pop3proto.{adapter}").serve, service, **tls)
    if adapter == "blocking":
        with serve() as server:
            yield server.address[1]
    else:
        with (
            start_blocking_portal(adapter) as portal,
            portal.wrap_async_context_manager(portal.call(serve)) as server,
        ):
            yield server.address[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A folder with that of our servers, and that of who has issued it."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("localhost", common_name="localhost")  # fetchmail insists on a common name
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.fixture(scope="module")
def maildir_store(tmp_path_factory):
    return MaildirStore({USER: make_maildir(tmp_path_factory.mktemp("corpus") / "maildir", corpus().values())})


@pytest.fixture(scope="module")
def memory_store():
    return MemoryStore({USER: corpus().values()})


@pytest.fixture(scope="module", params=["maildir", "memory"])
def running(request, adapter, mode, certificate):
    """One store blocks, so that its work is done in other threads; one does not."""
    witness = Witness()
    service = Service(
        store=request.getfixturevalue(f"{request.param}_store"),
        authenticator=MemoryAuthenticator({USER: PASSWORD}),
        failure_delay=0,
        login_penalty=None,
        observer=witness,
    )
    file = None if mode == "none" else certificate / "server.pem"
    before = set(threading.enumerate())
    with served(adapter, service, tls=mode, certificate=file) as port:
        yield Ours(port, mode, str(certificate / "ca.pem"), witness)
    assert {thread for thread in threading.enumerate() if not thread.daemon} <= before


@pytest.fixture
def server(running):
    running.witness.over_tls.clear()
    yield running
    assert running.witness.over_tls
    assert set(running.witness.over_tls) == {running.mode != "none"}


@pytest.mark.deep(keep=1)
def test_poplib(server, monkeypatch):
    # Beyond 2048 octets poplib takes a line for an attack, and mail has longer ones.
    monkeypatch.setattr(poplib, "_MAXLINE", 2**30)
    context = ssl.create_default_context(cafile=server.ca_file)
    if server.mode == "implicit":
        client = poplib.POP3_SSL(server.host, server.port, timeout=PATIENCE, context=context)
    else:
        client = poplib.POP3(server.host, server.port, timeout=PATIENCE)
    try:
        if server.mode == "starttls":
            client.stls(context)
        client.user(USER)
        client.pass_(PASSWORD)
        # It splits at LF, and takes LF or CRLF away; all lines here end with CRLF.
        got = [b"".join(line + b"\r\n" for line in client.retr(number)[1]) for number in NUMBERS]
        client.quit()
    finally:
        client.close()
    assert differences(got) == {}


@pytest.mark.deep(keep=3)
def test_curl(require_program, server, tmp_path):
    scheme, options = {
        "none": ("pop3", []),
        "starttls": ("pop3", ["--ssl-reqd", "--cacert", server.ca_file]),
        "implicit": ("pop3s", ["--cacert", server.ca_file]),
    }[server.mode]
    # No configuration of the user's, and no proxy: this goes to our own server.
    run(
        *(require_program("curl"), "--disable", "--silent", "--show-error", "--noproxy", "*", *options),
        *("--user", f"{USER}:{PASSWORD}", "--output", tmp_path / "#1"),
        f"{scheme}://{server.host}:{server.port}/[1-{len(EXPECTED)}]",
    )
    got = {name: (tmp_path / str(number)).read_bytes() for number, name in enumerate(EXPECTED, 1)}
    # Curl writes the CRLF before the last dot when it sees that dot: where there is no line at all, it is the CRLF
    # of the status line.
    if got["nothing"] == b"\r\n":
        got["nothing"] = b""
    assert differences(got.values()) == {}


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("pipelining", ["on", "off"])
def test_mpop(require_program, server, tmp_path, pipelining):
    tls = {"none": ["tls off"], "starttls": ["tls on", "tls_starttls on"], "implicit": ["tls on", "tls_starttls off"]}
    maildir = make_maildir(tmp_path / "got", [])
    configuration = tmp_path / "mpoprc"
    lines = [
        "account ours",
        f"host {server.host}",
        f"port {server.port}",
        f"user {USER}",
        f"password {PASSWORD}",
        "auth plain",
        *tls[server.mode],
        *([] if server.mode == "none" else [f"tls_trust_file {server.ca_file}"]),
        f"pipelining {pipelining}",
        "keep on",
        "received_header off",
        f"uidls_file {tmp_path}/uidls",
        f"delivery maildir {maildir}",
    ]
    configuration.write_text("\n".join([*lines, ""]))
    configuration.chmod(0o600)  # else it refuses to read it
    run(require_program("mpop"), "--file", configuration, "ours")
    # It stores LF for CRLF, which is all that it alters, and says nothing of the order.
    got = sorted(file.read_bytes() for file in (maildir / "new").iterdir())
    expected = sorted(message.replace(b"\r\n", b"\n") for message in EXPECTED.values())
    assert differences(got, dict(enumerate(expected))) == {}


# What fetchmail 6 alters, and what therefore is not compared:
UNFIT_FOR_FETCHMAIL = {
    # It breaks lines of a body that are longer than its buffer of 8 KB, and puts octets of its own there.
    "a long line",
    "a long line of dots",
    "lines as long as buffers",
    # It leaves messages on the server whose header it cannot parse ...
    "dot in the header",
    "From line to begin with",
    "lone dot and nothing else",
    # ... and gives a header of its own to those without, or puts the blank line behind it.
    "no header",
    "a line end",
    "nothing",
    "header only",
    "header without line end",
}


@pytest.mark.deep
def test_fetchmail(require_program, server, tmp_path):
    fetchmail = require_program("fetchmail")
    got = tmp_path / "got"
    got.mkdir()
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\nexec cat > "$(mktemp {got}/XXXXXXXX)"\n')
    agent.chmod(0o700)
    verified = f'sslcertck sslcertfile "{server.ca_file}"'
    tls = {"none": 'sslproto ""', "starttls": f'sslproto "TLS1.2+" {verified}', "implicit": f"ssl {verified}"}
    configuration = tmp_path / "fetchmailrc"
    configuration.write_text(f"""
set no syslog
set no bouncemail
set invisible
set pidfile "{tmp_path}/pid"
set idfile "{tmp_path}/ids"
poll {server.host} service {server.port} protocol pop3 auth password timeout {PATIENCE} no envelope no dns
  user "{USER}" password "{PASSWORD}" keep fetchall {tls[server.mode]}
  pass8bits no rewrite no mimedecode no forcecr no stripcr
  mda "{agent}"
""")
    configuration.chmod(0o600)  # else it refuses to read it
    run(
        *(fetchmail, "--nodetach", "--fetchmailrc", configuration),
        env={"FETCHMAILHOME": str(tmp_path), "HOME": str(tmp_path)},
    )
    messages = {file.read_bytes() for file in got.iterdir()}
    names = {match[1].decode() for message in messages if (match := re.search(rb"X-Corpus: ([^\r\n]*)", message))}
    fit = {name: message for name, message in EXPECTED.items() if name not in UNFIT_FOR_FETCHMAIL}
    assert sorted(fit.keys() - names) == []
    assert [name for name, message in fit.items() if message not in messages] == []


# -------------------------------------------------------------------------------- our clients at Dovecot

AT_DOVECOT = {name: message for name, message in corpus().items() if name != ENDLESS_AT_DOVECOT}

new_user = map("user{}".format, itertools.count(1)).__next__


@pytest.fixture(scope="module")
def running_dovecot(require_program):
    with dovecot_serving(require_program("dovecot")) as dovecot:
        yield dovecot


@pytest.fixture
def dovecot(running_dovecot):
    """What it says meanwhile is shown if the test fails."""
    before = len(running_dovecot.program.said)
    yield running_dovecot
    print(running_dovecot.program.said[before:])  # noqa: T201 - for pytest


@pytest.fixture
def connect(dovecot, adapter, mode):
    context = ssl.create_default_context(cafile=dovecot.ca_file)
    port = dovecot.tls_port if mode == "implicit" else dovecot.port
    connect = importlib.import_module(f"pop3proto.{adapter}").connect
    return functools.partial(connect, dovecot.host, port, tls=mode, context=context)


def blocking_pipeline(connect, user):
    with connect() as client:
        client.login(user, PASSWORD)
        assert client.capabilities.pipelining
        got = dict(client.retrieve(client.list()))
        answers = client.call_all([*map(Dele, got), Quit()])
        return got, answers, client.session.tls


async def async_pipeline(connect, user):
    async with connect() as client:
        await client.login(user, PASSWORD)
        assert client.capabilities.pipelining
        got = {number: message async for number, message in client.retrieve(await client.list())}
        answers = await client.call_all([*map(Dele, got), Quit()])
        return got, answers, client.session.tls


def blocking_one_by_one(connect, user):
    got = []
    with connect() as client:
        client.login(user, PASSWORD)
        for number in client.uidl():
            with client.retr(number) as message:
                got.append(b"".join(message))
            client.dele(number)
    return got


async def async_one_by_one(connect, user):
    got = []
    async with connect() as client:
        await client.login(user, PASSWORD)
        for number in await client.uidl():
            async with client.retr(number) as message:
                got.append(b"".join([chunk async for chunk in message]))
            await client.dele(number)
    return got


def wrong(got):
    """What is wrong with what came from Dovecot, by name."""
    texts = differences(got, {name: wire(message) for name, message in AT_DOVECOT.items()})
    sent = {name: as_dovecot_sends(wire(message)) for name, message in AT_DOVECOT.items()}
    by_name = dict(zip(sent, got, strict=True))
    return {name: text for name, text in texts.items() if by_name[name] != sent[name]}


@pytest.mark.deep(keep=2)
def test_pipelined_at_dovecot(dovecot, adapter, mode, connect):
    user = new_user()
    maildir = dovecot.deliver(user, AT_DOVECOT.values())
    if adapter == "blocking":
        got, answers, tls = blocking_pipeline(connect, user)
    else:
        got, answers, tls = anyio.run(async_pipeline, connect, user, backend=adapter)
    assert list(got) == list(range(1, len(AT_DOVECOT) + 1))
    assert wrong(got.values()) == {}
    assert answers == [None] * (len(got) + 1)
    assert maildir_contents(maildir) == []
    assert (tls is not None and tls.verified) == (mode != "none")


@pytest.mark.deep(keep=1)
def test_one_by_one_at_dovecot(dovecot, adapter, connect):
    user = new_user()
    maildir = dovecot.deliver(user, AT_DOVECOT.values())
    if adapter == "blocking":
        got = blocking_one_by_one(connect, user)
    else:
        got = anyio.run(async_one_by_one, connect, user, backend=adapter)
    assert wrong(got) == {}
    assert maildir_contents(maildir) == []
