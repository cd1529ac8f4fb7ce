"""What a configuration comes to, in lines for people; and what is wrong with the files that it names."""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, assert_never

from pop3proto._config.errors import MissingExtra
from pop3proto._config.units import show_octets, show_seconds
from pop3proto.core.errors import Pop3Error
from pop3proto.core.text import counted
from pop3proto.procedures.maildrop import Refused
from pop3proto.sasl.authenticator import PasswordVerifier, SecretSource, implements
from pop3proto.sasl.channel import ChannelBinding, SessionInfo, TlsInfo

from .access.login_times import LoginTimes
from .accounts import AccountsUnusable, open_accounts
from .assembly import Lasting, certificates_of, service_of
from .config.users import CheckpasswordUsers, FileUsers, HtpasswdUsers, PasswdFileUsers, SqlUsers
from .log.handlers import JOURNAL, SYSLOG
from .metrics.figures import ServerMetrics
from .site import Site, UnknownUsers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pop3proto._io.certificates import Certificates
    from pop3proto.authenticators.certificate_names import CertificateField
    from pop3proto.procedures.server.service import Service

    from .accounts import Accounts
    from .config.listeners import Listen
    from .config.main import ServeConfig
    from .config.users import Users

__all__ = ["describe", "list_faults", "list_warnings", "notes", "problems", "tls_problem"]


def describe(config: ServeConfig) -> Iterator[str]:
    """Yield what a configuration comes to. It shows no secret."""
    for listen in config.listen:
        yield f"listens on {_listener(listen, tls=config.tls is not None)}"
    if config.tls is not None:
        names = "".join(f", {name}: {files.certificate}" for name, files in config.tls.names.items())
        yield f"certificate: {config.tls.certificate}{names}; TLS {config.tls.minimum} or later"
        if config.tls.client_name is not None:
            named, revoked = _NAMED[config.tls.client_name], config.tls.client_crl
            unless = "" if revoked is None else f", unless {revoked} revokes them"
            yield f"certificates of clients: those of {config.tls.client_ca}{unless}; the user is {named}"
    if config.users is not None:
        yield f"users: {_source(config.users)}"
    if config.tokens is not None:
        yield f"tokens: {config.tokens.url} says whose they are"
    if config.lower_case_users:
        yield "names of users: folded to lower case"
    methods = config.login.methods
    yield f"login: {'all methods that suit the users, except -PLUS' if methods is None else ', '.join(methods)}"
    yield f"passwords without TLS: {_CLEARTEXT[config.login.cleartext]}"
    for delay in config.login.delay:
        yield f"time between logins of {', '.join(delay.user)}: {show_seconds(delay.every)}, {delay.burst} at once"
    if config.access:
        yield f"access: {counted(len(config.access), 'rule')}"
    yield f"maildrops: {config.maildrops.maildir}"
    yield from _of_mail(config)
    limits = config.limits
    per_user = "" if limits.per_user is None else f", {limits.per_user} of one user"
    yield f"sessions: {limits.sessions} at once, {limits.per_address} from one address{per_user}"
    yield f"runs as: {config.run.user or 'who starts it'}"
    yield f"log: {config.log.to}, as {config.log.format}" + (
        "" if config.log.audit is None else f"; audit: {config.log.audit}"
    )
    if config.metrics is not None:
        yield f"metrics: http://{config.metrics.address}/metrics"


_NAMED: Final[dict[CertificateField, str]] = {
    "email": "the mail address in it",
    "common_name": "the CN of its subject",
    "user_id": "the UID of its subject",
}
_CLEARTEXT = {"never": "never", "loopback": "from this machine only", "always": "always: others can read them"}


def _listener(listen: Listen, *, tls: bool) -> str:
    words = {"implicit": "TLS from the start", "starttls": "TLS by STLS", "none": "no TLS"}[listen.tls]
    domain = "" if listen.domain is None else f", users are of {listen.domain}"
    proxies = "" if listen.proxy_protocol is None else f", behind proxies in {', '.join(listen.proxy_protocol.from_)}"
    return f"{listen.name}, {words if tls else 'no TLS, as there is no certificate'}{domain}{proxies}"


def _source(users: Users) -> str:
    match users:
        case FileUsers():
            return f"the file {users.file}" + ("" if users.secrets is None else f", and {users.secrets} for APOP")
        case PasswdFileUsers():
            return f"the passwd-file {users.passwd_file}"
        case HtpasswdUsers():
            return f"the htpasswd file {users.htpasswd}"
        case CheckpasswordUsers():
            return f"those of the program {users.checkpassword[0]}"
        case SqlUsers():
            return f"the database {users.sqlite}"
        case _:
            assert_never(users)


def _of_mail(config: ServeConfig) -> Iterator[str]:
    quota = config.quota
    if quota.is_limited:
        octets = [] if quota.octets is None else [show_octets(quota.octets)]
        messages = [] if quota.messages is None else [counted(quota.messages, "message")]
        yield f"quota: {', '.join([*octets, *messages])}; warning from {quota.warn:.0%}"
    retain = config.retain
    if retain.shortest is not None:
        unread, read = (
            "for any time" if each is None else f"for {show_seconds(each)}" for each in (retain.unread, retain.read)
        )
        yield f"mail is kept: unread {unread}, read {read}; looked at every {show_seconds(retain.every)}"
    if config.on_delete.to != "remove":
        keep = "for any time" if config.on_delete.keep is None else f"for {show_seconds(config.on_delete.keep)}"
        where = "in the trash" if config.on_delete.to == "trash" else "hidden"
        yield f"deleted mail is kept {where} {keep}"


def notes(config: ServeConfig) -> Iterator[str]:
    """Yield what is allowed and may not be meant: secrets that others can read, listeners without TLS."""
    methods = config.login.methods
    for path in _secret_files(config):
        with suppress(OSError):
            if path.stat().st_mode & stat.S_IROTH:
                yield f"all users of this machine can read {path}: chmod o-rwx it"
    if config.tls is not None and config.tls.client_ca is not None and config.tls.client_name is None:
        yield "clients may show certificates, but no user logs in by one: tls.client_name is missing"
    if config.tls is not None and config.tls.client_name is not None and "EXTERNAL" not in (methods or ("EXTERNAL",)):
        yield "no user logs in by a certificate: EXTERNAL is missing in login.methods"
    for listen in config.listen:
        in_clear = listen.tls == "none" or config.tls is None
        here = listen.address is not None and listen.address.is_loopback
        if in_clear and not here and listen.proxy_protocol is None:
            passwords = " passwords and" if config.login.cleartext == "always" else ""
            yield f"without TLS on {listen.name}, others on the network can read{passwords} mail"


def _secret_files(config: ServeConfig) -> Iterator[Path]:
    if config.tls is not None:
        yield config.tls.key or config.tls.certificate
    match config.users:
        case FileUsers(file=path) | PasswdFileUsers(passwd_file=path) | HtpasswdUsers(htpasswd=path):
            yield path
        case SqlUsers(sqlite=path):
            yield path
        case _:
            pass
    if config.tokens is not None:
        yield config.tokens.client_secret


def tls_problem(config: ServeConfig) -> str | None:
    """Return what is wrong with the certificates and keys; None: nothing."""
    try:
        certificates_of(config.tls)
    except OSError as error:
        return f"tls: {error.strerror or error}"
    return None


def list_faults(config: ServeConfig) -> tuple[str, ...]:
    """Return why certificates of clients are refused, as `Certificates.faults`; nothing if a file cannot be used."""
    certificates = _certificates(config)
    return () if certificates is None else certificates.faults(time.time())


def list_warnings(config: ServeConfig) -> tuple[str, ...]:
    """Return which lists of revoked certificates end soon, as `Certificates.ending`; nothing as above."""
    certificates = _certificates(config)
    return () if certificates is None else certificates.ending(time.time())


def _certificates(config: ServeConfig) -> Certificates | None:
    try:
        return certificates_of(config.tls)
    except OSError:  # `tls_problem` tells it
        return None


def problems(config: ServeConfig) -> Iterator[str]:
    """Yield what else is wrong with what a configuration names: files, users, folders. They are opened, and no more.

    The server opens them as the user that it runs as: ask as that user.
    """
    try:
        accounts = open_accounts(config)
    except AccountsUnusable as error:
        yield f"users: {error}"
    else:
        if isinstance(config.users, CheckpasswordUsers) and shutil.which(config.users.checkpassword[0]) is None:
            yield f"users: {config.users.checkpassword[0]} does not exist or is not executable"
        yield from (f"users: {problem}" for problem in accounts.problems)
        yield from _of_site(config, accounts)
    yield from _of_folders(config)
    yield from _of_reports(config)


def _of_site(config: ServeConfig, accounts: Accounts) -> Iterator[str]:
    site = Site(config, accounts.directory)
    try:
        service = service_of(site, accounts, Lasting(times=LoginTimes(), job=None, metrics=None))
    except (Pop3Error, ValueError) as error:
        yield str(error)
    else:
        yield from (
            f"nobody can log in on {listen.name}: none of the login methods works there, for these users"
            for listen in config.listen
            if not _usable(service, listen, tls=config.tls is not None)
        )
    if "home" in site.template.fields and isinstance(
        config.users, FileUsers | HtpasswdUsers | CheckpasswordUsers | None
    ):
        yield "maildrops: these users have no home folder; {home} cannot be used"
    if config.retain.shortest is None:
        return
    try:
        site.users()
    except UnknownUsers as error:
        yield f"retain: nothing is purged: {error}"
    except Refused:
        yield "retain: nothing is purged: the users cannot be listed; `list` in `users` is missing"
    except OSError as error:
        yield f"retain: {error.filename}: {error.strerror}"


def _usable(service: Service, listen: Listen, *, tls: bool) -> bool:
    """Return whether a login method is left for the clients of a listener."""
    proxy = listen.proxy_protocol
    secured = (tls and listen.tls != "none") or (proxy is not None and proxy.trust_tls)
    bindings = (ChannelBinding("tls-exporter", b"any"),)
    shows = b"any" if tls and listen.tls != "none" else None  # a proxy that ends TLS does not pass it on
    info = TlsInfo("TLSv1.3", verified=True, certificate=shows, bindings=bindings) if secured else None
    shown = secured or service.cleartext != "never"
    return (
        any(service.offers(SessionInfo(tls=info), may_show_password=shown))
        or (shown and service.user_pass and implements(service.authenticator, PasswordVerifier))
        or (service.apop and implements(service.authenticator, SecretSource))
    )


def _of_reports(config: ServeConfig) -> Iterator[str]:
    for key, target in (("log.to", config.log.to), ("log.audit", config.log.audit)):
        place = {"syslog": SYSLOG, "journal": JOURNAL}.get(str(target))
        if place is not None and not place.exists():
            yield f"{key}: there is no {place}"
    if config.metrics is not None:
        try:
            ServerMetrics()
        except MissingExtra as error:
            yield f"metrics: {error}"


def _of_folders(config: ServeConfig) -> Iterator[str]:
    root = config.maildrops.maildir.root
    if root is not None and not root.is_dir():
        yield f"maildrops: there is no folder {root}"
    for key, path in (
        ("log.to", config.log.to),
        ("log.audit", config.log.audit),
        ("login.delay_file", config.login.delay_file),
    ):
        if path is None or isinstance(path, str):
            continue
        if (why := _cannot_write(path)) is not None:
            yield f"{key}: {why}"


def _cannot_write(path: Path) -> str | None:
    """Return why a file cannot be written by who asks; None: it can be."""
    if path.is_dir():
        return f"{path} is a folder"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    return None if os.access(path if path.exists() else path.parent, os.W_OK) else f"{path} cannot be written"
