"""How a fetch logs in, as often as it has to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import ConnectionLost, LocalProtocolError
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.client.commands import reconnect
from pop3proto.procedures.client.login import login
from pop3proto.procedures.operations import Procedure, Run
from pop3proto.sasl.credentials import Credentials, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pop3proto.procedures.client.session import Session

__all__ = ["LATER", "Login"]

LATER: Final = frozenset({ResponseCode.IN_USE, ResponseCode.LOGIN_DELAY, ResponseCode.SYS_TEMP})
"""Response codes of a login that was refused for now."""

_ABOUT_THE_TOKEN = (None, ResponseCode.AUTH)


@attrs.frozen(kw_only=True)
class Login:
    """How to log in.

    Args:
        credentials: what to log in with; or a function that returns it, which may block. It is called before each
            login: with True if the server has just refused what it returned last, which is done once if that was a
            token, as tokens run out. It may then return None: there is no other.
        only: as in `Client.login`.
        initial_response: as in `Client.login`.
        password_encoding: as in `Client.login`.
    """

    credentials: Credentials | Callable[[bool], Credentials | None] = attrs.field(repr=False)
    only: Collection[str] | None = None
    initial_response: bool = True
    password_encoding: str | None = None

    def perform(self, session: Session) -> Procedure[None]:
        """Log in.

        Raises:
            Pop3Error: as `login` of the procedures.
            Exception: what the function for the credentials raises.
        """
        if (credentials := (yield from self._get(refused=False))) is None:
            raise LocalProtocolError("there is nothing to log in with")
        try:
            yield from self._log_in(session, credentials)
        except LoginFailed as failure:
            if isinstance(self.credentials, Credentials) or not isinstance(credentials, Token):
                raise
            if failure.code not in _ABOUT_THE_TOKEN:
                raise
            another = yield from self._get(refused=True)
            if another is None:
                raise
            if session.broken is not None:
                if not session.reconnects:
                    raise
                yield from reconnect(session, ConnectionLost("the server has hung up after it refused the token"))
            yield from self._log_in(session, another)

    def _get(self, *, refused: bool) -> Procedure[Credentials | None]:
        if isinstance(self.credentials, Credentials):
            return self.credentials
        return (yield from Run(self.credentials, refused))

    def _log_in(self, session: Session, credentials: Credentials) -> Procedure[None]:
        yield from login(
            session,
            credentials,
            only=self.only,
            initial_response=self.initial_response,
            password_encoding=self.password_encoding,
        )
