"""The keys of the configuration file are fields of attrs classes: their meaning is in the metadata of the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import attrs

__all__ = ["about", "meaning"]


def about(text: str) -> dict[str, str]:
    """Return metadata of a field that is a key.

    Args:
        text: what the key means, in Markdown.
    """
    return {"about": text}


def meaning(field: attrs.Attribute[object]) -> str | None:
    """Return what a key means; None: the field is no key."""
    text: str | None = field.metadata.get("about")
    return text
