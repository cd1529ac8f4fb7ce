"""A maildrop store that keeps mail in memory: for tests, and for servers that generate their messages."""

from __future__ import annotations

import io
import itertools
import secrets
import threading
from typing import TYPE_CHECKING

from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.results import UniqueId
from pop3proto.procedures.maildrop import InUse, Maildrop, MaildropStore, Message, MessageStream, wire_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["MemoryStore"]


class MemoryStore(MaildropStore):
    r"""A maildrop store in memory. Its methods may be called from any thread.

        store = MemoryStore({"ann": [b"Subject: hello\n\nHi, Ann.\n"]})

    A user without messages has an empty maildrop; the authenticator decides who may log in.

    Args:
        maildrops: initial messages by user name; line ends may be LF or CRLF.
        capabilities: capabilities to announce beside the server's own. With `expire=Expire(0)`, QUIT also removes the
            retrieved messages (RFC 2449 section 6.7).
    """

    def __init__(
        self,
        maildrops: Mapping[str, Iterable[bytes]] | None = None,
        *,
        capabilities: Capabilities | None = None,
    ) -> None:
        self._capabilities = capabilities or Capabilities()
        self._boxes: dict[str, _Box] = {}
        # Clients remember unique ids after this object is gone; the random prefix keeps the next one from reusing them.
        self._prefix = secrets.token_hex(8)
        self._serial = itertools.count(1)
        for user, messages in (maildrops or {}).items():
            for message in messages:
                self.deliver(user, message)

    @property
    @override
    def blocks(self) -> bool:
        return False

    def deliver(self, user: str, message: bytes) -> UniqueId:
        """Add a message to a user's maildrop; sessions that are already open do not see it.

        Args:
            user: the user name.
            message: the whole message; line ends may be LF or CRLF.

        Returns:
            The message's unique id.
        """
        unique_id = UniqueId(f"{self._prefix}.{next(self._serial)}")
        self._box(user).add(Message(wire_size(io.BytesIO(message)), unique_id), message)
        return unique_id

    def messages(self, user: str) -> list[bytes]:
        """Return the messages in a user's maildrop now, as they were delivered and in that order."""
        return list(self._box(user).contents().values())

    @override
    def open(self, user: str, session: SessionInfo) -> Maildrop:
        """Open and lock the user's maildrop for one session."""
        box = self._box(user)
        if not box.session.acquire(blocking=False):
            raise InUse
        return _MemoryMaildrop(box, expire_retrieved=self._expires_retrieved)

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        """Return the capabilities that the store was made with, for every user."""
        return self._capabilities

    @property
    def _expires_retrieved(self) -> bool:
        expire = self._capabilities.expire
        return expire is not None and expire.days == 0

    def _box(self, user: str) -> _Box:
        return self._boxes.setdefault(user, _Box())


class _Box:
    """One user's messages, and the lock held by the session that has them open."""

    def __init__(self) -> None:
        self.session = threading.Lock()
        self._guard = threading.Lock()
        self._contents: dict[Message, bytes] = {}

    def add(self, message: Message, octets: bytes) -> None:
        with self._guard:
            self._contents[message] = octets

    def remove(self, messages: Iterable[Message]) -> None:
        with self._guard:
            for message in messages:
                del self._contents[message]

    def contents(self) -> dict[Message, bytes]:
        with self._guard:
            return self._contents.copy()


class _MemoryMaildrop(Maildrop):
    """A snapshot of a box, taken when the session began."""

    def __init__(self, box: _Box, *, expire_retrieved: bool) -> None:
        self._box = box
        self._expire_retrieved = expire_retrieved
        contents = box.contents()
        self._messages = tuple(contents)
        self._octets = tuple(contents.values())

    @property
    @override
    def messages(self) -> tuple[Message, ...]:
        return self._messages

    @override
    def open(self, number: int) -> MessageStream:
        return io.BytesIO(self._octets[number - 1])

    @override
    def correct(self, number: int, octets: int) -> None:
        """Do nothing: sizes in memory are computed from the messages, so they are always right."""

    @override
    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        gone = deleted | retrieved if self._expire_retrieved else deleted
        self._box.remove([self._messages[number - 1] for number in gone])

    @override
    def close(self) -> None:
        self._box.session.release()
