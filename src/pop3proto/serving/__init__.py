"""What an administrator's POP3 server needs around the protocol: configuration, users and their maildrops.

Nothing here prints. It needs a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .site import Site, UnknownUsers
    from .template import Template

__all__ = [
    "Site",
    "Template",
    "UnknownUsers",
]

export(
    globals(),
    {
        ".site": "Site UnknownUsers",
        ".template": "Template",
    },
)
