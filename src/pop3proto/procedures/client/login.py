"""Logging in, for clients: ask what the server can do, plan, and try the methods of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.states import State
from pop3proto.sasl.credentials import Credentials
from pop3proto.sasl.mechanism import ClientMechanism, Strength
from pop3proto.sasl.registry import CLIENT_MECHANISMS, ClientEntry, ClientMechanisms

from .commands import learn_or_do_without, relearn_capabilities
from .exchange import check_secrecy
from .login_plan import LoginMethod, LoginPlan, plan_login
from .login_walk import Walk, Wishes

if TYPE_CHECKING:
    from collections.abc import Collection

    from pop3proto.procedures.operations import Procedure
    from pop3proto.sasl.channel import ChannelBinding

    from .session import Session

__all__ = ["login", "login_by", "planned"]


def login(  # noqa: PLR0913 - each has its default, and a name
    session: Session,
    credentials: Credentials,
    *,
    only: Collection[str] | None = None,
    mechanisms: ClientMechanisms = CLIENT_MECHANISMS,
    initial_response: bool = True,
    binding: ChannelBinding | None = None,
    password_encoding: str | None = None,
) -> Procedure[None]:
    """Log in by the best method that both sides support; ask for the capabilities before and after.

    Where the server hangs up after a refusal, or on CAPA, a session that `reconnects` goes on over another connection,
    with the next method. At most `MOST_REFUSALS` methods are refused; the last try is for the last method of the plan.

    Args:
        session: in the AUTHORIZATION state.
        credentials: what there is to log in with.
        only: names of mechanisms, "APOP" and "USER/PASS" included, that may be tried; None: as `plan_login` sees fit.
        mechanisms: those that are known.
        initial_response: it may go with AUTH; some servers want it on a line of its own.
        binding: what this TLS channel can be bound to, in place of what the stream found: "tls-exporter" for example.
        password_encoding: of a name or password that is not ASCII, in USER and PASS, "latin-1" for example; None: it
            is UTF-8, and sent under verified TLS, on loopback, and where the server announces `UTF8 USER`.

    Raises:
        LocalProtocolError: there is no way that the credentials and the policy allow, or they cannot be sent. Nothing
            of them was sent.
        LoginFailed: the server refused. The session is in the AUTHORIZATION state; or over, if the connection was lost
            after a refusal, by a protocol error or a deadline for example: `__cause__` is how.
        CertificateError: the server's certificate was not accepted over another connection; the message says what was
            refused before. The session is over.
        RemoteProtocolError, ConnectionLost, TimedOut: nothing was refused before. The session is over.
    """
    if binding is not None:
        session.context = session.context.bound_to(binding)
    wishes = Wishes(
        named=only is not None,
        initial_response=initial_response,
        binding=binding,
        password_encoding=password_encoding,
    )
    yield from session.in_time(_login(session, credentials, wishes, only=_upper(only), mechanisms=mechanisms))


def planned(
    session: Session,
    credentials: Credentials,
    *,
    only: Collection[str] | None = None,
    mechanisms: ClientMechanisms = CLIENT_MECHANISMS,
) -> LoginPlan:
    """Return what `login` would try now, and what the latest one has tried in vain.

    Raises:
        LocalProtocolError: the server was not asked what it can do.
    """
    if not session.context.asked:
        raise LocalProtocolError("capabilities are not known yet; call capa() first")
    plan = plan_login(credentials, session.context, only=_upper(only), mechanisms=mechanisms)
    return attrs.evolve(plan, attempts=session.attempts)


def _upper(only: Collection[str] | None) -> set[str] | None:
    if isinstance(only, str):
        raise TypeError("only takes a list of names, not one name")
    return None if only is None else {name.upper() for name in only}


def _login(
    session: Session,
    credentials: Credentials,
    wishes: Wishes,
    *,
    only: Collection[str] | None,
    mechanisms: ClientMechanisms,
) -> Procedure[None]:
    first = session.connections
    yield from _prepare(session)
    if wishes.binding is not None and session.connections != first:
        raise LocalProtocolError("the channel binding that was given belongs to a connection that is gone")
    plan = plan_login(credentials, session.context, only=only, mechanisms=mechanisms)
    if not plan.steps:
        why = plan.objections or ("no mechanism takes these credentials" if only is None else "none that is asked for")
        raise LocalProtocolError(f"no usable login method: {why}")
    session.keep_secret(credentials)
    yield from Walk(session, plan, credentials, wishes).run()
    session.logged_in(getattr(credentials, "user", None))
    yield from _conclude(session)


def login_by(session: Session, mechanism: ClientMechanism, *, initial_response: bool = True) -> Procedure[None]:
    """Log in by one SASL mechanism, and learn the capabilities before and after.

    If the server refuses AUTH with the initial response at once, and without a response code, the response follows on
    a line of its own. It is not tried over another connection.

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
    check_secrecy(session, mechanism)
    entry = ClientEntry(Credentials, Strength.CLEAR, lambda _: mechanism)
    method = LoginMethod(mechanism.name, entry.strength, entry)
    wishes = Wishes(initial_response=initial_response)
    yield from Walk(session, LoginPlan((method,)), Credentials(), wishes, reconnects=False).run()
    yield from _conclude(session)


def _prepare(session: Session) -> Procedure[None]:
    session.attempts = ()
    yield from session.acquire()  # a session that is over says so, not that there is no way to log in
    if session.connection.state is State.USER_GIVEN:
        raise LocalProtocolError("a USER is pending: send its PASS, or connect again; login() sends both by itself")
    if session.capabilities is None:
        yield from learn_or_do_without(session)


def _conclude(session: Session) -> Procedure[None]:
    if session.capabilities is not None:
        yield from relearn_capabilities(session)  # some servers tell more, or less, after login
