"""Faults of TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from typing_extensions import override

from .dialogue import StatusLine
from .line import Fault, HangUp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .dialogue import Part
    from .line import Here, Step

__all__ = ["InjectAtStls", "TlsFails"]


@attrs.frozen
class InjectAtStls(Fault):
    """Octets in clear follow the answer to STLS, as an attacker would inject them (RFC 2595 section 9).

    Args:
        octets: what follows.
    """

    octets: bytes = b"+OK injected\r\n"

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.positive and part.asked.is_a("STLS"):
            part = attrs.evolve(part, octets=part.octets + self.octets)
        yield part


@attrs.frozen
class TlsFails(Fault):
    """The connection ends where the TLS handshake should begin."""

    @override
    def before_tls(self, here: Here) -> Iterable[Step]:
        yield HangUp()
