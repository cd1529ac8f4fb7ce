"""What an identity provider has granted: codes, tokens, devices, and when each ends. No I/O, no clock, no chance."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal

import attrs
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Code", "Device", "Grant", "Ledger", "LiveTokens"]

CODE_LIFETIME: Final = 600
DEVICE_LIFETIME: Final = 900
POLL_INTERVAL: Final = 5
"""Seconds between two questions of a device, as it is told. Nobody measures them: time stands still here."""


@attrs.frozen
class Grant:
    """Tokens that were issued together.

    Args:
        user: whom they belong to.
        scope: what they are for; "": nothing was said.
        client: to which client they were issued; None: any may refresh and revoke them.
        access_token: for the POP3 server.
        expires: when the access token ends, on the clock of the provider.
        refresh_token: to get another access token; None: there is none.
        family: the number of the consent that it comes from: a refreshed grant has that of the first.
    """

    user: str
    scope: str
    client: str | None
    access_token: str
    expires: float
    refresh_token: str | None
    family: int


@attrs.define
class Code:
    """An authorization code, and what it was asked for with."""

    user: str
    scope: str
    client: str
    redirect_uri: str
    challenge: str | None
    expires: float
    spent_for: int | None = None  # the family of the tokens that it was exchanged for


@attrs.define
class Device:
    """A device that waits for its user."""

    user_code: str
    scope: str
    client: str
    expires: float
    verdict: Literal["waits", "approved", "denied", "spent"] = "waits"
    user: str = ""


class Ledger:
    """All that was granted.

    Args:
        lifetime: seconds for which an access token is good.
        rotates: a refresh token is good once, and another comes with the new access token.
        token_octets: the length of an access token.

    Attributes:
        now: seconds since the start.
    """

    def __init__(self, *, lifetime: float, rotates: bool, token_octets: int) -> None:
        self.now: float = 0.0
        self.lifetime: float = lifetime
        self.codes: Final[dict[str, Code]] = {}
        self.devices: Final[dict[str, Device]] = {}
        self.rotates: Final = rotates
        self._token_octets: Final = token_octets
        self._serial: Final = itertools.count(1)
        self._grants: Final[dict[str, Grant]] = {}  # by access token
        self._refreshing: Final[dict[str, Grant]] = {}  # by refresh token
        self._ended: Final[set[int]] = set()  # families that were revoked
        self._revoked: Final[set[str]] = set()  # access tokens
        self._rotated: Final[set[str]] = set()  # refresh tokens

    def issue(
        self, user: str, scope: str, client: str | None, *, family: int | None = None, refreshes: bool = True
    ) -> Grant:
        """Issue tokens.

        Args:
            user: whom they belong to.
            scope: what they are for.
            client: to which client.
            family: of the consent; None: a new one.
            refreshes: there is a refresh token, too.
        """
        number = next(self._serial)
        grant = Grant(
            user,
            scope,
            client,
            f"access-{number}".ljust(self._token_octets, "."),
            self.now + self.lifetime,
            f"refresh-{number}" if refreshes else None,
            number if family is None else family,
        )
        self._grants[grant.access_token] = grant
        if grant.refresh_token is not None:
            self._refreshing[grant.refresh_token] = grant
        return grant

    def code(self, code: Code) -> str:
        """Note a code, and return it."""
        name = f"code-{next(self._serial)}"
        self.codes[name] = code
        return name

    def device(self, client: str, scope: str) -> tuple[str, Device]:
        """Begin to wait for the user of a device; return the device code, too."""
        number = next(self._serial)
        name, device = f"device-{number}", Device(f"USER-{number:04d}", scope, client, self.now + DEVICE_LIFETIME)
        self.devices[name] = device
        return name, device

    def refreshed(self, refresh_token: str) -> Grant | None:
        """Return the grant of a refresh token that is good; None: it is not.

        If it was rotated away, a thief uses it, or its owner after a thief: all tokens of the consent end (RFC 9700
        section 4.14.2).
        """
        grant = self._refreshing.get(refresh_token)
        if grant is not None and refresh_token in self._rotated:
            self.revoke_family(grant.family)
        return None if grant is None or grant.family in self._ended else grant

    def spend(self, refresh_token: str, scope: str) -> Grant:
        """Issue tokens for a refresh token that is good. The scope may be narrower than that of the consent."""
        old = self._refreshing[refresh_token]
        new = self.issue(old.user, scope, old.client, family=old.family, refreshes=self.rotates)
        if new.refresh_token is None:
            return attrs.evolve(new, refresh_token=refresh_token)
        self._rotated.add(refresh_token)
        self._refreshing[new.refresh_token] = attrs.evolve(new, scope=old.scope)
        return new

    def revoke_family(self, family: int) -> None:
        """End all tokens of one consent."""
        self._ended.add(family)

    def revoke(self, token: str) -> None:
        """End a token; with a refresh token, all of its consent (RFC 7009 section 2.1)."""
        if token in self._refreshing:
            self.revoke_family(self._refreshing[token].family)
        self._revoked.add(token)

    def owner_client(self, token: str) -> str | None:
        """Return to which client a token was issued."""
        grant = self._grants.get(token) or self._refreshing.get(token)
        return None if grant is None else grant.client

    def good(self) -> dict[str, str]:
        """Return the owners of the access tokens that are good now."""
        return {token: grant.user for token, grant in self._grants.items() if self._is_good(grant)}

    def good_grant(self, access_token: str) -> Grant | None:
        """Return what an access token was issued for; None: it is not good now."""
        grant = self._grants.get(access_token)
        return grant if grant is not None and self._is_good(grant) else None

    def _is_good(self, grant: Grant) -> bool:
        return self.now < grant.expires and grant.family not in self._ended and grant.access_token not in self._revoked


class LiveTokens(Mapping[str, str]):
    """The access tokens that are good now, and whose each is.

    Args:
        good: returns them.
    """

    def __init__(self, good: Callable[[], Mapping[str, str]]) -> None:
        self._good: Final = good

    @override
    def __getitem__(self, token: str) -> str:
        return self._good()[token]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._good())

    @override
    def __len__(self) -> int:
        return len(self._good())

    @override
    def __repr__(self) -> str:
        return f"<{len(self)} access tokens that are good now>"
