"""The registry of SASL mechanisms, for both roles: which there are, and how each is made.

To add one for clients: `{**CLIENT_MECHANISMS, "GSSAPI": ClientEntry(...)}`, passed to `login`. For servers:
`{**SERVER_MECHANISMS, "GSSAPI": ServerEntry(...)}`, passed to `Service`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import attrs
from typing_extensions import override

from pop3proto.core.limits import DEFAULT_LIMITS

from .authenticator import (
    AnonymousHost,
    Authenticator,
    CertificateVerifier,
    PasswordVerifier,
    ScramKeySource,
    SecretSource,
    TokenVerifier,
    implements,
)
from .credentials import Anonymous, ClientCertificate, Credentials, Password, Token
from .external import AnonymousClient, AnonymousServer, ExternalClient, ExternalServer
from .md5 import CramMd5Client, CramMd5Server
from .mechanism import ClientMechanism, MechanismError, ServerMechanism, Strength
from .oauth import OAuthBearerClient, OAuthBearerServer, XOAuth2Client, XOAuth2Server
from .plain import LoginClient, LoginServer, PlainClient, PlainServer
from .scram.mechanisms import ScramClient, ScramServer

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .channel import ChannelBinding, SessionInfo

__all__ = [
    "CLIENT_MECHANISMS",
    "SERVER_MECHANISMS",
    "ClientContext",
    "ClientEntry",
    "ClientMechanisms",
    "ServerContext",
    "ServerEntry",
    "ServerMechanisms",
]

T = TypeVar("T")
C = TypeVar("C", bound=Credentials)


@attrs.frozen(kw_only=True)
class ClientContext:
    """What a client's mechanism is made from.

    Args:
        credentials: of the kind that the entry takes.
        nonce: chance, printable and without commas, never used before.
        binding: what this TLS channel can be bound to; None if there is nothing.
        announced: the mechanisms that the server announces.
        scram_iterations: the most that are computed for a server (`Limits.scram_iterations`).
    """

    credentials: Credentials
    nonce: str = attrs.field(repr=False)
    binding: ChannelBinding | None = None
    announced: AbstractSet[str] = frozenset()
    scram_iterations: int = DEFAULT_LIMITS.scram_iterations


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
        most_iterations=context.scram_iterations,
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
        most_iterations=context.scram_iterations,
    )


def _oauthbearer(context: ClientContext) -> ClientMechanism:
    credentials = _credentials(Token, context)
    return OAuthBearerClient(credentials.user, credentials.token)


def _xoauth2(context: ClientContext) -> ClientMechanism:
    credentials = _credentials(Token, context)
    return XOAuth2Client(credentials.user, credentials.token)


class _Table(dict[str, T]):
    """A table of mechanisms whose repr is its name, so that signatures in `help()` stay short."""

    def __init__(self, name: str, entries: Mapping[str, T]) -> None:
        super().__init__(entries)
        self._name = name

    @override
    def __repr__(self) -> str:
        return self._name


_CLIENT: Final[ClientMechanisms] = {
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
CLIENT_MECHANISMS: Final[ClientMechanisms] = _Table("CLIENT_MECHANISMS", _CLIENT)
"""In the order in which they are tried, for the same strength."""


@attrs.frozen(kw_only=True)
class ServerContext:
    """What a server's mechanism is made from.

    Args:
        authenticator: knows the users.
        session: the client.
        nonce: chance, letters and digits, never used before.
        hostname: the server's name.
        announced: the mechanisms that were announced to this client.
    """

    authenticator: Authenticator
    session: SessionInfo
    nonce: str = attrs.field(repr=False)
    hostname: str = "localhost"
    announced: AbstractSet[str] = frozenset()

    def full_name(self, user: str) -> str:
        """Return a user's name as an authenticator must be asked for it: see `SessionInfo.full_name`."""
        return self.session.full_name(user)


@attrs.frozen
class ServerEntry:
    """One mechanism for servers.

    Args:
        strength: what it shows; what is CLEAR is offered only where passwords may be shown.
        suits: returns whether an authenticator can verify it for this client.
        make: returns it for one exchange.
    """

    strength: Strength
    suits: Callable[[Authenticator, SessionInfo], bool]
    make: Callable[[ServerContext], ServerMechanism]


ServerMechanisms: TypeAlias = Mapping[str, ServerEntry]


def _who(kind: type[T], context: ServerContext) -> T:
    """Return the authenticator, of the kind that `suits` has looked for."""
    if not implements(context.authenticator, kind):
        raise MechanismError(f"this mechanism needs a {kind.__name__}")
    return context.authenticator


def _has(kind: type[T]) -> Callable[[Authenticator, SessionInfo], bool]:
    return lambda authenticator, _session: implements(authenticator, kind)


def _password_server(kind: type[PlainServer | LoginServer], context: ServerContext) -> ServerMechanism:
    verifier = _who(PasswordVerifier, context)
    return kind(lambda user, password: verifier.check_password(context.full_name(user), password, context.session))


def _cram_md5_server(context: ServerContext) -> ServerMechanism:
    source = _who(SecretSource, context)
    challenge = f"<{context.nonce}@{context.hostname}>".encode()
    return CramMd5Server(lambda user: source.secret(context.full_name(user), context.session), challenge)


def _has_scram(algorithm: str, authenticator: Authenticator, _session: SessionInfo) -> bool:
    return implements(authenticator, ScramKeySource) and algorithm in authenticator.scram_algorithms


def _has_scram_plus(algorithm: str, authenticator: Authenticator, session: SessionInfo) -> bool:
    bound = session.tls is not None and bool(session.tls.bindings)
    return bound and _has_scram(algorithm, authenticator, session)


def _scram_server(algorithm: str, context: ServerContext) -> ServerMechanism:
    source = _who(ScramKeySource, context)
    return ScramServer(
        algorithm,
        lambda user: source.scram_keys(context.full_name(user), algorithm, context.session),
        nonce=context.nonce,
        plus_announced=f"SCRAM-{algorithm}-PLUS" in context.announced,
    )


def _scram_plus_server(algorithm: str, context: ServerContext) -> ServerMechanism:
    source = _who(ScramKeySource, context)
    return ScramServer(
        algorithm,
        lambda user: source.scram_keys(context.full_name(user), algorithm, context.session),
        nonce=context.nonce,
        bindings=context.session.tls.bindings if context.session.tls is not None else (),
    )


def _token_server(kind: type[OAuthBearerServer | XOAuth2Server], context: ServerContext) -> ServerMechanism:
    verifier = _who(TokenVerifier, context)
    return kind(lambda user, token: verifier.check_token(context.full_name(user), token, context.session))


def _has_certificate(authenticator: Authenticator, session: SessionInfo) -> bool:
    shown = session.tls is not None and session.tls.verified and session.tls.certificate is not None
    return shown and implements(authenticator, CertificateVerifier)


def _external_server(context: ServerContext) -> ServerMechanism:
    verifier = _who(CertificateVerifier, context)
    tls = context.session.tls
    if tls is None or tls.certificate is None:
        raise MechanismError("the client has shown no certificate")
    certificate = tls.certificate
    return ExternalServer(
        lambda authzid: verifier.check_certificate(certificate, context.full_name(authzid), context.session)
    )


def _anonymous_server(context: ServerContext) -> ServerMechanism:
    host = _who(AnonymousHost, context)
    return AnonymousServer(lambda trace: host.admit(trace, context.session))


_SERVER: Final[ServerMechanisms] = {
    "SCRAM-SHA-512-PLUS": ServerEntry(
        Strength.BOUND, partial(_has_scram_plus, "SHA-512"), partial(_scram_plus_server, "SHA-512")
    ),
    "SCRAM-SHA-256-PLUS": ServerEntry(
        Strength.BOUND, partial(_has_scram_plus, "SHA-256"), partial(_scram_plus_server, "SHA-256")
    ),
    "SCRAM-SHA-1-PLUS": ServerEntry(
        Strength.BOUND, partial(_has_scram_plus, "SHA-1"), partial(_scram_plus_server, "SHA-1")
    ),
    "SCRAM-SHA-512": ServerEntry(Strength.MUTUAL, partial(_has_scram, "SHA-512"), partial(_scram_server, "SHA-512")),
    "SCRAM-SHA-256": ServerEntry(Strength.MUTUAL, partial(_has_scram, "SHA-256"), partial(_scram_server, "SHA-256")),
    "SCRAM-SHA-1": ServerEntry(Strength.MUTUAL, partial(_has_scram, "SHA-1"), partial(_scram_server, "SHA-1")),
    "EXTERNAL": ServerEntry(Strength.NO_SECRET, _has_certificate, _external_server),
    "CRAM-MD5": ServerEntry(Strength.DIGEST, _has(SecretSource), _cram_md5_server),
    "PLAIN": ServerEntry(Strength.CLEAR, _has(PasswordVerifier), partial(_password_server, PlainServer)),
    "LOGIN": ServerEntry(Strength.CLEAR, _has(PasswordVerifier), partial(_password_server, LoginServer)),
    "OAUTHBEARER": ServerEntry(Strength.CLEAR, _has(TokenVerifier), partial(_token_server, OAuthBearerServer)),
    "XOAUTH2": ServerEntry(Strength.CLEAR, _has(TokenVerifier), partial(_token_server, XOAuth2Server)),
    "ANONYMOUS": ServerEntry(Strength.NO_SECRET, _has(AnonymousHost), _anonymous_server),
}
SERVER_MECHANISMS: Final[ServerMechanisms] = _Table("SERVER_MECHANISMS", _SERVER)
"""In the order in which they are announced."""
