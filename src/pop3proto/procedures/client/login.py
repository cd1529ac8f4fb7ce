"""Logging in, for clients: one SASL exchange, and trying the methods of a plan in order."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import Apop, Auth, Command, Pass, User
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, Pop3Error, RemoteProtocolError
from pop3proto.core.events import Answer, AuthCancel, AuthResponse
from pop3proto.core.refusals import CommandFailed, LoginAttempt, LoginFailed
from pop3proto.core.replies import Challenge, Err, Ok, ResponseCode
from pop3proto.core.states import State
from pop3proto.procedures.cleartext import IN_CLEAR
from pop3proto.procedures.operations import Procedure, Random, Run, Write
from pop3proto.sasl.credentials import Credentials, Password
from pop3proto.sasl.md5 import apop_digest
from pop3proto.sasl.mechanism import ClientMechanism, MechanismError, Strength
from pop3proto.sasl.registry import CLIENT_MECHANISMS, ClientContext, ClientMechanisms

from .commands import call, learn_capabilities, relearn_capabilities
from .login_plan import APOP, USER_PASS, LoginMethod, LoginPlan, plan_login

if TYPE_CHECKING:
    from collections.abc import Collection

    from pop3proto.core.client import Request
    from pop3proto.sasl.channel import ChannelBinding

    from .session import Session

__all__ = ["authenticate", "login", "login_by", "planned"]

_NONCE: Final = 18  # octets of chance: 24 characters of base64, as in the examples of RFC 5802

_PASSES: Final = (ResponseCode.IN_USE, ResponseCode.LOGIN_DELAY, ResponseCode.SYS_TEMP)
"""Response codes of refusals that do not depend on the login method (RFC 3206 section 4)."""


def login(  # noqa: PLR0913 - each has its default, and a name
    session: Session,
    credentials: Credentials,
    *,
    only: Collection[str] | None = None,
    mechanisms: ClientMechanisms = CLIENT_MECHANISMS,
    initial_response: bool = True,
    binding: ChannelBinding | None = None,
) -> Procedure[None]:
    """Log in by the best method that both sides support; ask for the capabilities before and after.

    Args:
        session: in the AUTHORIZATION state.
        credentials: what there is to log in with.
        only: names of mechanisms, "APOP" and "USER/PASS" included, that may be tried; None: as `plan_login` sees fit.
        mechanisms: those that are known.
        initial_response: it may go with AUTH; some servers want it on a line of its own.
        binding: what this TLS channel can be bound to, in place of what the stream found: "tls-exporter" for example.

    Raises:
        LocalProtocolError: there is no way that the credentials and the policy allow, or they cannot be sent. Nothing
            of them was sent.
        LoginFailed: the server refused. The session is in the AUTHORIZATION state; or over, if the server then hung up.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    if binding is not None:
        session.bind(binding)
    yield from session.in_time(
        _login(
            session,
            credentials,
            only=_upper(only),
            mechanisms=mechanisms,
            initial_response=initial_response,
        )
    )


def planned(
    session: Session,
    credentials: Credentials,
    *,
    only: Collection[str] | None = None,
    mechanisms: ClientMechanisms = CLIENT_MECHANISMS,
) -> LoginPlan:
    """Return what `login` would try now.

    Raises:
        LocalProtocolError: the server was not asked what it can do.
    """
    if not session.context.asked:
        raise LocalProtocolError("capabilities are not known yet; call capa() first")
    return plan_login(credentials, session.context, only=_upper(only), mechanisms=mechanisms)


def _upper(only: Collection[str] | None) -> set[str] | None:
    if isinstance(only, str):
        raise TypeError("only takes a list of names, not one name")
    return None if only is None else {name.upper() for name in only}


def _login(
    session: Session,
    credentials: Credentials,
    *,
    only: Collection[str] | None,
    mechanisms: ClientMechanisms,
    initial_response: bool,
) -> Procedure[None]:
    yield from _prepare(session)
    plan = plan_login(credentials, session.context, only=only, mechanisms=mechanisms)
    if not plan.steps:
        why = plan.objections or ("no mechanism takes these credentials" if only is None else "none that is asked for")
        raise LocalProtocolError(f"no usable login method: {why}")
    yield from _walk(session, plan.steps, credentials, initial_response=initial_response)
    session.logged_in(getattr(credentials, "user", None))
    yield from _conclude(session)


def login_by(session: Session, mechanism: ClientMechanism, *, initial_response: bool = True) -> Procedure[None]:
    """Log in by one SASL mechanism, and learn the capabilities before and after.

    Args:
        session: in the AUTHORIZATION state.
        mechanism: a new one.
        initial_response: it may go with AUTH.

    Raises:
        Pop3Error: as `authenticate`.
    """
    yield from session.in_time(_login_by(session, mechanism, initial_response=initial_response))


def _login_by(session: Session, mechanism: ClientMechanism, *, initial_response: bool) -> Procedure[None]:
    yield from _prepare(session)
    yield from authenticate(session, mechanism, initial_response=initial_response)
    yield from _conclude(session)


def _prepare(session: Session) -> Procedure[None]:
    yield from session.acquire()  # a session that is over says so, not that there is no way to log in
    if session.connection.state is State.USER_GIVEN:
        raise LocalProtocolError("a USER is pending: send its PASS, or connect again; login() sends both by itself")
    if session.capabilities is None:
        yield from learn_capabilities(session)


def _conclude(session: Session) -> Procedure[None]:
    if session.capabilities is not None:
        yield from relearn_capabilities(session)  # some servers tell more, or less, after login


def _walk(
    session: Session, steps: tuple[LoginMethod, ...], credentials: Credentials, *, initial_response: bool
) -> Procedure[None]:
    attempts: list[LoginAttempt] = []
    unfit: LocalProtocolError | None = None
    judged = False  # the password was looked at, and is wrong: a digest of it will not be better
    bound = False  # a mechanism with channel binding was refused: perhaps the TLS channel is intercepted
    for step in steps:
        if (judged and step.strength > Strength.CLEAR) or (bound and step.strength < Strength.MUTUAL):
            continue
        try:
            return (yield from _take(session, step, credentials, initial_response=initial_response))
        except LocalProtocolError as error:
            unfit = unfit or error
        except LoginFailed as failure:
            attempts += failure.attempts
            judged |= _is_judgement(session, failure)
            bound |= step.strength is Strength.BOUND
            if _gave_up(failure) or _settles(step, failure, judged=judged):
                raise LoginFailed(attempts) from failure.__cause__
        except ConnectionLost as lost:
            if not attempts:
                raise
            # Many servers hang up after a refusal. The refusal is the news.
            session.end(str(lost), lost)
            raise LoginFailed(attempts) from lost
    if unfit is not None and not attempts:
        raise unfit
    raise LoginFailed(attempts)


def _gave_up(failure: LoginFailed) -> bool:
    """Return whether the client itself has ended the exchange: this server is not trusted any more."""
    # What the server has said of why it refuses, "e=..." of SCRAM say, is a refusal like any other.
    return failure.__cause__ is not None and not failure.attempts[-1].detail


def _is_judgement(session: Session, failure: LoginFailed) -> bool:
    """Return whether the server has looked at the credentials, and refused these (RFC 3206 section 6)."""
    # The code means that only if the server has promised to use it.
    promised = session.capabilities is not None and session.capabilities.auth_resp_code
    return promised and failure.reply.has(ResponseCode.AUTH)


def _settles(step: LoginMethod, failure: LoginFailed, *, judged: bool) -> bool:
    """Return whether no other login method would change a refusal."""
    if any(failure.reply.has(code) for code in _PASSES):
        return True
    # Of a token that it has refused, a server says more within the exchange (RFC 7628 section 3.2.2).
    return step.strength is Strength.CLEAR and (judged or bool(failure.attempts[-1].detail))


def _take(session: Session, step: LoginMethod, credentials: Credentials, *, initial_response: bool) -> Procedure[None]:
    """Try one login method.

    Raises:
        LocalProtocolError: the credentials do not fit into it; nothing of them was sent.
        LoginFailed: the server refused.
    """
    if step.entry is not None:
        context = session.context
        nonce = base64.b64encode((yield from Random(_NONCE))).decode()
        try:
            mechanism = step.entry.make(
                ClientContext(
                    credentials=credentials,
                    nonce=nonce,
                    binding=context.binding,
                    announced=context.announced,
                )
            )
        except MechanismError as error:
            raise LocalProtocolError(f"{step.name} cannot be used: {error}") from error
        yield from authenticate(session, mechanism, initial_response=initial_response)
    else:
        assert isinstance(credentials, Password)  # noqa: S101 - these ways are planned for nothing else
        for command in {APOP: _apop, USER_PASS: _user_pass}[step.name](session, credentials):
            try:
                yield from call(session, command)
            except CommandFailed as failure:
                raise LoginFailed([LoginAttempt(command.redacted(), failure.reply)]) from None


def _apop(session: Session, credentials: Password) -> list[Command[object]]:
    try:
        digest = apop_digest(session.context.timestamp or "", credentials.password)
    except MechanismError as error:
        raise LocalProtocolError(f"APOP cannot be used: {error}") from error
    return _fitting(session, Apop(credentials.user, digest), text=credentials.user)


def _user_pass(session: Session, credentials: Password) -> list[Command[object]]:
    user, password = User(credentials.user), Pass(credentials.password)  # both must be valid before the first is sent
    return _fitting(session, user, password, text=credentials.user + credentials.password)


def _fitting(session: Session, *commands: Command[object], text: str) -> list[Command[object]]:
    """Return the commands if their lines, and this text in them, can be sent."""
    announced = session.capabilities
    if not text.isascii() and not (announced is not None and announced.utf8_user):
        raise LocalProtocolError("the server takes only ASCII in USER, PASS and APOP (RFC 6856 section 2.2)")
    limit = session.connection.limits.command_line
    if max(len(command.encode()) for command in commands) > limit:
        raise LocalProtocolError(f"name and password must each fit into a line of {limit} octets")
    return list(commands)


def authenticate(session: Session, mechanism: ClientMechanism, *, initial_response: bool = True) -> Procedure[None]:
    """Log in by one SASL mechanism (RFC 5034 section 4), with the capabilities that are known.

    The initial response goes with AUTH if the server announces SASL and the line has room, else on its own.

    Args:
        session: in the AUTHORIZATION state.
        mechanism: a new one.
        initial_response: it may go with AUTH.

    Raises:
        LoginFailed: the server refused; or the exchange was cancelled, as a challenge did not belong to the mechanism
            or the response was too long: `__cause__` says so. The session is in the AUTHORIZATION state.
        LocalProtocolError, Busy: it cannot be sent now, or it would show a secret. Nothing was sent.
        RemoteProtocolError: the server accepted the client before it knew who that is, or before it proved that it
            knows the password itself. The session is over.
        ConnectionLost, TimedOut: likewise.
    """
    if mechanism.shows_secret and not session.context.may_show_password:
        raise LocalProtocolError(f"{mechanism.name} shows the password or token, {IN_CLEAR}")
    yield from session.acquire()
    connection = session.connection
    command = Auth(mechanism.name, mechanism.initial_response)
    announced = session.capabilities is not None and session.capabilities.sasl
    if not (initial_response and announced and connection.can_send(command)):
        command = Auth(mechanism.name)
    owed = mechanism.initial_response if command.initial_response is None else None
    item: Request = command
    cause: Pop3Error | None = None  # why it was cancelled
    while True:
        yield from Write(session.send(item), (yield from session.deadline()))
        match (yield from session.next_event()):
            case Challenge(data):
                initial = None if data else owed
                owed = owed if data else None
                item, cause = yield from _respond(session, mechanism, data, initial)
            case Answer(_, Ok()) if owed is None and mechanism.complete:
                return
            case Answer(_, Ok()):
                connection.fail("the server cannot be believed")  # else the state would be that after a login
                raise RemoteProtocolError(
                    f"the server accepted {command} before the exchange was complete: it may be an impostor"
                )
            case Answer(_, Err() as reply):
                detail = session.without_secrets(mechanism.failure)
                raise LoginFailed([LoginAttempt(command.redacted(), reply, detail)]) from cause
            case _:
                raise RemoteProtocolError("the server sent something that is no part of a SASL exchange")


def _respond(
    session: Session, mechanism: ClientMechanism, challenge: bytes, initial: bytes | None
) -> Procedure[tuple[AuthResponse | AuthCancel, Pop3Error | None]]:
    """Return what to answer to a challenge; if that is to cancel, also why.

    Args:
        session: the session.
        mechanism: of the exchange.
        challenge: what the server said.
        initial: the initial response, if it is this that the server asks for.
    """
    try:
        if initial is not None:
            response = AuthResponse(initial)
        elif mechanism.blocks:
            response = AuthResponse((yield from Run(lambda: mechanism.respond(challenge))))
        else:
            response = AuthResponse(mechanism.respond(challenge))
    except MechanismError as error:
        return AuthCancel(), error
    if not session.connection.can_send(response):
        limit = session.connection.limits.sasl_line
        return AuthCancel(), LocalProtocolError(f"the {mechanism.name} response does not fit into {limit} octets")
    return response, None
