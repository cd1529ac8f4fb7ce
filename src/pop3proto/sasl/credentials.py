"""Credentials that a client logs in with: `Password`, `Token`, `ClientCertificate`, `Anonymous`.

Each mechanism uses one kind. A mechanism of your own may define its own subclass of `Credentials`.
"""

from __future__ import annotations

import attrs

__all__ = ["Anonymous", "ClientCertificate", "Credentials", "Password", "Token"]


@attrs.frozen
class Credentials:
    """The base class of credentials. Their reprs do not show the secret."""

    @staticmethod
    def of(user: str | Credentials, password: str | None = None, token: str | None = None) -> Credentials:
        """Return credentials from the arguments of a login: a user with a password or token, or credentials.

        Args:
            user: a user name, together with a password or a token; or credentials without either.
            password: the user's password.
            token: the user's OAuth 2.0 access token.

        Raises:
            TypeError: the arguments are not one of these combinations.
        """
        match user, password, token:
            case Credentials(), None, None:
                return user
            case str(), str(), None:
                return Password(user, password)
            case str(), None, str():
                return Token(user, token)
            case _:
                raise TypeError("a login takes a user and a password, a user and a token, or only credentials")


@attrs.frozen
class Password(Credentials):
    """A user name and a password.

    Args:
        user: the user whose password it is.
        password: the password.
        authzid: the user to act as (RFC 4422 section 3.4.1), or "" for `user`. Only PLAIN and SCRAM can send it.
    """

    user: str
    password: str = attrs.field(repr=False)
    authzid: str = ""


@attrs.frozen
class Token(Credentials):
    """An OAuth 2.0 access token (RFC 6750). The caller gets it and refreshes it.

    Args:
        user: the mailbox.
        token: the access token, without "Bearer".
    """

    user: str
    token: str = attrs.field(repr=False)


@attrs.frozen
class ClientCertificate(Credentials):
    """The client certificate of the TLS handshake, used by EXTERNAL (RFC 4422 appendix A).

    Args:
        authzid: the mailbox, or "" for the one that the server derives from the certificate.
    """

    authzid: str = ""


@attrs.frozen
class Anonymous(Credentials):
    """A login without identity (RFC 4505).

    Args:
        trace: a mail address, or text without "@", for the server's logs; may be empty.
    """

    trace: str = ""
