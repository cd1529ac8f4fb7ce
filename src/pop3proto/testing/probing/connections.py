"""Connections of a probe: sockets, and TLS with any version and without trust. All of its I/O is here."""

from __future__ import annotations

import contextlib
import ssl
import time
import warnings
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from pop3proto._io.peers import unreachable
from pop3proto._io.tls_channel import TlsChannel
from pop3proto.blocking.interruption import Interruption, connected_socket
from pop3proto.blocking.stream import SocketStream
from pop3proto.core.errors import ConnectionLost, TimedOut

from .talk import Budget

if TYPE_CHECKING:
    from collections.abc import Generator

    from pop3proto.procedures.operations import Procedure

__all__ = ["VERSIONS", "Connection", "Connections", "budget_of", "untrusting"]

T = TypeVar("T")

VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
"""The versions of TLS, by the names that people use."""


def budget_of(wait: float, seconds: float) -> Budget:
    """Return how long to wait, from now on.

    Args:
        wait: seconds for one answer at most.
        seconds: for all.
    """
    return Budget(wait, time.monotonic() + seconds)


def untrusting(version: str | None = None) -> ssl.SSLContext:
    """Return a client's context that accepts any certificate: only to look, never to send a secret.

    Args:
        version: the only version to offer, a key of `VERSIONS`; None: all that this machine can do.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLError):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # old versions need it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions: they are asked for on purpose
        context.minimum_version = VERSIONS[version or "1.0"]
        context.maximum_version = VERSIONS[version or "1.3"]
    return context


@attrs.frozen
class Connection:
    """A connection, which performs procedures.

    Args:
        stream: it.
    """

    stream: SocketStream
    _channels: list[TlsChannel]

    def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end."""
        return self.stream.perform(procedure)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates that the server has sent, DER, its own first."""
        return self._channels[-1].peer_chain() if self._channels else ()

    @property
    def cipher(self) -> str:
        """The name of the cipher."""
        return self._channels[-1].cipher() if self._channels else ""


@attrs.frozen
class Connections:
    """Makes connections to one port.

    Args:
        host: its name or address.
        port: the port.
        budget: how long to wait.
    """

    host: str
    port: int
    budget: Budget

    @contextlib.contextmanager
    def open(self, context: ssl.SSLContext | None = None, *, sni: bool = True) -> Generator[Connection]:
        """Connect, and hang up at the end of the block.

        Args:
            context: for TLS; None: one that trusts any certificate.
            sni: name the host in the handshake.

        Raises:
            ConnectionLost: there is no connection.
            TimedOut: it was not made in time.
        """
        channels: list[TlsChannel] = []

        def channel() -> TlsChannel:
            channels.append(self.channel(context, sni=sni))
            return channels[-1]

        left = min(self.budget.wait, self.budget.until - time.monotonic())
        if left <= 0:
            raise TimedOut("the time for the probe is up")
        try:
            sock = connected_socket((self.host, self.port), left, Interruption())
        except ConnectionLost:
            raise
        except TimeoutError:
            raise TimedOut(f"no connection to {self.host}, port {self.port}, in time") from None
        except (OSError, ValueError) as error:
            raise ConnectionLost(unreachable(self.host, self.port, error)) from error
        stream = SocketStream(sock, channel)
        try:
            yield Connection(stream, channels)
        finally:
            stream.abort()

    def channel(self, context: ssl.SSLContext | None = None, *, sni: bool = True) -> TlsChannel:
        """Return a TLS channel that has not begun."""
        name = self.host if sni or (context is not None and context.check_hostname) else None
        return TlsChannel(context or untrusting(), hostname=name, port=self.port)

    def hello(self) -> bytes:
        """Return the first message of a TLS handshake."""
        channel = self.channel()
        channel.handshake()
        return channel.take()
