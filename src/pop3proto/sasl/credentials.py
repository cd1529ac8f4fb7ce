"""What a client may log in with. Each mechanism takes one kind; a mechanism of your own may bring its own."""

from __future__ import annotations

import attrs

__all__ = ["Anonymous", "ClientCertificate", "Credentials", "Password", "Token"]


@attrs.frozen
class Credentials:
    """The base of all kinds. None of them shows its secret when it is printed."""

    @staticmethod
    def of(user: str | Credentials, password: str | None = None, token: str | None = None) -> Credentials:
        """Return the credentials that somebody means.

        Args:
            user: a name, which goes with a password or a token; or credentials, which go alone.
            password: the user's.
            token: the user's.

        Raises:
            TypeError: it is not one of these.
        """
        match user, password, token:
            case Credentials(), None, None:
                return user
            case str(), str(), None:
                return Password(user, password)
            case str(), None, str():
                return Token(user, token)
            case _:
                raise TypeError("a login takes a user and a password, a user and a token, or credentials alone")


@attrs.frozen
class Password(Credentials):
    """A name and a password.

    Args:
        user: whose password it is.
        password: the password.
        authzid: on whose behalf to act; "" is the same one. Few mechanisms can say it.
    """

    user: str
    password: str = attrs.field(repr=False)
    authzid: str = ""


@attrs.frozen
class Token(Credentials):
    """An OAuth 2.0 access token, which somebody else has got and refreshes (RFC 6750).

    Args:
        user: the mailbox.
        token: as it stands behind "Bearer".
    """

    user: str
    token: str = attrs.field(repr=False)


@attrs.frozen
class ClientCertificate(Credentials):
    """The certificate that the client showed in the TLS handshake (RFC 4422 appendix A).

    Args:
        authzid: the mailbox; "" is the one that the server derives from the certificate.
    """

    authzid: str = ""


@attrs.frozen
class Anonymous(Credentials):
    """Nobody in particular (RFC 4505).

    Args:
        trace: a mail address, or a word without "@", for the server's records; it may be empty.
    """

    trace: str = ""
