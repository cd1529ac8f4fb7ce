"""Commands whose output goes to strangers, or says by itself what is wrong with users."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["no_log"]


@contextmanager
def no_log() -> Generator[None]:
    """Keep the library's log records from standard error, where Python writes them if logging is not configured.

    What a mail server's command prints stands in the message to the sender.
    """
    logger, nowhere = logging.getLogger("pop3proto"), logging.NullHandler()
    logger.addHandler(nowhere)
    try:
        yield
    finally:
        logger.removeHandler(nowhere)
