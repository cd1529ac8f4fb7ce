"""`pop3proto probe`: what it prints, for people and for programs, and its exit status."""

import json
import re
import socket
from pathlib import Path

import pytest

from pop3proto.cli import main
from pop3proto.cli.probe_text import nagios_line, profile_of, report_text
from pop3proto.core.quirks import quirks_named
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import BareLF, Refuse, WrongSize
from pop3proto.testing.probing import Finding, PortReport, Report, Severity
from pop3proto.testing.probing.implementations import implementation_of
from pop3proto.testing.probing.mailbox import Mailbox
from tests.helpers.cli_servers import password_file
from tests.helpers.probing import hurry_up, saying, scripted

MAIL = [b"Subject: %d\n\n.dot\none\n" % number for number in range(1, 4)]


@pytest.fixture
def secrets(tmp_path):
    """Options with which ann logs in."""
    return "--user", "ann", "--password-file", str(password_file(tmp_path, f"{PASSWORD}\n"))


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Everything here is on this machine, and answers at once."""
    hurry_up(monkeypatch)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main(["probe", *map(str, arguments)])
    return status, *capsys.readouterr()


# ----------------------------------------------------------------------------------------- exit statuses


def test_a_good_server_is_fine(capsys, secrets):
    with pop3_server({"ann": MAIL}) as server:
        status, out, err = run(capsys, f"localhost:{server.port}", *secrets)
    assert status == 0
    assert err == ""
    assert out.startswith("localhost: FINE (2 notes)\n")
    assert "3 messages; 3 as large as LIST says" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    "fault, status, first",
    [
        (WrongSize(), 1, "localhost: WARNINGS: 3 of 3 messages fetched: another size than LIST says.\n"),
        (Refuse("RETR 2"), 2, "localhost: BROKEN: 1 of 3 messages cannot be fetched.\n"),
    ],
)
def test_the_verdict_and_the_advice_come_first(fault, status, first, capsys, secrets):
    with pop3_server({"ann": MAIL}, faults=[fault]) as server:
        got, out, _ = run(capsys, f"localhost:{server.port}", *secrets)
    assert got == status
    assert out.startswith(f"{first}  -> ")
    assert max(map(len, out.splitlines())) <= 80


def test_a_closed_port_is_not_reached(capsys):
    port = closed_port()
    status, out, _ = run(capsys, f"localhost:{port}")
    assert status == 3
    assert out.startswith(f"localhost: NOT REACHED: There is no connection to port {port}.\n  -> Check the name")
    assert "refused" in out


def test_another_protocol_is_told_in_the_first_line(capsys):
    with scripted(saying(b"* OK IMAP4rev1 ready\r\n")) as port:
        status, out, _ = run(capsys, f"localhost:{port}")
    assert status == 2
    first, second, *_ = out.splitlines()
    assert first == f"localhost: BROKEN: Port {port} speaks IMAP, not POP3."
    assert second.startswith("  -> POP3 has the ports 995")


def test_tls_where_clear_text_was_expected(capsys):
    with pop3_server({}, tls="implicit") as server:
        status, out, _ = run(capsys, f"localhost:{server.port}", "--starttls")
        assert status == 2
        assert out.startswith(
            f"localhost: BROKEN: Port {server.port} begins with TLS, where clear text was expected.\n"
        )
        assert "pops:// URL" in out.splitlines()[1]


def test_clear_text_where_tls_was_expected(capsys):
    with pop3_server({}) as server:
        status, out, _ = run(capsys, f"pops://localhost:{server.port}")
        assert status == 2
        assert out.startswith(f"localhost: BROKEN: Port {server.port} begins in clear, where TLS was expected.\n")
        assert "pop:// URL" in out.splitlines()[1]


def test_a_silent_port_ends_by_the_timeout(capsys):
    with scripted(saying(b"")) as port:
        status, out, _ = run(capsys, f"localhost:{port}", "--timeout", "0.5")
    assert status == 2
    assert f"Port {port} takes the connection and says nothing" in out


@pytest.mark.parametrize("target", ["localhost:{}", "pops://localhost:{}", "pops://ann@localhost:{}"])
def test_an_authority_can_be_trusted(target, capsys, tmp_path, secrets):
    ca = tmp_path / "ca.pem"
    options = secrets[2:] if "@" in target else ()
    with pop3_server({"ann": MAIL}, tls="implicit") as server:
        ca.write_bytes(server.authority)
        url = target.format(server.port)
        assert run(capsys, url, *options)[0] == 2
        assert run(capsys, url, "--ca-file", ca, *options)[0] == 0


def test_no_password_goes_to_a_server_that_is_not_trusted(capsys, secrets):
    with pop3_server({"ann": MAIL}, tls="implicit") as server:
        status, out, _ = run(capsys, f"localhost:{server.port}", *secrets)
        assert not any(session.info.user for session in server.sessions)
    assert status == 2
    assert "The login was not tried" in out


# ----------------------------------------------------------------------------------------- for programs

KEYS = {
    "": {"version", "host", "verdict", "status", "seconds", "findings", "ports", "login", "quirks", "checks", "told"},
    "findings": {"id", "severity", "port", "text", "advice", "evidence"},
    "ports": {
        *("port", "protocol", "why", "first_line", "seconds", "implementation", "stls"),
        *("clear", "secure", "tls", "plan", "left_out"),
    },
    "clear": {"greeting", "greeting_seconds", "apop", "capabilities", "mechanisms", "works"},
    "tls": {"how", "version", "cipher", "versions", "trusted", "distrust", "days_left", "certificates"},
    "certificates": {
        *("subject", "names", "issuer", "begins", "ends", "key"),
        *("pin_sha256", "fingerprint_sha256", "self_issued"),
    },
    "login": {
        *("port", "seconds", "capabilities", "messages", "octets", "fetched", "unique_ids"),
        *("works", "pipelining", "lock", "answer_seconds"),
    },
}
"""The keys that docs/probe.md promises."""


def test_the_keys_of_json_stay(capsys, secrets, tmp_path):
    ca = tmp_path / "ca.pem"
    with pop3_server({"ann": MAIL}, tls="starttls") as server:
        ca.write_bytes(server.authority)
        status, out, _ = run(capsys, f"pop://localhost:{server.port}", "--json", "--ca-file", ca, *secrets)
    report = json.loads(out)
    [port] = report["ports"]
    found = {
        "": report,
        "findings": report["findings"][0],
        "ports": port,
        "clear": port["clear"],
        "tls": port["tls"],
        "certificates": port["tls"]["certificates"][0],
        "login": report["login"],
    }
    assert {name: set(item) for name, item in found.items()} == KEYS
    assert port["secure"].keys() == KEYS["clear"]
    assert status == report["status"] == 0
    assert (report["version"], report["verdict"]) == (1, "fine")
    assert report["login"]["messages"] == 3
    assert PASSWORD not in out


@pytest.mark.parametrize(
    "faults, status, word", [([], 0, "OK"), ([WrongSize()], 1, "WARNING"), ([Refuse("RETR 2")], 2, "CRITICAL")]
)
def test_one_line_for_a_monitor(faults, status, word, capsys, secrets):
    ca = Path(secrets[-1]).with_name("ca.pem")
    with pop3_server({"ann": MAIL}, faults=faults, tls="implicit") as server:
        ca.write_bytes(server.authority)
        got, out, err = run(capsys, f"pops://localhost:{server.port}", "--nagios", "--ca-file", ca, *secrets)
    assert (got, err) == (status, "")
    text, _, data = out.removesuffix("\n").partition(" | ")
    assert text.startswith(f"POP3 {word} - localhost: ")
    assert "\n" not in data
    values = dict(each.split("=") for each in data.split())
    assert values.keys() == {"greeting", "days", "login", "answer", "messages", "time"}
    assert all(re.fullmatch(r"-?[0-9.]+s?(?:;[0-9:]*){2,4}", value) for value in values.values())
    assert re.fullmatch(r"[0-9]+;14:;0:", values["days"])


def test_a_monitor_is_told_that_nothing_is_known(capsys, tmp_path):
    status, out, err = run(capsys, "localhost", "--nagios", "--user", "ann", "--password-file", tmp_path / "none")
    assert (status, err) == (3, "")
    assert out.startswith("POP3 UNKNOWN - cannot read the password file")
    assert out.count("\n") == 1


def test_a_monitor_is_told_that_a_server_is_down(capsys):
    status, out, _ = run(capsys, f"localhost:{closed_port()}", "--nagios")
    assert status == 2
    assert out.startswith("POP3 CRITICAL - localhost: There is no connection")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nagios"],
        ["host", "--timeout", "0", "--nagios"],
        ["host", "--nagios", "--json"],
        ["host", "--what", "--nag"],
        ["host:", "--nagios"],
        ["host", "--nagios", "--destructive"],
    ],
    ids=" ".join,
)
def test_a_monitor_is_told_of_mistakes(arguments, capsys):
    try:
        status = main(["probe", *arguments])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    assert (status, err) == (3, "")
    assert out.startswith("POP3 UNKNOWN - ")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    "error, status, words",
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("oops"), 3, "internal error, which says nothing about the server: ValueError: oops"),
        (OSError("full"), 3, "full"),
    ],
    ids=repr,
)
def test_what_fails_in_the_probe_is_no_verdict(error, status, words, capsys, monkeypatch):
    def probe(*_, **__):
        raise error

    monkeypatch.setattr("pop3proto.cli.probe.probe", probe)
    assert run(capsys, "host") == (status, "", f"pop3proto probe: {words}\n")
    assert run(capsys, "host", "--nagios") == (3, f"POP3 UNKNOWN - {words}\n", "")


def test_the_line_for_a_monitor_is_not_too_long():
    finding = Finding("failed", Severity.WARNING, "x" * 5_000)
    text, _, data = nagios_line(Report(host="localhost", findings=(finding,)), 14).partition(" | ")
    assert len(text) == 1_000
    assert data.startswith("time=")


def test_a_maildrop_without_a_count_is_not_empty():
    report = Report(host="localhost", mailbox=Mailbox(), login_port=110)
    assert re.search("maildrop +unknown", report_text(report))
    report.mailbox.sizes = {1: 10, 2: 20}
    assert re.search("maildrop +2 messages by LIST", report_text(report))


def test_the_line_for_a_monitor_is_one_line():
    evil = Finding("failed", Severity.WARNING, "a | b\nc \x1b[31m")
    line = nagios_line(Report(host="localhost", findings=(evil,)), 14)
    assert line.count("|") == 1
    assert line.isprintable()


@pytest.mark.parametrize("faults, profile", [([], "strict"), ([BareLF()], "bare_lf")])
def test_the_profile_is_what_a_client_takes(faults, profile, capsys, secrets):
    with pop3_server({"ann": MAIL}, faults=faults) as server:
        _, out, err = run(capsys, f"localhost:{server.port}", "--profile", *secrets)
    assert (out, err) == (f"{profile}\n", "")
    quirks_named(out.strip())


@pytest.mark.parametrize(
    "greeting, name, profile",
    [
        ("+OK Gpop ready for requests from 192.0.2.1 a1b2", "Gmail", "gmail"),
        ("+OK The Microsoft Exchange POP3 service is ready.", "Microsoft Exchange", "exchange"),
        ("+OK Hello there.", "Courier", "courier"),
        ("+OK Dovecot ready.", "Dovecot", "strict"),
    ],
)
def test_a_known_program_has_its_profile(greeting, name, profile):
    program = implementation_of(greeting, None)
    assert program is not None
    assert program.name == name
    assert profile_of(Report(host="h", ports=[PortReport(port=110, implementation=program)])) == profile


def test_a_profile_without_login_says_what_is_missing(capsys):
    with pop3_server({}) as server:
        status, out, err = run(capsys, f"localhost:{server.port}", "--profile")
    assert (status, out) == (0, "strict\n")
    assert err == "pop3proto probe: most quirks show after login only: use --user\n"


def test_there_is_no_profile_of_what_was_not_reached(capsys):
    port = closed_port()
    status, out, err = run(capsys, f"localhost:{port}", "--profile")
    assert (status, out) == (3, "")
    assert err.startswith(f"pop3proto probe: localhost: There is no connection to port {port}. ")


def test_what_a_server_says_cannot_change_the_terminal():
    finding = Finding("failed", Severity.BROKEN, "It said \x1b[31m.", "", "\x07\u202e")
    text = report_text(Report(host="localhost", findings=(finding,), ports=[PortReport(port=1, protocol="\x1b")]))
    assert text.replace("\n", "").isprintable()


# -------------------------------------------------------------------------------------------- its usage


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["pops://host:0"], "the port in the URL must be from 1 to 65535"),
        (["host:"], "the port in the URL must be a number"),
        (["imap://host"], "the URL must begin with pops:// (TLS from the start) or pop:// (TLS by STLS)"),
        (["ann@host"], "a user belongs into a URL, pops://user@host, or after --user"),
        (["pops://ann:secret@host"], "a password does not belong in a URL"),
        (["pops://ann@host", "--user", "bob"], "the URL names a user already"),
        (["pops://host", "--starttls"], "--starttls does not go with a pops:// URL"),
        (["host", "--password-file", "x"], "a password or token needs a user: use --user"),
        (["::1:99995"], "an IPv6 address with a port is written [ADDRESS]:PORT"),
        (["host", "--destructive"], "--destructive needs a login: use --user, with a test account"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_a_line(arguments, words, capsys):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("pop3proto probe: ")
    assert words in err
    assert err.count("\n") == 1
    assert "secret" not in err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["host", "--timeout", "0"], "the timeout must be a number of seconds above 0"),
        (["host", "--messages", "-1"], "it must be a number from 0 to 1,000"),
        (["host", "--days", "many"], "it must be a number from 0 to 3,650"),
        (["host", "--json", "--profile"], "not allowed with argument --json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense_are_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as end:
        main(["probe", *arguments])
    assert end.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_the_slow_and_the_dangerous_are_named_first(capsys, secrets):
    with pop3_server({"ann": [*MAIL, b"Subject: pop3proto probe\n\n"]}) as server:
        arguments = f"localhost:{server.port}", "--deep", "--idle", 0, "--destructive", *secrets
        status, out, err = run(capsys, *arguments)
        assert server.messages("ann") == MAIL
    assert status == 0
    first, second = err.splitlines()
    assert "the newest message with the subject 'pop3proto probe' will be deleted, and no other" in first
    assert re.search(r"--deep: bad commands, long lines, at most [0-9]+ seconds in all", second)
    assert "hangs up after 10 bad commands" in out


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "pop://127.0.0.1:{}", "pop://127.0.0.1:{}/"])
def test_an_address_will_do(address, capsys):
    with pop3_server({}) as server:
        status, out, err = run(capsys, address.format(server.port))
    assert (status, err) == (2 if "//" in address else 0, "")  # a URL asks for TLS
    assert out.startswith("127.0.0.1: ")


def test_an_address_of_ipv6_needs_no_brackets(capsys, monkeypatch):
    heard: list[object] = []

    def probe(host, port, **_):
        heard.append((host, port))
        return Report(host=host)

    monkeypatch.setattr("pop3proto.cli.probe.probe", probe)
    for target in ("::1", "[::1]", "[::1]:1110"):
        assert run(capsys, target)[0] == 0
    assert heard == [("::1", None), ("::1", None), ("::1", 1110)]
    _, _, err = run(capsys, "::1:995")
    assert heard[-1] == ("::1:995", None)
    assert "for port 995, use [::1]:995" in err
