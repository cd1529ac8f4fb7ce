"""`pop3proto demo`: a server and a client on this machine, and what they say to each other."""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import connect, serve
from pop3proto.core.commands import Pass, User
from pop3proto.core.text import counted
from pop3proto.fetching.failures import Failure
from pop3proto.maildrops import MaildirStore
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.procedures.server.service import Service

from .trace import Transcript

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pop3proto.blocking import Server

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP: Final = "see it work"
DESCRIPTION: Final = (
    "Serve a small Maildir of ordinary and nasty messages on this machine, fetch it, "
    "and print the dialogue as it goes over the wire."
)

_USER: Final = "ann"
_MESSAGE_LINES: Final = 4  # enough to see what is nasty in each
_LISTING_LINES: Final = 8
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


def _message(subject: str, body: bytes) -> bytes:
    return f"Subject: {subject}\n\n".encode() + body


def _attachment() -> bytes:
    """A message of some 200 KB, as programs make them."""
    octets = bytes(range(256)) * 580
    return (
        b"From: Ann <ann@example.org>\n"
        b"Subject: the photo\n"
        b"MIME-Version: 1.0\n"
        b"Content-Type: image/jpeg\n"
        b"Content-Transfer-Encoding: base64\n"
        b"\n" + base64.encodebytes(octets)
    )


SAMPLES: Final = (
    b"From: Bob <bob@example.org>\nTo: Ann <ann@example.org>\n\nLunch?\n",
    b".A dot before everything else\n\n.\n..profile\n",
    _message("replies that are none", b".\r\n+OK 320 octets\r\n-ERR no such message\r\nQUIT\r\n"),
    _message("line ends", b"one Internet\r\none CR\rone Unix\nand none at the end"),
    _message("octets", b"NUL \0, bell \a, \x1b[31mred\x1b[0m, Latin-1 caf\xe9, UTF-8 caf\xc3\xa9\n"),
    b"",
    _message("one long line", b"la" * 5_000 + b"\n"),
    _attachment(),
)
"""The messages, as they lie in a Maildir: line ends as they come."""


def add_arguments(_parser: ArgumentParser) -> None:
    """Say what this command takes: nothing."""


def run(_arguments: Namespace) -> int:
    """Show a session."""
    password = secrets.token_urlsafe()
    with TemporaryDirectory(prefix="pop3proto-demo-") as folder:
        maildir = _make_maildir(Path(folder) / "Maildir", SAMPLES)
        service = Service(store=MaildirStore({_USER: maildir}), authenticator=MemoryAuthenticator({_USER: password}))
        with serve(service) as server:
            received = _converse(server, password)
        left = len(list((maildir / "new").iterdir()))
    _compare(received, SAMPLES)
    _conclude(len(received), left)
    return 0


def _make_maildir(path: Path, messages: Sequence[bytes]) -> Path:
    ensure_maildir(path)
    for number, message in enumerate(messages, start=1):
        (path / "new" / f"{number}.demo").write_bytes(message)
    return path


def _converse(server: Server, password: str) -> list[bytes]:
    """Hold one session, print it, and return the messages."""
    host, port = server.address
    print(f"A POP3 server on {host} port {port}, and a client. C: is what the client sends, S: the server's answer.")
    transcript = Transcript(print, message_lines=_MESSAGE_LINES, listing_lines=_LISTING_LINES)
    with connect(host, port, tls="none", observer=transcript) as client:
        _headline(
            "The client asks what the server can do, and logs in. (`client.login` chooses the best way by itself.)"
        )
        client.capa()
        client.call(User(_USER))
        client.call(Pass(password))
        _headline("What is there? Each message has a number for this session, and a name that never changes.")
        numbers = list(client.uidl())
        _headline("PIPELINING: the client asks for all messages in one go, and reads the answers in order.")
        print("   Bodies end with a lone dot; a line that begins with a dot gets one more on the way.")
        received = [message for _, message in client.retrieve(numbers)]
        _headline("One is deleted. That happens at QUIT, not before: a client that crashes loses nothing.")
        client.dele(numbers[0])
    return received


def _headline(text: str) -> None:
    print(f"\n-- {text}")


def _compare(received: Sequence[bytes], stored: Sequence[bytes]) -> None:
    wrong = [number for number, pair in enumerate(zip(received, stored, strict=True), 1) if pair[0] != _wire(pair[1])]
    if wrong:
        raise Failure(f"not what was stored has arrived: messages {', '.join(map(str, wrong))}")


def _wire(message: bytes) -> bytes:
    """Return the octets that must arrive: each line ends with CRLF, the last one too (RFC 1939 section 11).

    Written by another method than the library's own.
    """
    octets = _BARE_LF.sub(b"\r\n", message)
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def _conclude(count: int, left: int) -> None:
    print(f"\nEvery one of {counted(count, 'message')} arrived octet for octet, and {left} are left on the server.")
    print("\nTry next, with a Maildir and a file with a password of your own:")
    print("  pop3proto serve MAILDIR --user ann --password-file FILE")
    print("  pop3proto fetch pop://ann@127.0.0.1:1110 COPY --password-file FILE --allow-cleartext")
