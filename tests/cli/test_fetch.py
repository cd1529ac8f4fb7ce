"""`pop3proto fetch`: nothing is lost, nothing comes twice, nothing is deleted that is not stored."""

import errno
import io
import itertools
import os
import re
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from pop3proto._io import files as disk
from pop3proto._io.files import write_all
from pop3proto._io.new_files import NewFile
from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.blocking import Server, serve
from pop3proto.cli import main
from pop3proto.core.capabilities import Capabilities, Expire
from pop3proto.core.results import UniqueId
from pop3proto.fetching import journal as record
from pop3proto.fetching.account import Account
from pop3proto.fetching.download import SERIES
from pop3proto.fetching.inbox import Inbox
from pop3proto.fetching.journal import JOURNAL_NAME, FetchJournal, Identity
from pop3proto.maildrops import MaildirStore, MemoryStore, delivery, folders
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.maildrop import MaildropStore
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.authenticator import Authenticator
from pop3proto.sasl.channel import SessionInfo
from pop3proto.sasl.registry import SERVER_MECHANISMS
from tests.helpers import cli_servers
from tests.helpers.cli_servers import PASSWORD, HangUp, Scripted, at, body, password_file, serving, stored
from tests.helpers.depth import deep
from tests.helpers.processes import PATIENCE, join

MAIL = [b"Subject: one\n\n1\n", b".two\n..\n.\n", b"Subject: three\r\n\r\nno end"]
STORED = [b".two\n..\n.\n", b"Subject: one\n\n1\n", b"Subject: three\n\nno end\n"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "mail"


def fetch(server: Server | Scripted, target: Path, *options: str) -> int:
    """Fetch in clear: most of these tests are not about TLS."""
    return cli_servers.fetch(server, target, "--allow-cleartext", *options)


# ------------------------------------------------------------------------------------------ good days


def test_mail_is_fetched_once_and_stays(target, capsys):
    store = MemoryStore({"ann": MAIL})
    with serving(store) as server:
        assert fetch(server, target) == 0
        assert capsys.readouterr() == ("3 messages fetched\n", "")
        assert fetch(server, target) == 0
        assert capsys.readouterr() == ("0 messages fetched, 3 already here\n", "")
        store.deliver("ann", b"Subject: four\n")
        assert fetch(server, target) == 0
        assert capsys.readouterr() == ("1 message fetched, 3 already here\n", "")
    assert stored(target) == sorted([*STORED, b"Subject: four\n"])
    assert store.messages("ann") == [*MAIL, b"Subject: four\n"]


def test_what_was_moved_away_is_not_fetched_again(target):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
        for file in (target / "new").iterdir():
            file.unlink()
        assert fetch(server, target) == 0
    assert stored(target) == []


def test_the_order_is_kept(target):
    mail = [b"%d\n" % number for number in range(50)]
    with serving(MemoryStore({"ann": mail})) as server:
        assert fetch(server, target) == 0
    maildrop = MaildirStore({"ann": target}).open("ann", SessionInfo())
    sources = [maildrop.open(number) for number in range(1, 51)]
    assert [source.read(10) for source in sources] == mail
    for source in sources:
        source.close()
    maildrop.close()


def test_with_delete_what_is_stored_is_deleted(target, capsys):
    store = MemoryStore({"ann": MAIL[:1]})
    with serving(store) as server:
        assert fetch(server, target) == 0
        store.deliver("ann", MAIL[1])
        capsys.readouterr()
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr() == ("1 message fetched, 1 already here, 2 deleted on the server\n", "")
    assert store.messages("ann") == []
    assert len(stored(target)) == 2


def test_an_empty_maildrop(target, capsys):
    with serving(MemoryStore()) as server:
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr() == ("0 messages fetched\n", "")


def test_accounts_do_not_know_of_each_other(target, capsys):
    mail = body("Subject: a", "")
    for _ in range(2):  # two servers, two ports
        with Scripted({"UIDL": body("1 same"), "RETR": mail}) as server:
            assert fetch(server, target) == 0
    assert capsys.readouterr().out == "1 message fetched\n" * 2
    assert len(stored(target)) == 2


def test_a_pipelining_server_is_asked_for_all_at_once(target):
    answers = {
        "CAPA": body("PIPELINING", "UIDL"),
        "UIDL": body("1 a", "2 b"),
        "RETR 1": b"",  # it waits until it has heard the second
        "UIDL 1": [b"+OK 1 a\r\n", b""],
        "RETR 2": body("one") + b"+OK 1 a\r\n" + body("two"),
    }
    with Scripted(answers) as server:
        assert fetch(server, target) == 0
    assert stored(target) == [b"one\n", b"two\n"]


def test_a_server_that_deletes_by_itself_is_named_before(target, capsys):
    store = MemoryStore({"ann": MAIL}, capabilities=Capabilities(expire=Expire(0)))
    with serving(store) as server:
        assert fetch(server, target) == 0
    captured = capsys.readouterr()
    assert captured.err == "note: this server may delete messages once they are fetched (it announces EXPIRE 0)\n"
    assert stored(target) == sorted(STORED)


# ------------------------------------------------------------------------------------------------ TLS


class Authority:
    """Who vouches for servers: its own certificate, and theirs, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self._ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.trusted = ("--ca-file", str(folder / "ca.pem"))

    def context(self) -> ssl.SSLContext:
        """A context of a server on 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate())
        return context

    def certificate(self, name: str = "127.0.0.1") -> Path:
        """A file with a certificate for a name, and its key."""
        file = self._folder / f"{name}.pem"
        self._ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(file))
        return file


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def serving_tls(
    store: MaildropStore, certificate: Path, tls: TlsMode, authenticator: Authenticator | None = None
) -> Generator[int]:
    """Serve a store by TLS, to ann if to nobody else; the port."""
    authenticator = authenticator or MemoryAuthenticator({"ann": PASSWORD})
    service = Service(
        store=store, authenticator=authenticator, mechanisms=SERVER_MECHANISMS, failure_delay=0, login_penalty=None
    )
    with serve(service, tls=tls, certificate=certificate) as server:
        yield server.address[1]


SCHEMES: dict[TlsMode, str] = {"implicit": "pops", "starttls": "pop"}
both = pytest.mark.parametrize("tls", SCHEMES)


def fetch_tls(tls: TlsMode, port: int, target: Path, *options: str, user: str = "ann") -> int:
    if not {"--password-file", "--token-file"} & set(options):
        options = (*options, "--password-file", str(password_file(target.parent)))
    return main(["fetch", f"{SCHEMES[tls]}://{user}@127.0.0.1:{port}", str(target), *options])


@both
def test_tls_with_an_authority_of_ones_own(target, authority, tls, capsys):
    with serving_tls(MemoryStore({"ann": MAIL}), authority.certificate(), tls) as port:
        assert fetch_tls(tls, port, target, *authority.trusted) == 0
    assert stored(target) == sorted(STORED)
    assert capsys.readouterr() == ("3 messages fetched\n", "")


@both
@pytest.mark.parametrize("options", [(), ("--allow-cleartext",)])
def test_an_unknown_authority_is_refused(target, authority, capsys, tls, options):
    with serving_tls(MemoryStore(), authority.certificate(), tls) as port:
        assert fetch_tls(tls, port, target, *options) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"pop3proto fetch: the certificate of 127.0.0.1, port {port}, was not accepted: ")
    assert error.endswith("; to trust its issuer, use --ca-file FILE\n")


@both
@pytest.mark.parametrize("options", [(), ("--allow-cleartext",)])
def test_a_certificate_for_another_name_is_refused(target, authority, capsys, tls, options):
    with serving_tls(MemoryStore(), authority.certificate("pop.example.org"), tls) as port:
        assert fetch_tls(tls, port, target, *authority.trusted, *options) == 1
    error = capsys.readouterr().err
    assert "IP address mismatch" in error
    assert error.endswith("; connect to a name that the certificate is for\n")


@pytest.mark.parametrize("options", [(), ("--allow-cleartext",)])
def test_tls_to_a_server_without(target, capsys, options):
    with serving(MemoryStore()) as server:
        assert fetch_tls("implicit", server.address[1], target, *options) == 1
    error = capsys.readouterr().err
    why = "the server does not begin TLS at once on this port: it sent '+OK POP3 server ready"
    assert error.startswith(f"{at(server)}the TLS handshake failed: {why}")
    assert error.endswith("; use a pop:// URL, or another port\n")


def test_stls_is_taken_even_where_clear_text_is_allowed(target, authority):
    heard: list[str] = []

    class Spy(MemoryAuthenticator):
        def scram_keys(self, user, algorithm, session, /):
            heard.append(session.tls.version)
            return super().scram_keys(user, algorithm, session)

    certificate = authority.certificate()
    with serving_tls(MemoryStore({"ann": MAIL}), certificate, "starttls", Spy({"ann": PASSWORD})) as port:
        assert fetch_tls("starttls", port, target, *authority.trusted, "--allow-cleartext") == 0
    assert heard
    assert stored(target) == sorted(STORED)


STRIPPED = (
    "; without TLS, others on the network between here and there could read password and mail: "
    "use a pops:// URL, or --allow-cleartext if you accept that"
)


def test_without_stls_it_goes_no_further(target, capsys):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch_tls("starttls", server.address[1], target) == 1
    assert capsys.readouterr().err == (f"{at(server)}the server refused STLS: STLS is not supported here{STRIPPED}\n")
    assert stored(target) == []


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"STLS": b"-ERR\r\n"},
        {"STLS": HangUp(b"-ERR [SYS/TEMP] no TLS today\r\n")},
        {"STLS": HangUp(b"")},
        {"STLS": HangUp(b"+OK\r\n")},
        {"STLS": b"+OK begin\r\n+OK and what is this?\r\n"},
        {"STLS": b"+OK begin\r\n-ERR in clear\r\n"},
        {"STLS": b"what?\r\n"},
        {"CAPA": body("USER", "UIDL", "SASL PLAIN"), "STLS": b"-ERR what?\r\n"},
    ],
)
def test_a_man_in_the_middle_who_strips_stls_gets_nothing(target, capsys, answers):
    with Scripted(answers) as server:
        assert cli_servers.fetch(server, target) == 1
    # What he may have heard of a handshake was no line of POP3.
    assert server.heard[0] == "STLS"
    assert not any(word in line for line in server.heard[1:] for word in ("USER", "PASS", "AUTH", "ann", PASSWORD))
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert PASSWORD not in err
    if b"-ERR" in answers.get("STLS", b"-ERR") and b"+OK" not in answers.get("STLS", b""):
        assert STRIPPED in err


def test_where_clear_text_is_allowed_the_refusal_of_stls_is_no_hindrance(target):
    with Scripted({"UIDL": body()}) as server:
        assert fetch(server, target) == 0
        assert server.heard == ["STLS", "CAPA", "USER ann", f"PASS {PASSWORD}", "UIDL", "QUIT"]


@pytest.mark.parametrize("answer", [HangUp(b"+OK\r\n"), b"+OK\r\n+OK\r\n", HangUp(b"")])
def test_where_clear_text_is_allowed_a_handshake_that_fails_is_still_a_failure(target, answer):
    with Scripted({"STLS": answer, "UIDL": body()}) as server:
        assert fetch(server, target) == 1
    assert "CAPA" not in server.heard
    assert not any(line.startswith(("USER", "PASS")) for line in server.heard)


@contextmanager
def in_the_middle(port: int, change: Callable[[bytes], bytes]) -> Generator[tuple[int, list[bytes]]]:
    """Somebody between one client and a server, who changes what the server says; its port, and what the client said.

    Args:
        port: of the server.
        change: returns what to say in place of some octets.
    """
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(change(data))
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def note(data: bytes) -> bytes:
        heard.append(data)
        return data

    def run() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", port), PATIENCE) as server:
            answers = threading.Thread(target=pump, args=(server, client, change), daemon=True)
            answers.start()
            pump(client, server, note)
            answers.join(PATIENCE)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        join(thread)
        listener.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"+OK begin TLS", b"-ERR no TLS here"),
        lambda data: data.replace(b"+OK begin TLS\r\n", b"+OK begin TLS\r\n+OK injected\r\n"),
        lambda data: data if data.startswith(b"+OK") else b"+OK in clear\r\n",  # in place of the handshake
    ],
    ids=["refused", "injected", "no handshake"],
)
def test_the_password_never_passes_somebody_between_client_and_server(target, authority, change):
    with (
        serving_tls(MemoryStore({"ann": MAIL}), authority.certificate(), "starttls") as port,
        in_the_middle(port, change) as (middle, heard),
    ):
        assert fetch_tls("starttls", middle, target, *authority.trusted) == 1
    said = b"".join(heard)
    assert said.startswith(b"STLS\r\n")
    assert not any(word in said for word in (b"USER", b"PASS", b"AUTH", PASSWORD.encode()))
    assert stored(target) == []


# ------------------------------------------------------------------------------------- ways to log in


@pytest.mark.deep(keep=4)
@both
@pytest.mark.parametrize(
    "way", ["*", "SCRAM-SHA-256-PLUS", "scram-sha-1", "CRAM-MD5", "Plain", "LOGIN", "%2BAPOP", "+apop"]
)
def test_a_way_to_log_in_that_the_url_names(target, authority, capsys, tls, way):
    with serving_tls(MemoryStore({"ann": MAIL}), authority.certificate(), tls) as port:
        status = fetch_tls(tls, port, target, *authority.trusted, user=f"ann;auth={way}")
    if tls == "starttls" and "APOP" in way.upper():  # the timestamp came before TLS
        assert status == 1
        assert "no usable login method: APOP: " in capsys.readouterr().err
    else:
        assert status == 0
        assert stored(target) == sorted(STORED)


def test_no_other_way_is_tried_than_the_one_that_the_url_names(target, capsys):
    answers = {"CAPA": body("SASL PLAIN CRAM-MD5", "USER"), "AUTH CRAM-MD5": b"-ERR not this\r\n"}
    with Scripted(answers) as server:
        url = f"pop://ann;AUTH=cram-md5@127.0.0.1:{server.address[1]}"
        file = password_file(target.parent)
        assert main(["fetch", url, str(target), "--password-file", str(file), "--allow-cleartext"]) == 1
        assert server.heard == ["STLS", "CAPA", "AUTH CRAM-MD5"]
    assert capsys.readouterr().err == f"{at(server, 'ann')}login failed (AUTH CRAM-MD5: not this)\n"


def test_methods_that_are_withheld_are_named(tmp_path, capsys):
    """Without verified TLS a refusal may come from an attacker, and nothing weaker follows."""
    capa = b"+OK\r\nSASL SCRAM-SHA-256 CRAM-MD5\r\nUSER\r\n.\r\n"
    with Scripted({"CAPA": capa, "AUTH": b"-ERR [AUTH] no\r\n"}, b"+OK ready <1.2@example.org>\r\n") as server:
        assert fetch(server, tmp_path / "mail", "--allow-cleartext") == 1
    assert capsys.readouterr().err == (
        f"{at(server, 'ann')}login failed (AUTH SCRAM-SHA-256 ***: [AUTH] no); withheld: "
        "APOP: passwords can be guessed from it: without verified TLS it must be named by ;AUTH= in the URL; "
        "CRAM-MD5, USER/PASS: without verified TLS nothing weaker than SCRAM-SHA-256 is tried\n"
    )


def test_a_login_that_is_refused_says_all_that_was_tried(target, authority, capsys):
    with serving_tls(MemoryStore(), authority.certificate(), "implicit") as port:
        file = target.parent / "wrong"
        file.write_text("S3cret")
        assert fetch_tls("implicit", port, target, *authority.trusted, "--password-file", str(file)) == 1
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
    assert verbs == ["CAPA", "APOP", "CAPA", "USER", "PASS", "CAPA", "UIDL", "QUIT"]
    assert capsys.readouterr() == ("0 messages fetched\n", "")


def test_a_login_that_is_refused_over_two_connections_says_which(target, authority, capsys):
    answers = REFUSING_APOP | {"PASS": HangUp(b"-ERR wrong\r\n")}
    with Scripted(answers, STAMPED, authority.context()) as server:
        assert fetch_tls("implicit", server.address[1], target, *authority.trusted) == 1
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
        assert fetch_tls("implicit", server.address[1], target, *authority.trusted) == 1
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
    assert capsys.readouterr() == ("0 messages fetched\n", "")


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
        assert fetch_tls("implicit", server.address[1], target, *options) == 1
    assert capsys.readouterr().err == f"{at(server)}the password cannot be encoded as ascii\n"


def test_a_password_that_is_not_ascii_is_not_sent_in_an_encoding_that_is_guessed(target, capsys, monkeypatch):
    monkeypatch.setattr("pop3proto._io.peers._is_loopback", lambda *_: False)
    file = str(password_file(target.parent, UMLAUTS))
    with Scripted({}) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--password-file", file, "--allow-cleartext"]) == 1
    assert "it is sent only if --password-encoding utf-8 or another encoding is given" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["latin-8859", "hex", "undefined", ""])
def test_an_encoding_that_does_not_exist(target, capsys, name):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "pop://ann@127.0.0.1", str(target), "--password-encoding", name])
    assert ended.value.code == 2
    assert f"argument --password-encoding: there is no encoding {name!r}; latin-1 and" in capsys.readouterr().err


def test_an_encoding_is_not_for_tokens(target, capsys):
    file = token_file(target.parent)
    options = ("--token-file", file, "--password-encoding", "latin-1")
    assert main(["fetch", "pops://ann@127.0.0.1", str(target), *options]) == 2
    assert capsys.readouterr().err == "pop3proto fetch: --password-encoding cannot be used with --token-file\n"


def test_why_the_client_gave_up_is_told(target, capsys):
    answers = {"CAPA": body("SASL CRAM-MD5"), "AUTH CRAM-MD5": b"+ \r\n", "*": b"-ERR cancelled\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target) == 1
        assert server.heard == ["STLS", "CAPA", "AUTH CRAM-MD5", "*"]
    err = capsys.readouterr().err
    assert err.startswith(f"{at(server, 'ann')}login failed (AUTH CRAM-MD5: cancelled): ")
    assert err.count("\n") == 1


# --------------------------------------------------------------------------------------------- tokens

TOKEN = "ya29.T0ken-._~+/=="


def token_file(folder: Path, content: bytes = TOKEN.encode() + b"\n") -> str:
    file = folder / "token"
    file.write_bytes(content)
    return str(file)


@pytest.fixture
def token_server(target: Path, authority: Authority) -> Generator[int]:
    authenticator = MemoryTokenAuthenticator({}, {TOKEN: "ann", "x" * 4_000: "ann"})
    certificate = authority.certificate()
    with serving_tls(MemoryStore({"ann": MAIL}), certificate, "starttls", authenticator) as port:
        yield port


@pytest.mark.deep(keep=6)
@pytest.mark.parametrize(
    "content",
    [
        TOKEN.encode(),
        b"\xef\xbb\xbf" + TOKEN.encode() + b" \r\nmore\n",
        b"x" * 4_000 + b"\n",  # too long for a command: it goes on a line of its own
    ],
)
@pytest.mark.parametrize("user", ["ann", "ann;AUTH=XOAUTH2", "ann;AUTH=oauthbearer"])
def test_a_token_in_place_of_a_password(target, authority, token_server, content, user):
    file = token_file(target.parent, content)
    assert fetch_tls("starttls", token_server, target, *authority.trusted, "--token-file", file, user=user) == 0
    assert stored(target) == sorted(STORED)


@pytest.mark.parametrize("way", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_that_is_refused(target, authority, token_server, capsys, way):
    file = token_file(target.parent, b"S3cret\n")
    options = (*authority.trusted, "--token-file", file)
    assert fetch_tls("starttls", token_server, target, *options, user=f"ann;AUTH={way}") == 1
    err = capsys.readouterr().err
    assert err.startswith(f"{at(token_server, 'ann')}login failed (AUTH {way} ***: [AUTH] wrong name or password ({{")
    assert {"XOAUTH2": '"status":"400"', "OAUTHBEARER": '"invalid_token"'}[way] in err
    assert err.endswith(
        "; check the token: it may have expired (one hour is usual), belong to another user, or not allow POP\n"
    )
    assert "S3cret" not in err


def test_a_refusal_that_is_not_about_the_token(target, capsys):
    answers = {"CAPA": body("SASL XOAUTH2"), "AUTH": b"-ERR [IN-USE] another session\r\n"}
    with Scripted(answers) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--token-file", token_file(target.parent), "--allow-cleartext"]) == 1
    assert capsys.readouterr().err == f"{at(server, 'ann')}login failed (AUTH XOAUTH2 ***: [IN-USE] another session)\n"


def test_a_token_never_goes_where_a_password_is_wanted(target, capsys):
    with Scripted({"CAPA": body("SASL PLAIN", "USER")}) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--token-file", token_file(target.parent), "--allow-cleartext"]) == 1
        assert server.heard == ["STLS", "CAPA"]
    assert capsys.readouterr().err.startswith(f"{at(server)}no usable login method: OAUTHBEARER, XOAUTH2: ")


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "is empty"),
        (b"\xff\n", "is not UTF-8"),
        (b"   \n", "visible ASCII"),
        (b'{"access_token": "S3cret"}\n', "visible ASCII"),
        (b"Bearer S3cret\n", "visible ASCII"),
        (b"x" * 70_000, "too long for a token"),
    ],
)
def test_what_is_no_token(target, capsys, content, why):
    assert main(["fetch", "pops://ann@127.0.0.1", str(target), "--token-file", token_file(target.parent, content)]) == 1
    err = capsys.readouterr().err
    assert why in err
    assert "S3cret" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "way, option, why",
    [
        ("PLAIN", "--token-file", "PLAIN takes a password, not a token: use --password-file"),
        ("+APOP", "--token-file", "APOP takes a password, not a token: use --password-file"),
        ("XOAUTH2", "--password-file", "XOAUTH2 takes a token, not a password: use --token-file"),
    ],
)
def test_a_secret_of_the_wrong_kind(target, capsys, way, option, why):
    assert main(["fetch", f"pops://ann;AUTH={way}@127.0.0.1", str(target), option, "no-such-file"]) == 2
    assert capsys.readouterr().err == f"pop3proto fetch: {why}\n"


def test_a_password_and_a_token_exclude_each_other(target, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "pops://ann@h", str(target), "--password-file", "a", "--token-file", "b"])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------- odd servers


def test_a_refused_message_does_not_keep_the_others(target, capsys):
    answers = {
        "UIDL": body("1 a", "2 b", "3 c"),
        "RETR 1": body("one"),
        "RETR 2": b"-ERR [SYS/TEMP] \x1b[31mnot now\r\n",
        "RETR 3": body("three"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
    captured = capsys.readouterr()
    assert captured.out == "2 messages fetched, 2 deleted on the server\n"
    assert captured.err == "pop3proto fetch: the server refused RETR 2: [SYS/TEMP] \\x1b[31mnot now\n"
    assert stored(target) == [b"one\n", b"three\n"]
    assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1", "DELE 3"]


# A server that does not stuff the first dot of a message lets a sender end it there, and write answers of his own.
EARLY_ENDS = {
    "a lone dot": b"+OK\r\n.\r\n.\r\n",
    "an answer to RETR": b"+OK\r\n.\r\n+OK\r\nfake\r\n.\r\n",
    "an answer to UIDL": b"+OK\r\n.\r\n+OK 2 x\r\n.\r\n",
    "an answer to UIDL without an id": b"+OK\r\n.\r\n+OK\r\n.\r\n",
    "a refusal": b"+OK\r\n.\r\n-ERR\r\n.\r\n",
}


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("answer", EARLY_ENDS.values(), ids=EARLY_ENDS)
def test_a_message_that_ends_early_is_left_and_the_others_are_fetched(target, capsys, answer, pipelining):
    answers = {
        "CAPA": body("UIDL", *(["PIPELINING"] if pipelining else [])),
        "UIDL": body("1 a", "2 b", "3 c"),
        "LIST": body("1 5", "2 3", "3 7"),
        "RETR 1": body("one"),
        "RETR 2": answer,
        "RETR 3": body("three"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1", "DELE 3"]
    told = capsys.readouterr()
    assert told.err == (
        "pop3proto fetch: message 2 was left on the server: it seems to end early "
        "(the server may not have dot-stuffed it), or the connection was lost right after it\n"
    )
    assert told.out == "2 messages fetched, 2 deleted on the server\n"
    assert stored(target) == [b"one\n", b"three\n"]
    assert list((target / "tmp").iterdir()) == []


def many_that_end_early(bad: int) -> dict[str, bytes | list[bytes]]:
    """Messages that end early, and three whole ones behind them."""
    return {
        "UIDL": body(*(f"{number} {number}" for number in range(1, bad + 4))),
        "LIST": body(*(f"{number} 5" for number in range(1, bad + 4))),
        "RETR": b"+OK\r\n.\r\n+OK\r\n.\r\n",
        "DELE": b"+OK\r\n",
        **{f"RETR {number}": body(f"{number:03}") for number in range(bad + 1, bad + 4)},
    }


def test_when_too_many_messages_end_early_it_gives_up(target, capsys):
    with Scripted(many_that_end_early(12)) as server:
        assert fetch(server, target, "--delete") == 1
        assert server.heard.count("PASS tan staaf ") == 11
    assert capsys.readouterr().err.endswith(" (0 messages fetched before this; nothing was deleted)\n")
    assert stored(target) == []


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("bad", [10, 11, 12, 25])
def test_what_ended_early_before_comes_last_and_keeps_no_other_mail(target, capsys, bad):
    with Scripted(many_that_end_early(bad)) as server:
        for _ in range(4):
            assert fetch(server, target, "--delete") == 1
        assert server.heard[-1] == "QUIT"
        deleted = {line for line in server.heard if line.startswith("DELE")}
        assert deleted == {f"DELE {number}" for number in range(bad + 1, bad + 4)}
    assert stored(target) == [b"%03d\n" % number for number in range(bad + 1, bad + 4)]


def test_of_those_that_ended_early_ten_are_tried_again_and_the_others_are_told(target, capsys):
    with Scripted(many_that_end_early(12)) as server:
        assert fetch(server, target) == 1
        capsys.readouterr()
        assert fetch(server, target) == 1
    told = capsys.readouterr()
    assert told.out == "3 messages fetched\n"
    lines = told.err.splitlines()
    assert len([line for line in lines if "seems to end early" in line]) == 11
    assert lines[11:] == ["pop3proto fetch: 1 other message left on the server: ended early in an earlier fetch"]


def test_what_ended_early_before_and_is_whole_now_is_stored(target):
    answers = {"UIDL": body("1 a", "2 b"), "RETR 1": b"+OK\r\n.\r\n.\r\n", "RETR 2": body("two")}
    with Scripted(answers) as server:
        assert fetch(server, target) == 1
        server.answers["RETR 1"] = body("one")
        assert fetch(server, target) == 0
        assert fetch(server, target) == 0
        assert server.heard.count("RETR 1") == 2
    assert stored(target) == [b"one\n", b"two\n"]


def test_without_unique_ids_a_message_that_ends_early_ends_the_fetch(target, capsys):
    answers = {"LIST": body("1 5", "2 5"), "RETR 1": body("one"), "RETR 2": b"+OK\r\n.\r\n.\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert not any(line.startswith("DELE") for line in server.heard)
    assert "message 2 was left on the server: it seems to end early" in capsys.readouterr().err
    assert stored(target) == [b"one\n"]


@pytest.mark.parametrize("answer", [b"-ERR only the whole list\r\n", b"+OK yes\r\n", b"+OK 1 other\r\n"])
def test_a_server_that_does_not_tell_single_unique_ids(target, answer):
    with Scripted({"UIDL": body("1 a"), "UIDL 1": answer, "RETR 1": body("one")}) as server:
        assert fetch(server, target) == 0
        assert server.heard[5:7] == ["UIDL 1", "RETR 1"]
        assert len(server.heard[7:-1]) == SERIES
        assert set(server.heard[7:-1]) <= {"NOOP", "LIST 2147483647"}
    assert stored(target) == [b"one\n"]


def test_the_series_is_no_offence_to_a_server(target, monkeypatch):
    monkeypatch.setattr("pop3proto.fetching.download._UIDL_ATTEMPTS", 0)
    by_lot(monkeypatch, 1, 1, 0, 1)
    store = MemoryStore({"ann": [b"%d\n" % number for number in range(30)]})
    with serving(store) as server:
        assert fetch(server, target, "--delete") == 0
    assert len(stored(target)) == 30
    assert store.messages("ann") == []


def by_lot(monkeypatch: pytest.MonkeyPatch, *choices: int) -> None:
    """Let the lot fall so, again and again: 0 is a command that is granted, 1 one that is refused."""
    lots = itertools.cycle(choices)
    monkeypatch.setattr("secrets.choice", lambda options: options[next(lots)])


@pytest.mark.parametrize("forged", [b"+OK\r\n" * 8, b"-ERR\r\n" * 8, b"+OK\r\n-ERR\r\n" * 4, b"rubbish\r\n"])
def test_the_answers_to_a_series_drawn_by_lot_cannot_be_forged(target, monkeypatch, forged):
    by_lot(monkeypatch, 0, 1, 1, 0, 1, 0, 0, 1)
    answers = {
        "UIDL": body("1 a", "2 b"),
        "UIDL 1": b"-ERR\r\n",
        "UIDL 2": b"-ERR\r\n",
        "RETR 1": b"+OK\r\n.\r\n" + forged + body("forged") + b".\r\n",
        "RETR 2": body("two"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 2"]
    assert stored(target) == [b"two\n"]


@pytest.mark.parametrize("gone", [1, 9])
def test_messages_that_are_gone_do_not_weaken_the_proof_of_the_others(target, gone):
    rows = [f"{number} {number}" for number in range(1, gone + 3)]
    refusals = {f"{verb} {number}": b"-ERR gone\r\n" for verb in ("RETR", "UIDL") for number in range(1, gone + 1)}
    evil = b"+OK\r\nx\r\n.\r\n+OK\r\n+OK\r\nforged\r\n.\r\n+OK\r\n.\r\n"
    answers = {"UIDL": body(*rows), "DELE": b"+OK\r\n", **refusals}
    answers |= {f"RETR {gone + 1}": evil, f"RETR {gone + 2}": body("good")}
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert "NOOP" not in server.heard
        assert [line for line in server.heard if line.startswith("DELE")] == [f"DELE {gone + 2}"]
    assert stored(target) == [b"good\n"]


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_message_that_refuses_its_unique_id_too_costs_no_session(target, capsys, pipelining):
    answers = {
        "CAPA": body("UIDL", *(["PIPELINING"] if pipelining else [])),
        "UIDL": body("1 a", "2 b", "3 c"),
        "RETR": body("mail"),
        "RETR 2": b"-ERR gone\r\n",
        "UIDL 2": b"-ERR gone\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target) == 1
        assert server.heard.count("USER ann") == 1
    assert capsys.readouterr() == ("2 messages fetched\n", "pop3proto fetch: the server refused RETR 2: gone\n")


@pytest.mark.parametrize("answer", [b"+OK 2 other\r\n", b"+OK\r\n", b"rubbish\r\n"])
def test_after_a_refused_message_any_other_answer_is_out_of_step(target, capsys, answer):
    answers = {
        "UIDL": body("1 a", "2 b", "3 c"),
        "RETR": body("mail"),
        "RETR 2": b"-ERR gone\r\n",
        "UIDL 2": answer,
    }
    with Scripted(answers) as server:
        assert fetch(server, target) == 1
        assert server.heard.count("USER ann") == 2
    assert "message 2 was left on the server: it seems to end early" in capsys.readouterr().err
    assert len(stored(target)) == 2


def test_a_connection_lost_in_the_middle_keeps_what_is_whole(target, capsys):
    answers = {"UIDL": body("1 a", "2 b"), "RETR 1": body("one"), "RETR 2": HangUp(b"+OK\r\nhalf of i")}
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert "DELE 1" not in server.heard
    assert capsys.readouterr().err == (
        f"{at(server)}the server closed the connection in the middle of the body of RETR 2 "
        "(1 message fetched before this; nothing was deleted)\n"
    )
    assert stored(target) == [b"one\n"]
    assert list((target / "tmp").iterdir()) == []


def test_after_a_lost_connection_the_rest_is_fetched(target, capsys):
    store = MemoryStore({"ann": MAIL})
    with serving(store) as server:
        host, port = server.address
        with Inbox(target, f"ann@{host}:{port}") as inbox:
            session = store.open("ann", SessionInfo())
            session.close()
            inbox.store([b"Subject: one\r\n\r\n1\r\n"], Identity(session.messages[0].unique_id), lambda: None)
        assert fetch(server, target) == 0
    assert capsys.readouterr().out == "2 messages fetched, 1 already here\n"
    assert stored(target) == sorted(STORED)


def test_messages_that_share_a_unique_id_are_all_stored(target, capsys):
    answers = {
        "UIDL": body("1 same", "2 other", "3 same"),
        "LIST": body("1 5", "2 5", "3 7"),
        "RETR 1": body("one"),
        "RETR 2": body("two"),
        "RETR 3": body("three"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target) == 0
        assert fetch(server, target) == 0
        captured = capsys.readouterr()
        assert captured.out == "3 messages fetched\n0 messages fetched, 3 already here\n"
        assert captured.err == "note: 2 messages share one unique id: 1, 3\n" * 2
        assert fetch(server, target, "--delete") == 0
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 2"]
    assert stored(target) == [b"one\n", b"three\n", b"two\n"]
    assert (
        "2 messages left on the server: stored before, but other messages share the unique id"
        in capsys.readouterr().err
    )


def test_of_two_that_share_an_id_the_one_that_was_refused_is_not_taken_for_the_other(target):
    both = {"UIDL": body("1 same", "2 same"), "DELE": b"+OK\r\n"}
    with Scripted(both | {"RETR 1": body("one")}) as server:
        address = server.address
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1"]
        server.answers |= {"UIDL": body("1 same"), "RETR 1": body("two")}  # the first is gone
        assert server.address == address
        assert fetch(server, target, "--delete") == 0
    assert stored(target) == [b"one\n", b"two\n"]


def test_of_two_that_share_an_id_and_are_stored_the_one_that_is_left_is_known(target, capsys):
    answers = {"UIDL": body("1 same", "2 same"), "RETR 1": body("one"), "RETR 2": body("two"), "DELE": b"+OK\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target) == 0
        server.answers |= {"UIDL": body("1 same"), "LIST": body("1 5"), "RETR 1": body("two")}
        capsys.readouterr()
        assert fetch(server, target) == 0
        assert capsys.readouterr() == ("0 messages fetched, 1 already here\n", "")
        assert fetch(server, target, "--delete") == 0
        assert "DELE 1" not in server.heard  # which of the two it is, and what size it had, is not known
    assert stored(target) == [b"one\n", b"two\n"]
    assert (target / JOURNAL_NAME).read_text().count(" same 2 copies\n") == 1


def test_a_second_message_with_a_known_id_is_fetched_and_the_first_is_not(target):
    with Scripted({"UIDL": body("1 same"), "RETR 1": body("one"), "RETR 2": body("two")}) as server:
        assert fetch(server, target) == 0
        server.answers["UIDL"] = body("1 same", "2 same")
        assert fetch(server, target) == 0
    assert stored(target) == [b"one\n", b"two\n"]


def test_unreadable_rows_are_left_and_told(target, capsys):
    answers = {
        "UIDL": body(f"1 {'x' * 71}", "2 good", "3 a", "3 b", "\x1b[31m"),
        "RETR 2": body("two"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line[:4] in {"RETR", "DELE"}] == ["RETR 2", "DELE 2"]
    captured = capsys.readouterr()
    assert captured.out == "1 message fetched, 1 deleted on the server\n"
    assert captured.err.splitlines() == [
        f"pop3proto fetch: a message was left on the server: its row in UIDL cannot be read: 1 {'x' * 58}...",
        "pop3proto fetch: a message was left on the server: its row in UIDL cannot be read: \\x1b[31m",
        "pop3proto fetch: message 3 was left on the server: it has several unique ids",
    ]


def test_without_unique_ids_only_delete_works(target, capsys):
    answers = {"LIST": body("1 5", "3 5"), "RETR 1": body("one"), "RETR 3": body("three"), "DELE": b"+OK\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target) == 1
        assert "use --delete, which fetches all messages" in capsys.readouterr().err
        assert fetch(server, target, "--delete") == 0
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1", "DELE 3"]
    assert capsys.readouterr().out == "2 messages fetched, 2 deleted on the server\n"
    assert stored(target) == [b"one\n", b"three\n"]


def test_a_server_that_has_unique_ids_and_cannot_tell_them_now(target, capsys):
    answers = {"CAPA": body("UIDL"), "UIDL": b"-ERR [SYS/TEMP] index is broken\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert "LIST" not in server.heard
    assert capsys.readouterr().err == f"{at(server)}the server refused UIDL: [SYS/TEMP] index is broken\n"


@pytest.mark.parametrize(
    "listing, deleted",
    [
        (body("1 7"), True),
        (body("1 5"), True),  # it does not count the last line end
        (body("1 6"), False),  # it counts LF
        (body("1 9"), False),
        (body("1 200"), False),
        (body("2 7"), False),
        (body(), False),
        (b"-ERR no\r\n", False),
    ],
)
def test_an_id_that_is_given_again_deletes_nothing_that_was_not_stored(target, capsys, listing, deleted):
    with Scripted({"UIDL": body("1 a"), "RETR": body("three"), "DELE": b"+OK\r\n"}) as server:
        assert fetch(server, target) == 0
        assert "LIST" not in server.heard
        assert (target / JOURNAL_NAME).read_text().splitlines()[0].endswith(" a 7 octets")
        server.answers["LIST"] = listing
        assert fetch(server, target, "--delete") == 0
        assert server.heard.count("LIST") == 1
        assert ("DELE 1" in server.heard) is deleted
    told = capsys.readouterr().err
    assert (
        told == "" if deleted else told.startswith("note: 1 message left on the server: stored before under the same")
    )


def test_what_was_recorded_without_its_size_is_not_deleted(target, capsys):
    answers = {"UIDL": body("1 a"), "LIST": body("1 5"), "RETR": body("one"), "DELE": b"+OK\r\n"}
    with Scripted(answers) as server:
        host, port = server.address
        for folder in ("new", "cur", "tmp"):
            (target / folder).mkdir(parents=True)
        (target / JOURNAL_NAME).write_text(f"ann@{host}:{port} a\n")
        assert fetch(server, target, "--delete") == 0
        assert not any(line.startswith(("RETR", "DELE")) for line in server.heard)
    assert "note: 1 message left on the server" in capsys.readouterr().err


def test_a_refused_deletion_is_told(target, capsys):
    with Scripted({"UIDL": body("1 a"), "RETR": body("one"), "DELE": b"-ERR no\r\n"}) as server:
        assert fetch(server, target, "--delete") == 1
    assert capsys.readouterr() == ("1 message fetched\n", "pop3proto fetch: the server refused DELE 1: no\n")


@pytest.mark.parametrize(
    "answer, why",
    [
        (HangUp(b"-ERR some deleted messages not removed\r\n"), "some deleted messages not removed"),
        (HangUp(b""), "deletions may or may not have happened"),
    ],
)
def test_an_update_that_failed_is_told_and_made_up_for(target, capsys, answer, why):
    answers = {"UIDL": body("1 a"), "LIST": body("1 5"), "RETR": body("one"), "DELE": b"+OK\r\n"}
    with Scripted(answers | {"QUIT": answer}) as server:
        assert fetch(server, target, "--delete") == 1
        captured = capsys.readouterr()
        assert captured.out == "1 message fetched\n"
        assert captured.err.startswith("pop3proto fetch: it is unknown whether the server has deleted 1 message: ")
        assert re.search(rf": 127\.0\.0\.1, port {server.address[1]}: .*{why}", captured.err)
        server.answers["QUIT"] = HangUp(b"+OK\r\n")
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr().out == "0 messages fetched, 1 already here, 1 deleted on the server\n"
    assert stored(target) == [b"one\n"]


def test_a_connection_lost_among_deletions_deletes_nothing(target, capsys):
    answers = {"UIDL": body("1 a", "2 b"), "RETR": body("mail"), "DELE 1": b"+OK\r\n", "DELE 2": HangUp(b"")}
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert "QUIT" not in server.heard
    assert capsys.readouterr().err == (
        f"{at(server)}the server closed the connection before answering DELE 2 "
        "(2 messages fetched before this; nothing was deleted)\n"
    )


def test_a_hang_up_at_quit_does_not_matter_where_nothing_was_deleted(target, capsys):
    with Scripted({"UIDL": body("1 a"), "RETR": body("one"), "QUIT": HangUp(b"")}) as server:
        assert fetch(server, target) == 0
    assert capsys.readouterr() == ("1 message fetched\n", "")


def test_new_unique_ids_for_all_mail_are_noticed(target, capsys):
    def renamed(prefix: str) -> bytes:
        return body(*(f"{number} {prefix}{number}" for number in range(1, 13)))

    with Scripted({"UIDL": renamed("old"), "RETR": body("mail")}) as server:
        assert fetch(server, target) == 0
        server.answers["UIDL"] = renamed("new")
        capsys.readouterr()
        assert fetch(server, target) == 1
        assert capsys.readouterr().err == (
            "pop3proto fetch: the server has 12 messages, but none of the 12 that the last fetch left there: "
            "its unique ids may have changed. Nothing was fetched; use --again to fetch all messages\n"
        )
        assert len(stored(target)) == 12
        assert fetch(server, target, "--again") == 0
        assert fetch(server, target) == 0
    assert len(stored(target)) == 24


# -------------------------------------------------------------------------------------------- crashes


class Killed(BaseException):
    """The process is gone. What it would have done afterwards does not happen."""


class Death:
    """Ends the life of a process at the n-th call that touches the disk, and nothing touches it after that.

    Args:
        moment: which call.
        afterwards: the last call still has its effect.
    """

    def __init__(self, moment: int, *, afterwards: bool) -> None:
        self.moment = moment
        self.afterwards = afterwards
        self.calls = 0

    @property
    def came(self) -> bool:
        return self.calls >= self.moment

    def lurk_in(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments, **options):
            self.calls += 1
            if self.calls > self.moment or (self.calls == self.moment and not self.afterwards):
                raise Killed
            result = function(*arguments, **options)
            if self.calls == self.moment:
                raise Killed
            return result

        return call


@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("delete", [False, True], ids=["leave", "delete"])
def test_a_crash_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path, capsys, delete, afterwards):
    options = ["--delete"] if delete else []
    step = deep(1, 9)
    moment = 1 - step
    while True:
        moment += step
        target = tmp_path / str(moment) / "mail"
        target.parent.mkdir()
        store = MemoryStore({"ann": MAIL})
        death = Death(moment, afterwards=afterwards)
        with serving(store) as server, pytest.MonkeyPatch.context() as patch:
            port = server.address[1]
            for name in ("fsync", "rename", "replace", "unlink", "mkdir"):
                patch.setattr(os, name, death.lurk_in(getattr(os, name)))
            patch.setattr(NewFile, "write", death.lurk_in(NewFile.write))
            patch.setattr(record, "write_all", death.lurk_in(write_all))
            try:
                status = fetch(server, target, *options)
            except Killed:
                status = None
        if not death.came:
            assert status == 0
            break
        assert store.messages("ann") == MAIL or all(message in stored(target) for message in STORED)
        with serving(store, port=port) as server:
            assert fetch(server, target, *options) == 0
        assert stored(target) == sorted(STORED), f"killed at {moment}"
        assert store.messages("ann") == ([] if delete else MAIL)
    assert moment > 10


def test_half_a_line_in_the_record_is_cut_off(target):
    answers = {"UIDL": body("1 abc", "2 b"), "RETR 1": body("one"), "RETR 2": body("two")}
    with Scripted(answers) as server:
        assert fetch(server, target) == 0
        file = target / JOURNAL_NAME
        whole = file.read_bytes()
        file.write_bytes(whole + whole.split(b"\n")[0][:-2])
        assert fetch(server, target) == 0
        assert file.read_bytes() == whole
    assert len(stored(target)) == 2


def test_a_record_with_anything_in_it_does_no_harm(target):
    target.mkdir()
    (target / JOURNAL_NAME).write_bytes(b"\xff\0\nann@127.0.0.1:1 999999999999 messages left\n\n \nx y z\n")
    first = FetchJournal(target, "ann@127.0.0.1:1")
    assert first.left == 0
    first.add(Identity(UniqueId("left"), 12), None)
    first.add(Identity(UniqueId("12"), 12), 12)
    first.add(Identity(UniqueId("12")), 0)
    first.suspect(Identity(UniqueId("early"), 1))
    first.suspect(Identity(UniqueId("early")))
    first.suspect(Identity(UniqueId("early")))
    first.leave(3)
    first.close()
    again = FetchJournal(target, "ann@127.0.0.1:1")
    assert Identity(UniqueId("left"), 12) in again
    assert again.octets(Identity(UniqueId("left"), 12)) is None
    assert again.octets(Identity(UniqueId("12"), 12)) == 12
    assert again.octets(Identity(UniqueId("12"))) == 0
    assert Identity(UniqueId("12"), 1) in again
    assert Identity(UniqueId("12"), 2) not in again
    assert again.is_suspect(Identity(UniqueId("early"), 1))
    assert again.is_suspect(Identity(UniqueId("early")))
    assert not again.is_suspect(Identity(UniqueId("early"), 2))
    assert Identity(UniqueId("early")) not in again
    assert (target / JOURNAL_NAME).read_bytes().count(b" early ended early\n") == 1
    assert Identity(UniqueId("3")) not in again
    assert again.left == 3
    again.close()


def test_what_is_recorded_is_on_the_disk_when_the_call_returns(target, monkeypatch):
    target.mkdir()
    file, synced = target / JOURNAL_NAME, []

    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == file.stat().st_ino:
            synced.append(file.read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    kept = FetchJournal(target, "ann@127.0.0.1:1")
    kept.add(Identity(UniqueId("a")), 7)
    kept.see(UniqueId("b"), 2)
    kept.suspect(Identity(UniqueId("c")))
    kept.leave(3)
    lines = file.read_bytes().splitlines(keepends=True)
    assert synced == [b"".join(lines[:count]) for count in (1, 2, 3, 4)]
    kept.close()


def test_two_fetches_at_once_do_not_meet(target, capsys):
    with serving(MemoryStore({"ann": MAIL})) as server:
        with Inbox(target, "bob@pop.example.org:995"):
            assert fetch(server, target) == 1
        assert (
            capsys.readouterr().err == f"pop3proto fetch: another fetch into {target} is running; wait for it to end\n"
        )
        assert fetch(server, target) == 0


def test_a_large_message_is_never_whole_in_memory(target, monkeypatch):
    pieces: list[int] = []
    write = delivery.Delivery.write

    def spy(self, chunk):
        pieces.append(len(chunk))
        write(self, chunk)

    monkeypatch.setattr(delivery.Delivery, "write", spy)
    with serving(MemoryStore({"ann": [b"small\n", (b"x" * 79 + b"\n") * 100_000]})) as server:
        assert fetch(server, target) == 0
    assert sum(pieces) == 7 + 8_100_000
    assert max(pieces) < 1_000_000


# ----------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    "url, account",
    [
        ("pops://ann@pop.example.org", Account("implicit", "ann", "pop.example.org", 995)),
        ("POP://ann@POP.Example.org", Account("starttls", "ann", "pop.example.org", 110)),
        ("pop://ann@127.0.0.1:1110", Account("starttls", "ann", "127.0.0.1", 1110)),
        ("pops://ann@pop.example.org/", Account("implicit", "ann", "pop.example.org", 995)),
        ("pops://ann@pop.example.org:1/", Account("implicit", "ann", "pop.example.org", 1)),
        ("pops://ann%40example.org@pop.example.org", Account("implicit", "ann@example.org", "pop.example.org", 995)),
        ("pops://%C3%A4nn;AUTH=*@[2001:DB8::1]:9995", Account("implicit", "änn", "2001:db8::1", 9995)),
        ("pops://ann@[fe80::1%25eth0]", Account("implicit", "ann", "fe80::1%eth0", 995)),
        ("pops://a%3Ab%3b@h", Account("implicit", "a:b;", "h", 995)),
        ("pop://rg;AUTH=+APOP@mail.example.org:8110", Account("starttls", "rg", "mail.example.org", 8110, "APOP")),
        ("pops://ann;Auth=%2Bapop@h", Account("implicit", "ann", "h", 995, "APOP")),
        ("pops://ann;auth=scram-sha-256@h", Account("implicit", "ann", "h", 995, "SCRAM-SHA-256")),
        ("pops://ann;auth=%2A@h", Account("implicit", "ann", "h", 995)),
    ],
)
def test_urls(url, account):
    assert Account.of_url(url) == account


def test_the_key_of_an_account_is_one_word():
    assert Account("implicit", "a b@ä", "fe80::1%eth0", 1).key == "a%20b%40%C3%A4@fe80::1%25eth0:1"
    assert Account("starttls", "a b@ä", "fe80::1%eth0", 1, "PLAIN").key == "a%20b%40%C3%A4@fe80::1%25eth0:1"


@pytest.mark.parametrize(
    "url, why",
    [
        ("pops://ann:S3cret@pop.example.org", "a password does not belong in a URL"),
        ("pops://ann:S3/cr@et@pop.example.org", "a password does not belong in a URL"),
        ("pops://ann:@pop.example.org", "a password does not belong in a URL"),
        ("pops://ann:S3cret;AUTH=*@h", "a password does not belong in a URL"),
        ("imap://ann:S3cret@h", "must begin with pops://"),
        ("S3cret", "must begin with pops://"),
        ("pops://pop.example.org", "has no user name"),
        ("pops://@h", "has no user name"),
        ("pops://ann@h/inbox", "nothing may follow the host"),
        ("pops://ann@h?x", "nothing may follow the host"),
        ("pops://ann@h#x", "nothing may follow the host"),
        ("pops://ann@h//", "nothing may follow the host"),
        ("pops://ann;AUTH=S3cret@h", ";AUTH= takes one of *, +APOP, SCRAM-SHA-512-PLUS, "),
        ("pops://ann;AUTH=@h", "PLAIN, LOGIN, OAUTHBEARER, XOAUTH2\n"),
        ("pops://ann;AUTH=APOP@h", "the login method in the URL is not supported"),
        ("pops://ann;AUTH=EXTERNAL@h", "the login method in the URL is not supported"),
        ("pops://ann;AUTH=ANONYMOUS@h", "the login method in the URL is not supported"),
        ("pops://ann;AUTH=PLAIN;AUTH=LOGIN@h", "the login method in the URL is not supported"),
        ("pops://ann;PLAIN@h", "the login method in the URL is not supported"),
        ("pops://ann;S3@h", "the login method in the URL is not supported"),
        ("pops://ann;@h", "the login method in the URL is not supported"),
        ("pops://ann@h:0", "the port"),
        ("pops://ann@h:65536", "the port"),
        ("pops://ann@h:", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@h:S3cret", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@h:123456", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@[::1]:pop3", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@h:110:1", "does not have the form"),
        ("pops://ann@", "the URL has no host"),
        ("pops://ann@:110", "the URL has no host"),
        ("pops://ann@[::1", "does not have the form"),
        ("pops://ann@[::S3cret]", "not an IPv6 address"),
        ("pops://ann%@h", "without two hexadecimal digits"),
        ("pops://ann%0d%0a@h", "not a valid user name"),
        ("pops://%ff@h", "not a valid user name"),
        ("pops://an\nn@h", "does not have the form"),
    ],
)
def test_a_url_that_is_refused_is_never_repeated(url, why, target, capsys):
    assert main(["fetch", url, str(target)]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
    assert "S3" not in error
    assert not target.exists()


# ------------------------------------------------------------------------------------------ passwords


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
    assert main(["fetch", "pops://ann@127.0.0.1", str(target)]) == 1
    assert capsys.readouterr().err == "pop3proto fetch: no password was given\n"


def test_what_some_editors_put_before_the_first_line_is_no_part_of_the_password(target):
    with Scripted({"UIDL": body()}) as server:
        file = target.parent / "bom"
        file.write_bytes(b"\xef\xbb\xbfsecret\r\nmore")
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--password-file", str(file), "--allow-cleartext"]) == 0
        assert "PASS secret" in server.heard


def test_where_clear_text_is_allowed_it_goes_to_other_machines_too(target, monkeypatch):
    monkeypatch.setattr("pop3proto._io.peers._is_loopback", lambda _: False)
    with Scripted({"UIDL": body()}) as server:
        assert fetch(server, target) == 0
        assert f"PASS {PASSWORD}" in server.heard


def test_stdin_is_no_terminal(target, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    monkeypatch.setattr("os.open", _no_terminal(os.open))
    assert main(["fetch", "pops://ann@127.0.0.1", str(target)]) == 1
    assert capsys.readouterr().err == (
        "pop3proto fetch: cannot ask for the password without a terminal: use --password-file\n"
    )


def _no_terminal(open_file):
    def call(path, *arguments, **options):
        if path == "/dev/tty":
            raise OSError(6, "No such device or address")
        return open_file(path, *arguments, **options)

    return call


# --------------------------------------------------------------------------- file systems and Maildirs


@pytest.fixture
def no_folder_sync(monkeypatch):
    """A file system that cannot sync folders: CIFS, sshfs, gocryptfs."""
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)


@pytest.mark.usefixtures("no_folder_sync")
def test_a_file_system_that_cannot_sync_folders_is_good_enough(target, capsys):
    store = MemoryStore({"ann": MAIL})
    with serving(store) as server:
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr().err == ""
    assert stored(target) == STORED
    assert store.messages("ann") == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_with_the_path_and_what_to_do(target, capsys, monkeypatch, number):
    def failing(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk.fcntl, "flock", failing)
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 1
    assert capsys.readouterr().err == (
        f"pop3proto fetch: cannot fetch into {target}: {target / JOURNAL_NAME}: the file system has no lock for this "
        f"file (flock: {os.strerror(number)}); mount it with locks (over NFS, without nolock and with rpc.statd "
        "running), or use a local file system\n"
    )


def test_a_maildir_that_lost_its_empty_folders_is_one_still(target):
    (target / "cur").mkdir(parents=True)
    (target / "cur/1.a:2,S").write_bytes(b"Subject: zero\n\n")
    (target / "dovecot-uidlist").write_bytes(b"3 V1 N2\n")
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
    assert stored(target) == sorted([*STORED, b"Subject: zero\n\n"])


def test_what_a_killed_fetch_has_left_is_cleared_away(target, monkeypatch):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
        left = target / "tmp/1.killed"
        left.write_bytes(b"half a mess")
        assert fetch(server, target) == 0
        assert left.exists()
        now = time.time()
        monkeypatch.setattr(folders.time, "time", lambda: now + 37 * 3600)
        assert fetch(server, target) == 0
        assert not left.exists()
    assert stored(target) == STORED


def test_the_quota_of_the_maildir_knows_what_was_fetched(target):
    target.mkdir()
    for name in ("cur", "new", "tmp"):
        (target / name).mkdir()
    (target / "maildirsize").write_text("1000000S\n")
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
    assert (target / "maildirsize").read_text() == "1000000S\n16 1\n10 1\n23 1\n"
