"""Stream one message to a file, in constant memory, and tell how far it is.

POP3_PASSWORD=tanstaaf python stream_to_file.py pop.example.org ann 1 message.eml
"""

import argparse
import os
import sys
from getpass import getpass
from pathlib import Path

from pop3proto import Pop3Error
from pop3proto.blocking import connect


def stream(arguments: argparse.Namespace, password: str) -> int:
    """Write the message to the file, and return its octets."""
    part = arguments.file.with_name(f"{arguments.file.name}.part")
    with connect(arguments.host, arguments.port, tls=arguments.tls) as client:
        client.login(arguments.user, password)
        size = client.list_one(arguments.number)  # what the server announces; not every server can count

        def progress(octets: int) -> None:
            print(f"\r{octets:,} of {size:,} octets", end="", file=sys.stderr, flush=True)

        with client.retr(arguments.number) as message, part.open("wb") as file:
            octets = message.copy_to(file, progress)
    print(file=sys.stderr)
    part.replace(arguments.file)  # now it is whole
    return octets


def main() -> None:
    """Read the arguments, and stream."""
    parser = argparse.ArgumentParser(description="Stream a message to a file.")
    parser.add_argument("host")
    parser.add_argument("user")
    parser.add_argument("number", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, help="default: 995 with implicit TLS, else 110")
    parser.add_argument("--tls", choices=("implicit", "starttls", "none"), default="implicit")
    arguments = parser.parse_args()
    password = os.environ.get("POP3_PASSWORD") or getpass()
    try:
        print(f"{stream(arguments, password):,} octets are in {arguments.file}")
    except Pop3Error as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
