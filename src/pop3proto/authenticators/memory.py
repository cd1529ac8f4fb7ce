"""Authenticators that keep passwords or access tokens in memory: for tests, and for programs that load them anyway."""

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
_LEAST_ITERATIONS: Final = 4_096  # RFC 7677 section 4; more would protect nothing, as the passwords are here too


class MemoryAuthenticator(PasswordVerifier, SecretSource, ScramKeySource):
    """An authenticator that knows the passwords of its users: supports every login method that takes a password.

        authenticator = MemoryAuthenticator({"ann": "tanstaaf"})

    SCRAM keys are derived when it is made, in a few milliseconds for each user and algorithm. So a login takes the
    same short time for known and for unknown users, and does not reveal which users exist.

    Args:
        passwords: passwords by user name. Both are prepared as stored strings (RFC 4013).
        scram_algorithms: hash algorithms to derive SCRAM keys for; if empty, SCRAM is not announced.
        iterations: iteration count of the SCRAM keys.

    Raises:
        MechanismError: a name or a password cannot be prepared.
        LocalProtocolError: an algorithm is unknown, or the iteration count is not valid.
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
        # Compared with the password of an unknown user; random, so it never matches.
        self._decoy_password = secrets.token_hex(_SECRET_OCTETS)
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
        """Return whether this is the user's password; False if there is no such user."""
        return hmac.compare_digest(_octets(password), _octets(self._passwords.get(user, self._decoy_password)))

    @override
    def secret(self, user: str, session: SessionInfo, /) -> str | None:
        """Return the user's password; None if there is no such user."""
        return self._passwords.get(user)

    @property
    @override
    def scram_algorithms(self) -> Collection[str]:
        return self._scram_algorithms

    @override
    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        """Return the user's keys; if there is no such user, keys that no password matches."""
        # Always derived, so that known and unknown users take the same time.
        decoy = ScramKeys.decoy(
            algorithm, user, self._decoy_secret, iterations=self._iterations, salt_octets=_SALT_OCTETS
        )
        return self._scram_keys.get((user, algorithm), decoy)


class MemoryTokens(TokenVerifier):
    """An authenticator for access tokens only: OAUTHBEARER and XOAUTH2.

    Args:
        tokens: user names by access token.

    Raises:
        MechanismError: a user name cannot be prepared.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        # Looked up by digest: a client cannot learn a token octet by octet from the time that a look-up takes.
        self._owners = {_token_digest(token): prepare(owner, stored=True) for token, owner in tokens.items()}

    @property
    @override
    def blocks(self) -> bool:
        return False

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        """Return the owner of the token; None if it is unknown or belongs to another user."""
        owner = self._owners.get(_token_digest(token))
        return owner if user in ("", owner) else None


class MemoryTokenAuthenticator(MemoryAuthenticator, TokenVerifier):
    """An authenticator for passwords and access tokens.

    A server announces the mechanisms that its authenticator supports; so use `MemoryAuthenticator` or `MemoryTokens`
    if there are only passwords or only tokens.

    Args:
        passwords: passwords by user name, as in `MemoryAuthenticator`; a user with a token needs no password.
        tokens: user names by access token, as in `MemoryTokens`.
        scram_algorithms: as in `MemoryAuthenticator`.
        iterations: as in `MemoryAuthenticator`.

    Raises:
        MechanismError: a name or a password cannot be prepared.
        LocalProtocolError: an algorithm is unknown, or the iteration count is not valid.
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
        """Return the owner of the token; None if it is unknown or belongs to another user."""
        return self._tokens.check_token(user, token, session)


def _token_digest(token: str) -> bytes:
    return hashlib.sha256(_octets(token)).digest()


def _octets(text: str) -> bytes:
    """Return the UTF-8 encoding of a secret. It never fails: the exception would hold the secret."""
    return text.encode("utf-8", "surrogatepass")
