"""Links from a docstring to any public name of the package, by the name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it to Sphinx."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
