"""`install`, and `python -m pop3proto.poplib`: programs that use `poplib` run unchanged."""

import importlib
import os
import poplib as theirs
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from pop3proto import poplib as ours
from pop3proto.poplib.__main__ import main
from pop3proto.testing import PASSWORD, pop3_server
from tests.test_exports import run
from tests.test_imports import NEEDED, loaded_by, seldom

CLASSES = {name: getattr(theirs, name) for name in ("POP3", "POP3_SSL", "error_proto")}
PROGRAM = """
import poplib
import sys
from poplib import POP3, error_proto

def main():
    mailbox = POP3(sys.argv[1], int(sys.argv[2]))
    try:
        mailbox.user("ann")
        mailbox.pass_(sys.argv[3])
    except error_proto as error:
        mailbox.close()
        sys.exit(f"no: {error.args[0].decode()}")
    print(poplib.__name__, *mailbox.stat())
    mailbox.quit()

if __name__ == "__main__":
    main()
"""


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    ours.uninstall()
    assert sys.modules["poplib"] is theirs
    assert {name: getattr(theirs, name) for name in CLASSES} == CLASSES


def test_from_now_on_poplib_is_ours():
    ours.install()
    assert importlib.import_module("poplib") is ours
    namespace = {}
    exec("from poplib import POP3, error_proto", namespace)
    assert namespace["POP3"] is theirs.POP3 is ours.POP3  # a module that has imported the other sees ours
    assert namespace["error_proto"] is CLASSES["error_proto"]


def test_verification_may_be_left_to_programs_that_pass_no_context():
    with pop3_server({"ann": []}, tls="implicit") as server:
        ours.install(verify=False)
        with ours.POP3_SSL(server.host, server.port) as client:
            assert client.sock.context.verify_mode is ssl.CERT_NONE
        ours.uninstall()
        with pytest.raises(ours.CertificateRefused):
            ours.POP3_SSL(server.host, server.port)


@pytest.fixture
def program(tmp_path, monkeypatch):
    script = tmp_path / "a_program.py"
    script.write_text(PROGRAM)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    return script


@pytest.mark.parametrize("how", ["file", "name", "module"])
def test_a_program_runs_unchanged(program, capsys, how):
    words = {"file": [str(program)], "name": ["a_program.py"], "module": ["-m", "a_program"]}[how]
    with pop3_server({"ann": [b"one\n"]}) as server:
        main([*words, server.host, str(server.port), PASSWORD])
        assert capsys.readouterr().out == "pop3proto.poplib 1 5\n"
        with pytest.raises(SystemExit, match=r"no: -ERR \[AUTH\]"):
            main(["--insecure", *words, server.host, str(server.port), "wrong"])


@pytest.mark.deep
@pytest.mark.parametrize("flags", [[], ["-P"]])
def test_a_program_finds_what_python_finds_for_it(tmp_path, flags):
    """What is beside it, and not what is in the current directory, which may be of others."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    for place in (here, there):
        (place / "beside.py").write_text(f"print({place.name!r})")
    (here / "getpass.py").write_text("print('of others')")
    (there / "program.py").write_text("import getpass\ntry: import beside\nexcept ImportError: print('none')\n")
    program = "../there/program.py"
    env = {**os.environ, "PYTHONPATH": str(Path(ours.__file__).parents[2])}
    said = [
        subprocess.run(
            [sys.executable, *flags, *words], cwd=here, env=env, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for words in ([program], ["-m", "pop3proto.poplib", program])
    ]
    assert said[0] == said[1] == ("none\n" if flags else "there\n")


def test_it_tells_how_it_is_used(capsys):
    main(["--help"])
    assert "python -m pop3proto.poplib [--insecure] PROGRAM" in capsys.readouterr().out
    for wrong in ([], ["--insecure"], ["-m"], ["--no-such"]):
        with pytest.raises(SystemExit, match="usage"):
            main(wrong)
    with pytest.raises(SystemExit, match="there is no program 'nowhere'"):
        main(["nowhere"])


def test_it_works_where_python_has_no_poplib():
    code = """
import sys
sys.modules["poplib"] = None
from pop3proto import poplib
assert poplib.POP3.__mro__[-2].__module__ == "pop3proto.poplib.standard"
assert issubclass(poplib.POP3_SSL, poplib.POP3)
assert poplib.CommandRefused(b"-ERR [AUTH] no").code.name == "AUTH"
poplib.install()
import poplib as installed
assert installed is poplib
poplib.uninstall()
print(issubclass(poplib.CommandRefused, poplib.error_proto))
"""
    assert run(code).strip() == "True"


def test_an_import_loads_little():
    loaded = loaded_by("import pop3proto.poplib", beyond=f"{NEEDED}, hashlib, poplib, runpy")
    assert not {name for name in loaded if name.partition(".")[0] in {"asyncio", "trio"}}
    assert not {name for name in loaded if name.startswith(("pop3proto.blocking", "pop3proto.procedures.client.login"))}
    assert seldom(loaded) == set()


def test_classes_that_a_program_has_taken_before_stay_as_they_are():
    taken, plain = CLASSES["POP3_SSL"], CLASSES["POP3"]
    ours.install()
    with pop3_server({"ann": [b"one\n"]}, tls="implicit") as server:
        client = taken(server.host, server.port, context=server.client_context)
        assert type(client) is taken
        assert client.user("ann") + client.pass_(PASSWORD)
        assert client.stat() == (1, 5)
        client.quit()
    with pop3_server({"ann": []}) as server:
        client = plain(server.host, server.port)
        assert client.getwelcome().startswith(b"+OK")
        client.close()
