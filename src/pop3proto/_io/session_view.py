"""What a client of any adapter can tell about its session without asking the server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import forgetting_locals
from pop3proto.procedures.client.login import planned
from pop3proto.sasl.credentials import Credentials
from pop3proto.sasl.registry import CLIENT_MECHANISMS, ClientMechanisms

if TYPE_CHECKING:
    from collections.abc import Collection

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.limits import Quirk
    from pop3proto.core.replies import Err, Greeting, Ok
    from pop3proto.core.states import State
    from pop3proto.procedures.client.login_plan import LoginPlan
    from pop3proto.procedures.client.session import Session
    from pop3proto.sasl.channel import TlsInfo

    from .peers import Peer

__all__ = ["SessionView"]


class SessionView(ABC):
    """The properties of a client's session."""

    def __init__(self, session: Session) -> None:
        self.session: Final = session

    @property
    @abstractmethod
    def peer(self) -> Peer:
        """The server: its address and port, and whether it is on this machine."""

    @property
    def state(self) -> State:
        """The state of the session."""
        return self.session.connection.state

    @property
    def greeting(self) -> Greeting | None:
        """The server's greeting."""
        return self.session.greeting

    @property
    def capabilities(self) -> Capabilities | None:
        """The server's latest answer to CAPA; None: it was not asked, or does not know CAPA."""
        return self.session.capabilities

    @property
    def last_reply(self) -> Ok | Err | None:
        """The latest reply, with its text: after `dele`, `login` or `quit` for example, which return nothing."""
        return self.session.last_reply

    @property
    def tolerated(self) -> frozenset[Quirk]:
        """The deviations of the server that were met and tolerated so far; only `quirks=` of `connect` allows any."""
        return frozenset(self.session.tolerated)

    @property
    def tls(self) -> TlsInfo | None:
        """The result of the TLS handshake; None without TLS."""
        return self.session.tls

    def login_plan(
        self,
        user: str | Credentials,
        password: str | None = None,
        *,
        token: str | None = None,
        only: Collection[str] | None = None,
        mechanisms: ClientMechanisms = CLIENT_MECHANISMS,
    ) -> LoginPlan:
        """Return what `login` would try now, what it would not try, and why; `print` it to read it.

        Raises:
            LocalProtocolError: the capabilities are not known yet: call `capa` or `start_tls` first.
        """
        try:
            with forgetting_locals():
                credentials = Credentials.of(user, password, token)
        finally:
            del password, token
        return planned(self.session, credentials, only=only, mechanisms=mechanisms)
