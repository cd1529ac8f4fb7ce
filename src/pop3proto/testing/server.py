"""A POP3 server for tests of mail code: over sockets, in threads of the test's process; or in memory."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import attrs

from pop3proto.blocking import connect, connect_over
from pop3proto.maildrops import MemoryStore

from .assembly import assemble
from .background import serving
from .certificates import authority, certificate_file, client_context
from .memory import MemorySession, MemorySessions
from .memory_ends import MemorySocket, MemoryTransport
from .offences import OffencesFound, check_rules
from .service import TestedService

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
    from os import PathLike

    import trio
    from typing_extensions import Unpack

    from pop3proto.blocking import Client
    from pop3proto.core.capabilities import Capabilities
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.maildrop import MaildropStore
    from pop3proto.procedures.server.service import Service

    from .background import Adapter
    from .faults.line import Fault
    from .offences import ClientRule
    from .options import ServiceOptions
    from .personas import Persona, PersonaName
    from .recording import RecordedSession
    from .watching import Watchers

__all__ = ["MemoryServer", "Pop3Server", "pop3_in_memory", "pop3_server"]


@attrs.frozen(eq=False)
class _TestServer:
    """What a test server is made of.

    Args:
        service: what it serves.
        sessions: those that have begun, the first one first: what clients have said, and what they were answered.
    """

    service: Service = attrs.field(repr=False)
    sessions: list[RecordedSession]
    _watched: Watchers | None = attrs.field(default=None, alias="watched", repr=False, kw_only=True)

    @property
    def store(self) -> MaildropStore:
        """The maildrops that it serves."""
        return self.service.store

    @property
    def struck(self) -> tuple[Fault, ...]:
        """The faults that have changed something so far: assert it, lest a test pass because nothing went wrong."""
        return self.service.lines.struck if isinstance(self.service, TestedService) else ()

    def messages(self, user: str) -> list[bytes]:
        """Return the messages in a user's maildrop now, as they were delivered and in that order.

        Raises:
            TypeError: the store is another than that of the test server.
        """
        return self._own_store().messages(user)

    def deliver(self, user: str, message: bytes) -> None:
        """Add a message to a user's maildrop; sessions that are already open do not see it.

        Raises:
            TypeError: the store is another than that of the test server.
        """
        self._own_store().deliver(user, message)

    def check(self, *, allow: Collection[ClientRule] = ()) -> None:
        """Check that no client has done what it must not, so far; that needs `watch`.

        Wait for the end of a session first, if it may still go on: `session.wait()`.

        Args:
            allow: what is no offence here.

        Raises:
            OffencesFound: one has; the message lists all offences.
            TypeError: clients are not watched; or `allow` is no collection of `ClientRule`.
        """
        if self._watched is None:
            raise TypeError("clients are watched by a server that was started with watch=True")
        allowed = check_rules(allow, "allow")
        sessions = list(self.sessions)
        found = [(each, offence) for each in sessions for offence in each.offences if offence.rule not in allowed]
        if found:
            lines = "".join(f"\n  session {session.number}: {offence}" for session, offence in found)
            raise OffencesFound([offence for _, offence in found], f"offences of clients: {len(found)}{lines}")

    def _own_store(self) -> MemoryStore:
        if not isinstance(self.store, MemoryStore):
            raise TypeError(f"the messages are in your own store, {type(self.store).__name__}: read them there")
        return self.store


@attrs.frozen(eq=False)
class Pop3Server(_TestServer):
    """A running test server.

    Args:
        host: the address that it listens on, a loopback address.
        port: the port that it listens on.
        tls: where TLS begins.
    """

    host: str
    port: int
    tls: TlsMode = "none"
    _certified: bool = attrs.field(default=False, alias="certified", repr=False)  # by an authority of this process

    @property
    def client_context(self) -> ssl.SSLContext:
        """A TLS context of a client that trusts the certificate which was made for the server; a new one each time.

        Raises:
            ValueError: none was made.
        """
        self._check_certified()
        return client_context()

    @property
    def authority(self) -> bytes:
        """The certificate of the authority that has issued that of the server, PEM: for clients that want a file.

        Raises:
            ValueError: none was made.
        """
        self._check_certified()
        return authority().cert_pem.bytes()

    def _check_certified(self) -> None:
        if not self._certified:
            raise ValueError("no certificate was made for this server: it has tls='none', or that which it was given")

    def connect(self, *, context: ssl.SSLContext | None = None, timeout: float | None = 60) -> Client:
        """Return a client of this server, as `pop3proto.blocking.connect` does; if TLS is served, over TLS.

        Args:
            context: for TLS; None: `client_context`.
            timeout: as in `connect`.
        """
        if context is None and self.tls != "none":
            context = self.client_context
        return connect(self.host, self.port, tls=self.tls, context=context, timeout=timeout)


@attrs.frozen(eq=False)
class MemoryServer(_TestServer):
    """A service whose sessions are in memory: see `pop3_in_memory`."""

    _sessions: MemorySessions = attrs.field(alias="sessions_in_memory", repr=False)

    def session(self) -> MemorySession:
        """Begin a session, and return it: octets in, octets out."""
        return self._sessions.begin()

    def connect(self) -> Client:
        """Begin a session, and return its client."""
        return connect_over(self.socket(), tls="none", cleartext="always")

    def socket(self) -> MemorySocket:
        """Begin a session, and return the client's end for blocking code: a connected socket."""
        return MemorySocket(self.session())

    def transport(self) -> MemoryTransport:
        """Begin a session, and return the client's end for asyncio: for `connect_over`."""
        return MemoryTransport(self.session())

    def stream(self) -> trio.abc.HalfCloseableStream:
        """Begin a session, and return the client's end for trio: for `connect_over`."""
        from .memory_stream import MemoryStream  # noqa: PLC0415 - trio need not be installed

        return MemoryStream(self.session())


@contextmanager
def pop3_server(  # noqa: PLR0913 - each has its default, and a name
    maildrops: Mapping[str, Iterable[bytes]] | None = None,
    *,
    passwords: Mapping[str, str] | None = None,
    tokens: Mapping[str, str] | None = None,
    persona: Persona | PersonaName | None = None,
    announce: Callable[[Capabilities], Capabilities] | None = None,
    faults: Sequence[Fault] = (),
    seed: int = 0,
    watch: bool | Collection[ClientRule] = False,
    tls: TlsMode = "none",
    certificate: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
    adapter: Adapter = "blocking",
    host: str = "127.0.0.1",
    **options: Unpack[ServiceOptions],
) -> Generator[Pop3Server]:
    """Run a test server on a free port of a loopback address until the `with` block ends.

    A wrong password is answered at once, without a penalty; up to 200 sessions are served; and the end of the block
    waits for no client, only for what the store and the authenticator do: `failure_delay`, `login_penalty`,
    `max_sessions` and `deadlines` change that.

    Args:
        maildrops: initial messages by user name; line ends may be LF or CRLF.
        passwords: passwords by user name; a user who is not in it has `PASSWORD`.
        tokens: user names by OAuth 2.0 access token. They are looked up when they are used: the mapping may change.
        persona: a kind of server, from `pop3proto.testing.personas`: "gmail" for example. What else is given here wins.
        announce: takes what CAPA would announce, and returns what it announces instead:
            `lambda capabilities: attrs.evolve(capabilities, pipelining=False)`. What the server does stays the same.
        faults: what goes wrong, from `pop3proto.testing.faults`, in this order; behind that of the persona.
        seed: of what the faults draw.
        watch: note what clients do that they must not: `sessions[0].offences`, and `check()` raises if there is any;
            or a collection of the rules to look at.
        tls: "none", "starttls" (TLS by STLS) or "implicit". Without `certificate` and `context`, a certificate for
            localhost is made, which needs the extra `testing`.
        certificate: path of a PEM file with the server's certificate and private key.
        context: the server's SSL context, in place of `certificate`.
        adapter: what serves: "blocking", "asyncio" or "trio"; coroutine methods of a store need one of the last two.
        host: the address to listen on.
        options: of `Service`. With `store`, there are no `maildrops`; with `authenticator`, no `passwords` or `tokens`.

    Raises:
        ValueError: an argument does not go with another.
        TypeError: `watch` is no collection of `ClientRule`.
        ImportError: a certificate is to be made, and trustme is not installed.
        Exception: as `Service`, and the `serve` of the adapter.
    """
    service, sessions, watchers = assemble(
        maildrops,
        passwords=passwords,
        tokens=tokens,
        persona=persona,
        announce=announce,
        faults=faults,
        seed=seed,
        watch=watch,
        offers_tls=tls != "none",
        options=options,
    )
    with ExitStack() as stack:
        certified = tls != "none" and certificate is None and context is None
        if certified:
            certificate = stack.enter_context(certificate_file())
        addresses = stack.enter_context(
            serving(adapter, service, host=host, tls=tls, certificate=certificate, context=context)
        )
        where, port = addresses[0]
        yield Pop3Server(service, sessions, where, port, tls, certified, watched=watchers)


def pop3_in_memory(  # noqa: PLR0913 - each has its default, and a name
    maildrops: Mapping[str, Iterable[bytes]] | None = None,
    *,
    passwords: Mapping[str, str] | None = None,
    tokens: Mapping[str, str] | None = None,
    persona: Persona | PersonaName | None = None,
    announce: Callable[[Capabilities], Capabilities] | None = None,
    faults: Sequence[Fault] = (),
    seed: int = 0,
    watch: bool | Collection[ClientRule] = False,
    **options: Unpack[ServiceOptions],
) -> MemoryServer:
    """Return a test server whose sessions are in memory: no network, no thread, and no waiting.

    There is no TLS. Time passes only where a session waits: by `failure_delay`, for example.

    Args:
        maildrops: as in `pop3_server`, like the others.
        passwords: by user name.
        tokens: user names by token.
        persona: a kind of server.
        announce: what CAPA announces.
        faults: what goes wrong.
        seed: of what the faults draw.
        watch: what clients do that they must not.
        options: of `Service`; store and authenticator have plain methods.

    Raises:
        ValueError: an argument does not go with another.
        TypeError: the store or the authenticator has coroutine methods; or `watch` is no collection of `ClientRule`.
        Exception: as `Service`.
    """
    service, sessions, watchers = assemble(
        maildrops,
        passwords=passwords,
        tokens=tokens,
        persona=persona,
        announce=announce,
        faults=faults,
        seed=seed,
        watch=watch,
        offers_tls=False,
        options=options,
    )
    service.check_plain()
    return MemoryServer(service, sessions, MemorySessions(service), watched=watchers)
