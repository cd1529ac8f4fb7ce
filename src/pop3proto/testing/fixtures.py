"""The type of the pytest fixture `start_pop3_server`.

pytest finds the fixture by itself where this package is installed. Where plugins are not loaded by themselves, put
`pytest_plugins = ["pop3proto.testing.fixtures"]` in the topmost conftest.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from os import PathLike

    from typing_extensions import Unpack

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.procedures.cleartext import TlsMode

    from .background import Adapter
    from .faults import Fault
    from .offences import ClientRule
    from .options import ServiceOptions
    from .personas import Persona, PersonaName
    from .server import Pop3Server

__all__ = ["StartPop3Server"]

pytest_plugins: Final = ["pop3proto.testing.pytest_plugin"]


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
        watch: bool | Collection[ClientRule] = False,
        tls: TlsMode = "none",
        certificate: str | PathLike[str] | None = None,
        context: ssl.SSLContext | None = None,
        adapter: Adapter = "blocking",
        host: str = "127.0.0.1",
        **options: Unpack[ServiceOptions],
    ) -> Pop3Server:
        """Start a server."""
        ...
