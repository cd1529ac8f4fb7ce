"""An account: where it is, how to log in, where its mail goes, and what is deleted on the server.

The fields are the keys of the configuration file; what each means is in its metadata.
"""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path  # noqa: TC003 - cattrs reads the annotations
from typing import TYPE_CHECKING, Literal

import attrs
from typing_extensions import override

from pop3proto._config.keys import about
from pop3proto._config.units import Octets, Seconds
from pop3proto.fetching.policy import Policy

from .access import Access
from .errors import AccountError, missing_extra
from .targets import Target, ToFiles, ToMaildir

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Account", "MaxSize", "SessionBounds", "state_journal"]


@attrs.frozen
class MaxSize:
    """What is done with large messages."""

    octets: Octets = attrs.field(metadata=about("the size above which a message is large, as LIST announces it"))
    then: Literal["skip", "headers"] = attrs.field(
        default="skip", metadata=about("what is fetched of a large message: nothing, or its header")
    )


@attrs.frozen
class SessionBounds:
    """When a session ends with QUIT, and a new one goes on."""

    messages: int = attrs.field(default=Policy().session_messages, metadata=about("after so many messages"))
    octets: Octets = attrs.field(default=Octets(Policy().session_octets), metadata=about("after so many octets"))
    seconds: Seconds = attrs.field(default=Seconds(Policy().session_seconds), metadata=about("after so much time"))

    def __attrs_post_init__(self) -> None:
        if min(self.messages, self.octets, self.seconds) <= 0:
            raise AccountError("the bounds of a session are above 0")


def _wait(account: Account) -> Seconds:
    return Seconds(600 if account.facts is not None and account.facts.partial_from is not None else Policy().patience)


@attrs.frozen(kw_only=True)
class Account(Access):
    """An account on a server.

    Raises:
        AccountError: what is given contradicts itself, or is not supported.
    """

    # Mail.
    deliver: tuple[Target, ...] = attrs.field(metadata=about("where mail is stored: one of the tables below"))
    journal: Path | None = attrs.field(
        default=None,
        metadata=about(
            "the file that records what was fetched; without it a file in the Maildir or folder, beside the mbox file, "
            "or else in the user's folder for state"
        ),
    )

    # What is fetched and deleted.
    delete: bool = attrs.field(default=False, metadata=about("delete on the server what is stored"))
    delete_after: Seconds | None = attrs.field(
        default=None, metadata=about("delete on the server what was stored so long ago: `14d`")
    )
    when_gone: bool = attrs.field(
        default=False, metadata=about("delete on the server what was stored and is no longer in the destination")
    )
    keep: bool = attrs.field(
        default=attrs.Factory(
            lambda self: not (self.delete or self.delete_after is not None or self.when_gone), takes_self=True
        ),
        metadata=about(
            "mail stays on the server, whatever `[defaults]` says; it does so anyway without one of the three above"
        ),
    )
    max_size: MaxSize | None = attrs.field(
        default=None, metadata=about("the largest message to fetch: a size, or a table")
    )
    headers_only: bool = attrs.field(default=False, metadata=about("fetch the headers of new messages alone"))
    newest: int | None = attrs.field(default=None, metadata=about("fetch only the last so many messages"))
    since: date | None = attrs.field(
        default=None, metadata=about("fetch only what was received since then: a date, or a date and time")
    )
    session: SessionBounds = attrs.field(
        default=SessionBounds(), metadata=about("when a session ends and a new one goes on: a table")
    )
    on_doubt: Literal["again", "hold"] = attrs.field(
        default="again",
        metadata=about("a message that a program may have taken before a crash is delivered once more, or held back"),
    )
    wait: Seconds = attrs.field(
        default=attrs.Factory(_wait, takes_self=True),
        metadata=about(
            "wait so long within a run for a server that wants time between logins; without it 1m, and 10m where the "
            "provider shows a part of the maildrop in each session"
        ),
    )
    every: Seconds | None = attrs.field(
        default=None, metadata=about("fetch again and again, with so much time between; never more often than allowed")
    )

    @override
    def problems(self) -> Iterator[str]:
        yield from super().problems()
        yield from _problems(self)

    @property
    def interval(self) -> float | None:
        """Seconds between two fetches: `every`, but not less than the provider allows; None: there is one fetch."""
        if self.every is None:
            return None
        return max(self.every, self.facts.every if self.facts is not None else 0)

    @property
    def journal_path(self) -> Path:
        """The file that records what was fetched.

        Raises:
            AccountError: the user's folder for state is needed, and the extra `cli` is not installed.
        """
        return self.journal or self.deliver[0].journal or state_journal(self.name)

    @property
    def policy(self) -> Policy:
        """What to fetch and delete."""
        size = self.max_size
        return Policy(
            delete_after=0 if self.delete else self.delete_after,
            when_gone=self.when_gone,
            max_octets=None if size is None else size.octets,
            too_large="skip" if size is None else size.then,
            headers_only=self.headers_only,
            newest=self.newest,
            since=None if self.since is None else _timestamp(self.since),
            on_doubt=self.on_doubt,
            session_messages=self.session.messages,
            session_octets=self.session.octets,
            session_seconds=self.session.seconds,
            partial_from=None if self.facts is None else self.facts.partial_from,
            patience=self.wait,
        )


def state_journal(name: str) -> Path:
    """Return the file in the user's folder for state that records what was fetched.

    Args:
        name: of the account, or what tells this journal from others.

    Raises:
        AccountError: the extra `cli` is not installed.
    """
    try:
        from platformdirs import user_state_path  # noqa: PLC0415 - an extra
    except ImportError:
        raise missing_extra("a journal for what has no folder of its own (or name one: journal)", "cli") from None
    return user_state_path("pop3proto", appauthor=False) / "fetched" / name


def _timestamp(moment: date) -> float:
    """Return seconds since 1970; without a time it is the first second of the day, without a zone it is local."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment.timestamp()


def _problems(account: Account) -> Iterator[str]:
    if not account.deliver:
        yield "deliver is empty: it says where mail is stored"
    if len(account.deliver) > 1:
        yield "several destinations are not supported yet: deliver must have one"
    if account.delete and account.delete_after is not None:
        yield "delete and delete_after cannot be used together: delete = true is delete_after = 0"
    if account.keep is (account.delete or account.delete_after is not None or account.when_gone):
        yield (
            "keep = true contradicts delete, delete_after and when_gone"
            if account.keep
            else "keep = false does not say when to delete: use delete = true, or delete_after"
        )
    if account.when_gone and not all(isinstance(each, ToMaildir | ToFiles) for each in account.deliver):
        yield "when_gone needs a destination that can be looked into: a Maildir, or files"
    if account.newest is not None and account.newest < 1:
        yield "newest must be above 0"
