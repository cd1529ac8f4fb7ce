"""What a server keeps for SCRAM instead of a password, and how it is computed (RFC 5802 section 3)."""

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
_MOST_ITERATIONS: Final = 2**31 - 1  # what OpenSSL can count
_LEAST_SECRET: Final = 16  # octets; one that can be guessed would tell decoys from users
_DECOY_HASH: Final = "sha512"
_MOST_DECOY_SALT: Final = 64  # octets that one SHA-512 gives


@attrs.frozen
class ScramHash:
    """The hash function of a mechanism, and the functions that RFC 5802 section 2.2 makes of it.

    Args:
        algorithm: "SHA-1", "SHA-256" or "SHA-512", as in the name of the mechanism.

    Raises:
        LocalProtocolError: it is none of these.
    """

    algorithm: str

    def __attrs_post_init__(self) -> None:
        if self.algorithm not in _HASHES:
            raise LocalProtocolError(f"SCRAM is known for {', '.join(_HASHES)}, not for {self.algorithm!r}")

    @property
    def octets(self) -> int:
        """How long a hash is."""
        return hashlib.new(self._python_name, usedforsecurity=False).digest_size

    def digest(self, octets: bytes) -> bytes:
        """Return the hash of some octets: `H(str)`."""
        # SHA-1 is not broken as SCRAM uses it: what counts is that no preimage can be found.
        return hashlib.new(self._python_name, octets, usedforsecurity=False).digest()

    def hmac(self, key: bytes, octets: bytes) -> bytes:
        """Return `HMAC(key, str)`."""
        return hmac.digest(key, octets, self._python_name)

    def salted_password(self, password: bytes, salt: bytes, iterations: int) -> bytes:
        """Return `Hi(Normalize(password), salt, i)`, which is PBKDF2. It takes as long as the iterations say.

        Args:
            password: prepared already (`password_key`).
            salt: not empty.
            iterations: from 1 to 2,147,483,647.
        """
        return hashlib.pbkdf2_hmac(self._python_name, password, salt, iterations)

    def client_key(self, salted_password: bytes) -> bytes:
        """Return the key whose knowledge a client proves."""
        return self.hmac(salted_password, b"Client Key")

    def server_key(self, salted_password: bytes) -> bytes:
        """Return the key whose knowledge a server proves."""
        return self.hmac(salted_password, b"Server Key")

    @property
    def _python_name(self) -> str:
        return _HASHES[self.algorithm]


@attrs.frozen
class ScramKeys:
    """What a server keeps of a password for one hash function. Nobody can log in with it, but it can be guessed from.

    Args:
        salt: not empty; chance, anew for each user, algorithm and change of password.
        iterations: what a guess costs; at least 4,096 for clients that keep to RFC 5802 section 5.1.
        stored_key: verifies a client's proof.
        server_key: proves the server to the client.

    Raises:
        LocalProtocolError: there is no salt, or the iterations are not from 1 to 2,147,483,647.
    """

    salt: bytes
    iterations: int
    stored_key: bytes = attrs.field(repr=False)
    server_key: bytes = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        _check(self.salt, self.iterations)

    @classmethod
    def derive(cls, algorithm: str, password: str, salt: bytes, iterations: int) -> Self:
        """Return the keys of a password. It takes as long as the iterations say.

        Args:
            algorithm: "SHA-1", "SHA-256" or "SHA-512".
            password: as a person types it; it is prepared as a stored string (RFC 5802 section 2.2).
            salt: not empty; 16 octets of chance, say.
            iterations: at least 1; for passwords in use at least 4,096 (RFC 7677 section 4), better many more.

        Raises:
            MechanismError: the password cannot be prepared, or nothing is left of it.
            LocalProtocolError: the algorithm, the salt or the iterations are none.
        """
        hashing = ScramHash(algorithm)
        _check(salt, iterations)  # before they cost anything
        salted_password = hashing.salted_password(password_key(password, stored=True), salt, iterations)
        stored_key = hashing.digest(hashing.client_key(salted_password))
        return cls(salt, iterations, stored_key, hashing.server_key(salted_password))

    @classmethod
    def decoy(cls, algorithm: str, user: str, secret: bytes, *, iterations: int, salt_octets: int = 16) -> Self:
        """Return keys for a user that does not exist: the same for the same name, and no proof matches them.

        An exchange with them looks like one with a wrong password (RFC 5802 section 7, "unknown-user"), if iterations
        and the length of the salt are those of real users.

        Args:
            algorithm: "SHA-1", "SHA-256" or "SHA-512".
            user: the name, prepared.
            secret: at least 16 octets of chance, kept for as long as the users are, known to this server alone.
            iterations: as real users have.
            salt_octets: as real users have; 1 to 64.

        Raises:
            LocalProtocolError: an argument is not what it must be.
        """
        if len(secret) < _LEAST_SECRET:
            raise LocalProtocolError(f"the secret behind decoys must have at least {_LEAST_SECRET} octets")
        if not 1 <= salt_octets <= _MOST_DECOY_SALT:
            raise LocalProtocolError(f"the salt of a decoy must have 1 to {_MOST_DECOY_SALT} octets")
        octets = ScramHash(algorithm).octets

        def drawn(what: str) -> bytes:
            # NUL divides: neither label nor algorithm holds one. A surrogate cannot come from a client.
            label = f"{what}\0{algorithm}\0{user}".encode("utf-8", "surrogatepass")
            return hmac.digest(secret, label, _DECOY_HASH)

        # A proof would need a preimage of the stored key, which itself is never shown.
        return cls(drawn("salt")[:salt_octets], iterations, drawn("stored key")[:octets], drawn("server key")[:octets])


def _check(salt: bytes, iterations: int) -> None:
    if not salt:
        raise LocalProtocolError("the salt of SCRAM keys must not be empty")
    if not 1 <= index(iterations) <= _MOST_ITERATIONS:
        raise LocalProtocolError(f"the iterations of SCRAM keys must be from 1 to {_MOST_ITERATIONS}")


def xor(left: bytes, right: bytes) -> bytes:
    """Return the exclusive or of two octet strings of the same length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
