"""Events of a server's sessions, for logs, audits and figures: what an observer may have beside its three methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from pop3proto.sasl.answers import is_coroutine_method

from .calls import CLIENT_ERRORS, fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.procedures.maildrop import Message
    from pop3proto.sasl.channel import SessionInfo

    from .session_record import SessionRecord

__all__ = ["EventTeller", "LoginFailure", "SessionEvents", "check_events"]

LoginFailure: TypeAlias = Literal["credentials", "not checked", "policy", "maildrop"]
"""Why a login has failed: wrong credentials; they could not be checked; the policy; the maildrop cannot be opened."""


class SessionEvents(Protocol):
    """What an observer of a server may be told beside `heard`, `said` and `ended`. Each method may be missing.

    As those, they must not block. An exception ends the session.
    """

    def logged_in(self, session: SessionInfo, method: str, /) -> None:
        """Take note that a user has logged in, and that the maildrop is open.

        Args:
            session: with its user.
            method: a SASL mechanism, "USER/PASS" or "APOP".
        """
        ...

    def login_failed(self, session: SessionInfo, method: str, user: str, why: LoginFailure, /) -> None:
        """Take note that a login has failed.

        Args:
            session: without a user.
            method: as in `logged_in`.
            user: the name that the client gave; "" if it gave none.
            why: the client may have been told something else, if it was the policy.
        """
        ...

    def committed(self, session: SessionInfo, deleted: Sequence[Message], retrieved: Sequence[Message], /) -> None:
        """Take note of what QUIT has done: the maildrop has taken both. Both may be empty.

        The maildrop is closed, or was to be: if that fails, the client is told [SYS/TEMP], and this is told as well.

        Args:
            session: with its user.
            deleted: the messages that are gone now.
            retrieved: those that RETR has sent, whether or not they are gone.
        """
        ...

    def session_ended(self, session: SessionInfo, record: SessionRecord, error: BaseException | None, /) -> None:
        """Take note of the end of a session; it comes last.

        Args:
            session: as it was at its end.
            record: what the session has done.
            error: which ended it; None: `SessionRecord.end` says why it has ended.
        """
        ...


def check_events(observers: Sequence[object]) -> None:
    """Refuse at once what would be told nothing.

    Raises:
        TypeError: a method for events is a coroutine method, which is never awaited, or is no method.
    """
    for observer in observers:
        for name in ("logged_in", "login_failed", "committed", "session_ended"):
            if (method := getattr(observer, name, None)) is None:
                continue
            if not callable(method):
                raise TypeError(f"{name} of the observer {observer!r} is not a method")
            if is_coroutine_method(method):
                raise TypeError(f"{name} of the observer {observer!r} is a coroutine method; it must be a plain one")


class EventTeller:
    """Tells observers the events of one session: each those that it has methods for.

    Args:
        observers: in the order in which they are told.
    """

    def __init__(self, observers: Sequence[object]) -> None:
        self._observers: Final = observers

    def logged_in(self, session: SessionInfo, method: str) -> None:
        """As `SessionEvents.logged_in`."""
        self._tell("logged_in", session, method)

    def login_failed(self, session: SessionInfo, method: str, user: str, why: LoginFailure) -> None:
        """As `SessionEvents.login_failed`."""
        self._tell("login_failed", session, method, user, why)

    def committed(self, session: SessionInfo, deleted: Sequence[Message], retrieved: Sequence[Message]) -> None:
        """As `SessionEvents.committed`."""
        self._tell("committed", session, deleted, retrieved)

    def session_ended(self, session: SessionInfo, record: SessionRecord, error: BaseException | None) -> None:
        """As `SessionEvents.session_ended`. Every observer is told, even if one of them raises."""
        self._tell("session_ended", session, record, error)

    def _tell(self, name: str, *arguments: object) -> None:
        """Tell every observer, and raise what the first of those that failed has raised."""
        failure: Exception | None = None
        for observer in self._observers:
            if (method := getattr(observer, name, None)) is None:
                continue
            try:
                method(*arguments)
            except CLIENT_ERRORS as error:
                failure = failure or fault("an observer", error)
            except Exception as error:  # noqa: BLE001 - it is raised when all have been told
                failure = failure or error
        if failure is not None:
            raise failure
