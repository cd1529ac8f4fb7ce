"""Where a server listens, how TLS comes in there, and as which user it runs."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cattrs reads the annotations
from typing import Final, Literal

import attrs

from pop3proto._config.keys import about
from pop3proto._config.units import Seconds
from pop3proto._io.server_name import host_name
from pop3proto.authenticators.certificate_names import CertificateField  # noqa: TC001 - cattrs reads the annotations
from pop3proto.procedures.cleartext import TlsMode  # noqa: TC001 - as above

from .values import DomainName, NetworkName, SocketAddress  # noqa: TC001 - as above

__all__ = ["CertificateFiles", "Listen", "ProxyFrom", "RunAs", "Tls"]

_IMPLICIT_PORT: Final = 995


@attrs.frozen(kw_only=True)
class ProxyFrom:
    """The proxies in front of a listener, and what is believed of them.

    Raises:
        ValueError: the timeout is 0.
    """

    from_: tuple[NetworkName, ...] = attrs.field(
        metadata=about("the networks of the proxies; a connection from elsewhere is closed")
    )
    trust_tls: bool = attrs.field(
        default=False,
        metadata=about("the proxy may say that it took TLS off the connection; the session counts as protected then"),
    )
    timeout: Seconds = attrs.field(
        default=Seconds(3), metadata=about("the time for the header of the PROXY protocol to arrive")
    )

    def __attrs_post_init__(self) -> None:
        if not self.timeout:
            raise ValueError("the timeout must be above 0")


def _default_tls(listen: Listen) -> TlsMode:
    return "implicit" if listen.address is not None and listen.address.port == _IMPLICIT_PORT else "starttls"


@attrs.frozen(kw_only=True)
class Listen:
    """One listener.

    Raises:
        ValueError: it says neither an address nor the name of a socket, or both.
    """

    address: SocketAddress | None = attrs.field(
        default=None, metadata=about('address and port: `"0.0.0.0:110"` is IPv4 alone, and `"[::]:110"` IPv6 alone')
    )
    systemd: str | None = attrs.field(
        default=None,
        metadata=about("in place of `address`: the `FileDescriptorName=` of the sockets that systemd opens"),
    )
    tls: TlsMode = attrs.field(
        default=attrs.Factory(_default_tls, takes_self=True),
        metadata=about(
            "from the start of the connection (`implicit`, the default on port 995), by STLS (`starttls`, the default "
            "elsewhere), or not at all (`none`)"
        ),
    )
    domain: DomainName | None = attrs.field(
        default=None,
        metadata=about(
            "who logs in here without a domain has this one: `ann` is `ann@example.org`, in the source of users, too"
        ),
    )
    proxy_protocol: ProxyFrom | None = attrs.field(
        default=None,
        metadata=about("each connection begins with a header of the PROXY protocol, version 1 or 2: a table"),
    )

    def __attrs_post_init__(self) -> None:
        if (self.address is None) is (self.systemd is None):
            raise ValueError("a listener has either an address or the name of a socket of systemd")

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"systemd:{self.systemd}" if self.address is None else str(self.address)


@attrs.frozen(kw_only=True)
class CertificateFiles:
    """A certificate and its key."""

    certificate: Path = attrs.field(
        metadata=about("the certificate, then those between it and its authority; a file in PEM")
    )
    key: Path | None = attrs.field(
        default=None, metadata=about("its private key, if it is not in the same file; not encrypted")
    )


def _host_names(given: dict[str, CertificateFiles]) -> dict[str, CertificateFiles]:
    return {host_name(name): files for name, files in given.items()}


@attrs.frozen(kw_only=True)
class Tls(CertificateFiles):
    """TLS of all listeners.

    Raises:
        ValueError: one of the names is no host name; or a key needs `client_ca`.
    """

    names: dict[str, CertificateFiles] = attrs.field(
        factory=dict[str, CertificateFiles],
        converter=_host_names,
        metadata=about(
            "further certificates, by the host name that a client asks for (SNI), or `*.example.org`: a table of tables"
        ),
    )
    client_ca: Path | None = attrs.field(
        default=None,
        metadata=about(
            "the authorities whose certificates clients may show, up to their roots: a file in PEM. To log in by them "
            "takes `client_name`"
        ),
    )
    client_crl: Path | None = attrs.field(
        default=None,
        metadata=about(
            "the lists of certificates that these authorities have revoked: a file in PEM, with a list of each. Where "
            "one is missing or out of date, all certificates of its authority are refused"
        ),
    )
    client_name: CertificateField | None = attrs.field(
        default=None,
        metadata=about(
            "clients log in by a certificate (EXTERNAL), as the user whom it names: by the mail address in the "
            "subjectAltName, or without one in the subject (`email`), by the last CN (`common_name`) or UID "
            "(`user_id`) of the subject. `users` must have the user, if there is a table"
        ),
    )
    minimum: Literal["1.2", "1.3"] = attrs.field(default="1.2", metadata=about("the lowest version of TLS"))

    def __attrs_post_init__(self) -> None:
        for key in ("client_crl", "client_name"):
            if self.client_ca is None and getattr(self, key) is not None:
                raise ValueError(f"{key} needs client_ca: without it, clients are not asked for certificates")


@attrs.frozen(kw_only=True)
class RunAs:
    """As which user the server runs, after it has opened its ports."""

    user: str | None = attrs.field(
        default=None, metadata=about("the user whose rights it keeps; needed only if it is started by root")
    )
    group: str | None = attrs.field(default=None, metadata=about("the group; by default that of the user"))
    core_dumps: bool = attrs.field(
        default=False, metadata=about("let the system write core files, which hold passwords")
    )
