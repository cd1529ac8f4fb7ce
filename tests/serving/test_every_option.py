"""Every option of the server's configuration has an effect: each is shown here, or by the test that is named here."""

import re
from ipaddress import ip_network
from pathlib import Path

import attrs
import pytest

from pop3proto._config.keys import key_of, meaning
from pop3proto.authenticators import set_password
from pop3proto.core.limits import Quirk
from pop3proto.logs import LogObserver
from pop3proto.procedures.server.policy import Facts
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import AuditLog, LoginTimes, Site
from pop3proto.serving.accounts import open_accounts
from pop3proto.serving.assembly import Lasting, listener_of, service_of
from pop3proto.serving.config import read_config
from pop3proto.serving.config.reference import SECTIONS
from pop3proto.serving.retention.last import Last

TESTS = Path(__file__).parent.parent
BASE = {
    "listen": '{ address = "127.0.0.1:0", tls = "none" }',
    "users": '{{ file = "{folder}/users" }}',
    "maildrops": '{{ maildir = "{folder}/{{user}}" }}',
}


class Assembled:
    """What a configuration comes to."""

    def __init__(self, folder, options):
        lines = {**BASE, **options}
        text = "\n".join(f"{key} = {value}" for key, value in lines.items()).replace("{{", "{").replace("}}", "}")
        (folder / "serve.toml").write_text(text.replace("{folder}", str(folder)))
        self.config = read_config(folder / "serve.toml")
        accounts = open_accounts(self.config)
        self.authenticator = accounts.authenticator
        self.site = Site(self.config, accounts.directory)
        self.service = service_of(self.site, accounts, Lasting(times=LoginTimes(), job=None, metrics=None))
        self.policy = self.service.policy
        self.store = self.service.store
        self.rules = self.store.rules("ann")
        self.listener = listener_of(self.config.listen[0], [], tls=True)
        self.kinds = {type(each) for each in self.service.observer}
        self.filter = self.config.filter_


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    set_password(folder / "users", "ann", "tanstaaf")
    (folder / "secrets").write_text("ann:tanstaaf\n")
    (folder / "secrets").chmod(0o600)
    return folder


LISTEN = 'address = "127.0.0.1:0"'
PROXY = f'{{ {LISTEN}, proxy_protocol = {{ from = "192.0.2.0/24"%s }} }}'
SHOWN = {
    "ServeConfig.hostname": ({"hostname": '"pop.example.org"'}, lambda w: w.service.hostname, "pop.example.org"),
    "ServeConfig.greeting": ({"greeting": '"hi"'}, lambda w: w.service.greeting, "hi"),
    "ServeConfig.quirks": ({"quirks": '"bare_lf"'}, lambda w: w.service.quirks, {Quirk.BARE_LF}),
    "ServeConfig.last": ({"last": "true"}, lambda w: Last in w.service.handlers, True),
    "ServeConfig.lower_case_users": (
        {"lower_case_users": "true"},
        lambda w: (w.service.lower_case_users, w.policy.ignore_case, w.site.user_name("Ann")),
        (True, True, "ann"),
    ),
    "Listen.tls": ({"listen": f'{{ {LISTEN}, tls = "starttls" }}'}, lambda w: w.listener.tls, "starttls"),
    "Listen.domain": ({"listen": f'{{ {LISTEN}, domain = "a.org" }}'}, lambda w: w.listener.domain, "a.org"),
    "ProxyFrom.from": (
        {"listen": PROXY % ""},
        lambda w: w.listener.proxy_protocol and w.listener.proxy_protocol.networks,
        (ip_network("192.0.2.0/24"),),
    ),
    "ProxyFrom.trust_tls": (
        {"listen": PROXY % ", trust_tls = true"},
        lambda w: w.listener.proxy_protocol and w.listener.proxy_protocol.trust_tls,
        True,
    ),
    "ProxyFrom.timeout": (
        {"listen": PROXY % ", timeout = 7"},
        lambda w: w.listener.proxy_protocol and w.listener.proxy_protocol.timeout,
        7,
    ),
    "FileUsers.secrets": (
        {"users": '{{ file = "{folder}/users", secrets = "{folder}/secrets" }}'},
        lambda w: "CRAM-MD5" in w.service.offers(SessionInfo(), may_show_password=True),
        True,
    ),
    "CheckpasswordUsers.checkpassword": (
        {"users": '{ checkpassword = ["true", "x"] }'},
        lambda w: getattr(w.authenticator, "_arguments", ())[:2],
        ("true", "x"),
    ),
    "CheckpasswordUsers.timeout": (
        {"users": '{ checkpassword = ["true"], timeout = 4 }'},
        lambda w: getattr(w.authenticator, "_timeout", None),
        4,
    ),
    "Maildrops.maildir": (
        {"maildrops": '{{ maildir = "/elsewhere/{{user}}" }}'},
        lambda w: w.site.maildir("ann"),
        Path("/elsewhere/ann"),
    ),
    "Maildrops.follow_links": (
        {"maildrops": '{{ maildir = "{folder}/{{user}}", follow_links = true }}'},
        lambda w: w.store._follow_links,
        True,
    ),
    "Quota.octets": ({"quota": '{ octets = "1G" }'}, lambda w: w.rules.quota.octets, 10**9),
    "Quota.messages": ({"quota": "{ messages = 5 }"}, lambda w: w.rules.quota.messages, 5),
    "Quota.warn": ({"quota": "{ warn = 0.5 }"}, lambda w: w.rules.quota.warn, 0.5),
    "Quota.grace": ({"quota": "{ grace = false }"}, lambda w: w.rules.quota.grace, False),
    "Quota.when_full": ({"quota": '{ when_full = "refuse" }'}, lambda w: w.rules.quota.when_full, "refuse"),
    "Quota.trash": ({"quota": "{ trash = true }"}, lambda w: w.rules.quota.trash, True),
    "Retain.unread": ({"retain": '{ unread = "2d" }'}, lambda w: w.rules.retain.unread, 172_800),
    "Retain.read": ({"retain": '{ read = "1d" }'}, lambda w: w.rules.retain.read, 86_400),
    "Retain.every": ({"retain": "{ every = 5 }"}, lambda w: w.rules.retain.every, 5),
    "OnDelete.to": ({"on_delete": '{ to = "hide" }'}, lambda w: w.rules.on_delete.to, "hide"),
    "OnDelete.keep": ({"on_delete": '{ to = "trash", keep = "1d" }'}, lambda w: w.rules.on_delete.keep, 86_400),
    "Filtering.clamd": ({"filter": '{ clamd = "127.0.0.1:1" }'}, lambda w: w.filter.clamd, "127.0.0.1:1"),
    "Filtering.rspamd": (
        {"filter": '{ rspamd = "http://127.0.0.1:1" }'},
        lambda w: w.filter.rspamd,
        "http://127.0.0.1:1",
    ),
    "Filtering.spamd": ({"filter": '{ spamd = "127.0.0.1:1" }'}, lambda w: w.filter.spamd, "127.0.0.1:1"),
    "Filtering.command": ({"filter": '{ command = ["x"] }'}, lambda w: w.filter.command, ("x",)),
    "Filtering.timeout": ({"filter": "{ timeout = 3 }"}, lambda w: w.filter.timeout, 3),
    "Filtering.largest": ({"filter": '{ largest = "1M" }'}, lambda w: w.filter.largest, 10**6),
    "Filtering.junk": ({"filter": '{ junk = "tag" }'}, lambda w: w.filter.junk.value, "tag"),
    "Filtering.virus": ({"filter": '{ virus = "tag" }'}, lambda w: w.filter.virus.value, "tag"),
    "Filtering.folder": ({"filter": '{ folder = ".Spam" }'}, lambda w: w.filter.folder, ".Spam"),
    "LoginSettings.methods": (
        {"login": '{ methods = ["PLAIN"] }'},
        lambda w: ([*w.service.mechanisms], w.service.user_pass, w.service.apop),
        (["PLAIN"], False, False),
    ),
    "LoginSettings.cleartext": ({"login": '{ cleartext = "never" }'}, lambda w: w.service.cleartext, "never"),
    "LoginSettings.attempts": ({"login": "{ attempts = 2 }"}, lambda w: w.service.login_attempts, 2),
    "LoginSettings.failure_delay": ({"login": "{ failure_delay = 1 }"}, lambda w: w.service.failure_delay, 1),
    "LoginSettings.ignore_case": ({"login": "{ ignore_case = true }"}, lambda w: w.policy.ignore_case, True),
    "Penalty.first": ({"login": "{ penalty = { first = 1 } }"}, lambda w: w.service.login_penalty.first, 1),
    "Penalty.most": ({"login": "{ penalty = { most = 9 } }"}, lambda w: w.service.login_penalty.most, 9),
    "Penalty.forget_after": (
        {"login": "{ penalty = { forget_after = 60 } }"},
        lambda w: w.service.login_penalty.forget_after,
        60,
    ),
    "LoginDelayRule.every": (
        {"login": '{ delay = { every = "1m" } }'},
        lambda w: w.policy.login_delay(None) and w.policy.login_delay(None).seconds,
        60,
    ),
    "LoginDelayRule.burst": (
        {"login": '{ delay = { every = "1m", burst = 4 } }'},
        lambda w: [pace.burst for pace in w.policy.paces],
        [4],
    ),
    "LoginDelayRule.user": (
        {"login": '{ delay = { every = "1m", user = "a*" } }'},
        lambda w: (w.policy.login_delay("ann") is None, w.policy.login_delay("bob") is None),
        (False, True),
    ),
    "SessionLimits.sessions": ({"limits": "{ sessions = 9 }"}, lambda w: w.service.max_sessions, 9),
    "SessionLimits.before_login": (
        {"limits": "{ before_login = 8 }"},
        lambda w: w.service.max_sessions_before_login,
        8,
    ),
    "SessionLimits.per_address": (
        {"limits": "{ per_address = 7 }"},
        lambda w: w.service.max_sessions_per_address,
        7,
    ),
    "SessionLimits.logins_per_address": (
        {"limits": "{ logins_per_address = 6 }"},
        lambda w: w.service.logins_per_address,
        6,
    ),
    "SessionLimits.per_user": ({"limits": "{ per_user = 3 }"}, lambda w: w.policy.sessions_per_user, 3),
    "SessionLimits.per_network": (
        {"limits": '{ per_network = { "10.0.0.0/8" = 2 } }'},
        lambda w: dict(w.policy.sessions_by_network),
        {ip_network("10.0.0.0/8"): 2},
    ),
    "SessionLimits.exempt": (
        {"limits": '{ exempt = "10.0.0.0/8" }'},
        lambda w: w.service.exempt,
        (ip_network("10.0.0.0/8"),),
    ),
    "Timeouts.login": ({"timeouts": "{ login = 7 }"}, lambda w: w.service.deadlines.login, 7),
    "Timeouts.idle": ({"timeouts": "{ idle = 700 }"}, lambda w: w.service.deadlines.idle, 700),
    "Timeouts.write": ({"timeouts": "{ write = 7 }"}, lambda w: w.service.deadlines.write, 7),
    "Timeouts.grace": ({"timeouts": "{ grace = 7 }"}, lambda w: w.service.deadlines.grace, 7),
    "Log.dialogue": ({"log": "{ dialogue = true }"}, lambda w: LogObserver in w.kinds, True),
    "Log.audit": ({"log": '{ audit = "/a" }'}, lambda w: AuditLog in w.kinds, True),
}
"""The option: how it is set, what it changes, and to what."""


def decided(world, user="kiosk1", address="10.0.0.1", hour=12, listener="127.0.0.1:110"):
    """Whether the policy lets a user in, and in which words it does not."""
    from datetime import UTC, datetime

    now = datetime(2026, 6, 1, hour, tzinfo=UTC)  # a Monday
    decision = world.policy.at_login(Facts(address=address, now=now, listener=listener, user=user))
    return decision.allowed, decision.text, decision.close, decision.code and str(decision.code)


NO = (False, "", False, None)
YES = (True, "", False, None)
RULES = {
    "AccessRule.user": ('{ user = "kiosk*", refuse = {} }', [{}, {"user": "ann"}], [NO, YES]),
    "AccessRule.from": ('{ from = "10.0.0.0/8", refuse = {} }', [{}, {"address": "192.0.2.1"}], [NO, YES]),
    "AccessRule.listener": ('{ listener = "*:110", refuse = {} }', [{}, {"listener": "127.0.0.1:995"}], [NO, YES]),
    "AccessRule.hours": ('{ hours = { start = "11:00" }, refuse = {} }', [{}, {"hour": 10}], [NO, YES]),
    "AccessRule.refuse": ("{ refuse = {} }", [{}], [NO]),
    "AccessRule.else": ('{ from = "10.0.0.0/8", else = {} }', [{}, {"address": "192.0.2.1"}], [YES, NO]),
    "Hours.days": ('{ hours = { days = "Mon" }, refuse = {} }', [{}], [NO]),
    "Hours.start": ('{ hours = { start = "13:00" }, else = {} }', [{}, {"hour": 13}], [NO, YES]),
    "Hours.end": ('{ hours = { end = "12:00" }, else = {} }', [{}, {"hour": 11}], [NO, YES]),
    "Hours.zone": ('{ hours = { start = "14:00", zone = "Europe/Berlin" }, else = {} }', [{}, {"hour": 11}], [YES, NO]),
    "Refusal.text": ('{ refuse = { text = "no" } }', [{}], [(False, "no", False, None)]),
    "Refusal.code": (
        '{ refuse = { text = "no", code = "SYS/PERM" } }',
        [{}],
        [(False, "no", False, "SYS/PERM")],
    ),
    "Refusal.close": ('{ refuse = { text = "no", close = true } }', [{}], [(False, "no", True, None)]),
}
"""The option: a rule with it, logins, and what becomes of each."""

ELSEWHERE = {
    "Listen.address": "serving/test_running.py::test_it_serves_until_it_ends",
    "Listen.systemd": "serving/test_running.py::test_a_socket_of_systemd_is_taken",
    "FileUsers.file": "serving/test_accounts.py::test_users_of_a_file",
    "PasswdFileUsers.passwd_file": "serving/test_accounts.py::test_users_of_a_file",
    "HtpasswdUsers.htpasswd": "serving/test_accounts.py::test_users_of_htpasswd",
    "SqlUsers.sqlite": "serving/test_accounts.py::test_users_of_a_database",
    "SqlUsers.query": "serving/test_accounts.py::test_users_of_a_database",
    "SqlUsers.list": "serving/test_accounts.py::test_users_of_a_database",
    "SqlUsers.timeout": "serving/test_accounts.py::test_all_that_is_said_of_a_source_reaches_it",
    **{
        f"Introspection.{key}": "serving/test_accounts.py::test_all_that_is_said_of_tokens_reaches_who_asks"
        for key in ("url", "client_id", "client_secret", "username", "audience", "scope", "ca", "timeout", "cache")
    },
    "Tls.certificate": "serving/test_running.py::test_new_certificates_are_used_from_the_next_handshake_on",
    "Tls.key": "serving/test_running.py::test_the_settings_of_tls",
    "Tls.client_ca": "serving/test_running.py::test_the_settings_of_tls",
    "Tls.client_crl": "serving/test_running.py::test_users_log_in_by_certificates",
    "Tls.client_name": "serving/test_running.py::test_users_log_in_by_certificates",
    "Tls.minimum": "serving/test_running.py::test_the_settings_of_tls",
    "CertificateFiles.certificate": "serving/test_running.py::test_the_settings_of_tls",
    "CertificateFiles.key": "serving/test_running.py::test_the_settings_of_tls",
    "LoginSettings.delay_file": "serving/test_running.py::test_the_times_of_logins_outlive_the_server",
    "RunAs.user": "serving/test_running.py::test_it_goes_on_as_another_user",
    "RunAs.group": "serving/test_running.py::test_it_goes_on_as_another_user",
    "RunAs.core_dumps": "cli/test_serve_config.py::test_core_files_are_not_written_unless_they_are_wanted",
    "Log.to": "serving/test_log.py::test_the_targets_of_a_configuration",
    "Log.format": "serving/test_log.py::test_json_in_a_file_and_an_audit_beside_it",
    "Log.facility": "serving/test_log.py::test_the_targets_of_a_configuration",
    "Metrics.address": "serving/test_running.py::test_metrics_and_health",
    "Metrics.remote": "serving/config/test_reading.py::test_metrics_are_shown_to_others_only_if_that_is_wanted",
}
"""The option, and the test that shows its effect."""


TABLES = {"Listen.proxy_protocol", "Tls.names", "LoginSettings.delay", "LoginSettings.penalty"}


def options():
    """All keys of the file that are no tables of others."""
    kinds = {kind for kinds in SECTIONS.values() for kind in kinds}
    found = {
        f"{kind.__name__}.{key_of(field.name)}"
        for kind in kinds
        for field in attrs.fields(kind)
        if meaning(field) is not None
    }
    plain = {"ServeConfig.hostname", "ServeConfig.greeting", "ServeConfig.quirks", "ServeConfig.last"}
    plain.add("ServeConfig.lower_case_users")
    return {name for name in found - TABLES if not name.startswith("ServeConfig.") or name in plain}


def test_every_option_is_shown():
    assert {*SHOWN, *RULES, *ELSEWHERE} == options()
    assert len(SHOWN) + len(RULES) + len(ELSEWHERE) == len(options())


@pytest.mark.parametrize("name", SHOWN)
def test_an_option_has_its_effect(folder, name):
    setting, effect, expected = SHOWN[name]
    assert effect(Assembled(folder, setting)) == expected
    assert effect(Assembled(folder, {})) != expected


@pytest.mark.parametrize("name", RULES)
def test_an_option_of_a_rule_has_its_effect(folder, name):
    rule, logins, expected = RULES[name]
    world = Assembled(folder, {"access": rule})
    assert [decided(world, **login) for login in logins] == expected
    assert decided(Assembled(folder, {})) == YES


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_test_of_an_option_exists(name):
    file, _, test = ELSEWHERE[name].partition("::")
    assert re.search(rf"^def {test}\(", (TESTS / file).read_text("utf-8"), re.MULTILINE)
