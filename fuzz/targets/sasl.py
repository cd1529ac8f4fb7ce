"""SASL mechanisms of both roles: the other side says anything. Messages are separated by LF."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Final

from typing_extensions import override

from fuzz.corpus import sasl_messages
from fuzz.target import Choices, Target, check, patched, seed
from pop3proto.sasl import (
    CLIENT_MECHANISMS,
    SERVER_MECHANISMS,
    Anonymous,
    AnonymousHost,
    CertificateVerifier,
    ChannelBinding,
    ClientCertificate,
    ClientContext,
    ClientMechanism,
    Credentials,
    CredentialsRejected,
    Identity,
    MechanismError,
    Password,
    PasswordVerifier,
    ScramKeys,
    ScramKeySource,
    SecretSource,
    ServerContext,
    ServerMechanism,
    SessionInfo,
    TlsInfo,
    Token,
    TokenVerifier,
)
from pop3proto.sasl.scram.mechanisms import ScramClient, ScramServer

_NONCE: Final = "clientNONCE"  # that of the vectors, as all that follows
_SERVER_NONCE: Final = "serverNONCE"
_SALT: Final = bytes(range(16))
_BINDING: Final = ChannelBinding("tls-exporter", bytes(range(32)))
_PASSWORDS: Final = {"user": "pencil", "u=s,er": "pencil", "tim": "tanstaaftanstaaf", "Kurt": "xipj3plmq"}
_ALGORITHMS: Final = ("SHA-1", "SHA-256", "SHA-512")
_TOKEN: Final = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
_CREDENTIALS: Final[dict[type[Credentials], Credentials]] = {
    Password: Password("tim", "tanstaaftanstaaf"),
    Token: Token("user@example.com", _TOKEN),
    ClientCertificate: ClientCertificate("fred@example.com"),
    Anonymous: Anonymous("sirhc"),
}


@cache
def _said(who: str) -> frozenset[bytes]:
    """Return the last messages of the vectors: nobody else can prove that it knows the password."""
    return frozenset(message for _, messages in sasl_messages() for speaker, message in messages if speaker == who)


def _scram_client(algorithm: str, variant: int) -> ScramClient:
    return ScramClient(
        algorithm,
        "u=s,er" if variant == 3 else "user",
        "pencil",
        nonce=_NONCE,
        authzid="admin" if variant == 0 else "",
        binding=_BINDING if variant == 1 else None,
        unannounced=variant == 2,
        most_iterations=5_000,  # a million takes long
    )


_CLIENTS: Final[tuple[Callable[[], ClientMechanism], ...]] = (
    *(
        lambda algorithm=algorithm, variant=variant: _scram_client(algorithm, variant)
        for algorithm in _ALGORITHMS
        for variant in range(4)
    ),
    *(
        lambda entry=entry: entry.make(ClientContext(credentials=_CREDENTIALS[entry.takes], nonce=_NONCE))
        for name, entry in CLIENT_MECHANISMS.items()
        if not name.startswith("SCRAM-")
    ),
)


def _run_client(octets: bytes) -> Hashable:
    choices = Choices(octets)
    number = choices.number(len(_CLIENTS))
    mechanism = _CLIENTS[number]()
    scram = mechanism.name.startswith("SCRAM-")
    check(not (scram and mechanism.complete), "SCRAM is complete before it has begun")
    seen: list[object] = [mechanism.name]
    for challenge in choices.rest().split(b"\n")[:6]:
        try:
            response = mechanism.respond(challenge)
        except MechanismError as error:
            check(not (scram and mechanism.complete), "SCRAM has failed and is complete")
            check(b"pencil" not in str(error).encode(), "an error shows the password")
            seen.append(str(error)[:40])
            continue
        check(b"pencil" not in response, "SCRAM shows the password")
        seen.append(mechanism.complete)
        if scram and mechanism.complete:
            check(challenge.partition(b",")[0] in _said("S"), "the server has proved nothing")
    seen.append(bool(mechanism.failure))
    return tuple(seen)


class _Everybody(PasswordVerifier, SecretSource, ScramKeySource, TokenVerifier, CertificateVerifier, AnonymousHost):
    """Knows the users of the vectors."""

    granted: bool = False

    @property
    @override
    def blocks(self) -> bool:
        return False

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        self.granted = _PASSWORDS.get(user) == password
        return self.granted

    @override
    def secret(self, user: str, session: SessionInfo, /) -> str | None:
        self.granted = user in _PASSWORDS
        return _PASSWORDS.get(user)

    @property
    @override
    def scram_algorithms(self) -> Collection[str]:
        return _ALGORITHMS

    @override
    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        self.granted = user in _PASSWORDS
        if self.granted:
            return _keys(algorithm)
        return ScramKeys.decoy(algorithm, user, b"x" * 32, iterations=4_096)

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        self.granted = token == _TOKEN
        return (user or "user") if self.granted else None

    @override
    def check_certificate(self, certificate: bytes, authzid: str, session: SessionInfo, /) -> str | None:
        self.granted = authzid in {"", "fred@example.com"}
        return "fred" if self.granted else None

    @override
    def admit(self, trace: str, session: SessionInfo, /) -> str | None:
        self.granted = True
        return "guest"


@cache
def _keys(algorithm: str) -> ScramKeys:
    return ScramKeys.derive(algorithm, "pencil", _SALT, 4_096)


_SERVERS: Final = tuple(SERVER_MECHANISMS)


def _server(name: str, everybody: _Everybody) -> ServerMechanism:
    tls = TlsInfo("TLSv1.3", verified=True, certificate=b"0", bindings=(_BINDING,))
    session = SessionInfo("127.0.0.1", tls)
    return SERVER_MECHANISMS[name].make(
        ServerContext(authenticator=everybody, session=session, nonce=_SERVER_NONCE, announced=frozenset(_SERVERS))
    )


def _run_server(octets: bytes) -> Hashable:
    choices = Choices(octets)
    everybody = _Everybody()
    mechanism = _server(_SERVERS[choices.number(len(_SERVERS))], everybody)
    responses: list[bytes | None] = [None] if choices.number(2) else []
    responses += choices.rest().split(b"\n")[:6]
    seen: list[object] = [mechanism.name]
    over = False
    for response in responses:
        try:
            step = mechanism.respond(response)
        except (MechanismError, CredentialsRejected) as error:
            check(not over or isinstance(error, MechanismError), "an exchange that is over goes on")
            check(b"pencil" not in str(error).encode(), "an error shows the password")
            seen.append(str(error)[:40])
            over = True
            continue
        check(not over, "an exchange that is over goes on")
        if isinstance(step, Identity):
            over = True
            check(everybody.granted, "a client got in whom the authenticator did not know")
            check(step.authcid and step.authcid.isprintable(), "a name holds control characters")
            if mechanism.name.startswith("SCRAM-"):
                check(_said("C").intersection(responses), "the client has proved nothing")
        else:
            check(isinstance(step, bytes), "a challenge is no octets")
        seen.append(type(step).__name__)
    return tuple(seen)


def _seeds_of_client() -> Iterator[bytes]:
    for _, messages in sasl_messages():
        said = b"\n".join(message for who, message in messages if who == "S")
        for number in range(len(_CLIENTS)):
            yield seed(said, number)
    for number in range(len(_CLIENTS)):
        yield seed(b"e=unknown-user\n", number)
        yield seed(b"Username:\nPassword:\n", number)


def _seeds_of_server() -> Iterator[bytes]:
    for mechanism, messages in sasl_messages():
        said = b"\n".join(message for who, message in messages if who == "C")
        if mechanism in _SERVERS:
            for first in range(2):
                yield seed(said + b"\n", _SERVERS.index(mechanism), first)
        for number in range(0, len(_SERVERS), 3):
            yield seed(said, number, 0)


def _plant_in_client() -> AbstractContextManager[None]:
    """A client that takes any signature for the server's."""

    def trustful(_mechanism: ScramClient, challenge: bytes) -> None:
        if not challenge.startswith(b"v="):
            raise MechanismError("no signature")

    return patched(ScramClient, "_verify", trustful)


def _plant_in_server() -> AbstractContextManager[None]:
    """A server that takes any proof of the right length."""

    def trustful(_mechanism: ScramServer, _keys: ScramKeys, _signed: bytes, proof: bytes) -> None:
        if len(proof) not in {20, 32, 64}:
            raise MechanismError("no proof")

    return patched(ScramServer, "_check_proof", trustful)


CLIENT: Final = Target(
    "sasl-client",
    "SASL mechanisms of a client: any challenges",
    _run_client,
    _seeds_of_client,
    _plant_in_client,
    b"r=clientNONCEs,s=Aw==,i=4096\nv=P",
)
SERVER: Final = Target(
    "sasl-server",
    "SASL mechanisms of a server: any responses",
    _run_server,
    _seeds_of_server,
    _plant_in_server,
    b"n,,n=m,r=clientNONCE\nc=biws,r=clientNONCEserverNONCE,p=+Xv4ZPYS3oXUH+zJCPzE4sShmv8=\n\x01\x05",
)
