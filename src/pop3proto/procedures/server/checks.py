"""Checks of what a server is made from: stores, maildrops and authenticators with the right methods."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted
from pop3proto.sasl.answers import is_coroutine_method
from pop3proto.sasl.authenticator import (
    AnonymousHost,
    CertificateVerifier,
    CustomAuthenticator,
    PasswordVerifier,
    ScramKeySource,
    SecretSource,
    TokenVerifier,
    implements,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["check_authenticator", "check_maildrop", "check_plain", "check_store", "coroutine_methods", "takes"]

_STORE: Final = {"open": ("user", "session"), "capabilities": ("user",)}
_MAILDROP: Final = ("messages", "open", "correct", "commit", "close")
_MORE_OF_A_MAILDROP: Final = ("top", "open_many")

# Those by which a client can log in, and those that add to them.
_LOGINS: Final = {
    "check_password": ("user", "password", "session"),
    "secret": ("user", "session"),
    "scram_keys": ("user", "algorithm", "session"),
    "check_token": ("user", "token", "session"),
    "check_certificate": ("certificate", "authzid", "session"),
    "admit": ("trace", "session"),
}
_AUTHENTICATOR: Final = {**_LOGINS, "may_act_as": ("authcid", "authzid", "session"), "session_ended": ("session",)}
_KINDS: Final = (PasswordVerifier, SecretSource, ScramKeySource, TokenVerifier, CertificateVerifier, AnonymousHost)

_NEAR: Final = 0.75  # how much a name is like another that it may be meant for


def check_store(store: object) -> None:
    """Refuse at once what would fail at the first client.

    Raises:
        TypeError: a method is missing, or takes other arguments; or it is a class.
    """
    what = _described("the store", store)
    _check_blocks(store, what)
    for name, parameters in _STORE.items():
        _check_method(store, what, name, parameters)


def check_authenticator(authenticator: object) -> None:
    """Refuse at once what would fail at the first login, or would let no client log in.

    Raises:
        TypeError: no method by which a client can log in; or a method's name is misspelt, or it takes other arguments;
            or it is a class.
    """
    what = _described("the authenticator", authenticator)
    _check_blocks(authenticator, what)
    for name, parameters in _AUTHENTICATOR.items():
        if getattr(authenticator, name, None) is not None:
            _check_method(authenticator, what, name, parameters)
        elif meant := _misspelt(authenticator, name, parameters):
            raise TypeError(f"{what} has no {name}; is {meant} meant to be it?")
    if hasattr(authenticator, "scram_keys") and not hasattr(authenticator, "scram_algorithms"):
        raise TypeError(f"{what} has scram_keys and no scram_algorithms: the hash functions that it has keys for")
    if not (isinstance(authenticator, CustomAuthenticator) or any(implements(authenticator, kind) for kind in _KINDS)):
        raise TypeError(f"{what} has none of the methods by which a client can log in: {', '.join(_LOGINS)}")


def check_maildrop(maildrop: object, *, awaits: bool) -> None:
    """Refuse at once what would fail at a later command.

    Args:
        maildrop: what `open` of a store has returned.
        awaits: coroutine methods can be awaited.

    Raises:
        TypeError: something is missing; or there are coroutine methods, and they cannot be awaited.
    """
    what = _described("the maildrop", maildrop)
    for name in _MAILDROP:
        if not hasattr(maildrop, name):
            raise TypeError(f"{what} has no {name}; open of the store must return a maildrop")
    if not awaits:
        check_plain(_coroutine_methods(what, maildrop, (*_MAILDROP, *_MORE_OF_A_MAILDROP)))


def coroutine_methods(store: object, authenticator: object) -> tuple[str, ...]:
    """Return which methods are coroutine methods, as text. Those of maildrops are not known before one is opened."""
    return (
        *_coroutine_methods("the store", store, _STORE),
        *_coroutine_methods("the authenticator", authenticator, _AUTHENTICATOR),
    )


def check_plain(methods: Sequence[str]) -> None:
    """Refuse coroutine methods where they cannot be awaited.

    Args:
        methods: which there are, as text.

    Raises:
        TypeError: there is one.
    """
    if methods:
        raise TypeError(
            f"the blocking server cannot await coroutine methods ({', '.join(methods)}): "
            "make them plain methods, or use serve of pop3proto.asyncio or pop3proto.trio"
        )


def _coroutine_methods(what: str, value: object, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{name} of {what}" for name in names if is_coroutine_method(getattr(value, name, None)))


def _described(what: str, value: object) -> str:
    """Return what something is, with its type.

    Raises:
        TypeError: it is a class.
    """
    if isinstance(value, type):
        raise TypeError(f"{what} is a class, {value.__name__}; pass an instance: {value.__name__}(...)")
    return f"{what} (of type {type(value).__name__})"


def _check_blocks(value: object, what: str) -> None:
    if not hasattr(value, "blocks"):
        raise TypeError(f"{what} has no attribute blocks: True if its plain methods may wait, else False")
    if not isinstance(blocks := getattr(value, "blocks"), bool):  # noqa: B009 - nothing is known of the value
        raise TypeError(f"blocks of {what} must be True or False, not of type {type(blocks).__name__}")


def _check_method(value: object, what: str, name: str, parameters: tuple[str, ...]) -> None:
    method = getattr(value, name, None)
    if method is None:
        meant = _misspelt(value, name, parameters)
        raise TypeError(f"{what} has no {name}" + (f"; is {meant} meant to be it?" if meant else ""))
    if not callable(method):
        raise TypeError(f"{name} of {what} is not a method")
    if not takes(method, parameters):
        arguments = counted(len(parameters), "argument")
        raise TypeError(f"{name} of {what} must take {arguments}: {', '.join(parameters)}")


def takes(method: object, parameters: tuple[str, ...]) -> bool:
    """Return whether a method can be called with so many arguments, by their places."""
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
    from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and few stores have such a method

    known = {*_STORE, *_AUTHENTICATOR}
    names = [each for each in dir(type(value)) if not each.startswith("_") and each not in known]
    for near in get_close_matches(name, names, cutoff=_NEAR):
        if callable(getattr(type(value), near)) and takes(getattr(value, near), parameters):
            return near
    return None
