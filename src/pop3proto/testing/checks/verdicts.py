"""How the script of a check tells what it has found."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["CheckFailed", "CheckSkipped", "ServerHungUp", "ServerSilent", "expect", "skip"]


class CheckFailed(AssertionError):
    """The server does not follow the rule. A script raises it, by `expect` for example."""


class ServerHungUp(CheckFailed):
    """The server has hung up where an answer was due."""


class CheckSkipped(Exception):
    """It cannot be found out here. A script raises it, by `skip` for example."""


class ServerSilent(CheckFailed):
    """The server has said nothing where an answer was due."""


def expect(condition: object, why: str) -> None:
    """Let a check fail unless something holds.

    Args:
        condition: what must be true.
        why: what the server did instead.

    Raises:
        CheckFailed: it is not true.
    """
    if not condition:
        raise CheckFailed(why)


def skip(why: str) -> NoReturn:
    """Skip a check: it cannot be found out here.

    Args:
        why: the reason.

    Raises:
        CheckSkipped: always.
    """
    raise CheckSkipped(why)
