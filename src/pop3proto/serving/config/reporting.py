"""What a server tells of itself: its log, its audit, its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from pop3proto._config.keys import about

from .values import SocketAddress  # noqa: TC001 - as above

__all__ = ["Log", "LogTarget", "Metrics"]

LogTarget: TypeAlias = Literal["stderr", "syslog", "journal"] | Path


@attrs.frozen(kw_only=True)
class Log:
    """Where the log is, and in which form."""

    to: LogTarget = attrs.field(
        default="stderr",
        metadata=about(
            "where the lines of the server go: `stderr`, `syslog`, `journal`, or a file, which is opened again on "
            "SIGHUP and after it was moved"
        ),
    )
    format: Literal["text", "json"] = attrs.field(
        default="text", metadata=about("the form of the lines: for people, or a JSON object each")
    )
    audit: LogTarget | None = attrs.field(
        default=None, metadata=about("where a line for each deleted message goes; without it, none is written")
    )
    facility: Literal["mail", "daemon", "auth", "local0", "local1", "local2", "local3", "local4", "local5"] = (
        attrs.field(default="mail", metadata=about("the facility of syslog"))
    )
    dialogue: bool = attrs.field(
        default=False, metadata=about("write each command and reply too, without secrets and message contents")
    )


@attrs.frozen(kw_only=True)
class Metrics:
    """Where Prometheus finds the metrics.

    Raises:
        ValueError: others could read them, and that is not allowed.
    """

    address: SocketAddress = attrs.field(metadata=about("address and port of `/metrics` and `/healthz`"))
    remote: bool = attrs.field(
        default=False, metadata=about("other machines may read them, too: `address` may be one that they reach")
    )

    def __attrs_post_init__(self) -> None:
        if not self.remote and not self.address.is_loopback:
            raise ValueError(
                f"other machines could read the metrics at {self.address}: use 127.0.0.1 or [::1], or set remote = true"
            )
