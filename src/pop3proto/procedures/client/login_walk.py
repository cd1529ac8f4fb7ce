"""The steps of a login, for clients: each method of a plan in order, over more than one connection if need be."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from pop3proto.core.commands import Apop, Command, Pass, User
from pop3proto.core.errors import (
    Broken,
    CertificateError,
    ConnectionLost,
    LocalProtocolError,
    Pop3Error,
    RemoteProtocolError,
)
from pop3proto.core.refusals import CommandFailed, LoginFailed, RefusedLogin
from pop3proto.procedures.operations import Procedure, Random
from pop3proto.sasl.credentials import Credentials, Password
from pop3proto.sasl.md5 import apop_digest
from pop3proto.sasl.mechanism import ClientMechanism, MechanismError, Strength
from pop3proto.sasl.registry import ClientContext, ClientEntry

from .calls import call
from .commands import reconnect, relearn_capabilities
from .exchange import AuthForm, Exchange, check_secrecy
from .login_plan import APOP, USER_PASS, LoginMethod, LoginPlan, obstacle
from .login_verdicts import blames_the_form, gave_up, is_judgement, settles

if TYPE_CHECKING:
    from pop3proto.sasl.channel import ChannelBinding

    from .session import Session

__all__ = ["MOST_REFUSALS", "NAME_NEXT", "Walk", "Wishes"]

MOST_REFUSALS: Final = 3
"""Refusals that one login may cause. Servers count them, and lock accounts or addresses after five or so."""

NAME_NEXT: Final = "name what is to be tried next (only=)"
"""The advice after these. `pop3proto fetch` says it in other words."""

_NONCE: Final = 18  # octets of chance: 24 characters of base64, as in the examples of RFC 5802


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
        self._planned_on: Final = session.connections
        self._withheld: Final = plan.withheld
        self._left: list[LoginMethod] = list(plan.steps)
        self._form: Final = AuthForm(wishes.initial_response)
        self._exchange: Exchange | None = None  # the latest
        self._refused_on = 0  # the connection of the latest refusal
        self._cause: BaseException | None = None  # of the latest refusal, if the client has cancelled the exchange
        self._unfit: LocalProtocolError | None = None  # of the first step that the credentials did not fit
        self._judged = False  # the password was looked at, and is wrong: a digest of it will not be better
        self._bound = False  # a mechanism with channel binding was refused: perhaps the TLS channel is intercepted

    def run(self) -> Procedure[None]:
        """Try one step after the other, until the server accepts.

        Raises:
            LocalProtocolError, LoginFailed, CertificateError: as `login`.
            RemoteProtocolError, ConnectionLost, TimedOut: likewise; only if nothing was refused before.
        """
        session = self._session
        while (step := self._next()) is not None:
            try:
                return (yield from self._take(step))
            except LocalProtocolError as error:
                self._unfit = self._unfit or error
                self._left.remove(step)
            except LoginFailed as failure:
                self._refused(step, failure)
            except ConnectionLost as lost:
                yield from self._go_on(step, lost)
            except (RemoteProtocolError, Broken, OSError) as error:
                self._fail(error)
        if self._unfit is not None and not session.attempts:
            raise self._unfit
        why = f"{MOST_REFUSALS} refusals are the most of one login; {NAME_NEXT}"
        raise self._failure(why) from self._cause

    def _next(self) -> LoginMethod | None:
        """Return what to try; None if nothing is left, or enough was refused.

        The last try is for the last step of the plan, which most servers have and can check whatever they have stored.

        Raises:
            LoginFailed: it must not be tried over this connection, which is another than that of the plan.
        """
        self._left = [step for step in self._left if not self._is_pointless(step)]
        left, tries = self._left, MOST_REFUSALS - len(self._session.attempts)
        if not left or tries <= 0:
            return None
        step = left[-1] if tries == 1 else left[0]
        if self._session.connections != self._planned_on and (objection := self._obstacle(step)) is not None:
            raise self._failure(objection)
        return step

    def _is_pointless(self, step: LoginMethod) -> bool:
        return (self._judged and step.strength > Strength.CLEAR) or (self._bound and step.strength < Strength.MUTUAL)

    def _refused(self, step: LoginMethod, failure: LoginFailed) -> None:
        """Note a refusal, and drop the steps that it makes pointless."""
        session = self._session
        session.attempts += tuple(attrs.evolve(each, connection=session.connections) for each in failure.attempts)
        self._refused_on = session.connections
        self._cause = failure.__cause__
        if self._wants_two_lines(step, failure):
            self._form.split(failure)
            return
        if self._exchange is not None and not self._exchange.challenged:
            self._form.restore()  # it made no difference
        self._conclude_from(step, failure)

    def _conclude_from(self, step: LoginMethod, failure: LoginFailed) -> None:
        """Drop a step that was refused, and those that this makes pointless."""
        self._form.blamed = None
        self._left.remove(step)
        if step.strength is Strength.BOUND:
            self._bound = True  # whatever its code says, it may be the binding alone that the server cannot check
        else:
            self._judged |= is_judgement(self._session.capabilities, failure)
        if gave_up(failure) or settles(step, failure, judged=self._judged):
            self._left.clear()

    def _wants_two_lines(self, step: LoginMethod, failure: LoginFailed) -> bool:
        """Return whether to try a step again with its initial response on a line of its own (RFC 5034 section 4).

        This happens once in a login, and only if the refusal may be about the form of the command: it came at once, and
        has no response code; and if the server does not announce the mechanism, it says so in words. A password that
        the server may have judged is not shown again if another step shows it anyhow. The last try of a login is not
        spent on it while other steps are left.
        """
        exchange, tries = self._exchange, MOST_REFUSALS - len(self._session.attempts)
        if exchange is None or self._form.was_split or not exchange.in_one_line or exchange.challenged:
            return False
        if failure.code is not None or tries <= 0:
            return False
        announced = self._planned_for.announced
        if announced and step.name not in announced and not blames_the_form(failure.reply):
            return False
        others = [other for other in self._left if other is not step and not self._is_pointless(other)]
        if not others:
            return True
        shown_anyhow = any(other.strength is Strength.CLEAR for other in others)
        return tries > 1 and (step.strength > Strength.CLEAR or not shown_anyhow)

    def _go_on(self, step: LoginMethod, lost: ConnectionLost) -> Procedure[None]:
        """Connect again, if the server has hung up after a refusal.

        Many servers hang up after a wrong password. So AUTH is then tried again in two lines only if the refusal says
        in words that it is about the form of the command.

        Raises:
            ConnectionLost: the server hung up before it refused anything.
            LoginFailed, CertificateError: it is not to be tried over another connection, or there is none.
        """
        session = self._session
        if session.broken is not None or not session.attempts:
            self._fail(lost)
        if self._refused_on != session.connections:
            self._fail(lost, f"{lost}, over a new connection")
        if (refusal := self._form.blamed) is not None and not blames_the_form(refusal.reply):
            self._form.restore()
            self._conclude_from(step, refusal)
            if all(map(self._is_pointless, self._left)):
                session.fail(lost)
                return
        if not self._may_reconnect:
            self._fail(
                lost, "the server has hung up, and the mechanism is for that connection: connect again, with a new one"
            )
        if not session.reconnects:
            self._fail(
                lost,
                "the server has hung up, and a client that connect_over() has made cannot connect again: "
                "make a new one, and name what is to be tried (only=)",
            )
        try:
            yield from self._reconnect(lost)
        except CertificateError as error:
            refused = LoginFailed(session.attempts)
            raise CertificateError(
                f"{error}; before that, {refused}", host=error.host, port=error.port, reason=error.reason
            ) from error
        except (Pop3Error, OSError) as error:
            self._fail(error)

    def _fail(self, error: Exception, why: str = "") -> NoReturn:
        """End the session because of an error of its connection, and raise what tells the refusals before it as well.

        Args:
            error: what ended it.
            why: what to say of the steps that are left; "": what the error says.

        Raises:
            LoginFailed: always, unless nothing was refused before: then the error itself.
        """
        if not self._session.attempts:
            raise error
        self._session.fail(error)
        raise self._failure(why or str(error)) from error

    def _failure(self, why: str) -> LoginFailed:
        left = [step.name for step in self._left if not self._is_pointless(step)]
        return LoginFailed(self._session.attempts, left, why if left else "", self._withheld)

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
            self._exchange = Exchange(self._session, mechanism, initial_response=self._form.in_one_line)
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
                raise LoginFailed([RefusedLogin(shown, failure.reply)]) from None

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
