"""The servers that are compared: ours, over each adapter, and Twisted's.

Run as `python -m benchmarks.mail_servers NAME MAIL`: NAME is asyncio, trio, blocking or twisted; MAIL is a Maildir,
which belongs to the user ann; or a folder of Maildirs, each named like its user, with a slash at the end; or `20x4096`:
ann has so many messages of so many octets in memory; or `none`: every user has an empty maildrop in memory, and up to
20,000 may come at once; or a file that ends in `.users`, a passwd-file, whose users have empty maildrops.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from pathlib import Path

import pop3proto.asyncio
import pop3proto.blocking
from pop3proto.authenticators import MemoryAuthenticator, PasswdFile
from pop3proto.maildrops import MaildirStore, MemoryStore
from pop3proto.procedures import Deadlines, MaildropStore, Service

from .fetch_mail import mail
from .processes import PASSWORD, USER, on_one_core, until_input_ends

MOST = 20_000


def store_of(where: str) -> MaildropStore:
    if where == "none" or where.endswith(".users"):
        return MemoryStore()
    if in_memory := re.fullmatch(r"(\d+)x(\d+)", where):
        count, octets = map(int, in_memory.groups())
        return MemoryStore({USER: mail(count, octets)})
    if where.endswith("/"):
        return MaildirStore({path.name: path for path in Path(where).iterdir()})
    return MaildirStore({USER: Path(where)})


def users_of(where: str) -> list[str]:
    if where == "none":
        return [f"{USER}{number}" for number in range(MOST)]
    return [path.name for path in Path(where).iterdir()] if where.endswith("/") else [USER]


def service(mail: str) -> Service:
    return Service(
        store=store_of(mail),
        authenticator=PasswdFile(Path(mail))
        if mail.endswith(".users")
        else MemoryAuthenticator(dict.fromkeys(users_of(mail), PASSWORD), scram_algorithms=()),
        max_sessions=MOST,
        max_sessions_before_login=MOST,
        max_sessions_per_address=None,
        logins_per_address=100,
        login_penalty=None,
        deadlines=Deadlines(login=600, grace=0),
    )


def tell(port: int) -> None:
    print(port, flush=True)


async def in_asyncio(mail: str) -> None:
    async with pop3proto.asyncio.serve(service(mail)) as server:
        tell(server.address[1])
        await asyncio.to_thread(until_input_ends)


async def in_trio(mail: str) -> None:
    trio = importlib.import_module("trio")
    serve = importlib.import_module("pop3proto.trio").serve
    async with serve(service(mail)) as server:
        tell(server.address[1])
        await trio.to_thread.run_sync(until_input_ends)


def in_threads(mail: str) -> None:
    with pop3proto.blocking.serve(service(mail)) as server:
        tell(server.address[1])
        until_input_ends()


def by_twisted(mail: str) -> None:
    pop3, maildir = importlib.import_module("twisted.mail.pop3"), importlib.import_module("twisted.mail.maildir")
    protocol = importlib.import_module("twisted.internet.protocol")
    threads = importlib.import_module("twisted.internet.threads")
    reactor = importlib.import_module("twisted.internet.reactor")

    class Mailbox(maildir.MaildirMailbox):
        def getMessage(self, index: int) -> object:  # noqa: N802 - its name
            return open(self.list[index], "rb")  # noqa: PTH123 - its own opens it as text, and then fails

    class Server(pop3.POP3):
        def connectionMade(self) -> None:  # noqa: N802 - its name
            self.transport.setTcpNoDelay(True)
            super().connectionMade()

        def authenticateUserPASS(self, user: bytes, password: bytes) -> object:  # noqa: N802 - its name
            assert (user, password) == (USER.encode(), PASSWORD.encode())
            return pop3.IMailbox, Mailbox(mail.encode()), lambda: None

    factory = protocol.ServerFactory.forProtocol(Server)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    reactor.callWhenRunning(tell, port.getHost().port)
    threads.deferToThread(until_input_ends).addCallback(lambda _: reactor.stop())
    reactor.run()


def main() -> None:
    name, mail = sys.argv[1:]
    on_one_core()
    try:
        match name:
            case "asyncio":
                asyncio.run(in_asyncio(mail))
            case "trio":
                importlib.import_module("trio").run(in_trio, mail)
            case "blocking":
                in_threads(mail)
            case "twisted":
                by_twisted(mail)
    except ImportError:
        print("not installed", flush=True)


if __name__ == "__main__":
    main()
