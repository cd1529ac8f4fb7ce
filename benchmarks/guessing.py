"""What guesses at passwords do to others: a session that is logged in, and an honest login, each of another address.

Run it as a program, with the source folders to compare, of two checkouts for example:

    python benchmarks/guessing.py /elsewhere/src src

For each folder in turn, several times, it starts `pop3proto serve` with a users file, lets 98 connections of one
address guess, and times RETR and logins. It prints medians and worst cases in milliseconds, and the number of guesses
that were answered.
"""

import contextlib
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONNECTIONS = 98
SECONDS = 12.0  # of each run
ROUNDS = 2
GUESSER, HONEST = "127.0.0.2", "127.0.0.3"
PASSWORD = "tanstaaf"
LIMIT = 60.0  # seconds for one answer


class Guessers(threading.Thread):
    """Connections of one address, each of which guesses, and comes again when it is sent away."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.answers = 0
        self.ended = False

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for _ in range(CONNECTIONS):
                self.connect(selector)
            while not self.ended:
                for key, _ in selector.select(0.2):
                    self.go_on(selector, key.fileobj)
            for key in list(selector.get_map().values()):
                key.fileobj.close()

    def connect(self, selector: selectors.BaseSelector) -> None:
        sock = socket.create_connection(("127.0.0.1", self.port), LIMIT, (GUESSER, 0))
        selector.register(sock, selectors.EVENT_READ)

    def go_on(self, selector: selectors.BaseSelector, sock: socket.socket) -> None:
        try:
            answer = sock.recv(4_096)
        except OSError:
            answer = b""
        if not answer or b"SYS/TEMP" in answer:
            selector.unregister(sock)
            sock.close()
            self.connect(selector)
            return
        self.answers += answer.count(b"[AUTH]")
        if b"send the password" not in answer or b"[AUTH]" in answer:
            with contextlib.suppress(OSError):
                sock.sendall(b"USER ann\r\nPASS guess%d\r\n" % time.monotonic_ns())


class Client:
    """An honest client."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), LIMIT, (HONEST, 0))
        self.file = self.sock.makefile("rb")
        self.file.readline()

    def ask(self, command: bytes, *, body: bool = False) -> None:
        self.sock.sendall(command + b"\r\n")
        if not self.file.readline().startswith(b"+OK"):
            raise AssertionError(command)
        while body and self.file.readline() != b".\r\n":
            pass

    def log_in(self, user: bytes) -> float:
        began = time.monotonic()
        self.ask(b"USER " + user)
        self.ask(b"PASS " + PASSWORD.encode())
        return time.monotonic() - began

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def measure(source: str, folder: Path) -> tuple[list[float], list[float], int]:
    """Return the seconds of each RETR and of each login, and the number of guesses answered."""
    environment = os.environ | {"PYTHONPATH": source}
    command = [sys.executable, "-m", "pop3proto", "serve", str(folder / "mail"), "--users", str(folder / "users")]
    with subprocess.Popen(
        [*command, "--port", "0", "--max-sessions-per-address", "200"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            port = int(re.search(r" port (\d+);", server.stdout.readline())[1])
            session = Client(port)
            session.log_in(b"ann")
            guessers = Guessers(port)
            guessers.start()
            time.sleep(1)
            retrievals, logins = [], []
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                began = time.monotonic()
                session.ask(b"RETR 1", body=True)
                retrievals.append(time.monotonic() - began)
                if len(retrievals) % 100 == 1:
                    other = Client(port)
                    logins.append(other.log_in(b"bob"))
                    other.ask(b"QUIT")
                    other.close()
            guessers.ended = True
            session.close()
            guessers.join()
        finally:
            server.terminate()
    return retrievals, logins, guessers.answers


def main(sources: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        for user in ("ann", "bob"):
            for part in ("new", "cur", "tmp"):
                (folder / "mail" / user / part).mkdir(parents=True)
            (folder / "mail" / user / "new" / "1.x").write_bytes(b"Subject: x\n\n" + b"0123456789\n" * 400)
            subprocess.run(
                [
                    *(sys.executable, "-m", "pop3proto", "passwd", str(folder / "users"), user),
                    *("--password-file", str(folder / "password")),
                ],
                check=True,
                env=os.environ | {"PYTHONPATH": sources[-1]},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        for number in range(1, ROUNDS + 1):
            for source in sources:
                retrievals, logins, guesses = measure(source, folder)
                print(
                    f"round {number}, {source}: RETR median {statistics.median(retrievals) * 1000:.1f} worst "
                    f"{max(retrievals) * 1000:.0f} ms ({len(retrievals)}); login median "
                    f"{statistics.median(logins) * 1000:.0f} worst {max(logins) * 1000:.0f} ms ({len(logins)}); "
                    f"{guesses / (SECONDS + 1):.1f} guesses a second",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
