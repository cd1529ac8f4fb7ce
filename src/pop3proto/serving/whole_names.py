"""Users whose names have the domain of their listener."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pop3proto.sasl.authenticator import CustomAuthenticator

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.sasl.authenticator import Authenticator

__all__ = ["WholeNames"]

_FIRST_IS_USER = frozenset({"check_password", "secret", "scram_keys", "check_token"})


class WholeNames(CustomAuthenticator):
    """Asks an authenticator with the whole name of a user: "ann" is "ann@example.org" where the listener has a domain.

    Args:
        authenticator: knows the users by their whole names.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self.blocks: bool = authenticator.blocks

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the authenticator has
        if name.startswith("_"):
            raise AttributeError(name)
        found: Any = getattr(self._authenticator, name)
        return _asking(found) if name in _FIRST_IS_USER else found


def _asking(method: Callable[..., object]) -> Callable[..., object]:
    def ask(user: str, *arguments: Any) -> object:  # noqa: ANN401 - as above
        session = arguments[-1]
        return method(session.full_name(user) if user else user, *arguments)

    return ask
