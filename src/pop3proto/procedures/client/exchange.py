"""One SASL exchange of a client (RFC 5034 section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.commands import Auth
from pop3proto.core.errors import LocalProtocolError, MalformedReply, Pop3Error, RemoteProtocolError
from pop3proto.core.events import Answer, AuthCancel, AuthResponse, BadChallenge
from pop3proto.core.refusals import LoginFailed, RefusedLogin
from pop3proto.core.replies import Challenge, Err, Ok
from pop3proto.procedures.cleartext import IN_CLEAR
from pop3proto.procedures.operations import Procedure, Run, Write
from pop3proto.sasl.mechanism import ClientMechanism, MechanismError

if TYPE_CHECKING:
    from pop3proto.core.client import Request

    from .session import Session

__all__ = ["AuthForm", "Exchange", "authenticate"]


@attrs.define
class AuthForm:
    """In which form AUTH is sent: its initial response in the same line, or on one of its own (RFC 5034 section 4).

    Attributes:
        wished: in one line, says the caller.
        in_one_line: the form of the next AUTH.
        was_split: a step was, or is to be, tried again in two lines: once in a login.
        blamed: the refusal for that, until the step is refused in two lines as well.
    """

    wished: bool
    in_one_line: bool = attrs.field(init=False)
    was_split: bool = attrs.field(init=False, default=False)
    blamed: LoginFailed | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.in_one_line = self.wished

    def split(self, refusal: LoginFailed) -> None:
        """Use two lines from now on, because of a refusal that may be about the form."""
        self.in_one_line, self.was_split, self.blamed = False, True, refusal

    def restore(self) -> None:
        """Use the form that the caller has wished: the other one made no difference."""
        self.in_one_line = self.wished


class Exchange:
    """One exchange by one mechanism.

    Args:
        session: in the AUTHORIZATION state.
        mechanism: one that was sent no challenge yet.
        initial_response: it may go with AUTH.

    Attributes:
        in_one_line: the initial response goes with AUTH.
        challenged: the server sent a challenge, so that it did not refuse the form of the AUTH command.
    """

    def __init__(self, session: Session, mechanism: ClientMechanism, *, initial_response: bool = True) -> None:
        self.challenged: bool = False
        self._session: Final = session
        self._mechanism: Final = mechanism
        command = Auth(mechanism.name, mechanism.initial_response)
        announced = session.capabilities is not None and session.capabilities.sasl
        if not (initial_response and announced and session.connection.can_send(command)):
            command = Auth(mechanism.name)
        self.in_one_line: bool = command.initial_response is not None
        self._command: Final = command
        self._owed = mechanism.initial_response if command.initial_response is None else None

    def run(self) -> Procedure[None]:
        """Run it; see `authenticate`."""
        session, mechanism, command = self._session, self._mechanism, self._command
        item: Request = command
        cause: Pop3Error | None = None  # why it was cancelled
        while True:
            yield from Write(session.send(item), (yield from session.deadline()))
            match (yield from session.next_event()):
                case Challenge(data):
                    self.challenged = True
                    item, cause = yield from self._respond(data)
                case BadChallenge():
                    self.challenged = True
                    item = AuthCancel()
                    cause = MalformedReply(f"the server sent a challenge for {command} that is not valid base64")
                case Answer(_, Ok()) if self._owed is None and mechanism.complete:
                    return
                case Answer(_, Ok()):
                    session.connection.fail("the server cannot be believed")  # else the state would be as after a login
                    raise RemoteProtocolError(
                        f"the server accepted {command} before the exchange was complete: it may be an impostor"
                    )
                case Answer(_, Err() as reply):
                    attempt = RefusedLogin(command.redacted(), reply, session.without_secrets(mechanism.failure))
                    raise LoginFailed([attempt]) from cause
                case _:
                    raise RemoteProtocolError("the server sent something that is no part of a SASL exchange")

    def _respond(self, challenge: bytes) -> Procedure[tuple[AuthResponse | AuthCancel, Pop3Error | None]]:
        """Return what to answer to a challenge; if that is to cancel, also why."""
        mechanism, owed = self._mechanism, self._owed
        try:
            if owed is not None and not challenge:  # it asks for the initial response
                self._owed = None
                response = AuthResponse(owed)
            elif mechanism.blocks:
                response = AuthResponse((yield from Run(lambda: mechanism.respond(challenge))))
            else:
                response = AuthResponse(mechanism.respond(challenge))
        except MechanismError as error:
            return AuthCancel(), error
        if not self._session.connection.can_send(response):
            limit = self._session.connection.limits.sasl_line
            return AuthCancel(), LocalProtocolError(f"the {mechanism.name} response does not fit into {limit} octets")
        return response, None


def authenticate(session: Session, mechanism: ClientMechanism, *, initial_response: bool = True) -> Procedure[None]:
    """Log in by one SASL mechanism (RFC 5034 section 4), with the capabilities that are known.

    The initial response goes with AUTH if the server announces SASL and the line has room, else on its own.

    Args:
        session: in the AUTHORIZATION state.
        mechanism: a new one.
        initial_response: it may go with AUTH.

    Raises:
        LoginFailed: the server refused; or the exchange was cancelled, as a challenge did not belong to the mechanism
            or was not base64, or the response was too long: `__cause__` says so. The session is in the AUTHORIZATION
            state.
        LocalProtocolError, Busy: it cannot be sent now, or it would show a secret. Nothing was sent.
        RemoteProtocolError: the server accepted the client before it knew who that is, or before it proved that it
            knows the password itself. The session is over.
        ConnectionLost, TimedOut: likewise.
    """
    check_secrecy(session, mechanism)
    yield from session.acquire()
    yield from Exchange(session, mechanism, initial_response=initial_response).run()


def check_secrecy(session: Session, mechanism: ClientMechanism) -> None:
    """Check that a mechanism shows no secret where it must not be shown.

    Raises:
        LocalProtocolError: it would.
    """
    if mechanism.shows_secret and not session.context.may_show_password:
        raise LocalProtocolError(f"{mechanism.name} shows the password or token, {IN_CLEAR}")
