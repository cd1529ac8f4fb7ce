"""One message on its way from the server to the destination."""

from __future__ import annotations

import hashlib
import tempfile
from typing import IO, TYPE_CHECKING, Final

from pop3proto.core.results import UniqueId

from .guards import DIGEST_PREFIX
from .header import HeaderDigest, header_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .destination import Writer
    from .events import MessageIdentity
    from .plan import Step

__all__ = ["Incoming", "Spool"]

_PIECE: Final = 1 << 20


class Spool:
    """Keeps the octets of a message until it is known whether they are to be stored."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `abort` closes it

    def write(self, octets: bytes) -> None:
        """Take octets; raises OSError, which names the folder for temporary files."""
        try:
            self._file.write(octets)
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error

    def read(self) -> Iterator[bytes]:
        """Yield all octets, in pieces."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def abort(self) -> None:
        """Throw the octets away."""
        self._file.close()


class Incoming:
    """One message on its way from the server to the destination.

    Args:
        step: of the plan.
        compared: it may be the message that is stored already: its octets tell.

    Attributes:
        step: of the plan.
        identity: None until the octets tell it, on a server without unique ids.
        octets: how many have come.
        chunks: those that are in memory.
        known: it turned out to be stored already.
        writer: takes its octets; None: none were written yet.
        spool: takes them until it is known whether they are to be stored.
    """

    def __init__(self, step: Step, *, compared: bool = False) -> None:
        self.step: Final = step
        self.identity: MessageIdentity | None = step.identity
        self.octets: int = 0
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
        for sink in (self.writer, self.spool):
            if sink is not None:
                sink.abort()
        self.writer = self.spool = None
