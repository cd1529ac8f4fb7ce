"""The server's configuration file: what it says, and all that is wrong with it, told by file, table and key."""

import re
import sys
from pathlib import Path

import pytest

from pop3proto.core.limits import Quirk
from pop3proto.serving import Template
from pop3proto.serving.config import (
    CertificateFiles,
    CheckpasswordUsers,
    ConfigError,
    FileUsers,
    Listen,
    Log,
    LoginSettings,
    Maildrops,
    Metrics,
    MissingExtra,
    Penalty,
    ProxyFrom,
    RunAs,
    SessionLimits,
    SocketAddress,
    Timeouts,
    Tls,
    read_config,
)
from pop3proto.serving.config.reference import reference

ROOT = Path(__file__).parent.parent.parent.parent
LEAST = """
listen = { address = "127.0.0.1:110" }
users = { file = "/users" }
maildrops = { maildir = "/mail/{user}" }
"""
ALL = """
listen = [
  { address = "[::]:995" },
  { address = "0.0.0.0:110", domain = "Example.ORG" },
  { systemd = "pop3", tls = "none", proxy_protocol = { from = "127.0.0.1/32", trust_tls = true, timeout = "5s" } },
]
users = { checkpassword = ["true", "-x"], timeout = "9s" }
maildrops = { maildir = "{home}/Maildir", follow_links = true }
hostname = "pop.example.org"
greeting = "hello"
quirks = "bare_lf"
run = { user = "vmail", group = "mail", core_dumps = true }
log = { to = "journal", format = "json", audit = "/a", facility = "local0", dialogue = true }
metrics = { address = "[::1]:9110" }
limits = { sessions = 9, before_login = 8, per_address = 7, logins_per_address = 6, exempt = ["10.0.0.0/8", "::1"] }
timeouts = { login = "2m", idle = "20m", write = 30, grace = 0 }
[tls]
certificate = "/c"
key = "/k"
client_ca = "/ca"
client_crl = "/crl"
client_name = "email"
minimum = "1.3"
names."Other.example" = { certificate = "/o", key = "/ok" }
[login]
methods = ["plain", "user/pass"]
cleartext = "never"
attempts = 3
failure_delay = "1s"
penalty = { first = "1s", most = "4s", forget_after = "1m" }
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "serve.toml"
        file.write_text(text, "utf-8")
        return file

    return write


@pytest.fixture
def errors(write):
    def errors(text):
        file = write(text)
        with pytest.raises(ConfigError) as failed:
            read_config(file)
        assert all(error.startswith(f"{file}: ") for error in failed.value.errors)
        return [error.removeprefix(f"{file}: ") for error in failed.value.errors]

    return errors


def test_what_is_not_said_has_a_default(write):
    config = read_config(write(LEAST))
    assert config.listen == (Listen(address=SocketAddress("127.0.0.1", 110)),)
    assert config.listen[0].tls == "starttls"
    assert config.users == FileUsers(file=Path("/users"))
    assert (config.tls, config.metrics, config.log, config.run) == (None, None, Log(), RunAs())
    assert (config.login, config.limits, config.timeouts) == (LoginSettings(), SessionLimits(), Timeouts())


def test_every_key_is_read(write):
    config = read_config(write(ALL))
    proxies = ProxyFrom(from_=("127.0.0.1/32",), trust_tls=True, timeout=5)
    assert config.listen == (
        Listen(address=SocketAddress("::", 995), tls="implicit"),
        Listen(address=SocketAddress("0.0.0.0", 110), tls="starttls", domain="example.org"),
        Listen(systemd="pop3", tls="none", proxy_protocol=proxies),
    )
    assert config.users == CheckpasswordUsers(checkpassword=("true", "-x"), timeout=9)
    assert config.maildrops == Maildrops(maildir=Template("{home}/Maildir"), follow_links=True)
    assert (config.hostname, config.greeting, config.quirks) == ("pop.example.org", "hello", {Quirk.BARE_LF})
    assert config.run == RunAs(user="vmail", group="mail", core_dumps=True)
    assert config.log == Log(to="journal", format="json", audit=Path("/a"), facility="local0", dialogue=True)
    assert config.metrics == Metrics(address=SocketAddress("::1", 9110))
    assert config.limits == SessionLimits(
        sessions=9, before_login=8, per_address=7, logins_per_address=6, exempt=("10.0.0.0/8", "::1")
    )
    assert config.timeouts == Timeouts(login=120, idle=1200, write=30, grace=0)
    assert config.tls == Tls(
        certificate=Path("/c"),
        key=Path("/k"),
        client_ca=Path("/ca"),
        client_crl=Path("/crl"),
        client_name="email",
        minimum="1.3",
        names={"other.example": CertificateFiles(certificate=Path("/o"), key=Path("/ok"))},
    )
    assert config.login == LoginSettings(
        methods=("PLAIN", "USER/PASS"),
        cleartext="never",
        attempts=3,
        failure_delay=1,
        penalty=Penalty(first=1, most=4, forget_after=60),
    )


def test_all_errors_are_told_at_once(errors):
    assert errors(
        """
listn = 3
listen = [
  { address = "[::]:995", tls = "implici" },
  { address = "::1:110" },
  { address = "1.1.1.1:1", proxy_protocol = { form = [] } },
]
run = { usr = "vmail" }
users = { fil = "/users" }
log = { format = "jsn", to = "sislog" }
metrics = { address = "10.0.0.1:9110" }
login = { methods = ["PLAN", "PLAIN2"], attempts = 0 }
quirks = "uidl_any_unique_id"
maildrops = { maildir = "/var/vmail/{usr}/Maildir" }
timeouts = { idle = "1m" }
"""
    ) == [
        'listen[0].tls: "implicit" or "starttls" or "none" is expected',
        'listen[1].address: an address and a port are expected, such as "0.0.0.0:110" or "[::]:995"',
        "listen[2].proxy_protocol.from is missing",
        'listen[2].proxy_protocol: unknown key "form"; did you mean "from"?',
        'maildrops.maildir: {usr} does not exist; there are {user}, {local}, {domain}, {home}; did you mean "user"?',
        'users: one of the keys file, passwd_file, htpasswd, checkpassword, sqlite is expected; did you mean "file"?',
        'login.methods[0]: there is no login method "PLAN"; did you mean "plain"?',
        'login.methods[1]: there is no login method "PLAIN2"; did you mean "plain"?',
        "timeouts: idle must be at least 10m (RFC 1939 section 3)",
        'run: unknown key "usr"; did you mean "user"?',
        'log.to: the path must begin with / or ~; did you mean "syslog"?',
        'log.format: "text" or "json" is expected',
        "metrics: other machines could read the metrics at 10.0.0.1:9110: use 127.0.0.1 or [::1], or set remote = true",
        "quirks: that is a quirk of servers; those of clients are bare_lf",
        'unknown key "listn"; did you mean "listen"?',
    ]


NOT_ASKED = "needs client_ca: without it, clients are not asked for certificates"
TWO_DOMAINS = """listen = [{ address = "[::]:1", domain = "a.org" }, { address = "[::]:2" }]
tls = { certificate = "/c", client_ca = "/ca", client_name = "user_id" }
"""
MANY_USERS = (
    "a certificate would be good for a user of each domain, as the listeners have several: tls.client_name must be "
    '"email" then'
)


@pytest.mark.parametrize(
    "change, error",
    [
        ('listen = { tls = "none" }', "listen[0]: a listener has either an address or the name of a socket of systemd"),
        (
            'listen = { address = "1.1.1.1:1", systemd = "x" }',
            "listen[0]: a listener has either an address or the name of a socket of systemd",
        ),
        ('listen = { address = "[::]:995" }', "the listener [::]:995 needs a certificate: [tls] is missing"),
        ('listen = [{ address = "[::]:1" }, { address = "[::]:1" }]', "there are two listeners [::]:1"),
        ('tls = { certificate = "/c", client_name = "email" }', f"tls: client_name {NOT_ASKED}"),
        ('tls = { certificate = "/c", client_crl = "/l" }', f"tls: client_crl {NOT_ASKED}"),
        (TWO_DOMAINS, MANY_USERS),
        (TWO_DOMAINS.replace('::]:2"', '::]:2", tls = "none"'), None),
        ("listen = []", "listen: the list is empty"),
        ('maildrops = { maildir = "mail/{user}" }', "maildrops.maildir: the path must begin with / or {home}/"),
        (
            "users = 3",
            "users: a table is expected, with one of the keys file, passwd_file, htpasswd, checkpassword, sqlite",
        ),
        ('users = { checkpassword = ["x"], timeout = 0 }', "users: timeout must be above 0"),
        ("limits = { sessions = 0 }", "limits: sessions must be above 0"),
        (
            'limits = { exempt = ["10.0.0.1/8"] }',
            "limits.exempt[0]: not an address or a network: 10.0.0.1/8 has host bits set",
        ),
        (
            "login = { penalty = { first = 3, most = 2 } }",
            "login.penalty: the seconds of a login penalty must be from 0 to 1000000, and first <= most",
        ),
        (
            'listen = { address = "1.1.1.1:1", domain = "a_b" }',
            'listen[0].domain: a domain is expected, such as "example.org"',
        ),
        (
            'access = { user = "kiosk[12]" }',
            "access[0]: a pattern of user names has * and ?, and no brackets, unlike 'kiosk[12]'",
        ),
        ("log = 3", "log: a table is expected, with the keys to, format, audit, facility, dialogue"),
        ('tls = { key = "/k" }', "tls.certificate is missing"),
        (
            'tls = { certificate = "/c", names = { "*.*.org" = { certificate = "/d" } } }',
            "tls: '*.*.org' is no host name; they are like pop.example.org or *.example.org",
        ),
    ],
)
def test_an_error_names_the_key(errors, write, change, error):
    key = change.partition(" ")[0]
    text = "\n".join(line for line in LEAST.splitlines() if not line.startswith(f"{key} "))
    if error is None:
        assert read_config(write(f"{text}\n{change}\n"))
    else:
        assert errors(f"{text}\n{change}\n") == [error]


def test_a_certificate_may_be_that_of_a_wildcard(write):
    tls = 'tls = { certificate = "/c", names = { "*.example.org" = { certificate = "/d" } } }\n'
    assert [*read_config(write(LEAST + tls)).tls.names] == ["*.example.org"]


def test_a_rule_may_name_a_listener_of_ipv6(write):
    config = read_config(write(LEAST + 'access = { listener = "[::]:995", refuse = {} }\n'))
    [rule] = [rule.value() for rule in config.access]
    assert rule.listener == ("[::]:995",)


def test_metrics_are_shown_to_others_only_if_that_is_wanted(write, errors):
    shown = 'metrics = { address = "0.0.0.0:9110"'
    assert read_config(write(f"{LEAST}{shown}, remote = true }}\n")).metrics.remote
    assert len(errors(f"{LEAST}{shown} }}\n")) == 1


def test_a_key_of_the_file_behind_a_table_is_told(write):
    with pytest.raises(ConfigError) as raised:
        read_config(write(LEAST + '[login]\ncleartext = "never"\ngreeting = "hello"\n'))
    words = 'unknown key "greeting"; it is a key of the file: put it before the first [table]'
    assert str(raised.value).endswith(f"login: {words}")


@pytest.mark.parametrize("name", ["serve", "serving-access", "serving-listeners"])
def test_the_other_pages_have_examples_that_are_right(name, write):
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    read_config(write(example))


def test_a_byte_order_mark_is_told(write):
    with pytest.raises(ConfigError, match="byte order mark"):
        read_config(write("\ufeff" + LEAST))


def test_two_kinds_of_users_are_one_too_many(write):
    text = LEAST.replace('file = "/users"', 'file = "/users", htpasswd = "/h"')
    with pytest.raises(ConfigError, match="is expected; there is more than one"):
        read_config(write(text))


def test_the_pages_listen_on_both_families():
    for name in ("docs/serve.md", "docs/serve-configuration.md", "examples/serve.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        ports = [re.findall(re.escape(host) + r':(\d+)" \}', text) for host in ("0.0.0.0", "[::]")]
        assert ports[0] == ports[1] != []


def test_the_log_is_in_one_place_on_all_pages():
    where = read_config(ROOT / "examples" / "serve.toml").log.to
    page, logs, jail = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("docs/serve.md", "docs/logs.md", "contrib/fail2ban/jail.d/pop3proto.conf")
    )
    assert f'log = {{ to = "{where}"' in page
    assert f"fail2ban-regex {where} pop3proto" in logs
    assert f"logpath  = {where}\n" in jail


def test_what_is_no_toml_is_told(write, tmp_path):
    with pytest.raises(ConfigError, match=r"serve\.toml: Expected '='"):
        read_config(write("listen"))
    (tmp_path / "latin").write_bytes(b"greeting = '\xe9'")
    with pytest.raises(ConfigError, match="latin: it is not UTF-8"):
        read_config(tmp_path / "latin")
    with pytest.raises(FileNotFoundError):
        read_config(tmp_path / "none")


def test_without_the_extra_it_is_named(monkeypatch, write):
    from pop3proto.serving.config import structuring

    vars(structuring.STRUCTURING).pop("_converter", None)
    monkeypatch.setitem(sys.modules, "cattrs", None)
    with pytest.raises(MissingExtra) as failed:
        read_config(write(LEAST))
    assert str(failed.value) == (
        f"a configuration file needs more packages: install pop3proto with the extra [server] for {sys.executable}"
    )


def test_the_reference_on_the_page_is_that_of_the_classes():
    page = (ROOT / "docs" / "serve-configuration.md").read_text("utf-8")
    command = "python -m pop3proto.serving.config.reference"
    [told] = re.findall(rf"^<!-- keys: {command} -->\n\n(.*?)\n\n<!-- end of keys -->$", page, re.MULTILINE | re.DOTALL)
    assert told == reference(), f"write it again: {command}"


def test_the_examples_on_the_page_are_right(write):
    page = (ROOT / "docs" / "serve-configuration.md").read_text("utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        assert read_config(write(example)).listen


def test_the_example_is_right():
    config = read_config(ROOT / "examples" / "serve.toml")
    assert [listen.name for listen in config.listen] == ["0.0.0.0:995", "[::]:995", "0.0.0.0:110", "[::]:110"]
