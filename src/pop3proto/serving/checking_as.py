"""Checking what a configuration names as the user that the server runs as."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from .checking import list_faults, problems, tls_problem
from .privileges import drop_privileges, find_target

if TYPE_CHECKING:
    from .config.main import ServeConfig

__all__ = ["problems_of_server"]


def problems_of_server(config: ServeConfig) -> tuple[list[str], list[str]]:
    """Return what is wrong with what a configuration names, and what will be at a reload.

    Root opens ports and certificates, and then the server is another user: a child process asks as that user. Call it
    while there is one thread.
    """
    tls = tls_problem(config)
    found = [*list_faults(config)] if tls is None else [tls]
    user = config.run.user
    if user is None:
        return [*found, *problems(config)], []
    try:
        find_target(user, config.run.group)
    except ValueError as error:
        return [*found, *problems(config), f"run: {error}"], []
    if os.geteuid() != 0:
        return [*found, *problems(config)], []
    others, later, why = _asked(config, user)
    if why is not None:
        return [*found, *problems(config), f"run: {why}"], []
    notes = [] if later is None or tls is not None else [f"{user} cannot read it, so that no reload will work: {later}"]
    return found + others, notes


def _asked(config: ServeConfig, user: str) -> tuple[list[str], str | None, str | None]:
    """Return what a child finds: its problems, that with TLS, and why it could not be that user."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with suppress(BaseException), os.fdopen(writing, "w") as answer:
            found: list[str] = []
            tls = why = None
            try:
                drop_privileges(user, config.run.group)
            except (ValueError, OSError, RuntimeError) as error:
                why = str(error)
            else:
                try:
                    found, tls = [*problems(config)], tls_problem(config)
                except Exception as error:  # noqa: BLE001 - it must be told
                    found = [f"the check has failed: {type(error).__name__}: {error}"]
            json.dump([found, tls, why], answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    found, tls, why = cast("tuple[list[str], str | None, str | None]", json.loads(text))
    return [f"as {user}: {line}" if "ermission denied" in line else line for line in found], tls, why
