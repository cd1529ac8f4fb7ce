"""The options of a test server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set as AbstractSet

    from pop3proto.core.limits import Limits, Quirk
    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.procedures.maildrop import MaildropStore
    from pop3proto.procedures.observer import ServerObserver
    from pop3proto.procedures.server.deadlines import Deadlines
    from pop3proto.procedures.server.penalties import LoginPenalty
    from pop3proto.procedures.server.policy import Policy
    from pop3proto.procedures.server.session import Handlers
    from pop3proto.sasl.authenticator import Authenticator
    from pop3proto.sasl.registry import ServerMechanisms

__all__ = ["PASSWORD", "ServiceOptions"]

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
    policy: Policy | None
    login_attempts: int
    failure_delay: float
    greeting: str
    hostname: str
    implementation: str
    mechanisms: ServerMechanisms | Iterable[str]
    user_pass: bool
    apop: bool
    lower_case_users: bool
    limits: Limits
    quirks: AbstractSet[Quirk]
    observer: ServerObserver | Sequence[ServerObserver] | None
    handlers: Handlers
