"""Options of `pop3proto serve` against strangers: login methods, delays and limits."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.commands import Apop, Pass, User
from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.server.networks import networks_of
from pop3proto.procedures.server.penalties import LoginPenalty
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.authenticator import PasswordVerifier, SecretSource, implements
from pop3proto.sasl.channel import ChannelBinding, SessionInfo, TlsInfo
from pop3proto.sasl.registry import SERVER_MECHANISMS

from .failures import USAGE, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_protection_arguments", "check_logins", "positive", "protected"]

_DEFAULTS: Final = {field.name: field.default for field in attrs.fields(Service)}
_USER_PASS: Final = f"{User.verb}/{Pass.verb}"
_METHODS: Final = (*SERVER_MECHANISMS, _USER_PASS, Apop.verb)
_LONGEST_PENALTY: Final = 60  # seconds: the deadline of a login


def add_protection_arguments(parser: ArgumentParser) -> None:
    """Add the arguments to a parser."""
    parser.add_argument(
        "--mechanisms",
        type=_methods,
        metavar="LIST",
        help=f"login methods to offer, separated by commas: {', '.join(_METHODS)} (default: all that suit the users, "
        "except -PLUS)",
    )
    parser.add_argument(
        "--max-sessions",
        type=positive,
        default=_DEFAULTS["max_sessions"],
        metavar="N",
        help="maximum number of concurrent sessions (default: %(default)s)",
    )
    parser.add_argument(
        "--max-sessions-before-login",
        type=positive,
        metavar="N",
        help="maximum number of sessions that have not logged in; the oldest makes room for a new one (default: half "
        "of --max-sessions)",
    )
    parser.add_argument(
        "--max-sessions-per-address",
        type=positive,
        default=_DEFAULTS["max_sessions_per_address"],
        metavar="N",
        help="maximum number of concurrent sessions from one address, or one IPv6 /64 (default: %(default)s)",
    )
    parser.add_argument(
        "--login-penalty",
        type=_penalty,
        default=LoginPenalty(),
        metavar="SECONDS",
        help="the longest delay of logins from an address where logins have failed; 0: no delay (default: 15)",
    )
    parser.add_argument(
        "--exempt",
        action="append",
        type=_network,
        default=[],
        metavar="ADDRESS",
        help="no delay and no limit per address for this address or network, of a proxy or webmail for example; may be "
        "given several times",
    )


def protected(service: Service, arguments: Namespace) -> Service:
    """Return a service with the settings that the arguments choose.

    Args:
        service: with the default settings.
        arguments: those of `add_protection_arguments`.
    """
    service = attrs.evolve(
        service,
        max_sessions=arguments.max_sessions,
        max_sessions_before_login=arguments.max_sessions_before_login,
        max_sessions_per_address=arguments.max_sessions_per_address,
        login_penalty=arguments.login_penalty,
        exempt=arguments.exempt,
    )
    methods: frozenset[str] | None = arguments.mechanisms
    if methods is None:
        return service
    return attrs.evolve(
        service,
        mechanisms=[name for name in SERVER_MECHANISMS if name in methods],
        user_pass=_USER_PASS in methods,
        apop=Apop.verb in methods,
    )


def check_logins(service: Service, users: str, *, tls: bool) -> None:
    """Check that somebody can log in.

    Args:
        service: what is to be served.
        users: whose logins are checked, in words.
        tls: there is TLS.

    Raises:
        Failure: no login method is left.
    """
    bindings = (ChannelBinding("tls-exporter", b"any"),)
    session = SessionInfo(tls=TlsInfo("TLSv1.3", verified=True, certificate=b"any", bindings=bindings) if tls else None)
    usable = {*service.offers(session, may_show_password=True)}
    if service.user_pass and implements(service.authenticator, PasswordVerifier):
        usable.add(_USER_PASS)
    if service.apop and implements(service.authenticator, SecretSource):
        usable.add(Apop.verb)
    if not usable:
        raise Failure(f"nobody could log in: none of these login methods works for {users}", USAGE)


def positive(text: str) -> int:
    """Return a number, 1 or more.

    Raises:
        ArgumentTypeError: it is something else.
    """
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise ArgumentTypeError("it must be a number, 1 or more")
    return number


def _methods(text: str) -> frozenset[str]:
    methods = frozenset(name.strip().upper() for name in text.split(",") if name.strip())
    if not methods:
        raise ArgumentTypeError("it must be a login method, or several, separated by commas")
    if unknown := methods - {*_METHODS}:
        raise ArgumentTypeError(f"no login method {min(unknown)!r}; there are {', '.join(_METHODS)}")
    return methods


def _penalty(text: str) -> LoginPenalty | None:
    try:
        most = float(text)
    except ValueError:
        most = -1
    if not 0 <= most <= _LONGEST_PENALTY:
        raise ArgumentTypeError(f"it must be a number of seconds from 0 to {_LONGEST_PENALTY}")
    return LoginPenalty(first=min(most, LoginPenalty().first), most=most) if most else None


def _network(text: str) -> str:
    try:
        networks_of(text)
    except LocalProtocolError as error:
        raise ArgumentTypeError(str(error).removeprefix("not an address or a network: ")) from None
    return text
