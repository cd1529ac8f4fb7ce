"""The pytest fixture `start_pop3_server`, for test servers.

Put `pytest_plugins = ["pop3proto.testing.fixtures"]` in the topmost conftest.py.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from .server import pop3_server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from typing_extensions import Unpack

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.procedures.cleartext import TlsMode

    from .background import Adapter
    from .faults import Fault
    from .options import ServiceOptions
    from .personas import Persona, PersonaName
    from .server import Pop3Server

__all__ = ["StartPop3Server", "start_pop3_server"]


class StartPop3Server(Protocol):
    """The type of the fixture: it starts a server that ends with the test. The arguments are those of `pop3_server`."""

    def __call__(  # noqa: PLR0913 - each has its default, and a name
        self,
        maildrops: Mapping[str, Iterable[bytes]] | None = None,
        *,
        passwords: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        persona: Persona | PersonaName | None = None,
        announce: Callable[[Capabilities], Capabilities] | None = None,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        tls: TlsMode = "none",
        certificate: str | PathLike[str] | None = None,
        context: ssl.SSLContext | None = None,
        adapter: Adapter = "blocking",
        host: str = "127.0.0.1",
        **options: Unpack[ServiceOptions],
    ) -> Pop3Server:
        """Start a server."""
        ...


@pytest.fixture
def start_pop3_server() -> Iterator[StartPop3Server]:
    """Return a function that starts a test server; it has the arguments of `pop3_server`. Servers end with the test."""
    with ExitStack() as servers:

        def start(*arguments: Any, **options: Any) -> Pop3Server:  # noqa: ANN401 - they are those of the protocol
            return servers.enter_context(pop3_server(*arguments, **options))

        yield start
