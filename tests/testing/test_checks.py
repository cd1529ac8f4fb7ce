"""The checks: our own server passes all of them, and each of them fails where its rule is broken."""

import base64
import re
import socket
import socketserver
import struct
import threading
from collections import Counter
from typing import Any

import pytest
from typing_extensions import override

from pop3proto.core.capabilities import Expire, LoginDelay
from pop3proto.core.text import encode_base64
from pop3proto.sasl.credentials import Password, Token
from pop3proto.testing import PASSWORD, pop3_in_memory, pop3_server
from pop3proto.testing.checks import (
    CHECKS,
    Check,
    Checker,
    CheckSkipped,
    Level,
    Need,
    Outcome,
    Target,
    expect,
    run_checks,
    skip,
)
from pop3proto.testing.checks.transcript import without_secret
from pop3proto.testing.faults import Drip, Refuse, Stall
from pop3proto.testing.masking import Secrets
from pop3proto.testing.probing.conformance import add_outcomes
from pop3proto.testing.probing.findings import Findings
from tests.helpers.processes import PATIENCE

from .sabotage import MAIL, SABOTAGE, WITHOUT, HangUpAfter, Instead, Said, announcing

WITHOUT_SCRAM = {"mechanisms": ["CRAM-MD5", "PLAIN", "LOGIN"]}
"""Logins take less time so."""

BY_ID = {check.id: check for check in CHECKS}

NOT_OFFERED = {
    "no-password-in-clear",
    "refusal-in-clear-tells-nothing",
    "user-not-utf8",
    "utf8-argument",
    "utf8-answered",
    "lang-lists",
    "lang-answers-tag",
    "lang-unknown",
    "login-delay-enforced",
    "login-delay-largest",
    "expire-smallest",
    "utf8-header-needs-mode",
    "external-without-certificate",
    "oauthbearer-error",
    "scram-downgrade",
    "idle-for-ten-minutes",
    "command-resets-timer",
}
"""Checks of what our server does not offer, or that take ten minutes."""
IN_CLEAR = {"tls-version", "stls-announced", "stls-not-announced-under-tls"}
STLS = {check.id for check in CHECKS if Need.STLS in check.needs}


def found(outcomes: Any, result: str) -> dict[str, str]:
    return {outcome.check.id: outcome.why for outcome in outcomes if outcome.result == result}


def in_memory(mail: Any = MAIL, target: Any = None, **options: Any) -> Target:
    server = pop3_in_memory({"ann": mail}, **options)
    settings = {"user": "ann", "password": PASSWORD, "may_delete": True, **(target or {})}
    return Target(in_memory=server.session, tls="none", deliver=lambda m: server.deliver("ann", m), **settings)


def over_sockets(server: Any, **target: Any) -> Target:
    context = None if server.tls == "none" else server.client_context
    settings = {"user": "ann", "password": PASSWORD, "may_delete": True, **target}
    return Target(
        server.host,
        server.port,
        tls=server.tls,
        context=context,
        deliver=lambda message: server.deliver("ann", message),
        **settings,
    )


# Our own server.


def test_our_server_passes_in_memory():
    outcomes = list(run_checks(in_memory()))
    assert found(outcomes, "failed") == {}
    assert set(found(outcomes, "skipped")) == NOT_OFFERED | IN_CLEAR | STLS


def test_our_server_passes_with_tokens():
    target = in_memory(tokens={"token": "ann"})
    assert [each.result for each in run_checks(target, [BY_ID["oauthbearer-error"]])] == ["passed"]


@pytest.mark.deep
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_our_server_passes_over_sockets(tls):
    with pop3_server({"ann": MAIL}, tls=tls) as server:
        outcomes = list(run_checks(over_sockets(server)))
    assert found(outcomes, "failed") == {}
    lacking = {"none": IN_CLEAR | STLS, "starttls": set(), "implicit": STLS}[tls]
    assert set(found(outcomes, "skipped")) == NOT_OFFERED | lacking


@pytest.mark.deep
def test_an_empty_maildrop_is_filled():
    outcomes = list(run_checks(in_memory(mail=[])))
    assert found(outcomes, "failed") == {}
    assert set(found(outcomes, "skipped")) == NOT_OFFERED | IN_CLEAR | STLS


@pytest.mark.deep
def test_nothing_is_deleted_and_nothing_delivered_unasked():
    server = pop3_in_memory({"ann": MAIL})
    target = Target(in_memory=server.session, tls="none", user="ann", password=PASSWORD)
    outcomes = list(run_checks(target))
    assert found(outcomes, "failed") == {}
    assert server.messages("ann") == MAIL
    assert not any("DELE 1" in each.transcript for each in outcomes if each.check.state == "transaction")
    asking = {Need.DELETING, Need.DELIVERY, Need.STLS}
    assert set(found(outcomes, "skipped")) == NOT_OFFERED | IN_CLEAR | {c.id for c in CHECKS if c.needs & asking}


def test_without_a_user_only_what_needs_none_is_run():
    server = pop3_in_memory({"ann": MAIL})
    outcomes = list(run_checks(Target(in_memory=server.session, tls="none")))
    assert found(outcomes, "failed") == {}
    passed = found(outcomes, "passed")
    assert "wrong-password-refused" in passed
    assert not [id_ for id_ in passed if Need.LOGIN in BY_ID[id_].needs]


@pytest.mark.deep
def test_no_password_is_shown_where_that_is_not_allowed():
    server = pop3_in_memory({"ann": MAIL})
    target = Target(in_memory=server.session, tls="none", user="ann", password=PASSWORD, cleartext="never")
    checker = Checker(target)
    outcomes = [checker.run(check) for check in CHECKS]
    assert found(outcomes, "failed") == {}
    assert checker.facts.method == "SCRAM-SHA-512"
    showing = {check.id for check in CHECKS if Need.PASSWORD in check.needs} - STLS
    skipped = found(outcomes, "skipped")
    assert all("no verified TLS" in skipped[id_] for id_ in showing)


# Each check can fail.


def test_each_check_has_a_server_that_breaks_its_rule():
    assert set(SABOTAGE) | set(WITHOUT) == set(BY_ID)
    assert not set(SABOTAGE) & set(WITHOUT)


@pytest.mark.deep(keep=40)
@pytest.mark.parametrize("id_", SABOTAGE)
def test_a_check_fails_where_its_rule_is_broken(id_, monkeypatch):
    monkeypatch.setattr("pop3proto.testing.checks.run.World._pause", lambda _world, _seconds: None)
    sabotage = SABOTAGE[id_]
    options = {"seed": 1, **({} if "scram" in id_ else WITHOUT_SCRAM), **sabotage.server}
    if isinstance(store := options.get("store"), type):
        options |= {"store": store({"ann": MAIL}), "passwords": {"ann": PASSWORD}}
    maildrops = None if "store" in options else {"ann": MAIL}
    if sabotage.tls == "none" and "slow" not in sabotage.target:  # in memory no time passes
        server = pop3_in_memory(maildrops, faults=sabotage.faults, **options)
        settings = {"user": "ann", "password": PASSWORD, "may_delete": True, **sabotage.target}
        target = Target(
            in_memory=server.session, tls="none", deliver=lambda message: server.deliver("ann", message), **settings
        )
        outcome = checked(target, id_)
    else:
        with pop3_server(maildrops, faults=sabotage.faults, tls=sabotage.tls, **options) as running:
            outcome = checked(over_sockets(running, **sabotage.target), id_)
    assert (outcome.result, outcome.check.id) == ("failed", id_), outcome
    assert outcome.why
    assert PASSWORD not in outcome.why + outcome.transcript
    assert "could not be carried out" not in outcome.why
    assert outcome.transcript or id_ == "no-password-in-clear"


def checked(target: Target, id_: str) -> Outcome:
    checker = Checker(target)
    if Need.NETWORK in BY_ID[id_].needs:
        checker.run(BY_ID["greeting-positive"])
        checker.facts.loopback = False
    return checker.run(BY_ID[id_])


# What others do meanwhile, and what servers may do, makes no check fail.


@pytest.mark.parametrize("id_", ["hang-up-keeps", "rset-keeps", "quit-removes-marked", "retr-keeps"])
@pytest.mark.parametrize("uidl", [True, False])
def test_new_mail_between_sessions_is_no_loss(id_, uidl):
    server = pop3_in_memory({"ann": MAIL}, seed=1, **WITHOUT_SCRAM, faults=[] if uidl else [Refuse("UIDL")])
    begun = []

    def session() -> Any:
        begun.append(1)
        server.deliver("ann", b"Subject: new\n\n" + len(begun) * b"new\n")
        return server.session()

    target = Target(in_memory=session, tls="none", user="ann", password=PASSWORD, may_delete=True)
    outcome = checked(target, id_)
    assert outcome.result == "passed", outcome


@pytest.mark.parametrize("id_", ["maildrop-locked", "in-use-code"])
def test_a_login_that_is_refused_for_its_delay_tells_nothing_of_the_lock(id_):
    faults = [Refuse("AUTH", "LOGIN-DELAY", session=session) for session in (3,)]
    outcome = checked(in_memory(faults=faults, mechanisms=["PLAIN"], apop=False, user_pass=False), id_)
    assert outcome.result == "skipped"
    assert "too early" in outcome.why


@pytest.mark.parametrize("seconds, result", [(10, "passed"), (3600, "skipped")])
def test_the_lock_is_looked_at_after_the_delay(seconds, result):
    target = in_memory(announce=announcing(login_delay=LoginDelay(seconds)), **WITHOUT_SCRAM)
    assert checked(target, "maildrop-locked").result == result


@pytest.mark.parametrize("id_", ["wrong-password-refused", "login-once", "auth-code-announced"])
def test_a_server_may_hang_up_after_a_refusal(id_):
    faults = [HangUpAfter("PASS .*"), *([HangUpAfter("USER .*")] if id_ == "login-once" else [])]
    outcome = checked(in_memory(faults=faults, mechanisms=["PLAIN"], apop=False), id_)
    assert outcome.result == "passed", outcome


def test_a_cr_alone_ends_no_line_of_a_body():
    mail = [b"Subject: one\r\n\r\na\rb\r\nsecond\r\n"]
    for id_ in ("top-of-one-line", "top-of-no-lines"):
        outcome = checked(in_memory(mail, target={"may_delete": False}, **WITHOUT_SCRAM), id_)
        assert outcome.result == "passed", outcome


@pytest.mark.parametrize("announced", [b"EXPIRE never", b"LOGIN-DELAY 10 user", b"EXPIRE 30 User"])
def test_the_case_of_arguments_does_not_matter(announced):
    target = in_memory(faults=[Said("CAPA", b"IMPLEMENTATION", announced + b"\r\nIMPLEMENTATION")])
    assert checked(target, "capa-arguments").result == "passed"


def test_a_size_must_be_the_whole_word():
    size = len(MAIL[0].replace(b"\n", b"\r\n"))
    outcome = checked(in_memory(faults=[Instead("LIST 1", b"+OK 1 %d9" % size)]), "list-one")
    assert outcome.result == "failed"


@pytest.mark.parametrize("check", [check for check in CHECKS if Need.DELETING in check.needs], ids=lambda each: each.id)
@pytest.mark.parametrize("command", ["LIST", "UIDL"])
def test_a_listing_without_number_one_breaks_no_check(check, command):
    faults = [Said(command, rb"\A1 \S+\r\n", b"")]
    outcome = Checker(in_memory(faults=faults, **WITHOUT_SCRAM)).run(check)
    assert "could not be carried out" not in outcome.why


def test_a_listing_without_a_size_breaks_no_check():
    outcome = checked(in_memory(faults=[Instead("LIST .*", b"+OK 4 messages")], **WITHOUT_SCRAM), "last-line-end")
    assert outcome.why == "LIST tells no size: 4 messages"


def test_what_is_unknown_is_not_taken_for_none():
    faults = [Instead("STAT", b"+OK a few")]
    outcomes = list(run_checks(in_memory(faults=faults, target={"may_delete": False}, **WITHOUT_SCRAM)))
    skipped = found(outcomes, "skipped")
    assert "the maildrop has no messages" not in skipped.values()
    assert {"uidl-form", "top-of-one-line", "retr-again"} <= set(found(outcomes, "passed"))


def test_what_hangs_leaves_the_rest_unknown():
    with pop3_server({"ann": MAIL}, faults=[Stall("STAT")]) as server:
        (outcome,) = run_checks(over_sockets(server, timeout=0.1), [BY_ID["uidl-form"]])
    assert outcome.result == "skipped"
    assert "whether UIDL works could not be found out: no answer to 'STAT'" in outcome.why


def test_a_silent_server_is_waited_for_once():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target("127.0.0.1", silent.getsockname()[1], tls="none", timeout=0.05)
        outcomes = list(run_checks(target, [check for check in CHECKS if check.state == "connection"]))
        silent.settimeout(PATIENCE)
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert "in time" in found(outcomes, "failed")["greeting-positive"]
    assert found(outcomes, "passed") == {}


class NeverTls(socketserver.StreamRequestHandler):
    """A server that accepts STLS, and then hangs up with a reset, or says nothing."""

    resets = True

    @override
    def handle(self) -> None:
        self.wfile.write(b"+OK ready\r\n")
        while line := self.rfile.readline():
            answer = {b"CAPA\r\n": b"+OK\r\nSTLS\r\n.\r\n", b"STLS\r\n": b"+OK\r\n"}.get(line, b"-ERR\r\n")
            self.wfile.write(answer)
            if line == b"STLS\r\n":
                self.rfile.read(1 if self.resets else -1)
                if self.resets:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return


@pytest.mark.parametrize("resets", [True, False])
def test_after_stls_a_server_may_hang_up_in_any_way_or_wait(resets):
    handler = type("Handler", (NeverTls,), {"resets": resets})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            target = Target("127.0.0.1", server.server_address[1], tls="starttls", timeout=0.2)
            (outcome,) = run_checks(target, [BY_ID["stls-handshake-fails"]])
        finally:
            server.shutdown()
            thread.join(PATIENCE)
    assert outcome.result == "passed", outcome


# The table.


def test_the_table():
    assert [id_ for id_, count in Counter(check.id for check in CHECKS).items() if count > 1] == []
    for check in CHECKS:
        assert check.title.endswith("."), check
        assert check.rfc is not None or check.level is Level.PRACTICE, check
        assert (check.state == "transaction") <= (Need.LOGIN in check.needs), check


# Running.


def check_of(script: Any, *needs: Need) -> Check:
    return Check("mine", "Mine.", None, "", Level.MUST, "authorization", frozenset(needs), script)


def test_a_broken_check_does_not_stop_the_others():
    def broken(talk):
        yield from talk.ask(b"CAPA")
        raise ZeroDivisionError("oh")

    def skipping(talk):
        yield from talk.body()
        skip("not here")

    def wrong(talk):
        yield 1

    outcomes = list(run_checks(in_memory(), [check_of(each) for each in (broken, skipping, wrong)] + [CHECKS[0]]))
    assert [outcome.result for outcome in outcomes] == ["failed", "failed", "failed", "passed"]
    assert "ZeroDivisionError: oh" in outcomes[0].why
    assert "C: CAPA" in outcomes[0].transcript


def test_a_check_of_ones_own():
    def script(talk):
        reply = yield from talk.refused(b"XDATE")
        expect(reply.text == "unknown command", f"it says {reply.text}")

    (outcome,) = run_checks(in_memory(), [check_of(script)])
    assert (outcome.result, outcome.why) == ("passed", "")
    assert outcome.transcript.splitlines()[1:] == ["C: XDATE", "S: -ERR unknown command"]
    with pytest.raises(CheckSkipped):
        skip("")


@pytest.mark.deep
def test_nothing_is_shown_of_a_secret():
    shown = "\n".join(outcome.transcript for outcome in run_checks(in_memory()))
    for secret in (PASSWORD.encode(), encode_base64(b"\0ann\0" + PASSWORD.encode()), b"not-the-password"):
        assert secret.decode() not in shown
    assert "C: PASS ***" in shown
    assert "C: AUTH PLAIN ***" in shown


def test_a_server_that_cannot_be_reached():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    outcomes = list(run_checks(Target("127.0.0.1", port, tls="none", user="ann", password="x")))
    failed = found(outcomes, "failed")
    lacking = STLS | (IN_CLEAR & {check.id for check in CHECKS if check.state == "connection"})
    assert set(failed) == set(BY_ID) - lacking - {"greeting-timestamp-differs"}
    assert "refused" in failed["greeting-positive"]


def test_a_server_that_is_silent_costs_a_bounded_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        outcomes = list(run_checks(Target("127.0.0.1", port, tls="none", timeout=0.05, total=0.2)))
    assert "in time" in found(outcomes, "failed")["greeting-positive"]
    assert found(outcomes, "passed") == {}


def test_a_server_that_drips_costs_a_bounded_time():
    with pop3_server({"ann": MAIL}, faults=[Drip(octets=1, every=0.01)]) as server:
        target = over_sockets(server, limit=0.1, total=0.3)
        outcomes = list(run_checks(target))
    assert "time" in found(outcomes, "failed")["greeting-positive"]
    assert "0.3 seconds for all checks are over" in found(outcomes, "skipped").values()


def test_a_server_that_hangs_after_the_login():
    with pop3_server({"ann": MAIL}, faults=[Stall("STAT")]) as server:
        outcomes = list(run_checks(over_sockets(server, timeout=0.1), [BY_ID["stat-form"], BY_ID["noop-argument"]]))
    assert [outcome.result for outcome in outcomes] == ["failed", "passed"]
    assert "no answer to 'STAT' in time" in outcomes[0].why


def test_a_login_that_is_refused_fails_what_needs_it():
    """A run in which nobody has logged in must not look as if all were well."""
    failed = found(run_checks(in_memory(target={"password": "wrong"})), "failed")
    assert set(failed) == {"login-accepted"} | {check.id for check in CHECKS if Need.LOGIN in check.needs}
    assert "could not be found out: the login was refused" in failed["stat-form"]


def test_a_probe_notes_once_that_nobody_can_log_in():
    findings = Findings(110)
    counts = add_outcomes(run_checks(in_memory(target={"password": "wrong"})), findings)
    assert [finding.id for finding in findings.found] == ["check.login-accepted"]
    assert counts["failed"] == 1 + sum(Need.LOGIN in check.needs for check in CHECKS)


def test_the_first_login_is_tried_again():
    faults = [Refuse("AUTH", "SYS/TEMP", session=1), Refuse("AUTH", "IN-USE", session=2)]
    target = in_memory(faults=faults, mechanisms=["PLAIN"], apop=False, user_pass=False)
    assert [outcome.result for outcome in run_checks(target, [BY_ID["stat-form"]])] == ["passed"]


@pytest.mark.parametrize("code, sessions", [("AUTH", 1), ("SYS/TEMP", 4)])
def test_a_password_that_is_wrong_is_not_tried_for_ever(code, sessions):
    """The account may be locked after some tries."""
    begun = []
    server = pop3_in_memory(
        {"ann": MAIL}, faults=[Refuse("AUTH", code)], mechanisms=["PLAIN"], apop=False, user_pass=False
    )

    def session() -> Any:
        begun.append(1)
        return server.session()

    target = Target(in_memory=session, tls="none", user="ann", password=PASSWORD)
    assert [outcome.result for outcome in run_checks(target, [BY_ID["stat-form"]])] == ["failed"]
    assert len(begun) == sessions


@pytest.mark.deep
def test_with_expire_0_nothing_is_retrieved_without_leave():
    shown = "".join(
        each.transcript
        for each in run_checks(in_memory(announce=announcing(expire=Expire(0)), target={"may_delete": False}))
    )
    assert not re.search(r"RETR \d+\nS.?: \+OK", shown)
    assert "C: STAT" in shown


# Secrets.


def test_the_reason_of_a_failure_shows_no_secret():
    def script(talk):
        yield from ()
        expect(False, f"it says {PASSWORD}, {encode_base64(PASSWORD.encode()).decode()}")

    (outcome,) = run_checks(in_memory(), [check_of(script)])
    assert (outcome.result, outcome.why) == ("failed", "it says ***, ***")


@pytest.mark.parametrize("line", [b"PASS  blank", b"PASS\ttab", b"pass x", b"AUTH  PLAIN AGFubg==", b"APOP  ann 0123"])
def test_a_command_line_is_shown_without_its_secret(line):
    assert without_secret(line).endswith(b"***")
    assert line.split()[-1] not in without_secret(line)


@pytest.mark.parametrize("credentials", [Password("ann", "tan st\u00e4f!"), Token("ann", "ya29.a0-token")])
def test_a_secret_is_hidden_however_a_server_repeats_it(credentials):
    secret = getattr(credentials, "token", "") or credentials.password
    octets = secret.encode()
    hidden = Secrets(credentials)
    for before in (b"", b"a", b"\0a", b"\0a\0", b"n,a=ann,\x01auth=Bearer "):
        encoded = base64.b64encode(before + octets + b"\x01\x01")
        middle = encoded[len(encoded) // 2 - 2 : -8]
        assert hidden.hidden_in(b"-ERR " + encoded) != b"-ERR " + encoded
        assert middle == b"" or b"***" in hidden.hidden_in(encoded)
    for text in (secret, repr(octets), ascii(secret), octets.decode("latin-1")):
        assert "***" in hidden.masked(text)
        assert secret[:5] not in hidden.masked(text)


@pytest.mark.deep
def test_nothing_of_scram_is_shown_from_which_a_password_can_be_guessed():
    target = in_memory(mechanisms=["SCRAM-SHA-256"], apop=False, user_pass=False)
    (outcome,) = run_checks(target, [BY_ID["login-accepted"]])
    assert outcome.transcript.splitlines()[1:5] == ["C: AUTH SCRAM-SHA-256 ***", "S: + ***", "C: ***", "S: + ***"]
    for each in run_checks(target):
        assert not re.search(r"\+ [A-Za-z0-9+/]{20}", each.transcript), each


def test_limits_of_the_server_do_not_make_checks_fail():
    """Each check has connections of its own, and a refused login is tried again."""
    locked = [Refuse("AUTH", "IN-USE", session=3), Refuse("AUTH", "SYS/TEMP", session=4)]
    target = in_memory(faults=locked, mechanisms=["PLAIN"], apop=False, user_pass=False)
    outcomes = list(run_checks(target, [BY_ID["stat-form"], BY_ID["list-form"], BY_ID["uidl-form"]]))
    assert [outcome.result for outcome in outcomes] == ["passed"] * 3


# Targets.


@pytest.mark.parametrize(
    "url, expected",
    [
        ("pops://ann@pop.example.org", ("pop.example.org", None, "implicit", "ann", "p")),
        ("pop3s://ann:s%40t@[::1]:9950/", ("::1", 9950, "implicit", "ann", "s@t")),
        ("pop://a%40b@pop.example.org:1110", ("pop.example.org", 1110, "starttls", "a@b", "p")),
        ("pop3+starttls://ann@h", ("h", None, "starttls", "ann", "p")),
        ("pop3://127.0.0.1:1110", ("127.0.0.1", 1110, "none", None, None)),
    ],
)
def test_urls(url, expected):
    target = Target.of_url(url, password="p")
    assert (target.host, target.port, target.tls, target.user, target.password) == expected


@pytest.mark.parametrize("url", ["http://h", "pops://", "pops:h", "pops://ann@h", "pops://ann@h:x", "pops://h/inbox"])
def test_bad_urls(url):
    with pytest.raises(ValueError, match=r"URL of (a|the) server|password for the user"):
        Target.of_url(url)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": "h", "in_memory": object},
        {"host": "h", "user": "ann"},
        {"in_memory": object},
        {"host": "h", "tls": "maybe"},
        {"host": "h", "cleartext": "maybe"},
    ],
)
def test_bad_targets(options):
    with pytest.raises(ValueError, match=r"\w"):
        Target(**options)


def test_a_server_over_the_core_alone():
    """What `in_memory` takes may be anything that hears and says."""

    class Session:
        ended = False

        def __init__(self) -> None:
            self.said = [b"+OK ready\r\n"]

        def hear(self, octets: bytes, /) -> None:
            self.ended = self.ended or not octets or octets == b"QUIT\r\n"
            if octets:
                self.said.append(b"+OK bye\r\n" if octets == b"QUIT\r\n" else b"-ERR no\r\n")

        def take_piece(self) -> bytes:
            return self.said.pop(0) if self.said else b""

    outcomes = list(run_checks(Target(in_memory=Session, tls="none")))
    assert "quit-before-login" in found(outcomes, "passed")
    assert found(outcomes, "failed")["keyword-case"] == "'qUiT' was refused: no"
    assert "capa-known" in found(outcomes, "failed")
