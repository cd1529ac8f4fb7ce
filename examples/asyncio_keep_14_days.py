"""Fetch new mail under asyncio, and delete on the server what was stored here more than 14 days ago.

POP3_PASSWORD=tanstaaf python asyncio_keep_14_days.py pop.example.org ann mail

Messages become files in the folder. `record.sqlite` in it holds the unique id of each message that the server still
has, and the day on which it was stored. Run it once a day, from cron for example.
"""

import argparse
import asyncio
import hashlib
import os
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from getpass import getpass
from pathlib import Path

from pop3proto import Dele, Pop3Error
from pop3proto.asyncio import connect


class Record:
    """The day on which each message was stored, by unique id. Each change is on the disk when its method returns."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("CREATE TABLE IF NOT EXISTS stored (unique_id TEXT PRIMARY KEY, day TEXT NOT NULL)")

    def days(self) -> dict[str, str]:
        return dict(self._database.execute("SELECT unique_id, day FROM stored"))

    def add(self, unique_id: str, day: str) -> None:
        self._database.execute("INSERT INTO stored VALUES (?, ?)", (unique_id, day))

    def forget(self, unique_id: str) -> None:
        self._database.execute("DELETE FROM stored WHERE unique_id = ?", (unique_id,))


async def keep(arguments: argparse.Namespace, password: str, record: Record) -> None:
    """Store what is new, and delete on the server what is old."""
    today = datetime.now(tz=UTC).date()
    oldest = (today - timedelta(days=arguments.days)).isoformat()  # such texts sort as the days do
    async with connect(arguments.host, arguments.port, tls=arguments.tls) as client:
        await client.login(arguments.user, password)
        listing = await client.uidl()
        days = record.days()
        if listing.complete:  # otherwise an id that is missing may be in a row that could not be read
            for unique_id in days.keys() - set(listing.values()):
                record.forget(unique_id)

        new = {unique_id: number for number, unique_id in listing.items() if unique_id not in days}
        async for number, message in client.retrieve(new.values(), return_exceptions=True):
            if isinstance(message, bytes):
                await asyncio.to_thread(store, arguments.folder, listing[number], message)
                record.add(listing[number], today.isoformat())
                print(f"{number} {listing[number]} stored")
            else:  # the server refused it, or it is too large for memory; it is tried again next time
                print(f"{number} {listing[number]} not stored: {message}", file=sys.stderr)

        # `days` is from before: what was stored just now is not in it.
        old = [number for number, unique_id in listing.items() if days.get(unique_id, oldest) < oldest]
        await client.call_all(Dele(number) for number in old)
    # The block has ended by QUIT, and the server has removed them. Their ids stay in the record until it lists them no
    # more: if QUIT fails, they are deleted next time, and not fetched again.
    for number in old:
        print(f"{number} {listing[number]} deleted on the server")


def store(folder: Path, unique_id: str, message: bytes) -> None:
    """Write a message. A unique id is no file name, so its hash is; the file has that name once it is whole."""
    file = folder / f"{hashlib.sha256(unique_id.encode()).hexdigest()}.eml"
    part = file.with_suffix(".part")
    with part.open("wb") as out:
        out.write(message)
        out.flush()
        os.fsync(out.fileno())  # the server's copy will be deleted
    part.replace(file)


def main() -> None:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(description="Fetch new mail; delete old mail on the server.")
    parser.add_argument("host")
    parser.add_argument("user")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=14, help="days that a message stays on the server (default: 14)")
    parser.add_argument("--port", type=int, help="default: 995 with implicit TLS, else 110")
    parser.add_argument("--tls", choices=("implicit", "starttls", "none"), default="implicit")
    arguments = parser.parse_args()
    password = os.environ.get("POP3_PASSWORD") or getpass()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    # isolation_level=None: no transaction is open between two calls.
    with closing(sqlite3.connect(arguments.folder / "record.sqlite", isolation_level=None)) as database:
        try:
            asyncio.run(keep(arguments, password, Record(database)))
        except Pop3Error as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
