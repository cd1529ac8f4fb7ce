"""What an administrator's POP3 server needs around the protocol: configuration, users and their maildrops.

Nothing here prints. It needs a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._io.certificates import Certificates, ServerCertificate, TlsVersion
    from pop3proto._io.listener import Listener, ProxyProtocol

    from .access.hours import Hours
    from .access.login_times import LoginPace, LoginTimes
    from .access.policy import AccessPolicy
    from .access.rules import CodeName, Refusal, Rule
    from .site import Site, UnknownUsers
    from .template import Template

__all__ = [
    "AccessPolicy",
    "Certificates",
    "CodeName",
    "Hours",
    "Listener",
    "LoginPace",
    "LoginTimes",
    "ProxyProtocol",
    "Refusal",
    "Rule",
    "ServerCertificate",
    "Site",
    "Template",
    "TlsVersion",
    "UnknownUsers",
]

export(
    globals(),
    {
        "pop3proto._io.certificates": "ServerCertificate Certificates TlsVersion",
        "pop3proto._io.listener": "Listener ProxyProtocol",
        ".access.hours": "Hours",
        ".access.login_times": "LoginPace LoginTimes",
        ".access.policy": "AccessPolicy",
        ".access.rules": "CodeName Refusal Rule",
        ".site": "Site UnknownUsers",
        ".template": "Template",
    },
)
