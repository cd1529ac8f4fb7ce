"""A server as its configuration file says: it begins, reloads and ends."""

import asyncio
import logging
import os
import socket
import ssl
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pop3proto import ConnectionLost, LocalProtocolError, LoginFailed
from pop3proto.asyncio import connect
from pop3proto.sasl import ClientCertificate
from pop3proto.serving import AccessPolicy, CannotServe, SiteServer, running
from pop3proto.serving.config import ConfigError
from pop3proto.testing.certificates import authority, certificate_file, client_context
from tests.helpers.client_certificates import ClientAuthority, showing
from tests.helpers.processes import PATIENCE

USERS = "ann:{PLAIN}tanstaaf\nbob:{PLAIN}secret\n"


class World:
    """A folder with a configuration, users and Maildirs."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "serve.toml"
        self.users(USERS)
        self.maildrops = f'{{ maildir = "{folder}/{{local}}" }}'

    def users(self, text):
        file = self.folder / "users"
        file.write_text(text)
        moment = file.stat().st_mtime - 60
        os.utime(file, (moment, moment))

    def mail(self, user, *messages):
        for folder in ("new", "cur", "tmp"):
            (self.folder / user / folder).mkdir(parents=True, exist_ok=True)
        for number, message in enumerate(messages):
            (self.folder / user / "new" / f"170000000{number}.M1P1.host").write_bytes(message)

    def write(self, text="", *, listen='{ address = "127.0.0.1:0" }'):
        self.file.write_text(
            f"listen = {listen}\n"
            f'users = {{ passwd_file = "{self.folder}/users" }}\n'
            f"maildrops = {self.maildrops}\n{text}"
        )
        return self.file

    @asynccontextmanager
    async def serving(self, text="", **options):
        async with asyncio.timeout(PATIENCE):
            async with SiteServer(self.write(text, **options)) as server:
                yield server


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.mail("ann", b"one\n", b"two\n")
    made.mail("bob")
    return made


async def log_in(server, user="ann", password="tanstaaf", at=0, **options):
    """Log in and out again; return the answer."""
    async with await connect(*server.addresses[at], **{"tls": "none", "timeout": PATIENCE, **options}) as client:
        await client.login(user, password)
        reply = client.last_reply
        return reply.text


def run(coroutine):
    return asyncio.run(coroutine)


def test_it_serves_until_it_ends(world):
    async def main():
        async with world.serving("login = { failure_delay = 0 }\n") as server:
            assert (await log_in(server)).startswith("maildrop has 2 messages")
            with pytest.raises(LoginFailed):
                await log_in(server, password="wrong")
            address = server.addresses[0]
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address, timeout=PATIENCE)

    run(main())


def test_a_reload_takes_users_rules_and_quota(world):
    async def main():
        async with world.serving() as server:
            async with await connect(*server.addresses[0], tls="none", timeout=PATIENCE) as client:
                await client.login("ann", "tanstaaf")
                world.users("bob:{PLAIN}other\n")
                world.write('quota = { messages = 1 }\naccess = { user = "bob", refuse = { text = "no" } }\n')
                assert await server.reload()
                assert (await client.stat()).count == 2  # the session lives on
            with pytest.raises(LoginFailed, match="no"):
                await log_in(server, "bob", "other")
            world.write("quota = { messages = 4 }\n")
            assert await server.reload()
            assert "0 % of 4 messages used" in await log_in(server, "bob", "other")

    run(main())


@pytest.mark.parametrize("text", ["", "bob:{PLAIN}secret\nann:{PL"])
def test_a_reload_takes_no_users_that_a_login_would_not(world, caplog, text):
    async def main():
        async with world.serving() as server:
            (world.folder / "users").write_text(text)
            assert await log_in(server)
            assert not await server.reload()
            assert await log_in(server)
            world.users("ann:{PLAIN}new\n")
            assert await server.reload()
            assert await log_in(server, password="new")

    run(main())
    assert "nothing was reloaded: " in caplog.text


def test_a_reload_that_takes_the_domain_out_opens_no_other_maildrop(world, caplog):
    world.users("ann:{PLAIN}tanstaaf\nann@example.org:{PLAIN}other\n")
    world.mail("ann@example.org", b"secret\n")
    listen = '{ address = "127.0.0.1:0", domain = "example.org" }'

    async def main():
        async with world.serving("login = { failure_delay = 0 }\n", listen=listen) as server:
            for _ in range(2):
                with pytest.raises(LoginFailed):
                    await log_in(server)
                assert await log_in(server, password="other")
                world.write("login = { failure_delay = 0 }\n")
                assert await server.reload()
            assert server.config.listen[0].domain == "example.org"

    run(main())
    assert "changes of listen count from the next start" in caplog.text


@pytest.mark.parametrize("fault", [RecursionError, RuntimeError, AttributeError])
def test_a_fault_of_a_reload_is_told_to_the_log_and_to_the_service_manager(world, caplog, monkeypatch, fault):
    told = []

    def fail(_):
        raise fault("Marker")

    async def main():
        async with world.serving() as server:
            monkeypatch.setattr(running, "read_config", fail)
            monkeypatch.setattr(type(server.notifier), "ready", lambda *_: told.append("ready"))
            assert not await server.reload()
            assert told == ["ready"]
            assert await log_in(server)

    run(main())
    assert "nothing was reloaded" in caplog.text


def test_a_file_that_is_nested_too_deeply_is_no_fault(world, caplog):
    async def main():
        async with world.serving() as server:
            world.file.write_text("x = " + "[" * 5_000 + "]" * 5_000)
            assert not await server.reload()

    run(main())
    assert f"nothing was reloaded: {world.file}: its arrays or tables are nested too deeply" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_new_start_is_asked_for_as_long_as_it_is_needed(world, caplog):
    delays = 'login = { delay_file = "%s/times", delay = { every = "1s" } }\n'

    async def main():
        async with world.serving() as server:
            for text, wanted in (
                ("run = { core_dumps = true }\n", "run"),
                ("run = { core_dumps = true }\n", "run"),  # it still holds
                ("", None),  # put back
                (delays % world.folder, "login.delay_file"),
            ):
                world.write(text, listen='{ address = "127.0.0.1:0" }')
                caplog.clear()
                with caplog.at_level(logging.INFO, "pop3proto.serving"):
                    assert await server.reload()
                said = [record.getMessage() for record in caplog.records if record.name == "pop3proto.serving"]
                expected = [] if wanted is None else [f"changes of {wanted} count from the next start"]
                assert said == [*expected, f"reloaded {world.file}"]

    run(main())


@pytest.mark.parametrize("broken", ["file", "users", "certificate"])
def test_a_reload_that_fails_changes_nothing(world, caplog, broken, tmp_path):
    with certificate_file() as pem:
        certificate = tmp_path / "certificate.pem"
        certificate.write_bytes(Path(pem).read_bytes())

    async def main():
        async with world.serving(f'[tls]\ncertificate = "{certificate}"\n') as server:
            assert await log_in(server)
            text = 'greeting = "new"\n'
            match broken:
                case "file":
                    text = "greting = 3\nlogin = { atempts = 3 }\n"
                case "users":
                    world.users("nonsense\n")
                case _:
                    certificate.write_bytes(certificate.read_bytes()[:500])
                    world.users("bob:{PLAIN}other\n")
            world.write(f'{text}[tls]\ncertificate = "{certificate}"\n')
            with caplog.at_level(logging.ERROR, "pop3proto.serving"):
                assert not await server.reload()
            async with await connect(
                *server.addresses[0], tls="starttls", context=client_context(), timeout=PATIENCE
            ) as client:
                assert client.tls
                assert client.greeting.reply.text.startswith("POP3 server ready")
            if broken != "certificate":
                assert await log_in(server)

    run(main())
    said = [record.getMessage() for record in caplog.records if record.name == "pop3proto.serving"]
    assert all(line.startswith("nothing was reloaded: ") for line in said)
    assert len(said) == {"file": 2, "users": 1, "certificate": 1}[broken]


def test_new_certificates_are_used_from_the_next_handshake_on(world, tmp_path):
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(authority().issue_cert("127.0.0.1", "one.example").private_key_and_cert_chain_pem.bytes())

    async def serial(server):
        async with await connect(
            *server.addresses[0], tls="starttls", context=client_context(), timeout=PATIENCE
        ) as client:
            return client.tls.certificate

    async def main():
        async with world.serving(f'[tls]\ncertificate = "{certificate}"\n') as server:
            first = await serial(server)
            new = authority().issue_cert("127.0.0.1", "two.example")
            certificate.write_bytes(new.private_key_and_cert_chain_pem.bytes())
            assert await serial(server) == first
            assert await server.reload()
            assert await serial(server) != first

    run(main())


def test_a_reload_takes_other_files_of_certificates_and_their_settings(world, tmp_path, caplog):
    paths = [tmp_path / "one.pem", tmp_path / "two.pem"]
    for path in paths:
        path.write_bytes(authority().issue_cert("127.0.0.1", path.stem).private_key_and_cert_chain_pem.bytes())
    old = client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main():
        async with world.serving(f'[tls]\ncertificate = "{paths[0]}"\n') as server:
            assert await log_in(server, tls="starttls", context=old)
            world.write(f'[tls]\ncertificate = "{paths[1]}"\nminimum = "1.3"\n')
            assert await server.reload()
            async with await connect(
                *server.addresses[0], tls="starttls", context=client_context(), timeout=PATIENCE
            ) as client:
                assert client.tls.certificate == ssl.PEM_cert_to_DER_cert(own_certificate(paths[1]))
            with pytest.raises(ConnectionLost):
                await log_in(server, tls="starttls", context=old)
            world.write()
            with caplog.at_level(logging.WARNING, "pop3proto.serving"):
                assert await server.reload()
            assert await log_in(server, tls="starttls", context=client_context())

    run(main())
    assert "changes of tls count from the next start" in caplog.text


def own_certificate(path):
    text = path.read_text("ascii")
    return text[text.index("-----BEGIN CERTIFICATE") :].partition("-----END CERTIFICATE-----")[0] + (
        "-----END CERTIFICATE-----\n"
    )


def test_a_service_that_cannot_be_used_leaves_the_certificates_too(world, tmp_path, monkeypatch, caplog):
    """All or nothing: the certificates are whole, but the policy is not."""
    path = tmp_path / "one.pem"
    path.write_bytes(authority().issue_cert("127.0.0.1", "one.example").private_key_and_cert_chain_pem.bytes())
    first = ssl.PEM_cert_to_DER_cert(own_certificate(path))

    def networks(_policy):
        raise ValueError("the networks are not known")

    async def main():
        async with world.serving(f'[tls]\ncertificate = "{path}"\n') as server:
            new = authority().issue_cert("127.0.0.1", "two.example")
            path.write_bytes(new.private_key_and_cert_chain_pem.bytes())
            world.write(f'greeting = "new"\n[tls]\ncertificate = "{path}"\n')
            with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "pop3proto.serving"):
                patch.setattr(AccessPolicy, "networks", property(networks))
                assert not await server.reload()
            async with await connect(
                *server.addresses[0], tls="starttls", context=client_context(), timeout=PATIENCE
            ) as client:
                assert client.tls.certificate == first
                assert client.greeting.reply.text.startswith("POP3 server ready")
            assert server.config.greeting != "new"
            assert await server.reload()
            assert server.config.greeting == "new"

    run(main())
    assert "nothing was reloaded: the networks are not known" in caplog.text


def test_what_needs_a_restart_is_told(world, caplog):
    async def main():
        async with world.serving() as server:
            text = 'run = { core_dumps = true }\nretain = { read = "1d" }\n'
            world.write(text, listen='{ address = "127.0.0.1:1" }')
            with caplog.at_level(logging.INFO, "pop3proto.serving"):
                assert await server.reload()
            assert await log_in(server)

    run(main())
    assert [record.getMessage() for record in caplog.records if record.name == "pop3proto.serving"] == [
        "changes of listen, run, retain (whether and how often mail is purged) count from the next start",
        f"reloaded {world.file}",
    ]


def test_expired_mail_is_purged_and_announced(world, tmp_path):
    async def main():
        text = f'retain = {{ unread = "30d" }}\nlog = {{ to = "{tmp_path}/log", audit = "{tmp_path}/audit" }}\n'
        async with world.serving(text) as server:
            for _ in range(1_000):
                if not list((tmp_path / "ann" / "new").iterdir()) and (tmp_path / "log").read_text():
                    break
                await asyncio.sleep(0.01)
            async with await connect(*server.addresses[0], tls="none", timeout=PATIENCE) as client:
                assert (await client.capa()).expire.days == 30
                await client.login("ann", "tanstaaf")
                assert (await client.stat()).count == 0

    for number in range(2):
        os.utime(tmp_path / "ann" / "new" / f"170000000{number}.M1P1.host", (1.7e9, 1.7e9))
    run(main())
    assert "the purge has removed 2 messages, 8 octets" in (tmp_path / "log").read_text()
    audit = (tmp_path / "audit").read_text()
    assert audit.count("expired: user=ann unique_id=170000000") == 2


def test_without_a_time_nothing_is_purged_nor_announced(world, tmp_path):
    async def main():
        async with (
            world.serving() as server,
            await connect(*server.addresses[0], tls="none", timeout=PATIENCE) as client,
        ):
            assert (await client.capa()).expire is None
        assert len(list((tmp_path / "ann" / "new").iterdir())) == 2

    run(main())


def test_metrics_and_health(world):
    async def main():
        async with world.serving('metrics = { address = "127.0.0.1:0" }\n') as server:
            await log_in(server)
            host, port = server.metrics_address

            def page(path):
                with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=PATIENCE) as answer:
                    return answer.read().decode()

            assert 'pop3_sessions_total{tls="no"} 1.0' in await asyncio.to_thread(page, "/metrics")
            assert await asyncio.to_thread(page, "/healthz") == "ok\n"

    run(main())


def test_a_user_to_whom_no_mail_has_come_has_an_empty_maildrop(world, caplog):
    world.users(USERS + "new:{PLAIN}x\n")
    (world.folder / "mail").mkdir()

    async def main():
        async with world.serving() as server:
            async with await connect(*server.addresses[0], tls="none", timeout=PATIENCE) as client:
                await client.login("new", "x")
                assert (await client.stat()).count == 0
            assert not (world.folder / "new").exists()
            world.mail("new", b"one\n")
            assert (await log_in(server, "new", "x")).startswith("maildrop has 1 message")
            # A disk that is not mounted is no empty maildrop: clients would forget what they have fetched.
            text = world.write().read_text().replace("/{local}", "/mail/{local}")
            world.file.write_text(text)
            assert await server.reload()
            with pytest.raises(LoginFailed, match="does not exist"):
                await log_in(server, "new", "x")

    run(main())


def test_a_maildrop_that_is_nearly_full_is_told(world, caplog):
    async def main():
        async with world.serving('quota = { messages = 2 }\nmetrics = { address = "127.0.0.1:0" }\n') as server:
            assert "100 % of 2 messages used" in await log_in(server)
            assert "0 % of 2 messages used" in await log_in(server, "bob", "secret")
            page = server._lasting.metrics.page().decode()
            for level, number in (("full", 1), ("ok", 1)):
                assert f'pop3_logins_by_quota_total{{quota="{level}"}} {number}.0' in page

    run(main())
    said = [record.getMessage() for record in caplog.records if record.name == "pop3proto.serving"]
    assert said == ["the maildrop of ann: 100 % of 2 messages used"]


def test_users_of_a_listener_have_its_domain(world):
    world.users("ann@example.org:{PLAIN}other\nann:{PLAIN}tanstaaf\n")
    listen = '[{ address = "127.0.0.1:0" }, { address = "127.0.0.1:0", domain = "example.org" }]'

    async def main():
        async with world.serving("login = { failure_delay = 0 }\n", listen=listen) as server:
            assert await log_in(server, at=0)
            assert await log_in(server, "ann", "other", at=1)
            with pytest.raises(LoginFailed):
                await log_in(server, "ann", "tanstaaf", at=1)

    run(main())


def test_names_in_any_case_are_the_same_user(world):
    async def main():
        async with world.serving("lower_case_users = true\n", listen=listen) as server:
            assert (await log_in(server, "Ann@Example.ORG")).startswith("maildrop has 2 messages")
            assert (await log_in(server, "ANN", at=1)).startswith("maildrop has 2 messages")
            world.write(listen=listen)
            assert await server.reload()
            with pytest.raises(LoginFailed):
                await log_in(server, "Ann@Example.ORG")

    listen = '[{ address = "127.0.0.1:0" }, { address = "[::1]:0", domain = "example.org" }]'
    world.users("ann@example.org:{PLAIN}tanstaaf\n")
    run(main())


def test_a_reload_opens_the_logs_again(world):
    """They were moved: a reload opens new ones, as SIGHUP does."""
    log = world.folder / "log"

    async def main():
        async with world.serving(f'log = {{ to = "{log}" }}\n') as server:
            await log_in(server)
            log.rename(world.folder / "log.1")
            log.touch()  # as logrotate's `create` does it: the file at the path is another one
            assert await server.reload()
            await log_in(server)

    run(main())
    assert (world.folder / "log.1").read_text().count(" ended: ") == 1
    assert log.read_text().count(" ended: ") == 1


def test_a_reload_says_which_log_cannot_be_opened_again(world, caplog):
    """The old one is used on; the server goes on."""
    log = world.folder / "log"

    async def main():
        async with world.serving(f'log = {{ to = "{log}" }}\n') as server:
            log.rename(world.folder / "log.1")
            log.mkdir()
            assert await server.reload()
            assert await log_in(server)

    run(main())
    assert f"cannot open the log {log} again: Is a directory" in caplog.text
    assert " ended: " in (world.folder / "log.1").read_text()


def test_a_maildrop_that_is_a_link_is_refused_unless_links_are_followed(world):
    async def main(text):
        async with world.serving(text) as server:
            return await log_in(server, "eve", "x")

    (world.folder / "eve").symlink_to(world.folder / "ann")
    world.users(f"{USERS}eve:{{PLAIN}}x\n")
    with pytest.raises(LoginFailed, match="SYS/PERM"):
        run(main(""))
    maildrops = f'{{ maildir = "{world.folder}/{{local}}", follow_links = true }}'
    world.maildrops = maildrops
    assert run(main("")).startswith("maildrop has 2 messages")


def test_the_service_manager_is_told(world, monkeypatch, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "40000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)

        async def main():
            async with world.serving() as server:
                loop = asyncio.get_running_loop()
                heard = []
                while "WATCHDOG=1" not in heard or "READY=1" not in heard:
                    heard += (await loop.sock_recv(manager, 4_096)).decode().split("\n")
                heard_again = []
                for _ in range(2):  # systemd waits for READY=1 behind each, and another one that came meanwhile
                    both = await asyncio.gather(server.reload(), server.reload())
                    assert both == [True, True]
                while heard_again.count("READY=1") < 4:
                    heard_again += (await loop.sock_recv(manager, 4_096)).decode().split("\n")
                told = [line for line in heard_again if line in ("RELOADING=1", "READY=1")]
                assert told == ["RELOADING=1", "READY=1"] * 4, "one reload at a time"
            while "STOPPING=1" not in heard:
                heard += (await loop.sock_recv(manager, 4_096)).decode().split("\n")
            assert server._stopping.is_set(), "so that a purge under way ends"
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "pop3proto-watchdog"]
            assert any(line.startswith("STATUS=listening on 127.0.0.1 port ") for line in heard)

        run(main())


@pytest.mark.parametrize(
    "text, listen, why",
    [
        ('log = { to = "/none/log" }', None, "/none/log: No such file or directory"),
        ('[tls]\ncertificate = "/none.pem"', None, "the certificate /none.pem cannot be used: No such file"),
        ('hostname = "a b"', None, "a hostname has letters"),
        ('run = { user = "no-such-user" }', None, "there is no user 'no-such-user'"),
        ("", '{ systemd = "pop3" }', "systemd has opened no socket of the name 'pop3'"),
        ("", '{ address = "192.0.2.1:1" }', "cannot listen on 192.0.2.1 port 1: "),
        ('login = { delay_file = "/none/times" }', None, "/none"),
    ],
)
def test_what_keeps_it_from_beginning_is_told(world, text, listen, why):
    async def main():
        async with world.serving(text, **({} if listen is None else {"listen": listen})):
            pass

    with pytest.raises(CannotServe) as failed:
        run(main())
    assert why in str(failed.value)


def test_a_reload_before_it_has_begun_does_nothing(world):
    async def main():
        assert not await SiteServer(world.write()).reload()

    run(main())


def test_a_wrong_file_is_told_when_it_is_made(world):
    with pytest.raises(ConfigError, match="unknown key"):
        SiteServer(world.write("x = 1\n"))


def test_a_socket_of_systemd_is_taken(world, monkeypatch, caplog):
    ours, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(running, "inherited_sockets", lambda: {"pop3": [ours], "http": [other]})
    port = ours.getsockname()[1]

    async def main():
        async with world.serving(listen='{ systemd = "pop3" }') as server:
            assert server.addresses == (("127.0.0.1", port),)
            assert await log_in(server)

    run(main())
    other.close()
    assert "no listener takes the sockets 'http' that systemd has opened" in caplog.text


def test_it_goes_on_as_another_user(world, monkeypatch):
    dropped = []

    def drop(user, group):
        assert socket.create_connection(world.address, timeout=PATIENCE).close() is None  # the port is bound
        assert not (world.folder / "log").exists()  # the log is opened by that user
        dropped.append((user, group))

    monkeypatch.setattr(running, "drop_privileges", drop)
    with socket.create_server(("127.0.0.1", 0)) as free:
        world.address = free.getsockname()
    listen = f'{{ address = "127.0.0.1:{world.address[1]}" }}'

    async def main(text):
        async with world.serving(text, listen=listen):
            pass

    log = f'log = {{ to = "{world.folder}/log" }}\n'
    run(main(log))
    assert dropped == []
    (world.folder / "log").unlink()
    run(main(f'{log}run = {{ user = "vmail", group = "mail" }}\n'))
    assert dropped == [("vmail", "mail")]


def test_the_times_of_logins_outlive_the_server(world):
    delay = 'login = {{ delay = {{ every = "1h" }}{} }}\n'

    async def main(text):
        async with world.serving(text) as server:
            return await log_in(server)

    run(main(delay.format("")))
    kept = delay.format(f', delay_file = "{world.folder}/times"')
    run(main(kept))
    with pytest.raises(LoginFailed, match="log in again in"):
        run(main(kept))


def test_users_log_in_by_certificates(world, tmp_path, caplog):
    """As whom they name, if the users have them; not by one that is revoked, which a reload learns."""
    clients = ClientAuthority()
    clients.authority.cert_pem.write_to_path(tmp_path / "ca")
    anns = clients.issue_for(tmp_path / "ann.pem", "ann@example.org")
    clients.issue_for(tmp_path / "eve.pem", "eve@example.org")
    server_pem = authority().issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    server_pem.write_to_path(tmp_path / "server.pem")
    world.users("ann@example.org:{PLAIN}tanstaaf\n")
    text = f'[tls]\ncertificate = "{tmp_path}/server.pem"\nclient_ca = "{tmp_path}/ca"\n'
    named = f'{text}client_name = "email"\n'

    async def by_certificate(server, name):
        context = showing(client_context(), tmp_path / f"{name}.pem")
        async with await connect(*server.addresses[0], tls="starttls", context=context, timeout=PATIENCE) as client:
            await client.login(ClientCertificate())
            return (await client.stat()).count

    async def main():
        async with world.serving(named) as server:
            assert await by_certificate(server, "ann") == 2
            with pytest.raises(LoginFailed):
                await by_certificate(server, "eve")
            clients.revoke(tmp_path / "crl", anns)
            world.write(f'{named}client_crl = "{tmp_path}/crl"\n')
            assert await server.reload()
            with pytest.raises(ConnectionLost):
                await by_certificate(server, "ann")
            assert await log_in(server, "ann@example.org", tls="starttls", context=client_context())
            world.write(text)
            assert await server.reload()
            with pytest.raises(LocalProtocolError, match="EXTERNAL"):
                await by_certificate(server, "ann")

    run(main())
    assert "a valid certificate of eve@example.org was refused" in caplog.text


def test_lists_that_are_out_of_date_are_told_once(world, tmp_path, caplog, monkeypatch):
    """At the start, at a reload, and in between."""
    monkeypatch.setattr(running, "_LISTS_EVERY", 0.01)
    clients = ClientAuthority()
    clients.authority.cert_pem.write_to_path(tmp_path / "ca")
    authority().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    clients.revoke(tmp_path / "crl", days=30)
    text = f'[tls]\ncertificate = "{tmp_path}/server.pem"\nclient_ca = "{tmp_path}/ca"\n'
    tell, looks = SiteServer._tell_lists, []

    def told():
        return len([line for line in caplog.messages if line.startswith("certificates of clients: ")])

    async def main():
        looked = asyncio.Event()

        def look(server):
            tell(server)
            looks.append(told())
            looked.set()

        async def looked_again():
            looked.clear()
            await looked.wait()
            return looks[-1]

        monkeypatch.setattr(SiteServer, "_tell_lists", look)
        async with world.serving(f'{text}client_crl = "{tmp_path}/crl"\n') as server:
            assert await looked_again() == 0
            with monkeypatch.context() as patch:
                patch.setattr(running.time, "time", lambda: 4e9)
                assert await looked_again() == 1
                assert await looked_again() == 1, "once"
                assert await server.reload()
                assert looks[-1] == 2
            clients.revoke(tmp_path / "crl", days=0)
            assert await server.reload()
            assert looks[-1] == 3

    run(main())
    assert "ended on 20" in caplog.text
    assert "all its certificates are refused" in caplog.text


def test_the_settings_of_tls(world, tmp_path):
    made = {name: authority().issue_cert("127.0.0.1", name) for name in ("one.example", "two.example")}
    for name, certificate in made.items():
        (tmp_path / f"{name}.pem").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
        (tmp_path / f"{name}.key").write_bytes(certificate.private_key_pem.bytes())
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    first, second = (f'certificate = "{tmp_path}/{name}.pem"\nkey = "{tmp_path}/{name}.key"\n' for name in made)
    more = f'client_ca = "{tmp_path}/ca.pem"\nminimum = "1.3"\n[tls.names."two.example"]\n{second}'

    async def names(server, name, version=ssl.TLSVersion.TLSv1_3):
        """The names in the certificate that a client gets which asks for a name."""
        context = client_context()
        context.maximum_version = version
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        await reader.readline()
        writer.write(b"STLS\r\n")
        await reader.readline()
        await writer.start_tls(context, server_hostname=name)
        found = writer.get_extra_info("peercert")["subjectAltName"]
        writer.close()
        return {value for _, value in found}

    async def main(text, *, asks):
        async with world.serving(f"[tls]\n{first}{text}") as server:
            assert server._certificates._current.context.verify_mode == asks
            assert "one.example" in await names(server, "one.example")
            if text:
                assert "two.example" in await names(server, "two.example")
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await names(server, "one.example", ssl.TLSVersion.TLSv1_2)
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await names(server, "two.example")
                assert await names(server, "one.example", ssl.TLSVersion.TLSv1_2)

    run(main("", asks=ssl.CERT_NONE))
    run(main(more, asks=ssl.CERT_OPTIONAL))
