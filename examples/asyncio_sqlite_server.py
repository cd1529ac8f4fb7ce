"""Serve mail from an SQLite database under asyncio, with STLS: a store whose methods are coroutine methods.

POP3_PASSWORD=tanstaaf python asyncio_sqlite_server.py mail.sqlite ann server.pem 127.0.0.1 1110 --add message.eml
"""

import argparse
import asyncio
import io
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from getpass import getpass
from pathlib import Path
from typing import Any

from pop3proto import Capabilities
from pop3proto.asyncio import serve
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.procedures import (
    InUse,
    Maildrop,
    Message,
    MessageStream,
    Refused,
    Service,
    SessionInfo,
    Unavailable,
    wire_size,
)


class Database:
    """The messages of all users. Each statement is a transaction in a worker thread, with a connection of its own.

    It does not run in the event loop, as another process that delivers may hold the lock of the file for seconds. It
    keeps no connection, as a `sqlite3.Connection` belongs to one thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def create(self) -> None:
        # AUTOINCREMENT: an id is never used again, so it serves as unique id.
        await self.run(
            "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY AUTOINCREMENT, "
            "user TEXT NOT NULL, octets INTEGER NOT NULL, body BLOB NOT NULL)"
        )

    async def add(self, user: str, body: bytes) -> None:
        """Deliver a message. The next session sees it."""
        octets = wire_size(io.BytesIO(body))  # what LIST announces: each line end counts as two
        await self.run("INSERT INTO message (user, octets, body) VALUES (?, ?, ?)", user, octets, body)

    async def run(self, statement: str, *values: object) -> list[Any]:
        """Run a statement, and return its rows."""
        try:
            return await asyncio.to_thread(self._run, statement, values)
        except sqlite3.OperationalError as error:  # locked for too long, or the disk is full
            raise Unavailable from error

    def _run(self, statement: str, values: Sequence[object]) -> list[Any]:
        with closing(sqlite3.connect(self._path)) as connection, connection:  # the second one commits
            return connection.execute(statement, values).fetchall()


class SqliteStore:
    """A `MaildropStore`: the database, and the users whose maildrops are open in a session."""

    blocks = False  # it has no plain methods that wait

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locked: set[str] = set()

    async def open(self, user: str, session: SessionInfo) -> Maildrop:
        if user in self._locked:
            raise InUse
        self._locked.add(user)  # there is no await before it, so no other session comes between
        try:
            rows = await self._database.run("SELECT id, octets FROM message WHERE user = ? ORDER BY id", user)
        except BaseException:
            self._locked.remove(user)
            raise
        return SqliteMaildrop(self, self._database, user, [Message(octets, str(key)) for key, octets in rows])

    async def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()  # the server's own are enough

    def unlock(self, user: str) -> None:
        self._locked.remove(user)


class SqliteMaildrop:
    """A `Maildrop`: the ids and sizes as they were when the session began. Bodies are read when they are asked for."""

    def __init__(self, store: SqliteStore, database: Database, user: str, messages: list[Message]) -> None:
        self._store, self._database, self._user = store, database, user
        self.messages = messages

    async def open(self, number: int) -> MessageStream:
        rows = await self._database.run("SELECT body FROM message WHERE id = ?", self._id(number))
        if not rows:
            raise Refused("another program has removed this message")
        return io.BytesIO(rows[0][0])

    async def correct(self, number: int, octets: int) -> None:
        """Another program has counted wrong: announce what was sent."""
        self.messages[number - 1] = Message(octets, self.messages[number - 1].unique_id)
        await self._database.run("UPDATE message SET octets = ? WHERE id = ?", octets, self._id(number))

    async def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        """Delete all of them or, if that raises, none: it is one statement."""
        ids = json.dumps([self._id(number) for number in deleted])
        await self._database.run("DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))", ids)

    async def close(self) -> None:
        self._store.unlock(self._user)

    def _id(self, number: int) -> int:
        return int(self.messages[number - 1].unique_id)


async def run(arguments: argparse.Namespace, password: str) -> None:
    """Put the messages into the database, and serve until the task is cancelled."""
    database = Database(arguments.database)
    await database.create()
    for file in arguments.add:
        await database.add(arguments.user, file.read_bytes())
    service = Service(store=SqliteStore(database), authenticator=MemoryAuthenticator({arguments.user: password}))
    # Passwords from other machines are refused before STLS.
    async with serve(
        service, arguments.host, arguments.port, tls="starttls", certificate=arguments.certificate
    ) as server:
        print("serving on {} port {}; Ctrl-C ends it".format(*server.address), flush=True)
        await server.wait()


def main() -> None:
    """Read the arguments, and serve."""
    parser = argparse.ArgumentParser(description="Serve mail from an SQLite database.")
    parser.add_argument("database", type=Path)
    parser.add_argument("user")
    parser.add_argument("certificate", type=Path, help="the server's certificate and its key, PEM")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--add", type=Path, nargs="+", default=[], metavar="FILE", help="messages to add first")
    arguments = parser.parse_args()
    password = os.environ.get("POP3_PASSWORD") or getpass()
    with suppress(KeyboardInterrupt):
        asyncio.run(run(arguments, password))


if __name__ == "__main__":
    main()
