r"""POP3 servers for tests of your own mail code, with mail in memory; and inputs for your own handlers and stores.

    with pop3_server({"ann": [b"Subject: hello\n\nHi, Ann.\n"]}) as server:
        mailbox = poplib.POP3(server.host, server.port)
        ...
    assert server.messages("ann") == []

A user for whom no password is given has the password `PASSWORD`.

For pytest there is the fixture `start_pop3_server`, a function with the arguments of `pop3_server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .background import Adapter
    from .fuzzing import FuzzFailure, check_service, fuzz_service
    from .memory import MemorySession
    from .memory_ends import MemorySocket, MemoryTransport
    from .offences import ClientRule, Offence, OffencesFound
    from .options import PASSWORD, ServiceOptions
    from .recording import RecordedSession
    from .server import MemoryServer, Pop3Server, pop3_in_memory, pop3_server

__all__ = [
    "PASSWORD",
    "Adapter",
    "ClientRule",
    "FuzzFailure",
    "MemoryServer",
    "MemorySession",
    "MemorySocket",
    "MemoryTransport",
    "Offence",
    "OffencesFound",
    "Pop3Server",
    "RecordedSession",
    "ServiceOptions",
    "check_service",
    "fuzz_service",
    "pop3_in_memory",
    "pop3_server",
]

export(
    globals(),
    {
        ".background": "Adapter",
        ".fuzzing": "FuzzFailure check_service fuzz_service",
        ".memory": "MemorySession",
        ".memory_ends": "MemorySocket MemoryTransport",
        ".offences": "ClientRule Offence OffencesFound",
        ".options": "PASSWORD ServiceOptions",
        ".recording": "RecordedSession",
        ".server": "MemoryServer Pop3Server pop3_in_memory pop3_server",
    },
)
