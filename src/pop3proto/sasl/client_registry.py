"""The mechanisms that a client knows, and how each is made.

To add one: `{**CLIENT_MECHANISMS, "GSSAPI": ClientEntry(...)}`, and pass the new table to `login`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import attrs

from .anonymous import AnonymousClient
from .cram_md5 import CramMd5Client
from .credentials import Anonymous, ClientCertificate, Credentials, Password, Token
from .external import ExternalClient
from .login import LoginClient
from .mechanism import ClientMechanism, MechanismError
from .oauthbearer import OAuthBearerClient
from .plain import PlainClient
from .scram_client import ScramClient
from .strength import Strength
from .xoauth2 import XOAuth2Client

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .channel import ChannelBinding

__all__ = ["CLIENT_MECHANISMS", "ClientContext", "ClientEntry", "ClientMechanisms"]

C = TypeVar("C", bound=Credentials)


@attrs.frozen(kw_only=True)
class ClientContext:
    """What a client's mechanism is made from.

    Args:
        credentials: of the kind that the entry takes.
        nonce: chance, printable and without commas, never used before.
        binding: what this TLS channel can be bound to; None if there is nothing.
        announced: the mechanisms that the server announces.
    """

    credentials: Credentials
    nonce: str = attrs.field(repr=False)
    binding: ChannelBinding | None = None
    announced: AbstractSet[str] = frozenset()


@attrs.frozen
class ClientEntry:
    """One mechanism for clients.

    Args:
        takes: the credentials that it is for.
        strength: what it shows; logins try the strongest first.
        make: returns it for one exchange; it may raise `MechanismError` if the credentials do not fit into it.
        binds: it is one that binds to the TLS channel (`binding` is then not None).
    """

    takes: type[Credentials]
    strength: Strength
    make: Callable[[ClientContext], ClientMechanism]
    binds: bool = False


ClientMechanisms: TypeAlias = Mapping[str, ClientEntry]


def _credentials(kind: type[C], context: ClientContext) -> C:
    """Return the credentials, of the kind that the entry has named."""
    if not isinstance(context.credentials, kind):
        raise MechanismError(f"this mechanism takes {kind.__name__}, not {type(context.credentials).__name__}")
    return context.credentials


def _plain(context: ClientContext) -> ClientMechanism:
    credentials = _credentials(Password, context)
    return PlainClient(credentials.user, credentials.password, credentials.authzid)


def _login(context: ClientContext) -> ClientMechanism:
    credentials = _without_authzid("LOGIN", context)
    return LoginClient(credentials.user, credentials.password)


def _cram_md5(context: ClientContext) -> ClientMechanism:
    credentials = _without_authzid("CRAM-MD5", context)
    return CramMd5Client(credentials.user, credentials.password)


def _without_authzid(name: str, context: ClientContext) -> Password:
    credentials = _credentials(Password, context)
    if credentials.authzid:
        raise MechanismError(f"{name} cannot say on whose behalf one acts")
    return credentials


def _scram(algorithm: str, context: ClientContext) -> ClientMechanism:
    credentials = _credentials(Password, context)
    return ScramClient(
        algorithm,
        credentials.user,
        credentials.password,
        nonce=context.nonce,
        authzid=credentials.authzid,
        # The truth (RFC 5802 section 6): we could have bound, and the server did not say that it can.
        unannounced=context.binding is not None and f"SCRAM-{algorithm}-PLUS" not in context.announced,
    )


def _scram_plus(algorithm: str, context: ClientContext) -> ClientMechanism:
    credentials = _credentials(Password, context)
    if context.binding is None:
        raise MechanismError("there is nothing to bind to")
    return ScramClient(
        algorithm,
        credentials.user,
        credentials.password,
        nonce=context.nonce,
        authzid=credentials.authzid,
        binding=context.binding,
    )


def _oauthbearer(context: ClientContext) -> ClientMechanism:
    credentials = _credentials(Token, context)
    return OAuthBearerClient(credentials.user, credentials.token)


def _xoauth2(context: ClientContext) -> ClientMechanism:
    credentials = _credentials(Token, context)
    return XOAuth2Client(credentials.user, credentials.token)


CLIENT_MECHANISMS: Final[ClientMechanisms] = {
    "SCRAM-SHA-512-PLUS": ClientEntry(Password, Strength.BOUND, partial(_scram_plus, "SHA-512"), binds=True),
    "SCRAM-SHA-256-PLUS": ClientEntry(Password, Strength.BOUND, partial(_scram_plus, "SHA-256"), binds=True),
    "SCRAM-SHA-1-PLUS": ClientEntry(Password, Strength.BOUND, partial(_scram_plus, "SHA-1"), binds=True),
    "SCRAM-SHA-512": ClientEntry(Password, Strength.MUTUAL, partial(_scram, "SHA-512")),
    "SCRAM-SHA-256": ClientEntry(Password, Strength.MUTUAL, partial(_scram, "SHA-256")),
    "SCRAM-SHA-1": ClientEntry(Password, Strength.MUTUAL, partial(_scram, "SHA-1")),
    "CRAM-MD5": ClientEntry(Password, Strength.DIGEST, _cram_md5),
    "PLAIN": ClientEntry(Password, Strength.CLEAR, _plain),
    "LOGIN": ClientEntry(Password, Strength.CLEAR, _login),
    "OAUTHBEARER": ClientEntry(Token, Strength.CLEAR, _oauthbearer),
    "XOAUTH2": ClientEntry(Token, Strength.CLEAR, _xoauth2),
    "EXTERNAL": ClientEntry(
        ClientCertificate,
        Strength.NO_SECRET,
        lambda context: ExternalClient(_credentials(ClientCertificate, context).authzid),
    ),
    "ANONYMOUS": ClientEntry(
        Anonymous, Strength.NO_SECRET, lambda context: AnonymousClient(_credentials(Anonymous, context).trace)
    ),
}
"""In the order in which they are tried, for the same strength."""
