"""What is known of a server before the checks begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pop3proto.core.capabilities import Capabilities

__all__ = ["Facts"]


@attrs.define
class Facts:
    """What is known of a server.

    Attributes:
        trouble: why nothing can be known; None: it can.
        silent: the trouble is that the server says nothing.
        loopback: it is on this machine.
        timestamp: that of a greeting, for APOP.
        in_clear: what it announces before TLS begins; None: it has no CAPA, or it has implicit TLS.
        capabilities: what it announces before login, over TLS if there is any; None: it has no CAPA.
        login_trouble: why nobody can log in; None: the user can.
        method: by which the user has logged in first, and logs in from then on: a refusal may take seconds.
        logged_in: what it announces after login.
        count: messages in the maildrop; None: unknown.
        uidl: UIDL works; None: unknown.
        top: TOP works, or is announced; None: unknown.
        doubts: why something is unknown, by the value of the need that it is about: "uidl" for example.
    """

    trouble: str | None = None
    silent: bool = False
    loopback: bool = True
    timestamp: str | None = None
    in_clear: Capabilities | None = None
    capabilities: Capabilities | None = None
    login_trouble: str | None = None
    method: str | None = None
    logged_in: Capabilities | None = None
    count: int | None = None
    uidl: bool | None = None
    top: bool | None = None
    doubts: dict[str, str] = attrs.Factory(dict[str, str])
