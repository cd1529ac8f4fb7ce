r"""A server to test mail code of one's own with: in threads of this process, its mail in memory.

    with pop3_server({"ann": [b"Subject: hello\\n\\nHi, Ann.\\n"]}) as server:
        mailbox = poplib.POP3(server.host, server.port)
        ...
    assert server.messages("ann") == []

Every user that is given no password has `PASSWORD`. For pytest there is a fixture, `start_pop3_server`, a function that
takes what `pop3_server` takes: put `pytest_plugins = ["pop3proto.testing.fixtures"]` into the topmost conftest.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.blocking import serve
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.server.service import Service
from pop3proto.procedures.server.settings import Deadlines

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator, Iterable, Mapping
    from os import PathLike

    from pop3proto.procedures.cleartext import TlsMode

__all__ = ["PASSWORD", "Pop3Server", "pop3_server"]

PASSWORD: Final = "tanstaaf"  # noqa: S105 - it is meant to be known
"""The password of every user that was given none."""


@attrs.frozen
class Pop3Server:
    """A running server.

    Args:
        host: where it listens: on this machine.
        port: on which port.
        store: what it serves.
    """

    host: str
    port: int
    store: MemoryStore

    def messages(self, user: str) -> list[bytes]:
        """Return what is in a user's maildrop now, as it was put there."""
        return self.store.messages(user)

    def deliver(self, user: str, message: bytes) -> None:
        """Put a message into a user's maildrop; sessions that are open do not see it."""
        self.store.deliver(user, message)


@contextmanager
def pop3_server(  # noqa: PLR0913 - each has its default, and a name
    maildrops: Mapping[str, Iterable[bytes]],
    *,
    passwords: Mapping[str, str] | None = None,
    tokens: Mapping[str, str] | None = None,
    tls: TlsMode = "none",
    certificate: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Generator[Pop3Server]:
    """Serve maildrops on a free port of this machine, until the block ends.

    Args:
        maildrops: messages by user; their line ends may be LF or CRLF.
        passwords: by user; `PASSWORD` for who is not in it.
        tokens: OAuth 2.0 access tokens, and whose each is.
        tls: where TLS comes in; it needs one of the next two.
        certificate: a file with the server's certificate and its key, PEM.
        context: how to shake hands.
    """
    users = dict.fromkeys(maildrops, PASSWORD) | dict(passwords or {})
    authenticator = MemoryTokenAuthenticator(users, tokens) if tokens else MemoryAuthenticator(users)
    store = MemoryStore(maildrops)
    service = Service(store=store, authenticator=authenticator, failure_delay=0, deadlines=Deadlines(grace=0))
    with serve(service, tls=tls, certificate=certificate, context=context) as server:
        host, port = server.address
        yield Pop3Server(host, port, store)
