"""The service of a test server: made of its users, its persona, and what a test wants otherwise."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast, get_args

import attrs

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import Capa
from pop3proto.procedures.observer import observers_of
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.handlers import HANDLERS, capabilities
from pop3proto.procedures.server.service import Service

from . import personas
from .faults.faulty_line import FaultyLines
from .faults.line import faults_of
from .offences import ClientRule, check_rules
from .persona import Persona
from .recording import Recorder
from .service import TestedService
from .users import with_users
from .watching import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any

    from pop3proto.procedures.operations import Procedure
    from pop3proto.procedures.server.session import ServerSession

    from .faults.line import Fault
    from .options import ServiceOptions
    from .personas import PersonaName
    from .recording import RecordedSession

__all__ = ["assemble"]


def assemble(  # noqa: PLR0913 - they are those of `pop3_server`
    maildrops: Mapping[str, Iterable[bytes]] | None,
    *,
    passwords: Mapping[str, str] | None,
    tokens: Mapping[str, str] | None,
    persona: Persona | PersonaName | None,
    announce: Callable[[Capabilities], Capabilities] | None,
    faults: Sequence[Fault],
    seed: int,
    watch: bool | Collection[ClientRule],
    offers_tls: bool,
    options: ServiceOptions,
) -> tuple[Service, list[RecordedSession], Watchers | None]:
    """Return the service, the list of its sessions, which grows, and what watches the clients.

    The arguments are those of `pop3_server`; it raises the same. `offers_tls` says whether clients can have TLS.
    """
    kind = Persona() if persona is None else _persona(persona)
    watchers = _watchers(watch, options, offers_tls=offers_tls)
    recorder = Recorder(watchers)
    announcement = _Announcement(kind, announce, own_mechanisms="mechanisms" in options)
    options = with_users(maildrops, passwords, tokens, kind, options)
    settings: dict[str, Any] = {
        "failure_delay": 0,
        "login_penalty": None,
        "max_sessions": 200,  # as many as any system allows
        "deadlines": Deadlines(grace=0),
        **options,
    }
    settings["observer"] = (recorder, *observers_of(options.get("observer")))
    if announcement.differs:
        settings["handlers"] = {**options.get("handlers", HANDLERS), Capa: partial(_announce, announcement)}
    lines = FaultyLines([*kind.faults, *faults_of(faults)], seed)
    own = lines.faults or watchers is not None
    service = TestedService(lines=lines, watchers=watchers, **settings) if own else Service(**settings)
    return service, recorder.sessions, watchers


def _watchers(
    watch: bool | Collection[ClientRule],  # noqa: FBT001 - as the caller gives it
    options: ServiceOptions,
    *,
    offers_tls: bool,
) -> Watchers | None:
    if not watch:
        return None
    rules = check_rules(ClientRule if watch is True else watch, "watch")
    return Watchers(rules, options.get("handlers", HANDLERS), offers_tls=offers_tls)


def _persona(given: Persona | PersonaName) -> Persona:
    """Return a persona by its name, or itself."""
    if isinstance(given, Persona):
        return given
    names = get_args(personas.PersonaName)
    if given not in names:
        raise ValueError(f"there is no persona {given!r}; there are {', '.join(names)}, and Persona(...)")
    return cast("Persona", getattr(personas, given))


@attrs.frozen
class _Announcement:
    """What CAPA announces.

    Args:
        persona: what its server would announce.
        announce: what a test makes of that.
        own_mechanisms: the test has named the mechanisms.
    """

    persona: Persona
    announce: Callable[[Capabilities], Capabilities] | None
    own_mechanisms: bool = attrs.field(kw_only=True)

    @property
    def differs(self) -> bool:
        persona = self.persona
        return (self.announce, persona.capabilities, persona.after_login) != (None, None, None)

    def of(self, able: Capabilities, *, logged_in: bool) -> Capabilities:
        announced = self.persona.announce(able, logged_in=logged_in)
        if self.own_mechanisms and not logged_in:
            announced = attrs.evolve(announced, sasl=able.sasl)
        return announced if self.announce is None else self.announce(announced)


def _announce(announcement: _Announcement, session: ServerSession, command: Capa) -> Procedure[None]:
    able = yield from capabilities(session)
    announced = announcement.of(able, logged_in=session.maildrop is not None)
    if not isinstance(announced, Capabilities):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"announce= must return Capabilities, not {announced!r}")
    session.say_body(*command.answer(announced, "capabilities follow"))
