"""What a target is, and how it reads an input."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable
from contextlib import AbstractContextManager, contextmanager

from attrs import frozen


class Violation(Exception):
    """Something does not hold that must hold for every input."""


def check(holds: object, what: str) -> None:
    """Raise a `Violation` if something does not hold."""
    if not holds:
        raise Violation(what)


@contextmanager
def patched(owner: object, name: str, value: object) -> Generator[None]:
    """Put a fault in the place of something for a while."""
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@frozen
class Target:
    """One subject to fuzz.

    Args:
        name: its name on the command line.
        about: what it is about, in a line.
        run: plays one input, and raises if something does not hold. What it returns tells inputs apart that took
            different ways: an input that took a new way joins the corpus.
        seeds: the inputs to begin with.
        plant: puts a fault into the library for a while, which the target must find.
        proof: an input that shows this fault, and nothing else.
    """

    name: str
    about: str
    run: Callable[[bytes], Hashable]
    seeds: Callable[[], Iterable[bytes]]
    plant: Callable[[], AbstractContextManager[None]]
    proof: bytes


class Choices:
    """Small numbers from the end of an input; the rest of it is what a peer sends.

    So the rest stays readable, and a mutation of it leaves the choices alone. Behind the last, each is 0.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def number(self, bound: int) -> int:
        """Take a number from 0 up to, and without, the bound."""
        if not self._octets:
            return 0
        octet = self._octets[-1]
        self._octets = self._octets[:-1]
        return octet % bound

    def numbers(self, count: int, bound: int) -> list[int]:
        return [self.number(bound) for _ in range(count)]

    def rest(self) -> bytes:
        return self._octets


def seed(rest: bytes, *choices: int) -> bytes:
    """Return the input that makes these choices and has this rest."""
    return rest + bytes(reversed(choices))
