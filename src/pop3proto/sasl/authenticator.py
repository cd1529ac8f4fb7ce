"""Who may log in: the protocols that an authenticator implements.

An authenticator is an object that has `blocks` and at least one of the protocols below. What a server announces
follows from which they are.

A method may be plain or a coroutine method, each for itself. Under asyncio and trio the server awaits what a method
returns, in the event loop; the blocking server takes plain methods only. A plain method is called in a worker thread
if `blocks` is true, and several threads may call it at once. An authenticator whose methods are all coroutines says
`blocks = False`.

A method returns the plain truth about credentials, and raises only if it cannot know it: `Unavailable`, which the
client reads as [SYS/TEMP], or any other exception, which ends the session. It should take the same time whether or not
there is such a user. Names and passwords are prepared before (RFC 4013), and names have the domain of their listener.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, TypeVar, cast, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Hashable

    from .channel import SessionInfo
    from .scram.keys import ScramKeys

__all__ = [
    "AnonymousHost",
    "Authenticator",
    "Authorizer",
    "CertificateVerifier",
    "CustomAuthenticator",
    "PasswordVerifier",
    "ScramKeySource",
    "SecretSource",
    "SupportsSessionEnded",
    "TokenVerifier",
    "implements",
    "named",
    "verdict",
]

T = TypeVar("T")


def implements(value: object, protocol: type[T]) -> TypeGuard[T]:
    """Return whether an object has all members of a protocol, in whatever way, and none of them is None.

    Since Python 3.12 `isinstance` does not see what a `__getattr__` finds, so that what delegates would not count.
    """
    return all(getattr(value, name, None) is not None for name in _members(cast("Hashable", protocol)))


@cache
def _members(protocol: type) -> frozenset[str]:
    return frozenset(name for base in protocol.__mro__ for name in vars(base) if not name.startswith("_"))


def verdict(answer: object) -> bool:
    """Return an authenticator's answer if it is True or False; any other true value must not let a client in.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(answer, bool):
        return answer
    raise TypeError(f"an authenticator must answer True or False, not {type(answer).__name__}")


def named(answer: object) -> str | None:
    """Return an authenticator's answer if it is a name or None.

    Raises:
        TypeError: it is something else.
    """
    if answer is None or isinstance(answer, str):
        return answer
    raise TypeError(f"an authenticator must answer with a name or None, not {type(answer).__name__}")


class _MayBlock(Protocol):
    """What every authenticator has."""

    @property
    def blocks(self) -> bool:
        """Whether plain methods may wait for a disk or a network, or compute for long."""
        ...


class CustomAuthenticator:
    """Base class for an authenticator that has none of the protocols: a mechanism of your own uses it."""

    blocks: bool = False


@runtime_checkable
class PasswordVerifier(_MayBlock, Protocol):
    """Verifies passwords: PLAIN, LOGIN, USER and PASS."""

    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool | Awaitable[bool]:
        """Return whether this is the user's password."""
        ...


@runtime_checkable
class SecretSource(_MayBlock, Protocol):
    """Returns passwords: CRAM-MD5, APOP."""

    def secret(self, user: str, session: SessionInfo, /) -> str | Awaitable[str | None] | None:
        """Return the user's password; None if there is no such user."""
        ...


@runtime_checkable
class ScramKeySource(_MayBlock, Protocol):
    """Returns the keys of SCRAM, which are not the password (RFC 5802 section 3)."""

    @property
    def scram_algorithms(self) -> Collection[str]:
        """For which hash functions it has keys: "SHA-1", "SHA-256", "SHA-512"."""
        ...

    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys | Awaitable[ScramKeys]:
        """Return the user's keys.

        For a user that does not exist: `ScramKeys.decoy`, which no password matches. It is the same for the same name,
        so that names cannot be probed.
        """
        ...


@runtime_checkable
class TokenVerifier(_MayBlock, Protocol):
    """Verifies OAuth 2.0 access tokens: OAUTHBEARER, XOAUTH2."""

    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | Awaitable[str | None] | None:
        """Return the user whose token it is; None if it is not valid, or not for this user ("": for any)."""
        ...


@runtime_checkable
class CertificateVerifier(_MayBlock, Protocol):
    """Maps verified client certificates to users: EXTERNAL."""

    def check_certificate(
        self, certificate: bytes, authzid: str, session: SessionInfo, /
    ) -> str | Awaitable[str | None] | None:
        """Return the user that a certificate stands for; None if there is none.

        Args:
            certificate: what the client has shown, DER; TLS has verified it.
            authzid: whom the client wants to be ("": it does not say). A certificate may stand for several users: then
                it is one of these, or None. Whether one user may act for another, `Authorizer` is asked.
            session: the client.
        """
        ...


@runtime_checkable
class AnonymousHost(_MayBlock, Protocol):
    """Admits clients without credentials: ANONYMOUS."""

    def admit(self, trace: str, session: SessionInfo, /) -> str | Awaitable[str | None] | None:
        """Return the user whose maildrop the client gets; None refuses."""
        ...


@runtime_checkable
class Authorizer(_MayBlock, Protocol):
    """Decides which users may act on behalf of others. Without it no user may."""

    def may_act_as(self, authcid: str, authzid: str, session: SessionInfo, /) -> bool | Awaitable[bool]:
        """Return whether one user may open the maildrop of another."""
        ...


@runtime_checkable
class SupportsSessionEnded(_MayBlock, Protocol):
    """Learns when a session ends: to release what it has left in `SessionInfo.state`, and no store took from there."""

    def session_ended(self, session: SessionInfo, /) -> Awaitable[None] | None:
        """Release what belongs to a session.

        It is called once for each session, however that ends, after the maildrop was closed; also if there was no
        login. What it raises is logged as a failure of the session.
        """
        ...


Authenticator: TypeAlias = (
    PasswordVerifier
    | SecretSource
    | ScramKeySource
    | TokenVerifier
    | CertificateVerifier
    | AnonymousHost
    | CustomAuthenticator
)
"""What a server takes: any of the protocols by which a client can log in."""
