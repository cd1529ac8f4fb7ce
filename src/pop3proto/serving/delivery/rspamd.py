"""Rspamd, by HTTP."""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import attrs
from typing_extensions import override

from pop3proto.core.text import visible

from .connection import until
from .verdicts import CLEAN, Filter, FilterFailed, MessageKind, Verdict

if TYPE_CHECKING:
    from .verdicts import Scanned

__all__ = ["Rspamd"]

_ANSWER: Final = 1 << 20  # octets
_HTTP_OK: Final = 200
_PORT: Final = 11333
_CLEAN: Final = {"no action", "greylist"}  # greylisting is for the mail server, which has taken the message
_JUNK: Final = {"add header", "rewrite subject", "reject"}
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]")


def _checked(_instance: object, _attribute: object, value: str) -> None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        good = good and not parts.query and parts.username is None and not _UNSAFE.search(value)
        (parts.hostname or "").encode("idna")
    except ValueError:
        good = False
    if not good:
        raise ValueError('rspamd is named by a URL such as "http://127.0.0.1:11333", with neither user nor query')


@attrs.frozen
class Rspamd(Filter):
    """Asks Rspamd's scanner or proxy, by `POST /checkv2`.

    Junk is what Rspamd would reject, or mark in header or subject. "soft reject" is no verdict: ask again later.

    Args:
        url: where it listens.
        timeout: seconds for a message.

    Raises:
        ValueError: the URL cannot be used.
    """

    url: str = attrs.field(validator=_checked)
    timeout: float = 60.0

    @property
    @override
    def name(self) -> str:
        return f"rspamd at {self.url}"

    @override
    def check(self, message: Scanned) -> Verdict:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port or _PORT, timeout=self.timeout)
        try:
            try:
                connection.connect()
            except (OSError, ValueError, http.client.HTTPException) as error:
                words = getattr(error, "strerror", None) or error
                raise FilterFailed(f"{self.name} cannot be reached: {words}") from error
            with until(connection.sock, self.timeout, self.name):
                try:
                    path = f"{parts.path.rstrip('/')}/checkv2"
                    connection.request("POST", path, message.file, self._fields(message))
                    with connection.getresponse() as response:
                        body = response.read(_ANSWER + 1)
                except http.client.HTTPException as error:
                    words = visible(str(error)[:200]) or type(error).__name__
                    raise FilterFailed(f"{self.name}: the answer is no HTTP: {words}") from error
                return self._verdict(response.status, body)
        finally:
            connection.close()

    def _fields(self, message: Scanned) -> dict[str, str]:
        fields = {
            "Content-Length": str(message.octets),
            "From": message.envelope.sender,
            "Rcpt": message.envelope.delivered_to,
            "Deliver-To": message.user,
        }
        return {name: value for name, value in fields.items() if value and not _UNSAFE.search(value)}

    def _verdict(self, status: int, body: bytes) -> Verdict:
        if status != _HTTP_OK:
            raise FilterFailed(f"{self.name} answers with HTTP status {status}")
        try:
            answer: Any = json.loads(body)
            action, score = answer["action"], answer.get("score", "unknown")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise FilterFailed(f"{self.name}: the answer has no action") from error
        if not isinstance(action, str):
            raise FilterFailed(f"{self.name}: the answer has no action")
        if action in _CLEAN:
            return CLEAN
        if action in _JUNK:
            return Verdict(MessageKind.JUNK, visible(f"{action}, score {score}"[:200]))
        raise FilterFailed(f"{self.name} says: {visible(action[:200])}")
