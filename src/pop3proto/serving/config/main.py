"""The configuration of a server: what its file says, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto._config.keys import about
from pop3proto.core.limits import NO_QUIRKS, Quirk
from pop3proto.serving.delivery.filtering import Filtering
from pop3proto.serving.quota.rules import Quota
from pop3proto.serving.retention.rules import OnDelete, Retain

from .access import AccessRule, LoginSettings, SessionLimits, Timeouts
from .listeners import Listen, RunAs, Tls
from .mail import Maildrops  # noqa: TC001 - cattrs reads the annotations
from .reporting import Log, Metrics
from .users import Introspection, Users  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ServeConfig"]


@attrs.frozen(kw_only=True)
class ServeConfig:
    """What the configuration file of a server says. The fields are its keys and tables.

    Raises:
        ValueError: what it says contradicts itself.
    """

    listen: tuple[Listen, ...] = attrs.field(metadata=about("where the server listens: a table, or a list of them"))
    maildrops: Maildrops = attrs.field(metadata=about("where the maildrops are"))
    users: Users | None = attrs.field(
        default=None, metadata=about("who may log in with a password: one of the tables below")
    )
    tokens: Introspection | None = attrs.field(
        default=None,
        metadata=about("who may log in with an OAuth token (OAUTHBEARER, XOAUTH2), beside `users` or alone: a table"),
    )
    quota: Quota = attrs.field(default=Quota(), metadata=about("how much a user's maildrop may hold"))
    retain: Retain = attrs.field(
        default=Retain(), metadata=about("how long mail is kept; expired mail is removed by a job of the server")
    )
    on_delete: OnDelete = attrs.field(
        default=OnDelete(), metadata=about("what becomes of messages that are deleted by POP3")
    )
    filter_: Filtering = attrs.field(
        default=Filtering(), metadata=about("filters that look at what `pop3proto deliver` delivers")
    )
    tls: Tls | None = attrs.field(default=None, metadata=about("certificate and key; without it, there is no TLS"))
    login: LoginSettings = attrs.field(default=LoginSettings(), metadata=about("how clients log in"))
    limits: SessionLimits = attrs.field(default=SessionLimits(), metadata=about("how many sessions there may be"))
    access: tuple[AccessRule, ...] = attrs.field(
        default=(), metadata=about("who may log in, from where and when: the first rule that fits decides")
    )
    timeouts: Timeouts = attrs.field(default=Timeouts(), metadata=about("how long the server waits"))
    run: RunAs = attrs.field(default=RunAs(), metadata=about("as which user the server runs"))
    log: Log = attrs.field(default=Log(), metadata=about("where the log goes, and in which form"))
    metrics: Metrics | None = attrs.field(default=None, metadata=about("where Prometheus finds the metrics"))
    hostname: str = attrs.field(
        default="localhost", metadata=about("the name of this server in challenges and timestamps")
    )
    greeting: str = attrs.field(default="POP3 server ready", metadata=about("the text of the greeting"))
    lower_case_users: bool = attrs.field(
        default=False,
        metadata=about(
            "names of users are folded to lower case, as Dovecot does it: clients may log in as `Ann`, and mail for "
            "`Ann` may be delivered, and both are `ann` in the source of users"
        ),
    )
    quirks: frozenset[Quirk] = attrs.field(
        default=NO_QUIRKS, metadata=about("deviations of clients that are tolerated: `bare_lf`")
    )
    last: bool = attrs.field(
        default=False,
        metadata=about("the command LAST of RFC 1460 is answered, for old clients that know no UIDL"),
    )

    def __attrs_post_init__(self) -> None:
        if problems := [*_problems(self)]:
            raise ValueError("; ".join(problems))


def _problems(config: ServeConfig) -> Iterator[str]:
    if config.users is None and config.tokens is None and (config.tls is None or config.tls.client_name is None):
        yield "no user could log in: users, tokens, or tls.client_name, is missing"
    domains = {listen.domain for listen in config.listen if listen.tls != "none"}
    if config.tls is not None and config.tls.client_name in ("common_name", "user_id") and len(domains) > 1:
        yield (
            "a certificate would be good for a user of each domain, as the listeners have several: "
            'tls.client_name must be "email" then'
        )
    if config.tls is None:
        for listen in config.listen:
            if listen.tls == "implicit":
                yield f"the listener {listen.name} needs a certificate: [tls] is missing"
    for name in {each.name for each in config.listen}:
        if len([each for each in config.listen if each.name == name]) > 1 and not name.endswith(":0"):
            yield f"there are two listeners {name}"
