"""`pop3proto fetch`: how it logs in, and what it says where it cannot."""

import io
import os

import pytest

from pop3proto.cli import main
from pop3proto.maildrops import MemoryStore
from tests.helpers.cli_servers import (
    MAIL,
    PASSWORD,
    STORED,
    HangUp,
    Scripted,
    at,
    body,
    fetch_in_clear as fetch,
    password_file,
    serving,
    stored,
)
from tests.helpers.cli_tls import both, fetch_tls, serving_tls


@pytest.mark.deep(keep=4)
@both
@pytest.mark.parametrize(
    "way", ["*", "SCRAM-SHA-256-PLUS", "scram-sha-1", "CRAM-MD5", "Plain", "LOGIN", "%2BAPOP", "+apop"]
)
def test_a_way_to_log_in_that_the_url_names(target, authority, capsys, tls, way):
    with serving_tls(MemoryStore({"ann": MAIL}), authority.certificate(), tls) as port:
        status = fetch_tls(tls, port, target, *authority.trusted, user=f"ann;auth={way}")
    if tls == "starttls" and "APOP" in way.upper():  # the timestamp came before TLS
        assert status == 77
        assert "no usable login method: APOP: " in capsys.readouterr().err
    else:
        assert status == 0
        assert stored(target) == sorted(STORED)


def test_no_other_way_is_tried_than_the_one_that_the_url_names(target, capsys):
    answers = {"CAPA": body("SASL PLAIN CRAM-MD5", "USER"), "AUTH CRAM-MD5": b"-ERR not this\r\n"}
    with Scripted(answers) as server:
        url = f"pop://ann;AUTH=cram-md5@127.0.0.1:{server.address[1]}"
        file = password_file(target.parent)
        assert main(["fetch", url, str(target), "--password-file", str(file), "--allow-cleartext"]) == 77
        assert server.heard == ["CAPA", "AUTH CRAM-MD5"]
    assert capsys.readouterr().err == f"{at(server, 'ann')}login failed (AUTH CRAM-MD5: not this)\n"


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--status"]])
def test_a_login_that_cannot_be_tried_is_no_thing_that_passes(target, capsys, options):
    """Also where a run only looks."""
    with Scripted({"CAPA": body("USER")}) as server:  # its greeting has no timestamp
        url = f"pop://ann;AUTH=+APOP@127.0.0.1:{server.address[1]}"
        words = [url, str(target), "--allow-cleartext", "--password-file", str(password_file(target.parent))]
        assert main(["fetch", *words, *options]) == 77
    assert "no usable login method: APOP: " in capsys.readouterr().err


def test_methods_that_are_withheld_are_named(tmp_path, capsys):
    """Without verified TLS a refusal may come from an attacker, and nothing weaker follows."""
    capa = b"+OK\r\nSASL SCRAM-SHA-256 CRAM-MD5\r\nUSER\r\n.\r\n"
    with Scripted({"CAPA": capa, "AUTH": b"-ERR [AUTH] no\r\n"}, b"+OK ready <1.2@example.org>\r\n") as server:
        assert fetch(server, tmp_path / "mail") == 77
    assert capsys.readouterr().err == (
        f"{at(server, 'ann')}login failed (AUTH SCRAM-SHA-256 ***: [AUTH] no); withheld: "
        "APOP: passwords can be guessed from it: without verified TLS it must be named by ;AUTH= in the URL; "
        "CRAM-MD5, USER/PASS: without verified TLS nothing weaker than SCRAM-SHA-256 is tried\n"
    )


def test_a_login_that_is_refused_says_all_that_was_tried(target, authority, capsys):
    with serving_tls(MemoryStore(), authority.certificate(), "implicit") as port:
        file = target.parent / "wrong"
        file.write_text("S3cret")
        assert fetch_tls("implicit", port, target, *authority.trusted, "--password-file", str(file)) == 77
    err = capsys.readouterr().err
    assert err == (
        f"{at(port, 'ann')}login failed (AUTH SCRAM-SHA-512-PLUS ***: [AUTH] wrong name or password; "
        "AUTH SCRAM-SHA-512 ***: [AUTH] wrong name or password)\n"
    )
    assert "token" not in err
    assert "S3cret" not in err


STAMPED = b"+OK ready <1896.697170952@dbc.mtview.ca.us>\r\n"
REFUSING_APOP = {"CAPA": body("USER", "UIDL"), "APOP": HangUp(b"-ERR authorization failed\r\n"), "UIDL": body()}


def test_a_server_that_hangs_up_after_refusing_apop(target, authority, capsys):
    with Scripted(REFUSING_APOP, STAMPED, authority.context()) as server:
        assert fetch_tls("implicit", server.address[1], target, *authority.trusted) == 0
    verbs = [line.split()[0] for line in server.heard]
    assert verbs[:6] == ["CAPA", "APOP", "CAPA", "USER", "PASS", "CAPA"]
    assert capsys.readouterr() == ("", "")


def test_a_login_that_is_refused_over_two_connections_says_which(target, authority, capsys):
    answers = REFUSING_APOP | {"PASS": HangUp(b"-ERR wrong\r\n")}
    with Scripted(answers, STAMPED, authority.context()) as server:
        assert fetch_tls("implicit", server.address[1], target, *authority.trusted) == 77
    assert capsys.readouterr().err == (
        f"{at(server, 'ann')}login failed (connection 1: APOP ann ***: authorization failed; "
        "connection 2: PASS ***: wrong)\n"
    )


def test_a_login_that_is_refused_three_times_says_how_to_try_the_rest(target, authority, capsys):
    answers = {
        "CAPA": body("SASL SCRAM-SHA-256 CRAM-MD5 PLAIN", "USER"),
        "AUTH": b"-ERR no\r\n",
        "PASS": b"-ERR no\r\n",
    }
    with Scripted(answers, context=authority.context()) as server:
        assert fetch_tls("implicit", server.address[1], target, *authority.trusted) == 77
    assert [line.split()[0] for line in server.heard if line.split()[0] in {"AUTH", "PASS"}] == ["AUTH", "AUTH", "PASS"]
    assert capsys.readouterr().err.endswith(
        "not tried: CRAM-MD5, PLAIN, because 3 refusals are the most of one login; "
        "name what is to be tried next by ;AUTH= in the URL\n"
    )


def test_a_password_that_is_not_ascii(target, authority, capsys):
    answers = {"CAPA": body("USER", "UIDL"), "PASS": b"-ERR wrong\r\n", "PASS pässwörd": b"+OK\r\n", "UIDL": body()}
    file = str(password_file(target.parent, "pässwörd\n"))
    with Scripted(answers, context=authority.context()) as server:
        options = (*authority.trusted, "--password-file", file)
        assert fetch_tls("implicit", server.address[1], target, *options) == 0
    assert capsys.readouterr() == ("", "")


UMLAUTS = "pässwörd\n"


@pytest.mark.parametrize(
    "encoding, octets",
    [("latin-1", b"p\xe4ssw\xf6rd"), ("UTF-8", "pässwörd".encode()), ("cp437", b"p\x84ssw\x94rd")],
)
def test_a_password_in_the_encoding_of_the_server(target, encoding, octets):
    sent = octets.decode("utf-8", "surrogateescape")
    with Scripted({"PASS": b"-ERR wrong\r\n", f"PASS {sent}": b"+OK\r\n", "UIDL": body()}) as server:
        file = str(password_file(target.parent, UMLAUTS))
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        options = ("--password-file", file, "--allow-cleartext", "--password-encoding", encoding)
        assert main(["fetch", url, str(target), *options]) == 0
    assert f"PASS {sent}" in server.heard


def test_a_password_that_the_encoding_does_not_have(target, authority, capsys):
    file = str(password_file(target.parent, UMLAUTS))
    with Scripted({}, context=authority.context()) as server:
        options = (*authority.trusted, "--password-file", file, "--password-encoding", "ascii")
        assert fetch_tls("implicit", server.address[1], target, *options) == 77
    assert capsys.readouterr().err == f"{at(server)}the password cannot be encoded as ascii\n"


def test_a_password_that_is_not_ascii_is_not_sent_in_an_encoding_that_is_guessed(target, capsys, monkeypatch):
    monkeypatch.setattr("pop3proto._io.peers.is_loopback", lambda *_: False)
    file = str(password_file(target.parent, UMLAUTS))
    with Scripted({}) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--password-file", file, "--allow-cleartext"]) == 77
    assert "it is sent only if --password-encoding utf-8 or another encoding is given" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["latin-8859", "hex", "undefined", ""])
def test_an_encoding_that_does_not_exist(target, capsys, name):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "pop://ann@127.0.0.1", str(target), "--password-encoding", name])
    assert ended.value.code == 2
    assert f"argument --password-encoding: there is no encoding {name!r}; latin-1 and" in capsys.readouterr().err


def test_why_the_client_gave_up_is_told(target, capsys):
    answers = {"CAPA": body("SASL CRAM-MD5"), "AUTH CRAM-MD5": b"+ \r\n", "*": b"-ERR cancelled\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target) == 77
        assert server.heard == ["CAPA", "AUTH CRAM-MD5", "*"]
    err = capsys.readouterr().err
    assert err.startswith(f"{at(server, 'ann')}login failed (AUTH CRAM-MD5: cancelled): ")
    assert err.count("\n") == 1


def test_the_password_is_asked_for(target, monkeypatch, capsys):
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr("getpass.getpass", answer)
    with serving(MemoryStore({"ann": MAIL})) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--allow-cleartext"]) == 0
    assert asked == ["Password for ann on 127.0.0.1: "]


def test_an_empty_answer_is_no_password(target, monkeypatch, capsys):
    monkeypatch.setattr("getpass.getpass", lambda _: "")
    assert main(["fetch", "pops://ann@127.0.0.1", str(target)]) == 78
    assert (
        capsys.readouterr().err
        == "ann@127.0.0.1:995: no password was given (--password-file FILE, or the configuration file)\n"
    )


def test_what_some_editors_put_before_the_first_line_is_no_part_of_the_password(target):
    with Scripted({"UIDL": body()}) as server:
        file = target.parent / "bom"
        file.write_bytes(b"\xef\xbb\xbfsecret\r\nmore")
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--password-file", str(file), "--allow-cleartext"]) == 0
        assert "PASS secret" in server.heard


def test_where_clear_text_is_allowed_it_goes_to_other_machines_too(target, monkeypatch):
    monkeypatch.setattr("pop3proto._io.peers.is_loopback", lambda _: False)
    with Scripted({"UIDL": body()}) as server:
        assert fetch(server, target) == 0
        assert f"PASS {PASSWORD}" in server.heard


def test_stdin_is_no_terminal(target, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    monkeypatch.setattr("os.open", _no_terminal(os.open))
    assert main(["fetch", "pops://ann@127.0.0.1", str(target)]) == 78
    assert capsys.readouterr().err == (
        "ann@127.0.0.1:995: cannot ask for the password without a terminal: "
        "say where else it comes from (--password-file FILE, or the configuration file)\n"
    )


def _no_terminal(open_file):
    def call(path, *arguments, **options):
        if path == "/dev/tty":
            raise OSError(6, "No such device or address")
        return open_file(path, *arguments, **options)

    return call


@pytest.mark.parametrize("option", ["--keep", "--dry-run", "--status"])
@pytest.mark.parametrize("code, status", [("IN-USE", 75), ("LOGIN-DELAY", 75), ("SYS/TEMP", 75), ("SYS/PERM", 77)])
def test_a_login_that_is_refused_for_now_is_tried_later(target, code, status, option):
    with Scripted({"PASS": f"-ERR [{code}] no\r\n".encode()}) as server:
        assert fetch(server, target, option) == status
