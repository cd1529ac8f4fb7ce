"""The lines of a journal file: events as text, and text as events. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from pop3proto.core.results import UniqueId

from .events import Event, MessageIdentity, MessageState

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_account", "format_line", "is_line", "parse_line", "parse_lines"]

_STATES: Final = {state.value: state for state in MessageState}
_UNKNOWN: Final = "-"
_SAFE: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
_is_word: Final = re.compile("[!-~]+").fullmatch
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_LINE: Final = re.compile(
    r"(?P<account>[!-~]+) (?P<unique_id>[!-~]+) (?P<state>[a-z-]+)"
    r" (?P<date>-|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"
    r"(?: (?P<escaped>escaped=id))?(?: copy=(?P<copy>[0-9]+))?"
    r"(?: listed=(?P<listed>[0-9]+))?(?: octets=(?P<octets>[0-9]+))?"
    r"(?: header=(?P<header>[!-~]*))?(?: dated=(?P<dated>-?[0-9]+))?(?: why=(?P<why>[!-~]+))?"
    r"(?: dots=(?P<dots>[0-9]+))?"
    r"(?: (?!(?:escaped|copy|listed|octets|header|dated|why|dots)=)[!-<>-~]+=[!-~]*)*"  # keys of later versions
)
_FIRST_FORMAT: Final = re.compile(
    r"(?P<account>[!-~]+) (?:(?P<count>[0-9]{1,9}) messages left|(?P<unique_id>[!-~]+)"
    r"(?: (?P<copies>[0-9]{1,6}) copies|(?: (?P<copy>[0-9]{1,9}))?"
    r"(?: (?:(?P<octets>[0-9]{1,18}) octets|(?P<suspect>ended early)))?))"
)


def check_account(account: str) -> None:
    """Check that a text can name an account in a journal.

    Raises:
        ValueError: it is not one word of printable ASCII.
    """
    if not _is_word(account):
        raise ValueError(f"{account!r} cannot name an account in a journal: it must be one word of printable ASCII")


def format_line(account: str, event: Event) -> str:
    """Return the line of an event, without line end: `ACCOUNT UNIQUE-ID STATE DATE [key=value ...]`.

    The date is UTC in whole seconds, `-` if it is unknown. Keys are named as the attributes of `Event` and
    `MessageIdentity`, stand in the order copy, listed, octets, header, dated, why, dots, and are left out where the
    attribute has its default. Text is percent-encoded, so that each value is one word. So is a unique id with blanks or
    octets beyond ASCII, which some servers have; then `escaped=id` is the first key. A later version may add keys at
    the end.

    Args:
        account: as `check_account` accepts.
        event: the event.

    Raises:
        ValueError: the unique id is empty.
    """
    unique_id, copy = event.identity.unique_id, event.identity.copy
    date = _UNKNOWN if event.when is None else _date(event.when)
    if _is_word(unique_id):
        line = f"{account} {unique_id} {event.state.value} {date}"
    elif unique_id:
        line = f"{account} {_encode(unique_id)} {event.state.value} {date} escaped=id"
    else:
        raise ValueError("a message whose unique id is empty cannot be recorded")
    if copy:
        line += f" copy={copy}"
    if event.listed is not None:
        line += f" listed={event.listed}"
    if event.octets is not None:
        line += f" octets={event.octets}"
    if event.header is not None:
        line += f" header={_encode(event.header)}"
    if event.dated is not None:
        line += f" dated={event.dated}"
    if event.why:
        line += f" why={_encode(event.why)}"
    if event.dots:
        line += f" dots={event.dots}"
    return line


def parse_lines(account: str, data: bytes) -> tuple[list[Event], list[bytes]]:
    """Return the events of an account, oldest first, and all lines that tell nothing of it, without line ends.

    The latter are of other accounts, or cannot be read. A program that writes the file again has to keep them.

    Args:
        account: the account.
        data: whole lines.
    """
    events: list[Event] = []
    others: list[bytes] = []
    prefix = f"{account} "
    for line in data.decode("latin-1").removesuffix("\n").split("\n") if data else ():
        those = parse_line(account, line) if line.startswith(prefix) else None
        if those is None:
            others.append(line.encode("latin-1"))
        else:
            events += those
    return events, others


def is_line(line: bytes) -> bool:
    """Return whether a line can be read, whatever account it is of."""
    text = line.decode("latin-1")
    match = _LINE.fullmatch(text)
    return match["state"] in _STATES if match else _FIRST_FORMAT.fullmatch(text) is not None


def parse_line(account: str, line: str) -> Sequence[Event] | None:
    """Return the events that a line tells of an account; None: it is of another account, or it cannot be read.

    Lines of the first format are read, too. They have no date:

        ACCOUNT UNIQUE-ID [COPY]                 stored
        ACCOUNT UNIQUE-ID [COPY] 1236 octets     stored
        ACCOUNT UNIQUE-ID [COPY] ended early     suspect
        ACCOUNT UNIQUE-ID 2 copies               copies 1 and 2 were seen
        ACCOUNT 12 messages left                 nothing that is needed any more

    Args:
        account: the account.
        line: without line end.
    """
    if match := _LINE.fullmatch(line):
        its_account, unique_id, word, date, escaped, copy, listed, octets, header, dated, why, dots = match.groups()
        if its_account != account or word not in _STATES:
            return None
        try:
            event = Event(
                MessageIdentity(UniqueId(_decode(unique_id) if escaped else unique_id), int(copy or 0)),
                _STATES[word],
                _when(date),
                None if listed is None else int(listed),
                None if octets is None else int(octets),
                None if header is None else _decode(header),
                None if dated is None else int(dated),
                "" if why is None else _decode(why),
                int(dots or 0),
            )
        except ValueError:  # there is no such date, or it is not UTF-8
            return None
        return (event,)
    match = _FIRST_FORMAT.fullmatch(line)
    return None if match is None or match["account"] != account else _of_first_format(match)


def _of_first_format(line: re.Match[str]) -> Sequence[Event]:
    if line["unique_id"] is None:
        return ()
    unique_id = UniqueId(line["unique_id"])
    if line["copies"]:
        return [
            Event(MessageIdentity(unique_id, copy), MessageState.SEEN) for copy in range(1, int(line["copies"]) + 1)
        ]
    identity = MessageIdentity(unique_id, int(line["copy"] or 0))
    if line["suspect"]:
        return (Event(identity, MessageState.SUSPECT),)
    octets = None if line["octets"] is None else int(line["octets"])
    return (Event(identity, MessageState.STORED, octets=octets),)


@lru_cache(maxsize=64)  # messages are recorded in batches
def _date(when: float) -> str:
    try:
        moment = datetime.fromtimestamp(when // 1, UTC)
    except (OverflowError, ValueError, OSError):  # a clock that shows no year of four digits
        return _UNKNOWN
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


@lru_cache(maxsize=64)
def _when(date: str) -> float | None:
    if date == _UNKNOWN:
        return None
    return (datetime.fromisoformat(date) - _EPOCH).total_seconds()


def _encode(text: str) -> str:
    return quote(text, safe=_SAFE, errors="surrogatepass")  # octets that were not UTF-8 are surrogates


def _decode(text: str) -> str:
    return unquote(text, errors="surrogatepass") if "%" in text else text
