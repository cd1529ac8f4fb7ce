"""Authenticators that keep their users in memory: for tests, and for programs that know their users otherwise."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.sasl.authenticator import PasswordVerifier, ScramKeySource, SecretSource, TokenVerifier
from pop3proto.sasl.saslprep import prepare
from pop3proto.sasl.scram.keys import ScramKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["MemoryAuthenticator", "MemoryTokenAuthenticator", "MemoryTokens"]

_SALT_OCTETS: Final = 16
_SECRET_OCTETS: Final = 32
_LEAST_ITERATIONS: Final = 4_096  # RFC 7677 section 4; here the passwords themselves lie beside the keys


class MemoryAuthenticator(PasswordVerifier, SecretSource, ScramKeySource):
    """Users and their passwords: all ways to log in with a password.

    SCRAM keys are derived here and now, a few milliseconds for each user and algorithm, so that no login computes for
    long: neither that of a user nor, which would tell them apart, that of somebody unknown.

    Args:
        passwords: by user. Names and passwords are prepared as stored strings (RFC 4013).
        scram_algorithms: for which to derive SCRAM keys; none, and SCRAM is not announced.
        iterations: of the SCRAM keys.

    Raises:
        MechanismError: a name or a password cannot be prepared.
        LocalProtocolError: there is no such algorithm, or the iterations are none.
    """

    def __init__(
        self,
        passwords: Mapping[str, str],
        *,
        scram_algorithms: Collection[str] = ("SHA-1", "SHA-256", "SHA-512"),
        iterations: int = _LEAST_ITERATIONS,
    ) -> None:
        self._passwords = {
            prepare(user, stored=True): prepare(password, stored=True) for user, password in passwords.items()
        }
        self._nobodys = secrets.token_hex(_SECRET_OCTETS)  # a password that no client can send but by chance
        self._decoy_secret = secrets.token_bytes(_SECRET_OCTETS)
        self._iterations = iterations
        self._scram_algorithms = tuple(scram_algorithms)
        self._scram_keys = {
            (user, algorithm): ScramKeys.derive(algorithm, password, secrets.token_bytes(_SALT_OCTETS), iterations)
            for user, password in self._passwords.items()
            for algorithm in self._scram_algorithms
        }

    @property
    @override
    def blocks(self) -> bool:
        return False

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        return hmac.compare_digest(_octets(password), _octets(self._passwords.get(user, self._nobodys)))

    @override
    def secret(self, user: str, session: SessionInfo, /) -> str | None:
        return self._passwords.get(user)

    @property
    @override
    def scram_algorithms(self) -> Collection[str]:
        return self._scram_algorithms

    @override
    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        # Made in any case, so that a user takes no less time than somebody unknown.
        decoy = ScramKeys.decoy(
            algorithm, user, self._decoy_secret, iterations=self._iterations, salt_octets=_SALT_OCTETS
        )
        return self._scram_keys.get((user, algorithm), decoy)


class MemoryTokens(TokenVerifier):
    """Access tokens, and nothing else: OAUTHBEARER and XOAUTH2.

    Args:
        tokens: whose each access token is.

    Raises:
        MechanismError: a name cannot be prepared.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        # By digest: who measures how long a look-up takes can not choose which octets are compared.
        self._owners = {_token_digest(token): prepare(owner, stored=True) for token, owner in tokens.items()}

    @property
    @override
    def blocks(self) -> bool:
        return False

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        owner = self._owners.get(_token_digest(token))
        return owner if user in ("", owner) else None


class MemoryTokenAuthenticator(MemoryAuthenticator, TokenVerifier):
    """Users with passwords, and access tokens.

    The classes are three because a server announces what an authenticator is able to verify.

    Args:
        passwords: by user, as `MemoryAuthenticator`; a user with a token need not be in it.
        tokens: as `MemoryTokens`.
        scram_algorithms: as `MemoryAuthenticator`.
        iterations: as `MemoryAuthenticator`.
    """

    def __init__(
        self,
        passwords: Mapping[str, str],
        tokens: Mapping[str, str],
        *,
        scram_algorithms: Collection[str] = ("SHA-1", "SHA-256", "SHA-512"),
        iterations: int = _LEAST_ITERATIONS,
    ) -> None:
        super().__init__(passwords, scram_algorithms=scram_algorithms, iterations=iterations)
        self._tokens = MemoryTokens(tokens)

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        return self._tokens.check_token(user, token, session)


def _token_digest(token: str) -> bytes:
    return hashlib.sha256(_octets(token)).digest()


def _octets(text: str) -> bytes:
    """Return UTF-8. It never fails: the error would hold the text."""
    return text.encode("utf-8", "surrogatepass")
