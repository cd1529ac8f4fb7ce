"""What a configuration comes to: listeners, certificates, the policy, the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto._io.certificates import Certificates, ServerCertificate
from pop3proto._io.listener import Listener, ProxyProtocol
from pop3proto.logs import LogObserver
from pop3proto.procedures.server.handlers import HANDLERS
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.registry import SERVER_MECHANISMS

from .access.policy import AccessPolicy
from .config.values import APOP, USER_PASS
from .log.audit import AuditLog
from .retention.last import LAST_HANDLERS
from .site_store import SiteStore

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from pop3proto.procedures.observer import ServerObserver

    from .access.login_times import LoginTimes
    from .accounts import Accounts
    from .config.listeners import CertificateFiles, Listen, Tls
    from .config.main import ServeConfig
    from .metrics.figures import ServerMetrics
    from .retention.job import PurgeJob
    from .site import Site

__all__ = ["Lasting", "certificates_of", "listener_of", "policy_of", "service_of"]


@attrs.frozen(kw_only=True)
class Lasting:
    """What lasts over a reload.

    Args:
        times: when users have logged in.
        job: the job that removes what has expired; None: none runs.
        metrics: the figures; None: there are none.
    """

    times: LoginTimes
    job: PurgeJob | None
    metrics: ServerMetrics | None


def certificates_of(tls: Tls | None) -> Certificates | None:
    """Return the certificates, read; None: there is no TLS.

    Raises:
        OSError: a file cannot be used, and which.
    """
    if tls is None:
        return None
    return Certificates(
        _files(tls),
        names={name: _files(files) for name, files in tls.names.items()},
        client_ca=tls.client_ca,
        client_crl=tls.client_crl,
        minimum_version="TLSv1.3" if tls.minimum == "1.3" else "TLSv1.2",
    )


def _files(files: CertificateFiles) -> ServerCertificate:
    return ServerCertificate(files.certificate, files.key)


def listener_of(listen: Listen, sockets: Sequence[socket.socket], *, tls: bool) -> Listener:
    """Return a listener on sockets that are bound.

    Args:
        listen: its configuration.
        sockets: on which it accepts.
        tls: there is a certificate; without it there is no STLS.
    """
    proxies = listen.proxy_protocol
    return Listener(
        sockets=sockets,
        tls=listen.tls if tls else "none",
        name=listen.systemd or "",
        domain=listen.domain or "",
        proxy_protocol=None
        if proxies is None
        else ProxyProtocol(networks=proxies.from_, trust_tls=proxies.trust_tls, timeout=proxies.timeout),
    )


def policy_of(config: ServeConfig, times: LoginTimes) -> AccessPolicy:
    """Return who may log in, from where and when."""
    return AccessPolicy(
        rules=[rule.value() for rule in config.access],
        sessions_per_user=config.limits.per_user,
        sessions_by_network={str(network): most for network, most in config.limits.per_network.items()},
        paces=[delay.value() for delay in config.login.delay],
        times=times,
        ignore_case=config.login.ignore_case or config.lower_case_users,
    )


def service_of(site: Site, accounts: Accounts, lasting: Lasting) -> Service:
    """Return the service of a site.

    Raises:
        LocalProtocolError: a text cannot be sent to a client.
    """
    config = site.config
    observers: list[ServerObserver] = [
        *([LogObserver()] if config.log.dialogue else []),
        *([] if config.log.audit is None else [AuditLog()]),
        *([] if lasting.metrics is None else [lasting.metrics]),
    ]
    service = Service(
        store=SiteStore(site, lasting.job, lasting.metrics),
        authenticator=accounts.authenticator,
        cleartext=config.login.cleartext,
        deadlines=config.timeouts.value(),
        max_sessions=config.limits.sessions,
        max_sessions_before_login=config.limits.before_login,
        max_sessions_per_address=config.limits.per_address,
        logins_per_address=config.limits.logins_per_address,
        login_penalty=config.login.penalty.value(),
        exempt=config.limits.exempt,
        policy=policy_of(config, lasting.times),
        login_attempts=config.login.attempts,
        failure_delay=config.login.failure_delay,
        greeting=config.greeting,
        hostname=config.hostname,
        lower_case_users=config.lower_case_users,
        quirks=config.quirks,
        handlers={**HANDLERS, **LAST_HANDLERS} if config.last else HANDLERS,
        observer=observers,
    )
    if (methods := config.login.methods) is None:
        return service
    return attrs.evolve(
        service,
        mechanisms=[name for name in SERVER_MECHANISMS if name in methods],
        user_pass=USER_PASS in methods,
        apop=APOP in methods,
    )
