"""SCRAM (RFC 5802, RFC 7677), both roles, with and without channel binding."""

from __future__ import annotations

import hmac
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, assert_never

from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.text import encode_base64
from pop3proto.sasl.answers import answered
from pop3proto.sasl.mechanism import CredentialsRejected, Dialogue, DialogueServer, Identity, MechanismError
from pop3proto.sasl.names import password_key, prepare_name
from pop3proto.sasl.scram.keys import ScramHash, ScramKeys, xor
from pop3proto.sasl.scram.messages import (
    BindingFlag,
    ClientFinal,
    ClientFirst,
    ServerFirst,
    auth_message,
    check_binding,
    check_nonce,
    client_final_without_proof,
    client_first_bare,
    gs2_header,
    read_server_error,
    read_server_final,
    server_first,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pop3proto.sasl.channel import ChannelBinding

__all__ = ["ScramClient", "ScramServer"]


class _Expects(Enum):
    """What the server should say next."""

    FIRST = auto()
    FINAL = auto()
    NOTHING = auto()
    """It has proved itself."""

    CANCELLATION = auto()
    """The exchange has failed."""


class ScramClient:
    """The client's side of SCRAM-SHA-1, -SHA-256 and -SHA-512, and of their -PLUS.

    The bounds of the iteration count are checked before it costs anything. One that is too low would let a false
    server guess the password from the proof cheaply, one that is too high would keep the client busy (RFC 5802
    section 9).
    """

    def __init__(  # noqa: PLR0913 - most have their default, and a name
        self,
        algorithm: str,
        user: str,
        password: str,
        *,
        nonce: str,
        authzid: str = "",
        binding: ChannelBinding | None = None,
        unannounced: bool = False,
        least_iterations: int = 4_096,
        most_iterations: int = 2_000_000,
    ) -> None:
        """Prepare an exchange.

        Args:
            algorithm: "SHA-1", "SHA-256" or "SHA-512".
            user: whose password it is.
            password: the password.
            nonce: chance, never used before; 1 to 1,024 printable characters, no comma.
            authzid: on whose behalf to act; "" is the same one.
            binding: what the TLS channel is bound to; the mechanism is then the -PLUS.
            unannounced: without a binding: there could have been one, but the server did not announce the -PLUS. A
                server that did will notice that somebody has taken it away (RFC 5802 section 6).
            least_iterations: fewer are refused; RFC 7677 section 4 has 4,096.
            most_iterations: more are refused; two million take about a second.

        Raises:
            MechanismError: a name or the password is empty or cannot be prepared (RFC 4013); the nonce or the binding
                cannot be used.
            LocalProtocolError: the algorithm is none of these.
        """
        self._hash: Final = ScramHash(algorithm)
        self._password: Final = password_key(password, stored=True)
        check_nonce(nonce)
        if binding is not None:
            check_binding(binding)
        flag: BindingFlag = "p" if binding is not None else "y" if unannounced else "n"
        self._nonce: Final = nonce
        self._least_iterations: Final = least_iterations
        self._most_iterations: Final = most_iterations
        self._binding: Final = binding.octets if binding is not None else b""
        self._header: Final = gs2_header(
            flag,
            binding.type if binding is not None else "",
            prepare_name(authzid, "the authorization identity") if authzid else "",
        )
        self._bare: Final = client_first_bare(prepare_name(user, "the user"), nonce)
        self._signature = b""
        self._failure = ""
        self._expects = _Expects.FIRST

        self.name: Final = f"SCRAM-{algorithm}-PLUS" if binding is not None else f"SCRAM-{algorithm}"
        self.shows_secret: Final = False
        self.blocks: Final = True  # it must compute as many hashes as the server has asked for
        self.initial_response: Final[bytes] = self._header + self._bare

    @property
    def complete(self) -> bool:
        """Whether the server has proved that it knows the password; before, no positive answer may be believed."""
        return self._expects is _Expects.NOTHING

    @property
    def failure(self) -> str:
        """The error that the server has named, one of those in RFC 5802 section 7; or ""."""
        return self._failure

    def respond(self, challenge: bytes) -> bytes:
        """Return the proof, then the empty response to the server's own. The first may take as long as a second.

        Raises:
            MechanismError: the challenge is not what it must be, the server names an error or has not proved itself;
                the exchange has failed, and the client should cancel.
        """
        expected, self._expects = self._expects, _Expects.CANCELLATION  # if anything below raises
        match expected:
            case _Expects.FIRST:
                response = self._prove(challenge)
                self._expects = _Expects.FINAL
            case _Expects.FINAL:
                self._verify(challenge)
                response = b""
                self._expects = _Expects.NOTHING
            case _Expects.NOTHING | _Expects.CANCELLATION:
                raise MechanismError("SCRAM has no further challenge")
            case _:
                assert_never(expected)
        return response

    def _prove(self, challenge: bytes) -> bytes:
        self._heed_error(challenge)
        first = ServerFirst.parse(challenge)
        if not first.nonce.startswith(self._nonce) or first.nonce == self._nonce:
            raise MechanismError("the server's nonce does not continue the client's: it answers somebody else")
        if not self._least_iterations <= first.iterations <= self._most_iterations:
            raise MechanismError(f"the iteration count is not from {self._least_iterations} to {self._most_iterations}")
        without_proof = client_final_without_proof(self._header, self._binding, first.nonce)
        signed = auth_message(self._bare, challenge, without_proof)
        salted_password = self._hash.salted_password(self._password, first.salt, first.iterations)
        client_key = self._hash.client_key(salted_password)
        proof = xor(client_key, self._hash.hmac(self._hash.digest(client_key), signed))
        self._signature = self._hash.hmac(self._hash.server_key(salted_password), signed)
        return b"%b,p=%b" % (without_proof, encode_base64(proof))

    def _verify(self, challenge: bytes) -> None:
        self._heed_error(challenge)
        if not hmac.compare_digest(read_server_final(challenge), self._signature):
            raise MechanismError("the server has not proved that it knows the password: it may be a false one")

    def _heed_error(self, challenge: bytes) -> None:
        # Section 7 has errors in the last message only; some servers answer the first one so, too.
        self._failure = read_server_error(challenge)
        if self._failure:
            raise MechanismError(f"the server refuses: {self._failure}")


class ScramServer(DialogueServer):
    """The server's side of SCRAM-SHA-1, -SHA-256 and -SHA-512, and of their -PLUS.

    It does not tell the client in a challenge why it refuses ("e=..."), which RFC 5802 section 5.1 leaves to it: a
    negative reply says enough, and nobody else should learn more.
    """

    def __init__(
        self,
        algorithm: str,
        keys: Callable[[str], ScramKeys | Awaitable[ScramKeys]],
        *,
        nonce: str,
        bindings: Sequence[ChannelBinding] = (),
        plus_announced: bool = False,
    ) -> None:
        """Prepare an exchange.

        Args:
            algorithm: "SHA-1", "SHA-256" or "SHA-512".
            keys: returns the keys of a user; the name is prepared (RFC 4013). For one that does not exist
                `ScramKeys.decoy`. What it raises, `respond` raises.
            nonce: chance, never used before; 1 to 1,024 printable characters, no comma.
            bindings: what the TLS channel can be bound to. If there is any, this is the -PLUS, and the client must
                bind to one of them.
            plus_announced: without bindings: the -PLUS was announced. A client that could bind and has not seen it
                was lied to (RFC 5802 section 6).

        Raises:
            MechanismError: the nonce or a binding cannot be used.
            LocalProtocolError: the algorithm is none of these.
        """
        super().__init__()
        self._hash: Final = ScramHash(algorithm)
        check_nonce(nonce)
        for binding in bindings:
            check_binding(binding)
        self._source: Final = keys
        self._nonce: Final = nonce
        self._bindings: Final = {binding.type: binding.octets for binding in bindings}
        self._plus_announced: Final = plus_announced
        self.name: Final = f"SCRAM-{algorithm}-PLUS" if bindings else f"SCRAM-{algorithm}"

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        first = ClientFirst.parse((yield b"") if initial is None else initial)
        self._check_flag(first)
        keys = yield from answered(self._source(first.user))
        if not len(keys.stored_key) == len(keys.server_key) == self._hash.octets:
            raise LocalProtocolError(f"the user's keys are none for {self._hash.algorithm}")
        nonce = first.nonce + self._nonce
        challenge = server_first(nonce, keys.salt, keys.iterations)
        final = ClientFinal.parse((yield challenge))
        self._check_channel(first, final)
        if final.nonce != nonce:
            raise CredentialsRejected("the proof is for another exchange")
        signed = auth_message(first.bare, challenge, final.without_proof)
        self._check_proof(keys, signed, final.proof)
        if (yield b"v=%b" % encode_base64(self._hash.hmac(keys.server_key, signed))):
            raise MechanismError("the answer to the server's proof is an empty one")
        return Identity(first.user, first.authzid)

    def _check_flag(self, first: ClientFirst) -> None:
        """Refuse what RFC 5802 section 6 has refused."""
        if first.flag == "p" and first.binding_type not in self._bindings:
            raise MechanismError("the client binds to what this mechanism cannot")
        if first.flag != "p" and self._bindings:
            raise MechanismError("the client uses the -PLUS and does not bind to the channel")
        if first.flag == "y" and self._plus_announced:
            raise CredentialsRejected("somebody has hidden from the client that the server can bind to the channel")

    def _check_channel(self, first: ClientFirst, final: ClientFinal) -> None:
        binding = first.header + self._bindings.get(first.binding_type, b"")
        if not hmac.compare_digest(final.binding, binding):
            raise CredentialsRejected("the client is at the end of another channel")

    def _check_proof(self, keys: ScramKeys, signed: bytes, proof: bytes) -> None:
        if len(proof) != self._hash.octets:
            raise MechanismError(f"the proof is none for {self._hash.algorithm}")
        client_key = xor(proof, self._hash.hmac(keys.stored_key, signed))
        if not hmac.compare_digest(self._hash.digest(client_key), keys.stored_key):
            raise CredentialsRejected("the password is wrong")
