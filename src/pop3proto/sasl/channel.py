"""TLS details used by authentication: peer certificate and channel bindings; and what is known of a session."""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

from pop3proto.core.text import ascii_lower

from .der import BIT_STRING, OBJECT_IDENTIFIER, SEQUENCE, NotDer, only, take

__all__ = ["ChannelBinding", "SessionInfo", "TlsInfo", "server_end_point"]


@attrs.frozen
class ChannelBinding:
    """A value that identifies a TLS channel to both ends: a man in the middle has two different ones (RFC 5056).

    Args:
        type: its registered name: "tls-exporter" (RFC 9266), "tls-unique" or "tls-server-end-point" (RFC 5929).
        octets: its value.
    """

    type: str
    octets: bytes = attrs.field(repr=False)


@attrs.frozen
class TlsInfo:
    """The result of a TLS handshake.

    Args:
        version: for example "TLSv1.3".
        verified: the peer's certificate was verified; by a client, also that it names the host. A server does not count
            that of a session that was resumed.
        certificate: the peer's certificate, DER; None if it sent none.
        bindings: the channel bindings, the best first.
        server_name: on the server's side, the host name that the client asked for (SNI, RFC 6066 section 3); None if
            it named none.
        names: on the server's side, what the client's verified certificate says of whom it is: kinds and values, such
            as ("email", "ann@example.org") and ("DNS", "mail.example.org") of the subjectAltName, ("commonName", "Ann")
            and ("userId", "ann") of the subject. The kinds are named as in `ssl.SSLSocket.getpeercert`.
    """

    version: str
    verified: bool
    certificate: bytes | None = attrs.field(default=None, repr=False)
    bindings: tuple[ChannelBinding, ...] = ()
    server_name: str | None = None
    names: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class SessionInfo:
    """What is known of a session: an authenticator, a store and an observer get it with each call.

    It is a value: what becomes known later (`tls`, `user`) is in the next one. `state` is the same dict in all of them.

    Args:
        address: the peer's address, without its port; "" if it has none.
        tls: the result of the TLS handshake; None without TLS.
        id: the session's number, unique in the process; 0 if the adapter gave none.
        listener: which listener of the server took the connection: its name, or its address and port, as
            "127.0.0.1:110".
        local: address and port of this end of the connection; None if it has none. Behind a proxy that announces it,
            where the client has connected to.
        domain: the domain of users who are named without one, as the listener has it; "": none is added.
        lower_case: names of users are folded to lower case, as the service has it.
        user: the user, once the credentials are verified.
        state: belongs to the session alone, and ends with it. An authenticator can leave something here for the store;
            what the store has not taken it releases in `session_ended`.
    """

    address: str = ""
    tls: TlsInfo | None = None
    id: int = attrs.field(default=0, kw_only=True)
    listener: str = attrs.field(default="", kw_only=True)
    local: tuple[str, int] | None = attrs.field(default=None, kw_only=True)
    user: str | None = attrs.field(default=None, kw_only=True)
    domain: str = attrs.field(default="", kw_only=True)
    lower_case: bool = attrs.field(default=False, kw_only=True)
    state: dict[str, object] = attrs.field(factory=dict[str, object], kw_only=True, eq=False, repr=False)

    @property
    def server_name(self) -> str | None:
        """The host name that the client asked for in the TLS handshake (SNI)."""
        return None if self.tls is None else self.tls.server_name

    def full_name(self, user: str) -> str:
        """Return a name with the domain of the listener, unless it has one, or is empty, or the listener has none.

        With `lower_case` its ASCII letters are folded to lower case. It is what an authenticator, a policy, a store and
        logs get: what was verified is what is opened.
        """
        name = f"{user}@{self.domain}" if self.domain and user and "@" not in user else user
        return ascii_lower(name) if self.lower_case else name


_HASH_OF_PSS: Final = 0xA0  # [0], RFC 4055 section 3.1

# The octets of object identifiers, in hexadecimal.
_PKCS_1: Final = "2a864886f70d0101"  # 1.2.840.113549.1.1
_X9_62: Final = "2a8648ce3d04"  # 1.2.840.10045.4
_NIST: Final = "6086480165030402"  # 2.16.840.1.101.3.4.2, hash functions
_NIST_SIGNATURES: Final = "6086480165030403"  # 2.16.840.1.101.3.4.3
_RSASSA_PSS: Final = bytes.fromhex(f"{_PKCS_1}0a")

# MD5 and SHA-1 are not used for the binding: SHA-256 is (RFC 5929 section 4.1).
_SIGNATURES: Final = {
    bytes.fromhex(identifier): name
    for identifier, name in {
        f"{_PKCS_1}04": "sha256",  # md5WithRSAEncryption
        f"{_PKCS_1}05": "sha256",  # sha1WithRSAEncryption
        "2b0e03021d": "sha256",  # sha1WithRSASignature, 1.3.14.3.2.29
        f"{_PKCS_1}0e": "sha224",
        f"{_PKCS_1}0b": "sha256",
        f"{_PKCS_1}0c": "sha384",
        f"{_PKCS_1}0d": "sha512",
        f"{_X9_62}01": "sha256",  # ecdsa-with-SHA1
        f"{_X9_62}0301": "sha224",
        f"{_X9_62}0302": "sha256",
        f"{_X9_62}0303": "sha384",
        f"{_X9_62}0304": "sha512",
        "2a8648ce380403": "sha256",  # dsa-with-sha1, 1.2.840.10040.4.3
        f"{_NIST_SIGNATURES}01": "sha224",  # DSA
        f"{_NIST_SIGNATURES}02": "sha256",
        f"{_NIST_SIGNATURES}03": "sha384",
        f"{_NIST_SIGNATURES}04": "sha512",
        f"{_NIST_SIGNATURES}09": "sha3_224",  # ECDSA
        f"{_NIST_SIGNATURES}0a": "sha3_256",
        f"{_NIST_SIGNATURES}0b": "sha3_384",
        f"{_NIST_SIGNATURES}0c": "sha3_512",
        f"{_NIST_SIGNATURES}0d": "sha3_224",  # RSA, PKCS #1 version 1.5
        f"{_NIST_SIGNATURES}0e": "sha3_256",
        f"{_NIST_SIGNATURES}0f": "sha3_384",
        f"{_NIST_SIGNATURES}10": "sha3_512",
    }.items()
}
_HASHES: Final = {
    bytes.fromhex(identifier): name
    for identifier, name in {
        "2a864886f70d0205": "sha256",  # MD5
        "2b0e03021a": "sha256",  # SHA-1
        f"{_NIST}01": "sha256",
        f"{_NIST}02": "sha384",
        f"{_NIST}03": "sha512",
        f"{_NIST}04": "sha224",
        f"{_NIST}07": "sha3_224",
        f"{_NIST}08": "sha3_256",
        f"{_NIST}09": "sha3_384",
        f"{_NIST}0a": "sha3_512",
    }.items()
}


def server_end_point(certificate: bytes) -> ChannelBinding | None:
    """Return the channel binding of a TLS channel whose server has this certificate.

    Args:
        certificate: the server's own, DER. Nothing about it is verified.

    Returns:
        None if the binding is not defined: it is signed without a hash function (Ed25519), or with one that is not
        known here, or it is no certificate.
    """
    try:
        hash_name = _hash_name(certificate)
    except NotDer:
        return None
    if hash_name is None:
        return None
    return ChannelBinding("tls-server-end-point", hashlib.new(hash_name, certificate).digest())


def _hash_name(certificate: bytes) -> str | None:
    """Return the hash function for a certificate, by its `signatureAlgorithm` (RFC 5280 section 4.1)."""
    body = only(SEQUENCE, certificate)
    _, rest = take(SEQUENCE, body)  # tbsCertificate
    algorithm, rest = take(SEQUENCE, rest)
    only(BIT_STRING, rest)  # signatureValue
    identifier, parameters = take(OBJECT_IDENTIFIER, algorithm)
    return _hash_name_of_pss(parameters) if identifier == _RSASSA_PSS else _SIGNATURES.get(identifier)


def _hash_name_of_pss(parameters: bytes) -> str | None:
    """Return the hash function that the parameters of RSASSA-PSS name (RFC 4055 section 3.1)."""
    fields = only(SEQUENCE, parameters)
    if not fields or fields[0] != _HASH_OF_PSS:
        return "sha256"  # the default is SHA-1, for which the binding has SHA-256
    tagged, _ = take(_HASH_OF_PSS, fields)
    identifier, _ = take(OBJECT_IDENTIFIER, only(SEQUENCE, tagged))
    return _HASHES.get(identifier)
