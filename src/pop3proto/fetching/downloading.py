"""Download what is new, with a client of any adapter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, overload

from pop3proto.sasl.credentials import Credentials

from .login import Login
from .policy import Policy
from .run import FetchRun
from .sessions import perform_run, plan_run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pop3proto._aio.client import AsyncClient
    from pop3proto.blocking import Client
    from pop3proto.core.errors import Pop3Error

    from .destination import Destination, Journal
    from .plan import Plan
    from .report import Report, Tell, Telling

__all__ = ["download_new", "plan_download"]

_KEEP_ALL: Final = Policy()


def _ignore(_: Telling) -> None:
    """Take a telling, and do nothing."""


@overload
def download_new(
    client: Client,
    journal: Journal,
    destination: Destination,
    policy: Policy = ...,
    *,
    login: Login | Credentials | None = ...,
    tell: Tell = ...,
    ending: Callable[[], bool] = ...,
    explain: Callable[[Pop3Error], str] = ...,
    clock: Callable[[], float] = ...,
) -> Report: ...
@overload
def download_new(
    client: AsyncClient,
    journal: Journal,
    destination: Destination,
    policy: Policy = ...,
    *,
    login: Login | Credentials | None = ...,
    tell: Tell = ...,
    ending: Callable[[], bool] = ...,
    explain: Callable[[Pop3Error], str] = ...,
    clock: Callable[[], float] = ...,
) -> Coroutine[Any, Any, Report]: ...
def download_new(  # noqa: PLR0913 - each has its default, and a name
    client: Client | AsyncClient,
    journal: Journal,
    destination: Destination,
    policy: Policy = _KEEP_ALL,
    *,
    login: Login | Credentials | None = None,
    tell: Tell = _ignore,
    ending: Callable[[], bool] = bool,
    explain: Callable[[Pop3Error], str] = str,
    clock: Callable[[], float] = time.time,
) -> Report | Coroutine[Any, Any, Report]:
    """Download what is new, store and record it, and delete on the server what the policy says.

    With a client of asyncio or trio, await it. It may be cancelled at any time, and the program may die at any time:
    what was stored and recorded is not fetched again, and the rest is fetched by the next run.

    At the end the session is over. Problems with the server, the network, a message, or the destination are in the
    report, and what was done before them as well.

    Args:
        client: connected, and logged in unless there is `login`.
        journal: records what is stored.
        destination: where the messages go.
        policy: what to fetch and to delete; by default all that is new is fetched, and nothing is deleted.
        login: to log in with. With it, a client that `connect` has made connects again when a session breaks, and for
            as many sessions as the policy takes.
        tell: hears of what happens meanwhile.
        ending: asked after each batch of messages: if it returns True, no other batch and no other session begins. What
            is stored is deleted on the server as the policy says.
        explain: has the words for an error that ends the run.
        clock: returns seconds since 1970.

    Returns:
        What was done.

    Raises:
        LocalProtocolError: the client is not logged in, and there is no `login`. Nothing was sent.
        Busy, Broken: the client cannot be used.
        Exception: what the function for the credentials of `login` raises. What was recorded is stored.
    """
    run = FetchRun(
        client.session, journal, destination, policy, tell, clock, single=login is None, ending=ending, explain=explain
    )
    return client.perform(perform_run(run, _login(login)))


@overload
def plan_download(
    client: Client,
    journal: Journal,
    destination: Destination,
    policy: Policy = ...,
    *,
    login: Login | Credentials | None = ...,
    clock: Callable[[], float] = ...,
) -> Plan: ...
@overload
def plan_download(
    client: AsyncClient,
    journal: Journal,
    destination: Destination,
    policy: Policy = ...,
    *,
    login: Login | Credentials | None = ...,
    clock: Callable[[], float] = ...,
) -> Coroutine[Any, Any, Plan]: ...
def plan_download(  # noqa: PLR0913 - each has its default, and a name
    client: Client | AsyncClient,
    journal: Journal,
    destination: Destination,
    policy: Policy = _KEEP_ALL,
    *,
    login: Login | Credentials | None = None,
    clock: Callable[[], float] = time.time,
) -> Plan | Coroutine[Any, Any, Plan]:
    """Return what `download_new` would do now, message by message. Nothing is fetched, stored, recorded or deleted.

    Args:
        client: as in `download_new`. It is logged in afterwards, and says no QUIT.
        journal: as in `download_new`; it is only read.
        destination: as in `download_new`; it is only asked what it has.
        policy: as in `download_new`.
        login: as in `download_new`.
        clock: as in `download_new`.

    Raises:
        LoginFailed, CommandFailed: the server refuses the login, or to list the maildrop.
        OSError: the journal or the destination cannot be read.
        LocalProtocolError, RemoteProtocolError, ConnectionLost, TimedOut: as of the client.
    """
    run = FetchRun(client.session, journal, destination, policy, _ignore, clock, records=False)
    return client.perform(plan_run(run, _login(login)))


def _login(login: Login | Credentials | None) -> Login | None:
    return Login(credentials=login) if isinstance(login, Credentials) else login
