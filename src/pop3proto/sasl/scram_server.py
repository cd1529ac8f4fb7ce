"""SCRAM for servers: neither side tells the other the password, and both prove that they know it (RFC 5802)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.text import encode_base64

from .dialogue import Dialogue, DialogueServer
from .mechanism import CredentialsRejected, Identity, MechanismError
from .scram_keys import ScramHash, ScramKeys, xor
from .scram_messages import ClientFinal, ClientFirst, auth_message, check_binding, check_nonce, server_first

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .channel import ChannelBinding

__all__ = ["ScramServer"]


class ScramServer(DialogueServer):
    """The server's side of SCRAM-SHA-1, -SHA-256 and -SHA-512, and of their -PLUS.

    It does not tell the client in a challenge why it refuses ("e=..."), which RFC 5802 section 5.1 leaves to it: a
    negative reply says enough, and nobody else should learn more.
    """

    def __init__(
        self,
        algorithm: str,
        keys: Callable[[str], ScramKeys],
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
        keys = self._source(first.user)
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
