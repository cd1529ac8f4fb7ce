"""Connections that are not made by the system alone: through a proxy, a program, or from a certain address."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto._io.peers import unreachable
from pop3proto.core.errors import ConnectionLost, TimedOut

from .errors import missing_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .access import Access
    from .proxy import SocksProxy

__all__ = ["open_socket"]

_PATIENCE: Final = 2.0  # seconds that a program has to end by itself, and then again to end when it is told to


def open_socket(access: Access, seconds: float) -> socket.socket:
    """Return a socket that leads to the server of an account, or to the program that does.

    Args:
        access: of the account.
        seconds: in which it must be done.

    Raises:
        ConnectionLost: there is no connection.
        TimedOut: it was not made in time.
        AccountError: the extra `socks` is not installed.
    """
    where = access.host, access.port
    if access.via:
        return _over_program(access.via)
    if access.proxy is not None:
        return _over_proxy(access.proxy, where, seconds)
    try:
        return socket.create_connection(where, seconds, (access.source_address or "", 0))
    except TimeoutError:
        raise TimedOut(f"no connection to {where[0]}, port {where[1]}, in time") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        raise ConnectionLost(unreachable(*where, error)) from error


def _over_proxy(proxy: SocksProxy, where: tuple[str, int], seconds: float) -> socket.socket:
    try:
        import python_socks  # noqa: PLC0415 - an extra
        from python_socks.sync import Proxy  # noqa: PLC0415 - an extra
    except ImportError:
        raise missing_extra("a proxy", "socks") from None
    client = Proxy(python_socks.ProxyType.SOCKS5, proxy.host, proxy.port, proxy.user, proxy.password, rdns=True)
    try:
        return client.connect(*where, timeout=seconds)
    except (TimeoutError, python_socks.ProxyTimeoutError):
        raise TimedOut(f"no connection to {where[0]}, port {where[1]}, over {proxy} in time") from None
    except (python_socks.ProxyError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConnectionLost(f"no connection to {where[0]}, port {where[1]}, over {proxy}: {why}") from None


class _ProgramSocket(socket.socket):
    """A socket whose other end is a program, which ends with it."""

    program: subprocess.Popen[bytes] | None = None

    @override
    def close(self) -> None:
        super().close()
        program, self.program = self.program, None
        if program is not None:
            for end in (program.terminate, program.kill):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    program.wait(_PATIENCE)
                    return
                end()
            program.wait()


def _over_program(command: Sequence[str]) -> socket.socket:
    """Run a program with one end of a pair of sockets as its standard input and output; return the other end.

    What it writes to its standard error goes where that of this process goes: it is for the user.
    """
    ours, its = socket.socketpair()
    sock = _ProgramSocket(ours.family, ours.type, ours.proto, ours.detach())
    with its:
        try:
            sock.program = subprocess.Popen(command, stdin=its.fileno(), stdout=its.fileno())  # noqa: S603 - the user's own program
        except (OSError, ValueError) as error:
            sock.close()
            raise ConnectionLost(f"cannot run {command[0]}: {getattr(error, 'strerror', None) or error}") from error
    return sock
