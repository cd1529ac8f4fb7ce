"""What the command line talks to over TLS in tests: an authority, servers with its certificates; and token files."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import serve
from pop3proto.cli import main
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.maildrop import MaildropStore
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.authenticator import Authenticator
from pop3proto.sasl.registry import SERVER_MECHANISMS
from tests.helpers.cli_servers import PASSWORD, password_file


class Authority:
    """Who vouches for servers: its own certificate, and theirs, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self._ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.trusted = ("--ca-file", str(folder / "ca.pem"))

    def context(self) -> ssl.SSLContext:
        """A context of a server on 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate())
        return context

    def certificate(self, name: str = "127.0.0.1") -> Path:
        """A file with a certificate for a name, and its key."""
        file = self._folder / f"{name}.pem"
        self._ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(file))
        return file


@contextmanager
def serving_tls(
    store: MaildropStore, certificate: Path, tls: TlsMode, authenticator: Authenticator | None = None
) -> Generator[int]:
    """Serve a store by TLS, to ann if to nobody else; the port."""
    authenticator = authenticator or MemoryAuthenticator({"ann": PASSWORD})
    service = Service(
        store=store, authenticator=authenticator, mechanisms=SERVER_MECHANISMS, failure_delay=0, login_penalty=None
    )
    with serve(service, tls=tls, certificate=certificate) as server:
        yield server.address[1]


SCHEMES: dict[TlsMode, str] = {"implicit": "pops", "starttls": "pop"}
both = pytest.mark.parametrize("tls", SCHEMES)


def fetch_tls(tls: TlsMode, port: int, target: Path, *options: str, user: str = "ann") -> int:
    if not {"--password-file", "--token-file"} & set(options):
        options = (*options, "--password-file", str(password_file(target.parent)))
    return main(["fetch", f"{SCHEMES[tls]}://{user}@127.0.0.1:{port}", str(target), *options])


TOKEN = "ya29.T0ken-._~+/=="


def token_file(folder: Path, content: bytes = TOKEN.encode() + b"\n") -> str:
    file = folder / "token"
    file.write_bytes(content)
    return str(file)
