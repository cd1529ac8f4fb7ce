"""The messages of SCRAM (RFC 5802 sections 5.1 and 7).

Both roles read strictly. What is signed must have one spelling only, or a message could be changed and still be valid.
No error repeats anything that was received, but the errors that RFC 5802 names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, Self, cast

import attrs

from pop3proto.core.text import decode_base64, encode_base64
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.names import escape_name, prepare_name, read_utf8, unescape_name

if TYPE_CHECKING:
    from pop3proto.sasl.channel import ChannelBinding

__all__ = [
    "BindingFlag",
    "ClientFinal",
    "ClientFirst",
    "ServerFirst",
    "auth_message",
    "check_binding",
    "check_nonce",
    "client_final_without_proof",
    "client_first_bare",
    "gs2_header",
    "read_server_error",
    "read_server_final",
    "server_first",
]

BindingFlag = Literal["n", "y", "p"]
"""The client cannot bind; it could, but thinks that the server cannot; it does (RFC 5802 section 6)."""

# What one side adds to the nonce. It comes back in longer messages, which must fit into a line.
_NONCE_PART: Final = 1_024
_NONCE: Final = re.compile(r"[!-+\--~]+")  # printable without the comma
_BINDING_TYPE: Final = re.compile(r"[A-Za-z0-9.-]+")
_ATTRIBUTE: Final = re.compile(r"([A-Za-z])=([^\0]+)")
_ITERATIONS: Final = re.compile(r"[1-9][0-9]{0,19}")
_MESSAGE: Final = "the message"
_KNOWN: Final = frozenset("anmrcsipve")  # attributes that are no extensions; "m" would be one that is mandatory
_OTHER_ERROR: Final = "other-error"
_ERRORS: Final = frozenset(
    {
        b"invalid-encoding",
        b"extensions-not-supported",
        b"invalid-proof",
        b"channel-bindings-dont-match",
        b"server-does-support-channel-binding",
        b"channel-binding-not-supported",
        b"unsupported-channel-binding-type",
        b"unknown-user",
        b"invalid-username-encoding",
        b"no-resources",
    }
)


# ----------------------------------------------------------------------------------- the client's first


@attrs.frozen(kw_only=True)
class ClientFirst:
    """A client's first message, as a server reads it.

    Args:
        header: the gs2-header, as received; "c=" must repeat it.
        bare: the rest, as received; it is signed.
        flag: whether the client binds.
        binding_type: to what it binds; "" if it does not.
        authzid: on whose behalf it wants to act, prepared; "" is the same one.
        user: whose credentials it has, prepared.
        nonce: its part of the nonce.
    """

    header: bytes
    bare: bytes = attrs.field(repr=False)
    flag: BindingFlag
    binding_type: str
    authzid: str
    user: str
    nonce: str = attrs.field(repr=False)

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return what a message says.

        Raises:
            MechanismError: it is no such message, or has an extension that must be understood.
        """
        flag, comma, rest = read_utf8(message, _MESSAGE).partition(",")
        authzid, second_comma, bare = rest.partition(",")
        if not comma or not second_comma:
            raise MechanismError("the client's first message has no gs2-header")
        user, nonce = _attributes(bare, "nr")
        check_nonce(nonce)
        return cls(
            header=f"{flag},{authzid},".encode(),
            bare=bare.encode(),
            flag=_flag(flag),
            binding_type=flag[2:],
            authzid=_authzid(authzid),
            user=prepare_name(unescape_name(user), "the user"),
            nonce=nonce,
        )


def _flag(text: str) -> BindingFlag:
    if text not in {"n", "y"} and not (text.startswith("p=") and _BINDING_TYPE.fullmatch(text[2:])):
        raise MechanismError("the client's first message does not begin with n, y or p=TYPE")
    return cast("BindingFlag", text[0])


def _authzid(text: str) -> str:
    if text and not text.startswith("a="):
        raise MechanismError("the authorization identity is not where it should be")
    return prepare_name(unescape_name(text[2:]), "the authorization identity") if text else ""


def gs2_header(flag: BindingFlag, binding_type: str, authzid: str) -> bytes:
    """Return what stands before a client's first message, and in its second one.

    Args:
        flag: whether it binds.
        binding_type: to what, if it does.
        authzid: on whose behalf, prepared; "" is the same one.
    """
    bound = f"p={binding_type}" if flag == "p" else flag
    return f"{bound},{f'a={escape_name(authzid)}' if authzid else ''},".encode()


def client_first_bare(user: str, nonce: str) -> bytes:
    """Return a client's first message behind its gs2-header."""
    return f"n={escape_name(user)},r={nonce}".encode()


# ----------------------------------------------------------------------------------- the server's first


@attrs.frozen
class ServerFirst:
    """A server's first message, as a client reads it.

    Args:
        nonce: both parts of the nonce.
        salt: not empty.
        iterations: at least 1.
    """

    nonce: str = attrs.field(repr=False)
    salt: bytes
    iterations: int

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return what a message says.

        Raises:
            MechanismError: it is no such message, or has an extension that must be understood.
        """
        nonce, salt, iterations = _attributes(read_utf8(message, _MESSAGE), "rsi")
        check_nonce(nonce, parts=2)
        if not _ITERATIONS.fullmatch(iterations):
            raise MechanismError("the iteration count is no number")
        return cls(nonce, _base64("salt", salt), int(iterations))


def server_first(nonce: str, salt: bytes, iterations: int) -> bytes:
    """Return a server's first message.

    Args:
        nonce: both parts.
        salt: not empty.
        iterations: at least 1.
    """
    return b"r=%b,s=%b,i=%d" % (nonce.encode(), encode_base64(salt), iterations)


# ---------------------------------------------------------------------------------------------- the last


@attrs.frozen
class ClientFinal:
    """A client's last message, as a server reads it.

    Args:
        without_proof: all before the proof, as received; it is signed.
        binding: the gs2-header and what it is bound to.
        nonce: both parts.
        proof: of the password.
    """

    without_proof: bytes = attrs.field(repr=False)
    binding: bytes = attrs.field(repr=False)
    nonce: str = attrs.field(repr=False)
    proof: bytes = attrs.field(repr=False)

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return what a message says.

        Raises:
            MechanismError: it is no such message, or has an extension that must be understood.
        """
        without_proof, comma, proof = read_utf8(message, _MESSAGE).rpartition(",p=")
        if not comma:
            raise MechanismError("the client's last message does not end with a proof")
        binding, nonce = _attributes(without_proof, "cr")
        check_nonce(nonce, parts=2)
        return cls(without_proof.encode(), _base64("channel binding", binding), nonce, _base64("proof", proof))


def client_final_without_proof(header: bytes, binding: bytes, nonce: str) -> bytes:
    """Return a client's last message up to its proof.

    Args:
        header: the gs2-header of its first one.
        binding: what it is bound to, if it is.
        nonce: both parts.
    """
    return b"c=%b,r=%b" % (encode_base64(header + binding), nonce.encode())


def read_server_final(message: bytes) -> bytes:
    """Return the signature in a server's last message.

    Raises:
        MechanismError: it is no such message, or has an extension that must be understood.
    """
    [signature] = _attributes(read_utf8(message, _MESSAGE), "v")
    return _base64("signature", signature)


def read_server_error(message: bytes) -> str:
    """Return the error in a message, one of those in RFC 5802 section 7; "" if the message is none of an error."""
    if not message.startswith(b"e="):
        return ""
    error = message[2:].partition(b",")[0]
    return error.decode("ascii") if error in _ERRORS else _OTHER_ERROR


def auth_message(bare: bytes, challenge: bytes, without_proof: bytes) -> bytes:
    """Return what both sides sign (RFC 5802 section 3).

    Args:
        bare: the client's first message behind its gs2-header.
        challenge: the server's first message.
        without_proof: the client's last message up to its proof.
    """
    return b",".join((bare, challenge, without_proof))


# --------------------------------------------------------------------------------------------- the parts


def check_nonce(nonce: str, *, parts: int = 1) -> None:
    """Refuse what is no nonce.

    Args:
        nonce: what should be one.
        parts: from how many sides it comes.

    Raises:
        MechanismError: it is empty or too long, or holds a comma or what is not printable ASCII.
    """
    if len(nonce) > parts * _NONCE_PART or not _NONCE.fullmatch(nonce):
        raise MechanismError(f"a nonce is 1 to {parts * _NONCE_PART} printable characters without a comma")


def check_binding(binding: ChannelBinding) -> None:
    """Refuse what nothing can be bound to.

    Raises:
        MechanismError: it is empty, and would be the same for every channel; or its type could not be said.
    """
    if not binding.octets or not _BINDING_TYPE.fullmatch(binding.type):
        raise MechanismError("there is nothing to bind to in the channel binding")


def _attributes(text: str, names: str) -> list[str]:
    """Return the values of the attributes that a text must begin with. What follows may be optional extensions."""
    found = [_ATTRIBUTE.fullmatch(part) for part in text.split(",")]
    attributes = [(match[1], match[2]) for match in found if match]
    if len(attributes) < len(found):
        raise MechanismError(f"{_MESSAGE} has the form x=..., with commas between the attributes")
    letters = "".join(letter for letter, _ in attributes)
    if "m" in letters:
        raise MechanismError("there is an extension that must be understood, and none is known")
    extensions = letters[len(names) :]
    if not letters.startswith(names) or len(set(letters)) < len(letters) or not _KNOWN.isdisjoint(extensions):
        raise MechanismError(f"the attributes must be {', '.join(names)}, in this order, each of them once")
    return [value for _, value in attributes[: len(names)]]


def _base64(what: str, text: str) -> bytes:
    """Return the octets behind base64 in its canonical form, the only one (RFC 5802 section 2.1)."""
    octets = decode_base64(text.encode())
    if not octets or encode_base64(octets) != text.encode():
        raise MechanismError(f"the {what} is no canonical base64, or empty")
    return octets
