"""`pop3proto serve --config`: a server as its configuration file says."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import ssl
from typing import TYPE_CHECKING, Final

from pop3proto._config.errors import ConfigError, MissingExtra
from pop3proto.core.text import counted, visible
from pop3proto.fetching.wording import cannot
from pop3proto.serving.checking import describe, list_warnings, notes
from pop3proto.serving.checking_as import problems_of_server
from pop3proto.serving.config.reading import read_config
from pop3proto.serving.running import CannotServe, SiteServer

from .exit_statuses import CONFIGURATION
from .failures import FAILURE, USAGE, Failure, warn
from .process import disable_core_dumps, raise_descriptor_limit
from .quiet import no_log

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from pop3proto.serving.config.main import ServeConfig

__all__ = ["check_config", "run_config", "serve_config"]

_MISSING: Final = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EINVAL)
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_config(arguments: Namespace) -> int:
    """Run `serve --config`, with which other options do not go."""
    if arguments.config is None:
        raise Failure("--check-config needs --config FILE", USAGE)
    if arguments.maildir is not None or arguments.user or arguments.users or arguments.checkpassword:
        raise Failure("--config says who is served: leave out MAILDIR, --user, --users and --checkpassword", USAGE)
    defaults = {**arguments.defaults(), "config": arguments.config, "check_config": arguments.check_config}
    asked = (name for name in defaults if name not in {"usage_error", "defaults"})
    if more := [name for name in asked if getattr(arguments, name) != defaults[name]]:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in more)
        raise Failure(f"--config says how to serve, and has keys for all of that: leave out {options}", USAGE)
    return check_config(arguments.config) if arguments.check_config else serve_config(arguments.config)


def check_config(path: Path) -> int:
    """Print what a configuration file comes to, and what is wrong with it; return the exit status."""
    config = _read(path)
    with no_log():  # they are problems, and told as such
        found, later = problems_of_server(config)
    for line in describe(config):
        print(visible(line))
    for note in (*notes(config), *later, *list_warnings(config)):
        warn(f"note: {note}")
    for problem in found:
        warn(f"pop3proto serve: {path}: {problem}")
    if found:
        raise Failure(f"{counted(len(found), 'problem')} with what the configuration names", CONFIGURATION)
    return 0


def serve_config(path: Path) -> int:
    """Serve what a configuration file says, until a signal ends it; return the exit status."""
    config = _read(path)
    if not config.run.core_dumps:
        disable_core_dumps()
    raise_descriptor_limit(config.limits.sessions)
    if config.run.user is None and os.geteuid() == 0:
        warn("note: the server runs as root; name a user: run = { user = ... }")
    for note in notes(config):
        warn(f"note: {note}")
    asyncio.run(_serve(path, config))
    return 0


def _read(path: Path) -> ServeConfig:
    try:
        return read_config(path)
    except ConfigError as error:
        for line in error.errors:
            warn(f"pop3proto serve: {line}")
        raise Failure(f"{counted(len(error.errors), 'error')} in the configuration", CONFIGURATION) from error
    except MissingExtra as error:
        raise Failure(str(error), CONFIGURATION) from error
    except OSError as error:
        raise Failure(cannot("read the configuration file", path, error), CONFIGURATION) from error


def _status_of(error: BaseException | None) -> int:
    """Return 78 if the configuration is to blame, so that a new start does not help: not for a port that is taken."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return CONFIGURATION if error.errno in _MISSING else FAILURE
    return CONFIGURATION if isinstance(error, OSError | ValueError) else FAILURE


async def _serve(path: Path, config: ServeConfig) -> None:
    stop, again = asyncio.Event(), asyncio.Event()
    loop, server = asyncio.get_running_loop(), SiteServer(path, config)
    wanted = asyncio.Event()

    def end() -> None:
        (again if stop.is_set() else stop).set()

    async def reload_when_wanted() -> None:
        while True:
            await wanted.wait()
            wanted.clear()  # many signals during one reload make one more
            if await server.reload():
                raise_descriptor_limit(server.config.limits.sessions)

    for each in _STOP_SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:  # a shell sets that for background jobs
            loop.add_signal_handler(each, end)
    loop.add_signal_handler(signal.SIGHUP, wanted.set)
    try:
        await server.__aenter__()
    except CannotServe as error:
        raise Failure(str(error), _status_of(error.__cause__)) from error
    places = ", ".join(f"{host} port {port}" for host, port in server.addresses)
    figures = "" if server.metrics_address is None else "; metrics on {} port {}".format(*server.metrics_address)
    print(visible(f"serving {path} on {places}{figures}"), flush=True)
    reloading = asyncio.create_task(reload_when_wanted(), name="pop3proto-reload")
    await stop.wait()
    reloading.cancel()
    await asyncio.wait({reloading})
    closing = asyncio.create_task(server.close())
    second = asyncio.create_task(again.wait())
    await asyncio.wait({closing, second}, return_when=asyncio.FIRST_COMPLETED)
    if not closing.done():
        await server.abort()
    second.cancel()
    await closing
