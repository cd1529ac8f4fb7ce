"""The SCRAM mechanisms (RFC 5802, RFC 7677), both roles, with and without channel binding."""

from __future__ import annotations

import hmac
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, assert_never

from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import DEFAULT_LIMITS
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
    """What the client expects from the server next."""

    FIRST = auto()
    FINAL = auto()
    NOTHING = auto()
    """The server has proved that it knows the password."""

    CANCELLATION = auto()
    """The exchange has failed; the client should cancel it."""


class ScramClient:
    """The client side of SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512, and of their -PLUS variants.

    The iteration count is checked before anything is computed. With a low count, a fake server could cheaply guess the
    password from the proof; a high count would keep the client busy (RFC 5802 section 9).
    """

    def __init__(  # noqa: PLR0913 - most are keywords with defaults
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
        most_iterations: int = DEFAULT_LIMITS.scram_iterations,
    ) -> None:
        """Prepare an exchange.

        Args:
            algorithm: "SHA-1", "SHA-256" or "SHA-512".
            user: the user whose password it is.
            password: the password.
            nonce: random text, never used before; 1 to 1,024 printable ASCII characters without comma.
            authzid: the user to act as, or "" for `user`.
            binding: the channel binding of the TLS connection; selects the -PLUS variant.
            unannounced: without `binding`: the client supports channel binding, but the server did not announce the
                -PLUS variant. If the server did announce it, it detects the downgrade attack (RFC 5802 section 6).
            least_iterations: the minimum iteration count to accept; 4,096 by RFC 7677 section 4.
            most_iterations: the maximum iteration count to accept.

        Raises:
            MechanismError: a name or the password is empty or cannot be prepared (RFC 4013); or the nonce or the
                binding is not valid.
            LocalProtocolError: the algorithm is not one of these.
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
        self._bare: Final = client_first_bare(prepare_name(user, "the user name"), nonce)
        self._signature = b""
        self._failure = ""
        self._expects = _Expects.FIRST

        self.name: Final = f"SCRAM-{algorithm}-PLUS" if binding is not None else f"SCRAM-{algorithm}"
        self.shows_secret: Final = False
        self.blocks: Final = True  # it computes as many hashes as the server asks for
        self.initial_response: Final[bytes] = self._header + self._bare

    @property
    def complete(self) -> bool:
        """Whether the server has proved that it knows the password; until then, a positive answer is not acceptable."""
        return self._expects is _Expects.NOTHING

    @property
    def failure(self) -> str:
        """The error that the server sent, one of those in RFC 5802 section 7; or ""."""
        return self._failure

    def respond(self, challenge: bytes) -> bytes:
        """Return the client's proof, then the empty response to the server's proof. The first may take a second.

        Raises:
            MechanismError: the challenge is not valid, the server sent an error, or its proof is wrong. The exchange
                has failed, and the client should cancel it.
        """
        expected, self._expects = self._expects, _Expects.CANCELLATION  # in case the code below raises
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
        self._check_for_error(challenge)
        first = ServerFirst.parse(challenge)
        if not first.nonce.startswith(self._nonce) or first.nonce == self._nonce:
            raise MechanismError("the server's nonce does not begin with the client's: it belongs to another exchange")
        self._check_iterations(first.iterations)
        without_proof = client_final_without_proof(self._header, self._binding, first.nonce)
        signed = auth_message(self._bare, challenge, without_proof)
        salted_password = self._hash.salted_password(self._password, first.salt, first.iterations)
        client_key = self._hash.client_key(salted_password)
        proof = xor(client_key, self._hash.hmac(self._hash.digest(client_key), signed))
        self._signature = self._hash.hmac(self._hash.server_key(salted_password), signed)
        return b"%b,p=%b" % (without_proof, encode_base64(proof))

    def _check_iterations(self, iterations: int) -> None:
        if iterations < self._least_iterations:
            raise MechanismError(
                f"the server asks for {iterations:,} SCRAM iterations; a proof with fewer than "
                f"{self._least_iterations:,} would let a false server guess the password: the server's administrator "
                "has to store the keys with more"
            )
        if iterations > self._most_iterations:
            raise MechanismError(
                f"the server asks for {iterations:,} SCRAM iterations; this client computes at most "
                f"{self._most_iterations:,}: if the server is to be trusted with its time, raise "
                "Limits.scram_iterations"
            )

    def _verify(self, challenge: bytes) -> None:
        self._check_for_error(challenge)
        if not hmac.compare_digest(read_server_final(challenge), self._signature):
            raise MechanismError("the server has not proved that it knows the password: it may be a fake server")

    def _check_for_error(self, challenge: bytes) -> None:
        # RFC 5802 section 7 allows errors in the last message only; some servers send them in the first one as well.
        self._failure = read_server_error(challenge)
        if self._failure:
            raise MechanismError(f"the server sent a SCRAM error: {self._failure}")


class ScramServer(DialogueServer):
    """The server side of SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512, and of their -PLUS variants.

    It sends no "e=..." with the reason of a refusal, which is optional (RFC 5802 section 5.1): the negative reply is
    enough, and details would help attackers.
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
            keys: takes a prepared user name (RFC 4013) and returns the stored keys; for an unknown user,
                `ScramKeys.decoy`. `respond` raises its exceptions.
            nonce: random text, never used before; 1 to 1,024 printable ASCII characters without comma.
            bindings: the channel bindings of the TLS connection. If there are any, this is the -PLUS variant, and the
                client must use one of them.
            plus_announced: without `bindings`: the -PLUS variant was announced. A client that supports channel binding
                but did not see the announcement is under a downgrade attack (RFC 5802 section 6).

        Raises:
            MechanismError: the nonce or a binding is not valid.
            LocalProtocolError: the algorithm is not one of these.
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
        self._claim(first.user)
        self._check_flag(first)
        keys = yield from answered(self._source(first.user))
        if not len(keys.stored_key) == len(keys.server_key) == self._hash.octets:
            raise LocalProtocolError(f"the user's stored keys do not have the length of {self._hash.algorithm}")
        nonce = first.nonce + self._nonce
        challenge = server_first(nonce, keys.salt, keys.iterations)
        final = ClientFinal.parse((yield challenge))
        self._check_channel(first, final)
        if final.nonce != nonce:
            raise CredentialsRejected("the client's proof belongs to another exchange")
        signed = auth_message(first.bare, challenge, final.without_proof)
        self._check_proof(keys, signed, final.proof)
        identity = Identity(first.user, first.authzid)
        self.proven: Identity | None = identity
        if (yield b"v=%b" % encode_base64(self._hash.hmac(keys.server_key, signed))):
            raise MechanismError("the response to the server's proof must be empty")
        return identity

    def _check_flag(self, first: ClientFirst) -> None:
        """Check the channel binding flag of the client (RFC 5802 section 6)."""
        if first.flag == "p" and first.binding_type not in self._bindings:
            raise MechanismError("the client uses a channel binding that this mechanism does not support")
        if first.flag != "p" and self._bindings:
            raise MechanismError("the client uses a -PLUS mechanism without channel binding")
        if first.flag == "y" and self._plus_announced:
            raise CredentialsRejected("the client did not see that -PLUS was announced: possible downgrade attack")

    def _check_channel(self, first: ClientFirst, final: ClientFinal) -> None:
        binding = first.header + self._bindings.get(first.binding_type, b"")
        if not hmac.compare_digest(final.binding, binding):
            raise CredentialsRejected(
                "the channel binding does not match: messages were changed, or the client has another TLS connection"
            )

    def _check_proof(self, keys: ScramKeys, signed: bytes, proof: bytes) -> None:
        if len(proof) != self._hash.octets:
            raise MechanismError(f"the client's proof does not have the length of {self._hash.algorithm}")
        client_key = xor(proof, self._hash.hmac(keys.stored_key, signed))
        if not hmac.compare_digest(self._hash.digest(client_key), keys.stored_key):
            raise CredentialsRejected("the password is wrong")
