"""The certificates of a server: one for each host name, from files that can be read again while the server runs."""

from __future__ import annotations

import errno
import os
import ssl
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs
from typing_extensions import override

from .client_certificates import ClientCertificates, accept_certificates, refuse_revoked
from .revocation import ending_lists, faults_of_lists
from .server_name import host_name, use_certificates
from .server_tls import ServerTls
from .tls import words_of
from .tls_channel import TlsChannel

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from pop3proto.procedures.cleartext import TlsMode

    from .tls_channel import MakeChannel

__all__ = ["Certificates", "ServerCertificate", "TlsVersion", "channel_with", "choose_certificates"]

TlsVersion: TypeAlias = Literal["TLSv1.2", "TLSv1.3"]

_VERSIONS: Final[dict[TlsVersion, ssl.TLSVersion]] = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


def _path(given: str | PathLike[str]) -> str:
    return os.fspath(given)


@attrs.frozen
class ServerCertificate:
    """The files of one certificate.

    Args:
        certificate: a file with the certificate and those between it and its authority, PEM.
        key: a file with its private key; None: it is in the same file.
    """

    certificate: str = attrs.field(
        converter=_path, metadata={"about": "a file with the certificate and those between it and its authority, PEM"}
    )
    key: str | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(_path),
        metadata={"about": "a file with its private key; by default it is in the same file"},
    )


def _files(given: ServerCertificate | str | PathLike[str]) -> ServerCertificate:
    return given if isinstance(given, ServerCertificate) else ServerCertificate(given)


class Certificates:
    """The certificates of a server. They are read at once, and again by `reload`.

    A client that names a host (SNI, RFC 6066 section 3) gets the certificate of this name, and each other client the
    first one. SCRAM binds to the certificate that its session has got.

    Args:
        default: for clients that name no host, or another one; a path is that of certificate and key in one file.
        names: those of other host names; ``"*.example.org"`` is each name with one label before that domain. A name
            that is not ASCII is encoded, as clients send it (RFC 5890).
        client_ca: a file with the authorities whose certificates clients may show (EXTERNAL), PEM, with `client_crl`
            each with those above it up to its root; None: clients are not asked for one.
        client_crl: a file with the lists of certificates that these authorities have revoked, PEM. There must be one of
            each authority, and none may be out of date: without it, its certificates are refused; see `faults`. None:
            none are revoked.
        minimum_version: the lowest version of TLS that clients may use.

    Raises:
        OSError: a file cannot be used, and which.
        ValueError: there is no such version; there is `client_crl` alone; or something is no host name.
        TypeError: something is neither files nor a path.
    """

    def __init__(
        self,
        default: ServerCertificate | str | PathLike[str],
        *,
        names: Mapping[str, ServerCertificate | str | PathLike[str]] | None = None,
        client_ca: str | PathLike[str] | None = None,
        client_crl: str | PathLike[str] | None = None,
        minimum_version: TlsVersion = "TLSv1.2",
    ) -> None:
        if minimum_version not in _VERSIONS:
            raise ValueError(f"minimum_version must be one of {', '.join(map(repr, _VERSIONS))}")
        if client_crl is not None and client_ca is None:
            raise ValueError("client_crl needs client_ca: without it, clients are not asked for certificates")
        self._default = _files(default)
        self._names = {host_name(name): _files(files) for name, files in (names or {}).items()}
        self._client_ca, self._client_crl = client_ca, client_crl
        self._minimum = _VERSIONS[minimum_version]
        self._current, self._clients = self._read()

    def faults(self, now: float) -> tuple[str, ...]:
        """Return why certificates of clients are refused: lists of revoked ones that are out of date or missing.

        Args:
            now: seconds since 1970.

        Returns:
            A line for each authority concerned.
        """
        clients = self._clients
        if clients is None or clients.lists is None:
            return ()
        faults = faults_of_lists(clients.lists, clients.authorities, now)
        return tuple(f"{clients.path}: {fault}" for fault in faults)

    def ending(self, now: float) -> tuple[str, ...]:
        """Return which lists of revoked certificates end soon: within a day, or the last tenth of their time.

        Args:
            now: seconds since 1970.

        Returns:
            A line for each authority concerned.
        """
        clients = self._clients
        if clients is None or clients.lists is None:
            return ()
        return tuple(f"{clients.path}: {each}" for each in ending_lists(clients.lists, now))

    def reload(self) -> None:
        """Read the files again, for the handshakes to come. Sessions under way keep what they have.

        Raises:
            OSError: a file cannot be used, and which: half of it may be written. All certificates stay as they were.
        """
        self._current, self._clients = self._read()

    def use(self, others: Certificates) -> None:
        """Have the certificates of another object, with its files and settings, for the handshakes to come.

        This reads nothing, and cannot fail: so a server can read all that is new, and then use all of it, or none.
        """
        self._default, self._names = others._default, others._names
        self._client_ca, self._client_crl, self._minimum = others._client_ca, others._client_crl, others._minimum
        self._current, self._clients = others._current, others._clients

    def _read(self) -> tuple[ServerTls, ClientCertificates | None]:
        others = {name: self._load(files)[0] for name, files in self._names.items()}
        own, clients = self._load(self._default)
        if others:
            use_certificates(own.context, {name: (tls.context, tls.certificate) for name, tls in others.items()})
        return own, clients

    def _load(self, files: ServerCertificate) -> tuple[ServerTls, ClientCertificates | None]:
        try:
            tls = ServerTls.load(files.certificate, files.key)
        except OSError as error:
            _check(files)
            which = files.certificate if files.key is None else f"{files.certificate} and the key {files.key}"
            raise _unusable(f"the certificate {which}", error) from error
        tls.context.minimum_version = self._minimum
        if self._client_ca is None:
            return tls, None
        with _named(f"the file of authorities {os.fspath(self._client_ca)}"):
            authorities = accept_certificates(tls.context, self._client_ca)
        if self._client_crl is None:
            return tls, ClientCertificates(authorities)
        path = os.fspath(self._client_crl)
        with _named(f"the file of revoked certificates {path}"):
            return tls, ClientCertificates(authorities, refuse_revoked(tls.context, path), path)


def _check(files: ServerCertificate) -> None:
    """Find the file that is at fault, where it is one alone: OpenSSL does not say which.

    Raises:
        OSError: it is this one, and why.
    """
    one = files.key is None
    for what, path, mark in (
        ("certificate", files.certificate, b"CERTIFICATE-----"),
        ("key", files.key or files.certificate, b"PRIVATE KEY-----"),
    ):
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
                octets = file.read()
        except OSError as error:
            raise _unusable(f"the {what} {path}", error) from error
        if mark in octets:
            continue
        other = "key" if what == "certificate" else "certificate"
        advice = ": name its file in `key`" if one and what == "key" else ""
        if not one and b"-----BEGIN" in octets:
            advice = f": is it the {other}?"
        kind = "private key" if what == "key" else "certificate"
        raise ssl.SSLError(errno.EINVAL, f"the {what} {path} cannot be used: there is no {kind} (PEM) in it{advice}")


def channel_with(certificates: Certificates | None) -> MakeChannel | None:
    """Return what makes a server's channel with the certificates that there are then; None: there is no TLS."""
    if certificates is None:
        return None

    def make() -> TlsChannel:
        tls = certificates._current  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]  # no other module needs it
        return TlsChannel(tls.context, server_side=True, certificate=tls.certificate, pop3_only=tls.pop3_only)

    return make


@contextmanager
def _named(what: str) -> Generator[None]:
    """Raise errors that say which file they are about."""
    try:
        yield
    except OSError as error:
        raise _unusable(what, error) from error


def _unusable(what: str, error: OSError) -> OSError:
    """Return an error of the same kind that says which file it is about."""
    if isinstance(error, ssl.SSLError):
        return ssl.SSLError(error.errno, f"{what} cannot be used: {words_of(error)}")
    return OSError(error.errno, f"{what} cannot be used: {error.strerror}")


class _Fixed(Certificates):
    """A context that was given in place of files."""

    def __init__(self, tls: ServerTls) -> None:
        self._current, self._clients = tls, None

    @override
    def reload(self) -> None:
        """Do nothing: there are no files. The owner of the context can load others into it."""


def choose_certificates(  # noqa: PLR0913 - they are those of `serve`
    tls: TlsMode,
    *,
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    client_ca: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
    certificates: Certificates | None = None,
) -> Certificates | None:
    """Return what the arguments of `serve` ask for; None for no TLS.

    Args:
        tls: "none" if no listener has TLS.
        certificate: as the others, an argument of `serve`.
        key: its key.
        client_ca: authorities of clients.
        context: in place of files.
        certificates: in place of all of them.

    Raises:
        ValueError, OSError: as `ServerTls.choose`; or there are certificates and one of the others.
    """
    if certificates is None:
        if tls != "none" and certificate is not None and context is None:
            return Certificates(ServerCertificate(certificate, key), client_ca=client_ca)
        chosen = ServerTls.choose(tls, certificate=certificate, key=key, client_ca=client_ca, context=context)
        return None if chosen is None else _Fixed(chosen)
    if any(each is not None for each in (certificate, key, client_ca, context)):
        raise ValueError("give either certificates=, or a certificate, or a context")
    if tls == "none":
        raise ValueError('a certificate or a context needs tls="starttls" or tls="implicit"')
    return certificates
