"""The steps of a login, for clients: each method of a plan in order, over more than one connection if need be."""

from __future__ import annotations

import base64
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.commands import Apop, Command, Pass, User
from pop3proto.core.errors import CertificateError, ConnectionLost, LocalProtocolError, MalformedReply
from pop3proto.core.refusals import CommandFailed, LoginAttempt, LoginFailed, SessionRefused
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.operations import Procedure, Random
from pop3proto.sasl.credentials import Credentials, Password
from pop3proto.sasl.md5 import apop_digest
from pop3proto.sasl.mechanism import ClientMechanism, MechanismError, Strength
from pop3proto.sasl.registry import ClientContext, ClientEntry

from .commands import call, reconnect, relearn_capabilities
from .exchange import Exchange, check_secrecy
from .login_plan import APOP, USER_PASS, LoginMethod, LoginPlan, obstacle

if TYPE_CHECKING:
    from pop3proto.sasl.channel import ChannelBinding

    from .session import Session

__all__ = ["Walk", "Wishes"]

_NONCE: Final = 18  # octets of chance: 24 characters of base64, as in the examples of RFC 5802

_PASSES: Final = (ResponseCode.IN_USE, ResponseCode.LOGIN_DELAY, ResponseCode.SYS_TEMP)
"""Response codes of refusals that do not depend on the login method (RFC 3206 section 4)."""


@attrs.frozen(kw_only=True)
class Wishes:
    """What the caller of a login has asked for, apart from the plan.

    Args:
        named: the methods of the plan are those that the caller has named.
        initial_response: as in `login`.
        binding: as in `login`.
        password_encoding: as in `login`.
    """

    named: bool = False
    initial_response: bool = True
    binding: ChannelBinding | None = None
    password_encoding: str | None = None


class Walk:
    """One login under way: tries the steps of a plan in order, over more than one connection if need be.

    Args:
        session: idle, in the AUTHORIZATION state.
        plan: what to try.
        credentials: what there is to log in with.
        wishes: of the caller.
        reconnects: it may go on over another connection, if the session can.
    """

    def __init__(
        self, session: Session, plan: LoginPlan, credentials: Credentials, wishes: Wishes, *, reconnects: bool = True
    ) -> None:
        self._session: Final = session
        self._credentials: Final = credentials
        self._wishes: Final = wishes
        self._may_reconnect: Final = reconnects
        self._planned_for: Final = session.context
        self._left: Final = deque(plan.steps)  # the next one first
        self._initial_response = wishes.initial_response
        self._exchange: Exchange | None = None  # the latest
        self._two_lines = False  # AUTH was tried without its initial response because it was refused with it
        self._refused_on = 0  # the connection of the latest refusal
        self._cause: BaseException | None = None  # of the latest refusal, if the client has cancelled the exchange
        self._unfit: LocalProtocolError | None = None  # why the first step that could not be sent could not be
        self._judged = False  # the password was looked at, and is wrong: a digest of it will not be better
        self._bound = False  # a mechanism with channel binding was refused: perhaps the TLS channel is intercepted

    def run(self) -> Procedure[None]:
        """Try one step after the other, until the server accepts.

        Raises:
            LocalProtocolError, LoginFailed, ConnectionLost: as `login`.
        """
        while (step := self._next()) is not None:
            try:
                return (yield from self._take(step))
            except LocalProtocolError as error:
                self._unfit = self._unfit or error
                self._left.popleft()
            except LoginFailed as failure:
                self._refused(step, failure)
            except ConnectionLost as lost:
                yield from self._go_on(step, lost)
        if self._unfit is not None and not self._session.attempts:
            raise self._unfit
        raise LoginFailed(self._session.attempts) from self._cause

    def _next(self) -> LoginMethod | None:
        while self._left and self._is_pointless(self._left[0]):
            self._left.popleft()
        return self._left[0] if self._left else None

    def _is_pointless(self, step: LoginMethod) -> bool:
        return (self._judged and step.strength > Strength.CLEAR) or (self._bound and step.strength < Strength.MUTUAL)

    def _refused(self, step: LoginMethod, failure: LoginFailed) -> None:
        """Note a refusal, and take from what is left what it settles."""
        session = self._session
        session.attempts += tuple(attrs.evolve(each, connection=session.connections) for each in failure.attempts)
        self._refused_on = session.connections
        self._cause = failure.__cause__
        if self._wants_two_lines(step, failure):
            self._two_lines, self._initial_response = True, False
            return
        if self._two_lines and self._exchange is not None and not self._exchange.challenged:
            self._initial_response = self._wishes.initial_response  # the form made no difference
        self._left.popleft()
        if step.strength is Strength.BOUND:
            self._bound = True  # whatever its code says, it may be the binding alone that the server cannot check
        else:
            self._judged |= _is_judgement(session, failure)
        if _gave_up(failure) or _settles(step, failure, judged=self._judged):
            self._left.clear()

    def _wants_two_lines(self, step: LoginMethod, failure: LoginFailed) -> bool:
        """Return whether to try a step again with its initial response on a line of its own (RFC 5034 section 4).

        Once in a login, and only if the refusal may concern the form of the command: it came at once, and has no
        response code. A password that the server perhaps has judged is not shown once more in this way if another step
        shows it anyhow.
        """
        exchange = self._exchange
        if exchange is None or self._two_lines or not exchange.in_one_line or exchange.challenged:
            return False
        if failure.code is not None:
            return False
        others = [other for other in self._left if other is not step and not self._is_pointless(other)]
        return step.strength > Strength.CLEAR or not any(other.strength is Strength.CLEAR for other in others)

    def _go_on(self, step: LoginMethod, lost: ConnectionLost) -> Procedure[None]:
        """Go on with a step over another connection.

        Raises:
            ConnectionLost: the server hung up before it refused anything.
            LoginFailed: it is not to be tried over another connection.
        """
        session = self._session
        if not session.attempts:
            raise lost
        cause: Exception = lost
        if self._refused_on != session.connections:
            why = f"{lost}, over a new connection"
        elif not self._may_reconnect:
            why = "the server has hung up, and the mechanism is for that connection: connect again, with a new one"
        elif not session.reconnects:
            why = (
                "the server has hung up, and a client that connect_over() has made cannot connect again: "
                "make a new one, and name what is to be tried (only=)"
            )
        else:
            try:
                yield from self._reconnect(lost)
            except CertificateError:
                raise
            except (ConnectionLost, SessionRefused) as error:
                why, cause = str(error), error
            else:
                if (objection := self._obstacle(step)) is None:
                    return
                why = objection
                raise self._stop(why) from None
        session.end(str(cause), cause)
        raise self._stop(why) from cause

    def _stop(self, why: str) -> LoginFailed:
        left = [step.name for step in self._left if not self._is_pointless(step)]
        return LoginFailed(self._session.attempts, left, why)

    def _reconnect(self, lost: ConnectionLost) -> Procedure[None]:
        session = self._session
        yield from reconnect(session, lost)
        if self._planned_for.capabilities is None:
            session.learn(None)  # the server has no CAPA, or hangs up on it
        elif session.capabilities is None:
            yield from relearn_capabilities(session)

    def _obstacle(self, step: LoginMethod) -> str | None:
        if self._wishes.binding is not None and step.entry is not None and step.entry.binds:
            return "the channel binding that was given belongs to the connection that is gone"
        return obstacle(step, self._planned_for, self._session.context, named=self._wishes.named)

    def _take(self, step: LoginMethod) -> Procedure[None]:
        """Try one login method.

        Raises:
            LocalProtocolError: the credentials do not fit into it; nothing of them was sent.
            LoginFailed: the server refused.
        """
        self._exchange = None
        if step.entry is not None:
            mechanism = yield from self._mechanism(step, step.entry)
            check_secrecy(self._session, mechanism)
            yield from self._session.acquire()
            self._exchange = Exchange(self._session, mechanism, initial_response=self._initial_response)
            yield from self._exchange.run()
            return
        credentials = self._credentials
        assert isinstance(credentials, Password)  # noqa: S101 - these ways are planned for nothing else
        for command in {APOP: self._apop, USER_PASS: self._user_pass}[step.name](credentials):
            try:
                yield from call(self._session, command)
            except CommandFailed as failure:
                shown = command.redacted()
                if isinstance(shown, User | Apop):  # in another encoding than UTF-8 it could not be printed
                    shown = attrs.evolve(shown, name=credentials.user)
                raise LoginFailed([LoginAttempt(shown, failure.reply)]) from None

    def _mechanism(self, step: LoginMethod, entry: ClientEntry) -> Procedure[ClientMechanism]:
        context = self._session.context
        nonce = base64.b64encode((yield from Random(_NONCE))).decode()
        try:
            return entry.make(
                ClientContext(
                    credentials=self._credentials,
                    nonce=nonce,
                    binding=context.binding,
                    announced=context.announced,
                    scram_iterations=self._session.connection.limits.scram_iterations,
                )
            )
        except MechanismError as error:
            raise LocalProtocolError(f"{step.name} cannot be used: {error}") from error

    def _apop(self, credentials: Password) -> list[Command[object]]:
        try:
            digest = apop_digest(self._session.context.timestamp or "", credentials.password)
        except MechanismError as error:
            raise LocalProtocolError(f"APOP cannot be used: {error}") from error
        return self._fitting(Apop(self._encoded(credentials.user, "name"), digest))

    def _user_pass(self, credentials: Password) -> list[Command[object]]:
        # Both must be valid before the first is sent.
        user = User(self._encoded(credentials.user, "name"))
        return self._fitting(user, Pass(self._encoded(credentials.password, "password")))

    def _encoded(self, text: str, what: str) -> str:
        """Return a text whose UTF-8 is the text in the encoding that the server expects.

        Raises:
            LocalProtocolError: it is unknown which that is; or it does not have these characters.
        """
        context, encoding = self._session.context, self._wishes.password_encoding
        if text.isascii():
            return text
        if encoding is not None:
            if (octets := _encode(text, encoding)) is None:
                raise LocalProtocolError(f"the {what} cannot be encoded as {encoding}")
            return octets.decode("utf-8", "surrogateescape")
        announced = context.capabilities is not None and context.capabilities.utf8_user
        if not (announced or context.verified or context.loopback):
            raise LocalProtocolError(
                f"the {what} is not ASCII, and the server does not announce UTF8 USER (RFC 6856 section 2.2): without "
                'verified TLS it is sent only if password_encoding="utf-8" or another encoding is given'
            )
        return text

    def _fitting(self, *commands: Command[object]) -> list[Command[object]]:
        """Return the commands if their lines can be sent."""
        limit = self._session.connection.limits.command_line
        if max(len(command.encode()) for command in commands) > limit:
            raise LocalProtocolError(f"name and password must each fit into a line of {limit} octets")
        return list(commands)


def _encode(text: str, encoding: str) -> bytes | None:
    # The error is not handed on: it quotes the text.
    try:
        return text.encode(encoding)
    except (LookupError, UnicodeError):
        return None


def _gave_up(failure: LoginFailed) -> bool:
    """Return whether the client itself has ended the exchange: this server is not trusted any more."""
    # What the server has said of why it refuses, "e=..." of SCRAM say, is a refusal like any other. A challenge that
    # is not base64 shows a broken server and nothing more: one that wants the next method need only refuse.
    cause = failure.__cause__
    return cause is not None and not isinstance(cause, MalformedReply) and not failure.attempts[-1].detail


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
