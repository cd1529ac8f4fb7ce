"""Cyrus, with POP3 on two ports: as `tools/cyrus.sh` unpacks it."""

import contextlib
import os
import platform
import pwd
import select
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
import trustme
from attrs import frozen

from tests.helpers.programs import PASSWORD, PATIENCE, USER, Program, free_ports

UNPACKED = Path(__file__).resolve().parents[2] / ".cache" / "cyrus"


def _is_there() -> bool:
    """Return whether it was unpacked, for this release of Debian."""
    try:
        return (UNPACKED / "complete").read_text().strip() == platform.freedesktop_os_release().get("VERSION_CODENAME")
    except OSError:
        return False


IS_THERE = _is_there()


@frozen
class Cyrus:
    """Cyrus, with one user, to whom messages are delivered over a socket."""

    program: Program
    port: int
    tls_port: int
    ca_file: Path
    lmtp: Path
    host: str = "127.0.0.1"


@contextlib.contextmanager
def cyrus_serving() -> Generator[Cyrus]:
    """Start Cyrus, with all its files in a temporary folder."""
    # Its user must get at the programs, and the path of its sockets must be short.
    with contextlib.ExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="pop3proto-"))
        cleanup.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        root = folder / "tree"
        shutil.copytree(UNPACKED / "tree", root, symlinks=True)
        machine = f"{platform.machine()}-linux-gnu"
        libraries = f"{root}/usr/lib/{machine}"
        user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # it does not run as root
        env = {
            "CYRUS_USER": user,
            "LD_LIBRARY_PATH": f"{libraries}:{root}/lib/{machine}",
            "SASL_PATH": f"{libraries}/sasl2",
        }
        ports = free_ports()
        _configure(folder, root, ports, env)
        os.mkfifo(folder / "listening")
        ready = os.open(folder / "listening", os.O_RDONLY | os.O_NONBLOCK)
        cleanup.callback(os.close, ready)
        _give_away(folder, root, user)
        program = Program(
            root / "usr/lib/cyrus/bin/master",
            *("-C", folder / "imapd.conf", "-M", folder / "cyrus.conf", "-p", folder / "master.pid"),
            env=env,
        )
        try:
            if not select.select([ready], [], [], PATIENCE)[0]:
                pytest.fail("Cyrus does not start; it writes why to the system's log")
            yield Cyrus(program, *ports, folder / "ca.pem", folder / "run" / "lmtp")
        finally:
            program.stop()


def _give_away(folder: Path, root: Path, user: str) -> None:
    """Give all but the programs to the user that Cyrus runs as."""
    if os.geteuid() == 0:
        owner = pwd.getpwnam(user)
        for path in (folder, *folder.rglob("*")):
            if path != root and root not in path.parents:
                os.chown(path, owner.pw_uid, owner.pw_gid)


def _configure(folder: Path, root: Path, ports: tuple[int, int], env: dict[str, str]) -> None:
    for name in ("conf/socket", "spool", "run"):
        (folder / name).mkdir(parents=True)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "imapd.conf").write_text(f"""
configdirectory: {folder}/conf
proc_path: {folder}/run/proc
mboxname_lockpath: {folder}/run/lock
defaultpartition: default
partition-default: {folder}/spool
admins: cyrus
autocreate_users: anyone
autocreate_post: yes
autocreate_quota: 0
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {folder}/sasldb2
sasl_mech_list: PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256
allowplaintext: yes
allowapop: yes
popminpoll: 0
servername: localhost
tls_server_cert: {folder}/server.pem
tls_server_key: {folder}/server.pem
lmtpsocket: {folder}/run/lmtp
""")
    pop3d = f"{root}/usr/lib/cyrus/bin/pop3d -C {folder}/imapd.conf"
    # It is run once all ports are open.
    (folder / "ready").write_text(f"#!/bin/sh\necho >{folder}/listening\nexec {pop3d}\n")
    (folder / "ready").chmod(0o755)
    (folder / "cyrus.conf").write_text(f"""
START {{
  recover cmd="{root}/usr/lib/cyrus/bin/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  lmtp cmd="{root}/usr/lib/cyrus/bin/lmtpd -C {folder}/imapd.conf -a" listen="{folder}/run/lmtp" prefork=0
  pop3s cmd="{pop3d} -s" listen="127.0.0.1:{ports[1]}" prefork=0
  pop3 cmd="{folder}/ready" listen="127.0.0.1:{ports[0]}" prefork=1
}}
EVENTS {{
}}
""")
    subprocess.run(
        [root / "usr/sbin/saslpasswd2", "-p", "-c", "-f", folder / "sasldb2", "-u", "localhost", USER],
        input=PASSWORD.encode(),
        env={**os.environ, **env},
        timeout=PATIENCE,
        check=True,
    )
