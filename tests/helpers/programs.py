"""The programs that interop tests talk to: started on loopback, ended by process id, and heard when they fail."""

import base64
import contextlib
import grp
import hashlib
import hmac
import io
import json
import os
import pwd
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trustme
from attrs import frozen

from pop3proto.cli import main
from tests.helpers.corpus import make_maildir
from tests.helpers.depth import DEEP

USER = "ann"
PASSWORD = "tanstaaf"
POP3PROTO = (sys.executable, "-m", "pop3proto")

PATIENCE = 60
"""Seconds after which a program that says nothing is taken to hang. Nothing waits that long unless it is broken."""

MECHANISMS = ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "apop")
"""All by which Debian's Dovecot takes a password, and our client can say it."""

TOKEN_MECHANISMS = ("oauthbearer", "xoauth2")
"""Those by which it takes a token, as `Dovecot.token` makes them."""

_GRACE = 5


class Program:
    """A process that a test has started, and all that it says, errors too."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.command = [str(word) for word in command]
        self._said: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,  # a group of its own: what it starts itself can be ended with it
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def said(self) -> str:
        """All that it has said so far."""
        with self._news:
            return "".join(self._said)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_for(self, pattern: str) -> re.Match[str] | None:
        """Wait until it says something that holds the pattern; None if it ended without."""
        until = time.monotonic() + PATIENCE
        with self._news:
            while (match := re.search(pattern, "".join(self._said))) is None and not self._ended:
                if not self._news.wait(until - time.monotonic()):
                    pytest.fail(f"{self.command} never said {pattern!r}, but:\n{''.join(self._said)}")
        return match

    def stop(self) -> int:
        """End it and what it has started, and return its status."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        # Its own children have its output open. When that ends, the last of them is gone. Those of Dovecot stay for
        # half a minute if a session is still open, as after a test that failed.
        self._listener.join(_GRACE)
        if self._listener.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._listener.join(_GRACE)
        return self._process.returncode

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._news:
                    self._said.append(line.decode(errors="backslashreplace"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


Ended: TypeAlias = subprocess.CompletedProcess[str]


def run(*command: str | Path, status: int | None = 0, env: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end; the test fails if it ends with another status (None: any), and shows all."""
    words = [str(word) for word in command]
    try:
        ended = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=PATIENCE,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{words} did not end; it said:\n{error.stdout!r}\n{error.stderr!r}")
    if status is not None and ended.returncode != status:
        pytest.fail(f"{words} ended with {ended.returncode}, not {status}; it said:\n{ended.stdout}{ended.stderr}")
    return ended


def run_script(script: Path, *arguments: str | Path, apart: bool = False, **options: Any) -> Ended:
    """Run a Python program to its end, as `run` does; outside a deep run, here, where all is imported already.

    Args:
        apart: in a process of its own in every run.
        options: those of `run`.
    """
    if DEEP or apart:
        return run(sys.executable, script, *arguments, **options)
    words = [str(word) for word in (script, *arguments)]
    return _run_here(lambda: runpy.run_path(words[0], run_name="__main__"), words, **options)


def run_pop3proto(*arguments: str | Path, apart: bool = False, **options: Any) -> Ended:
    """Run the command line to its end; where, and with which arguments, as `run_script`."""
    if DEEP or apart:
        return run(*POP3PROTO, *arguments, **options)
    words = [str(word) for word in arguments]
    return _run_here(lambda: sys.exit(main(words)), words, **options)


def _run_here(
    program: Callable[[], object],
    words: list[str],
    *,
    status: int | None = 0,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program as `run` does, in this process; if it raises, its status and what it says are those of Python."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    ended: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        try:
            program()
        except SystemExit as exit_:
            ended = exit_.code
            if isinstance(ended, str):
                print(ended, file=sys.stderr)  # noqa: T201 - what Python does with it
        except Exception:  # noqa: BLE001 - whatever it is, it has ended the program
            traceback.print_exc()
            ended = 1
    returned = 0 if ended is None else ended if isinstance(ended, int) else 1
    for stream in (out, err):
        stream.seek(0)
    said, failed = out.read(), err.read()  # line ends as a pipe in text mode has them
    if status is not None and returned != status:
        pytest.fail(f"{words} ended with {returned}, not {status}; it said:\n{said}{failed}")
    return Ended(words, returned, said, failed)


@frozen
class Pop3proto:
    """`pop3proto serve`, in a process of its own."""

    program: Program
    maildir: Path
    port: int
    host: str = "127.0.0.1"


@contextlib.contextmanager
def pop3proto_serving(folder: Path, messages: Iterable[bytes]) -> Generator[Pop3proto]:
    """Serve a new Maildir, in a folder, of these messages."""
    maildir = make_maildir(folder / "served", messages)
    password_file = folder / "password"
    password_file.write_text(f"{PASSWORD}\n", encoding="ascii")
    password_file.chmod(0o600)
    password_file.chmod(0o600)
    program = Program(
        *POP3PROTO, *("serve", maildir), *("--user", USER), *("--password-file", password_file), *("--port", "0")
    )
    try:
        ready = program.wait_for(r" on 127\.0\.0\.1 port (\d+)")
        if ready is None:
            pytest.fail(f"pop3proto serve did not start:\n{program.said}")
        yield Pop3proto(program, maildir, int(ready[1]))
    finally:
        program.stop()


@frozen
class Dovecot:
    """Dovecot, with POP3 on two ports. Every user exists, has the same password, and a maildrop in a folder."""

    program: Program
    port: int
    tls_port: int
    ca_file: Path
    homes: Path
    token_key: bytes
    host: str = "127.0.0.1"

    def token(self, user: str, *, seconds: float = 3_600) -> str:
        """Return an access token of a user, valid for so long: a JSON Web Token (RFC 7519) that our key has signed."""
        now = time.time()
        claims = {"sub": user, "iat": int(now) - 60, "exp": int(now + seconds)}
        signed = b".".join(_url_safe(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return (signed + b"." + _url_safe(hmac.digest(self.token_key, signed, hashlib.sha256))).decode()

    def deliver(self, user: str, messages: Iterable[bytes]) -> Path:
        """Give a new user messages, and return the Maildir that they are in."""
        home = self.homes / user
        home.mkdir(mode=0o700)
        maildir = make_maildir(home / "Maildir", messages)
        if os.geteuid() == 0:
            owner = _mail_user()
            for path in (home, *home.rglob("*")):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        return maildir


# Dovecot 2.3 stuffs no dot that is the very first octet of a message. A message that is nothing but a line of one dot
# ends before it has begun, so that nobody can tell where the next answer starts.
ENDLESS_AT_DOVECOT = "lone dot and nothing else"


def as_dovecot_sends(expected: bytes) -> bytes:
    """What Dovecot 2.3 makes of a message: the same, but for two kinds."""
    if expected.startswith(b"."):
        return expected[1:]  # the dot that it does not stuff is taken for stuffing
    return expected or b"\r\n"  # it has at least one line


def _url_safe(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


@contextlib.contextmanager
def dovecot_serving(
    dovecot: str,
    mechanisms: Sequence[str] = ("plain",),
    *,
    stls: bool = True,
    password: str = PASSWORD,
    client_ca: bytes = b"",
) -> Generator[Dovecot]:
    """Start Dovecot, with a configuration of its own and all its files in a temporary folder.

    It announces these mechanisms, and takes the tokens that `Dovecot.token` makes. Without `stls` it has no TLS. The
    password of all users may be given as a hash, with its scheme before it. With an authority of clients, PEM, users
    log in by certificates (`external`), which have the user's name as their common name.
    """
    # Not in pytest's folder, which is closed to the users that Dovecot gives its processes to; and its path must be
    # short, for the sake of the sockets in it.
    folder = Path(tempfile.mkdtemp(prefix="pop3proto-"))
    try:
        folder.chmod(0o755)
        (folder / "homes").mkdir(mode=0o755)
        ca = trustme.CA()
        ca.cert_pem.write_to_path(folder / "ca.pem")
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        token_key = os.urandom(32)
        key_file = folder / "keys" / "default" / "HS256" / "default"  # whose, for what, and which
        key_file.parent.mkdir(parents=True, mode=0o755)
        key_file.write_bytes(base64.b64encode(token_key))
        if client_ca:
            (folder / "clients.pem").write_bytes(client_ca)
        program, ports = _start_dovecot(dovecot, folder, mechanisms, stls=stls, password=password)
        try:
            yield Dovecot(program, *ports, folder / "ca.pem", folder / "homes", token_key)
        finally:
            program.stop()
    finally:
        shutil.rmtree(folder)


def _start_dovecot(
    dovecot: str, folder: Path, mechanisms: Sequence[str], *, stls: bool, password: str
) -> tuple[Program, tuple[int, int]]:
    modern = not run(dovecot, "--version").stdout.startswith(("2.2", "2.3"))
    configuration = folder / "dovecot.conf"
    for _ in range(5):  # somebody else may take a free port before Dovecot does
        ports = free_ports()
        text = _dovecot_configuration(folder, *ports, mechanisms, modern=modern)
        if password != PASSWORD:
            for key in ("password = ", "password="):
                text = text.replace(f"{key}{PASSWORD}\n", f"{key}{password}\n")
        if (folder / "clients.pem").exists():
            text += _certificates_of_clients(folder, modern=modern)
        if not stls:
            text = text.replace("\nssl = yes\n", "\nssl = no\n")
        configuration.write_text(text, encoding="utf-8")
        program = Program(dovecot, "-F", "-c", configuration)
        try:
            started = program.wait_for("starting up")  # it says so when it listens
        except BaseException:
            program.stop()
            raise
        if started is not None:
            return program, ports
        program.stop()
        if "Address already in use" not in program.said:
            break
    if os.geteuid() != 0:  # who may lack what it needs, in a way that is not our business
        pytest.skip(f"Dovecot does not start for this user:\n{program.said}")
    pytest.fail(f"Dovecot does not start:\n{program.said}")


def _dovecot_configuration(folder: Path, port: int, tls_port: int, mechanisms: Sequence[str], *, modern: bool) -> str:
    root = os.geteuid() == 0
    mail = _mail_user()
    if root:
        users = ""  # those that its package has made
    else:
        me, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
        users = f"""
default_internal_user = {me}
default_internal_group = {group}
default_login_user = {me}
""" + "".join(f"service {name} {{\n  chroot =\n}}\n" for name in ("anvil", "pop3-login", "stats"))
    if modern:  # since 2.4; checked against its manual only
        dialect = f"""
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = ~/Maildir
mail_home = {folder}/homes/%{{user}}
ssl_server_cert_file = {folder}/server.pem
ssl_server_key_file = {folder}/server.pem
oauth2 {{
  introspection_mode = local
  username_attribute = sub
  oauth2_local_validation {{
    dict fs {{
      fs posix {{
        prefix = {folder}/keys/
      }}
    }}
  }}
}}
passdb oauth2 {{
  mechanisms_filter = {" ".join(TOKEN_MECHANISMS)}
}}
passdb static {{
  mechanisms_filter = {" ".join(MECHANISMS)}
  password = {PASSWORD}
}}
userdb static {{
}}
"""
    else:
        (folder / "oauth2.conf").write_text(f"""
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = sub
""")
        dialect = f"""
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mail_home = {folder}/homes/%u
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.pem
passdb {{
  driver = oauth2
  mechanisms = {" ".join(TOKEN_MECHANISMS)}
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = {" ".join(MECHANISMS)}
  args = password={PASSWORD}
}}
userdb {{
  driver = static
}}
"""
    return (
        dialect.lstrip()  # the version must come first
        + users
        + f"""
protocols = pop3
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
mail_uid = {mail.pw_uid}
mail_gid = {mail.pw_gid}
first_valid_uid = {mail.pw_uid}
first_valid_gid = {mail.pw_gid}
ssl = yes
auth_mechanisms = {" ".join(mechanisms)}
auth_failure_delay = 0
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
# No penalty for an address from which wrong passwords come.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
    )


def _certificates_of_clients(folder: Path, *, modern: bool) -> str:
    if modern:  # as above
        return f"""
ssl_server_ca_file = {folder}/clients.pem
ssl_server_request_client_cert = yes
ssl_server_require_crl = no
ssl_server_cert_username_field = commonName
auth_ssl_username_from_cert = yes
passdb certificates {{
  driver = static
  mechanisms_filter = external
  fields {{
    nopassword = yes
  }}
}}
"""
    return f"""
ssl_ca = <{folder}/clients.pem
ssl_verify_client_cert = yes
ssl_require_crl = no
ssl_cert_username_field = commonName
auth_ssl_username_from_cert = yes
passdb {{
  driver = static
  mechanisms = external
  args = nopassword
}}
"""


def _mail_user() -> pwd.struct_passwd:
    """Whose mail it is: Dovecot does not touch root's."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def free_ports() -> tuple[int, int]:
    """Return two ports of loopback that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
