"""An authenticator for OAuth tokens that asks the authorization server about each (RFC 7662)."""

from __future__ import annotations

import base64
import hashlib
import http.client
import ipaddress
import json
import logging
import ssl
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote_plus, urlencode, urlsplit

from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.authenticator import TokenVerifier
from pop3proto.sasl.mechanism import MechanismError

from .user_table import prepare_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["TokenIntrospection"]

_log: Final = logging.getLogger("pop3proto")

_LONGEST: Final = 65_536  # octets of an answer
_CHUNK: Final = 8_192
_REMEMBERED: Final = 10_000  # tokens
_OK: Final = 200
_REFUSED: Final = (401, 403)


class TokenIntrospection(TokenVerifier):
    """An authenticator that asks an authorization server whether a token is valid, and whose it is.

        authenticator = TokenIntrospection("https://id.example.org/introspect", "pop", secret)

    A token is valid if the answer says that it is active, has not ended, is for the right audience and scope, and is
    not bound to a key. A valid one is not asked for again for `cache` seconds, nor after its end. Redirects are not
    followed, and no proxy is used.

    If the server cannot be asked, the reason is logged to "pop3proto", and the login is refused with `Unavailable`
    (SYS/TEMP).

    Args:
        url: the endpoint: https, or http on this machine.
        client_id: as which client to ask.
        client_secret: the client's secret.
        username: the member of the answer that names the user.
        audience: a value that `aud` must have; None: any.
        scope: a value that `scope` must have; None: any.
        ca: a file of authorities for the server's certificate, in place of the system's.
        timeout: seconds that an answer may take.
        cache: seconds for which a valid token is remembered; 0: not at all.
        clock: the time, in seconds since 1970.

    Raises:
        ValueError: the URL would send tokens in clear, or is not one.
        OSError: the file of authorities cannot be used.
    """

    def __init__(  # noqa: PLR0913 - each has its default, and a name
        self,
        url: str,
        client_id: str,
        client_secret: str,
        *,
        username: str = "username",
        audience: str | None = None,
        scope: str | None = None,
        ca: Path | None = None,
        timeout: float = 10,
        cache: float = 60,
        clock: Callable[[], float] = time.time,
    ) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
            raise ValueError(f"the URL must begin with https://, as tokens are sent there: {url}")
        self._host: Final = host
        self._port: Final = parts.port
        self._path: Final = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._context: Final = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"  # RFC 6749 section 2.3.1
        self._authorization: Final = "Basic " + base64.b64encode(pair.encode()).decode()
        self._username: Final = username
        self._audience: Final = audience
        self._scope: Final = scope
        self._timeout: Final = timeout
        self._cache: Final = cache
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._known: Final[OrderedDict[bytes, tuple[str, float]]] = OrderedDict()  # user and end, by digest

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        """Return the user whose token it is; None if it is not valid, or not for this user."""
        octets = token.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(octets).digest()
        owner = self._remembered(digest)
        if owner is None:
            answer = self._ask(octets)
            owner = self._owner(answer)
            if owner is not None:
                self._remember(digest, owner, answer.get("exp"))
        if owner is None:
            return None
        owner = session.full_name(owner)  # as the user is named who logs in over this listener
        return owner if session.full_name(user) in ("", owner) else None

    def _remembered(self, digest: bytes) -> str | None:
        with self._lock:
            owner, until = self._known.get(digest, (None, 0.0))
            return owner if self._clock() < until else None

    def _remember(self, digest: bytes, owner: str, end: object) -> None:
        if not self._cache:
            return
        until = self._clock() + self._cache
        if isinstance(end, int | float):
            until = min(until, end)
        with self._lock:
            self._known[digest] = (owner, until)
            self._known.move_to_end(digest)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def _owner(self, answer: Mapping[str, object]) -> str | None:
        """Return whose token it is, if it is valid (RFC 7662 section 2.2)."""
        now = self._clock()
        if answer.get("active") is not True or "cnf" in answer:  # bound to a key (RFC 8705, RFC 9449)
            return None
        end, begin = answer.get("exp"), answer.get("nbf")
        if (end is not None and not (isinstance(end, int | float) and now < end)) or (
            begin is not None and not (isinstance(begin, int | float) and begin <= now)
        ):
            return None
        if self._audience is not None and self._audience not in _texts(answer.get("aud")):
            return None
        scope = answer.get("scope")
        if self._scope is not None and (not isinstance(scope, str) or self._scope not in scope.split()):
            return None
        name = answer.get(self._username)
        if not isinstance(name, str) or not name:
            raise self._unavailable(f"the answer for a valid token has no member {self._username}")
        try:
            return prepare_name(name)
        except (MechanismError, LocalProtocolError) as error:
            _log.error("the owner of a token has a name that cannot be used to log in: %s", error)
            return None

    def _ask(self, token: bytes) -> Mapping[str, object]:
        body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        until = time.monotonic() + self._timeout
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
            if self._context is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)
        )
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            status, octets = response.status, _read(response, until)
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if status in _REFUSED:
            raise self._unavailable(f"the server refuses this client ({status}): check client_id and its secret")
        if status != _OK:
            raise self._unavailable(f"the server answers with status {status}")
        try:
            answer: object = json.loads(octets)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._unavailable("the answer is not a JSON object")
        return cast("dict[str, object]", answer)

    def _unavailable(self, why: str) -> Unavailable:
        _log.error("tokens cannot be checked: %s: %s", self._host, why)
        return Unavailable("logins cannot be checked now; try again later")


def _read(response: http.client.HTTPResponse, until: float) -> bytes:
    """Return the body.

    Raises:
        OSError: it takes too long, or is too long.
    """
    octets = b""
    while chunk := response.read1(_CHUNK):
        octets += chunk
        if len(octets) > _LONGEST:
            raise OSError("the answer is too long")
        if time.monotonic() > until:
            raise TimeoutError("the answer takes too long")
    return octets


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _texts(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]
