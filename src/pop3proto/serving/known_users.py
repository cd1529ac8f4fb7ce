"""Tokens, certificates and secrets that count for users whom the site knows, and admits, alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.authenticators.hash_file import HashFile
from pop3proto.authenticators.sqlite import SqliteUsers
from pop3proto.core.text import visible
from pop3proto.sasl.authenticator import CertificateVerifier, SecretSource, TokenVerifier

if TYPE_CHECKING:
    from pop3proto.authenticators.directory import UserDirectory
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["KnownCertificates", "KnownSecrets", "KnownTokens"]

_log: Final = logging.getLogger("pop3proto.serving")


class _AdmittedUsers:
    """What is valid counts only for those whom the source of users has, and does not shut out.

    Args:
        users: has the users.
    """

    def __init__(self, users: UserDirectory) -> None:
        self._users: Final = users

    @property
    def blocks(self) -> bool:
        return True

    def _admits(self, user: str, session: SessionInfo) -> bool:
        """Return whether a user is there and may log in from where the session is.

        Raises:
            Unavailable: the source of users cannot be asked now.
        """
        if isinstance(self._users, HashFile | SqliteUsers):
            return self._users.lets_in(user, session)
        return self._users.find(user) is not None

    def _admitted(self, owner: object, what: str, session: SessionInfo) -> str | None:
        """Return the owner of something valid; None if there is none, or the users do not admit the owner."""
        if not isinstance(owner, str):
            return None
        if self._admits(session.full_name(owner), session):
            return owner
        _log.warning(
            "session %d from %s: a valid %s of %s was refused: the users do not admit its owner",
            session.id,
            session.address or "-",
            what,
            visible(owner),
        )
        return None


class KnownTokens(_AdmittedUsers, TokenVerifier):
    """Asks whose a token is, and refuses it if the source of users does not admit its owner.

    Args:
        tokens: knows whose a token is.
        users: has the users.
    """

    def __init__(self, tokens: TokenVerifier, users: UserDirectory) -> None:
        super().__init__(users)
        self._tokens: Final = tokens

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        """Return the user whose token it is; None if it is not valid, or the user may not log in."""
        return self._admitted(self._tokens.check_token(user, token, session), "token", session)


class KnownCertificates(_AdmittedUsers, CertificateVerifier):
    """Asks whose a certificate is, and refuses it as `KnownTokens` does a token.

    Args:
        certificates: knows whose a certificate is.
        users: has the users.
    """

    def __init__(self, certificates: CertificateVerifier, users: UserDirectory) -> None:
        super().__init__(users)
        self._certificates: Final = certificates

    @override
    def check_certificate(self, certificate: bytes, authzid: str, session: SessionInfo, /) -> str | None:
        """Return the user whose certificate it is; None if it is no user's, or the user may not log in."""
        owner = self._certificates.check_certificate(certificate, authzid, session)
        return self._admitted(owner, "certificate", session)


class KnownSecrets(_AdmittedUsers, SecretSource):
    """Has the passwords of those whom the source of users has, too.

    Args:
        secrets: has the passwords.
        users: has the users.
    """

    def __init__(self, secrets: SecretSource, users: UserDirectory) -> None:
        super().__init__(users)
        self._secrets: Final = secrets

    @override
    def secret(self, user: str, session: SessionInfo, /) -> str | None:
        """Return the user's password; None if there is no such user."""
        secret = self._secrets.secret(user, session)
        return secret if isinstance(secret, str) and self._admits(user, session) else None
