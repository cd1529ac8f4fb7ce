"""Delivery asks real filters: ClamAV, Rspamd and SpamAssassin, each with rules of its own that need no network."""

import contextlib
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pop3proto.serving import DeliverLater, DeliveryRefused, Filtering, deliver_message
from tests.helpers.processes import started, wait_until
from tests.helpers.programs import free_ports

pytestmark = [pytest.mark.interop, pytest.mark.deep]

HAM = b"From: ann@example.org\nTo: bob@example.org\nSubject: dinner\nMessage-ID: <1@example.org>\n\nAt eight?\n"
GTUBE = HAM + b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n"
WORM = HAM + b"X-THE-WORM-X\n"
USER = "nobody" if os.geteuid() == 0 else ""


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that a filter may write to, under another user, too; its path is short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="pop3proto-"))
    path.chmod(0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def deliver(folder: Path, octets: bytes, **filters: Any) -> str:
    """Deliver a message; return the folder that it is in."""
    maildir = folder / "Maildir"
    path = deliver_message(io.BytesIO(octets), maildir, user="ann", filtering=Filtering(**filters)).path
    assert path.read_bytes() == octets
    return str(path.parent.relative_to(maildir))


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def takes(place: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(place))
        return True
    return False


def test_clamav(require_program: Any, folder: Path) -> None:
    (folder / "db").mkdir()
    signature = b"X-THE-WORM-X".hex()
    (folder / "db/test.ndb").write_text(f"Tanstaaf.Worm:0:*:{signature}\n")
    place = folder / "clamd.sock"
    (folder / "clamd.conf").write_text(
        f"LocalSocket {place}\nDatabaseDirectory {folder}/db\nForeground yes\nTemporaryDirectory {folder}\n"
        "StreamMaxLength 1M\n"
    )
    with (
        (folder / "said").open("w") as said,
        started(require_program("clamd"), "-c", folder / "clamd.conf", stdout=said, stderr=said),
    ):
        wait_until(lambda: takes(place), "clamd does not listen")  # its socket is there before
        assert deliver(folder, HAM, clamd=str(place)) == "new"
        with pytest.raises(DeliveryRefused, match=r"virus: Tanstaaf\.Worm"):
            deliver(folder, WORM, clamd=str(place))
        assert deliver(folder, WORM, clamd=str(place), virus="folder") == ".Junk/new"
        with pytest.raises(DeliverLater, match=r"size limit exceeded|reset by peer|Broken pipe"):
            deliver(folder, HAM + b"x\n" * 1_000_000, clamd=str(place))
    place.unlink(missing_ok=True)
    with pytest.raises(DeliverLater, match="cannot be reached"):
        deliver(folder, HAM, clamd=str(place))


def test_rspamd(require_program: Any, folder: Path) -> None:
    port, _ = free_ports()
    (folder / "tld").write_text("// few, so that it starts soon\ncom\norg\n")
    (folder / "rspamd.conf").write_text(f"""
options {{
  pidfile = "{folder}/pid"; tempdir = "{folder}"; cache_file = "{folder}/cache"; hs_cache_dir = "{folder}";
  history_file = "{folder}/history"; control_socket = "{folder}/control mode=0600"; url_tld = "{folder}/tld";
  filters = ""; dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "warning"; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
""")
    words = ["-u", USER, "-g", "nogroup"] if USER else []
    with (
        (folder / "said").open("w") as said,
        started(
            require_program("rspamd"), "-f", *words, "-c", folder / "rspamd.conf", stdout=said, stderr=said
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: listens(port), "rspamd does not listen")
        assert deliver(folder, HAM, rspamd=url) == "new"
        assert deliver(folder, GTUBE, rspamd=url) == ".Junk/new"
        with pytest.raises(DeliveryRefused, match="junk: reject, score 15"):
            deliver(folder, GTUBE, rspamd=url, junk="refuse")
        process.terminate()  # so that its worker ends, too
        process.wait(60)
    with pytest.raises(DeliverLater, match="cannot be reached"):
        deliver(folder, HAM, rspamd=url)


def test_spamassassin(require_program: Any, folder: Path) -> None:
    port, _ = free_ports()
    words = ["-u", USER] if USER else []
    with (folder / "said").open("w") as said, started(
        require_program("spamd"), "-L", "-x", "-m", "1", "--listen", f"127.0.0.1:{port}", *words, "-s", "null",
        stdout=said, stderr=said, env={**os.environ, "HOME": str(folder)},
    ) as process:  # fmt: skip
        place = f"127.0.0.1:{port}"
        wait_until(lambda: listens(port), "spamd does not listen")
        assert deliver(folder, HAM, spamd=place) == "new"
        assert deliver(folder, GTUBE, spamd=place) == ".Junk/new"
        process.terminate()
        process.wait(60)
    with pytest.raises(DeliverLater, match="cannot be reached"):
        deliver(folder, HAM, spamd=place)


def test_spamc_is_a_program_like_any_other(require_program: Any, folder: Path) -> None:
    """`spamc -c` ends with 1 for junk, as programs do that fail: it is a verdict only behind a few lines of shell."""
    spamc, port = require_program("spamc"), free_ports()[0]
    command = (spamc, "-c", "-x", "-d", "127.0.0.1", "-p", str(port), "--connect-retries=1")
    with pytest.raises(DeliverLater, match="ended with status"):
        deliver(folder, HAM, command=command)
