"""Accounts as the command line names them: `Address`, whose errors are failures of the command."""

from __future__ import annotations

from typing import Self

import attrs
from typing_extensions import override

from .accounts.errors import AccountError
from .accounts.url import Address
from .failures import USAGE, Failure

__all__ = ["Account"]


@attrs.frozen
class Account(Address):
    """As `Address`."""

    @classmethod
    @override
    def of_url(cls, url: str) -> Self:
        """As `Address.of_url`.

        Raises:
            Failure: the URL is not valid.
        """
        try:
            return super().of_url(url)
        except AccountError as error:
            raise Failure(str(error), USAGE) from error
