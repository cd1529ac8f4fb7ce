"""What a filter says of a message, and what is done then."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from pop3proto.core.errors import Pop3Error

if TYPE_CHECKING:
    from io import FileIO

    from .header import Envelope

__all__ = ["CLEAN", "Filter", "FilterFailed", "JunkAction", "MessageKind", "Scanned", "Verdict"]


class MessageKind(Enum):
    """What kind of message it is."""

    CLEAN = "clean"
    JUNK = "junk"
    VIRUS = "virus"


class JunkAction(Enum):
    """What is done with a message that is not clean."""

    DELIVER = "deliver"
    """It is delivered as it is."""
    TAG = "tag"
    """It is delivered with a field in front, `X-Spam`, whose value is Yes."""
    FOLDER = "folder"
    """It is delivered into the folder for junk."""
    REFUSE = "refuse"
    """It is refused; the mail server tells its sender."""


@attrs.frozen
class Verdict:
    """What a filter says of a message.

    Args:
        kind: the kind of message.
        why: the filter's words; nothing of the message.
    """

    kind: MessageKind
    why: str = ""


CLEAN: Final = Verdict(MessageKind.CLEAN)


class FilterFailed(Pop3Error):
    """A filter gave no verdict: it cannot be reached, is too slow, or says what has no meaning. Ask again later."""


@attrs.frozen
class Scanned:
    """A message that a filter looks at.

    Args:
        file: the message, for reading, at its start; it is a file with a descriptor.
        octets: its size.
        user: whose maildrop it is for.
        envelope: what the mail server knows of it.
    """

    file: FileIO
    octets: int
    user: str
    envelope: Envelope


class Filter(Protocol):
    """Tells junk and viruses from other mail."""

    @property
    def name(self) -> str:
        """What it is, for messages: "rspamd at 127.0.0.1:11333"."""
        ...

    def check(self, message: Scanned) -> Verdict:
        """Look at a message.

        Raises:
            FilterFailed: there is no verdict.
        """
        ...
