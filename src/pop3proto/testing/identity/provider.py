"""An identity provider: requests in, answers out. No I/O and no clock."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from .endpoints import BODY_ONLY, Endpoints
from .grants import Grant, Ledger, LiveTokens
from .messages import ProviderAnswer, Refusal, parameters_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HANG", "Failure", "IdentityProvider", "ProviderRequest"]

HANG: Final = "hang"

Failure: TypeAlias = str | int
"""How a request fails: "hang" (no answer), an error code such as "invalid_grant", or a status such as 503."""


@attrs.frozen
class ProviderRequest:
    """What a client has asked of an identity provider, secrets included.

    Args:
        method: "POST" for example.
        path: "/token" for example.
        parameters: of the query and of the form.
        headers: by name in lower case.
        status: how it was answered; None: not at all.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    status: int | None


class IdentityProvider:
    """An OAuth 2.0 identity provider. `identity_provider` runs one.

    Args:
        url: where it is.
        user: who consents, where a request does not say it by `login_hint`.
        clients: the secrets of the clients by their ids, None for a public one; None: every client is known, and has no
            secret or any.
        lifetime: seconds for which an access token is good.
        rotates: a refresh token is good once, and another comes with each access token.
        token_octets: the length of access tokens; those of some providers do not fit into a line of AUTH.

    Attributes:
        url: where it is; the issuer of its tokens.
        tokens: the access tokens that are good now, with their users: for `tokens=` of a test server.
        requests: what clients have asked, the first one first.
    """

    def __init__(  # noqa: PLR0913 - each has its default, and a name
        self,
        url: str,
        *,
        user: str = "ann",
        clients: Mapping[str, str | None] | None = None,
        lifetime: float = 3_600,
        rotates: bool = False,
        token_octets: int = 32,
    ) -> None:
        self.url: str = url
        self.requests: Final[list[ProviderRequest]] = []
        self._lock: Final = threading.Lock()
        self._ledger: Final = Ledger(lifetime=lifetime, rotates=rotates, token_octets=token_octets)
        self._endpoints: Final = Endpoints(self._ledger, url, user, clients)
        self._failures: Final[deque[Failure]] = deque()
        self.tokens: Mapping[str, str] = LiveTokens(self._good)

    # ------------------------------------------------------------------------------------- where it is

    @property
    def authorization_endpoint(self) -> str:
        """It consents at once, and redirects with a code."""
        return f"{self.url}/authorize"

    @property
    def token_endpoint(self) -> str:
        """For authorization_code, refresh_token, client_credentials and device_code."""
        return f"{self.url}/token"

    @property
    def device_authorization_endpoint(self) -> str:
        """For devices (RFC 8628)."""
        return f"{self.url}/device_authorization"

    @property
    def revocation_endpoint(self) -> str:
        """It ends tokens (RFC 7009)."""
        return f"{self.url}/revoke"

    @property
    def introspection_endpoint(self) -> str:
        """It says whether an access token is good, and whose (RFC 7662)."""
        return f"{self.url}/introspect"

    # ------------------------------------------------------------------------------- what a test may do

    @property
    def now(self) -> float:
        """Seconds since the start, on the clock of the provider."""
        return self._ledger.now

    def pass_time(self, seconds: float) -> None:
        """Let time pass: tokens and codes end by it, and by nothing else.

        Raises:
            ValueError: it would run backwards.
        """
        if seconds < 0:
            raise ValueError(f"time cannot pass by {seconds!r} seconds")
        with self._lock:
            self._ledger.now += seconds

    def issue(self, user: str | None = None, *, scope: str = "", client: str | None = None) -> Grant:
        """Issue tokens without a request.

        Args:
            user: whose they are; None: of him who consents.
            scope: what they are for.
            client: to which client they are issued, which alone may refresh and revoke them; None: any may.
        """
        with self._lock:
            return self._ledger.issue(user or self._endpoints.user, scope, client)

    def revoke(self, token: str) -> None:
        """End an access token; or a refresh token, and with it all tokens of the consent."""
        with self._lock:
            self._ledger.revoke(token)

    def approve(self, user_code: str, user: str | None = None) -> None:
        """Consent, as the user of a device does.

        Raises:
            ValueError: no device waits with this code.
        """
        with self._lock:
            self._endpoints.decide(user_code, user or self._endpoints.user)

    def deny(self, user_code: str) -> None:
        """Refuse, as the user of a device does.

        Raises:
            ValueError: no device waits with this code.
        """
        with self._lock:
            self._endpoints.decide(user_code, None)

    def fail_next(self, failure: Failure, *, times: int = 1) -> None:
        """Let the next requests fail, whatever they ask; but not those for metadata.

        Args:
            failure: an error code of OAuth ("invalid_grant"; "slow_down" for a device), a status of HTTP (503), or
                "hang": it is not answered.
            times: how many requests.
        """
        with self._lock:
            self._failures.extend([failure] * times)

    # ---------------------------------------------------------------------------------------- requests

    def respond(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> ProviderAnswer | None:
        """Answer a request, and note it. The server does this.

        Args:
            method: of the request.
            target: path and query.
            headers: by name in lower case.
            body: a form.

        Returns:
            The answer; None: there shall be none.
        """
        path, _, query = target.partition("?")
        with self._lock:
            parameters: Mapping[str, str] = {}
            try:
                parameters = parameters_of(method, query, headers, body, body_only=path in BODY_ONLY)
                answer = self._answer(method, path, parameters, headers)
            except Refusal as refusal:
                answer = refusal.answer
            status = None if answer is None else answer.status
            self.requests.append(ProviderRequest(method, path, parameters, headers, status))
        return answer

    def _answer(
        self, method: str, path: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> ProviderAnswer | None:
        if self._failures and not path.startswith("/.well-known/"):
            failure = self._failures.popleft()
            if failure == HANG:
                return None
            if isinstance(failure, int):
                return ProviderAnswer.of_status(failure)
            if path == "/authorize":
                return self._endpoints.authorize(parameters, failure)
            raise Refusal(failure, "the test wants it so")
        return self._endpoints.answer(method, path, parameters, headers)

    def _good(self) -> Mapping[str, str]:
        with self._lock:
            return self._ledger.good()
