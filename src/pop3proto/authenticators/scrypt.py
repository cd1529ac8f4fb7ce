"""A password as a scrypt hash (RFC 7914), written as a PHC string: `$scrypt$ln=14,r=8,p=1$<salt>$<hash>`."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

import attrs

from pop3proto.core.text import decode_base64, encode_base64

__all__ = ["COST", "ScryptCost", "ScryptHash"]

_PHC: Final = re.compile(
    rb"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]?),p=([1-9][0-9]?)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_SALT_OCTETS: Final = 16
_DIGEST_OCTETS: Final = 32
_LEAST_OCTETS: Final = 8
_MOST_OCTETS: Final = 64
_MOST_MEMORY: Final = 1 << 28
"""Octets that one login may take; more is a mistake in a file, and several log in at once."""


@attrs.frozen
class ScryptCost:
    """What a guess costs.

    Args:
        ln: the logarithm to base 2 of the cost parameter N.
        r: the block size.
        p: the parallelisation.
    """

    ln: int
    r: int
    p: int

    @property
    def memory(self) -> int:
        """Octets that a computation takes."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2)

    @property
    def is_sound(self) -> bool:
        """Whether it can be computed (RFC 7914 section 2: N is less than 2^(16 r)), in memory that a login may take."""
        return self.ln < 16 * self.r and self.memory <= _MOST_MEMORY

    def compute(self, password: str, salt: bytes, octets: int) -> bytes:
        """Return the hash of a password. It takes as long as it is meant to.

        Raises:
            ValueError: OpenSSL will not.
            MemoryError: there is not enough memory.
        """
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),  # never fails; the error would hold the password
            salt=salt,
            n=1 << self.ln,
            r=self.r,
            p=self.p,
            maxmem=self.memory,
            dklen=octets,
        )


COST: Final = ScryptCost(ln=14, r=8, p=1)
"""Of new hashes: 16 MiB and some 50 milliseconds, what the author of scrypt proposed for somebody who waits for a
login. More would keep nobody out where SCRAM keys lie beside the hash: they cost less to guess from."""


@attrs.frozen
class ScryptHash:
    """The hash of a password.

    Args:
        cost: what it costs to compute.
        salt: 8 to 64 octets of chance.
        digest: the hash, 8 to 64 octets.
    """

    cost: ScryptCost
    salt: bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, password: str) -> ScryptHash:
        """Return the hash of a prepared password, with a new salt.

        Raises:
            ValueError: OpenSSL will not.
            MemoryError: there is not enough memory.
        """
        salt = secrets.token_bytes(_SALT_OCTETS)
        return cls(COST, salt, COST.compute(password, salt, _DIGEST_OCTETS))

    @classmethod
    def decoy(cls, cost: ScryptCost) -> ScryptHash:
        """Return a hash that no password has."""
        return cls(cost, secrets.token_bytes(_SALT_OCTETS), secrets.token_bytes(_DIGEST_OCTETS))

    @classmethod
    def parse(cls, field: bytes) -> ScryptHash | None:
        """Return the hash that a PHC string tells; None if it is none, or its cost is out of bounds."""
        match = _PHC.fullmatch(field)
        if match is None:
            return None
        cost = ScryptCost(*map(int, match.group(1, 2, 3)))
        salt, digest = (_decoded(part) for part in match.group(4, 5))
        if not cost.is_sound or salt is None or digest is None:
            return None
        return cls(cost, salt, digest)

    def encode(self) -> bytes:
        """Return the PHC string."""
        cost = b"ln=%d,r=%d,p=%d" % (self.cost.ln, self.cost.r, self.cost.p)
        return b"$scrypt$%b$%b$%b" % (cost, _encoded(self.salt), _encoded(self.digest))

    def matches(self, password: str) -> bool:
        """Return whether this is the hash of a prepared password.

        Raises:
            ValueError: OpenSSL will not compute it.
            MemoryError: there is not enough memory.
        """
        return hmac.compare_digest(self.cost.compute(password, self.salt, len(self.digest)), self.digest)


def _encoded(octets: bytes) -> bytes:
    return encode_base64(octets).rstrip(b"=")  # PHC strings have no padding


def _decoded(base64: bytes) -> bytes | None:
    octets = decode_base64(base64 + b"=" * (-len(base64) % 4))
    return octets if octets is not None and _LEAST_OCTETS <= len(octets) <= _MOST_OCTETS else None
