"""How to reach and log in to an account.

The fields are keys of the configuration file; what each means is in its metadata.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cattrs reads the annotations
from typing import TYPE_CHECKING, Any, Final, NewType, Self

import attrs
from typing_extensions import override

from pop3proto._config.keys import about
from pop3proto._config.units import Seconds
from pop3proto.core.commands import User
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import NO_QUIRKS, Quirk
from pop3proto.procedures.cleartext import Cleartext, TlsMode, check_port, default_port
from pop3proto.procedures.client.login_plan import APOP, USER_PASS
from pop3proto.sasl.registry import CLIENT_MECHANISMS

from .errors import AccountError
from .origins import Origin  # noqa: TC001 - cattrs reads the annotations
from .providers import Provider, provider_named, provider_of
from .proxy import SocksProxy  # noqa: TC001 - cattrs reads the annotations
from .url import EXTERNAL, Address, takes_token

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LOGIN_WAYS", "Access", "LoginWay", "Pin", "ProviderName"]

LoginWay = NewType("LoginWay", str)
"""A login method: a SASL mechanism, "APOP" or "USER/PASS"."""
ProviderName = NewType("ProviderName", str)
"""The name of a provider that is known."""
Pin = NewType("Pin", bytes)
"""The SHA-256 of a certificate, or of its public key."""

LOGIN_WAYS: Final = (*CLIENT_MECHANISMS, APOP, USER_PASS)


@attrs.frozen(kw_only=True)
class Access:
    """How to reach and log in to an account.

    Raises:
        AccountError: what is given contradicts itself.
    """

    name: str
    """What it is called in the configuration and in messages."""

    # Where it is.
    provider: ProviderName | None = attrs.field(
        default=None, metadata=about("a provider whose server is known, in place of `host`: `gmail` for example")
    )
    user: str = attrs.field(metadata=about("the user name"))
    host: str = attrs.field(
        default=attrs.Factory(lambda self: _provider_host(self.provider), takes_self=True),
        metadata=about("the server's name or address"),
    )
    tls: TlsMode = attrs.field(
        default="implicit",
        metadata=about(
            'where TLS begins: `"implicit"` at once, `"starttls"` by STLS, `"none"` not at all. It is never guessed '
            "from the port"
        ),
    )
    port: int = attrs.field(
        default=attrs.Factory(lambda self: _default_port(self.provider, self.tls), takes_self=True),
        metadata=about("the server's port; without it 995 with implicit TLS, else 110"),
    )
    login: LoginWay | None = attrs.field(
        default=None,
        metadata=about(
            "the only login method to use: a SASL mechanism, `APOP` or `USER/PASS`; without it the best that is safe, "
            "which is `EXTERNAL` where there is `certificate`, and neither `password` nor `token`"
        ),
    )
    cleartext: Cleartext = attrs.field(
        default="loopback",
        metadata=about(
            'when passwords may be sent without verified TLS: `"never"`; `"loopback"`: to this machine; `"always"`: '
            "to any. With `starttls` it must be `always` if the server may have no STLS"
        ),
    )

    # How to log in.
    password: Origin | None = attrs.field(default=None, metadata=about("where the password comes from"))
    token: Origin | None = attrs.field(
        default=None, metadata=about("where the OAuth access token comes from, in place of a password")
    )
    password_encoding: str | None = attrs.field(
        default=None,
        metadata=about("the encoding of a user name or password that is not ASCII, for USER and PASS; else UTF-8"),
    )

    # TLS.
    ca_file: Path | None = attrs.field(
        default=None, metadata=about("a file of certificate authorities (PEM) that are trusted too")
    )
    pin: tuple[Pin, ...] = attrs.field(
        default=(),
        metadata=about(
            "`sha256:` and the SHA-256 of the server's certificate, or of its public key, in hexadecimal digits or "
            "base64; or several. One must fit, beside the usual verification"
        ),
    )
    pin_only: bool = attrs.field(default=False, metadata=about("the pins replace the usual verification"))
    certificate: Path | None = attrs.field(
        default=None,
        metadata=about(
            "a file with the client's certificate (PEM). Without `password` and `token` it is what logs in "
            "(`EXTERNAL`); else it is shown, too"
        ),
    )
    certificate_key: Path | None = attrs.field(
        default=None, metadata=about("a file with its key; without it, the key is in the same file")
    )

    # The connection.
    proxy: SocksProxy | None = attrs.field(
        default=None,
        metadata=about("a SOCKS5 proxy: `socks5://[user:password@]host:port`; it looks up the host. Extra `socks`"),
    )
    via: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            "a program and its arguments, whose standard input and output are the connection: "
            '`["ssh", "-W", "pop.example.org:110", "gateway"]`'
        ),
    )
    source_address: str | None = attrs.field(default=None, metadata=about("the own address to connect from"))
    timeout: Seconds = attrs.field(default=Seconds(60), metadata=about("how long the server may send nothing"))
    quirks: frozenset[Quirk] = attrs.field(
        default=attrs.Factory(lambda self: self.facts.quirks if self.facts else NO_QUIRKS, takes_self=True),
        metadata=about("deviations of the server to tolerate: quirks and profiles; without it those of the provider"),
    )

    def __attrs_post_init__(self) -> None:
        if problems := list(self.problems()):
            raise AccountError(*problems)

    @classmethod
    def of_url(cls, url: str, **settings: Any) -> Self:  # noqa: ANN401 - each has its type
        """Return the account of a URL, which needs no configuration file.

        Args:
            url: as `Address.of_url`.
            settings: the other fields.

        Raises:
            AccountError: the URL is not valid, or the settings do not fit.
        """
        address = Address.of_url(url)
        given: dict[str, Any] = {key: getattr(address, key) for key in ("user", "host", "port", "tls")}
        given |= {"name": address.key, "login": address.way} | settings
        return cls(**given)

    @override
    def __str__(self) -> str:
        return f"{self.user} on {self.host}"

    @property
    def address(self) -> Address:
        """Where the account is, and how to log in."""
        return Address(self.tls, self.user, self.host, self.port, self.way)

    @property
    def way(self) -> LoginWay | None:
        """The only login method to use: `login`; or EXTERNAL, with a certificate alone; None: the best that is safe."""
        alone = self.certificate is not None and self.password is None and self.token is None
        return LoginWay(EXTERNAL) if self.login is None and alone else self.login

    @property
    def key(self) -> str:
        """As `Address.key`: it identifies the account in the journal."""
        return self.address.key

    @property
    def server(self) -> str:
        """As `Address.server`: for messages."""
        return self.address.server

    @property
    def facts(self) -> Provider | None:
        """What is known of the provider, by its name or host; None: nothing."""
        return provider_named(self.provider) if self.provider is not None else provider_of(self.host)

    def problems(self) -> Iterator[str]:
        """Yield what contradicts itself or is not supported, each in one line."""
        yield from _problems_of_address(self)
        yield from _problems_of_login(self)


def _provider_host(provider: str | None) -> str:
    if provider is None:
        raise AccountError("the server is missing: url, host or provider")
    return provider_named(provider).host


def _default_port(provider: str | None, tls: TlsMode) -> int:
    return provider_named(provider).port if provider is not None and tls == "implicit" else default_port(tls)


def _problems_of_address(account: Access) -> Iterator[str]:
    if not account.name.isprintable() or "/" in account.name or account.name[:1] in {"", "."}:
        yield "the name of an account has no slash and no control character, and does not begin with a dot"
    try:
        User(account.user)
        check_port(account.port, least=1)
    except (LocalProtocolError, ValueError) as error:
        yield str(error)
    if account.proxy and account.via:
        yield "proxy and via cannot be used together"
    if account.source_address is not None and (account.proxy or account.via):
        yield "source_address cannot be used with proxy or via"
    if account.tls == "none" and (account.pin or account.certificate):
        yield 'with tls = "none" there are no pins and certificates'
    if account.pin_only and not account.pin:
        yield "pin_only needs a pin"
    if account.certificate_key is not None and account.certificate is None:
        yield "certificate_key needs certificate"
    if not account.timeout > 0:
        yield "timeout must be above 0"


def _problems_of_login(account: Access) -> Iterator[str]:
    if account.login is not None and account.login not in LOGIN_WAYS:
        yield f"there is no login method {account.login!r}; the methods are {', '.join(LOGIN_WAYS)}"
    elif account.login == EXTERNAL:
        yield from _problems_of_external(account)
    elif (wants_token := takes_token(account.login)) is not None:
        if wants_token and account.password is not None:
            yield f"{account.login} takes a token, not a password"
        if not wants_token and account.token is not None:
            yield f"{account.login} takes a password, not a token"
    if account.password is not None and account.token is not None:
        yield "password and token cannot be used together"
    try:
        "".encode(account.password_encoding or "utf-8")
    except (LookupError, UnicodeError):
        yield f"there is no encoding {account.password_encoding!r}"


def _problems_of_external(account: Access) -> Iterator[str]:
    if account.certificate is None:
        yield "EXTERNAL needs a client certificate: name its file by certificate (--certificate FILE)"
    for what, origin in (("password", account.password), ("token", account.token)):
        if origin is not None:
            yield f"EXTERNAL logs in by the certificate, and needs no {what}: leave it out"
