"""What tests of destinations share: messages to store, a fetch that stores them, and system calls that fail."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pop3proto.core.dots import BodyDecoder, BodyEncoder
from pop3proto.core.results import UniqueId
from pop3proto.fetching.destination import Arrival, Destination, NotTaken, Writer
from pop3proto.fetching.events import MessageIdentity

CALLS = ("open", "write", "fsync", "rename", "unlink", "link", "ftruncate", "close", "listdir")
"""The system calls by which destinations change what is on the disk, and some more."""


def arrival(number: int, **options: Any) -> Arrival:
    return Arrival(MessageIdentity(UniqueId(f"id{number}")), f"{number:032x}", number, **options)


def normal(octets: bytes) -> bytes:
    """A message as a server would send it: each line end CRLF, the last one too."""
    encoder = BodyEncoder()
    return BodyDecoder().feed(encoder.feed(octets) + encoder.finish())


class Failed(Exception):
    """The destination did not take a message."""


def store(
    destination: Destination, messages: Iterable[tuple[Arrival, Sequence[bytes]]], *, batch: int = 100
) -> list[NotTaken | None]:
    """Store messages as a fetch does: in batches; what is not committed is aborted."""
    results: list[NotTaken | None] = []
    waiting: list[Writer] = []

    def commit() -> None:
        said = destination.commit(waiting)
        assert isinstance(said, Sequence)
        results.extend(said)
        waiting.clear()

    try:
        for each, chunks in messages:
            writer = destination.begin(each)
            waiting.append(writer)
            for chunk in chunks:
                writer.write(chunk)
            if len(waiting) == batch:
                commit()
        if waiting:
            commit()
    except BaseException:
        for writer in waiting:
            writer.abort()
        raise
    return results


class Killed(BaseException):
    """The process was killed."""


class Moment:
    """The system call, counted from 1, at which something happens to a process.

    Args:
        number: of the call.
        error: what the call fails with; None: the process is killed, so that no later call has an effect.
        afterwards: the call has its effect before that.
    """

    def __init__(self, number: int, error: int | None = None, *, afterwards: bool = False) -> None:
        self.number = number
        self.error = error
        self.afterwards = afterwards
        self.calls: list[str] = []

    @property
    def came(self) -> bool:
        return len(self.calls) >= self.number

    def watch(self, patch: pytest.MonkeyPatch, names: Iterable[str] = CALLS) -> None:
        for name in names:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "close":  # the system closes the files of a dead process
                function(*arguments, **options)
            if self.error is None and self.came:
                if name == "close":
                    return None
                raise Killed
            self.calls.append(name)
            if not self.came or (len(self.calls) > self.number):
                return None if name == "close" else function(*arguments, **options)
            if self.afterwards and name != "close":
                function(*arguments, **options)
            if self.error is None:
                raise Killed
            raise OSError(self.error, os.strerror(self.error))

        return call


def fsyncs(patch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each sync."""
    calls: list[int] = []
    fsync = os.fsync

    def counting(descriptor: int) -> None:
        calls.append(descriptor)
        fsync(descriptor)

    patch.setattr(os, "fsync", counting)
    return calls


def check_crashes(
    tmp_path: Path,
    make: Callable[[Path], Destination],
    read: Callable[[Path], list[bytes]],
    *,
    error: int | None,
    afterwards: bool,
    step: int,
    exact: bool = False,
) -> None:
    """Let a process die, or a call fail, at each moment: no message is lost, doubled, or found though it is not whole.

    Args:
        tmp_path: an empty folder.
        make: makes the destination in a folder.
        read: returns the messages in it, in normal form.
        error: what the call fails with; None: the process is killed.
        afterwards: the call has its effect before that.
        step: 2 leaves out every second call, and so on.
        exact: a message that is found has the octets that were received, not those of its normal form.
    """
    chunks = {
        arrival(number): [b"Subject: %d\r\n\r\n" % number, b"From you\r\n" * number, *[b"x\n\n\r\n"] * (number % 2)]
        for number in range(1, 4)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # nothing is ever lost but by the process
        _check_each_moment(tmp_path, make, read, chunks, error=error, afterwards=afterwards, step=step, exact=exact)


def _check_each_moment(
    tmp_path: Path,
    make: Callable[[Path], Destination],
    read: Callable[[Path], list[bytes]],
    chunks: Mapping[Arrival, Sequence[bytes]],
    *,
    error: int | None,
    afterwards: bool,
    step: int,
    exact: bool,
) -> None:
    octets = {each.mark: len(b"".join(some) if exact else normal(b"".join(some))) for each, some in chunks.items()}
    wholes = {each.mark: normal(b"".join(some)) for each, some in chunks.items()}
    number = 1 - step
    while True:
        number += step
        folder = tmp_path / str(number)
        folder.mkdir()
        moment = Moment(number, error, afterwards=afterwards)
        with pytest.MonkeyPatch.context() as patch:
            moment.watch(patch)
            try:
                store(make(folder), chunks.items(), batch=2)
            except (Killed, OSError):
                assert moment.came
        destination = make(folder)
        found = destination.recall(wholes)
        assert len(read(folder)) == len(found), f"at {number}, {moment.calls[-1]}"
        assert {wholes[mark] for mark in found} == {*read(folder)}
        assert all(each.octets == octets[mark] for mark, each in found.items())
        store(destination, [(each, some) for each, some in chunks.items() if each.mark not in found])
        assert sorted(read(folder)) == sorted(wholes.values()), f"at {number}, {moment.calls[-1]}"
        assert {*make(folder).recall(wholes)} == {*wholes}
        if not moment.came:
            break
    assert number > 20
