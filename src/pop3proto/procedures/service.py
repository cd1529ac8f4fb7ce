"""What all sessions of one server share: its store, its users, its patience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import attrs

from pop3proto.core.commands import STANDARD, Command
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.replies import Greeting, Ok
from pop3proto.core.server import ServerConnection

from .handlers import HANDLERS

if TYPE_CHECKING:
    from .authenticator import Authenticator
    from .maildrop import MaildropStore
    from .server import Handlers

__all__ = ["Deadlines", "Service"]

_LONGEST: Final = 1_000_000  # operating systems have a bound, too
_LEAST_IDLE: Final = 600  # RFC 1939 section 3: an autologout timer must be of at least ten minutes


@attrs.frozen(kw_only=True)
class Deadlines:
    """How long a server waits, in seconds. When a deadline passes, it hangs up without a word and removes nothing.

    Args:
        login: from the greeting to the end of a successful login, in all.
        idle: for the next command, after login.
        write: for the client to take up to a megabyte of an answer.
        short_idle: an `idle` of less than ten minutes is meant, although RFC 1939 section 3 forbids it.

    Raises:
        LocalProtocolError: a deadline is not positive, or `idle` is too short.
    """

    login: float = 60
    idle: float = _LEAST_IDLE
    write: float = 60
    short_idle: bool = False

    def __attrs_post_init__(self) -> None:
        if not all(0 < deadline <= _LONGEST for deadline in (self.login, self.idle, self.write)):
            raise LocalProtocolError(f"a deadline must be positive, and at most {_LONGEST} seconds")
        if self.idle < _LEAST_IDLE and not self.short_idle:
            raise LocalProtocolError(f"RFC 1939 wants at least {_LEAST_IDLE} idle seconds; short_idle=True overrides")


@attrs.frozen(kw_only=True)
class Service:
    """A server, without its sockets.

    Args:
        store: where the mail is.
        authenticator: who may log in.
        allow_cleartext: passwords are taken without TLS from any address, not from this machine's alone.
        deadlines: how long to wait.
        login_attempts: how many wrong passwords end a session.
        greeting: the text of the greeting; no "<" in it (RFC 2449 section 3).
        implementation: the name that CAPA announces (RFC 2449 section 6.9).
        handlers: what answers each class of commands; the commands among their keys are those that are read.

    Raises:
        LocalProtocolError: the greeting cannot be sent, or two commands claim the same form of a verb.
    """

    store: MaildropStore
    authenticator: Authenticator
    allow_cleartext: bool = False
    deadlines: Deadlines = Deadlines()
    login_attempts: int = 5
    greeting: str = "POP3 server ready"
    implementation: str = "pop3proto"
    handlers: Handlers = attrs.field(default=HANDLERS, repr=False)

    def __attrs_post_init__(self) -> None:
        self.connection(tls=False).send(Greeting(Ok(self.greeting)))

    def connection(self, *, tls: bool) -> ServerConnection:
        """Return a new connection that reads the commands which the handlers answer."""
        commands = {cast("type[Command[object]]", kind) for kind in self.handlers if issubclass(kind, Command)}
        return ServerConnection(tls=tls, commands=STANDARD | commands)
