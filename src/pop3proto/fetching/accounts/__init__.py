"""Accounts: where they are, how to log in, where their mail goes; read from URLs and from a configuration file.

The configuration file needs the extra `cli`, a keyring the extra `keyring`, a proxy the extra `socks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._config.units import Octets, Seconds

    from .access import Access, LoginWay, Pin, ProviderName
    from .account import Account, MaxSize, SessionBounds
    from .config import Config, check_config, config_path, read_config
    from .describing import describe
    from .errors import AccountError, ConfigError, SecretError
    from .opening import connect_account, explain_failure, login, open_session, tls_context
    from .origins import (
        FromCommand,
        FromEnvironment,
        FromFile,
        FromKeyring,
        FromNetrc,
        FromTerminal,
        Origin,
        Wanted,
    )
    from .providers import Provider, provider_named, provider_of
    from .proxy import SocksProxy
    from .secrets import SecretSource
    from .targets import Target, ToFiles, ToMaildir, ToMbox, ToProgram, ToStdout
    from .url import Address

__all__ = [
    "Access",
    "Account",
    "AccountError",
    "Address",
    "Config",
    "ConfigError",
    "FromCommand",
    "FromEnvironment",
    "FromFile",
    "FromKeyring",
    "FromNetrc",
    "FromTerminal",
    "LoginWay",
    "MaxSize",
    "Octets",
    "Origin",
    "Pin",
    "Provider",
    "ProviderName",
    "Seconds",
    "SecretError",
    "SecretSource",
    "SessionBounds",
    "SocksProxy",
    "Target",
    "ToFiles",
    "ToMaildir",
    "ToMbox",
    "ToProgram",
    "ToStdout",
    "Wanted",
    "check_config",
    "config_path",
    "connect_account",
    "describe",
    "explain_failure",
    "login",
    "open_session",
    "provider_named",
    "provider_of",
    "read_config",
    "tls_context",
]

export(
    globals(),
    {
        ".access": "Access LoginWay Pin ProviderName",
        ".account": "Account MaxSize SessionBounds",
        ".config": "Config check_config config_path read_config",
        ".describing": "describe",
        ".errors": "AccountError ConfigError SecretError",
        ".opening": "connect_account explain_failure login open_session tls_context",
        ".origins": "FromCommand FromEnvironment FromFile FromKeyring FromNetrc FromTerminal Origin Wanted",
        ".providers": "Provider provider_named provider_of",
        ".proxy": "SocksProxy",
        ".secrets": "SecretSource",
        ".targets": "Target ToFiles ToMaildir ToMbox ToProgram ToStdout",
        "pop3proto._config.units": "Octets Seconds",
        ".url": "Address",
    },
)
