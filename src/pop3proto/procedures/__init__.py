"""Procedures: what clients and servers do with the protocol, as generators that yield operations. No I/O.

The names here are for authors of stores, authenticators, observers and handlers of commands, and for those who drive
procedures over an I/O library of their own: a client's `Session` with `establish`, `login`, `call`; a server's
`serve_session`; and the operations that a driver performs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto.sasl.authenticator import Authenticator
    from pop3proto.sasl.channel import SessionInfo

    from .client.calls import call, call_all
    from .client.commands import establish, quit_session, start_tls
    from .client.exchange import authenticate
    from .client.login import login
    from .client.login_plan import LoginContext, LoginMethod, LoginPlan, plan_login
    from .client.session import Session
    from .maildrop import (
        InUse,
        Maildrop,
        MaildropStore,
        Message,
        MessageStream,
        ReadableFile,
        Refused,
        SupportsNotice,
        SupportsOpenMany,
        SupportsTop,
        Unavailable,
        wire_size,
    )
    from .observer import ClientObserver, Observer, ServerObserver
    from .operations import (
        Await,
        AwaitLogin,
        Displaced,
        EndTurn,
        Look,
        NewConnection,
        Now,
        Operation,
        Procedure,
        Random,
        Read,
        Reconnect,
        Run,
        RunLogin,
        ShuttingDown,
        Sleep,
        StartTls,
        Turn,
        UtcNow,
        Write,
    )
    from .server.deadlines import Deadlines
    from .server.handlers import HANDLERS
    from .server.limits import Place, SessionLimiter
    from .server.loop import serve_session
    from .server.penalties import LoginAttempt, LoginPenalty
    from .server.policy import (
        ALLOW,
        DENY,
        ComparesNames,
        CountsNetworks,
        Decision,
        Facts,
        KnowsLoginDelay,
        NotesLogins,
        Policy,
    )
    from .server.service import Service
    from .server.session import Handler, Handlers, ServerSession
    from .server.session_counts import OtherSessions
    from .server.session_events import LoginFailure, SessionEvents
    from .server.session_logins import SessionLogins
    from .server.session_policy import SessionPolicy
    from .server.session_record import SessionRecord
    from .server.settings import ServiceSettings

__all__ = [
    "ALLOW",
    "DENY",
    "HANDLERS",
    "Authenticator",
    "Await",
    "AwaitLogin",
    "ClientObserver",
    "ComparesNames",
    "CountsNetworks",
    "Deadlines",
    "Decision",
    "Displaced",
    "EndTurn",
    "Facts",
    "Handler",
    "Handlers",
    "InUse",
    "KnowsLoginDelay",
    "LoginAttempt",
    "LoginContext",
    "LoginFailure",
    "LoginMethod",
    "LoginPenalty",
    "LoginPlan",
    "Look",
    "Maildrop",
    "MaildropStore",
    "Message",
    "MessageStream",
    "NewConnection",
    "NotesLogins",
    "Now",
    "Observer",
    "Operation",
    "OtherSessions",
    "Place",
    "Policy",
    "Procedure",
    "Random",
    "Read",
    "ReadableFile",
    "Reconnect",
    "Refused",
    "Run",
    "RunLogin",
    "ServerObserver",
    "ServerSession",
    "Service",
    "ServiceSettings",
    "Session",
    "SessionEvents",
    "SessionInfo",
    "SessionLimiter",
    "SessionLogins",
    "SessionPolicy",
    "SessionRecord",
    "ShuttingDown",
    "Sleep",
    "StartTls",
    "SupportsNotice",
    "SupportsOpenMany",
    "SupportsTop",
    "Turn",
    "Unavailable",
    "UtcNow",
    "Write",
    "authenticate",
    "call",
    "call_all",
    "establish",
    "login",
    "plan_login",
    "quit_session",
    "serve_session",
    "start_tls",
    "wire_size",
]

export(
    globals(),
    {
        "pop3proto.sasl.authenticator": "Authenticator",
        "pop3proto.sasl.channel": "SessionInfo",
        ".client.calls": "call call_all",
        ".client.commands": "establish quit_session start_tls",
        ".client.exchange": "authenticate",
        ".client.login": "login",
        ".client.login_plan": "LoginContext LoginMethod LoginPlan plan_login",
        ".client.session": "Session",
        ".maildrop": (
            "InUse Maildrop MaildropStore Message MessageStream ReadableFile Refused SupportsNotice SupportsOpenMany "
            "SupportsTop Unavailable wire_size"
        ),
        ".observer": "ClientObserver Observer ServerObserver",
        ".operations": (
            "Await AwaitLogin Displaced EndTurn Look NewConnection Now Operation Procedure Random Read Reconnect "
            "Run RunLogin ShuttingDown Sleep StartTls Turn UtcNow Write"
        ),
        ".server.deadlines": "Deadlines",
        ".server.handlers": "HANDLERS",
        ".server.limits": "Place SessionLimiter",
        ".server.loop": "serve_session",
        ".server.penalties": "LoginAttempt LoginPenalty",
        ".server.session_policy": "SessionPolicy",
        ".server.session_record": "SessionRecord",
        ".server.policy": "ALLOW DENY ComparesNames CountsNetworks Decision Facts KnowsLoginDelay NotesLogins Policy",
        ".server.service": "Service",
        ".server.session": "Handler Handlers ServerSession",
        ".server.session_counts": "OtherSessions",
        ".server.session_events": "LoginFailure SessionEvents",
        ".server.session_logins": "SessionLogins",
        ".server.settings": "ServiceSettings",
    },
)
