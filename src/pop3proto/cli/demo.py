"""`pop3proto demo`: run a server and a client on this machine and print their dialogue."""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING, Final

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import connect, serve
from pop3proto.core.commands import Pass, User
from pop3proto.core.text import counted
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.server.service import Service

from .failures import Failure
from .status_help import add_statuses
from .trace import Transcript

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pop3proto.blocking import Server

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Serve a few ordinary and unusual messages on this machine, fetch them, and print the dialogue between client "
    "and server."
)

_USER: Final = "ann"
_MESSAGE_LINES: Final = 4  # enough to show what is unusual in each message
_LISTING_LINES: Final = 8
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


def _message(subject: str, body: bytes) -> bytes:
    return f"Subject: {subject}\n\n".encode() + body


def _attachment() -> bytes:
    """Return a message of about 200 KB with a base64 attachment."""
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
    _message("lines that look like replies", b".\r\n+OK 320 octets\r\n-ERR no such message\r\nQUIT\r\n"),
    _message("line ends", b"one Internet\r\none CR\rone Unix\nand none at the end"),
    _message("octets", b"NUL \0, bell \a, \x1b[31mred\x1b[0m, Latin-1 caf\xe9, UTF-8 caf\xc3\xa9\n"),
    b"",
    _message("one long line", b"la" * 5_000 + b"\n"),
    _attachment(),
)
"""The messages as they are stored, with various line ends."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the exit statuses to the help of the command, which has no arguments."""
    add_statuses(parser)


def run(_arguments: Namespace) -> int:
    """Run the command: show a session."""
    password = secrets.token_urlsafe()
    store = MemoryStore({_USER: SAMPLES})
    service = Service(store=store, authenticator=MemoryAuthenticator({_USER: password}))
    with serve(service) as server:
        received = _converse(server, password)
    _compare(received, SAMPLES)
    _conclude(len(received), len(store.messages(_USER)))
    return 0


def _converse(server: Server, password: str) -> list[bytes]:
    """Run one session, print it, and return the messages."""
    host, port = server.address
    print(f"A POP3 server on {host} port {port}, and a client. C: client, S: server.")
    transcript = Transcript(print, message_lines=_MESSAGE_LINES, listing_lines=_LISTING_LINES)
    with connect(host, port, tls="none", observer=transcript) as client:
        _headline(
            "The client asks for the server's capabilities and logs in. (`client.login` would choose the best method.)"
        )
        client.capa()
        client.call(User(_USER))
        client.call(Pass(password))
        _headline("UIDL lists the messages: the number is valid in this session, the unique id never changes.")
        numbers = list(client.uidl())
        _headline("PIPELINING: the client sends all RETR commands at once and reads the answers in order.")
        print("   A message ends with a single dot; a line that begins with a dot gets a second dot on the wire.")
        received = [message for _, message in client.retrieve(numbers)]
        _headline("DELE marks a message. The server deletes it at QUIT, so a client that crashes loses nothing.")
        client.dele(numbers[0])
    return received


def _headline(text: str) -> None:
    print(f"\n-- {text}")


def _compare(received: Sequence[bytes], stored: Sequence[bytes]) -> None:
    wrong = [number for number, pair in enumerate(zip(received, stored, strict=True), 1) if pair[0] != _wire(pair[1])]
    if wrong:
        raise Failure(f"messages differ from what was stored: {', '.join(map(str, wrong))}")


def _wire(message: bytes) -> bytes:
    """Return the octets that must arrive: every line, the last too, ends with CRLF (RFC 1939 section 11).

    This does not use the library's own encoder, so that it can check it.
    """
    octets = _BARE_LF.sub(b"\r\n", message)
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def _conclude(count: int, left: int) -> None:
    print(f"\nAll {counted(count, 'message')} arrived octet for octet; {left} are left on the server.")
    print("\nTo try it with your own Maildir and a file that holds a password:")
    print("  pop3proto serve MAILDIR --user ann --password-file FILE")
    print("  pop3proto fetch pop://ann@127.0.0.1:1110 COPY --password-file FILE --allow-cleartext")
