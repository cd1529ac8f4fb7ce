"""Serve a folder of .eml files to one user: a store of one's own, wholly written out.

POP3_PASSWORD=tanstaaf python server_own_maildrop.py outbox ann 127.0.0.1 1110
"""

import argparse
import hashlib
import os
import threading
from contextlib import suppress
from getpass import getpass
from pathlib import Path

from pop3proto import BodyEncoder, Capabilities, UniqueId
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import serve
from pop3proto.procedures import InUse, Maildrop, Message, MessageStream, Service, SessionInfo


class Folder:
    """A `MaildropStore`: the files, and the lock of the session that has them open."""

    blocks = True  # it reads a disk: asyncio and trio call it in worker threads

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def open(self, user: str, session: SessionInfo) -> Maildrop:
        if not self._lock.acquire(blocking=False):
            raise InUse
        try:
            return Snapshot(sorted(self._path.glob("*.eml")), self._lock)
        except BaseException:
            self._lock.release()
            raise

    def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()  # the server's own are enough


class Snapshot:
    """A `Maildrop`: the files as they were when the session began; message n is the one at n - 1."""

    def __init__(self, files: list[Path], lock: threading.Lock) -> None:
        self._files, self._lock = files, lock
        self.messages = [describe(file) for file in files]

    def open(self, number: int) -> MessageStream:
        return self._files[number - 1].open("rb")  # what this raises ends the session, and no other notices

    def correct(self, number: int, octets: int) -> None:
        self.messages[number - 1] = Message(octets, self.messages[number - 1].unique_id)

    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        for number in deleted:
            self._files[number - 1].unlink(missing_ok=True)

    def close(self) -> None:
        self._lock.release()


def describe(file: Path) -> Message:
    """Count what goes over the wire, line ends as CRLF, and name the message by its file and what is in it."""
    stored, encoder = file.read_bytes(), BodyEncoder()
    encoder.feed(stored)
    encoder.finish()
    return Message(encoder.octets, UniqueId(hashlib.sha256(os.fsencode(file.name) + b"\0" + stored).hexdigest()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a folder of .eml files.")
    for name, kind in {"folder": Path, "user": str, "host": str, "port": int}.items():
        parser.add_argument(name, type=kind)
    given = parser.parse_args()
    users = MemoryAuthenticator({given.user: os.environ.get("POP3_PASSWORD") or getpass()})
    service = Service(store=Folder(given.folder), authenticator=users)
    with serve(service, given.host, given.port) as server, suppress(KeyboardInterrupt):
        print("serving on {} port {}; Ctrl-C ends it".format(*server.address), flush=True)
        server.wait()
