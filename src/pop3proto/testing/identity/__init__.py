"""An OAuth 2.0 identity provider for tests, over HTTP on this machine.

    with identity_provider() as provider:
        token = get_token(provider.token_endpoint, ...)                # the code to test
        with pop3_server({"ann": mail}, persona="microsoft365", tokens=provider.tokens) as server:
            ...

It issues, refreshes and revokes tokens as RFC 6749, 7009, 7636 and 8628 say. Time passes only when a test says so:
`provider.pass_time(3600)`.
"""

from __future__ import annotations

from .grants import Grant
from .messages import ProviderAnswer
from .provider import Failure, IdentityProvider, ProviderRequest
from .server import identity_provider

__all__ = ["Failure", "Grant", "IdentityProvider", "ProviderAnswer", "ProviderRequest", "identity_provider"]
