"""A probe: each finding has a server that provokes it, and our own server has none."""

import json
import math
import re
import socket
import ssl
import time
import warnings
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa

from pop3proto._io import peers
from pop3proto.core.capabilities import Capabilities, Expire, LoginDelay
from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.limits import Quirk
from pop3proto.core.text import decode_text, visible
from pop3proto.procedures.operations import Now, Read
from pop3proto.sasl.credentials import Password, Token
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.checks import CHECKS, Need
from pop3proto.testing.faults import (
    Asked,
    BareLF,
    Body,
    ChallengeLine,
    Cut,
    DeleteOnRetr,
    DoubleAnswer,
    Fault,
    InjectAtStls,
    NewUids,
    NoTerminator,
    NoUid,
    OkAsChallenge,
    Refuse,
    SameUid,
    Stall,
    StatusLine,
    StrayDot,
    TlsFails,
    Unstuffed,
    WrongCount,
    WrongSize,
)
from pop3proto.testing.masking import Secrets
from pop3proto.testing.probing import (
    Finding,
    PortReport,
    Report,
    Severity,
    connections,
    handshakes,
    jsonable,
    logins,
    probe,
    running,
)
from pop3proto.testing.probing.before_login import Opened, get_greeting, try_extensions
from pop3proto.testing.probing.catalogue import CATALOGUE
from pop3proto.testing.probing.certificate import Certificate
from pop3proto.testing.probing.conformance import GRAVE
from pop3proto.testing.probing.deep import try_long_line, wait_idle
from pop3proto.testing.probing.deletion import find, may_go
from pop3proto.testing.probing.findings import Findings
from pop3proto.testing.probing.mailbox import Mailbox
from pop3proto.testing.probing.masking import mask
from pop3proto.testing.probing.messages import compare_sessions
from pop3proto.testing.probing.sniffing import sniff
from pop3proto.testing.probing.talk import Body as PartOfTalk, Budget, OutOfStep, Talk
from tests.helpers.probing import DAY, hurry_up, over_tls, saying, scripted, self_signed
from tests.helpers.snippets import DOCS

MAIL = [b"Subject: %d\n\n.dot\none\ntwo\nthree\nfour\n" % number for number in range(1, 6)]
LONE_DOT = [b"Subject: 1\n\nbefore\n.\n+OK behind\n", *MAIL]
TEST_MESSAGE = b"Subject: pop3proto probe\n\nIt may go.\n"
ANN = Password("ann", PASSWORD)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Everything here is on this machine, and answers at once."""
    hurry_up(monkeypatch)


def ids(report: Report, least: Severity = Severity.NOTE) -> set[str]:
    return {finding.id for finding in report.findings if finding.severity >= least}


def probed(*faults: Fault, mail=MAIL, credentials=ANN, options=None, **arguments) -> Report:
    """Probe a server of ours, by default one without SASL: that is fast."""
    with pop3_server({"ann": mail}, faults=faults, **(BY_PASS if options is None else options)) as server:
        context = server.client_context if server.tls != "none" else None
        arguments = {"timeout": 6, "context": context, **arguments}
        return probe("localhost", server.port, credentials=credentials, **arguments)


def at(port: int, **arguments) -> Report:
    return probe("localhost", port, **{"timeout": 3, **arguments})


def announcing(**changes) -> dict[str, object]:
    return {"announce": lambda capabilities: attrs.evolve(capabilities, **changes)}


BY_PASS = announcing(sasl=())


# ------------------------------------------------------------------------------------------- nothing wrong


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_our_own_server_is_fine(tls):
    report = probed(options={"tls": tls})
    assert report.status == 0, report.findings
    assert report.verdict == "fine"
    assert ids(report) <= {"no-tls", "password-in-clear"}  # notes, as it is on this machine
    assert report.mailbox.sampled == dict.fromkeys(range(1, 6), 43)
    assert report.mailbox.works == {"TOP": True, "UIDL": True}
    assert report.mailbox.pipelining is True
    assert report.mailbox.lock == "exclusive"
    assert report.quirks == frozenset()
    [port] = report.ports
    assert port.mode == tls
    assert set((port.secure or port.clear).mechanisms.values()) == {"works"}
    assert port.plan[0] == "SCRAM-SHA-512"
    if tls != "none":
        assert port.tls.versions["1.2"] == port.tls.versions["1.3"] == "yes"
        assert port.tls.trusted
        assert port.tls.certificates[0].names == ("localhost", "127.0.0.1", "::1")


@pytest.mark.deep
def test_our_own_server_passes_the_checks():
    report = probed(checks=True)
    assert ids(report, Severity.WARNING) == set()
    assert report.checks["failed"] == 0
    assert report.checks["passed"] > 50


def test_nothing_is_changed_without_leave():
    with pop3_server({"ann": [*MAIL, TEST_MESSAGE]}) as server:
        probe("localhost", server.port, credentials=ANN)
        assert len(server.messages("ann")) == 6
        said = [str(item) for session in server.sessions for item in session.commands]
        assert not [line for line in said if line.startswith("DELE")]
        fetching = [session for session in server.sessions if any(str(c).startswith("RETR") for c in session.commands)]
        assert fetching
        assert not any(str(c) == "QUIT" for session in fetching for c in session.commands)


def test_no_login_without_credentials():
    with pop3_server({"ann": MAIL}) as server:
        report = probe("localhost", server.port)
        assert report.mailbox is None
        said = {str(item).partition(" ")[0] for session in server.sessions for item in session.commands}
    assert said <= {"CAPA", "QUIT", "STLS", "AUTH", "***"}


# --------------------------------------------------------------------------------- each finding has a server

Provoke = Callable[[Path, pytest.MonkeyPatch], Report | Findings]
PROVOKED: dict[str, Provoke] = {}


def provokes(*names: str) -> Callable[[Provoke], Provoke]:
    def add(provoke: Provoke) -> Provoke:
        for name in names:
            assert name not in PROVOKED
            PROVOKED[name] = provoke
        return provoke

    return add


def simply(name: str, *faults: Fault, **arguments) -> None:
    provokes(name)(lambda _path, _patch: probed(*faults, **arguments))


def answered(name: str, first: bytes, answer: bytes = b"-ERR what?\r\n", **arguments) -> None:
    def provoke(_path: Path, _patch: pytest.MonkeyPatch) -> Report:
        with scripted(saying(first, answer)) as port:
            return at(port, **arguments)

    provokes(name)(provoke)


def played(
    procedure,
    *pieces: bytes | None,
    seconds: float = 0.0,
    stall: float = math.inf,
    said: list[bytes] | None = None,
):
    """Run a procedure with what a server says, in pieces, and is silent behind them; return its result.

    Args:
        procedure: what to run.
        pieces: what the server says; None: nothing.
        seconds: before each piece.
        stall: for which one read waits at most.
        said: gets what the procedure sends.
    """
    now, left = 0.0, [*pieces]
    try:
        operation = next(procedure)
        while True:
            match operation:
                case Now():
                    operation = procedure.send(now)
                case Read(until):
                    if (piece := left.pop(0) if left else None) is None:
                        now = min(until, now + stall)
                        operation = procedure.throw(TimedOut("nothing came"))
                    else:
                        now += seconds
                        operation = procedure.send(piece)
                case _:
                    if said is not None:
                        said.append(operation.octets)
                    operation = procedure.send(None)
    except StopIteration as end:
        return end.value


BUDGET = Budget(10, 10_000)

# What answers at all.

answered("wrong-protocol", b"* OK IMAP4rev1 ready\r\n")
answered("silent", b"", b"")
answered("session-refused", b"-ERR too many\r\n")
answered("bad-commands-unlimited", b"+OK hello\r\n", deep=True, idle=0)
answered("no-capa", b"+OK hello\r\n")
answered("no-way-to-log-in", b"+OK hello\r\n", b"+OK\r\nUSER\r\n.\r\n", cleartext="never")


@provokes("greeting-malformed")
def _(_path, _patch):
    greetings = iter([b"+OK hello\r\n"])

    def talk(sock):
        saying(next(greetings, b"what?\r\n"))(sock)

    with scripted(talk) as port:
        return at(port)


@provokes("not-reached")
def _(_path, _patch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return at(port)


@provokes("port-closed")
def _(_path, patch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    with pop3_server({"ann": MAIL}, tls="implicit") as server:
        patch.setattr(running, "_STANDARD", ((server.port, "implicit"), (closed, "starttls")))
        return probe("localhost", context=server.client_context, timeout=6)


@provokes("hangs-up")
def _(_path, _patch):
    with scripted(lambda _sock: None) as port:
        return at(port)


@provokes("slow-greeting")
def _(_path, _patch):
    findings = Findings()
    played(get_greeting(Talk(BUDGET), Opened(), findings), b"+OK hello\r\n", seconds=6)
    return findings


simply("tls-where-clear", credentials=None, options={"tls": "implicit"}, tls="starttls")
simply("clear-where-tls", credentials=None, tls="implicit")

# TLS and its certificate.


def certified(path: Path, context: ssl.SSLContext | None = None, **options) -> Report:
    """Probe a server with a certificate of its own."""
    with pop3_server({}, tls="implicit", certificate=path, **options) as server:
        return at(server.port, tls="implicit", context=context or ssl.create_default_context(cafile=path))


def issued(folder: Path, *names: str, **arguments) -> Report:
    """Probe a server with a certificate of an authority that the client trusts."""
    authority = trustme.CA()
    path = folder / "issued.pem"
    path.write_bytes(authority.issue_cert(*names, **arguments).private_key_and_cert_chain_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return certified(path, context)


provokes("certificate-expired")(lambda path, _: issued(path, "localhost", not_after=datetime.now(UTC) - DAY))
provokes("certificate-early")(lambda path, _: issued(path, "localhost", not_before=datetime.now(UTC) + DAY))
provokes("certificate-name")(lambda path, _: issued(path, "pop.example.org"))
provokes("certificate-ends-soon")(lambda path, _: issued(path, "localhost", not_after=datetime.now(UTC) + 3 * DAY))
provokes("certificate-self-signed")(lambda path, _: certified(self_signed(path), ssl.create_default_context()))
simply("certificate-untrusted", credentials=None, options={"tls": "implicit"}, context=ssl.create_default_context())


@provokes("certificate-weak")
def _(path, _patch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(self_signed(path, key=rsa.generate_private_key(65_537, 1_024)))
    with scripted(over_tls(context, saying(b"+OK hello\r\n", b"-ERR\r\n"))) as port:
        return at(port, tls="implicit")


@provokes("certificate-without-sni")
def _(path, _patch):
    context, other = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    authority = trustme.CA()
    authority.issue_cert("localhost").configure_cert(context)
    authority.issue_cert("pop.example.org").configure_cert(other)

    def choose(tls, name, _context):
        tls.context = other if name is None else context

    context.sni_callback = choose
    with scripted(over_tls(context, saying(b"+OK hello\r\n", b"-ERR\r\n"))) as port:
        return at(port, tls="implicit")


def versions(least: ssl.TLSVersion, most: ssl.TLSVersion) -> Report:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = least, most
    with scripted(over_tls(context, saying(b"+OK hello\r\n", b"-ERR\r\n"))) as port:
        return at(port, tls="implicit")


provokes("old-tls")(lambda _path, _patch: versions(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3))
provokes("no-modern-tls")(lambda _path, _patch: versions(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
provokes("no-tls-1.3")(lambda _path, _patch: versions(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))
simply("tls-fails", TlsFails(), credentials=None, options={"tls": "starttls"})
simply("no-tls", credentials=None)
simply("stls-refused", Refuse("STLS"), credentials=None, options={"tls": "starttls"})
simply("stls-unannounced", credentials=None, options={"tls": "starttls", **announcing(stls=False)})
simply("stls-trailing", InjectAtStls(), credentials=None, options={"tls": "starttls"})


@provokes("stls-injection")
def _(_path, _patch):
    """A server that keeps what came behind STLS, and takes it for said over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    def talk(sock):
        sock.sendall(b"+OK hello\r\n")
        while (said := sock.recv(4_096)) and not said.startswith(b"STLS"):
            sock.sendall(b"-ERR\r\n")
        kept = said.partition(b"\r\n")[2]
        sock.sendall(b"+OK\r\n")
        with context.wrap_socket(sock, server_side=True) as tls:
            while kept or (kept := tls.recv(4_096)):
                tls.sendall(b"-ERR what?\r\n" * kept.count(b"\r\n"))
                kept = b""

    with scripted(talk) as port:
        return at(port)


@provokes("connections-limited")
def _(path, patch):
    patch.setattr(handshakes, "_before_tls", refused_after(2, handshakes._before_tls))
    return probed(credentials=None, options={"tls": "starttls"})


def refused_after(count: int, procedure):
    """A procedure that works so many times, and then finds the connection reset."""
    left = [None] * count

    def instead(*arguments):
        if not left:
            raise ConnectionLost("reset by the server")
        left.pop()
        return (yield from procedure(*arguments))

    return instead


# Before login.

simply("password-in-clear", credentials=None)
simply("mechanism-fails", Refuse("AUTH PLAIN"), credentials=None, options={})
answered("capa-unreadable", b"+OK hello\r\n", b"+OK\r\n" + b"X\r\n" * 20_000 + b".\r\n")
simply("ok-as-challenge", OkAsChallenge(), credentials=None, options={})
simply("lang-fails", credentials=None, options=announcing(lang=True))
simply("utf8-fails", Refuse("UTF8"), credentials=None, options=announcing(utf8=True))


@attrs.frozen
class OddChallenge(Fault):
    def said(self, part, here):
        yield attrs.evolve(part, octets=b"+ who?\r\n") if isinstance(part, ChallengeLine) else part


simply("unencoded-challenge", OddChallenge(), credentials=None, options={})

# The login.

simply("login-refused", credentials=Password("ann", "wrong"))
simply("login-detour", Refuse("AUTH SCRAM-SHA-512"), options={"tls": "implicit"}, tls="implicit")
simply("login-not-tried", options={"tls": "implicit"}, context=ssl.create_default_context())
simply("login-delay", options=announcing(login_delay=LoginDelay(10)))

# After login.

simply("maildrop-empty", mail=[])
simply("maildrop-expires", options=announcing(expire=Expire(0)))
simply("out-of-step", DoubleAnswer("NOOP"))
simply("pipelining-unannounced", options=announcing(pipelining=False))
simply("command-fails", Refuse("TOP"))
simply("command-unannounced", options=announcing(top=False))
simply("no-uidl", Refuse("UIDL"))
simply("no-top", Refuse("TOP"), options=announcing(top=False))
simply("stat-differs", WrongCount())
simply("listing-unreadable", Refuse("LIST"))
simply("size-wrong", WrongSize())
simply("dot-unstuffed", Unstuffed())
simply("body-ends-early", Unstuffed(), mail=LONE_DOT)
simply("no-terminator", NoTerminator(on="RETR 1"))
simply("bare-lf", BareLF())
simply("stray-dot", StrayDot(after="LIST 5"))
simply("retr-fails", Refuse("RETR 3"))
simply("uid-duplicate", SameUid())
simply("uid-unstable", NewUids())
simply("uid-invalid", NoUid((2,)))


@attrs.frozen
class Rewritten(Fault):
    """Octets of answers are replaced by others.

    Args:
        verb: of the commands.
        old: to be replaced, in bodies and status lines.
        new: by this.
    """

    verb: str
    old: bytes
    new: bytes

    def said(self, part, here):
        if part.asked.is_a(self.verb) and isinstance(part, Body | StatusLine):
            part = attrs.evolve(part, octets=part.octets.replace(self.old, self.new))
        yield part


@attrs.frozen
class RefusePass(Fault):
    """Some logins by PASS are refused: the second is that beside another session, the third that behind it."""

    number: int
    text: str

    def asked(self, asked, here):
        if asked.verb == "PASS":
            here.shared.logins = getattr(here.shared, "logins", 0) + 1
            if here.shared.logins == self.number:
                asked = attrs.evolve(asked, answer=(StatusLine(asked, f"-ERR {self.text}\r\n".encode()),))
        yield asked


class CommitAtHangUp(Fault):
    """What is marked as deleted is gone after a hang-up, too."""

    def asked(self, asked, here):
        here.own.marks = getattr(here.own, "marks", False) or asked.is_a("DELE")
        yield asked

    def hung_up(self, here):
        if getattr(here.own, "marks", False):
            yield Asked(b"QUIT\r\n", silent=True)


simply("stat-malformed", Rewritten("STAT", b"+OK 5 215", b"+OK 5"))
simply("uid-prefixed", Rewritten("UIDL", b"\r\n", b"\r\n+OK "), mail=MAIL[:2])
simply("uid-differs", Rewritten("UIDL 5", b"+OK 5", b"+OK"))
simply("top-lines", Rewritten("TOP", b"one\r\n", b"one\r\none and a half\r\n"))
simply("top-differs", Rewritten("TOP", b"Subject", b"Subjekt"))


class LoseOneOfMany(Fault):
    """One of the NOOPs that are sent at once is not answered; those that are sent one by one are."""

    def said(self, part, here):
        here.own.noops = getattr(here.own, "noops", 0) + part.asked.is_a("NOOP")
        if here.own.noops != 15 or not part.asked.is_a("NOOP"):
            yield part


simply("pipelining-broken", LoseOneOfMany())
simply("lock-without-code", RefusePass(2, "busy"), options=BY_PASS)
simply("second-login-refused", RefusePass(3, "no"), options=BY_PASS)


@provokes("lock-stays")
def lock_stays(_path, patch):
    """Of the second that is borne, little is left here."""
    patch.setattr(logins, "_AT_ONCE", 0.05)
    return probed(RefusePass(3, "[IN-USE] locked"), RefusePass(4, "[IN-USE] locked"), options=BY_PASS)


def test_a_server_that_notices_a_hang_up_soon_is_fine(monkeypatch):
    monkeypatch.setattr(logins, "_AT_ONCE", 0.0)
    assert "lock-stays" not in ids(probed(RefusePass(3, "[IN-USE] locked"), options=BY_PASS))


simply("gone-after-retr", DeleteOnRetr())


class TakeAtHangUp(Fault):
    """A message goes away when a client hangs up that has fetched one."""

    def asked(self, asked, here):
        here.own.fetched = getattr(here.own, "fetched", False) or asked.is_a("RETR")
        yield asked

    def hung_up(self, here):
        if getattr(here.own, "fetched", False):
            yield Asked(b"DELE 1\r\n", silent=True)
            yield Asked(b"QUIT\r\n", silent=True)


simply("others-changed", TakeAtHangUp())


@attrs.frozen
class BareLFInMessage(Fault):
    def sent(self, octets, here):
        yield attrs.evolve(octets, octets=octets.octets.replace(b"\r\none\r\n", b"\r\none\n"))


simply("bare-lf-in-message", BareLFInMessage())

# What takes long, what deletes, and the probe itself.


@provokes("idle-short")
def _(_path, _patch):
    findings = Findings()
    played(wait_idle(Talk(BUDGET), 620, findings, logged_in=True), b"-ERR idle\r\n", b"", seconds=5)
    return findings


@provokes("line-limit-low")
def _(_path, _patch):
    findings = Findings()
    played(try_long_line(Talk(BUDGET), 255, findings), b"")
    return findings


simply("no-test-message", destructive=True)


class IdsAreNumbers(Fault):
    """The unique ids are the numbers of the messages."""

    def said(self, part, here):
        if part.asked.is_a("UIDL") and isinstance(part, Body | StatusLine):
            octets = re.sub(rb"(?m)^((?:\+OK )?)([0-9]+) [!-~]+\r$", rb"\1\2 \2\r", part.octets)
            part = attrs.evolve(part, octets=octets)
        yield part


simply("test-message-differs", IdsAreNumbers(), CommitAtHangUp(), mail=[TEST_MESSAGE, *MAIL], destructive=True)
simply("rset-fails", Refuse("RSET"), mail=[*MAIL, TEST_MESSAGE], destructive=True)
simply("deleted-without-quit", CommitAtHangUp(), mail=[*MAIL, TEST_MESSAGE], destructive=True)
simply("delete-fails", Refuse("DELE"), mail=[*MAIL, TEST_MESSAGE], destructive=True)
simply("failed", Stall("AUTH PLAIN"), credentials=None, options={}, timeout=1.5)
simply("breaks-off", Stall("UIDL"), timeout=1.5)
simply("maildrop-in-use", Refuse("PASS", "IN-USE"), timeout=0.6)
simply("logins-too-often", Refuse("PASS", "LOGIN-DELAY"))
simply("back-end-fails", Refuse("PASS", "SYS/TEMP"))


@provokes("time-up")
def _(_path, _patch):
    with scripted(saying(b"+OK hello\r\n")) as port:
        return at(port, credentials=ANN, timeout=0.9)


def test_each_finding_has_a_server_that_provokes_it():
    assert PROVOKED.keys() == CATALOGUE.keys()


@pytest.mark.deep(keep=10)
@pytest.mark.parametrize("name", CATALOGUE)
def test_it_is_found(name, tmp_path, monkeypatch):
    found = PROVOKED[name](tmp_path, monkeypatch)
    findings = found.found if isinstance(found, Findings) else found.findings
    [finding] = [finding for finding in findings if finding.id == name]
    assert finding.text.endswith(".")
    assert finding.severity in Severity
    if isinstance(found, Report):
        assert found.severity >= finding.severity
        assert json.dumps(jsonable(found))


@pytest.mark.parametrize("behind, found", [(b"\x15\x03\x03\x00\x02\x02\x50", False), (b"-ERR what?\r\n", True)])
def test_an_alert_behind_stls_is_no_answer_in_clear(behind, found, monkeypatch):
    hurry_up(monkeypatch)

    def talk(sock):
        sock.sendall(b"+OK hello\r\n")
        while said := sock.recv(4_096):
            if said.startswith(b"STLS"):
                sock.sendall(b"+OK\r\n" + behind * (b"NOOP" in said))
                return
            sock.sendall(b"+OK\r\nSTLS\r\n.\r\n" if said == b"CAPA\r\n" else b"-ERR\r\n")

    with scripted(talk) as port:
        assert ("stls-injection" in {finding.id for finding in at(port).findings}) == found


# --------------------------------------------------------------------------------------------- what answers


@pytest.mark.parametrize(
    "octets, protocol",
    [
        (b"+OK hello\r\n", "POP3"),
        (b"-ERR busy\r\n", "POP3"),
        (b"+ok\n", "POP3"),
        (b"* OK IMAP4rev1\r\n", "IMAP"),
        (b"* BYE busy\r\n", "IMAP"),
        (b"220 mail.example.org ESMTP\r\n", "SMTP"),
        (b"220 (vsFTPd 3.0.3)\r\n", "FTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"<html>\r\n", "HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "TLS"),
        (b"\x16\x03\x03\x00\x7a", "TLS"),
        (b"+OKAY\r\n", "other"),
        (b"RFB 003.008\n", "other"),
    ],
)
@pytest.mark.parametrize("hello_first", [False, True])
def test_a_protocol_is_known_by_what_it_says(octets, protocol, hello_first):
    said: list[bytes] = []
    found = played(sniff(BUDGET, b"hello", hello_first=hello_first), octets, said=said)
    assert said == ([b"hello"] if hello_first else [])
    assert found.protocol == protocol
    assert found.octets == octets


def test_a_silent_server_is_spoken_to_once_and_left():
    talk: list[bytes] = []
    found = played(sniff(BUDGET, b"hello", hello_first=False), said=talk)
    assert found.protocol == "silent"
    assert talk == [b"hello"]


def test_a_greeting_that_comes_too_late_is_no_answer_to_what_was_said():
    findings, opened = Findings(), Opened()
    assert played(get_greeting(Talk(BUDGET), opened, findings), None, b"+OK hello\r\n", seconds=2) is False
    assert (opened.greeting, opened.greeted_after) == ("+OK hello", 12)
    assert findings.has("slow-greeting")


def test_a_black_hole_costs_one_wait_for_each_port():
    """A listener whose queue is full answers no SYN, as a firewall that drops it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        where = listener.getsockname()
        for _ in range(3):  # one is taken, the others fill the queue
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(where)
        report = probe("127.0.0.1", where[1], timeout=0.6)
    assert ids(report) == {"not-reached"}
    assert report.status == 3
    assert "in time" in report.ports[0].why


@pytest.mark.parametrize("port", [None, 1110])
def test_a_black_hole_costs_no_more_than_the_timeout(port, monkeypatch):
    waits: list[float] = []

    def connect(_where, seconds, _interruption):
        waits.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(connections, "connected_socket", connect)
    assert probe("pop.example.org", port, timeout=9).status == 3
    assert len(waits) == (2 if port is None else 1)
    assert max(waits) == 3
    assert sum(waits) <= 9


@pytest.mark.parametrize("first, protocol", [(b"* OK IMAP4rev1\r\n", "IMAP"), (b"", "HTTP")])
def test_another_protocol_within_tls_is_told_first(first, protocol):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with scripted(over_tls(context, saying(first, b"HTTP/1.1 400 Bad Request\r\n"))) as port:
        report = at(port, timeout=1.5)
    assert report.findings[0].id == "wrong-protocol"
    assert f"{protocol} over TLS" in report.findings[0].text
    assert report.status == 2


def test_tls_that_says_nothing_is_silent():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with scripted(over_tls(context, saying(b""))) as port:
        assert at(port, timeout=1.5).findings[0].id == "silent"


def test_of_two_ports_the_login_is_where_tls_is_trusted(monkeypatch):
    with pop3_server({"ann": MAIL}, tls="implicit") as server, pop3_server({"ann": MAIL}) as clear:
        monkeypatch.setattr(running, "_STANDARD", ((clear.port, "starttls"), (server.port, "implicit")))
        report = probe("localhost", context=server.client_context, credentials=ANN)
    assert report.login_port == server.port
    assert [port.port for port in report.ports] == [clear.port, server.port]


# -------------------------------------------------------------------------------------------- details


BODIES = [
    (b".\r\n", b"", "CRLF"),
    (b"a\r\n.\r\n", b"a\r\n", "CRLF"),
    (b"a\r\n..\r\n.\r\n", b"a\r\n..\r\n", "CRLF"),
    (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", "CRLF"),
    (b"a\n.\n", b"a\n", "LF"),
    (b"a\n.\r\n", b"a\n", "LF"),
    (b"a\r\n", b"a\r\n", "silence"),
    (b"", b"", "silence"),
]


@pytest.mark.parametrize("octets, raw, ended", BODIES)
@pytest.mark.parametrize("each", [False, True])
def test_a_body_ends_alike_however_it_is_cut(octets, raw, ended, each):
    pieces = [octets[i : i + 1] for i in range(len(octets))] if each else [octets] if octets else []
    assert played(Talk(BUDGET).body(), *pieces) == PartOfTalk(raw, ended)


@pytest.mark.parametrize("octets", [b"a\n.\n+OK\n", b".\n+OK\n", b"a\r\n.\r\n+OK\n"])
def test_where_lines_have_no_cr_what_is_behind_a_body_stays(octets):
    def converse():
        talk = Talk(BUDGET)
        yield from talk.hear()
        yield from talk.body()
        return (yield from talk.hear()).octets

    assert played(converse(), b"+OK\n" + octets) == b"+OK"


@pytest.mark.parametrize(
    "fault, quirks",
    [
        (BareLF(), {Quirk.BARE_LF}),
        (Rewritten("STAT", b"+OK 5 215", b"+OK 5"), {Quirk.STAT_WITHOUT_OCTETS}),
        (Rewritten("UIDL", b"5 ", b"5 " + b"x" * 71), {Quirk.UIDL_ANY_UNIQUE_ID}),
        (StrayDot(after="LIST 5"), {Quirk.STRAY_DOT}),
        (LoseOneOfMany(), {Quirk.NO_PIPELINING}),
    ],
    ids=str,
)
def test_the_quirks_are_those_that_a_client_needs(fault, quirks):
    assert probed(fault, timeout=1.5).quirks == quirks


@pytest.mark.parametrize("loopback, severity", [(True, Severity.NOTE), (False, Severity.WARNING)])
def test_passwords_in_clear_matter_on_a_network(loopback, severity, monkeypatch):
    monkeypatch.setattr(peers, "is_loopback", lambda _address: loopback)
    report = probed(credentials=None, options=announcing(user=True))
    found = {finding.id: finding.severity for finding in report.findings}
    assert found == {"no-tls": severity, "password-in-clear": severity}
    assert bool(report.ports[0].plan)


@pytest.mark.parametrize(
    "reads, told, short",
    [
        (62, "after login it keeps a session that is silent for 620 s", False),
        (30, "after login it hangs up after 300 s of silence", True),
        (61, "after login it hangs up after 610 s of silence", False),
    ],
)
def test_a_silence_may_be_longer_than_one_read(reads, told, short):
    """A client's stream waits 10 seconds for one read, whatever it is asked for."""
    findings = Findings()
    waiting = wait_idle(Talk(BUDGET), 620, findings, logged_in=True)
    assert played(waiting, *[None] * reads, b"", stall=10) == told
    assert findings.has("idle-short") is short


def test_a_deletion_touches_the_test_message_alone():
    with pop3_server({"ann": [TEST_MESSAGE, *MAIL]}) as server:
        report = probe("localhost", server.port, credentials=ANN, destructive=True)
        assert server.messages("ann") == MAIL
    assert report.status == 0
    assert len(report.told) == 1


def test_a_unique_id_alone_marks_nothing():
    """The test message goes at the hang-up, and the next one gets its id."""
    with pop3_server({"ann": [TEST_MESSAGE, *MAIL]}, faults=[IdsAreNumbers(), CommitAtHangUp()]) as server:
        report = probe("localhost", server.port, credentials=ANN, destructive=True)
        assert server.messages("ann") == MAIL
    assert "test-message-differs" in ids(report)


def test_the_message_is_looked_at_before_each_deletion():
    with pop3_server({"ann": [TEST_MESSAGE, *MAIL]}) as server:
        probe("localhost", server.port, credentials=ANN, destructive=True)
        before = [
            str(first)
            for session in server.sessions
            for first, second in pairwise(session.commands)
            if str(second).startswith("DELE")
        ]
    assert before == ["TOP 1 0"] * 3


@pytest.mark.deep
def test_the_checks_delete_nothing():
    with pop3_server({"ann": [*MAIL, TEST_MESSAGE]}) as server:
        report = probe("localhost", server.port, credentials=ANN, destructive=True, checks=True)
        assert server.messages("ann") == MAIL
    assert report.checks["skipped"] > 0


@pytest.mark.parametrize(
    "message, goes",
    [
        (TEST_MESSAGE, True),
        (b"From: ann\r\nsubject:pop3proto probe \r\nTo: bob\r\n\r\n", True),
        (b"Subject: pop3proto probe", True),
        (b"Subject: pop3proto probe\r\n more\r\n\r\n", False),
        (b"Subject: pop3proto probe\r\n \r\n more\r\n", False),
        (b"Subject: pop3proto probe\r\nSubject: other\r\n\r\n", False),
        (b"Subject: pop3proto probe\r\nSubject: pop3proto probe\r\n\r\n", False),
        (b"Subject: other\r\n\r\nSubject: pop3proto probe\r\n", False),
        (b"From: ann\r\n\r\nSubject: pop3proto probe\r\n", False),
        (b"From: ann\n\nSubject: pop3proto probe\n", False),
        (b"From: ann\n\r\nSubject: pop3proto probe\n", False),
        (b"From: ann\n \nSubject: pop3proto probe\n", False),
        (b"\r\nSubject: pop3proto probe\r\n", False),
        (b"X: Subject: pop3proto probe\r\n\r\n", False),
        (b"X: 1\rSubject: pop3proto probe\r\n\r\n", False),
        (b"", False),
    ],
)
def test_only_a_message_with_exactly_this_subject_may_go(message, goes):
    assert may_go(message) is goes


class CountedDict(dict):
    """A dict that counts how often all of its values are gone through."""

    walks = 0

    def values(self):
        self.walks += 1
        return super().values()


def test_a_large_maildrop_is_gone_through_once_to_find_the_test_message():
    mailbox = Mailbox(unique_ids=CountedDict({number: f"u{number}" for number in range(1, 20_001)}))
    answers = [b"+OK\r\nSubject: pop3proto probe\r\n\r\n.\r\n"]
    test = played(find(Talk(BUDGET), mailbox, Findings()), *answers)
    assert (test.uid, mailbox.unique_ids.walks) == ("u20000", 1)
    answers = [b"+OK\r\nSubject: other\r\n\r\n.\r\n"] * 50
    assert played(find(Talk(BUDGET), mailbox, Findings()), *answers) is None
    assert mailbox.unique_ids.walks == 2


def test_large_maildrops_are_compared_in_one_walk():
    before, again = (
        Mailbox(
            unique_ids=CountedDict({number: f"{name}{number}" for number in range(1, 20_001)}),
            sizes=dict.fromkeys(range(1, 20_001), 1),
            works={"UIDL": True},
        )
        for name in "ab"
    )
    findings = Findings()
    played(compare_sessions(Talk(BUDGET), before, again, findings))
    assert findings.has("uid-unstable")
    assert again.unique_ids.walks == 1
    assert before.unique_ids.walks <= 2


@pytest.mark.parametrize(
    "header, name", [(b"Subject: 1", "uid-unstable"), (b"Subject: 2", "others-changed"), (None, "others-changed")]
)
def test_an_id_has_changed_only_if_the_message_is_the_same(header, name):
    """One message of two has gone, or has a new id; another has come, perhaps."""
    works = {"UIDL": True, "TOP": True}
    before = Mailbox(unique_ids={1: "a", 2: "b"}, sizes={1: 10, 2: 20}, headers={1: b"Subject: 1"}, works={**works})
    again = Mailbox(unique_ids={1: "b", 2: "c"}, sizes={1: 20, 2: 10 if header else 11}, works={**works})
    findings = Findings()
    answers = [] if header is None else [b"+OK\r\n" + header + b"\r\n\r\n.\r\n"]
    played(compare_sessions(Talk(BUDGET), before, again, findings), *answers)
    assert [finding.id for finding in findings.found] == [name]


@pytest.mark.parametrize(
    "message",
    [
        b"\nno header\n",
        b"no body: 1\n",
        b"Subject: 1\n\none\rstill one\ntwo\x0b\x0cstill two\nthree\nfour\n",
        b"Subject: 1\n\n\n\n\n\n",
        b"Subject: 1\n\n",
    ],
)
def test_top_of_unusual_mail_is_compared_by_its_lines(message):
    assert not ids(probed(mail=[message])) & {"top-differs", "top-lines"}


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("fault", [Stall, Cut], ids=["silent", "closed"])
@pytest.mark.parametrize("command", ["CAPA", "STLS", "PASS", "STAT", "LIST", "UIDL", "RETR 2"])
def test_a_server_that_fails_where_all_need_it_is_broken(command, fault):
    report = probed(fault(command), timeout=1.5, options={**BY_PASS, "tls": "starttls"}, tls="starttls")
    assert report.status == 2
    assert report.findings[0].id == "breaks-off"
    assert f"At {command.replace('PASS', 'the login')} the server " in report.findings[0].text


def test_a_server_that_is_slow_to_the_last_is_not_broken():
    """The time for all ends before that for one answer."""
    findings, talk = Findings(), Talk(Budget(10, time.monotonic()))
    talk.at, talk.since = "RETR 7", time.monotonic() - 1
    with findings.failing("while mail was fetched", talk):
        raise TimedOut("nothing came")
    [finding] = findings.found
    assert (finding.id, finding.severity) == ("failed", Severity.WARNING)
    assert "RETR 7" in finding.text


def test_a_named_failure_stays_first_when_the_time_was_up():
    with scripted(saying(b"+OK hello\r\n")) as port:
        report = at(port, credentials=ANN, timeout=0.9)
    assert report.status == 2
    assert report.findings[0].text == "At CAPA the server does not answer."
    assert "time-up" in ids(report)


def test_a_maildrop_that_is_locked_for_a_moment_is_waited_for():
    report = probed(RefusePass(1, "[IN-USE] locked"))
    assert report.mailbox is not None


@pytest.mark.parametrize("command", ["CAPA", "TOP 2"])
def test_an_answer_that_does_not_end_is_found(command):
    report = probed(NoTerminator(on=command), timeout=1.5, options=BY_PASS)
    assert [finding for finding in report.findings if finding.id == "no-terminator" and command in finding.text]
    assert report.status == 2


def test_a_list_of_languages_that_does_not_end_is_found():
    findings, opened = Findings(), Opened(capabilities=Capabilities(lang=True))
    with pytest.raises(OutOfStep):
        played(try_extensions(Talk(BUDGET), opened, findings), b"+OK\r\nen English\r\n", b"")
    assert findings.has("no-terminator")


@pytest.mark.parametrize("digits", [5_000, 20])
def test_a_number_of_many_digits_is_no_number(digits):
    report = probed(Rewritten("STAT", b"+OK 5", b"+OK " + b"1" * digits))
    assert "stat-malformed" in ids(report)
    assert report.mailbox.count is None


def test_the_test_message_may_be_delivered():
    with pop3_server({"ann": MAIL}) as server:

        def deliver(message):
            server.deliver("ann", message)

        report = probe("localhost", server.port, credentials=ANN, destructive=True, deliver=deliver)
        assert server.messages("ann") == MAIL
    assert report.status == 0


def test_nothing_is_deleted_where_no_message_is_marked_for_it():
    with pop3_server({"ann": [b"Subject: about pop3proto probe\n\nKeep me.\n", *MAIL]}) as server:
        report = probe("localhost", server.port, credentials=ANN, destructive=True)
        assert len(server.messages("ann")) == 6
        assert not [c for session in server.sessions for c in session.commands if str(c).startswith("DELE")]
    assert "no-test-message" in ids(report)


@pytest.mark.deep
def test_the_password_is_in_no_report():
    secret = "unlikely-to-be-said"
    with pop3_server({"ann": MAIL}, passwords={"ann": secret}, faults=[Refuse("UIDL"), DoubleAnswer("RSET")]) as server:
        report = probe("localhost", server.port, credentials=Password("ann", secret), checks=True)
    assert report.checks["failed"] > 0
    assert secret not in json.dumps(jsonable(report))
    assert secret not in repr(report)


SECRET = "s3cret-word-\u00e4"


@pytest.mark.parametrize(
    "said",
    [
        SECRET.encode(),
        SECRET.encode("latin-1"),
        b64encode(SECRET.encode()),
        b64encode(b"\0ann\0" + SECRET.encode()),
        b64encode(b"n,a=ann,\1auth=Bearer " + SECRET.encode() + b"\1\1"),
    ],
)
def test_a_secret_that_the_server_repeats_is_masked(said):
    credentials = Password("ann", SECRET)
    text = visible(decode_text(b"you said " + said))
    opened = Opened(greeting=text, timestamp=text, capabilities=Capabilities.parse(b"X-SAYS " + said + b"\r\nTOP\r\n"))
    report = Report(host="h", findings=(Finding("failed", Severity.WARNING, text, "", text),), told=[text])
    report.announced = (text,)
    report.ports.append(PortReport(port=110, clear=opened, first_line=text, why=text))
    assert "***" not in repr(report)
    mask(report, Secrets(credentials, "latin-1"))
    assert opened.capabilities.top
    assert text not in repr(report)
    assert report.findings[0].text.startswith("you said ")
    for part in (report.findings[0].text, report.findings[0].evidence, report.told[0], opened.greeting):
        assert "***" in part
    assert "***" in json.dumps(jsonable(report)["ports"][0]["clear"]["capabilities"])


def test_the_probe_masks_what_it_returns():
    secret = "unlikely-to-be-said"
    faults = [Rewritten("STAT", b"+OK 5 ", b"+OK " + secret.encode())]
    with pop3_server({"ann": MAIL}, passwords={"ann": secret}, faults=faults) as server:
        report = probe("localhost", server.port, credentials=Password("ann", secret))
    [finding] = [finding for finding in report.findings if finding.id == "stat-malformed"]
    assert "***" in finding.evidence
    assert secret not in repr(report)


def test_a_connection_that_breaks_before_tls_says_nothing_about_versions(monkeypatch):
    monkeypatch.setattr(handshakes, "_before_tls", refused_after(2, handshakes._before_tls))
    report = probed(credentials=None, options={"tls": "starttls"})
    assert set(report.ports[0].tls.versions.values()) == {"yes", "unknown"}
    assert "no-tls-1.3" not in ids(report)
    assert "connections-limited" in ids(report)


def test_not_all_of_many_mechanisms_are_tried():
    many = tuple(f"X-{number}" for number in range(40))
    report = probed(credentials=None, options=announcing(sasl=many))
    assert len(report.ports[0].clear.mechanisms) == 20
    report = probed(*(Cut(f"AUTH {name}") for name in many[:10]), credentials=None, options=announcing(sasl=many))
    assert [*report.ports[0].clear.mechanisms.values()] == ["hangs up"] * 3


def test_no_method_logs_in_to_another_machine_without_a_certificate_that_is_trusted(monkeypatch):
    monkeypatch.setattr(peers, "is_loopback", lambda _address: False)
    report = probed(options={"tls": "implicit"}, context=connections.untrusting())
    assert report.mailbox is None
    assert "login-not-tried" in ids(report)


def test_json_has_text_alone():
    opened = Opened(capabilities=Capabilities.parse(b"X-\xe4\r\n"))
    report = Report(host="h", ports=[PortReport(port=110, clear=opened)])
    text = json.dumps(jsonable(report))
    assert json.loads(text)["ports"][0]["clear"]["capabilities"] == [visible("X-\udce4")]
    assert "udce4" not in text.replace("\\\\", "")


@pytest.mark.parametrize("credentials", [Password("ann", ""), Token("ann", "")])
def test_an_empty_secret_masks_nothing(credentials):
    assert Secrets(credentials, "latin-1").masked("a text") == "a text"
    assert Secrets(credentials).hidden_in(b"octets") == b"octets"


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_there_is_no_login_without_the_tls_that_was_asked_for(tls):
    with pop3_server({"ann": MAIL}, **BY_PASS) as server:
        report = probe("localhost", server.port, tls=tls, credentials=ANN, timeout=6, cleartext="always")
        assert not any(session.info.user for session in server.sessions)
    assert report.status == 2
    assert report.mailbox is None
    assert "login-not-tried" in ids(report)
    assert probe_severity(report, "no-tls") is Severity.BROKEN


def probe_severity(report: Report, name: str) -> Severity:
    [severity] = [finding.severity for finding in report.findings if finding.id == name]
    return severity


@pytest.mark.parametrize("cleartext, logs_in", [("loopback", False), ("never", False), ("always", True)])
def test_no_method_logs_in_to_another_machine_without_tls(cleartext, logs_in, monkeypatch):
    """Not even SCRAM, which hides the password: mail would go in clear."""
    monkeypatch.setattr(peers, "is_loopback", lambda _address: False)
    report = probed(options={}, cleartext=cleartext)
    assert (report.mailbox is not None) is logs_in
    assert ("login-not-tried" in ids(report)) is not logs_in


@pytest.mark.deep
def test_a_password_in_the_reason_of_a_check_is_hidden():
    """The checks hide it; a probe shows what they say."""
    faults = [Rewritten("STAT", b"+OK 5 ", b"+OK 5 " + PASSWORD.encode())]
    report = probed(*faults, checks=True)
    reasons = [finding.evidence for finding in report.findings if finding.id.startswith("check.")]
    assert any("***" in reason for reason in reasons)
    assert not any(PASSWORD in reason for reason in reasons)


def test_the_grave_checks_are_checks():
    assert {check.id for check in CHECKS if Need.DELETING not in check.needs} >= GRAVE


def test_what_is_not_a_certificate_is_refused():
    der = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    assert Certificate.parse(der).self_issued
    for end in range(0, len(der), 7):
        with pytest.raises(ValueError, match="not a certificate"):
            Certificate.parse(der[:end])


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"destructive": True}, "needs credentials"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"port": 0}, "port must be from 1"),
        ({"tls": "maybe"}, "tls must be one of"),
        ({"cleartext": "maybe"}, "cleartext must be one of"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        probe("localhost", **arguments)


def test_the_page_has_each_finding_as_the_program_does():
    text = (DOCS / "probe.md").read_text("utf-8")
    rows = re.findall(
        r"^\| `([a-z0-9.-]+)` \| (note|warning|broken|unreachable) \| .+? \| (.*?) ?\|$", text, re.MULTILINE
    )
    assert {name: (severity.upper(), advice) for name, severity, advice in rows} == CATALOGUE
