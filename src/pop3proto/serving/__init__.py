"""What an administrator's POP3 server needs around the protocol: configuration, users and their mail.

Nothing here prints. It needs a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .backup.errors import BackupConflict, BadBackup
    from .backup.restoring import RestoreReport, restore_backup
    from .backup.verifying import VerifyReport, verify_backup
    from .backup.writing import BackupReport, MaildropPlace, write_backup
    from .delivery.deliver import DeliveryReport, deliver_message
    from .delivery.errors import DeliverLater, DeliveryError, DeliveryRefused
    from .delivery.filtering import Filtering
    from .delivery.header import Envelope
    from .delivery.verdicts import JunkAction, MessageKind, Verdict
    from .quota.maildir_quota import MaildirQuota
    from .quota.rules import Quota, Usage
    from .retention.job import PurgeJob
    from .retention.purge import MaildropInUse, Purged, PurgeReport, purge
    from .retention.rules import MaildropRules, OnDelete, Retain
    from .retention.store import RetainingStore
    from .retention.undelete import undelete
    from .site import Site, UnknownUsers
    from .template import Template

__all__ = [
    "BackupConflict",
    "BackupReport",
    "BadBackup",
    "DeliverLater",
    "DeliveryError",
    "DeliveryRefused",
    "DeliveryReport",
    "Envelope",
    "Filtering",
    "JunkAction",
    "MaildirQuota",
    "MaildropInUse",
    "MaildropPlace",
    "MaildropRules",
    "MessageKind",
    "OnDelete",
    "PurgeJob",
    "PurgeReport",
    "Purged",
    "Quota",
    "RestoreReport",
    "Retain",
    "RetainingStore",
    "Site",
    "Template",
    "UnknownUsers",
    "Usage",
    "Verdict",
    "VerifyReport",
    "deliver_message",
    "purge",
    "restore_backup",
    "undelete",
    "verify_backup",
    "write_backup",
]

export(
    globals(),
    {
        ".backup.errors": "BackupConflict BadBackup",
        ".backup.restoring": "RestoreReport restore_backup",
        ".backup.verifying": "VerifyReport verify_backup",
        ".backup.writing": "BackupReport MaildropPlace write_backup",
        ".delivery.deliver": "DeliveryReport deliver_message",
        ".delivery.errors": "DeliverLater DeliveryError DeliveryRefused",
        ".delivery.filtering": "Filtering",
        ".delivery.header": "Envelope",
        ".delivery.verdicts": "JunkAction MessageKind Verdict",
        ".quota.maildir_quota": "MaildirQuota",
        ".quota.rules": "Quota Usage",
        ".retention.job": "PurgeJob",
        ".retention.purge": "MaildropInUse PurgeReport Purged purge",
        ".retention.rules": "MaildropRules OnDelete Retain",
        ".retention.store": "RetainingStore",
        ".retention.undelete": "undelete",
        ".site": "Site UnknownUsers",
        ".template": "Template",
    },
)
