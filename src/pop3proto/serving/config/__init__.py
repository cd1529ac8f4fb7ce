"""The configuration file of a server: its keys, reading it, what it comes to.

It needs the extra `server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._config.errors import ConfigError, MissingExtra
    from pop3proto._config.units import Octets, Seconds

    from .access import LoginSettings, Penalty, SessionLimits, Timeouts
    from .listeners import CertificateFiles, Listen, ProxyFrom, RunAs, Tls
    from .mail import Maildrops
    from .main import ServeConfig
    from .reading import read_config
    from .reporting import Log, LogTarget, Metrics
    from .users import CheckpasswordUsers, FileUsers, Users
    from .values import DomainName, MethodName, NetworkName, SocketAddress

__all__ = [
    "CertificateFiles",
    "CheckpasswordUsers",
    "ConfigError",
    "DomainName",
    "FileUsers",
    "Listen",
    "Log",
    "LogTarget",
    "LoginSettings",
    "Maildrops",
    "MethodName",
    "Metrics",
    "MissingExtra",
    "NetworkName",
    "Octets",
    "Penalty",
    "ProxyFrom",
    "RunAs",
    "Seconds",
    "ServeConfig",
    "SessionLimits",
    "SocketAddress",
    "Timeouts",
    "Tls",
    "Users",
    "read_config",
]

export(
    globals(),
    {
        ".access": "SessionLimits LoginSettings Penalty Timeouts",
        ".listeners": "CertificateFiles Listen ProxyFrom RunAs Tls",
        ".mail": "Maildrops",
        ".main": "ServeConfig",
        ".reading": "read_config",
        ".reporting": "Log LogTarget Metrics",
        ".users": "CheckpasswordUsers FileUsers Users",
        ".values": "DomainName MethodName NetworkName SocketAddress",
        "pop3proto._config.errors": "ConfigError MissingExtra",
        "pop3proto._config.units": "Octets Seconds",
    },
)
