"""Who may log in: the protocols that an authenticator implements.

An authenticator is an object that has `blocks` and at least one of the protocols behind it. What a server announces
follows from which they are. It may be called from several threads at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection

    from .channel import SessionInfo
    from .scram.keys import ScramKeys

__all__ = [
    "AnonymousHost",
    "Authenticator",
    "Authorizer",
    "CertificateVerifier",
    "PasswordVerifier",
    "ScramKeySource",
    "SecretSource",
    "TokenVerifier",
    "named",
    "verdict",
]


def verdict(answer: object) -> bool:
    """Return what an authenticator said, if it said yes or no: what is merely true, a coroutine say, lets nobody in.

    Raises:
        TypeError: it said something else.
    """
    if isinstance(answer, bool):
        return answer
    raise TypeError(f"an authenticator must answer True or False, not {type(answer).__name__}")


def named(answer: object) -> str | None:
    """Return the user that an authenticator has named, if any.

    Raises:
        TypeError: it said something else.
    """
    if answer is None or isinstance(answer, str):
        return answer
    raise TypeError(f"an authenticator must answer with a name or None, not {type(answer).__name__}")


class Authenticator(Protocol):
    """Knows the users of a server.

    Its methods are no coroutines, under asyncio and trio neither: with `blocks` they are called in a worker thread.
    They return the plain truth about credentials, and raise only if they cannot know it: `Unavailable`, which is told
    to the client as [SYS/TEMP], or any other exception, which ends the session. They should take the
    same time whether or not there is such a user. Names and passwords come prepared (RFC 4013).
    """

    @property
    def blocks(self) -> bool:
        """Whether calls may wait for a disk or a network, or compute for long."""
        ...


@runtime_checkable
class PasswordVerifier(Protocol):
    """Can tell whether a password is right: PLAIN, LOGIN, USER and PASS."""

    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        """Return whether this is the user's password."""
        ...


@runtime_checkable
class SecretSource(Protocol):
    """Knows passwords themselves: CRAM-MD5, APOP."""

    def secret(self, user: str, session: SessionInfo, /) -> str | None:
        """Return the user's password; None if there is no such user."""
        ...


@runtime_checkable
class ScramKeySource(Protocol):
    """Keeps what SCRAM needs, which is not the password (RFC 5802 section 3)."""

    @property
    def scram_algorithms(self) -> Collection[str]:
        """For which hash functions it has keys: "SHA-1", "SHA-256", "SHA-512"."""
        ...

    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        """Return the user's keys.

        For a user that does not exist: `ScramKeys.decoy`, which nobody can match, the same for the same name, so that
        names cannot be probed.
        """
        ...


@runtime_checkable
class TokenVerifier(Protocol):
    """Can tell whose an OAuth 2.0 access token is: OAUTHBEARER, XOAUTH2."""

    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        """Return the user whose token it is; None if it is not valid, or not for this user ("": for anyone)."""
        ...


@runtime_checkable
class CertificateVerifier(Protocol):
    """Can tell whose a verified certificate of a client is: EXTERNAL."""

    def check_certificate(self, certificate: bytes, authzid: str, session: SessionInfo, /) -> str | None:
        """Return the user that a certificate stands for; None if there is none.

        Args:
            certificate: what the client has shown, DER; TLS has verified it.
            authzid: whom the client wants to be ("": it does not say). A certificate may stand for several users: then
                it is one of these, or None. Whether one user may act for another, `Authorizer` is asked.
            session: the client.
        """
        ...


@runtime_checkable
class AnonymousHost(Protocol):
    """Lets people in that it does not know: ANONYMOUS."""

    def admit(self, trace: str, session: SessionInfo, /) -> str | None:
        """Return the user whose maildrop they get; None if they are not let in."""
        ...


@runtime_checkable
class Authorizer(Protocol):
    """Lets some users act on behalf of others. Without it nobody may."""

    def may_act_as(self, authcid: str, authzid: str, session: SessionInfo, /) -> bool:
        """Return whether one user may open the maildrop of another."""
        ...
