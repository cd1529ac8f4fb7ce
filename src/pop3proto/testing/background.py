"""A server of any adapter, in threads of this process, until a block ends."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator
    from os import PathLike

    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.server.service import Service

__all__ = ["Adapter", "serving"]

Adapter: TypeAlias = Literal["blocking", "asyncio", "trio"]

_PATIENCE: Final = 30  # seconds for the end of a server

_Begun: TypeAlias = "Future[tuple[tuple[tuple[str, int], ...], Callable[[], object]]]"


class _Options(TypedDict):
    host: str
    tls: TlsMode
    certificate: str | PathLike[str] | None
    context: ssl.SSLContext | None


@contextmanager
def serving(  # noqa: PLR0913 - they are those of `serve`
    adapter: Adapter,
    service: Service,
    *,
    host: str,
    tls: TlsMode,
    certificate: str | PathLike[str] | None,
    context: ssl.SSLContext | None,
) -> Generator[tuple[tuple[str, int], ...]]:
    """Serve until the block ends.

    Args:
        adapter: which one serves: "blocking", "asyncio" or "trio"; the last needs trio.
        service: what to serve.
        host: as in the adapter's `serve`, like the others.
        tls: where TLS begins.
        certificate: for TLS.
        context: for TLS.

    Returns:
        Addresses and ports where it listens.

    Raises:
        ValueError: there is no such adapter.
        TimeoutError: it does not end, as its store or authenticator is busy.
        Exception: as the adapter's `serve`; or what has ended the event loop before its time.
    """
    options: _Options = {"host": host, "tls": tls, "certificate": certificate, "context": context}
    if adapter == "blocking":
        from pop3proto.blocking import serve  # noqa: PLC0415 - each test needs one of them

        with serve(service, **options) as server:
            yield server.addresses
        return
    runners = {"asyncio": _run_asyncio, "trio": _run_trio}
    if adapter not in runners:
        raise ValueError(f"no adapter {adapter!r}; there are blocking, {', '.join(runners)}")
    begun: _Begun = Future()
    failures: list[BaseException] = []
    run = partial(_run, runners[adapter], begun, failures, service, options)
    thread = threading.Thread(target=run, name="pop3proto-test-server", daemon=True)
    thread.start()
    try:
        addresses, end = begun.result()
    except BaseException:
        begun.add_done_callback(_end_unwanted)  # if this thread was interrupted, it may still begin
        raise
    try:
        yield addresses
    finally:
        with suppress(RuntimeError):  # its event loop has ended already
            end()
        thread.join(_PATIENCE)
    if thread.is_alive():
        raise TimeoutError(
            f"the test server has not ended after {_PATIENCE} seconds: its store, perhaps, is still busy"
        )
    if failures:
        raise failures[0]


def _end_unwanted(begun: _Begun) -> None:
    if begun.exception() is None:
        _, end = begun.result()
        end()


def _run(
    run: Callable[[_Begun, Service, _Options], None],
    begun: _Begun,
    failures: list[BaseException],
    service: Service,
    options: _Options,
) -> None:
    """Run an event loop. What ends it before its time is raised where the server was asked for, or where it ends."""
    try:
        run(begun, service, options)
    except BaseException as error:  # noqa: BLE001 - another thread raises it
        if begun.done():
            failures.append(error)
        else:
            begun.set_exception(error)


def _run_asyncio(begun: _Begun, service: Service, options: _Options) -> None:
    from pop3proto.asyncio import serve  # noqa: PLC0415

    async def run() -> None:
        ended = asyncio.Event()
        async with serve(service, **options) as server:
            begun.set_result((server.addresses, partial(asyncio.get_running_loop().call_soon_threadsafe, ended.set)))
            await ended.wait()

    asyncio.run(run())


def _run_trio(begun: _Begun, service: Service, options: _Options) -> None:
    import trio  # noqa: PLC0415

    from pop3proto.trio import serve  # noqa: PLC0415

    async def run() -> None:
        ended = trio.Event()
        token = trio.lowlevel.current_trio_token()
        async with serve(service, **options) as server:
            begun.set_result((server.addresses, partial(token.run_sync_soon, ended.set)))
            await ended.wait()

    trio.run(run)
