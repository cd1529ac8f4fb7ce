"""A destination in memory, and runs with a client of each adapter."""

from collections.abc import Collection, Mapping, Sequence

import attrs

from pop3proto.fetching.destination import Arrival, Found, NotTaken
from pop3proto.fetching.events import Event
from pop3proto.fetching.header import header_digest


@attrs.define
class MemoryWriter:
    arrival: Arrival
    octets: bytearray = attrs.field(factory=bytearray)
    aborted: bool = False

    def write(self, octets: bytes) -> None:
        self.octets += octets

    def abort(self) -> None:
        self.aborted = True


@attrs.define
class MemoryDestination:
    """Keeps what it is given. `refuse` says which messages it does not take."""

    recalls: bool = True
    name: str = "memory"
    batch: int = 100
    mail: list[tuple[Arrival, bytes]] = attrs.field(factory=list)
    begun: list[MemoryWriter] = attrs.field(factory=list)
    batches: list[int] = attrs.field(factory=list)
    refuse: Mapping[bytes, NotTaken | OSError] = attrs.field(factory=dict)

    def begin(self, arrival: Arrival) -> MemoryWriter:
        self.begun.append(writer := MemoryWriter(arrival))
        return writer

    def commit(self, writers: Sequence[MemoryWriter]) -> list[NotTaken | None]:
        self.batches.append(len(writers))
        outcomes: list[NotTaken | None] = []
        for writer in writers:
            octets = bytes(writer.octets)
            outcome = next((why for text, why in self.refuse.items() if text in octets), None)
            if isinstance(outcome, OSError):
                raise outcome
            if outcome is None:
                self.mail.append((writer.arrival, octets))
            outcomes.append(outcome)
        return outcomes

    def recall(self, marks: Collection[str], *, headers: bool = True) -> dict[str, Found]:
        return {
            arrival.mark: Found(len(octets), header_digest(octets), header_only=arrival.header_only)
            for arrival, octets in self.mail
            if arrival.mark in marks
        }

    @property
    def messages(self) -> list[bytes]:
        return [octets for _, octets in self.mail]


@attrs.define
class ListJournal:
    """Keeps events in a list."""

    account: str = "ann@example.org:995"
    events: list[Event] = attrs.field(factory=list)
    appends: int = 0

    def read(self) -> list[Event]:
        return list(self.events)

    def append(self, events: Sequence[Event]) -> None:
        self.appends += 1
        self.events += events
