"""Which filters look at incoming mail, and what is done with what they find."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from pop3proto._config.keys import about
from pop3proto._config.units import Octets, Seconds

from .clamd import Clamd
from .connection import parse_place
from .program import ProgramFilter
from .rspamd import Rspamd
from .spamd import Spamd
from .verdicts import CLEAN, JunkAction, MessageKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .verdicts import Filter, Scanned, Verdict

__all__ = ["Filtering", "ask_filters", "filters_of"]

_FOLDER: Final = re.compile(r"\.[^./\x00-\x1f][^/\x00-\x1f]{0,200}")
_Action: Final = Literal["deliver", "tag", "folder", "refuse"]
_KEPT: Final = re.compile(r"\.Trash|\.pop3proto-.*")
_LARGEST: Final = 25_000_000  # octets


def _words(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


def _folder(_instance: object, _attribute: object, value: str) -> None:
    parts = value[1:].split(".")
    if not _FOLDER.fullmatch(value) or _KEPT.fullmatch(value) or any(not part.strip() for part in parts):
        raise ValueError(f'a folder of a Maildir is named ".Junk", for example, not {value!r}')


def _positive(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"the filter's {attribute.name} must be above 0")


@attrs.frozen
class Filtering:
    """Filters, each of which is asked for every message until one of them finds something.

    A filter that fails, or is too slow, means that the message is to be delivered later; it never means "clean".

    Args:
        clamd: where ClamAV's daemon listens: `host:port`, or the path of a socket.
        rspamd: the URL of Rspamd: `http://127.0.0.1:11333`.
        spamd: where SpamAssassin's daemon listens: `host:port`, or the path of a socket.
        command: a program and its arguments: status 0 is clean, 98 junk, 99 virus, any other no verdict.
        timeout: seconds for each filter and message.
        largest: larger messages, in octets, are not shown to filters and count as clean; None: all are shown. A clamd
            that is not set up otherwise takes 25 MB.
        junk: what is done with junk.
        virus: what is done with a virus.
        folder: the folder for junk and viruses, in Maildir++.

    Raises:
        ValueError: a value has no meaning.
    """

    clamd: str | None = attrs.field(
        default=None, metadata=about("where clamd listens: `host:port`, or the path of its socket")
    )
    rspamd: str | None = attrs.field(default=None, metadata=about("the URL of Rspamd: `http://127.0.0.1:11333`"))
    spamd: str | None = attrs.field(
        default=None, metadata=about("where spamd listens: `host:port`, or the path of its socket")
    )
    command: tuple[str, ...] = attrs.field(
        default=(),
        converter=_words,
        metadata=about(
            "a program and its arguments: status 0 is clean, 98 junk, 99 virus, any other no verdict", tuple[str, ...]
        ),
    )
    timeout: float = attrs.field(
        default=60.0, validator=_positive, metadata=about("how long each filter may take for a message", Seconds)
    )
    largest: int | None = attrs.field(
        default=_LARGEST,
        validator=_positive,
        metadata=about("larger messages are not shown to filters, and count as clean", Octets),
    )
    junk: JunkAction = attrs.field(
        default=JunkAction.FOLDER,
        converter=JunkAction,
        metadata=about("what is done with junk", _Action),
    )
    virus: JunkAction = attrs.field(
        default=JunkAction.REFUSE, converter=JunkAction, metadata=about("what is done with a virus", _Action)
    )
    folder: str = attrs.field(
        default=".Junk", validator=_folder, metadata=about("the folder of the Maildir for what is found")
    )

    def __attrs_post_init__(self) -> None:
        filters_of(self)  # raises what is wrong with them

    def action(self, kind: MessageKind) -> JunkAction:
        """Return what is done with a message of this kind."""
        match kind:
            case MessageKind.CLEAN:
                return JunkAction.DELIVER
            case MessageKind.JUNK:
                return self.junk
            case MessageKind.VIRUS:
                return self.virus


def filters_of(filtering: Filtering) -> tuple[Filter, ...]:
    """Return the filters, in the order in which they are asked.

    Raises:
        ValueError: one of them is named by what cannot name it.
    """
    made: list[Filter] = []
    if filtering.clamd is not None:
        made.append(Clamd(parse_place(filtering.clamd), filtering.timeout))
    if filtering.rspamd is not None:
        made.append(Rspamd(filtering.rspamd, filtering.timeout))
    if filtering.spamd is not None:
        made.append(Spamd(parse_place(filtering.spamd), filtering.timeout))
    if filtering.command:
        made.append(ProgramFilter(filtering.command, filtering.timeout))
    return tuple(made)


def ask_filters(filtering: Filtering, message: Callable[[], Scanned], octets: int) -> Verdict:
    """Ask the filters, up to the first that finds something.

    Args:
        filtering: the filters.
        message: opens the message anew for each of them.
        octets: its size.

    Raises:
        FilterFailed: one gave no verdict.
        OSError: the message cannot be read.
    """
    if filtering.largest is not None and octets > filtering.largest:
        return CLEAN
    for each in filters_of(filtering):
        scanned = message()
        with scanned.file:
            verdict = each.check(scanned)
        if verdict.kind is not MessageKind.CLEAN:
            return verdict
    return CLEAN
