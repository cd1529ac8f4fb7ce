"""Fetch new mail under asyncio: each message becomes a file, and what is a file already is not fetched again.

POP3_PASSWORD=tanstaaf python client_asyncio.py pop.example.org ann mail
"""

import argparse
import asyncio
import hashlib
import os
from getpass import getpass
from pathlib import Path

from pop3proto import Pop3Error
from pop3proto.asyncio import connect


async def fetch(arguments: argparse.Namespace, password: str) -> None:
    """List what is on the server, and store what is new; nothing is deleted there."""
    async with connect(arguments.host, arguments.port, tls=arguments.tls) as client:
        await client.login(arguments.user, password)
        sizes = await client.list()
        new: dict[int, Path] = {}
        for number, unique_id in (await client.uidl()).items():
            file = file_of(arguments.folder, unique_id)
            print(f"{number} {unique_id}: {sizes[number]} octets, {'known' if file.exists() else 'new'}")
            if not file.exists():
                new[number] = file
        async for number, message in client.retrieve(new):  # pipelined, if the server can
            await asyncio.to_thread(store, new[number], message)


def file_of(folder: Path, unique_id: str) -> Path:
    """Return a message's file. A unique id is no file name: it may hold slashes, and differ in its case alone."""
    return folder / f"{hashlib.sha256(unique_id.encode()).hexdigest()}.eml"


def store(file: Path, message: bytes) -> None:
    """Write a message. Its file has its name once it is whole, so that nothing half-written counts as known."""
    part = file.with_suffix(".part")
    part.write_bytes(message)
    part.replace(file)


def main() -> None:
    """Read the arguments, and fetch."""
    parser = argparse.ArgumentParser(description="Fetch new mail into a folder.")
    parser.add_argument("host")
    parser.add_argument("user")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, help="default: 995 with implicit TLS, else 110")
    parser.add_argument("--tls", choices=("implicit", "starttls", "none"), default="implicit")
    arguments = parser.parse_args()
    password = os.environ.get("POP3_PASSWORD") or getpass()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(fetch(arguments, password))
    except Pop3Error as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
