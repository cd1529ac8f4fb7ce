"""What a client's certificate says: whose it is, and until when. For people; nothing is decided by it."""

from __future__ import annotations

import contextlib
import ssl
import time
from typing import TYPE_CHECKING, Any

import attrs
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["CertificateFacts"]


@attrs.frozen
class CertificateFacts:
    """What the first certificate in a file says.

    Args:
        names: the mail addresses and host names in it; without any, the common name of its subject.
        until: when it ends, in seconds since 1970.
    """

    names: tuple[str, ...]
    until: float

    @classmethod
    def of(cls, path: Path) -> CertificateFacts | None:
        """Return what a file's certificate says (PEM); None: it cannot be read, or this Python does not tell it.

        Python has no public way to read a certificate that no peer has shown.
        """
        with contextlib.suppress(Exception):  # the private function may be missing, or be another in another Python
            import _ssl  # noqa: PLC0415 - as above

            said: dict[str, Any] = getattr(_ssl, "_test_decode_cert")(str(path))  # noqa: B009 - nothing is known of it
            return cls(tuple(_names(said)), ssl.cert_time_to_seconds(said["notAfter"]))
        return None

    @property
    def until_words(self) -> str:
        """When it ends, in words."""
        return f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(self.until))} UTC"

    @override
    def __str__(self) -> str:
        whose = f"of {', '.join(self.names)}, " if self.names else ""
        return f"{whose}valid until {self.until_words}"


def _names(said: dict[str, Any]) -> Iterable[str]:
    alternatives: Iterable[tuple[str, object]] = said.get("subjectAltName", ())
    if found := [name for kind, name in alternatives if kind in {"email", "DNS"} and isinstance(name, str)]:
        return found
    subject: Iterable[tuple[str, str]] = (pair for part in said.get("subject", ()) for pair in part)
    return [name for kind, name in subject if kind == "commonName"]
