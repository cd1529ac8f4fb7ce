"""Every example of the README runs, as it stands there, against servers on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import serve
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service
from pop3proto.testing import pop3_server

README = Path(__file__).parent.parent / "README.md"
SECTIONS = re.split(r"^###? ", README.read_text("utf-8"), flags=re.MULTILINE)
EXAMPLES = [
    (section.partition("\n")[0], code)
    for section in SECTIONS
    for code in re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
]
MAIL = [b"Subject: one\n\n.one\n", b"Subject: two\n\ntwo\n"]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A maildrop at what the examples take for pop.example.org, port 995; its certificate is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.chdir(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pop.example.org").configure_cert(context)
    store = MemoryStore({"ann": MAIL})
    service = Service(store=store, authenticator=MemoryAuthenticator({"ann": "tanstaaf"}))
    with serve(service, tls="implicit", context=context) as server:
        connect = socket.create_connection

        def here(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
            assert address == ("pop.example.org", 995)
            return connect(server.address, *args, **kwargs)

        monkeypatch.setattr(socket, "create_connection", here)
        create = asyncio.BaseEventLoop.create_connection

        def async_here(loop: asyncio.BaseEventLoop, protocol: Any, host: str, port: int, **kwargs: Any) -> Any:
            assert (host, port) == ("pop.example.org", 995)
            return create(loop, protocol, *server.address, **kwargs)

        monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", async_here)
        yield store


def example(heading: str) -> str:
    found = [code for where, code in EXAMPLES if where == heading]
    assert len(found) == 1
    return found[0]


def test_every_example_is_run_by_a_test_below() -> None:
    assert [heading for heading, _ in EXAMPLES] == [
        "The core, in a socket loop",
        "A client",
        "To delete what was stored",
        "asyncio and trio",
        "A server",
        "To test mail code of your own",
        "Dot-stuffing alone",
    ]
    assert README.read_text("utf-8").count("```python") == len(EXAMPLES)


def test_the_core_in_a_socket_loop(store: MemoryStore, tmp_path: Path) -> None:
    code = example("The core, in a socket loop")
    assert len(code.splitlines()) <= 20
    exec(compile(code, str(README), "exec"), {})
    assert (tmp_path / "message.eml").read_bytes() == b"Subject: one\r\n\r\n.one\r\n"
    assert len(store.messages("ann")) == 2


def test_a_client(store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example("A client"), str(README), "exec"), {})
    assert "MaildropStatus(count=2, octets=43)" in capsys.readouterr().out
    assert (tmp_path / "message.eml").read_bytes() == b"Subject: one\r\n\r\n.one\r\n"
    assert len(store.messages("ann")) == 1


def test_asyncio_and_trio(store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    code = example("asyncio and trio")
    exec(compile(code, str(README), "exec"), {})
    assert capsys.readouterr().out == "1 22\n2 21\n"
    assert len(store.messages("ann")) == 2


def test_to_delete_what_was_stored(store: MemoryStore) -> None:
    exec(compile(example("To delete what was stored"), str(README), "exec"), {})
    assert store.messages("ann") == []


def test_to_test_mail_code_of_your_own() -> None:
    names: dict[str, Any] = {}
    exec(compile(example("To test mail code of your own"), str(README), "exec"), names)
    with contextlib.ExitStack() as servers:
        names["test_my_client"](lambda *arguments: servers.enter_context(pop3_server(*arguments)))


def test_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example("A server"), str(README), "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.startswith("listening on ('127.0.0.1', ")


def test_dot_stuffing_alone() -> None:
    exec(compile(example("Dot-stuffing alone"), str(README), "exec"), {})
