r"""A POP3 server for tests of your own mail code: it runs in threads of the test process and keeps mail in memory.

    with pop3_server({"ann": [b"Subject: hello\n\nHi, Ann.\n"]}) as server:
        mailbox = poplib.POP3(server.host, server.port)
        ...
    assert server.messages("ann") == []

A user for whom no password is given has the password `PASSWORD`.

For pytest there is the fixture `start_pop3_server`, a function with the arguments of `pop3_server`: put
`pytest_plugins = ["pop3proto.testing.fixtures"]` in the topmost conftest.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.blocking import serve
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.service import Service

from .fuzzing import FuzzFailure, check_service, fuzz_service

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator, Iterable, Mapping
    from os import PathLike

    from pop3proto.procedures.cleartext import TlsMode

__all__ = ["PASSWORD", "FuzzFailure", "Pop3Server", "check_service", "fuzz_service", "pop3_server"]

PASSWORD: Final = "tanstaaf"  # noqa: S105 - not a secret
"""The password of every user for whom no password is given."""


@attrs.frozen
class Pop3Server:
    """A running test server.

    Args:
        host: the address that it listens on, a loopback address.
        port: the port that it listens on.
        store: the maildrops that it serves.
    """

    host: str
    port: int
    store: MemoryStore

    def messages(self, user: str) -> list[bytes]:
        """Return the messages in a user's maildrop now, as they were delivered and in that order."""
        return self.store.messages(user)

    def deliver(self, user: str, message: bytes) -> None:
        """Add a message to a user's maildrop; sessions that are already open do not see it."""
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
    """Run a test server on a free port of the loopback address until the `with` block ends.

    Args:
        maildrops: initial messages by user name; line ends may be LF or CRLF.
        passwords: passwords by user name; a user who is not in it has `PASSWORD`.
        tokens: user names by OAuth 2.0 access token.
        tls: "none", "starttls" (TLS by STLS) or "implicit"; with TLS, give a `certificate` or a `context`.
        certificate: path of a PEM file with the server's certificate and private key.
        context: the server's SSL context, in place of `certificate`.
    """
    users = dict.fromkeys(maildrops, PASSWORD) | dict(passwords or {})
    authenticator = MemoryTokenAuthenticator(users, tokens) if tokens else MemoryAuthenticator(users)
    store = MemoryStore(maildrops)
    service = Service(
        store=store,
        authenticator=authenticator,
        failure_delay=0,
        login_penalty=None,
        max_sessions=200,  # as many as any system allows
        deadlines=Deadlines(grace=0),
    )
    with serve(service, tls=tls, certificate=certificate, context=context) as server:
        host, port = server.address
        yield Pop3Server(host, port, store)
