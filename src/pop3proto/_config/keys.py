"""The keys of the configuration file are fields of attrs classes: their meaning is in the metadata of the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import attrs

__all__ = ["about", "key_of", "kind_of", "meaning"]


def about(text: str, kind: object = None) -> dict[str, object]:
    """Return metadata of a field that is a key.

    Args:
        text: what the key means, in Markdown.
        kind: the type of its value in the file, where that of the field does not tell: `Octets` for a number that is
            written as a size.
    """
    return {"about": text} if kind is None else {"about": text, "kind": kind}


def meaning(field: attrs.Attribute[object]) -> str | None:
    """Return what a key means; None: the field is no key."""
    text: str | None = field.metadata.get("about")
    return text


def kind_of(field: attrs.Attribute[object]) -> object:
    """Return the type of a key's value."""
    return field.metadata.get("kind", field.type)


def key_of(name: str) -> str:
    """Return the key of a field: its name, without the underscore behind a name that is a word of Python."""
    return name.removesuffix("_")
