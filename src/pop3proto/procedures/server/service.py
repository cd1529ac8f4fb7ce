"""A server without its sockets: the settings of its sessions, and the handlers of its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
from typing_extensions import override

from pop3proto.core.commands import STANDARD, Apop, Command
from pop3proto.core.replies import Greeting, Ok
from pop3proto.core.server import ServerConnection
from pop3proto.sasl.authenticator import SecretSource, implements

from .handlers import HANDLERS
from .limits import SessionLimiter
from .settings import ServiceSettings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pop3proto.procedures.operations import Procedure

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
        max_sessions_before_login: maximum number of sessions that have not logged in; the oldest of them makes room
            for a new one. None: half of `max_sessions`.
        max_sessions_per_address: maximum number of concurrent sessions from one address; None: no limit. The addresses
            of one IPv6 network of 64 bits count as one, here and in what follows.
        logins_per_address: number of logins from one address that are verified at once; others wait for their turn.
        login_penalty: how long a login waits after failures from its address; None: not at all.
        exempt: addresses or networks ("192.0.2.7", "10.0.0.0/8") to which no limit per address and no penalty applies:
            those of proxies and webmail, behind which there are many users.
        policy: decides who may connect and log in, beside what the authenticator says; None: all may.
        login_attempts: number of refused logins that end a session.
        failure_delay: seconds before a refused login is answered.
        greeting: the text of the greeting; no "<" in it (RFC 2449 section 3).
        hostname: the server's name in challenges and timestamps; letters, digits, dots and hyphens.
        implementation: the name that CAPA announces (RFC 2449 section 6.9).
        mechanisms: the SASL mechanisms, by name or as a table like `SERVER_MECHANISMS`; those are offered that the
            authenticator can verify. By default all but SCRAM's -PLUS, which keep some clients from logging in.
        user_pass: whether USER and PASS are offered, if the authenticator can verify passwords.
        apop: whether APOP is offered, if the authenticator has the passwords.
        lower_case_users: whether names of users are folded to lower case (ASCII) before an authenticator, a policy or a
            store gets them: clients may write them as they like.
        limits: the bounds of each connection.
        quirks: the deviations of clients that are tolerated; only BARE_LF is one of clients.
        observer: one observer or a sequence of them (`pop3proto.procedures.observer`): they receive all that sessions
            hear and say, with secrets masked.
        handlers: what answers each class of commands; the commands among their keys are those that are read.

    Raises:
        LocalProtocolError: the greeting or the hostname cannot be sent, or two commands claim the same form of a verb.
        TypeError: the store, the authenticator, the policy or an observer lacks a method, or has it with other
            arguments; or another setting is of the wrong type.
        ValueError: a number is too small.
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
        if not self.apop or Apop not in self.handlers or not implements(self.authenticator, SecretSource):
            return Greeting(Ok(self.greeting))
        half = len(nonce) // 2
        first, second = int.from_bytes(nonce[:half]), int.from_bytes(nonce[half:])
        return Greeting(Ok(f"{self.greeting} <{first:020d}.{second:020d}@{self.hostname}>"))

    def limiter(self, key: bytes, lock: AbstractContextManager[object] | None = None) -> SessionLimiter:
        """Return what counts the sessions of a server, and slows down guesses at passwords.

        Args:
            key: 16 to 64 secret octets of this process, for digests of credentials that failed.
            lock: what the sessions share if they run in several threads.
        """
        return SessionLimiter(self, key, lock)

    def around(self, session: Procedure[None]) -> Procedure[None]:
        """Return what a driver performs in place of a session's procedure. A subclass may put something around it."""
        return session

    def connection(self, *, tls: bool) -> ServerConnection:
        """Return a new connection that reads the commands which the handlers answer."""
        commands = {cast("type[Command[object]]", kind) for kind in self.handlers if issubclass(kind, Command)}
        return ServerConnection(limits=self.limits, quirks=self.quirks, tls=tls, commands=STANDARD | commands)
