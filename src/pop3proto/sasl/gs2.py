"""The header that SASL mechanisms share with GSS-API: how a name stands in it (RFC 5801 section 4)."""

from __future__ import annotations

import re
from typing import Final

from .mechanism import MechanismError

__all__ = ["escape_name", "unescape_name"]

_UNESCAPED: Final = re.compile(",|=(?!2C|3D)")


def escape_name(name: str) -> str:
    """Return a name without commas, which end it: "," as "=2C", and "=" as "=3D"."""
    return name.replace("=", "=3D").replace(",", "=2C")


def unescape_name(escaped: str) -> str:
    """Return the name that `escape_name` was given.

    Raises:
        MechanismError: a "," or "=" in it is not escaped (RFC 5802 section 5.1).
    """
    if _UNESCAPED.search(escaped):
        raise MechanismError('"," and "=" in a name are escaped as =2C and =3D')
    return escaped.replace("=2C", ",").replace("=3D", "=")
