"""Why a message was not delivered."""

from __future__ import annotations

from pop3proto.core.errors import Pop3Error

__all__ = ["DeliverLater", "DeliveryError", "DeliveryRefused"]


class DeliveryError(Pop3Error):
    """The message was not delivered."""


class DeliverLater(DeliveryError):
    """It cannot be delivered now: a disk, a filter, or a full maildrop that may get room. Deliver it again."""


class DeliveryRefused(DeliveryError):
    """It will not be delivered: to try again does not help."""
