"""One message on its way from the server to the destination."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from pop3proto.core.results import UniqueId

from .guards import DIGEST_PREFIX, what_is_missing
from .header import HeaderDigest, header_digest

if TYPE_CHECKING:
    from .destination import Writer
    from .events import MessageIdentity
    from .plan import Step
    from .spool import Spool

__all__ = ["Incoming"]


class Incoming:
    """One message on its way from the server to the destination.

    Args:
        step: of the plan.
        compared: it may be the message that is stored already: its octets tell.

    Attributes:
        step: of the plan.
        identity: None until the octets tell it, on a server without unique ids.
        octets: how many have come.
        removed_dots: how many dots of stuffing were removed from them.
        chunks: those that are in memory.
        known: it turned out to be stored already.
        writer: takes its octets; None: none were written yet.
        spool: takes them until it is known whether they are to be stored.
    """

    __slots__ = (  # one of each message stays until the session has ended
        "_digest",
        "_header",
        "_only",
        "chunks",
        "identity",
        "known",
        "octets",
        "removed_dots",
        "spool",
        "step",
        "waits",
        "writer",
    )

    def __init__(self, step: Step, *, compared: bool = False) -> None:
        self.step: Final = step
        self.identity: MessageIdentity | None = step.identity
        self.octets: int = 0
        self.removed_dots: int = 0
        self.chunks: list[bytes] = []
        self.known: bool = False
        self.writer: Writer | None = None
        self.spool: Spool | None = None
        self.waits: Final = compared or step.identity is None
        self._header: HeaderDigest | None = None
        self._digest = hashlib.sha256() if step.identity is None else None
        self._only = b""  # all octets, as long as they came in one chunk

    def take(self, octets: bytes) -> None:
        """Take the next octets."""
        if not self.octets:
            self._only = octets
        else:
            if self._header is None:
                self._header = HeaderDigest()
                self._header.feed(self._only)
                self._only = b""
            self._header.feed(octets)
        self.octets += len(octets)
        self.chunks.append(octets)
        if self._digest is not None:
            self._digest.update(octets)

    @property
    def header(self) -> str:
        """The digest of its header."""
        return header_digest(self._only) if self._header is None else self._header.digest

    @property
    def missing(self) -> str | None:
        """Why it may not be whole, as `what_is_missing`."""
        return what_is_missing(self.step.octets, self.octets, self.removed_dots)

    @property
    def unstuffed(self) -> int:
        """How many dots it may lack, if the server does not stuff dots."""
        listed = self.step.octets
        return self.removed_dots if listed is not None and listed - self.octets == self.removed_dots else 0

    @property
    def unique_id(self) -> UniqueId:
        """A unique id that is made from its octets, for a server that has none."""
        assert self._digest is not None  # noqa: S101 - it is asked for nowhere else
        return UniqueId(DIGEST_PREFIX + self._digest.hexdigest())

    def release(self) -> None:
        """Let go of the octets."""
        self._only = b""
        self.chunks.clear()

    def abort(self) -> None:
        """Throw away what was written, unless it is stored."""
        if self.writer is not None:
            self.writer.abort()
        if self.spool is not None:
            self.spool.close()
        self.writer = self.spool = None
