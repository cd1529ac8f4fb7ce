"""`pop3proto serve` against strangers: its options, and what it does about its process and files with secrets."""

import asyncio
import resource
import stat
from pathlib import Path

import pytest
import trustme

from pop3proto.cli import main, process, serve
from pop3proto.procedures.server.penalties import LoginPenalty
from pop3proto.procedures.server.service import Service
from tests.cli.test_serve import failure, folder, maildir, running, users  # noqa: F401 - most are fixtures
from tests.helpers.cli_servers import password_file

HARD = 4_096


@pytest.fixture
def limits(monkeypatch):
    """The limits of a process that is not this one: soft and hard."""
    now = {resource.RLIMIT_NOFILE: (256, HARD), resource.RLIMIT_CORE: (resource.RLIM_INFINITY, resource.RLIM_INFINITY)}
    monkeypatch.setattr(resource, "getrlimit", now.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", now.__setitem__)
    return now


@pytest.fixture
def made(monkeypatch, maildir, limits):  # noqa: F811 - it is a fixture
    """A function from options to the service that they make."""

    def made(*options: str) -> Service:
        services: list[Service] = []

        async def serving(service: Service, *_: object) -> None:
            services.append(service)

        monkeypatch.setattr(serve, "_serve", serving)
        secret = password_file(maildir.parent, "secret")
        assert main(["serve", str(maildir), "--user", "ann", "--password-file", str(secret), *options]) == 0
        [service] = services
        return service

    return made


# ------------------------------------------------------------------------------------------------ options


def test_the_options_are_settings_of_the_service(made):
    service = made(
        "--max-sessions-before-login", "7", "--login-penalty", "1.5", "--exempt", "10.0.0.0/8", "--exempt", "::1"
    )
    assert service.most_before_login == 7
    assert service.login_penalty == LoginPenalty(first=1.5, most=1.5)
    assert [str(network) for network in service.exempt] == ["10.0.0.0/8", "::1/128"]
    assert made("--login-penalty", "0").login_penalty is None
    assert made("--login-penalty", "60").login_penalty == LoginPenalty(most=60)


def test_login_methods(made):
    default = made()
    assert not any(name.endswith("-PLUS") for name in default.mechanisms)
    assert (default.user_pass, default.apop) == (True, True)
    few = made("--mechanisms", "plain, SCRAM-SHA-256-PLUS,apop")
    assert list(few.mechanisms) == ["SCRAM-SHA-256-PLUS", "PLAIN"], "in the order of their strength"
    assert (few.user_pass, few.apop) == (False, True)
    assert made("--mechanisms", "USER/PASS").user_pass


@pytest.mark.parametrize(
    "option, value, why",
    [
        ("--mechanisms", "PLAIN,GSSAPI", "no login method 'GSSAPI'; there are SCRAM-SHA-512-PLUS, "),
        ("--mechanisms", "", "it must be a login method, or several, separated by commas"),
        ("--login-penalty", "61", "it must be a number of seconds from 0 to 60"),
        ("--login-penalty", "-1", "it must be a number of seconds from 0 to 60"),
        ("--login-penalty", "nan", "it must be a number of seconds from 0 to 60"),
        ("--login-penalty", "much", "it must be a number of seconds from 0 to 60"),
        ("--exempt", "localhost", "'localhost' does not appear to be an IPv4 or IPv6 network"),
        ("--max-sessions-before-login", "0", "it must be a number, 1 or more"),
    ],
)
def test_options_that_make_no_sense(maildir, capsys, option, value, why):  # noqa: F811 - it is a fixture
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(maildir), "--user", "ann", "--password-file", "f", f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: {why}" in capsys.readouterr().err


@pytest.mark.parametrize("methods", ["OAUTHBEARER", "EXTERNAL", "SCRAM-SHA-256-PLUS", "XOAUTH2,EXTERNAL"])
def test_a_server_at_which_nobody_could_log_in_does_not_begin(maildir, capsys, methods):  # noqa: F811 - it is a fixture
    secret = password_file(maildir.parent, "secret")
    arguments = ["--user", "ann", "--password-file", str(secret), "--mechanisms", methods]
    assert main(["serve", str(maildir), *arguments]) == 2
    words = "nobody could log in: none of these login methods works for ann"
    assert capsys.readouterr().err == f"pop3proto serve: {words}\n"


# ------------------------------------------------------------------------------------------------ the process


def test_no_core_files_are_written(made, limits):
    made("--core-dumps")
    assert limits[resource.RLIMIT_CORE][0] == resource.RLIM_INFINITY
    made()
    assert limits[resource.RLIMIT_CORE] == (0, 0)


@pytest.mark.parametrize(
    "sessions, soft, warned",
    [(96, 256, False), (97, 258, False), (1_000, 2_064, False), (2_016, HARD, False), (2_017, HARD, True)],
)
def test_the_limit_of_open_files_is_raised_or_told(limits, capsys, sessions, soft, warned):
    process.raise_descriptor_limit(sessions)
    assert limits[resource.RLIMIT_NOFILE] == (soft, HARD)
    assert capsys.readouterr().err == (
        f"note: {sessions} sessions need {2 * sessions + 64} open files, and the limit is {HARD}: raise it (ulimit -n) "
        "or lower --max-sessions\n"
        if warned
        else ""
    )


def test_a_limit_that_cannot_be_raised_is_told(limits, monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    process.raise_descriptor_limit(1_000)
    assert "and the limit is 256: " in capsys.readouterr().err
    process.disable_core_dumps()


def test_too_many_sessions_are_told_once(maildir, limits, monkeypatch, capsys):  # noqa: F811 - it is a fixture
    monkeypatch.setattr(serve, "_watch_signals", lambda _: asyncio.Semaphore(1))  # it ends as soon as it serves
    secret = password_file(maildir.parent, "secret")
    options = ["--user", "ann", "--password-file", str(secret), "--port", "0", "--max-sessions", "10000000"]
    assert main(["serve", str(maildir), *options]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("serving ")
    assert err == (
        f"note: 10000000 sessions need 20000064 open files, and the limit is {HARD}: raise it (ulimit -n) or lower "
        "--max-sessions\n"
    )


def test_no_limit_is_enough(limits):
    limits[resource.RLIMIT_NOFILE] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    process.raise_descriptor_limit(1_000_000)
    assert limits[resource.RLIMIT_NOFILE] == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    limits[resource.RLIMIT_NOFILE] = (256, resource.RLIM_INFINITY)
    process.raise_descriptor_limit(1_000_000)
    assert limits[resource.RLIMIT_NOFILE][0] == 2_000_064


def test_it_runs_with_these_limits(maildir):  # noqa: F811 - it is a fixture
    with running(maildir) as (program, _, _):
        limits = Path(f"/proc/{program.pid}/limits")
        if not limits.exists():
            pytest.skip("this system does not tell the limits of a process")
        text = limits.read_text()
    assert " ".join(next(line for line in text.splitlines() if "core file" in line).split()[4:6]) == "0 0"


# ------------------------------------------------------------------------------------------------ files


def warned(capsys: pytest.CaptureFixture[str], what: str, file: Path) -> bool:
    return (
        f"note: all users of this machine can read the {what} file {file}: chmod o-rwx it\n" in capsys.readouterr().err
    )


@pytest.fixture
def not_serving(monkeypatch):
    """Let the command end where it would begin to serve."""

    async def serving(*_: object) -> None:
        pass

    monkeypatch.setattr(serve, "_serve", serving)


@pytest.mark.usefixtures("not_serving")
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("mode, all_can", [(0o600, False), (0o640, False), (0o644, True)])
def test_a_key_that_all_can_read(maildir, capsys, together, mode, all_can):  # noqa: F811 - it is a fixture
    certificate = maildir.parent / "certificate"
    key = certificate if together else maildir.parent / "key"
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    certificate.chmod(0o644)
    with key.open("ab") as file:
        file.write(issued.private_key_pem.bytes())
    key.chmod(mode)
    secret = password_file(maildir.parent, "secret")
    options = ["--user", "ann", "--password-file", str(secret), "--certificate", str(certificate)]
    assert main(["serve", str(maildir), *options, *(() if together else ("--key", str(key)))]) == 0
    note = f"note: all users of this machine can read the private key file {key}: chmod o-rwx it\n"
    assert capsys.readouterr().err == (note if all_can else "")


@pytest.mark.deep
@pytest.mark.usefixtures("not_serving")
def test_files_with_secrets_that_all_can_read(folder, users, tmp_path, capsys):  # noqa: F811 - they are fixtures
    password = password_file(tmp_path)
    commands = [
        ("users", users, ["serve", str(folder), "--users", str(users)]),
        ("password", password, ["serve", str(folder / "ann"), "--user", "ann", "--password-file", str(password)]),
    ]
    for what, file, arguments in commands:
        for mode in (0o600, 0o640, 0o644, 0o604):
            file.chmod(mode)
            assert main(arguments) == 0
            assert warned(capsys, what, file) == bool(mode & stat.S_IROTH)


@pytest.mark.parametrize("what", ["password", "token"])
def test_files_of_secrets_to_fetch_with_that_others_can_read(tmp_path, capsys, what):
    file = tmp_path / "secret"
    file.write_text("secret\n")
    for mode in (0o600, 0o640, 0o644, 0o604):
        file.chmod(mode)
        options = ["--allow-cleartext", f"--{what}-file", str(file)]
        assert main(["fetch", "pop://ann@127.0.0.1:1", str(tmp_path / "got"), *options]) == 75
        note = f"note: other users of this machine may read the {what} in {file} (mode {mode:04o}): chmod 600 it\n"
        assert (note in capsys.readouterr().err) == (mode != 0o600)


def test_a_pipe_is_no_file_that_others_read(tmp_path, capsys):
    process.warn_if_readable(0, Path("/dev/stdin"), "password")
    process.warn_if_readable(Path("/dev/null"), Path("/dev/null"), "password")
    assert capsys.readouterr().err == ""
