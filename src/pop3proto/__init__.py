"""pop3proto: the POP3 protocol for clients and servers, without I/O.

This package exports the names of the core: connections, commands, events, replies, results, errors. Import the other
packages by name, for example `pop3proto.blocking`, `pop3proto.asyncio` or `pop3proto.maildrops`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._exports import export

if TYPE_CHECKING:
    from .core.capabilities import Capabilities, Expire, LoginDelay
    from .core.client import ClientConnection, Request
    from .core.commands import (
        STANDARD,
        Apop,
        Auth,
        AuthList,
        Capa,
        Command,
        Dele,
        Lang,
        LangList,
        List,
        ListOne,
        Noop,
        NumberedCommand,
        Pass,
        PlainCommand,
        Quit,
        Retr,
        Rset,
        Stat,
        Stls,
        Top,
        Uidl,
        UidlOne,
        User,
        Utf8,
    )
    from .core.dots import BodyDecoder, BodyEncoder
    from .core.errors import (
        Broken,
        Busy,
        CertificateError,
        ConnectionLost,
        LocalProtocolError,
        MalformedReply,
        Pop3Error,
        ProtocolError,
        RemoteProtocolError,
        TimedOut,
        TlsAlert,
        UncertainUpdate,
    )
    from .core.events import (
        NEED_DATA,
        PAUSED,
        Answer,
        AuthCancel,
        AuthResponse,
        BadChallenge,
        BadCommand,
        BodyChunk,
        BodyEnd,
        ClientEvent,
        ConnectionClosed,
        Farewell,
        ServerEvent,
        Signal,
        Tolerated,
    )
    from .core.limits import Limits, Quirk
    from .core.quirks import PROFILES, quirks_named
    from .core.refusals import CommandFailed, LoginFailed, RefusedLogin, SessionRefused
    from .core.replies import Challenge, Err, Greeting, Ok, ResponseCode
    from .core.results import Language, Listing, MaildropStatus, ScanListing, UniqueId, UniqueIdListing, check_unique_id
    from .core.server import Response, ServerConnection
    from .core.states import AFTER_LOGIN, ANYWHERE, BEFORE_LOGIN, Fact, State

__all__ = [
    "AFTER_LOGIN",
    "ANYWHERE",
    "BEFORE_LOGIN",
    "NEED_DATA",
    "PAUSED",
    "PROFILES",
    "STANDARD",
    "Answer",
    "Apop",
    "Auth",
    "AuthCancel",
    "AuthList",
    "AuthResponse",
    "BadChallenge",
    "BadCommand",
    "BodyChunk",
    "BodyDecoder",
    "BodyEncoder",
    "BodyEnd",
    "Broken",
    "Busy",
    "Capa",
    "Capabilities",
    "CertificateError",
    "Challenge",
    "ClientConnection",
    "ClientEvent",
    "Command",
    "CommandFailed",
    "ConnectionClosed",
    "ConnectionLost",
    "Dele",
    "Err",
    "Expire",
    "Fact",
    "Farewell",
    "Greeting",
    "Lang",
    "LangList",
    "Language",
    "Limits",
    "List",
    "ListOne",
    "Listing",
    "LocalProtocolError",
    "LoginDelay",
    "LoginFailed",
    "MaildropStatus",
    "MalformedReply",
    "Noop",
    "NumberedCommand",
    "Ok",
    "Pass",
    "PlainCommand",
    "Pop3Error",
    "ProtocolError",
    "Quirk",
    "Quit",
    "RefusedLogin",
    "RemoteProtocolError",
    "Request",
    "Response",
    "ResponseCode",
    "Retr",
    "Rset",
    "ScanListing",
    "ServerConnection",
    "ServerEvent",
    "SessionRefused",
    "Signal",
    "Stat",
    "State",
    "Stls",
    "TimedOut",
    "TlsAlert",
    "Tolerated",
    "Top",
    "Uidl",
    "UidlOne",
    "UncertainUpdate",
    "UniqueId",
    "UniqueIdListing",
    "User",
    "Utf8",
    "__version__",
    "check_unique_id",
    "quirks_named",
]

__version__ = "0.1.0.dev0"

export(
    globals(),
    {
        ".core.capabilities": "Capabilities Expire LoginDelay",
        ".core.client": "ClientConnection Request",
        ".core.commands": (
            "STANDARD Apop Auth AuthList Capa Command Dele Lang LangList List ListOne Noop NumberedCommand Pass "
            "PlainCommand Quit Retr Rset Stat Stls Top Uidl UidlOne User Utf8"
        ),
        ".core.dots": "BodyDecoder BodyEncoder",
        ".core.errors": (
            "Broken Busy CertificateError ConnectionLost LocalProtocolError MalformedReply Pop3Error "
            "ProtocolError RemoteProtocolError TimedOut TlsAlert UncertainUpdate"
        ),
        ".core.events": (
            "NEED_DATA PAUSED Answer AuthCancel AuthResponse BadChallenge BadCommand BodyChunk BodyEnd "
            "ClientEvent ConnectionClosed Farewell ServerEvent Signal Tolerated"
        ),
        ".core.limits": "Limits Quirk",
        ".core.quirks": "PROFILES quirks_named",
        ".core.refusals": "CommandFailed LoginFailed RefusedLogin SessionRefused",
        ".core.replies": "Challenge Err Greeting Ok ResponseCode",
        ".core.results": "Language Listing MaildropStatus ScanListing UniqueId UniqueIdListing check_unique_id",
        ".core.server": "Response ServerConnection",
        ".core.states": "AFTER_LOGIN ANYWHERE BEFORE_LOGIN Fact State",
    },
)
