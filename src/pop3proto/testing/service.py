"""The service of a test server: faults in its lines, and watched clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs
from typing_extensions import override

from pop3proto.procedures.server.service import Service

from .faults.session import faulty_session

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure

    from .faults.line import FaultyLines
    from .watching import Watchers

__all__ = ["TestedService"]


@attrs.frozen(kw_only=True)
class TestedService(Service):
    """A service with faults in the lines of its sessions, and whose clients are watched.

    Args:
        lines: the faults.
        watchers: who watches the clients, which are at the far end of the faulty lines; None: nobody does.
    """

    __test__: ClassVar[bool] = False  # for pytest

    lines: FaultyLines = attrs.field(repr=False)
    watchers: Watchers | None = attrs.field(default=None, repr=False)

    @override
    def around(self, session: Procedure[None]) -> Procedure[None]:
        if self.lines.faults:
            session = faulty_session(session, self.lines.begin())
        return session if self.watchers is None else self.watchers.around(session)
