r"""Faults for tests of mail code: what goes wrong between a client and a server, on purpose.

    with pop3_server({"ann": mail}, faults=[Cut(after="RETR 3", octets=1000)]) as server:
        ...

They work in front of a test server, in memory too, and as a proxy in front of any other. Several make one fault after
the other, in order. The same `seed` gives the same. A fault of your own is a subclass of `Fault`.
"""

from __future__ import annotations

from .answers import (
    BareLF,
    DoubleAnswer,
    LongLine,
    LoseAnswer,
    NoTerminator,
    OkAsChallenge,
    StrayDot,
    TrailingJunk,
    Unstuffed,
    WrongCount,
    WrongSize,
)
from .behaviour import (
    CloseAfter,
    DeleteOnRetr,
    HideAfterRetr,
    JsonChallenge,
    Refuse,
    SlowLock,
    Throttle,
    TooEarly,
)
from .dialogue import Asked, Body, ChallengeLine, End, Part, StatusLine
from .habits import (
    ExtraBlanks,
    ListsAll,
    LoseBehind,
    NoInitialResponse,
    NoJsonChallenge,
    OldestOnly,
    Reword,
    ShortTop,
)
from .line import Fault, HangUp, Here, Hold, Octets, Step, Wait
from .proxy import FaultyProxy, faulty
from .stream import Cut, Drip, Reset, SplitEvery, Stall
from .tls import InjectAtStls, TlsFails
from .uids import LongUids, NewUids, NoUid, ReuseUid, SameUid

__all__ = [
    "Asked",
    "BareLF",
    "Body",
    "ChallengeLine",
    "CloseAfter",
    "Cut",
    "DeleteOnRetr",
    "DoubleAnswer",
    "Drip",
    "End",
    "ExtraBlanks",
    "Fault",
    "FaultyProxy",
    "HangUp",
    "Here",
    "HideAfterRetr",
    "Hold",
    "InjectAtStls",
    "JsonChallenge",
    "ListsAll",
    "LongLine",
    "LongUids",
    "LoseAnswer",
    "LoseBehind",
    "NewUids",
    "NoInitialResponse",
    "NoJsonChallenge",
    "NoTerminator",
    "NoUid",
    "Octets",
    "OkAsChallenge",
    "OldestOnly",
    "Part",
    "Refuse",
    "Reset",
    "ReuseUid",
    "Reword",
    "SameUid",
    "ShortTop",
    "SlowLock",
    "SplitEvery",
    "Stall",
    "StatusLine",
    "Step",
    "StrayDot",
    "Throttle",
    "TlsFails",
    "TooEarly",
    "TrailingJunk",
    "Unstuffed",
    "Wait",
    "WrongCount",
    "WrongSize",
    "faulty",
]
