"""A server without its sockets: the settings of its sessions, and the handlers of its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
from typing_extensions import override

from pop3proto.core.commands import STANDARD, Apop, Command
from pop3proto.core.replies import Greeting, Ok
from pop3proto.core.server import ServerConnection
from pop3proto.sasl.authenticator import SecretSource

from .handlers import HANDLERS
from .settings import ServiceSettings

if TYPE_CHECKING:
    from .session import Handlers

__all__ = ["Service"]


@attrs.frozen(kw_only=True)
class Service(ServiceSettings):
    """A server, without its sockets.

    Args:
        store: the maildrops.
        authenticator: checks logins.
        cleartext: when passwords are accepted without TLS: "never"; "loopback": from this machine; "always".
        deadlines: timeouts.
        max_sessions: maximum number of concurrent sessions; more are greeted with [SYS/TEMP].
        max_sessions_per_address: maximum number of concurrent sessions from one address; None: no limit.
        login_attempts: number of refused logins that end a session.
        failure_delay: seconds before a refused login is answered.
        greeting: the text of the greeting; no "<" in it (RFC 2449 section 3).
        hostname: the server's name in challenges and timestamps; letters, digits, dots and hyphens.
        implementation: the name that CAPA announces (RFC 2449 section 6.9).
        mechanisms: the SASL mechanisms; those are offered that the authenticator can verify.
        limits: the bounds of each connection.
        quirks: the deviations of clients that are tolerated; only BARE_LF is one of clients.
        observer: one observer or a sequence of them (`pop3proto.procedures.observer`): they receive all that sessions
            hear and say, with secrets masked.
        handlers: what answers each class of commands; the commands among their keys are those that are read.

    Raises:
        LocalProtocolError: the greeting or the hostname cannot be sent, or two commands claim the same form of a verb.
        TypeError: the store, the authenticator or an observer lacks a method, or has it with other arguments.
    """

    handlers: Handlers = attrs.field(default=HANDLERS, repr=False)

    @override
    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.connection(tls=False).send(self.greet(b"\0" * 16))

    def greet(self, nonce: bytes) -> Greeting:
        """Return the greeting, with a timestamp if APOP can succeed (RFC 1939 section 7).

        Some clients take nothing but `digits.digits@host` for a timestamp, the form of the examples in the RFC.

        Args:
            nonce: random octets, never used before.
        """
        if Apop not in self.handlers or not isinstance(self.authenticator, SecretSource):
            return Greeting(Ok(self.greeting))
        half = len(nonce) // 2
        first, second = int.from_bytes(nonce[:half]), int.from_bytes(nonce[half:])
        return Greeting(Ok(f"{self.greeting} <{first:020d}.{second:020d}@{self.hostname}>"))

    def connection(self, *, tls: bool) -> ServerConnection:
        """Return a new connection that reads the commands which the handlers answer."""
        commands = {cast("type[Command[object]]", kind) for kind in self.handlers if issubclass(kind, Command)}
        return ServerConnection(limits=self.limits, quirks=self.quirks, tls=tls, commands=STANDARD | commands)
