"""What an administrator's POP3 server needs around the protocol: configuration, users, access, quota, delivery, backup.

Nothing here prints. It needs a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._io.certificates import Certificates, ServerCertificate, TlsVersion
    from pop3proto._io.listener import Listener, ProxyProtocol

    from .access.hours import Hours
    from .access.login_times import LoginPace, LoginTimes
    from .access.policy import AccessPolicy
    from .access.rules import CodeName, Refusal, Rule
    from .activation import inherited_sockets
    from .backup.errors import BackupConflict, BadBackup, NothingToBackUp
    from .backup.restoring import RestoreReport, restore_backup
    from .backup.verifying import VerifyReport, verify_backup
    from .backup.writing import BackupReport, MaildropPlace, write_backup
    from .delivery.deliver import DeliveryReport, deliver_message
    from .delivery.errors import DeliverLater, DeliveryError, DeliveryRefused
    from .delivery.filtering import Filtering
    from .delivery.header import Envelope
    from .delivery.verdicts import JunkAction, MessageKind, Verdict
    from .log.audit import AuditLog
    from .log.fields import JsonFormatter
    from .metrics.figures import ServerMetrics
    from .notifier import Notifier
    from .privileges import check_not_root, drop_privileges
    from .quota.maildir_quota import MaildirQuota
    from .quota.rules import Quota, Usage
    from .retention.job import PurgeJob
    from .retention.last import LAST_HANDLERS, Last
    from .retention.purge import MaildropInUse, Purged, PurgeReport, purge
    from .retention.rules import MaildropRules, OnDelete, Retain
    from .retention.store import RetainingStore
    from .retention.undelete import undelete
    from .running import CannotServe, SiteServer
    from .site import Site, UnknownUsers
    from .template import Template

__all__ = [
    "LAST_HANDLERS",
    "AccessPolicy",
    "AuditLog",
    "BackupConflict",
    "BackupReport",
    "BadBackup",
    "CannotServe",
    "Certificates",
    "CodeName",
    "DeliverLater",
    "DeliveryError",
    "DeliveryRefused",
    "DeliveryReport",
    "Envelope",
    "Filtering",
    "Hours",
    "JsonFormatter",
    "JunkAction",
    "Last",
    "Listener",
    "LoginPace",
    "LoginTimes",
    "MaildirQuota",
    "MaildropInUse",
    "MaildropPlace",
    "MaildropRules",
    "MessageKind",
    "NothingToBackUp",
    "Notifier",
    "OnDelete",
    "ProxyProtocol",
    "PurgeJob",
    "PurgeReport",
    "Purged",
    "Quota",
    "Refusal",
    "RestoreReport",
    "Retain",
    "RetainingStore",
    "Rule",
    "ServerCertificate",
    "ServerMetrics",
    "Site",
    "SiteServer",
    "Template",
    "TlsVersion",
    "UnknownUsers",
    "Usage",
    "Verdict",
    "VerifyReport",
    "check_not_root",
    "deliver_message",
    "drop_privileges",
    "inherited_sockets",
    "purge",
    "restore_backup",
    "undelete",
    "verify_backup",
    "write_backup",
]

export(
    globals(),
    {
        ".access.hours": "Hours",
        ".access.login_times": "LoginPace LoginTimes",
        ".access.policy": "AccessPolicy",
        ".access.rules": "CodeName Refusal Rule",
        ".activation": "inherited_sockets",
        ".backup.errors": "BackupConflict BadBackup NothingToBackUp",
        ".backup.restoring": "RestoreReport restore_backup",
        ".backup.verifying": "VerifyReport verify_backup",
        ".backup.writing": "BackupReport MaildropPlace write_backup",
        ".delivery.deliver": "DeliveryReport deliver_message",
        ".delivery.errors": "DeliverLater DeliveryError DeliveryRefused",
        ".delivery.filtering": "Filtering",
        ".delivery.header": "Envelope",
        ".delivery.verdicts": "JunkAction MessageKind Verdict",
        ".log.audit": "AuditLog",
        ".log.fields": "JsonFormatter",
        ".metrics.figures": "ServerMetrics",
        ".notifier": "Notifier",
        ".privileges": "check_not_root drop_privileges",
        ".quota.maildir_quota": "MaildirQuota",
        ".quota.rules": "Quota Usage",
        ".retention.job": "PurgeJob",
        ".retention.last": "LAST_HANDLERS Last",
        ".retention.purge": "MaildropInUse PurgeReport Purged purge",
        ".retention.rules": "MaildropRules OnDelete Retain",
        ".retention.store": "RetainingStore",
        ".retention.undelete": "undelete",
        ".running": "CannotServe SiteServer",
        ".site": "Site UnknownUsers",
        ".template": "Template",
        "pop3proto._io.certificates": "Certificates ServerCertificate TlsVersion",
        "pop3proto._io.listener": "Listener ProxyProtocol",
    },
)
