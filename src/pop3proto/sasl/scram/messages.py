"""Formatting and parsing of SCRAM messages (RFC 5802 sections 5.1 and 7).

Both roles parse strictly: signed data must have only one encoding, or a message could be changed and still be valid.
Errors do not repeat received data, except the error names of RFC 5802.
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
"""Channel binding of the client (RFC 5802 section 6).

"n": not supported; "y": supported, but the server did not announce it; "p": used.
"""

# Maximum length of one side's part of the nonce. It is repeated in longer messages, which must fit into a line.
_NONCE_PART: Final = 1_024
_NONCE: Final = re.compile(r"[!-+\--~]+")  # printable without the comma
_BINDING_TYPE: Final = re.compile(r"[A-Za-z0-9.-]+")
_ATTRIBUTE: Final = re.compile(r"([A-Za-z])=([^\0]+)")
_ITERATIONS: Final = re.compile(r"[1-9][0-9]{0,19}")
_MESSAGE: Final = "the message"
_KNOWN: Final = frozenset("anmrcsipve")  # attributes of RFC 5802; "m" marks a mandatory extension
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


# ----------------------------------------------------------------------------------- client-first-message


@attrs.frozen(kw_only=True)
class ClientFirst:
    """The client-first-message, parsed by a server.

    Args:
        header: the gs2-header, as received; the "c=" attribute must repeat it.
        bare: the rest of the message, as received; it is signed.
        flag: use of channel binding.
        binding_type: name of the channel binding type; "" unless `flag` is "p".
        authzid: the user to act as, prepared, or "" for `user`.
        user: the user name, prepared.
        nonce: the client's part of the nonce.
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
        """Parse a message.

        Raises:
            MechanismError: the message is malformed, or has a mandatory extension.
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
            user=prepare_name(unescape_name(user), "the user name"),
            nonce=nonce,
        )


def _flag(text: str) -> BindingFlag:
    if text not in {"n", "y"} and not (text.startswith("p=") and _BINDING_TYPE.fullmatch(text[2:])):
        raise MechanismError("the client's first message must begin with n, y or p=TYPE")
    return cast("BindingFlag", text[0])


def _authzid(text: str) -> str:
    if text and not text.startswith("a="):
        raise MechanismError("the authorization identity must have the form a=NAME")
    return prepare_name(unescape_name(text[2:]), "the authorization identity") if text else ""


def gs2_header(flag: BindingFlag, binding_type: str, authzid: str) -> bytes:
    """Format the gs2-header, which begins the client-first-message and is repeated in the client-final-message.

    Args:
        flag: use of channel binding.
        binding_type: name of the channel binding type, if `flag` is "p".
        authzid: the user to act as, prepared, or "".
    """
    bound = f"p={binding_type}" if flag == "p" else flag
    return f"{bound},{f'a={escape_name(authzid)}' if authzid else ''},".encode()


def client_first_bare(user: str, nonce: str) -> bytes:
    """Format the client-first-message without its gs2-header."""
    return f"n={escape_name(user)},r={nonce}".encode()


# ----------------------------------------------------------------------------------- server-first-message


@attrs.frozen
class ServerFirst:
    """The server-first-message, parsed by a client.

    Args:
        nonce: the client's and the server's parts of the nonce.
        salt: the salt of the user's stored keys, not empty.
        iterations: the iteration count, at least 1.
    """

    nonce: str = attrs.field(repr=False)
    salt: bytes
    iterations: int

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Parse a message.

        Raises:
            MechanismError: the message is malformed, or has a mandatory extension.
        """
        nonce, salt, iterations = _attributes(read_utf8(message, _MESSAGE), "rsi")
        check_nonce(nonce, parts=2)
        if not _ITERATIONS.fullmatch(iterations):
            raise MechanismError("the iteration count is not a valid number")
        return cls(nonce, _base64("salt", salt), int(iterations))


def server_first(nonce: str, salt: bytes, iterations: int) -> bytes:
    """Format the server-first-message.

    Args:
        nonce: the client's and the server's parts of the nonce.
        salt: the salt of the user's stored keys, not empty.
        iterations: the iteration count, at least 1.
    """
    return b"r=%b,s=%b,i=%d" % (nonce.encode(), encode_base64(salt), iterations)


# ---------------------------------------------------------------------------------------------- final messages


@attrs.frozen
class ClientFinal:
    """The client-final-message, parsed by a server.

    Args:
        without_proof: the message before the proof, as received; it is signed.
        binding: the gs2-header, followed by the channel binding data, if any.
        nonce: the client's and the server's parts of the nonce.
        proof: the client's proof that it knows the password.
    """

    without_proof: bytes = attrs.field(repr=False)
    binding: bytes = attrs.field(repr=False)
    nonce: str = attrs.field(repr=False)
    proof: bytes = attrs.field(repr=False)

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Parse a message.

        Raises:
            MechanismError: the message is malformed, or has a mandatory extension.
        """
        without_proof, comma, proof = read_utf8(message, _MESSAGE).rpartition(",p=")
        if not comma:
            raise MechanismError("the client's final message must end with a proof")
        binding, nonce = _attributes(without_proof, "cr")
        check_nonce(nonce, parts=2)
        return cls(without_proof.encode(), _base64("channel binding", binding), nonce, _base64("proof", proof))


def client_final_without_proof(header: bytes, binding: bytes, nonce: str) -> bytes:
    """Format the client-final-message up to its proof.

    Args:
        header: the gs2-header of the client-first-message.
        binding: the channel binding data, or b"".
        nonce: the client's and the server's parts of the nonce.
    """
    return b"c=%b,r=%b" % (encode_base64(header + binding), nonce.encode())


def read_server_final(message: bytes) -> bytes:
    """Return the signature in the server-final-message.

    Raises:
        MechanismError: the message is malformed, or has a mandatory extension.
    """
    [signature] = _attributes(read_utf8(message, _MESSAGE), "v")
    return _base64("signature", signature)


def read_server_error(message: bytes) -> str:
    """Return the error in a server's message, one of those in RFC 5802 section 7; "" if it has no error."""
    if not message.startswith(b"e="):
        return ""
    error = message[2:].partition(b",")[0]
    return error.decode("ascii") if error in _ERRORS else _OTHER_ERROR


def auth_message(bare: bytes, challenge: bytes, without_proof: bytes) -> bytes:
    """Return the AuthMessage, which both sides sign (RFC 5802 section 3).

    Args:
        bare: the client-first-message without its gs2-header.
        challenge: the server-first-message.
        without_proof: the client-final-message up to its proof.
    """
    return b",".join((bare, challenge, without_proof))


# --------------------------------------------------------------------------------------------- parts of messages


def check_nonce(nonce: str, *, parts: int = 1) -> None:
    """Check a nonce.

    Args:
        nonce: the nonce.
        parts: 1 for the part of one side, 2 for both.

    Raises:
        MechanismError: the nonce is empty or too long, or contains a comma or characters other than printable ASCII.
    """
    if len(nonce) > parts * _NONCE_PART or not _NONCE.fullmatch(nonce):
        raise MechanismError(f"a nonce must be 1 to {parts * _NONCE_PART} printable ASCII characters without comma")


def check_binding(binding: ChannelBinding) -> None:
    """Check a channel binding.

    Raises:
        MechanismError: its data is empty, and would be equal for all channels; or its type is not a valid name.
    """
    if not binding.octets or not _BINDING_TYPE.fullmatch(binding.type):
        raise MechanismError("the channel binding has no data, or its type is not a valid name")


def _attributes(text: str, names: str) -> list[str]:
    """Return the values of the attributes that a text must begin with. Optional extensions may follow."""
    found = [_ATTRIBUTE.fullmatch(part) for part in text.split(",")]
    attributes = [(match[1], match[2]) for match in found if match]
    if len(attributes) < len(found):
        raise MechanismError(f"{_MESSAGE} must be attributes of the form x=..., separated by commas")
    letters = "".join(letter for letter, _ in attributes)
    if "m" in letters:
        raise MechanismError("the message has a mandatory extension, which is not supported")
    extensions = letters[len(names) :]
    if not letters.startswith(names) or len(set(letters)) < len(letters) or not _KNOWN.isdisjoint(extensions):
        raise MechanismError(f"the attributes must be {', '.join(names)}, in this order, each once")
    return [value for _, value in attributes[: len(names)]]


def _base64(what: str, text: str) -> bytes:
    """Decode base64, in its canonical form only (RFC 5802 section 2.1)."""
    octets = decode_base64(text.encode())
    if not octets or encode_base64(octets) != text.encode():
        raise MechanismError(f"the {what} is empty or not canonical base64")
    return octets
