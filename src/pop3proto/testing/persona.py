"""What makes a persona, a kind of server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto.sasl.registry import SERVER_MECHANISMS

from .faults.line import faults_of

if TYPE_CHECKING:
    from pop3proto.core.capabilities import Capabilities

    from .faults.line import Fault
    from .options import ServiceOptions

__all__ = ["Persona"]


def _no_options() -> ServiceOptions:
    return {}


@attrs.frozen(kw_only=True)
class Persona:
    """What a kind of server does.

    Args:
        faults: what it does otherwise than the test server. Those of a test come behind them.
        capabilities: what CAPA announces before login; None: what the test server does. STLS is announced where TLS can
            begin, whatever stands here; USER and mechanisms that the test server knows, where it takes them.
        after_login: what CAPA announces after login; None: the same.
        options: options of `Service`; those of a test win.
        has_passwords: users have the password `PASSWORD`; else only those that a test names with `passwords=`.
        has_recent: the user "recent:ann" is ann, and finds what was retrieved before as well.
    """

    faults: tuple[Fault, ...] = attrs.field(default=(), converter=faults_of, hash=False)
    capabilities: Capabilities | None = None
    after_login: Capabilities | None = None
    options: ServiceOptions = attrs.field(factory=_no_options, hash=False)
    has_passwords: bool = True
    has_recent: bool = False

    def announce(self, able: Capabilities, *, logged_in: bool) -> Capabilities:
        """Return what CAPA announces.

        Args:
            able: what the server can do for this client now.
            logged_in: after login.
        """
        announced = self.after_login if logged_in and self.after_login is not None else self.capabilities
        if announced is None:
            return able
        sasl = tuple(name for name in announced.sasl if name not in SERVER_MECHANISMS or name in able.sasl)
        return attrs.evolve(announced, sasl=sasl, user=announced.user and able.user, stls=able.stls)
