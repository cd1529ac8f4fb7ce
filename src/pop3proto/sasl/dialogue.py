"""What most mechanisms have in common: a server that goes from top to bottom, a client that says one thing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Final, TypeAlias

from .mechanism import Identity, MechanismError

__all__ = ["Dialogue", "DialogueServer", "OneMessageClient"]

Dialogue: TypeAlias = Generator[bytes, bytes, Identity]
"""Yields challenges, is sent responses, returns who has logged in."""


class DialogueServer(ABC):
    """The server's side of a mechanism, written as one generator. Once that has ended or raised, it is over."""

    def __init__(self) -> None:
        self._dialogue: Dialogue | None = None

    @abstractmethod
    def _begin(self, initial: bytes | None) -> Dialogue:
        """Hold the exchange, given the initial response."""

    def respond(self, response: bytes | None) -> bytes | Identity:
        """Return the next challenge, or who has logged in; see `ServerMechanism`."""
        try:
            if self._dialogue is None:
                self._dialogue = self._begin(response)
                return next(self._dialogue)
            if response is not None:
                return self._dialogue.send(response)
            self._dialogue.close()  # only the first response can be missing
            identity = None
        except StopIteration as end:
            identity = end.value
        if not isinstance(identity, Identity):  # a generator that has ended before returns None
            raise MechanismError("nothing more belongs into this exchange")
        return identity


class OneMessageClient:
    """The client's side of a mechanism that has one message: its initial response."""

    blocks: bool = False
    complete: bool = True
    failure: str = ""

    def __init__(self, message: str) -> None:
        self.initial_response: Final = message.encode()

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - none is due
        """Refuse: everything has been said.

        Raises:
            MechanismError: always.
        """
        raise MechanismError("the server asks for more than the mechanism has to say")
