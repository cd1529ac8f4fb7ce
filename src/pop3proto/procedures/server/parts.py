"""Checks of what a server is made from: a store and an authenticator with the right methods."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Final

from pop3proto.sasl.authenticator import CustomAuthenticator

__all__ = ["check_authenticator", "check_store", "coroutine_methods"]

_STORE: Final = {"open": ("user", "session"), "capabilities": ("user",)}

# Those by which a client can log in, and the one that adds to them.
_LOGINS: Final = {
    "check_password": ("user", "password", "session"),
    "secret": ("user", "session"),
    "scram_keys": ("user", "algorithm", "session"),
    "check_token": ("user", "token", "session"),
    "check_certificate": ("certificate", "authzid", "session"),
    "admit": ("trace", "session"),
}
_AUTHENTICATOR: Final = {**_LOGINS, "may_act_as": ("authcid", "authzid", "session")}

_NEAR: Final = 0.75  # how much a name is like another that it may be meant for


def check_store(store: object) -> None:
    """Refuse at once what would fail at the first client.

    Raises:
        TypeError: a method is missing, or takes other arguments.
    """
    what = f"the store, a {type(store).__name__},"
    _check_blocks(store, what)
    for name, parameters in _STORE.items():
        _check_method(store, what, name, parameters)


def check_authenticator(authenticator: object) -> None:
    """Refuse at once what would fail at the first login, or would let no client log in.

    Raises:
        TypeError: no method by which a client can log in; or a method's name is misspelt, or it takes other arguments.
    """
    what = f"the authenticator, a {type(authenticator).__name__},"
    _check_blocks(authenticator, what)
    for name, parameters in _AUTHENTICATOR.items():
        if hasattr(authenticator, name):
            _check_method(authenticator, what, name, parameters)
        elif meant := _misspelt(authenticator, name, parameters):
            raise TypeError(f"{what} has no {name}; is {meant} meant to be it?")
    if hasattr(authenticator, "scram_keys") and not hasattr(authenticator, "scram_algorithms"):
        raise TypeError(f"{what} has scram_keys and no scram_algorithms: the hash functions that it has keys for")
    if not isinstance(authenticator, CustomAuthenticator) and not any(hasattr(authenticator, name) for name in _LOGINS):
        raise TypeError(f"{what} has none of the methods by which a client can log in: {', '.join(_LOGINS)}")


def coroutine_methods(store: object, authenticator: object) -> tuple[str, ...]:
    """Return which methods are coroutine methods, as text. Those of maildrops are not known before one is opened."""
    parts = (("the store", store, _STORE), ("the authenticator", authenticator, _AUTHENTICATOR))
    return tuple(
        f"{name} of {what}"
        for what, value, methods in parts
        for name in methods
        if inspect.iscoroutinefunction(getattr(value, name, None))
    )


def _check_blocks(value: object, what: str) -> None:
    if not hasattr(value, "blocks"):
        raise TypeError(f"{what} has no attribute blocks: True if its plain methods may wait, else False")
    if not isinstance(blocks := getattr(value, "blocks"), bool):  # noqa: B009 - nothing is known of the value
        raise TypeError(f"blocks of {what.removesuffix(',')} must be True or False, not {type(blocks).__name__}")


def _check_method(value: object, what: str, name: str, parameters: tuple[str, ...]) -> None:
    method = getattr(value, name, None)
    if method is None:
        meant = _misspelt(value, name, parameters)
        raise TypeError(f"{what} has no {name}" + (f"; is {meant} meant to be it?" if meant else ""))
    if not callable(method):
        raise TypeError(f"{name} of {what.removesuffix(',')} is not a method")
    if not _takes(method, parameters):
        raise TypeError(
            f"{name} of {what.removesuffix(',')} must take {len(parameters)} arguments: {', '.join(parameters)}"
        )


def _takes(method: object, parameters: tuple[str, ...]) -> bool:
    if not callable(method):
        return False
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # some built-in functions have none
        return True
    try:
        signature.bind(*parameters)
    except TypeError:
        return False
    return True


def _misspelt(value: object, name: str, parameters: tuple[str, ...]) -> str | None:
    """Return the method whose name is much like this one and that takes the same arguments."""
    known = {*_STORE, *_AUTHENTICATOR}
    names = [each for each in dir(type(value)) if not each.startswith("_") and each not in known]
    for near in get_close_matches(name, names, cutoff=_NEAR):
        if callable(getattr(type(value), near)) and _takes(getattr(value, near), parameters):
            return near
    return None
