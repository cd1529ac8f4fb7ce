"""The configuration file of a server: its keys, reading it, what it comes to.

It needs the extra `server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._config.errors import ConfigError, MissingExtra

    from .access import AccessRule, LoginDelayRule, LoginSettings, Penalty, SessionLimits, Timeouts
    from .listeners import CertificateFiles, Listen, ProxyFrom, RunAs, Tls
    from .mail import Maildrops
    from .main import ServeConfig
    from .reading import read_config
    from .reporting import Log, LogTarget, Metrics
    from .users import CheckpasswordUsers, FileUsers, HtpasswdUsers, Introspection, PasswdFileUsers, SqlUsers, Users
    from .values import DomainName, MethodName, NetworkName, SocketAddress, UserPattern

__all__ = [
    "AccessRule",
    "CertificateFiles",
    "CheckpasswordUsers",
    "ConfigError",
    "DomainName",
    "FileUsers",
    "HtpasswdUsers",
    "Introspection",
    "Listen",
    "Log",
    "LogTarget",
    "LoginDelayRule",
    "LoginSettings",
    "Maildrops",
    "MethodName",
    "Metrics",
    "MissingExtra",
    "NetworkName",
    "PasswdFileUsers",
    "Penalty",
    "ProxyFrom",
    "RunAs",
    "ServeConfig",
    "SessionLimits",
    "SocketAddress",
    "SqlUsers",
    "Timeouts",
    "Tls",
    "UserPattern",
    "Users",
    "read_config",
]

export(
    globals(),
    {
        ".access": "AccessRule LoginDelayRule SessionLimits LoginSettings Penalty Timeouts",
        ".listeners": "CertificateFiles Listen ProxyFrom RunAs Tls",
        ".mail": "Maildrops",
        ".main": "ServeConfig",
        ".reading": "read_config",
        ".reporting": "Log LogTarget Metrics",
        ".users": "CheckpasswordUsers FileUsers HtpasswdUsers Introspection PasswdFileUsers SqlUsers Users",
        ".values": "DomainName MethodName NetworkName SocketAddress UserPattern",
        "pop3proto._config.errors": "ConfigError MissingExtra",
    },
)
