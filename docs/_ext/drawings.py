"""Drawings that follow the theme: the state diagrams, made from the protocol's own tables, and SVG files, inlined.

All colours are variables of the theme, so one drawing serves light and dark.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple, TypeAlias

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from pop3proto import STANDARD, Err, Ok, State
from pop3proto.core.session_state import transitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sphinx.application import Sphinx

Role: TypeAlias = Literal["client", "server"]
Edge: TypeAlias = tuple[State, State]


class Box(NamedTuple):
    """Where a state is drawn, in units of the viewBox."""

    left: int
    top: int
    width: int
    height: int


class Route(NamedTuple):
    """How an edge is drawn: its corners, where its label stands, and how many characters a line of that may have."""

    corners: tuple[tuple[int, int], ...]
    label: tuple[int, int]
    anchor: Literal["start", "middle"] = "start"
    upright: bool = True
    length: int = 40


WIDTH: Final = 460
HEIGHT: Final = {"client": 560, "server": 640}
LINE: Final = 14  # from one line of text to the next

BOXES: Final = {
    State.GREETING: Box(40, 12, 120, 38),
    State.TLS_HANDSHAKE: Box(300, 22, 150, 38),
    State.AUTHORIZATION: Box(40, 110, 180, 76),
    State.USER_GIVEN: Box(40, 262, 130, 46),
    State.SASL: Box(320, 262, 110, 46),
    State.TRANSACTION: Box(40, 388, 390, 56),
    State.UPDATE: Box(180, 508, 110, 38),
    State.CLOSED: Box(180, 508, 110, 38),
}
LOWER: Final = Box(180, 590, 110, 38)  # CLOSED, where UPDATE comes before it

# All edges into CLOSED from before the login go down the left margin.
ROUTES: Final = {
    (State.GREETING, State.AUTHORIZATION): Route(((100, 50), (100, 110)), (106, 84)),
    (State.AUTHORIZATION, State.TLS_HANDSHAKE): Route(((220, 122), (410, 122), (410, 60)), (228, 117)),
    (State.TLS_HANDSHAKE, State.AUTHORIZATION): Route(((300, 41), (190, 41), (190, 110)), (196, 35)),
    (State.AUTHORIZATION, State.SASL): Route(((220, 150), (400, 150), (400, 262)), (228, 145)),
    (State.SASL, State.AUTHORIZATION): Route(((345, 262), (345, 176), (220, 176)), (228, 171)),
    (State.AUTHORIZATION, State.USER_GIVEN): Route(((62, 186), (62, 262)), (68, 214)),
    (State.USER_GIVEN, State.AUTHORIZATION): Route(((140, 262), (140, 186)), (146, 208), length=8),
    (State.AUTHORIZATION, State.TRANSACTION): Route(((212, 186), (212, 388)), (218, 336)),
    (State.USER_GIVEN, State.TRANSACTION): Route(((100, 308), (100, 388)), (106, 352)),
    (State.SASL, State.TRANSACTION): Route(((375, 308), (375, 388)), (381, 352)),
    (State.TRANSACTION, State.UPDATE): Route(((235, 444), (235, 508)), (241, 480)),
    (State.TRANSACTION, State.CLOSED): Route(((235, 444), (235, 508)), (241, 480)),
    (State.UPDATE, State.CLOSED): Route(((235, 546), (235, 590)), (241, 572)),
    (State.GREETING, State.CLOSED): Route(((40, 31), (22, 31), (22, 0), (180, 0)), (16, 72), "middle", upright=False),
    (State.AUTHORIZATION, State.CLOSED): Route(
        ((40, 148), (22, 148), (22, 0), (180, 0)), (16, 206), "middle", upright=False
    ),
    (State.USER_GIVEN, State.CLOSED): Route(
        ((40, 285), (22, 285), (22, 0), (180, 0)), (16, 346), "middle", upright=False
    ),
}


def edges(role: Role) -> dict[Edge, dict[str, set[str]]]:
    """Return what leads from one state to another: by edge, what is sent and the answers that have this effect."""
    found: dict[Edge, dict[str, set[str]]] = {}

    def add(source: State, target: State, what: str, *answers: str) -> None:
        found.setdefault((source, target), {}).setdefault(what, set()).update(answers)

    verbs = {command.__name__: command.verb for command in STANDARD}
    for (source, name, reply), target in transitions(STANDARD).items():
        if role == "server" and source is State.TRANSACTION and target is State.CLOSED:
            continue  # by way of UPDATE, below
        add(source, target, verbs[name], {Ok: "+OK", Err: "-ERR"}[reply])
    # What the tables leave to the connections: the greeting, exchanges, the handshake, and the UPDATE of servers.
    add(State.GREETING, State.AUTHORIZATION, "greeting", "+OK")
    add(State.GREETING, State.CLOSED, "greeting", "-ERR")
    add(State.TLS_HANDSHAKE, State.AUTHORIZATION, "handshake")
    for command in STANDARD:
        if command.challenged:
            for source in command.legal_in:
                add(source, State.SASL, command.verb, "+ challenge")
            add(State.SASL, command.on_ok or State.SASL, "", "+OK")
            add(State.SASL, command.on_err or State.SASL, "", "-ERR")
        if role == "server" and command.on_receipt is not None:
            add(State.TRANSACTION, command.on_receipt, command.verb)
            add(command.on_receipt, command.on_ok or command.on_receipt, "", "+OK", "-ERR")
    if role == "server":
        add(State.USER_GIVEN, State.AUTHORIZATION, "refusal", "-ERR")
    return found


def labels(what: dict[str, set[str]], length: int) -> list[str]:
    """Return the lines that stand beside an edge: what has the same answers stands together."""
    by_answer: dict[str, list[str]] = {}
    for name, answers in sorted(what.items()):
        both = answers >= {"+OK", "-ERR"}
        shown = "" if both and name else ", ".join(sorted(answers))
        by_answer.setdefault(shown, []).append(name)
    texts = (f"{', '.join(filter(None, names))} {answer}".strip() for answer, names in by_answer.items())
    return [line for text in texts for line in wrap(text, length, break_on_hyphens=False)]


def diagram(role: Role) -> str:
    """Return the states of one role as SVG.

    Raises:
        KeyError: the tables have an edge or a state that has no place in the drawing.
    """
    found = edges(role)
    boxes = BOXES if role == "client" else {**BOXES, State.CLOSED: LOWER}
    shown = {state for edge in found for state in edge}
    stays = {
        source: [verb for verb, answers in what.items() if "+OK" in answers]
        for (source, target), what in found.items()
        if source is target
    }
    title = f"The states of a {role}'s connection, and what leads from one to another"
    parts = [
        f"""<svg class="drawing" role="img" aria-label="{title}" viewBox="0 0 {WIDTH} {HEIGHT[role]}"
xmlns="http://www.w3.org/2000/svg"><defs><marker id="tip-{role}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"
markerHeight="8" orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>"""
    ]
    for edge, what in found.items():
        if edge[0] is not edge[1]:
            parts += _edge(ROUTES[edge], labels(what, ROUTES[edge].length), boxes[edge[1]], role)
    for state in shown:
        parts += _box(boxes[state], state, sorted(stays.get(state, ())))
    return "\n".join([*parts, "</svg>"])


def _edge(route: Route, lines: list[str], target: Box, role: Role) -> list[str]:
    middle = target.top + target.height // 2
    corners = [(x, y or middle) for x, y in route.corners]  # 0: at the height of the target
    path = f'<path class="edge" marker-end="url(#tip-{role})" d="M{" L".join(f"{x} {y}" for x, y in corners)}"/>'
    x, y = route.label
    turn = "" if route.upright else f' transform="rotate(-90 {x} {y})"'
    texts = [
        f'<text class="label" x="{x}" y="{y + number * LINE}" text-anchor="{route.anchor}"{turn}>{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return [path, *texts]


def _box(box: Box, state: State, stays: list[str]) -> list[str]:
    lines = [" ".join(each) for each in _cut(stays, box.width // 38)]
    first = box.top + (box.height - LINE * len(lines)) // 2 + 4
    centre = box.left + box.width // 2
    return [
        f"""<rect class="state {state.name.lower()}" x="{box.left}" y="{box.top}" width="{box.width}"
height="{box.height}" rx="6"/>""",
        f'<text class="name" x="{centre}" y="{first}" text-anchor="middle">{state.name}</text>',
        *(
            f'<text class="stays" x="{centre}" y="{first + number * LINE}" text-anchor="middle">{line}</text>'
            for number, line in enumerate(lines, 1)
        ),
    ]


def _cut(words: list[str], length: int) -> Iterable[list[str]]:
    return (words[start : start + length] for start in range(0, len(words), length))


class StateDiagram(SphinxDirective):
    """The states of a role: `client` or `server`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        role = self.arguments[0]
        if role not in HEIGHT:
            raise self.error(f"there are diagrams for {' and '.join(HEIGHT)}, not for {role}")
        return [nodes.raw("", diagram(role), format="html")]


class Drawing(SphinxDirective):
    """An SVG file, with the text that stands for it where it cannot be seen."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], str]]] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Put it into the page."""
        name, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(name)
        text = Path(path).read_text("utf-8")
        start = f'<svg class="drawing" role="img" aria-label="{escape(self.options["alt"])}"'
        return [nodes.raw("", text.replace("<svg", start, 1), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx the directives."""
    app.add_directive("state-diagram", StateDiagram)
    app.add_directive("drawing", Drawing)
    return {"parallel_read_safe": True}
