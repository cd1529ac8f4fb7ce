"""The mechanisms that a server knows, and how each is made.

To add one: `{**SERVER_MECHANISMS, "GSSAPI": ServerEntry(...)}`, and pass the new table to `Service`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import attrs

from .anonymous import AnonymousServer
from .authenticator import (
    AnonymousHost,
    Authenticator,
    CertificateVerifier,
    PasswordVerifier,
    ScramKeySource,
    SecretSource,
    TokenVerifier,
    named,
    verdict,
)
from .cram_md5 import CramMd5Server
from .external import ExternalServer
from .login import LoginServer
from .mechanism import MechanismError, ServerMechanism
from .oauthbearer import OAuthBearerServer
from .plain import PlainServer
from .scram_server import ScramServer
from .strength import Strength
from .xoauth2 import XOAuth2Server

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .channel import SessionInfo

__all__ = ["SERVER_MECHANISMS", "ServerContext", "ServerEntry", "ServerMechanisms"]

T = TypeVar("T")


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
    if not isinstance(context.authenticator, kind):
        raise MechanismError(f"this mechanism needs a {kind.__name__}")
    return context.authenticator


def _has(kind: type[T]) -> Callable[[Authenticator, SessionInfo], bool]:
    return lambda authenticator, _session: isinstance(authenticator, kind)


def _plain_server(context: ServerContext) -> ServerMechanism:
    verifier = _who(PasswordVerifier, context)
    return PlainServer(lambda user, password: verdict(verifier.check_password(user, password, context.session)))


def _login_server(context: ServerContext) -> ServerMechanism:
    verifier = _who(PasswordVerifier, context)
    return LoginServer(lambda user, password: verdict(verifier.check_password(user, password, context.session)))


def _cram_md5_server(context: ServerContext) -> ServerMechanism:
    source = _who(SecretSource, context)
    challenge = f"<{context.nonce}@{context.hostname}>".encode()
    return CramMd5Server(lambda user: named(source.secret(user, context.session)), challenge)


def _has_scram(algorithm: str, authenticator: Authenticator, _session: SessionInfo) -> bool:
    return isinstance(authenticator, ScramKeySource) and algorithm in authenticator.scram_algorithms


def _has_scram_plus(algorithm: str, authenticator: Authenticator, session: SessionInfo) -> bool:
    bound = session.tls is not None and bool(session.tls.bindings)
    return bound and _has_scram(algorithm, authenticator, session)


def _scram_server(algorithm: str, context: ServerContext) -> ServerMechanism:
    source = _who(ScramKeySource, context)
    return ScramServer(
        algorithm,
        lambda user: source.scram_keys(user, algorithm, context.session),
        nonce=context.nonce,
        plus_announced=f"SCRAM-{algorithm}-PLUS" in context.announced,
    )


def _scram_plus_server(algorithm: str, context: ServerContext) -> ServerMechanism:
    source = _who(ScramKeySource, context)
    return ScramServer(
        algorithm,
        lambda user: source.scram_keys(user, algorithm, context.session),
        nonce=context.nonce,
        bindings=context.session.tls.bindings if context.session.tls is not None else (),
    )


def _oauthbearer_server(context: ServerContext) -> ServerMechanism:
    verifier = _who(TokenVerifier, context)
    return OAuthBearerServer(lambda user, token: named(verifier.check_token(user, token, context.session)))


def _xoauth2_server(context: ServerContext) -> ServerMechanism:
    verifier = _who(TokenVerifier, context)
    return XOAuth2Server(lambda user, token: named(verifier.check_token(user, token, context.session)))


def _has_certificate(authenticator: Authenticator, session: SessionInfo) -> bool:
    shown = session.tls is not None and session.tls.verified and session.tls.certificate is not None
    return shown and isinstance(authenticator, CertificateVerifier)


def _external_server(context: ServerContext) -> ServerMechanism:
    verifier = _who(CertificateVerifier, context)
    tls = context.session.tls
    if tls is None or tls.certificate is None:
        raise MechanismError("the client has shown no certificate")
    certificate = tls.certificate
    return ExternalServer(lambda authzid: named(verifier.check_certificate(certificate, authzid, context.session)))


def _anonymous_server(context: ServerContext) -> ServerMechanism:
    host = _who(AnonymousHost, context)
    return AnonymousServer(lambda trace: named(host.admit(trace, context.session)))


SERVER_MECHANISMS: Final[ServerMechanisms] = {
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
    "PLAIN": ServerEntry(Strength.CLEAR, _has(PasswordVerifier), _plain_server),
    "LOGIN": ServerEntry(Strength.CLEAR, _has(PasswordVerifier), _login_server),
    "OAUTHBEARER": ServerEntry(Strength.CLEAR, _has(TokenVerifier), _oauthbearer_server),
    "XOAUTH2": ServerEntry(Strength.CLEAR, _has(TokenVerifier), _xoauth2_server),
    "ANONYMOUS": ServerEntry(Strength.NO_SECRET, _has(AnonymousHost), _anonymous_server),
}
"""In the order in which they are announced."""
