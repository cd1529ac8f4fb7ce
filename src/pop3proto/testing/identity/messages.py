"""Requests and answers of an identity provider, as HTTP has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qsl

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ProviderAnswer", "Refusal", "parameters_of"]

_FORM: Final = "application/x-www-form-urlencoded"
_UNAUTHORIZED: Final = 401


@attrs.frozen
class ProviderAnswer:
    """An answer.

    Args:
        status: of HTTP.
        headers: by name.
        body: its octets.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @classmethod
    def of_json(cls, status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Self:
        """Return an answer with JSON, which must not be kept (RFC 6749 section 5.1)."""
        fixed = {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"}
        return cls(status, {**fixed, **(headers or {})}, json.dumps(content).encode())

    @classmethod
    def of_text(cls, status: int, text: str, headers: Mapping[str, str] | None = None) -> Self:
        """Return an answer for people."""
        return cls(status, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, f"{text}\n".encode())

    @classmethod
    def of_status(cls, status: int) -> Self:
        """Return an answer that says nothing but its status, as a proxy in front of a provider gives it."""
        return cls.of_text(status, f"status {status}")


class Refusal(Exception):
    """A request is refused (RFC 6749 section 5.2).

    Args:
        code: of the error.
        description: for people.
        headers: of the answer.
    """

    def __init__(self, code: str, description: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, description)
        self.answer: ProviderAnswer = ProviderAnswer.of_json(
            _UNAUTHORIZED if code == "invalid_client" else 400,
            {"error": code, "error_description": description},
            {"WWW-Authenticate": "Basic"} if code == "invalid_client" and headers is None else headers,
        )


def parameters_of(
    method: str, query: str, headers: Mapping[str, str], body: bytes, *, body_only: bool = False
) -> dict[str, str]:
    """Return the parameters of a request: of the query, and of the form if it has one.

    Raises:
        Refusal: the body is no form, or a parameter comes twice (RFC 6749 section 3.2); or, with `body_only`, it stands
            in the URL.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    if method == "POST":
        if body_only and query:
            raise Refusal("invalid_request", "parameters must stand in the body, not in the URL")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _FORM:
            raise Refusal("invalid_request", f"the body must be {_FORM}")
        pairs += parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    if len({name for name, _ in pairs}) < len(pairs):
        raise Refusal("invalid_request", "a parameter comes twice")
    return {name: value for name, value in pairs if value}  # without a value it counts as left out
