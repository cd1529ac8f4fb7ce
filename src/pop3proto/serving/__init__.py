"""What an administrator's POP3 server needs around the protocol: quota, delivery, retention, backup.

Nothing here prints. It needs a POSIX system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .delivery.deliver import DeliveryReport, deliver_message
    from .delivery.errors import DeliverLater, DeliveryError, DeliveryRefused
    from .delivery.filtering import Filtering
    from .delivery.header import Envelope
    from .delivery.verdicts import JunkAction, MessageKind, Verdict
    from .quota.maildir_quota import MaildirQuota
    from .quota.rules import Quota, Usage

__all__ = [
    "DeliverLater",
    "DeliveryError",
    "DeliveryRefused",
    "DeliveryReport",
    "Envelope",
    "Filtering",
    "JunkAction",
    "MaildirQuota",
    "MessageKind",
    "Quota",
    "Usage",
    "Verdict",
    "deliver_message",
]

export(
    globals(),
    {
        ".delivery.deliver": "DeliveryReport deliver_message",
        ".delivery.errors": "DeliverLater DeliveryError DeliveryRefused",
        ".delivery.filtering": "Filtering",
        ".delivery.header": "Envelope",
        ".delivery.verdicts": "JunkAction MessageKind Verdict",
        ".quota.maildir_quota": "MaildirQuota",
        ".quota.rules": "Quota Usage",
    },
)
