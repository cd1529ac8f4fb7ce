"""Logins with programs of others: our client at Debian's Dovecot, and curl and mpop at our server."""

import itertools
import json

import pytest
import trustme

from pop3proto._io.tls import client_context
from pop3proto.authenticators.memory import MemoryTokenAuthenticator
from pop3proto.blocking import connect, serve
from pop3proto.core.commands import Apop, Auth, Pass, User
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.core.states import State
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.observer import Observer
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.credentials import Password, Token
from pop3proto.sasl.registry import SERVER_MECHANISMS
from tests.helpers.corpus import maildir_contents, make_maildir, wire
from tests.helpers.programs import MECHANISMS, PASSWORD, TOKEN_MECHANISMS, USER, dovecot_serving, run

pytestmark = pytest.mark.interop

MAIL = [b"Subject: 1\n\none\n", b"Subject: 2\n\n.two\n"]
OCTETS = sum(len(wire(message)) for message in MAIL)

BY_PASSWORD = [name.upper() for name in MECHANISMS if name != "apop"]
BY_TOKEN = [name.upper() for name in TOKEN_MECHANISMS]
MODES = ["none", "starttls", "implicit"]
WAYS = [
    *((name, mode) for name in [*BY_PASSWORD, *BY_TOKEN, "USER/PASS"] for mode in MODES),
    *(("APOP", mode) for mode in ("none", "implicit")),  # after STLS there is no timestamp
]

# ------------------------------------------------------------------------------- our client at Dovecot

new_user = map("ann{}".format, itertools.count(1)).__next__


@pytest.fixture(scope="module")
def running_dovecot(require_program):
    with dovecot_serving(require_program("dovecot"), (*MECHANISMS, *TOKEN_MECHANISMS)) as dovecot:
        yield dovecot


@pytest.fixture
def dovecot(running_dovecot):
    """What it says meanwhile is shown if the test fails."""
    before = len(running_dovecot.program.said)
    yield running_dovecot
    print(running_dovecot.program.said[before:])  # noqa: T201 - for pytest


@pytest.fixture
def connected(dovecot):
    """Connect to Dovecot with TLS or without, its certificate verified."""

    def connected(mode):
        context = client_context()
        context.load_verify_locations(dovecot.ca_file)
        port = dovecot.tls_port if mode == "implicit" else dovecot.port
        return connect(dovecot.host, port, tls=mode, context=context)

    return connected


@pytest.fixture
def user(dovecot):
    """One who has mail."""
    name = new_user()
    dovecot.deliver(name, MAIL)
    return name


def right_and_wrong(dovecot, user, name):
    if name in BY_TOKEN:
        return Token(user, dovecot.token(user)), Token(user, dovecot.token(user, seconds=-30))
    return Password(user, PASSWORD), Password(user, PASSWORD + "x")


@pytest.mark.deep(keep=8)
@pytest.mark.parametrize("name,mode", WAYS)
def test_dovecot_knows_us(dovecot, connected, user, name, mode):
    with connected(mode) as client:
        client.login(right_and_wrong(dovecot, user, name)[0], only=[name])
        status = client.stat()
        assert (status.count, status.octets) == (2, OCTETS)
        assert (client.session.tls is not None) == (mode != "none")


@pytest.mark.deep(keep=8)
@pytest.mark.parametrize("name,mode", WAYS)
def test_dovecot_refuses_what_is_wrong_and_then_takes_what_is_right(dovecot, connected, user, name, mode):
    right, wrong = right_and_wrong(dovecot, user, name)
    with connected(mode) as client:
        with pytest.raises(LoginFailed) as failure:
            client.login(wrong, only=[name])
        [attempt] = failure.value.attempts
        assert attempt.reply.has(ResponseCode.AUTH)
        assert client.state is State.AUTHORIZATION
        if name in BY_TOKEN:
            assert json.loads(attempt.detail)["status"]
            assert wrong.token not in str(failure.value) + repr(failure.value)
        else:
            assert attempt.detail == ""
        client.login(right, only=[name])
        assert client.stat().count == 2


@pytest.mark.parametrize("name", [name for name in [*BY_PASSWORD, *BY_TOKEN] if name not in {"LOGIN", "CRAM-MD5"}])
def test_dovecot_takes_the_initial_response_on_a_line_of_its_own(dovecot, connected, user, name):
    with connected("implicit") as client:
        client.login(right_and_wrong(dovecot, user, name)[0], only=[name], initial_response=False)
        assert client.stat().count == 2


@pytest.mark.parametrize("mode", MODES)
def test_dovecot_announces_what_it_takes_and_the_best_of_it_is_chosen(connected, user, mode):
    with connected(mode) as client:
        client.capa()
        announced = set(client.capabilities.sasl)
        assert announced == {*BY_PASSWORD, *BY_TOKEN}
        with pytest.raises(LoginFailed) as failure:
            client.login(user, "wrong")
        tried = [attempt.command for attempt in failure.value.attempts]
        assert tried[0].mechanism == "SCRAM-SHA-256"
        assert (len(tried) == 1) == (mode == "none"), "on this machine, but nobody has verified who it is"
    with connected(mode) as client:
        client.login(user, PASSWORD)
        assert client.stat().count == 2


def test_a_token_of_another_user(dovecot, connected, user):
    with connected("implicit") as client, pytest.raises(LoginFailed) as failure:
        client.login(user, token=dovecot.token("somebody"))
    assert failure.value.attempts[0].command.mechanism == "OAUTHBEARER"


# ------------------------------------------------------------------------------ others at our server

TOKEN = "ya29.a0ARrdaM-~+/="


class Ways(Observer):
    """Writes down by what clients log in."""

    def __init__(self):
        self.tried = []

    def heard(self, info, item):
        match item:
            case Auth(mechanism):
                self.tried.append((mechanism, info.tls is not None))
            case Apop() | User():
                self.tried.append(({Apop: "APOP", User: "USER/PASS"}[type(item)], info.tls is not None))
            case Pass():
                pass

    def said(self, info, item):
        pass

    def ended(self, info, error):
        pass


class Ours:
    """Our server, in a thread, with a maildrop in memory."""

    def __init__(self, server, ways, ca_file):
        self.host, self.port = server.address
        self.ways = ways
        self.ca_file = ca_file


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.fixture
def ours(name, mode, certificate):
    """With TLS or without; and without OAUTHBEARER for XOAUTH2: curl does not do as it is told, if it has a choice."""
    ways = Ways()
    missing = "OAUTHBEARER" if name == "XOAUTH2" else ""
    service = Service(
        store=MemoryStore({USER: MAIL}),
        authenticator=MemoryTokenAuthenticator({USER: PASSWORD}, {TOKEN: USER}),
        mechanisms={known: entry for known, entry in SERVER_MECHANISMS.items() if known != missing},
        failure_delay=0,
        login_penalty=None,
        observer=ways,
    )
    file = None if mode == "none" else certificate / "server.pem"
    with serve(service, tls=mode, certificate=file) as server:
        yield Ours(server, ways, certificate / "ca.pem")


@pytest.fixture
def curl(require_program, ours, mode):
    program = require_program("curl")

    def curl(name, secret, **arguments):
        scheme = "pop3s" if mode == "implicit" else "pop3"
        options = ["--cacert", ours.ca_file, *(["--ssl-reqd"] if mode == "starttls" else [])]
        if name in BY_TOKEN:
            options += ["--user", f"{USER}:", "--oauth2-bearer", secret, "--login-options", f"AUTH={name}"]
        else:
            options += ["--user", f"{USER}:{secret}"]
            options += ["--login-options", "AUTH=+APOP" if name == "APOP" else f"AUTH={name}"]
        return run(
            *(program, "--disable", "--silent", "--show-error", "--noproxy", "*"),
            *options,
            f"{scheme}://{ours.host}:{ours.port}/",
            **arguments,
        ).stdout

    return curl


CURLS = [(name, mode) for name, mode in WAYS if name in {"PLAIN", "LOGIN", "CRAM-MD5", "APOP", *BY_TOKEN}]


@pytest.mark.deep(keep=8)
@pytest.mark.parametrize("name,mode", CURLS)
def test_curl_logs_in(curl, ours, mode, name):
    rows = curl(name, TOKEN if name in BY_TOKEN else PASSWORD).splitlines()
    assert rows == [f"{number} {len(wire(message))}" for number, message in enumerate(MAIL, 1)]
    assert ours.ways.tried == [(name, mode != "none")]


@pytest.mark.deep(keep=6)
@pytest.mark.parametrize("name,mode", CURLS)
def test_curl_is_refused(curl, ours, mode, name):
    curl(name, "wrong", status=67)  # "login denied"
    assert ours.ways.tried[0] == (name, mode != "none")


NO_SCRAM_OVER_TLS = "mpop version 1.4.22"
"""An mpop that gives up SCRAM over TLS before it sends AUTH, to any server: a fault of its own, with libgsasl 2.2.4."""


@pytest.fixture
def mpop(require_program, ours, mode, tmp_path):
    program = require_program("mpop")
    configuration = tmp_path / "mpoprc"
    maildir = make_maildir(tmp_path / "got", [])
    tls = {"none": ["tls off"], "starttls": ["tls on", "tls_starttls on"], "implicit": ["tls on", "tls_starttls off"]}

    def mpop(name, secret, **arguments):
        lines = [
            "account ours",
            f"host {ours.host}",
            f"port {ours.port}",
            f"user {USER}",
            f"password {secret}",
            f"auth {name.lower()}",
            *tls[mode],
            *([] if mode == "none" else [f"tls_trust_file {ours.ca_file}"]),
            "keep on",
            "received_header off",
            f"uidls_file {tmp_path}/uidls",
            f"delivery maildir {maildir}",
        ]
        configuration.write_text("\n".join([*lines, ""]))
        configuration.chmod(0o600)  # else it refuses to read it
        version = run(program, "--version").stdout.splitlines()[0]
        if version == NO_SCRAM_OVER_TLS and name.startswith("SCRAM") and mode != "none":
            ended = run(program, "--file", configuration, "ours", status=70)  # "internal software error"
            assert "GNU SASL: Error authenticating user" in ended.stderr
            assert ours.ways.tried == [], "it has sent nothing that we could have answered wrongly"
            pytest.xfail(f"{version} gives up SCRAM over TLS before it sends AUTH")
        run(program, "--file", configuration, "ours", **arguments)
        return maildir_contents(maildir)

    return mpop


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*BY_PASSWORD, *BY_TOKEN])
def test_mpop_logs_in(mpop, ours, mode, name):
    assert sorted(mpop(name, TOKEN if name in BY_TOKEN else PASSWORD)) == sorted(map(wire, MAIL))
    assert ours.ways.tried == [(name, mode != "none")]


@pytest.mark.deep
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "CRAM-MD5"])
def test_mpop_is_refused(mpop, ours, mode, name):
    assert mpop(name, "wrong", status=77) == []  # "no permission"
    assert ours.ways.tried == [(name, mode != "none")]
