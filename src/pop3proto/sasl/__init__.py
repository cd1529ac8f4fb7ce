"""SASL mechanisms, both roles: octets in, octets out. No base64, no randomness, no clock."""

from __future__ import annotations

from .mechanism import ClientMechanism, MechanismError
from .plain import PlainClient, PlainCredentials

__all__ = ["ClientMechanism", "MechanismError", "PlainClient", "PlainCredentials"]
