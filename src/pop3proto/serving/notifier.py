"""What systemd hears of a service: that it is ready, what it does, that it ends, and that it is alive.

The protocol of sd_notify(3): a datagram with a variable in each line, to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Self

import attrs

from pop3proto.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Notifier"]


@attrs.frozen
class Notifier:
    """Tells the service manager.

    Args:
        address: path of its socket; "@" before it: of the abstract namespace. None: nobody listens.
        watchdog: seconds within which it wants to hear WATCHDOG=1; None: it does not.
    """

    address: str | None = None
    watchdog: float | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str], process: int) -> Self:
        """Return the one that the environment names.

        Args:
            environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, as systemd sets them.
            process: number of this process; the watchdog may be meant for another.
        """
        address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(process)) == str(process)
        watched = ours and microseconds.isdecimal() and int(microseconds) > 0
        return cls(
            address if address.startswith(("/", "@")) and hasattr(socket, "AF_UNIX") else None,
            int(microseconds) / 1e6 if watched else None,
        )

    def ready(self, status: str = "") -> None:
        """Say that the service is ready, or is again after `reloading`.

        Args:
            status: a line about what it does; "": none.
        """
        self.tell(READY=1, **({"STATUS": status} if status else {}))

    def reloading(self) -> None:
        """Say that the service reads its files again, until `ready` (`Type=notify-reload`)."""
        self.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1_000)

    def stopping(self, status: str = "") -> None:
        """Say that the service ends.

        Args:
            status: as in `ready`.
        """
        self.tell(STOPPING=1, **({"STATUS": status} if status else {}))

    def alive(self) -> None:
        """Say that the service is alive, which the watchdog wants to hear within its time."""
        self.tell(WATCHDOG=1)

    @property
    def interval(self) -> float | None:
        """Seconds after which to call `alive` again, half of the watchdog's; None: it does not listen."""
        return None if self.watchdog is None else self.watchdog / 2

    def tell(self, **variables: str | int) -> None:
        """Send variables, such as READY=1 or STATUS=a line. It does not wait, and does not fail."""
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        lines = "\n".join(f"{name}={visible(str(value))}" for name, value in variables.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(0)
            channel.sendto(lines.encode(), address)
