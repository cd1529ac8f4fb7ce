"""An authenticator that knows one user."""

from __future__ import annotations

import hmac

from typing_extensions import override

from pop3proto.procedures.authenticator import Authenticator

__all__ = ["OneUser"]


class OneUser(Authenticator):
    """Lets one user in, in a time that does not tell what was wrong.

    Args:
        user: the name.
        password: the password.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user = _octets(user)
        self._password = _octets(password)

    @property
    @override
    def blocks(self) -> bool:
        return False

    @override
    def check_password(self, user: str, password: str) -> bool:
        right_user = hmac.compare_digest(_octets(user), self._user)
        right_password = hmac.compare_digest(_octets(password), self._password)
        return right_user & right_password  # not `and`: the second is compared in any case


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # what came over the wire may be any octets
