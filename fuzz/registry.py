"""All targets, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .target import Target
from .targets import (
    client,
    client_procedures,
    codec,
    der,
    files,
    joined,
    names,
    paired,
    proxy_header,
    results,
    sasl,
    server,
    server_procedures,
)

TARGETS: Final[Mapping[str, Target]] = {
    target.name: target
    for target in (
        codec.TARGET,
        results.TARGET,
        client.TARGET,
        server.TARGET,
        joined.TARGET,
        sasl.CLIENT,
        sasl.SERVER,
        client_procedures.TARGET,
        server_procedures.TARGET,
        paired.TARGET,
        names.TARGET,
        files.TARGET,
        der.TARGET,
        proxy_header.TARGET,
    )
}
