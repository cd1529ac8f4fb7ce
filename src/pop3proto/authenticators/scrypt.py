"""scrypt password hashes (RFC 7914) in the PHC string format: `$scrypt$ln=14,r=8,p=1$<salt>$<hash>`."""

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
"""Octets of memory for one login. Several logins run at once, and a hash that needs more is a mistake in the file."""


@attrs.frozen
class ScryptCost:
    """The cost parameters of a scrypt hash (RFC 7914 section 2).

    Args:
        ln: base-2 logarithm of the cost parameter N.
        r: block size parameter.
        p: parallelization parameter.
    """

    ln: int
    r: int
    p: int

    @property
    def memory(self) -> int:
        """Memory that one computation takes, in octets."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2)

    @property
    def is_sound(self) -> bool:
        """Whether the parameters are valid (RFC 7914 section 2: N < 2^(16 r)) and need no more memory than allowed."""
        return self.ln < 16 * self.r and self.memory <= _MOST_MEMORY

    def compute(self, password: str, salt: bytes, octets: int) -> bytes:
        """Return the scrypt hash of a password. This is slow by design: about 50 ms with `COST`.

        Args:
            password: the prepared password.
            salt: random octets.
            octets: length of the hash.

        Raises:
            ValueError: OpenSSL refuses the parameters.
            MemoryError: there is not enough memory.
        """
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),  # never fails: the exception would hold the password
            salt=salt,
            n=1 << self.ln,
            r=self.r,
            p=self.p,
            maxmem=self.memory,
            dklen=octets,
        )


COST: Final = ScryptCost(ln=14, r=8, p=1)
"""Cost of new hashes: 16 MiB and about 50 ms, which the author of scrypt recommends for interactive logins. A higher
cost would not slow down an attacker who has the file: guessing from the SCRAM keys beside the hash is cheaper."""


@attrs.frozen
class ScryptHash:
    """A scrypt hash of a password.

    Args:
        cost: the cost parameters.
        salt: 8 to 64 random octets.
        digest: the hash, 8 to 64 octets.
    """

    cost: ScryptCost
    salt: bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, password: str) -> ScryptHash:
        """Return the hash of a prepared password with `COST` and a new random salt.

        Raises:
            ValueError: OpenSSL refuses to compute it.
            MemoryError: there is not enough memory.
        """
        salt = secrets.token_bytes(_SALT_OCTETS)
        return cls(COST, salt, COST.compute(password, salt, _DIGEST_OCTETS))

    @classmethod
    def decoy(cls, cost: ScryptCost) -> ScryptHash:
        """Return a random hash that no password matches, to check the passwords of unknown users against."""
        return cls(cost, secrets.token_bytes(_SALT_OCTETS), secrets.token_bytes(_DIGEST_OCTETS))

    @classmethod
    def parse(cls, field: bytes) -> ScryptHash | None:
        """Parse a PHC string; return None if it is not a valid scrypt hash or its cost is too high."""
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
        """Return whether a prepared password has this hash. Takes as long as `ScryptCost.compute`.

        Raises:
            ValueError: OpenSSL refuses to compute the hash.
            MemoryError: there is not enough memory.
        """
        return hmac.compare_digest(self.cost.compute(password, self.salt, len(self.digest)), self.digest)


def _encoded(octets: bytes) -> bytes:
    return encode_base64(octets).rstrip(b"=")  # PHC strings have no padding


def _decoded(base64: bytes) -> bytes | None:
    octets = decode_base64(base64 + b"=" * (-len(base64) % 4))
    return octets if octets is not None and _LEAST_OCTETS <= len(octets) <= _MOST_OCTETS else None
