"""Stored keys for SCRAM, which a server keeps instead of passwords, and their computation (RFC 5802 section 3)."""

from __future__ import annotations

import hashlib
import hmac
from operator import index
from typing import Final, Self

import attrs

from pop3proto.core.errors import LocalProtocolError
from pop3proto.sasl.names import password_key

__all__ = ["ScramHash", "ScramKeys", "xor"]

_HASHES: Final = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}
_MAX_ITERATIONS: Final = 2**31 - 1  # the maximum of OpenSSL
_MIN_SECRET_OCTETS: Final = 16  # with a secret that can be guessed, decoys could be told from users
_DECOY_HASH: Final = "sha512"
_MAX_DECOY_SALT: Final = 64  # octets; the size of a SHA-512 hash


@attrs.frozen
class ScramHash:
    """The hash function of a SCRAM mechanism, and the functions that RFC 5802 section 2.2 defines with it.

    Args:
        algorithm: "SHA-1", "SHA-256" or "SHA-512", as in the name of the mechanism.

    Raises:
        LocalProtocolError: the algorithm is not one of these.
    """

    algorithm: str

    def __attrs_post_init__(self) -> None:
        if self.algorithm not in _HASHES:
            raise LocalProtocolError(f"unknown SCRAM algorithm {self.algorithm!r}; use one of {', '.join(_HASHES)}")

    @property
    def octets(self) -> int:
        """The length of a hash in octets."""
        return hashlib.new(self._python_name, usedforsecurity=False).digest_size

    def digest(self, octets: bytes) -> bytes:
        """Return the hash of octets: `H(str)`."""
        # SHA-1 is safe in SCRAM, which needs preimage resistance only.
        return hashlib.new(self._python_name, octets, usedforsecurity=False).digest()

    def hmac(self, key: bytes, octets: bytes) -> bytes:
        """Return `HMAC(key, str)`."""
        return hmac.digest(key, octets, self._python_name)

    def salted_password(self, password: bytes, salt: bytes, iterations: int) -> bytes:
        """Return `Hi(Normalize(password), salt, i)`, which is PBKDF2. The time is proportional to `iterations`.

        Args:
            password: the prepared password (`password_key`).
            salt: octets, not empty.
            iterations: from 1 to 2,147,483,647.
        """
        return hashlib.pbkdf2_hmac(self._python_name, password, salt, iterations)

    def client_key(self, salted_password: bytes) -> bytes:
        """Return the key that a client proves to know."""
        return self.hmac(salted_password, b"Client Key")

    def server_key(self, salted_password: bytes) -> bytes:
        """Return the key that a server proves to know."""
        return self.hmac(salted_password, b"Server Key")

    @property
    def _python_name(self) -> str:
        return _HASHES[self.algorithm]


@attrs.frozen
class ScramKeys:
    """Stored keys of one user for one hash function, from which a server verifies SCRAM logins.

    A client cannot log in with them, but they allow offline guessing of the password: keep them secret. Make them with
    `derive`::

        keys = ScramKeys.derive("SHA-256", "secret", salt=os.urandom(16), iterations=100_000)

    Args:
        salt: random octets, not empty; new for each user, algorithm and change of password.
        iterations: the cost of one guess; at least 4,096, which clients require (RFC 5802 section 5.1).
        stored_key: verifies a client's proof.
        server_key: proves to the client that the server knows the keys.

    Raises:
        LocalProtocolError: the salt is empty, or `iterations` is not from 1 to 2,147,483,647.
    """

    salt: bytes
    iterations: int
    stored_key: bytes = attrs.field(repr=False)
    server_key: bytes = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        _check(self.salt, self.iterations)

    @classmethod
    def derive(cls, algorithm: str, password: str, salt: bytes, iterations: int) -> Self:
        """Compute the keys of a password. The time is proportional to `iterations`.

        Args:
            algorithm: "SHA-1", "SHA-256" or "SHA-512".
            password: the password as typed; it is prepared as a stored string (RFC 5802 section 2.2).
            salt: octets, not empty; 16 random octets are usual.
            iterations: at least 1; for real passwords at least 4,096 (RFC 7677 section 4), better many more.

        Raises:
            MechanismError: the password contains prohibited characters, or is empty once it is prepared.
            LocalProtocolError: the algorithm, the salt or the iterations are not valid.
        """
        hashing = ScramHash(algorithm)
        _check(salt, iterations)  # before the expensive computation
        salted_password = hashing.salted_password(password_key(password, stored=True), salt, iterations)
        stored_key = hashing.digest(hashing.client_key(salted_password))
        return cls(salt, iterations, stored_key, hashing.server_key(salted_password))

    @classmethod
    def decoy(cls, algorithm: str, user: str, secret: bytes, *, iterations: int, salt_octets: int = 16) -> Self:
        """Return keys for a user that does not exist: always the same for one name, and matched by no proof.

        An exchange with them looks like one with a wrong password (RFC 5802 section 7, "unknown-user"), provided that
        `iterations` and `salt_octets` are those of real users.

        Args:
            algorithm: "SHA-1", "SHA-256" or "SHA-512".
            user: the user name, prepared.
            secret: at least 16 random octets, known to this server only, and kept as long as the users are.
            iterations: the same number as for real users.
            salt_octets: the same length as for real users; 1 to 64.

        Raises:
            LocalProtocolError: an argument is not valid.
        """
        if len(secret) < _MIN_SECRET_OCTETS:
            raise LocalProtocolError(f"the secret for decoys must have at least {_MIN_SECRET_OCTETS} octets")
        if not 1 <= salt_octets <= _MAX_DECOY_SALT:
            raise LocalProtocolError(f"the salt of a decoy must have 1 to {_MAX_DECOY_SALT} octets")
        octets = ScramHash(algorithm).octets

        def derived(what: str) -> bytes:
            # NUL is a safe separator: neither label nor algorithm contains one. Clients cannot send surrogates.
            label = f"{what}\0{algorithm}\0{user}".encode("utf-8", "surrogatepass")
            return hmac.digest(secret, label, _DECOY_HASH)

        # A matching proof would need a preimage of the stored key, which is never sent.
        return cls(
            derived("salt")[:salt_octets], iterations, derived("stored key")[:octets], derived("server key")[:octets]
        )


def _check(salt: bytes, iterations: int) -> None:
    if not salt:
        raise LocalProtocolError("the salt of SCRAM keys must not be empty")
    if not 1 <= index(iterations) <= _MAX_ITERATIONS:
        raise LocalProtocolError(f"the iteration count of SCRAM keys must be from 1 to {_MAX_ITERATIONS}")


def xor(left: bytes, right: bytes) -> bytes:
    """Return the exclusive or of two octet strings of the same length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
