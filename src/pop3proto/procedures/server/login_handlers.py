"""How a server answers the commands before login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from pop3proto.core.commands import Apop, Auth, AuthList, Pass, Stls, User
from pop3proto.core.errors import forget_locals
from pop3proto.core.events import AuthResponse
from pop3proto.core.replies import Challenge, Ok, ResponseCode
from pop3proto.core.text import encode_text
from pop3proto.procedures.maildrop import Refused, SupportsNotice
from pop3proto.sasl.answers import answered, settled
from pop3proto.sasl.authenticator import Authorizer, PasswordVerifier, SecretSource, implements, named, verdict
from pop3proto.sasl.md5 import apop_matches
from pop3proto.sasl.mechanism import CredentialsRejected, DialogueServer, Identity, MechanismError, Strength
from pop3proto.sasl.names import read_name, read_password
from pop3proto.sasl.registry import ServerContext

from .policy import refusal_of
from .session import HandlerTable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pop3proto.procedures.operations import Procedure
    from pop3proto.sasl.answers import Steps
    from pop3proto.sasl.mechanism import ServerMechanism

    from .policy import Decision
    from .session import ServerSession

__all__ = ["LOGIN_HANDLERS"]

T = TypeVar("T")

LOGIN_HANDLERS: Final = HandlerTable()


@LOGIN_HANDLERS.answers(Stls)
def _stls(session: ServerSession, _command: Stls) -> Procedure[None]:
    if not session.may_start_tls:
        raise Refused("STLS is not supported here")
    session.say(Ok("begin TLS"))
    yield from session.start_tls()


@LOGIN_HANDLERS.answers(User)
def _user(session: ServerSession, command: User) -> None:
    """Accept any name: a refusal would tell who exists (RFC 1939 section 13)."""
    _check_passwords(session)
    _check_cleartext(session)
    session.user = command.name
    session.say(Ok("send the password"))


@LOGIN_HANDLERS.answers(Pass)
def _pass(session: ServerSession, command: Pass) -> Procedure[None]:
    verifier = _check_passwords(session)
    name = session.user
    session.logins.begin("USER/PASS", (yield from session.now())).add(
        encode_text(session.info.full_name(name or "")), encode_text(command.password)
    )

    def check() -> Steps[Identity]:
        user, password = _credentials(session, name or "", command.password)
        if not verdict((yield from answered(verifier.check_password(user, password, session.info)))):
            raise CredentialsRejected("wrong name or password")
        return Identity(user)

    identity = yield from _ask(session, lambda: settled(check()), lambda: name or "")
    yield from _log_in(session, identity)


@LOGIN_HANDLERS.answers(Apop)
def _apop(session: ServerSession, command: Apop) -> Procedure[None]:
    source, timestamp = session.settings.authenticator, session.timestamp
    if not implements(source, SecretSource) or timestamp is None:
        raise Refused("APOP is not supported here")
    session.logins.begin("APOP", (yield from session.now())).add(
        encode_text(session.info.full_name(command.name)), encode_text(command.digest)
    )

    def check() -> Steps[Identity]:
        user, _ = _credentials(session, command.name, command.digest)
        secret = named((yield from answered(source.secret(user, session.info))))
        if not apop_matches(timestamp, secret, command.digest):
            raise CredentialsRejected("wrong name or password")
        return Identity(user)

    identity = yield from _ask(session, lambda: settled(check()), lambda: command.name)
    yield from _log_in(session, identity)


@LOGIN_HANDLERS.answers(AuthList)
def _auth_list(session: ServerSession, command: AuthList) -> None:
    session.say_body(*command.answer(tuple(session.offers), "mechanisms follow"))


@LOGIN_HANDLERS.answers(Auth)
def _auth(session: ServerSession, command: Auth) -> Procedure[None]:
    settings = session.settings
    entry = settings.mechanisms.get(command.mechanism)
    if entry is None or not entry.suits(settings.authenticator, session.info):
        raise Refused(f"the mechanism {command.mechanism} is not supported here")
    if entry.strength is Strength.CLEAR:
        _check_cleartext(session)
    mechanism = entry.make(
        ServerContext(
            authenticator=settings.authenticator,
            session=session.info,
            nonce=(yield from session.nonce()),
            hostname=settings.hostname,
            announced=frozenset(session.offers),
        )
    )
    attempt = session.logins.begin(command.mechanism, (yield from session.now()))
    attempt.add(encode_text(session.info.domain))  # the same message over another listener is about another user
    yield from _step(session, mechanism, lambda: command.initial_response)


@LOGIN_HANDLERS.answers(AuthResponse)
def _auth_response(session: ServerSession, response: AuthResponse) -> Procedure[None]:
    if session.exchange_rejected:
        # Any response is accepted: some clients send 0x01 in XOAUTH2 too, and it makes no difference.
        session.exchange = None
        yield from _answer_late(session)
    mechanism, session.exchange = session.exchange, None
    assert mechanism is not None  # noqa: S101 - a response is legal in an exchange only
    yield from _step(session, mechanism, lambda: response.data)


def _step(session: ServerSession, mechanism: ServerMechanism, said: Callable[[], bytes | None]) -> Procedure[None]:
    """Let a mechanism say what follows from what the client has said: a challenge, or the end."""
    # A missing response is nothing, and no empty one: the same credentials look the same with and without it.
    if session.logins.attempt is not None and (octets := said()) is not None:
        session.logins.attempt.add(octets)
        del octets
    turn: Procedure[bytes | Identity] = _ask(
        session,
        lambda: mechanism.respond(said()),
        lambda: mechanism.claimed_user if isinstance(mechanism, DialogueServer) else "",
        lambda: isinstance(mechanism, DialogueServer) and mechanism.rejected,
    )
    outcome = yield from turn
    if isinstance(outcome, bytes):
        proven = mechanism.proven if isinstance(mechanism, DialogueServer) else None
        if proven is not None and (yield from _is_denied(session, proven, mechanism)):
            return
        challenge = Challenge(outcome)
        if len(challenge.encode()) > (limit := session.connection.limits.sasl_line):
            raise Refused(f"the challenge does not fit into {limit} octets", ResponseCode.SYS_PERM)
        session.exchange = mechanism
        session.say(challenge)
    else:
        yield from _log_in(session, outcome, mechanism)


def _ask(
    session: ServerSession,
    question: Callable[[], T | Awaitable[T]],
    claimed_user: Callable[[], str],
    rejected: Callable[[], bool] = bool,
) -> Procedure[T]:
    """Ask the authenticator something.

    Args:
        session: before login.
        question: calls the authenticator.
        claimed_user: returns whom the client says that it is, for the log; "" if it has not said it.
        rejected: returns whether the answer tells the client that the credentials are wrong: this is counted, too.

    Raises:
        Refused: the credentials are wrong, which is counted and answered late; or what the client sent is not valid.
        Exception: whatever the authenticator raised.
    """
    try:
        return (
            yield from session.call_authenticator(question, lambda: session.info.full_name(claimed_user()), rejected)
        )
    except MechanismError as error:
        raise Refused(str(error)) from None
    except CredentialsRejected:
        pass
    except BaseException as error:
        forget_locals(error)  # a password is among them
        raise
    return (yield from _answer_late(session))


def _answer_late(session: ServerSession) -> Procedure[NoReturn]:
    yield from session.flush()
    yield from session.delay(session.settings.failure_delay)
    raise Refused("wrong name or password", ResponseCode.AUTH)


def _log_in(session: ServerSession, identity: Identity, mechanism: ServerMechanism | None = None) -> Procedure[None]:
    """Open the maildrop of the user whose credentials were verified, if the policy allows it."""
    about, decision = yield from _decide(session, identity)
    if not decision.allowed:
        yield from _refuse(session, about, decision, mechanism)
        return
    session.logins.note_success(about)
    try:
        yield from session.open_maildrop(about)
    except BaseException as error:
        session.policy.login_failed()
        if isinstance(error, Exception):  # else the session was cut off
            session.tell_login_failed(session.logins.method, about, "maildrop")
        raise
    session.policy.logged_in()
    session.say(Ok(f"maildrop has {session.summary()}{_notice(session)}"))
    session.tell_logged_in(session.logins.method)


def _notice(session: ServerSession) -> str:
    """Return what the maildrop tells its user, to be put behind the number of messages."""
    maildrop = session.maildrop
    return f"; {maildrop.notice}" if implements(maildrop, SupportsNotice) and maildrop.notice else ""


def _decide(session: ServerSession, identity: Identity) -> Procedure[tuple[str, Decision]]:
    """Decide on a login whose credentials were verified; return the decision, and which user it is about.

    Who acts for another user must be allowed to log in, and to act so; and the other one must be allowed to log in. In
    this order: who is denied does not learn by what comes behind that the credentials are right.

    Raises:
        Refused: the authenticator does not let the one act for the other. It is answered as if they were wrong.
    """
    own = session.info.full_name(identity.authcid)
    user = session.info.full_name(identity.authzid or identity.authcid)
    if user != own:
        decision = yield from session.policy.on_behalf(session.info, own, user)
        if not decision.allowed:
            return own, decision
        yield from _check_may_act(session, own, user)
    return user, (yield from session.policy.at_login(session.info, user))


def _check_may_act(session: ServerSession, own: str, user: str) -> Procedure[None]:
    authenticator = session.settings.authenticator

    def check() -> Steps[None]:
        if not implements(authenticator, Authorizer) or not verdict(
            (yield from answered(authenticator.may_act_as(own, user, session.info)))
        ):
            raise CredentialsRejected("not allowed to act as this user")

    if session.logins.acts != (own, user):
        session.record.user = own
        yield from _ask(session, lambda: settled(check()), lambda: own)
        session.logins.acts = (own, user)


def _is_denied(session: ServerSession, identity: Identity, mechanism: ServerMechanism) -> Procedure[bool]:
    """Ask the policy before a client is told that its credentials are right: who is denied must not learn that.

    Returns:
        It is denied, and the client has a challenge that tells it that its credentials are wrong.

    Raises:
        Refused: it is denied, as if they were wrong; or as `_decide`.
    """
    about, decision = yield from _decide(session, identity)
    session.policy.login_failed()  # it counts from its end on
    if decision.allowed or decision.text:
        return False
    yield from _refuse(session, about, decision, mechanism)
    return True


def _refuse(
    session: ServerSession, user: str, decision: Decision, mechanism: ServerMechanism | None
) -> Procedure[None]:
    """Refuse a login whose credentials are right.

    Without a text it is answered as if they were wrong, and counted so: by the challenge of the mechanism that says so,
    or, if it has none, by a negative reply.

    Raises:
        Refused: always, unless there is such a challenge.
    """
    method = "-" if session.logins.attempt is None else session.logins.attempt.method
    session.record.login_refused(method, user, decision.reason)
    session.tell_login_failed(method, user, "policy")
    if (refusal := refusal_of(decision)) is not None:
        session.logins.note_told(user)
        raise refusal
    yield from session.logins.note_refusal()
    exchange: object = mechanism
    challenge = exchange.deny() if isinstance(exchange, DialogueServer) else None
    if mechanism is None or challenge is None:
        yield from _answer_late(session)
    else:
        session.exchange = mechanism
        session.say(Challenge(challenge))


def _credentials(session: ServerSession, name: str, password: str) -> tuple[str, str]:
    """Return the name and the password of USER and PASS as they are compared with others, the name with its domain.

    Raises:
        CredentialsRejected: no user can have them.
    """
    try:
        user = read_name(encode_text(name), "the name")
        return session.info.full_name(user), read_password(encode_text(password))
    except MechanismError:
        pass
    raise CredentialsRejected("not a valid name or password")


def _check_passwords(session: ServerSession) -> PasswordVerifier:
    verifier = session.settings.authenticator
    if not session.settings.user_pass or not implements(verifier, PasswordVerifier):
        raise Refused("USER and PASS are not supported here")
    return verifier


def _check_cleartext(session: ServerSession) -> None:
    # The answer must not depend on the credentials (RFC 8314 section 4.1): they have not been looked at.
    if not session.may_show_password:
        raise Refused("passwords are taken under TLS only", ResponseCode.SYS_PERM)
