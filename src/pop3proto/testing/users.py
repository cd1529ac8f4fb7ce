"""Who may log in to a test server, and what each finds there."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.maildrop import Maildrop, Message, wire_size_of
from pop3proto.sasl.authenticator import TokenVerifier
from pop3proto.sasl.saslprep import prepare

from .options import PASSWORD

if TYPE_CHECKING:
    from pop3proto.core.results import UniqueId
    from pop3proto.procedures.maildrop import MaildropStore, MessageStream
    from pop3proto.sasl.authenticator import Authenticator
    from pop3proto.sasl.channel import SessionInfo
    from pop3proto.sasl.scram.keys import ScramKeys

    from .options import ServiceOptions
    from .persona import Persona

__all__ = ["with_users"]

_OAUTH: Final = {"XOAUTH2", "OAUTHBEARER"}
_RECENT: Final = "recent:"


def with_users(
    maildrops: Mapping[str, Iterable[bytes]] | None,
    passwords: Mapping[str, str] | None,
    tokens: Mapping[str, str] | None,
    persona: Persona,
    options: ServiceOptions,
) -> ServiceOptions:
    """Return options that have a store and an authenticator."""
    options = persona.options | options
    if "store" not in options:
        maildrops = _checked({} if maildrops is None else maildrops)
        options["store"] = (_RecentStore if persona.has_recent else MemoryStore)(maildrops)
    elif maildrops is not None:
        raise ValueError("give maildrops or a store, not both")
    elif not passwords and tokens is None and "authenticator" not in options:
        raise ValueError("with a store of your own, say who may log in: passwords=, tokens= or authenticator=")
    if "authenticator" not in options:
        users = dict.fromkeys(maildrops or {} if persona.has_passwords else (), PASSWORD) | dict(passwords or {})
        options["authenticator"] = _authenticator(users, tokens, persona, options["store"])
    elif passwords or tokens is not None:
        raise ValueError("give passwords and tokens or an authenticator, not both")
    return options


def _authenticator(
    passwords: Mapping[str, str], tokens: Mapping[str, str] | None, persona: Persona, store: MaildropStore
) -> Authenticator:
    known: Mapping[str, str] = {} if tokens is None else tokens
    if isinstance(store, _RecentStore):
        return _RecentUsers(passwords, known)
    offers_tokens = persona.capabilities is not None and _OAUTH & {*persona.capabilities.sasl}
    return _Users(passwords, known) if offers_tokens or tokens is not None else MemoryAuthenticator(passwords)


def _checked(maildrops: object) -> Mapping[str, Sequence[bytes]]:
    """Return the messages of each user, and refuse what a type checker would have refused."""
    if not isinstance(maildrops, Mapping):
        raise TypeError(f"maildrops takes messages by user, such as {{'ann': [b'...']}}, not {maildrops!r:.50}")
    checked: dict[str, Sequence[bytes]] = {}
    for user, given in cast("Mapping[str, object]", maildrops).items():
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise TypeError(f"the maildrop of {user!r} takes a list of messages, not {given!r:.50}")
        checked[user] = messages = list(cast("Iterable[bytes]", given))
        for message in messages:
            if not isinstance(message, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"a message of {user!r} must be bytes, not {message!r:.50}")
    return checked


class _Users(MemoryAuthenticator, TokenVerifier):
    """Passwords, and tokens that are looked up in a mapping when they are used: it may change meanwhile.

    Args:
        passwords: by user name.
        tokens: user names by access token.
    """

    def __init__(self, passwords: Mapping[str, str], tokens: Mapping[str, str]) -> None:
        super().__init__(passwords)
        self._tokens: Final = tokens

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        owner = self._tokens.get(token)
        if owner is None:
            return None
        owner = prepare(owner, stored=True)
        return owner if user in {"", owner} else None


class _RecentUsers(_Users):
    """As `_Users`; who may log in as "ann" may do so as "recent:ann", too."""

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        return super().check_password(user.removeprefix(_RECENT), password, session)

    @override
    def secret(self, user: str, session: SessionInfo, /) -> str | None:
        return super().secret(user.removeprefix(_RECENT), session)

    @override
    def scram_keys(self, user: str, algorithm: str, session: SessionInfo, /) -> ScramKeys:
        return super().scram_keys(user.removeprefix(_RECENT), algorithm, session)

    @override
    def check_token(self, user: str, token: str, session: SessionInfo, /) -> str | None:
        name = user.removeprefix(_RECENT)
        owner = super().check_token(name, token, session)
        return owner if owner is None or name == user else user


class _RecentStore(MemoryStore):
    """The maildrop "recent:ann" has all messages that ann ever got, also those that are gone from hers. It stays so."""

    def __init__(self, maildrops: Mapping[str, Iterable[bytes]]) -> None:
        self._recent: Final[dict[str, dict[Message, bytes]]] = {}
        super().__init__(maildrops)

    @override
    def deliver(self, user: str, message: bytes) -> UniqueId:
        unique_id = super().deliver(user, message)
        self._recent.setdefault(_RECENT + user, {})[Message(wire_size_of(message), unique_id)] = message
        return unique_id

    @override
    def open(self, user: str, session: SessionInfo) -> Maildrop:
        return _Recent(self._recent.get(user, {})) if user.startswith(_RECENT) else super().open(user, session)


class _Recent(Maildrop):
    def __init__(self, contents: Mapping[Message, bytes]) -> None:
        self._messages: Final = tuple(contents)
        self._octets: Final = tuple(contents.values())

    @property
    @override
    def messages(self) -> tuple[Message, ...]:
        return self._messages

    @override
    def open(self, number: int) -> MessageStream:
        return io.BytesIO(self._octets[number - 1])

    @override
    def correct(self, number: int, octets: int) -> None:
        pass

    @override
    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        pass

    @override
    def close(self) -> None:
        pass
