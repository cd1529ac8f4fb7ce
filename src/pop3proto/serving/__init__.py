"""What an administrator's POP3 server needs around the protocol: configuration, users and their maildrops.

Nothing here prints. It needs a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._io.certificates import Certificates, ServerCertificate, TlsVersion
    from pop3proto._io.listener import Listener, ProxyProtocol

    from .site import Site, UnknownUsers
    from .template import Template

__all__ = [
    "Certificates",
    "Listener",
    "ProxyProtocol",
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
        ".site": "Site UnknownUsers",
        ".template": "Template",
    },
)
