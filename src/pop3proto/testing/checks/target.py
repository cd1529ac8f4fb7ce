"""The server to be checked, and how to connect to it."""

from __future__ import annotations

import re
import secrets
import socket
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

import attrs

from pop3proto._io.peers import unreachable
from pop3proto._io.tls_channel import client_channel
from pop3proto.blocking.stream import SocketStream
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.limits import NO_QUIRKS
from pop3proto.procedures.cleartext import check_cleartext, default_port
from pop3proto.procedures.operations import Now, Operation, Random, Read, Run, Write
from pop3proto.sasl.credentials import Credentials, Password

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Set as AbstractSet
    from typing import Self

    from pop3proto.core.limits import Quirk
    from pop3proto.procedures.cleartext import Cleartext, TlsMode
    from pop3proto.procedures.operations import Procedure

__all__ = ["Link", "SessionInMemory", "Target", "connect"]


class SessionInMemory(Protocol):
    """A server's session without sockets, as the checks use it; `MemorySession` is one."""

    @property
    def ended(self) -> bool:
        """Whether the server has hung up."""
        ...

    def hear(self, octets: bytes, /) -> None:
        """Take what the client sends; empty: it has hung up. The answer is there when it returns."""
        ...

    def take_piece(self) -> bytes:
        """Return what the server has said and was not taken yet, or a part of it; empty: nothing is left."""
        ...


class Link(Protocol):
    """A connection with the server."""

    loopback: bool

    def perform(self, operation: Operation[object]) -> object:
        """Perform an operation of a procedure."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


_URL: Final = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://"
    r"(?:(?P<user>[^@:/?#;]+)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<host>\[[^\]@/?#]+\]|[^\[\]@:/?#;]+)"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)
_SCHEMES: Final[dict[str, TlsMode]] = {
    "pops": "implicit",
    "pop3s": "implicit",
    "pop": "starttls",
    "pop3+starttls": "starttls",
    "pop3": "none",
}


_PORTS: Final = range(1, 65_536)


def _fault(url: str) -> str:
    """Return what is wrong with a URL, without quoting it, as it may hold a password."""
    scheme, separator, rest = url.partition("://")
    user, _, place = rest.removesuffix("/").rpartition("@")
    if not separator:
        return "this one has no '://'"
    if scheme.lower() not in _SCHEMES:
        return "the scheme of this one is another"
    if re.search(r"[/?#;]", place):
        return "something follows the host and the port of this one"
    if re.search(r"[@/?#;]", user):
        return "this one has a character in the name or the password that is to be written as %40, for example"
    host, colon, port = (
        (place, "", "") if place.endswith("]") else place.rpartition(":") if ":" in place else (place, "", "")
    )
    if colon and not (port.isdecimal() and int(port) in _PORTS):
        return "the port of this one is no number from 1 to 65535"
    if ":" in host and not host.startswith("["):
        return "an address with colons is to be in brackets: [::1]"
    return "this one names no host" if not host else "the name of the user is missing in this one"


@attrs.frozen
class Target:
    """A server to be checked.

    Args:
        host: its name or address.
        port: None: 995 with implicit TLS, else 110.
        tls: "implicit", "starttls" or "none". With "starttls" some checks talk before STLS as well.
        context: for TLS; None: certificate and name are verified.
        user: a user who can log in; None: what needs a login is skipped.
        password: the user's password; with it, `credentials` may be left out.
        credentials: what to log in with, in place of `user` and `password`.
        cleartext: when the password may be sent without verified TLS, as in `connect`.
        quirks: deviations that the login tolerates; the checks themselves are strict.
        timeout: seconds for each answer.
        limit: seconds for each check, `slow` ones apart.
        total: seconds for all checks together, `slow` ones apart; what is left then is skipped.
        may_delete: messages may be deleted: the account is there for tests. Each run deletes a few.
        slow: checks that wait for minutes may run.
        deliver: puts a message, with CRLF line ends, into the maildrop, and returns when a new session would see it;
            None: what needs certain messages is skipped.
        in_memory: begins a session without sockets, in place of `host` and `port`.
    """

    host: str = ""
    port: int | None = None
    tls: TlsMode = attrs.field(default="implicit", kw_only=True)
    context: ssl.SSLContext | None = attrs.field(default=None, repr=False, kw_only=True)
    user: str | None = attrs.field(default=None, kw_only=True)
    password: str | None = attrs.field(default=None, repr=False, kw_only=True)
    credentials: Credentials | None = attrs.field(default=None, repr=False, kw_only=True)
    cleartext: Cleartext = attrs.field(default="loopback", kw_only=True)
    quirks: AbstractSet[Quirk] = attrs.field(default=NO_QUIRKS, kw_only=True)
    timeout: float = attrs.field(default=20, kw_only=True)
    limit: float = attrs.field(default=60, kw_only=True)
    total: float = attrs.field(default=900, kw_only=True)
    may_delete: bool = attrs.field(default=False, kw_only=True)
    slow: bool = attrs.field(default=False, kw_only=True)
    deliver: Callable[[bytes], object] | None = attrs.field(default=None, repr=False, kw_only=True)
    in_memory: Callable[[], SessionInMemory] | None = attrs.field(default=None, repr=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_cleartext(self.cleartext)
        default_port(self.tls)
        if bool(self.host) is (self.in_memory is not None):
            raise ValueError("a target has a host, or is in memory")
        if self.in_memory is not None and self.tls != "none":
            raise ValueError('there is no TLS in memory: tls="none"')
        if (self.user is None) is not (self.password is None):
            raise ValueError("give user and password together, or credentials")

    @classmethod
    def of_url(cls, url: str, *, password: str | None = None) -> Self:
        """Return the target that a URL names: `pops://user@host:port` for example.

        The schemes are `pops` and `pop3s` (implicit TLS), `pop` and `pop3+starttls` (STLS), and `pop3` (no TLS). What
        is special in a name or a password is written as `%40`.

        Args:
            url: it may hold a password, but other users of the machine may be able to see it there.
            password: of the user, if the URL has none.

        Raises:
            ValueError: it is no such URL. The message does not quote it.
        """
        match = _URL.fullmatch(url)
        tls = None if match is None else _SCHEMES.get(match["scheme"].lower())
        if match is None or tls is None or int(match["port"] or 1) not in _PORTS:
            form = "the URL of a server has the form pops://user@host[:port]"
            raise ValueError(f"{form}, and {_fault(url)}; the schemes are {', '.join(_SCHEMES)}")
        user = None if match["user"] is None else unquote(match["user"])
        password = password if match["password"] is None else unquote(match["password"])
        if user is not None and not password:
            raise ValueError("there is no password for the user in the URL of the server")
        return cls(
            match["host"].strip("[]"),
            None if match["port"] is None else int(match["port"]),
            tls=tls,
            user=user,
            password=None if user is None else password,
        )

    @property
    def login(self) -> Credentials | None:
        """What to log in with."""
        if self.credentials is None and self.user is not None and self.password is not None:
            return Password(self.user, self.password)
        return self.credentials

    @property
    def secret(self) -> Password | None:
        """The user and the password, if that is what to log in with."""
        login = self.login
        return login if isinstance(login, Password) else None


def connect(target: Target, seconds: float) -> Link:
    """Connect.

    Args:
        target: the server.
        seconds: in which this must be done.

    Raises:
        ConnectionLost, TimedOut: it cannot be done.
    """
    if target.in_memory is not None:
        return _MemoryLink(target.in_memory())
    host, port = target.host, default_port(target.tls) if target.port is None else target.port
    channel = client_channel(target.context, host, port)
    try:
        sock = socket.create_connection((host, port), seconds)
    except TimeoutError:
        raise TimedOut(f"no connection to {host}, port {port}, in time") from None
    except (OSError, ValueError) as error:
        raise ConnectionLost(unreachable(host, port, error)) from error
    return _SocketLink(SocketStream(sock, channel))


def _alone(operation: Operation[object]) -> Procedure[object]:
    return (yield operation)


class _SocketLink:
    def __init__(self, stream: SocketStream) -> None:
        self.loopback: bool = stream.peer.loopback
        self._stream: Final = stream

    def perform(self, operation: Operation[object]) -> object:
        return self._stream.perform(_alone(operation))

    def close(self) -> None:
        self._stream.abort()


class _MemoryLink:
    def __init__(self, session: SessionInMemory) -> None:
        self.loopback: bool = True
        self._session: Final = session

    def perform(self, operation: Operation[object]) -> object:
        match operation:
            case Write(octets):
                if self._session.ended:
                    raise ConnectionLost("the server has hung up")
                self._session.hear(octets)
            case Read():
                piece = self._session.take_piece()
                if not piece and not self._session.ended:
                    raise TimedOut("the server waits for the client")
                return piece
            case Now():
                return time.monotonic()
            case Random(count):
                return secrets.token_bytes(count)
            case Run():
                return operation.call()
            case _:
                raise LocalProtocolError(f"{type(operation).__name__} cannot be done in memory")
        return None

    def close(self) -> None:
        self._session.hear(b"")
