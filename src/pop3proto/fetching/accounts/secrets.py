"""The secret of an account: fetched when it is first needed, kept for the run, and fetched again when it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.sasl.credentials import ClientCertificate, Password, Token

from .errors import SecretError
from .origins import FromTerminal, Wanted, read_secret
from .tls_files import key_exposure
from .url import EXTERNAL, takes_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.sasl.credentials import Credentials

    from .access import Access
    from .origins import Origin

__all__ = ["SecretSource"]


class SecretSource:
    """What to log in to one account with.

    Args:
        access: of the account. Without a password and a token, the user is asked, unless it logs in by a certificate.
        note: takes what the user should know, in one line: that others may read a file, for example.
    """

    def __init__(self, access: Access, note: Callable[[str], object] = lambda _: None) -> None:
        self._access: Final = access
        self.note: Final = note
        self._credentials: Credentials | None = None

    def forget(self) -> None:
        """Fetch the secret again when it is needed next."""
        self._credentials = None

    @property
    def asks(self) -> bool:
        """Whether the user has to type it."""
        return isinstance(self._origin, FromTerminal)

    @property
    def _origin(self) -> Origin | None:
        access = self._access
        origin = access.token if access.token is not None else access.password
        return FromTerminal(ask=True) if origin is None and access.way != EXTERNAL else origin

    def get(self, *, refused: bool = False) -> Credentials:
        """Return the credentials: those of the last call, unless they were refused.

        A secret that was refused is fetched again, as a token may have run out meanwhile. The same secret is never
        returned again after that: servers lock accounts after some failures.

        Args:
            refused: the server has refused those of the last call.

        Raises:
            SecretError: the secret cannot be had, or is the same that was refused.
            AccountError: an extra is not installed.
        """
        if self._credentials is None:
            self._credentials = self._fetch()
        elif refused:
            before, self._credentials = self._credentials, None
            credentials = self._fetch()
            if credentials == before:
                raise SecretError(f"the {self._what} is still the one that the server has refused")
            self._credentials = credentials
        return self._credentials

    @property
    def _what(self) -> str:
        access = self._access
        return "token" if access.token is not None or takes_token(access.login) else "password"

    def _fetch(self) -> Credentials:
        access, what = self._access, self._what
        if exposed := key_exposure(access):
            self.note(exposed)
        if (origin := self._origin) is None:
            return ClientCertificate(access.user)
        secret = read_secret(origin, Wanted(what, access.user, access.host, self.note))
        return Token(access.user, secret) if what == "token" else Password(access.user, secret)
