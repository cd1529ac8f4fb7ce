"""Let a mail client that knows only passwords read a mailbox that wants OAuth 2.0: a proxy on this machine.

POP3_PASSWORD=tanstaaf python oauth_proxy.py pop.example.org ann@example.org 1110 --token-command "oauth2-token ann"

The client logs in on 127.0.0.1 with the user's name and this password, which you choose; the proxy logs in upstream
with the token. Messages pass through as they are read. The client's QUIT deletes upstream what the client deleted; a
session that ends otherwise deletes nothing.
"""

import argparse
import asyncio
import hmac
import os
import shlex
import sys
from asyncio.subprocess import PIPE
from collections.abc import Generator
from contextlib import contextmanager, suppress
from getpass import getpass
from pathlib import Path

from pop3proto import Capabilities, CommandFailed, Dele, LoginFailed, Pop3Error, ResponseCode
from pop3proto.asyncio import AsyncClient, AsyncIncomingMessage, connect, serve
from pop3proto.procedures import InUse, Maildrop, Message, MessageStream, Refused, Service, SessionInfo, Unavailable

UPSTREAM = "upstream"  # the key in `SessionInfo.state` for the client that has logged in


class Proxy:
    """The authenticator and the store: both see the same `SessionInfo.state`."""

    blocks = False  # it has no plain methods that wait

    def __init__(self, arguments: argparse.Namespace, password: str) -> None:
        self._arguments, self._password = arguments, password

    async def check_password(self, user: str, password: str, session: SessionInfo) -> bool:
        """Check the local password, log in upstream, and leave the client for `open`."""
        right = hmac.compare_digest(password.encode(), self._password.encode())
        if not right or user != self._arguments.user:
            return False
        try:
            client = await log_in(self._arguments)
        except (Pop3Error, OSError) as error:
            # Not False, even if the token was refused: the local password is right.
            print(f"session {session.id}: {error}", file=sys.stderr, flush=True)
            in_use = isinstance(error, LoginFailed) and error.code == ResponseCode.IN_USE
            raise (InUse if in_use else Unavailable) from error
        await self.session_ended(session)  # another login before this one was refused for another reason
        session.state[UPSTREAM] = client
        return True

    async def session_ended(self, session: SessionInfo) -> None:
        """Close a client that no store took."""
        client = session.state.pop(UPSTREAM, None)
        if isinstance(client, AsyncClient):
            await client.aclose()

    async def open(self, user: str, session: SessionInfo) -> Maildrop:
        client = session.state.pop(UPSTREAM)
        assert isinstance(client, AsyncClient)
        try:
            return Passed(client, await messages_of(client))
        except BaseException:
            await client.aclose()
            raise

    async def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()  # the server's own are enough


class Passed:
    """A `Maildrop` that passes each request upstream."""

    def __init__(self, client: AsyncClient, messages: dict[int, Message]) -> None:
        self._client = client
        self._numbers = list(messages)  # upstream; they may have gaps
        self.messages = list(messages.values())

    async def open(self, number: int) -> MessageStream:
        return await Body.begin(self._client.retr(self._numbers[number - 1]))

    async def top(self, number: int, lines: int) -> MessageStream:
        return await Body.begin(self._client.top(self._numbers[number - 1], lines))

    async def correct(self, number: int, octets: int) -> None:
        """Many servers announce estimates: from now on announce what was sent."""
        self.messages[number - 1] = Message(octets, self.messages[number - 1].unique_id)

    async def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        """Delete and QUIT upstream. If one deletion is refused there is no QUIT, and none of them happens."""
        with passed_on():
            await self._client.call_all([Dele(self._numbers[number - 1]) for number in sorted(deleted)])
            await self._client.quit()

    async def close(self) -> None:
        await self._client.aclose()  # without QUIT, unless `commit` sent it


class Body:
    """A `MessageStream`: octets are received as the client takes them."""

    def __init__(self, message: AsyncIncomingMessage) -> None:
        self._message = message

    @classmethod
    async def begin(cls, message: AsyncIncomingMessage) -> "Body":
        with passed_on():
            return cls(await message.__aenter__())

    async def read(self, size: int, /) -> bytes:
        return await self._message.read(size)

    async def close(self) -> None:
        await self._message.__aexit__(None, None, None)


@contextmanager
def passed_on() -> Generator[None]:
    """Answer the client as the upstream server answered."""
    try:
        yield
    except CommandFailed as error:
        raise Refused(error.reply.message, error.code) from error
    except Pop3Error as error:
        print(error, file=sys.stderr, flush=True)
        raise Unavailable from error


async def messages_of(client: AsyncClient) -> dict[int, Message]:
    """Return the messages by their numbers upstream, in order."""
    with passed_on():
        sizes, unique_ids = await client.list(), await client.uidl()
    if not (sizes.complete and unique_ids.complete) or sizes.keys() != unique_ids.keys():
        raise Refused("the upstream server's listings cannot be read")  # else a message would seem to be gone
    return {number: Message(sizes[number], unique_ids[number]) for number in sorted(sizes)}


async def log_in(arguments: argparse.Namespace) -> AsyncClient:
    """Connect to the upstream server, and log in with a fresh token."""
    if arguments.token_command:
        token = await output_of(arguments.token_command)
    else:
        token = await asyncio.to_thread(arguments.token_file.read_text, "utf-8")
    client = await connect(arguments.host, arguments.port, tls=arguments.tls)
    try:
        await client.login(arguments.user, token=token.strip())
    except BaseException:
        await client.aclose()
        raise
    return client


async def output_of(command: str) -> str:
    """Run a command, and return what it prints."""
    process = await asyncio.create_subprocess_exec(*shlex.split(command), stdout=PIPE)
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise TimeoutError("the command for the token did not end within 30 seconds") from None
    if process.returncode:
        raise OSError(f"the command for the token ended with status {process.returncode}")
    return output.decode()


async def main() -> None:
    """Read the arguments, and serve until the task is cancelled."""
    parser = argparse.ArgumentParser(description="Serve a mailbox that wants OAuth to clients with a password.")
    parser.add_argument("host")
    parser.add_argument("user")
    parser.add_argument("listen", type=int, help="the port on 127.0.0.1 for clients")
    parser.add_argument("--port", type=int, help="upstream; default: 995 with implicit TLS, else 110")
    parser.add_argument("--tls", choices=("implicit", "starttls", "none"), default="implicit", help="upstream")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--token-command", help="a command that prints an access token; it runs at each login")
    source.add_argument("--token-file", type=Path, help="a file that another program keeps fresh")
    arguments = parser.parse_args()
    password = os.environ.pop("POP3_PASSWORD", None) or getpass()  # the command for the token need not know it
    proxy = Proxy(arguments, password)
    service = Service(store=proxy, authenticator=proxy)
    async with serve(service, "127.0.0.1", arguments.listen) as server:
        print("serving on {} port {}; Ctrl-C ends it".format(*server.address), flush=True)
        await server.wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
