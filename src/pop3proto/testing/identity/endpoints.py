"""The end points of an identity provider."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus, urlencode

from .grants import CODE_LIFETIME, DEVICE_LIFETIME, POLL_INTERVAL, Code, Device, Grant, Ledger
from .messages import ProviderAnswer, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BODY_ONLY", "Endpoints"]

BODY_ONLY: Final = {"/token", "/device_authorization", "/revoke", "/introspect"}
"""Where parameters may not stand in the URL: secrets are among them (RFC 6749 section 2.3.1)."""

_URI: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[!-~]+")  # visible ASCII
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url, without padding
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


class Endpoints:
    """Answers requests.

    Args:
        ledger: what was granted.
        url: where it is.
        user: who consents.
        clients: secrets by client; None: every client is known.
    """

    def __init__(self, ledger: Ledger, url: str, user: str, clients: Mapping[str, str | None] | None) -> None:
        self.user: str = user
        self._ledger: Final = ledger
        self._url: Final = url
        self._clients: Final = clients
        self._grant_types: Final[Mapping[str, Callable[[Mapping[str, str], str], Grant]]] = {
            "authorization_code": self._for_code,
            "refresh_token": self._for_refresh_token,
            "client_credentials": self._for_client,
            _DEVICE_GRANT: self._for_device,
        }

    def answer(
        self, method: str, path: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> ProviderAnswer:
        """Answer a request.

        Raises:
            Refusal: with the answer.
        """
        match method, path:
            case "GET", "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration":
                return ProviderAnswer.of_json(200, self._metadata())
            case "GET" | "POST", "/authorize":
                return self.authorize(parameters)
            case "GET" | "POST", "/device":
                return self._page(parameters)
            case "POST", "/token":
                return self._token(parameters, headers)
            case "POST", "/device_authorization":
                return self._begin_device(parameters, headers)
            case "POST", "/revoke":
                return self._revoke(parameters, headers)
            case "POST", "/introspect":
                return self._introspect(parameters, headers)
            case _, path if path in BODY_ONLY:
                return ProviderAnswer.of_text(405, "POST only", {"Allow": "POST"})
            case _:
                return ProviderAnswer.of_status(404)

    def _metadata(self) -> dict[str, object]:
        """Return what RFC 8414 has in it."""
        return {
            "issuer": self._url,
            "authorization_endpoint": f"{self._url}/authorize",
            "token_endpoint": f"{self._url}/token",
            "device_authorization_endpoint": f"{self._url}/device_authorization",
            "revocation_endpoint": f"{self._url}/revoke",
            "introspection_endpoint": f"{self._url}/introspect",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(self._grant_types),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
        }

    # ------------------------------------------------------------------------------------- the client

    def _client(self, parameters: Mapping[str, str], headers: Mapping[str, str]) -> str:
        """Return which client asks (RFC 6749 section 2.3).

        Raises:
            Refusal: it does not say it, or has not the right secret.
        """
        name, secret = parameters.get("client_id", ""), parameters.get("client_secret")
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        if scheme:
            if secret is not None:
                raise Refusal("invalid_request", "the client authenticates in two ways")
            name, secret = _basic(scheme, encoded)
            if parameters.get("client_id", name) != name:
                raise Refusal("invalid_request", "client_id is that of another client")
        if not name:
            raise Refusal("invalid_client" if scheme else "invalid_request", "the client does not say who it is")
        if self._clients is None:
            return name
        right = self._clients.get(name)
        if name not in self._clients or not hmac.compare_digest((right or "").encode(), (secret or "").encode()):
            raise Refusal("invalid_client", "the client is unknown, or its secret is wrong")
        return name

    # ----------------------------------------------------------------------------------- authorization

    def authorize(self, parameters: Mapping[str, str], failure: str | None = None) -> ProviderAnswer:
        """Consent at once, and redirect with a code; or with the error that a test wants (RFC 6749 section 4.1)."""
        client, target = parameters.get("client_id"), parameters.get("redirect_uri", "")
        if not client or (self._clients is not None and client not in self._clients):
            return ProviderAnswer.of_text(400, "client_id is missing, or unknown")
        if not _URI.fullmatch(target) or "#" in target:
            return ProviderAnswer.of_text(400, "redirect_uri is missing, or cannot be used")
        challenge, method = parameters.get("code_challenge"), parameters.get("code_challenge_method", "plain")
        given: dict[str, str] = {}
        if failure is not None:
            given["error"] = failure
        elif "response_type" not in parameters:
            given |= {"error": "invalid_request", "error_description": "response_type is missing"}
        elif parameters["response_type"] != "code":
            given["error"] = "unsupported_response_type"
        elif challenge is not None and method != "S256":
            given |= {"error": "invalid_request", "error_description": "code_challenge_method must be S256"}
        elif challenge is not None and not _CHALLENGE.fullmatch(challenge):
            given |= {"error": "invalid_request", "error_description": "code_challenge must be 43 characters, unpadded"}
        elif challenge is None and self._is_public(client):
            given |= {"error": "invalid_request", "error_description": "a public client needs code_challenge"}
        else:
            user, scope = parameters.get("login_hint", self.user), parameters.get("scope", "")
            code = Code(user, scope, client, target, challenge, self._ledger.now + CODE_LIFETIME)
            given["code"] = self._ledger.code(code)
        if "state" in parameters:
            given["state"] = parameters["state"]
        given["iss"] = self._url
        separator = "&" if "?" in target else "?"
        return ProviderAnswer(302, {"Location": f"{target}{separator}{urlencode(given)}", "Cache-Control": "no-store"})

    def _is_public(self, client: str) -> bool:
        return self._clients is not None and not self._clients.get(client)

    def _is_confidential(self, client: str, parameters: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        """Return whether a client, which was let in, has a secret."""
        if self._clients is not None:
            return not self._is_public(client)
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        return bool(_basic(scheme, encoded)[1] if scheme else parameters.get("client_secret"))

    # ------------------------------------------------------------------------------------------ tokens

    def _token(self, parameters: Mapping[str, str], headers: Mapping[str, str]) -> ProviderAnswer:
        if "grant_type" not in parameters:
            raise Refusal("invalid_request", "grant_type is missing")
        client = self._client(parameters, headers)
        if (issue := self._grant_types.get(parameters["grant_type"])) is None:
            raise Refusal("unsupported_grant_type", "this grant_type is not known here")
        if parameters["grant_type"] == "client_credentials" and not self._is_confidential(client, parameters, headers):
            raise Refusal("unauthorized_client", "a client without a secret cannot stand for itself")
        grant = issue(parameters, client)
        content: dict[str, object] = {
            "access_token": grant.access_token,
            "token_type": "Bearer",
            "expires_in": int(self._ledger.lifetime),
        }
        if grant.refresh_token is not None:
            content["refresh_token"] = grant.refresh_token
        if grant.scope:
            content["scope"] = grant.scope
        return ProviderAnswer.of_json(200, content)

    def _for_code(self, parameters: Mapping[str, str], client: str) -> Grant:
        code = self._ledger.codes.get(_needed(parameters, "code"))
        if code is None or code.client != client:
            raise Refusal("invalid_grant", "the code is not one of this client")
        if code.spent_for is not None:
            self._ledger.revoke_family(code.spent_for)
            raise Refusal("invalid_grant", "the code was used before: its tokens are revoked")
        if self._ledger.now >= code.expires:
            raise Refusal("invalid_grant", "the code has expired")
        if parameters.get("redirect_uri", "") != code.redirect_uri:
            raise Refusal("invalid_grant", "redirect_uri is not that of the authorization request")
        _check_verifier(parameters.get("code_verifier"), code.challenge)
        grant = self._ledger.issue(code.user, code.scope, client)
        code.spent_for = grant.family
        return grant

    def _for_refresh_token(self, parameters: Mapping[str, str], client: str) -> Grant:
        token = _needed(parameters, "refresh_token")
        grant = self._ledger.refreshed(token)
        if grant is None or grant.client not in {None, client}:
            raise Refusal("invalid_grant", "the refresh token is unknown, revoked, used before, or of another client")
        scope = parameters.get("scope", grant.scope)
        if not {*scope.split()} <= {*grant.scope.split()}:
            raise Refusal("invalid_scope", "this is more than was granted")
        return self._ledger.spend(token, scope)

    def _for_client(self, parameters: Mapping[str, str], client: str) -> Grant:
        return self._ledger.issue(self.user, parameters.get("scope", ""), client, refreshes=False)

    def _for_device(self, parameters: Mapping[str, str], client: str) -> Grant:
        device = self._ledger.devices.get(_needed(parameters, "device_code"))
        if device is None or device.client != client or device.verdict == "spent":
            raise Refusal("invalid_grant", "the device code is not one of this client, or was used before")
        if self._ledger.now >= device.expires:
            raise Refusal("expired_token", "the device code has expired")
        if device.verdict == "denied":
            raise Refusal("access_denied", "the user has refused")
        if device.verdict == "waits":
            raise Refusal("authorization_pending", "the user has not decided yet")
        device.verdict = "spent"
        return self._ledger.issue(device.user, device.scope, client)

    # ----------------------------------------------------------------------------- devices, revocation

    def _begin_device(self, parameters: Mapping[str, str], headers: Mapping[str, str]) -> ProviderAnswer:
        name, device = self._ledger.device(self._client(parameters, headers), parameters.get("scope", ""))
        page = f"{self._url}/device"
        return ProviderAnswer.of_json(
            200,
            {
                "device_code": name,
                "user_code": device.user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={device.user_code}",
                "expires_in": DEVICE_LIFETIME,
                "interval": POLL_INTERVAL,
            },
        )

    def _page(self, parameters: Mapping[str, str]) -> ProviderAnswer:
        """Answer the browser of a user, who consents at once."""
        try:
            self.decide(parameters.get("user_code", ""), self.user)
        except ValueError as error:
            return ProviderAnswer.of_text(400, str(error))
        return ProviderAnswer.of_text(200, "The device may go on.")

    def decide(self, user_code: str, user: str | None) -> None:
        """Note what the user of a device has decided; None: he refuses.

        Raises:
            ValueError: no device waits with this code.
        """
        device = self._waiting(user_code)
        device.verdict, device.user = ("denied", "") if user is None else ("approved", user)

    def _waiting(self, user_code: str) -> Device:
        for device in self._ledger.devices.values():
            if device.user_code == user_code and device.verdict == "waits" and self._ledger.now < device.expires:
                return device
        raise ValueError(f"no device waits with the code {user_code!r}")

    def _revoke(self, parameters: Mapping[str, str], headers: Mapping[str, str]) -> ProviderAnswer:
        if self._clients is not None or "client_id" in parameters or "authorization" in headers:
            client = self._client(parameters, headers)
        else:
            client = None  # any may, and some providers do not ask
        token = _needed(parameters, "token")
        owner = self._ledger.owner_client(token)
        if client is not None and owner not in {None, client}:
            raise Refusal("invalid_grant", "the token is one of another client")
        self._ledger.revoke(token)
        return ProviderAnswer.of_json(200, {})  # also for a token that is unknown (RFC 7009 section 2.2)

    def _introspect(self, parameters: Mapping[str, str], headers: Mapping[str, str]) -> ProviderAnswer:
        """Say whether a token is good, to a client that authenticates (RFC 7662 section 2)."""
        self._client(parameters, headers)
        grant = self._ledger.good_grant(_needed(parameters, "token"))
        if grant is None:
            return ProviderAnswer.of_json(200, {"active": False})
        content: dict[str, object] = {
            "active": True,
            "username": grant.user,
            "token_type": "Bearer",
            "exp": int(grant.expires),
            "scope": grant.scope,
        }
        return ProviderAnswer.of_json(200, content if grant.client is None else {**content, "client_id": grant.client})


def _needed(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise Refusal("invalid_request", f"{name} is missing")
    return parameters[name]


def _basic(scheme: str, encoded: str) -> tuple[str, str]:
    """Return the name and the secret of HTTP Basic, which are form-encoded in it (RFC 6749 section 2.3.1)."""
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # of base64, or of its content
        name = colon = secret = ""
    if scheme.lower() != "basic" or not colon:
        raise Refusal("invalid_client", "the header Authorization must be Basic")
    return unquote_plus(name), unquote_plus(secret)


def _check_verifier(verifier: str | None, challenge: str | None) -> None:
    """Compare the proof of a client with the challenge that a code was issued for (RFC 7636 section 4.6).

    Raises:
        Refusal: it does not fit, or there was no challenge (RFC 9700 section 2.1.1).
    """
    if challenge is None:
        if verifier is not None:
            raise Refusal("invalid_grant", "code_verifier for a code that was issued without code_challenge")
    elif verifier is None or not _VERIFIER.fullmatch(verifier):
        raise Refusal("invalid_grant", "code_verifier must be 43 to 128 letters, digits, and -._~")
    elif _s256(verifier) != challenge:
        raise Refusal("invalid_grant", "code_verifier does not fit code_challenge")


def _s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
