"""Password hashes of other servers, by scheme: `{SSHA256}...`, `$6$...`, `$2y$...`; and whether a password matches."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import LocalProtocolError, Pop3Error
from pop3proto.sasl.scram.keys import ScramHash, ScramKeys

from .crypt_hashes import md5_crypt, sha_crypt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SCHEMES", "PasswordHash", "UnusableHash", "is_locked", "parse_hash"]

_LOCKED: Final = re.compile(r"(?:\{[^}]*\})?[!*]")

_LONGEST: Final = 512  # octets of a password; some schemes take time in proportion to its square
_SHA_ROUNDS: Final = 5_000
_LEAST_ROUNDS: Final = 1_000
_MOST_ROUNDS: Final = 1_000_000  # about a second
_BCRYPT_OCTETS: Final = 72  # it takes no more of a password
_BCRYPT_COSTS: Final = range(4, 17)  # of the last, some seconds
_ARGON2_MEMORY: Final = 1 << 20  # KiB
_ARGON2_WORK: Final = 4 << 20  # KiB, times passes: some seconds
_ARGON2_LANES: Final = 64  # each may be a thread
_LONGEST_DIGEST: Final = 64  # octets of PBKDF2, which takes time in proportion

_SCHEME: Final = re.compile(r"\{([A-Za-z0-9-]+)(?:\.(b64|base64|hex))?\}(.*)", re.DOTALL | re.IGNORECASE)
_SHA_CRYPT: Final = re.compile(r"\$([56])\$(?:rounds=([0-9]{1,9})\$)?([^$:]{0,16})\$([./0-9A-Za-z]+)")
_MD5_CRYPT: Final = re.compile(r"(\$1\$|\$apr1\$)([^$:]{0,8})\$([./0-9A-Za-z]{22})")
_BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./0-9A-Za-z]{21}[.Oeu][./0-9A-Za-z]{31}")
_ARGON2: Final = re.compile(
    r"\$(argon2id?)\$v=19\$(m=([1-9][0-9]{0,8}),t=([1-9][0-9]{0,8}),p=([1-9][0-9]{0,8}))"
    r"(\$[A-Za-z0-9+/]{1,1024}\$[A-Za-z0-9+/]{1,1024})"
)
_PBKDF2: Final = re.compile(r"\$1\$([^$]+)\$([0-9]{1,8})\$([0-9a-fA-F]+)")
_HEX: Final = re.compile(r"[0-9a-fA-F]*")

_BY_PREFIX: Final = {
    "$1$": "MD5-CRYPT",
    "$apr1$": "APR1",
    "$5$": "SHA256-CRYPT",
    "$6$": "SHA512-CRYPT",
    "$2a$": "BLF-CRYPT",
    "$2b$": "BLF-CRYPT",
    "$2x$": "BLF-CRYPT",
    "$2y$": "BLF-CRYPT",
    "$argon2i$": "ARGON2I",
    "$argon2id$": "ARGON2ID",
}


class UnusableHash(Pop3Error):
    """A hash cannot be used. The message names its scheme, and never shows the hash."""


@attrs.frozen
class PasswordHash:
    """A hash of a password.

    Args:
        scheme: its name.
        cost: what decides how long it takes; hashes of one scheme and one cost take equally long.
        check: returns whether a password has this hash.
        scram: keys of SCRAM, if it holds them, with their algorithm.
        secret: the password itself, if it holds that.
    """

    scheme: str
    cost: str
    _check: Callable[[bytes], bool] = attrs.field(repr=False, eq=False)
    scram: tuple[str, ScramKeys] | None = attrs.field(default=None, repr=False)
    secret: str | None = attrs.field(default=None, repr=False)

    def matches(self, password: str) -> bool:
        """Return whether a prepared password has this hash. It may take long, and memory.

        Raises:
            ValueError, MemoryError: the hash cannot be computed.
        """
        octets = password.encode("utf-8", "surrogatepass")  # never fails: the exception would hold the password
        return len(octets) <= _LONGEST and b"\0" not in octets and self._check(octets)


def is_locked(stored: str) -> bool:
    """Return whether a user may not log in by any method: the hash begins with "!" or "*", as in shadow(5)."""
    return _LOCKED.match(stored) is not None


def parse_hash(text: str, default: str = "CRYPT") -> PasswordHash:
    """Read a hash, with its scheme in braces or without.

    Args:
        text: the hash.
        default: the scheme of one without braces.

    Raises:
        UnusableHash: the scheme is unknown, needs a package that is not installed, or the hash is not one of it.
    """
    match = _SCHEME.fullmatch(text)
    scheme, encoding, data = (match[1].upper(), (match[2] or "").lower(), match[3]) if match else (default, "", text)
    scheme = _ALIASES.get(scheme, scheme)
    if scheme == "CRYPT":
        scheme = next((name for prefix, name in _BY_PREFIX.items() if data.startswith(prefix)), "")
        if not scheme:
            raise UnusableHash("a hash of crypt(3) that is not supported; supported are $1$, $5$, $6$, $2y$, $argon2")
    if scheme != "PLAIN" and not data.isascii():
        raise _not_of(scheme)
    if scheme in _DIGESTS:
        return _digest(scheme, data, encoding)
    if (parse := _PARSERS.get(scheme)) is None:
        raise UnusableHash(f"the scheme {scheme} is not supported; supported are {', '.join(SCHEMES)}")
    if encoding:
        raise UnusableHash(f"the encoding .{encoding} is not supported for the scheme {scheme}")
    return parse(scheme, data)


def _not_of(scheme: str) -> UnusableHash:
    return UnusableHash(f"this is not a hash of the scheme {scheme}")


def _needs_package(scheme: str) -> UnusableHash:
    return UnusableHash(f"the scheme {scheme} needs a package: python3 -m pip install 'pop3proto[server]'")


def _plain(scheme: str, data: str) -> PasswordHash:
    octets = data.encode("utf-8", "surrogatepass")
    if not octets:
        raise UnusableHash("an empty password cannot be used to log in")
    return PasswordHash(scheme, "", lambda password: hmac.compare_digest(password, octets), secret=data)


def _sha_crypt(scheme: str, data: str) -> PasswordHash:
    match = _SHA_CRYPT.fullmatch(data)
    if match is None or {"5": "SHA256-CRYPT", "6": "SHA512-CRYPT"}[match[1]] != scheme:
        raise _not_of(scheme)
    name = {"5": "sha256", "6": "sha512"}[match[1]]
    rounds = max(int(match[2] or _SHA_ROUNDS), _LEAST_ROUNDS)
    if rounds > _MOST_ROUNDS:
        raise UnusableHash(f"the hash has {rounds} rounds; more than {_MOST_ROUNDS} would take too long")
    salt, wanted = match[3].encode(), match[4].encode()
    return PasswordHash(
        scheme, str(rounds), lambda password: hmac.compare_digest(sha_crypt(name, password, salt, rounds), wanted)
    )


def _md5_crypt(scheme: str, data: str) -> PasswordHash:
    match = _MD5_CRYPT.fullmatch(data)
    if match is None or _BY_PREFIX[match[1]] != scheme:
        raise _not_of(scheme)
    magic, salt, wanted = match[1].encode(), match[2].encode(), match[3].encode()
    return PasswordHash(scheme, "", lambda password: hmac.compare_digest(md5_crypt(magic, password, salt), wanted))


def _bcrypt(scheme: str, data: str) -> PasswordHash:
    if (match := _BCRYPT.fullmatch(data)) is None:
        raise _not_of(scheme)
    if int(match[1]) not in _BCRYPT_COSTS:
        raise UnusableHash(f"the hash has the cost {match[1]}; it may be {_BCRYPT_COSTS[0]} to {_BCRYPT_COSTS[-1]}")
    try:
        import bcrypt  # noqa: PLC0415 - an extra
    except ImportError:
        raise _needs_package(scheme) from None
    wanted = data.encode()
    return PasswordHash(scheme, match[1], lambda password: bcrypt.checkpw(password[:_BCRYPT_OCTETS], wanted))


def _argon2(scheme: str, data: str) -> PasswordHash:
    match = _ARGON2.fullmatch(data)
    if match is None or match[1].upper() != scheme:
        raise _not_of(scheme)
    memory, passes, lanes = map(int, match.group(3, 4, 5))
    if memory > _ARGON2_MEMORY or memory * passes > _ARGON2_WORK or lanes > _ARGON2_LANES:
        raise UnusableHash(f"the hash has {match[2]}, which would take too much time or memory")
    if memory < 8 * lanes:  # RFC 9106 section 3.1
        raise _not_of(scheme)
    try:
        from argon2 import exceptions, low_level  # noqa: PLC0415 - an extra
    except ImportError:
        raise _needs_package(scheme) from None
    wanted, kind = data.encode(), low_level.Type.ID if scheme == "ARGON2ID" else low_level.Type.I

    def check(password: bytes) -> bool:
        try:
            return low_level.verify_secret(wanted, password, kind)
        except exceptions.VerifyMismatchError:
            return False
        except exceptions.VerificationError as error:
            raise ValueError(f"a hash of the scheme {scheme} cannot be computed: {error}") from None

    try:  # whether salt and digest are such: with the least work that there is
        low_level.verify_secret(f"${match[1]}$v=19$m=8,t=1,p=1{match[6]}".encode(), b"", kind)
    except exceptions.VerifyMismatchError:
        pass
    except exceptions.VerificationError:
        raise _not_of(scheme) from None
    return PasswordHash(scheme, match[2], check)


def _pbkdf2(scheme: str, data: str) -> PasswordHash:
    match = _PBKDF2.fullmatch(data)
    if match is None or not 0 < int(match[2]) <= _MOST_ROUNDS or len(match[3]) % 2:
        raise _not_of(scheme)
    if len(match[3]) > 2 * _LONGEST_DIGEST:
        raise UnusableHash(f"the hash has more than {_LONGEST_DIGEST} octets, which would take too long")
    salt, rounds, wanted = match[1].encode(), int(match[2]), bytes.fromhex(match[3])

    def check(password: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac("sha1", password, salt, rounds, len(wanted)), wanted)

    return PasswordHash(scheme, str(rounds), check)


def _scram(scheme: str, data: str) -> PasswordHash:
    algorithm = scheme.removeprefix("SCRAM-")
    hashing = ScramHash(algorithm)
    try:
        iterations, *encoded = data.split(",")
        salt, stored_key, server_key = (b64decode(each, validate=True) for each in encoded)
        keys = ScramKeys(salt, int(iterations), stored_key, server_key)
    except (ValueError, LocalProtocolError):
        raise _not_of(scheme) from None
    if not len(stored_key) == len(server_key) == hashing.octets or keys.iterations > _MOST_ROUNDS:
        raise _not_of(scheme)

    def check(password: bytes) -> bool:
        key = hashing.client_key(hashing.salted_password(password, salt, keys.iterations))
        return hmac.compare_digest(hashing.digest(key), stored_key)

    return PasswordHash(scheme, f"{keys.iterations},{len(salt)}", check, (algorithm, keys))


def _digest(scheme: str, data: str, encoding: str) -> PasswordHash:
    name, salted, in_hex = _DIGESTS[scheme]
    size = hashlib.new(name, usedforsecurity=False).digest_size
    as_hex = encoding == "hex" or ((not encoding and (in_hex or len(data) == 2 * size)) and bool(_HEX.fullmatch(data)))
    try:
        octets = bytes.fromhex(data) if as_hex else b64decode(data, validate=True)
    except ValueError:
        raise _not_of(scheme) from None
    wanted, salt = octets[:size], octets[size:]
    if len(wanted) != size or bool(salt) is not salted:
        raise _not_of(scheme)

    def check(password: bytes) -> bool:
        return hmac.compare_digest(hashlib.new(name, password + salt, usedforsecurity=False).digest(), wanted)

    return PasswordHash(scheme, "", check)


_ALIASES: Final = {
    "CLEAR": "PLAIN",
    "CLEARTEXT": "PLAIN",
    "MD5": "MD5-CRYPT",
    "SHA1": "SHA",
    "BCRYPT": "BLF-CRYPT",
}

# The hash function, whether there is a salt behind the digest, and whether it is in hexadecimal digits.
_DIGESTS: Final = {
    "SHA": ("sha1", False, False),
    "SHA256": ("sha256", False, False),
    "SHA512": ("sha512", False, False),
    "SSHA": ("sha1", True, False),
    "SSHA256": ("sha256", True, False),
    "SSHA512": ("sha512", True, False),
    "SMD5": ("md5", True, False),
    "LDAP-MD5": ("md5", False, False),
    "PLAIN-MD5": ("md5", False, True),
}

_PARSERS: Final[dict[str, Callable[[str, str], PasswordHash]]] = {
    "PLAIN": _plain,
    "SHA256-CRYPT": _sha_crypt,
    "SHA512-CRYPT": _sha_crypt,
    "MD5-CRYPT": _md5_crypt,
    "APR1": _md5_crypt,
    "BLF-CRYPT": _bcrypt,
    "ARGON2I": _argon2,
    "ARGON2ID": _argon2,
    "PBKDF2": _pbkdf2,
    "SCRAM-SHA-1": _scram,
    "SCRAM-SHA-256": _scram,
}

SCHEMES: Final = (*_PARSERS, *_DIGESTS)
"""The schemes, as they are named in braces; and CRYPT, which is one of those of crypt(3), by its beginning."""
