"""What the reference needs beside autodoc: links to public names by the name alone, and the defaults of attrs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
from sphinx import addnodes

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


def resolve(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Find `Retr` as `pop3proto.Retr`; a name that two packages have stays without a link."""
    if node.get("refdomain") != "py" or node.get("reftype") not in {"obj", "class"}:
        return None
    target = node["reftarget"]
    python = cast("Any", environment.get_domain("py"))
    found = [name for name in python.objects if name.endswith(f".{target}") and name.startswith("pop3proto")]
    public = [name for name in found if name.removesuffix(f".{target}").rpartition(".")[2].islower()]
    if len(public) != 1:
        return None
    [name] = public
    return cast(
        "nodes.reference | None",
        python.resolve_xref(environment, node["refdoc"], app.builder, "obj", name, node, content),
    )


_MEANT: Final = {
    "Facts": ("pop3proto.procedures.Facts", "pop3proto.testing.checks"),
    "State": ("pop3proto.State", "pop3proto.fetching"),
}
"""What a short name means, and the package in which it means its own thing of this name."""


def prefer_the_lower_floor(_app: Sphinx, document: nodes.document) -> None:
    """Let short names that two packages have lead to the lower one, but within the package of the other one."""
    for node in document.findall(addnodes.pending_xref):
        if node.get("refdomain") == "py" and (meant := _MEANT.get(str(node.get("reftarget")))) is not None:
            name, other = meant
            own = node.get("py:module") == other
            node["reftarget"] = f"{other}.{name.rpartition('.')[2]}" if own else name


_DEFAULT: Final = re.compile(r"attr_dict\['(\w+)'\]\.default")  # as the source of an __init__ that attrs has written
_SHORT: Final = 30  # characters


def show_defaults(
    _app: Sphinx, _what: str, _name: str, thing: object, _options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """Show the default of each argument of a class of attrs, or an ellipsis if it is long."""
    if not isinstance(thing, type) or not attrs.has(thing) or signature is None:
        return None
    fields = attrs.fields_dict(thing)
    return _DEFAULT.sub(lambda match: _short(fields[match[1]].default), signature), returned


def _short(default: object) -> str:
    kind = type(default)
    plain = attrs.has(kind) and all(field.default is not attrs.NOTHING for field in attrs.fields(kind))
    text = f"{kind.__name__}()" if plain and default == kind() else repr(default)
    return text if len(text) <= _SHORT else "..."


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it to Sphinx."""
    app.connect("missing-reference", resolve)
    app.connect("doctree-read", prefer_the_lower_floor)
    app.connect("autodoc-process-signature", show_defaults)
    return {"parallel_read_safe": True}
