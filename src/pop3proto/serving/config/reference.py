"""The reference of all keys of the server's file, in Markdown: `python -m` and the name of this module."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, get_args

from pop3proto._config.reference import KeyTables
from pop3proto.serving.access.hours import Hours
from pop3proto.serving.access.rules import Refusal
from pop3proto.serving.delivery.filtering import Filtering
from pop3proto.serving.quota.rules import Quota
from pop3proto.serving.retention.rules import OnDelete, Retain
from pop3proto.serving.template import Template

from .access import AccessRule, LoginDelayRule, LoginSettings, Penalty, SessionLimits, Timeouts
from .listeners import CertificateFiles, Listen, ProxyFrom, RunAs, Tls
from .mail import Maildrops
from .main import ServeConfig
from .reporting import Log, Metrics
from .users import Introspection, Users
from .values import DomainName, MethodName, NetworkName, SocketAddress, UserPattern

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SECTIONS", "reference"]

SECTIONS: Final[dict[str, tuple[type[Any], ...]]] = {
    "The file": (ServeConfig,),
    "Tables of `listen`": (Listen,),
    "The table `proxy_protocol` of a listener": (ProxyFrom,),
    "Tables of `users`": get_args(Users),
    "The table `tokens`": (Introspection,),
    "The table `maildrops`": (Maildrops,),
    "The table `quota`": (Quota,),
    "The table `retain`": (Retain,),
    "The table `on_delete`": (OnDelete,),
    "The table `filter`": (Filtering,),
    "The table `tls`": (Tls,),
    "Tables of `names` in `tls`": (CertificateFiles,),
    "The table `login`": (LoginSettings,),
    "The table `penalty` of `login`": (Penalty,),
    "Tables of `delay` in `login`": (LoginDelayRule,),
    "Tables of `access`": (AccessRule,),
    "Tables of `hours`": (Hours,),
    "The tables `refuse` and `else`": (Refusal,),
    "The table `limits`": (SessionLimits,),
    "The table `timeouts`": (Timeouts,),
    "The table `run`": (RunAs,),
    "The table `log`": (Log,),
    "The table `metrics`": (Metrics,),
}
"""The classes of the file, by the title of their table in the reference."""

_TABLES: Final = KeyTables(
    words={
        SocketAddress: "address and port",
        DomainName: "domain",
        Template: "path with fields",
        UserPattern: "pattern",
        dict[str, CertificateFiles]: "table of tables",
        dict[NetworkName, int]: "table of numbers",
        **{kind: "table" for kinds in SECTIONS.values() for kind in kinds},
    },
    lists={
        Listen: "table, or list of them",
        LoginDelayRule: "table, or list of them",
        AccessRule: "list of tables",
        Hours: "table, or list of them",
        UserPattern: "pattern, or list of them",
        NetworkName: "network, or list of them",
        MethodName: "method, or list of them",
    },
)


def reference() -> str:
    """Return tables of all keys."""
    return "\n".join(_lines()).strip()


def _lines() -> Iterator[str]:
    for title, kinds in SECTIONS.items():
        yield ""
        yield f"### {title}"
        yield ""
        yield from _TABLES.HEAD
        for kind in kinds:
            yield from _TABLES.rows(kind)


if __name__ == "__main__":
    sys.stdout.write(f"{reference()}\n")
