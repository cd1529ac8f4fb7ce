"""Sockets of systemd, what it hears of us, and the rights of root."""

import contextlib
import json
import os
import pwd
import socket
import subprocess
import sys

import pytest

from pop3proto import blocking
from pop3proto.serving import Listener, Notifier, check_not_root, drop_privileges, inherited_sockets
from tests.adapters.test_serve import PATIENCE, greeting, service
from tests.helpers.processes import started, wait_until

OURS = 7_777


def listening():
    return socket.create_server(("127.0.0.1", 0))


@contextlib.contextmanager
def descriptors(*sockets):
    """Copies of sockets under descriptors that follow each other, as systemd passes them; yields the first."""
    with contextlib.ExitStack() as stack:
        # From here on the descriptors are free: nothing in this process opens so many.
        first = 500
        for number, sock in enumerate(sockets, first):
            os.dup2(sock.fileno(), number)
            stack.callback(close, number)
        yield first


def close(number):
    with contextlib.suppress(OSError):
        os.close(number)


def test_the_sockets_have_names(monkeypatch):
    with listening() as one, listening() as two, listening() as three, descriptors(one, two, three) as first:
        environment = {"LISTEN_PID": f"{OURS}", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "pop3:pop3s:pop3", "HOME": "/"}
        found = inherited_sockets(environment, process=OURS, first=first)
        names = {name: [sock.getsockname() for sock in sockets] for name, sockets in found.items()}
        assert names == {"pop3": [one.getsockname(), three.getsockname()], "pop3s": [two.getsockname()]}
        assert environment == {"HOME": "/"}, "no child takes them for its own"
        for sockets in found.values():
            assert not any(sock.get_inheritable() for sock in sockets)
        listeners = [Listener(sockets=sockets, name=name) for name, sockets in found.items()]
        with blocking.serve(service(), listeners=listeners) as server:
            assert len(server.addresses) == 3
            assert all(greeting(address).startswith(b"+OK") for address in server.addresses)
        assert all(sock.fileno() < 0 for sockets in found.values() for sock in sockets)


def test_sockets_without_names():
    with listening() as one, descriptors(one) as first:
        environment = {"LISTEN_PID": f"{OURS}", "LISTEN_FDS": "1"}
        [sock] = inherited_sockets(environment, process=OURS, first=first)["unknown"]
        sock.close()


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": f"{OURS}", "LISTEN_FDS": "0"}],
    ids=str,
)
def test_no_sockets(environment):
    assert inherited_sockets(environment, process=OURS) == {}
    assert environment == {}


@pytest.mark.parametrize(
    "variables, message",
    [
        (("x", "1", None), "not numbers that systemd sets"),
        ((f"{OURS}", "-1", None), "not numbers that systemd sets"),
        ((f"{OURS}", "100000", None), "not numbers that systemd sets"),
        ((f"{OURS}", "1", "a:b"), "LISTEN_FDNAMES=a:b does not name 1 sockets"),
        ((f"{OURS}", "2", "a:b"), "the socket 'b' of systemd, descriptor 501, is not a socket"),
    ],
)
def test_what_systemd_would_not_say(variables, message):
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    environment = {name: value for name, value in zip(names, variables, strict=True) if value is not None}
    with listening() as one, descriptors(one) as first:
        with pytest.raises(ValueError, match=message):
            inherited_sockets(environment, process=OURS, first=first)
        os.fstat(first)  # it is not closed
    assert environment == {}


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_does_not_listen(kind):
    with socket.socket(type=kind) as sock, descriptors(sock) as first:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="does not listen for connections: the unit needs ListenStream="):
            inherited_sockets({"LISTEN_PID": f"{OURS}", "LISTEN_FDS": "1"}, process=OURS, first=first)


def test_what_systemd_hears(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE)
        manager.bind("notify")
        notifier = Notifier.of_environment({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}, 1)
        if len(str(notifier.address)) > 100:
            pytest.skip("the temporary folder has too long a name for a socket")
        assert notifier.interval == 15
        for tell in (lambda: notifier.ready("2 listeners"), notifier.reloading, notifier.ready, notifier.alive):
            tell()
        notifier.stopping("ending")
        told = [manager.recv(1_000).decode() for _ in range(5)]
    assert told[0] == "READY=1\nSTATUS=2 listeners"
    assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert told[1].partition("USEC=")[2].isdecimal()
    assert told[2:] == ["READY=1", "WATCHDOG=1", "STOPPING=1\nSTATUS=ending"]
    assert Notifier().interval is None


# ---------------------------------------------------------------------------------------------- rights

ROOT = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give up its rights")

DROPPING = """
import json, os, socket, sys
from pop3proto.serving import check_not_root, drop_privileges

sock = socket.create_server(("127.0.0.1", 0))  # bound as root
try:
    check_not_root()
except PermissionError:
    was_root = True
drop_privileges(*sys.argv[1:])
drop_privileges(*sys.argv[1:])  # nothing is left to do
check_not_root()
back = []
for attempt in (lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        attempt()
    except PermissionError:
        pass
    else:
        back.append(attempt)
try:
    open("/etc/shadow").close()
    back.append("shadow")
except PermissionError:
    pass
sock.listen()
users, groups = os.getresuid(), os.getresgid()
print(json.dumps([was_root, users, groups, sorted(os.getgroups()), len(back)]))
"""


def dropped(*arguments):
    return subprocess.run(
        [sys.executable, "-c", DROPPING, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@ROOT
@pytest.mark.deep
@pytest.mark.parametrize("by_number", [False, True])
@pytest.mark.parametrize("group", [None, "daemon"])
def test_the_rights_of_root_are_given_up(by_number, group):
    nobody = pwd.getpwnam("nobody")
    user = str(nobody.pw_uid) if by_number else "nobody"
    result = dropped(user, *([group] if group else []))
    assert result.returncode == 0, result.stderr
    was_root, users, groups, others, back = json.loads(result.stdout)
    assert was_root
    assert users == [nobody.pw_uid] * 3
    assert len(set(groups)) == 1
    assert (groups[0] == nobody.pw_gid) == (group is None)
    assert 0 not in others
    assert back == 0


@ROOT
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("root",), "the user 'root' is root"),
        (("0",), "the user '0' is root"),
        (("nobody", "root"), "would be that of root"),
        (("nosuchuser",), "there is no user 'nosuchuser'"),
        (("9999999999999999999999",), "there is no user"),
        (("nobody", "nosuchgroup"), "there is no group 'nosuchgroup'"),
    ],
)
def test_users_to_whom_it_cannot_change(arguments, message):
    with pytest.raises(ValueError, match=message):
        drop_privileges(*arguments)
    assert os.getuid() == 0, "nothing has changed"


@ROOT
@pytest.mark.deep
def test_who_is_not_root_cannot_change():
    script = "from pop3proto.serving import drop_privileges; drop_privileges('nobody'); drop_privileges('daemon')"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert "may not go on as 'daemon': start it as root, or as that user" in result.stderr


@ROOT
@pytest.mark.deep
def test_the_group_of_root_is_noticed_among_the_others():
    nobody = pwd.getpwnam("nobody")
    script = (
        "import os\n"
        "from pop3proto.serving import check_not_root, drop_privileges\n"
        f"os.setgroups([0]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})\n"
        "for give_up in (check_not_root, lambda: drop_privileges('nobody')):\n"
        "    try:\n"
        "        give_up()\n"
        "    except PermissionError as error:\n"
        "        print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    first, second = result.stdout.splitlines()
    assert "should not run as root" in first
    assert "and without the group of root" in second


@ROOT
def test_root_is_noticed():
    with pytest.raises(PermissionError, match="should not run as root"):
        check_not_root()


# ------------------------------------------------------------------------------- systemd-socket-activate

SERVING = """
import os, sys
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import serve
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service
from pop3proto.serving import Listener, inherited_sockets

sockets = inherited_sockets()
left = sorted(name for name in os.environ if name.startswith("LISTEN_"))
users = MemoryAuthenticator({"ann": "x"})
service = Service(store=MemoryStore({"ann": []}), authenticator=users, greeting=f"left={left}")
with serve(service, listeners=[Listener(sockets=found, name=name) for name, found in sockets.items()]) as server:
    print(sorted(sockets), flush=True)
    sys.stdin.read()
"""


@pytest.mark.interop
@pytest.mark.deep
def test_systemd_socket_activate(require_program, tmp_path):
    program = require_program("systemd-socket-activate")
    with listening() as one, listening() as two:
        ports = [sock.getsockname()[1] for sock in (one, two)]
    file = tmp_path / "serving.py"
    file.write_text(SERVING)
    command = [program, *(f"--listen=127.0.0.1:{port}" for port in ports), "--fdname=pop3:pop3s"]
    paths = {name: os.environ[name] for name in ("PYTHONPATH", "PATH") if name in os.environ}
    passed = [f"--setenv={name}={value}" for name, value in paths.items()]
    with started(
        *command, *passed, sys.executable, file, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def greeted():
            with contextlib.suppress(ConnectionRefusedError):
                return greeting(("127.0.0.1", ports[0]))

        wait_until(greeted, "it does not listen")
        assert process.stdout is not None
        assert process.stdout.readline() == "['pop3', 'pop3s']\n"
        for port in ports:
            assert greeting(("127.0.0.1", port)).startswith(b"+OK left=[]")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
