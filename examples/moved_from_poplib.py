"""Move all mail into a folder: a script that was on poplib, moved by docs/from-poplib.md.

tests/data/from_poplib.py is the script as it was.

POP3_PASSWORD=tanstaaf python moved_from_poplib.py pop.example.org ann mail
"""

import argparse
import hashlib
import os
from email import message_from_bytes, policy
from getpass import getpass
from pathlib import Path

from pop3proto import CommandFailed, Pop3Error
from pop3proto.blocking import connect


def fetch(arguments: argparse.Namespace, password: str) -> None:
    """Print, save and delete each message; the end of the block sends QUIT, and then they are removed."""
    with connect(arguments.host, arguments.port, tls=arguments.tls) as client:
        client.login(arguments.user, password)
        for number, size in client.list().items():
            try:
                message = client.fetch(number)
            except CommandFailed as error:  # the server's -ERR alone; a lost connection ends the program
                print(f"{number}: skipped, {error.reply.text}")
                continue
            subject = message_from_bytes(message, policy=policy.default)["Subject"]
            print(f"{number}: {size} octets, {subject or '(no subject)'}")
            save(arguments.folder, message)
            client.dele(number)


def save(folder: Path, message: bytes) -> None:
    """Write a message to a file. It has its name once it is whole."""
    file = folder / f"{hashlib.sha256(message).hexdigest()}.eml"
    part = file.with_suffix(".part")
    part.write_bytes(message)
    part.replace(file)


def main() -> None:
    """Read the arguments, and fetch."""
    parser = argparse.ArgumentParser(description="Move all mail into a folder.")
    parser.add_argument("host")
    parser.add_argument("user")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, help="default: 995 with implicit TLS, else 110")
    parser.add_argument("--tls", choices=("implicit", "starttls", "none"), default="implicit")
    arguments = parser.parse_args()
    password = os.environ.get("POP3_PASSWORD") or getpass()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        fetch(arguments, password)
    except (Pop3Error, OSError) as error:
        raise SystemExit(f"failed: {error}") from error


if __name__ == "__main__":
    main()
