"""The configuration file: what it says, and all that is wrong with it, told by file, table and key."""

import re
import sys
from datetime import date
from pathlib import Path

import attrs
import pytest

from pop3proto.cli import main
from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import PROFILES
from pop3proto.fetching.accounts import (
    Account,
    AccountError,
    ConfigError,
    FromCommand,
    FromEnvironment,
    FromFile,
    FromKeyring,
    FromNetrc,
    FromTerminal,
    MaxSize,
    SessionBounds,
    SocksProxy,
    ToFiles,
    ToMaildir,
    ToMbox,
    ToProgram,
    ToStdout,
    check_config,
    config_path,
    describe,
    read_config,
)
from pop3proto.fetching.accounts.config import KEYS
from tests.helpers.client_certificates import ClientAuthority

ROOT = Path(__file__).parent.parent.parent.parent
WHOLE = """
user = "ann"
host = "h"
deliver = { maildir = "/mail" }
"""

PLACES = "one of the keys command, keyring, netrc, env, file, ask is expected"
NO_DELIVER = 'deliver is missing: where mail is stored, such as { maildir = "~/Maildir" }'


@pytest.fixture
def account(write):
    """One account of these lines, and of what must be there."""

    def account(lines, whole=WHOLE, defaults=""):
        [one] = read_config(write(f"[defaults]\n{defaults}\n[account.a]\n{whole}\n{lines}\n")).accounts
        return one

    return account


@pytest.fixture
def wrong(write, tmp_path):
    """What is wrong with a text, without the file."""

    def wrong(text):
        with pytest.raises(ConfigError) as failed:
            read_config(write(text))
        assert str(failed.value) == "\n".join(failed.value.errors)
        name = f"{tmp_path / 'fetch.toml'}: "
        assert all(line.startswith(name) and "\n" not in line for line in failed.value.errors)
        return [line.removeprefix(name) for line in failed.value.errors]

    return wrong


# ------------------------------------------------------------------------------------------------- values

ALL = f"""
[account.all]
user = "ann"
host = "h"
tls = "starttls"
port = 1
login = "scram-sha-256"
cleartext = "never"
password = {{ command = ["pass", "x"], timeout = "5s" }}
password_encoding = "latin-1"
ca_file = "~/ca.pem"
pin = ["sha256:{"ab" * 32}"]
pin_only = true
certificate = "/c.pem"
certificate_key = "/k.pem"
proxy = "socks5://127.0.0.1:9050"
timeout = 30
quirks = ["courier", "bare_lf"]
deliver = [{{ maildir = "~/Mail", folder = "Junk", flags = "SF" }}]
journal = "/j"
delete_after = "14d"
when_gone = true
max_size = {{ octets = "20M", then = "headers" }}
headers_only = true
newest = 3
since = 2026-01-31
session = {{ messages = 1, octets = "2K", seconds = "3m" }}
on_doubt = "hold"
wait = "2m"
every = "15m"
"""


def test_all_keys_become_an_account(write, a_home_of_ones_own):
    [one] = read_config(write(ALL)).accounts
    assert one == Account(
        name="all",
        user="ann",
        host="h",
        tls="starttls",
        port=1,
        login="SCRAM-SHA-256",
        cleartext="never",
        password=FromCommand(("pass", "x"), 5),
        password_encoding="latin-1",
        ca_file=a_home_of_ones_own / "ca.pem",
        pin=(b"\xab" * 32,),
        pin_only=True,
        certificate=Path("/c.pem"),
        certificate_key=Path("/k.pem"),
        proxy=SocksProxy("127.0.0.1", 9050),
        timeout=30,
        quirks=PROFILES["courier"] | {Quirk.BARE_LF},
        deliver=(ToMaildir(a_home_of_ones_own / "Mail", "Junk", "SF"),),
        journal=Path("/j"),
        delete_after=1_209_600,
        when_gone=True,
        max_size=MaxSize(20_000_000, "headers"),
        headers_only=True,
        newest=3,
        since=date(2026, 1, 31),
        session=SessionBounds(1, 2_000, 180),
        on_doubt="hold",
        wait=120,
        every=900,
    )


def test_all_keys_are_in_that_text_or_exclude_those_in_it():
    others = {"url", "provider", "token", "via", "source_address", "keep", "delete"}
    assert set(re.findall(r"^(\w+) =", ALL, re.MULTILINE)) == {*KEYS} - others
    assert {field.name for field in attrs.fields(Account)} - {*KEYS} == {"name"}


@pytest.mark.parametrize(
    "value, origin",
    [
        ('{ command = ["pass"] }', FromCommand(("pass",), 60)),
        ("{ keyring = true }", FromKeyring(True)),
        ("{ netrc = true }", FromNetrc(True)),
        ('{ netrc = "/n" }', FromNetrc(Path("/n"))),
        ('{ env = "X" }', FromEnvironment("X")),
        ('{ file = "/f" }', FromFile(Path("/f"))),
        ("{ ask = true }", FromTerminal(True)),
    ],
)
def test_a_secret_comes_from(account, value, origin):
    assert account(f"password = {value}").password == origin
    assert account(f"token = {value}").token == origin


@pytest.mark.parametrize(
    "value, target",
    [
        ('{ maildir = "/m" }', ToMaildir(Path("/m"))),
        ('[{ mbox = "/m" }]', ToMbox(Path("/m"))),
        ('{ files = "/m" }', ToFiles(Path("/m"))),
        ('{ program = ["cat"] }', ToProgram(("cat",))),
        ("{ stdout = true }", ToStdout(True)),
    ],
)
def test_mail_goes_to(account, value, target):
    assert account(f"deliver = {value}", 'user = "ann"\nhost = "h"').deliver == (target,)


def test_short_forms(account):
    one = account(f'max_size = 5\npin = "sha256:{"ab" * 32}"\nquirks = "bare_lf"')
    assert (one.max_size, one.pin, one.quirks) == (MaxSize(5), (b"\xab" * 32,), {Quirk.BARE_LF})


def test_a_url_stands_for_five_keys(account):
    one = account('url = "pop://ann%40x;AUTH=PLAIN@pop.example.org:1110"', 'deliver = { maildir = "/mail" }')
    assert (one.user, one.host, one.port, one.tls, one.login) == ("ann@x", "pop.example.org", 1110, "starttls", "PLAIN")


# ----------------------------------------------------------------------------------------------- defaults


def test_defaults_hold_where_an_account_says_nothing(write):
    text = '[defaults]\nevery = "1h"\ntimeout = 5\nuser = "ann"\ndeliver = { maildir = "/m" }\n'
    text += '[account.a]\nhost = "a"\n[account.b]\nhost = "b"\nevery = "2h"\n'
    one, other = read_config(write(text)).accounts
    assert (one.name, one.every, one.timeout, one.user) == ("a", 3_600, 5, "ann")
    assert (other.name, other.every, other.timeout, other.user) == ("b", 7_200, 5, "ann")


@pytest.mark.parametrize(
    "default, own, deletes",
    [
        ("keep = true", 'delete_after = "14d"', True),
        ('delete_after = "14d"', "keep = true", False),
        ('delete_after = "14d"', "delete = false", False),
        ("delete = true", 'delete_after = "14d"', True),
        ("delete = true", "", True),
        ("keep = true", "", False),
        ("keep = true\nwhen_gone = false", "when_gone = true", True),
    ],
)
def test_what_an_account_says_of_deletion_replaces_all_defaults_of_it(account, default, own, deletes):
    assert account(own, defaults=default).policy.deletes is deletes


def test_an_account_replaces_what_would_contradict_it(account):
    assert account('via = ["ssh"]', defaults='proxy = "socks5://h:1"').proxy is None
    assert account('token = { env = "T" }', defaults='password = { env = "P" }').password is None
    one = account(
        'provider = "gmail"', 'user = "ann"\ndeliver = { maildir = "/m" }', defaults='host = "h"\ntls = "starttls"'
    )
    assert (one.host, one.port, one.tls) == ("pop.gmail.com", 995, "implicit")


# ------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "line, error",
    [
        ('delet_after = "14d"', 'unknown key "delet_after"; did you mean "delete_after"?'),
        ('name = "x"', 'unknown key "name"'),
        ("xyzzy = 1", 'unknown key "xyzzy"'),
        ("port = '995'", "port: a whole number is expected"),
        ("port = true", "port: a whole number is expected"),
        ("port = 70000", "port must be from 1 to 65535, not 70000"),
        ("pin_only = 1", "pin_only: true or false is expected"),
        ("ca_file = ''", "ca_file: a text is expected, in quotes and not empty"),
        ("ca_file = 'ca.pem'", "ca_file: the path must begin with / or ~"),
        ("ca_file = '~nobody-of-this-name/x'", "ca_file: there is no home folder for ~nobody-of-this-name"),
        ("timeout = true", 'timeout: a duration is expected, such as "90s", "10m", "2h" or "14d"'),
        ("max_size = true", 'max_size: a size above 0 is expected, such as "20M" or "512KiB"'),
        ("max_size = {octets = 1, then = 'x'}", 'max_size.then: "skip" or "headers" is expected'),
        ("max_size = {then = 'skip'}", "max_size.octets is missing"),
        ("session = {message = 1}", 'session: unknown key "message"; did you mean "messages"?'),
        ("session = {messages = 0}", "session: the bounds of a session are above 0"),
        ("session = 5", "session: a table is expected, with the keys messages, octets, seconds"),
        ("since = '2026-01-31'", "since: a date is expected, without quotes, such as 2026-01-31"),
        ("tls = 'ssl'", 'tls: "implicit" or "starttls" or "none" is expected'),
        ("provider = 'xyzzy'", "provider: no provider 'xyzzy' is known; host = names any server"),
        ("pin = 'sha256:ab'", "pin[0]: a pin is sha256: and 64 hexadecimal digits, or 44 characters of base64"),
        ("pin = []", "pin: the list is empty"),
        ("via = 'ssh -W'", 'via: a list is expected, such as ["program", "argument"]'),
        ("via = ['ssh', 1]", "via[1]: a text is expected, in quotes and not empty"),
        ("proxy = 'socks4://h:1'", "proxy: a proxy is socks5://host:port or socks5://user:password@host:port"),
        ("quirks = ['bare_lf', 1]", "quirks: a text is expected, in quotes and not empty"),
        ("password = {}", f"password: {PLACES}"),
        ("password = {ask = true, env = 'x'}", f"password: {PLACES}; there is more than one"),
        (
            "password = {comand = ['x']}",
            f'password: {PLACES}; did you mean "command"?',
        ),
        ("password = {keyring = false}", "password.keyring: true is expected"),
        ("password = 1", "password: a table is expected, with one of the keys command, keyring, netrc, env, file, ask"),
        ("password = {command = ['x'], tiemout = 1}", 'password: unknown key "tiemout"; did you mean "timeout"?'),
        ("url = 'pops://ann@h'", "url stands for user, host, too: leave out one of them"),
    ],
)
def test_an_error_names_its_key(wrong, line, error):
    assert wrong(f"[account.a]\n{WHOLE}\n{line}\n") == [f"[account.a]: {error}"]


@pytest.mark.parametrize(
    "text, error",
    [
        ("", "there is no account; a table [account.NAME] makes one"),
        ("account = 1", "there is no account; a table [account.NAME] makes one"),
        (f"acount = 1\n[account.a]\n{WHOLE}", 'unknown key "acount"; did you mean "account"?'),
        (f"[account.a]\n{WHOLE}\n[defaults]\nevry = 1", '[defaults]: unknown key "evry"; did you mean "every"?'),
        ("[account]\na = 1", "[account.a]: a table is expected"),
        ("[account.a]\nuser = 'ann'\nhost = 'h'", f"[account.a]: {NO_DELIVER}"),
        ("[account.a]\nhost = 'h'\ndeliver = {stdout = true}", "[account.a]: user is missing, or a url with it"),
        (
            "[account.a]\nuser = 'ann'\ndeliver = {stdout = true}",
            "[account.a]: the server is missing: url, host or provider",
        ),
        (
            "[account.a]\nuser = 'ann'\nhost = 'h'\ndeliver = [{mbox = '/a'}, {mbox = '/b'}]",
            "[account.a]: several destinations are not supported yet: deliver must have one",
        ),
        ("[account.a\n", "Expected ']' at the end of a table declaration (at line 1, column 11)"),
    ],
)
def test_an_error_names_its_table(wrong, text, error):
    assert wrong(text) == [error]


def test_all_errors_are_told_at_once(wrong):
    text = f"x = 1\n[defaults]\ny = 1\n[account.a]\n{WHOLE}\nport = 'x'\nnewest = 'y'\n[account.b]\nz = 1\n"
    assert wrong(text) == [
        'unknown key "x"',
        '[defaults]: unknown key "y"',
        "[account.a]: port: a whole number is expected",
        "[account.a]: newest: a whole number is expected",
        '[account.b]: unknown key "z"',
        "[account.b]: user is missing, or a url with it",
        f"[account.b]: {NO_DELIVER}",
        "[account.b]: the server is missing: url, host or provider",
    ]


def test_what_contradicts_itself_is_told_beside_what_is_wrong(wrong):
    text = f"""
[defaults]
proxy = 1
[account.a]
{WHOLE}
z = 1
pin = 'x'
pin_only = true
newest = 0
via = ['ssh']
keep = true
delete = true
[account.b]
user = 'ann'
delete = 'x'
keep = false
certificate_key = '/key'
newest = -1
[account.c]
url = 'x'
login = 'EXTERNAL'
deliver = {{stdout = true}}
"""
    assert wrong(text) == [
        "[defaults]: proxy: a text is expected, in quotes and not empty",
        '[account.a]: unknown key "z"',
        "[account.a]: pin[0]: a pin is sha256: and 64 hexadecimal digits, or 44 characters of base64",
        "[account.a]: keep = true contradicts delete, delete_after and when_gone",
        "[account.a]: newest must be above 0",
        "[account.b]: delete: true or false is expected",
        f"[account.b]: {NO_DELIVER}",
        "[account.b]: the server is missing: url, host or provider",
        "[account.b]: certificate_key needs certificate",
        "[account.b]: newest must be above 0",
        "[account.c]: url: the URL must begin with pops:// (TLS from the start) or pop:// (TLS by STLS)",
        "[account.c]: EXTERNAL needs a client certificate: name its file by certificate (--certificate FILE)",
    ]


def test_a_wrong_url_is_one_error_and_shows_no_password(wrong):
    [error] = wrong("[account.a]\nurl = 'pops://ann:Marker@h'\ndeliver = {stdout = true}\n")
    assert error.startswith("[account.a]: url: a password does not belong in a URL")
    assert "Marker" not in error
    [error] = wrong("[account.a]\nurl = 1\ndeliver = {stdout = true}\n")
    assert error.startswith("[account.a]: url: the URL must begin with pops://")


@pytest.mark.parametrize("key", ["password", "token"])
@pytest.mark.parametrize("mode, more", [(0o600, 0), (0o644, 1)])
def test_a_secret_in_the_file_is_an_error_that_does_not_show_it(write, key, mode, more):
    with pytest.raises(ConfigError) as failed:
        read_config(write(f"[account.a]\n{WHOLE}\n{key} = 'Marker'\n", mode))
    first, *rest = failed.value.errors
    assert f"[account.a]: {key}: a secret is not written into this file" in first
    assert len(rest) == more
    assert all(f"others may have read this {key}: change it" in line for line in rest)
    assert "Marker" not in str(failed.value)


def test_a_file_that_cannot_be_read(write, tmp_path):
    with pytest.raises(AccountError, match=r"cannot read the configuration file .*: No such file or directory"):
        read_config(tmp_path / "none.toml")
    file = write("")
    file.write_bytes(b"[account.\xff]")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_config(file)


# --------------------------------------------------------------------------------------------- the rest


def test_accounts_are_chosen_by_name(write):
    config = read_config(write(f"[account.work]\n{WHOLE}\n[account.home]\n{WHOLE}\n"))
    assert [one.name for one in config.chosen()] == ["work", "home"]
    assert [one.name for one in config.chosen(["home", "home"])] == ["home"]
    with pytest.raises(ConfigError, match=r"has no account 'wrok'; did you mean \"work\"\?"):
        config.chosen(["wrok"])


def test_where_the_file_is(monkeypatch, a_home_of_ones_own):
    assert config_path() == a_home_of_ones_own / ".config/pop3proto/fetch.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    assert config_path() == Path("/elsewhere/pop3proto/fetch.toml")
    monkeypatch.setenv("POP3PROTO_CONFIG", "/named.toml")
    assert config_path() == Path("/named.toml")
    assert config_path(Path("x")) == Path("x")


@pytest.mark.parametrize("package", ["cattrs", "platformdirs"])
def test_without_the_extra_it_is_named(package, monkeypatch, write):
    from pop3proto.fetching.accounts import structuring

    vars(structuring._STRUCTURING).pop("_converter", None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AccountError) as failed:
        read_config(write(f"[account.a]\n{WHOLE}") if package == "cattrs" else config_path())
    assert str(failed.value) == (
        f"a configuration file needs more packages: install pop3proto with the extra [cli] for {sys.executable}"
    )


def test_the_password_of_a_proxy_is_noted_if_others_may_read_it(write):
    text = f"[account.a]\n{WHOLE}\nproxy = 'socks5://u:Marker@h:1'\n"
    assert read_config(write(text)).notes == ()
    [note] = read_config(write(text, 0o640)).notes
    assert note.startswith("note: others may read the password of a proxy in ")
    assert "Marker" not in "\n".join(check_config(write(text, 0o640)))


def test_a_description_shows_what_an_account_comes_to(write, a_home_of_ones_own):
    home = a_home_of_ones_own
    [account] = read_config(write(ALL)).accounts
    assert [*describe(account)] == [
        "  server: h, port 1, TLS by STLS",
        "  user: ann",
        "  login: SCRAM-SHA-256, password from the command pass",
        "  certificate: one pin in place of the usual verification",
        f"  authorities: those of the system, and of {home}/ca.pem",
        "  client certificate: /c.pem",
        "  its private key: /k.pem",
        "  proxy: the SOCKS proxy 127.0.0.1, port 9050",
        "  tolerated: bare_lf, uidl_any_unique_id",
        f"  into: the Maildir {home}/Mail/.Junk, flags SF",
        "  journal: /j",
        "  deletes: what was stored 14d ago; what was stored and is no longer there",
        "  fetches: headers alone",
        "  of messages over 20M: the header",
        "  newest: 3",
        "  since: 2026-01-31",
        "  repeats: every 15m",
    ]


def test_the_command_checks_the_file(write, capsys):
    file = write(f"[account.a]\n{WHOLE}\ntoken = {{ env = 'T' }}\nprovider = 'gmail'\nevery = '1m'\n")
    assert main(["fetch", "--check-config", "--config", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(
        "[account.a]\n  server: h, port 995, TLS at once\n  user: ann\n  login: the best method, token"
    )
    assert "repeats: every 10m (the provider allows no less; 1m is asked for)" in out
    assert err == ""


def test_the_command_tells_each_error_and_ends_with_78(write, capsys):
    file = write("x = 1\ny = 2\n")
    assert main(["fetch", "--check-config", "--config", str(file)]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f'pop3proto fetch: {file}: unknown key "x"',
        f'pop3proto fetch: {file}: unknown key "y"',
        f"pop3proto fetch: {file}: there is no account; a table [account.NAME] makes one",
        "pop3proto fetch: 3 errors in the configuration",
    ]


@pytest.mark.parametrize(
    "more, way",
    [
        ("", "the best method, password typed on the terminal"),
        ("login = 'XOAUTH2'", "XOAUTH2, token typed on the terminal"),
        ("token = { env = 'T' }", "the best method, token from the variable T"),
        ("certificate = '/c'", "EXTERNAL, by the client certificate"),
        ("certificate = '/c'\nlogin = 'EXTERNAL'", "EXTERNAL, by the client certificate"),
        ("certificate = '/c'\npassword = { env = 'P' }", "the best method, password from the variable P"),
        ("certificate = '/c'\nlogin = 'PLAIN'", "PLAIN, password typed on the terminal"),
    ],
)
def test_a_description_says_how_it_logs_in(account, more, way):
    assert f"  login: {way}" in [*describe(account(more))]


def test_a_method_in_the_url_or_beside_it(account, wrong):
    whole = 'deliver = { maildir = "/mail" }'
    assert account('url = "pops://ann@h"\nlogin = "apop"', whole).login == "APOP"
    assert account('login = "apop"\nurl = "pops://ann;AUTH=*@h"', whole).login == "APOP"
    assert account('url = "pops://ann@h"', whole, defaults='login = "PLAIN"').login == "PLAIN"
    assert account('url = "pops://ann;AUTH=EXTERNAL@h"\ncertificate = "/c"', whole).login == "EXTERNAL"
    both = f"[account.a]\n{whole}\nlogin = 'PLAIN'\nurl = 'pops://ann;AUTH=LOGIN@h'"
    assert wrong(both) == ["[account.a]: url stands for login, too: leave out one of them"]


def test_external_replaces_secrets_of_the_defaults(account, wrong):
    one = account("login = 'EXTERNAL'\ncertificate = '/c'", defaults="password = { ask = true }")
    assert (one.way, one.password) == ("EXTERNAL", None)
    assert account("certificate = '/c'", defaults="token = { env = 'T' }").way is None
    own = f"[account.a]\n{WHOLE}\nlogin = 'EXTERNAL'\ncertificate = '/c'\npassword = {{ ask = true }}"
    assert wrong(own) == ["[account.a]: EXTERNAL logs in by the certificate, and needs no password: leave it out"]


def test_the_example_is_right(capsys, a_home_of_ones_own):
    password = a_home_of_ones_own / ".config/pop3proto/cellar-password"
    password.parent.mkdir(parents=True)
    password.write_text("tanstaaf")
    ClientAuthority().issue_for(password.with_name("scanner.pem"), "scanner@example.org")
    (a_home_of_ones_own / ".netrc").write_text("machine pop.inner.example.org login ann password tanstaaf\n")
    accounts = read_config(ROOT / "examples" / "fetch.toml").accounts
    assert [one.name for one in accounts] == ["home", "gmail", "office", "cellar", "scanner", "inner"]
    assert main(["fetch", "--check-config", "--config", str(ROOT / "examples" / "fetch.toml")]) == 0


def test_the_page_is_right(write):
    page = (ROOT / "docs" / "fetch-configuration.md").read_text("utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = [[one.name for one in read_config(write(example)).accounts] for example in examples]
    assert names == [["home", "gmail"], ["home"]]
    [account] = read_config(write(examples[1])).accounts
    assert account.way == "EXTERNAL"


def test_the_reference_on_the_page_is_that_of_the_classes():
    from pop3proto.fetching.accounts.reference import reference

    page = (ROOT / "docs" / "fetch-configuration.md").read_text("utf-8")
    command = "python -m pop3proto.fetching.accounts.reference"
    [told] = re.findall(rf"^<!-- keys: {command} -->\n\n(.*?)\n\n<!-- end of keys -->$", page, re.MULTILINE | re.DOTALL)
    assert told == reference(), f"write it again: {command}"
    assert set(re.findall(r"^\| `(\w+)` \|", told.partition("### Tables")[0], re.MULTILINE)) == {*KEYS}
