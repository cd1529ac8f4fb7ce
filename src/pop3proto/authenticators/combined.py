"""An authenticator made from several: one for passwords, one for tokens, one for APOP and CRAM-MD5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto.sasl.authenticator import CustomAuthenticator

if TYPE_CHECKING:
    from pop3proto.sasl.authenticator import Authenticator

__all__ = ["CombinedAuthenticator"]


class CombinedAuthenticator(CustomAuthenticator):
    """An authenticator that has the methods of several.

        authenticator = CombinedAuthenticator(UsersFile(path), TokenIntrospection(url, "pop", secret))

    A method that several of them have is that of the first.

    Args:
        authenticators: the first one first.
    """

    def __init__(self, *authenticators: Authenticator) -> None:
        self._authenticators = authenticators
        self.blocks: bool = any(each.blocks for each in authenticators)

    def __getattr__(self, name: str) -> object:
        for each in self.__dict__.get("_authenticators", ()):
            if not name.startswith("_") and hasattr(each, name):
                return getattr(each, name)
        raise AttributeError(f"no authenticator has {name}", name=name, obj=self)
