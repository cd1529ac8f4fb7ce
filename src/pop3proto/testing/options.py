"""The options of a test server, and what it takes in place of those that are not given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypedDict, cast

from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.maildrops import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence, Set as AbstractSet

    from pop3proto.core.limits import Limits, Quirk
    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.procedures.maildrop import MaildropStore
    from pop3proto.procedures.observer import ServerObserver
    from pop3proto.procedures.server.deadlines import Deadlines
    from pop3proto.procedures.server.penalties import LoginPenalty
    from pop3proto.procedures.server.session import Handlers
    from pop3proto.sasl.authenticator import Authenticator
    from pop3proto.sasl.registry import ServerMechanisms

__all__ = ["PASSWORD", "ServiceOptions", "with_users"]

PASSWORD: Final = "tanstaaf"  # noqa: S105 - not a secret
"""The password of every user for whom no password is given."""


class ServiceOptions(TypedDict, total=False):
    """Options of `Service` that a test server takes. It sets four if they are not given: see `pop3_server`."""

    store: MaildropStore
    authenticator: Authenticator
    cleartext: Cleartext
    deadlines: Deadlines
    max_sessions: int
    max_sessions_before_login: int | None
    max_sessions_per_address: int | None
    logins_per_address: int
    login_penalty: LoginPenalty | None
    exempt: Iterable[str]
    login_attempts: int
    failure_delay: float
    greeting: str
    hostname: str
    implementation: str
    mechanisms: ServerMechanisms | Iterable[str]
    user_pass: bool
    apop: bool
    limits: Limits
    quirks: AbstractSet[Quirk]
    observer: ServerObserver | Sequence[ServerObserver] | None
    handlers: Handlers


def with_users(
    maildrops: Mapping[str, Iterable[bytes]] | None,
    passwords: Mapping[str, str] | None,
    tokens: Mapping[str, str] | None,
    options: ServiceOptions,
) -> ServiceOptions:
    """Return options that have a store and an authenticator."""
    options = options.copy()
    if "store" not in options:
        _check_maildrops(maildrops or {})
        options["store"] = MemoryStore(maildrops or {})
    elif maildrops is not None:
        raise ValueError("give maildrops or a store, not both")
    elif not passwords and not tokens and "authenticator" not in options:
        raise ValueError("with a store of your own, say who may log in: passwords=, tokens= or authenticator=")
    if "authenticator" not in options:
        users = dict.fromkeys(maildrops or {}, PASSWORD) | dict(passwords or {})
        options["authenticator"] = MemoryTokenAuthenticator(users, tokens) if tokens else MemoryAuthenticator(users)
    elif passwords or tokens:
        raise ValueError("give passwords and tokens or an authenticator, not both")
    return options


def _check_maildrops(maildrops: object) -> None:
    """Refuse what a type checker would have refused."""
    if not isinstance(maildrops, Mapping):
        raise TypeError(f"maildrops takes messages by user, such as {{'ann': [b'...']}}, not {maildrops!r:.50}")
    for user, messages in cast("Mapping[object, object]", maildrops).items():
        if isinstance(messages, str | bytes) or not isinstance(messages, Iterable):
            raise TypeError(f"the maildrop of {user!r} takes a list of messages, not {messages!r:.50}")
