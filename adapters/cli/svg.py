"""A rule's graph as SVG: boxes in layers from top to bottom, arrows between them, edges back along the right side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from cep.lang.graph import Edge, Graph, Node

_LETTER, _LINE, _PAD, _GAP = 7.2, 18, 12, 28  # the width of a letter, the height of a line, inside and between boxes
_MARGIN = 24
_STYLE = (
    "text{font:13px ui-monospace,monospace;fill:#1b2733}.title{font-weight:bold}.detail,.label{fill:#51606f}"
    "rect{fill:#f4f7fa;stroke:#51606f;stroke-width:1.2}.alert{fill:#fdeceb;stroke:#b3261e}.start{fill:#eaf4ec;"
    "stroke:#2e7d32}path{fill:none;stroke:#51606f;stroke-width:1.2}"
)
_ARROW = (
    '<marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<polygon points="0,0 8,4 0,8" fill="#51606f"/></marker>'
)


@dataclass(slots=True)
class _Box:
    """Where a node stands, or an edge passes a layer: its middle, its upper edge, and its size.

    `label` is how far what is written beside the arrow into it reaches to the right of its middle.
    """

    layer: int
    width: float = 0
    height: float = 0
    label: float = 0
    x: float = 0
    y: float = 0

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def right(self) -> float:
        return self.x + max(self.width / 2, self.label)


def svg(drawn: Graph) -> str:
    """The drawing, complete in itself."""
    heading = [drawn.heading, *drawn.notes]
    layout = _Layout(drawn, _MARGIN + _LINE * len(heading))
    width = max(layout.right, _wide(heading) + _MARGIN) + _MARGIN
    height = layout.bottom + _MARGIN
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f"<title>{escape(drawn.heading)}</title><style>{_STYLE}</style><defs>{_ARROW}</defs>",
        *_lines(heading, _MARGIN, _MARGIN, "start"),
        *layout.arrows(),
        *(part for node, box in zip(drawn.nodes, layout.boxes, strict=True) for part in _box(node, box)),
        "</svg>",
    ]
    return "\n".join([*parts, ""])


class _Layout:
    """Nodes in layers, each under those that lead to it; an edge over several layers has a place in each."""

    def __init__(self, drawn: Graph, top: float) -> None:
        self._drawn = drawn
        layers = _layers(drawn)
        self.boxes = [
            _Box(layer, _wide([n.title, *n.details]) + 2 * _PAD, _LINE * (1 + len(n.details)) + _PAD)
            for n, layer in zip(drawn.nodes, layers, strict=True)
        ]
        self._ways: list[tuple[Edge, list[_Box]]] = []
        for edge in drawn.edges:
            if not edge.back:
                source, target = self.boxes[edge.source], self.boxes[edge.target]
                passed = [_Box(layer) for layer in range(source.layer + 1, target.layer)]
                self._ways.append((edge, [source, *passed, target]))
                target.label = max(target.label, 8 + _wide(edge.labels))
        self._stand(top)
        left = min(box.x - box.width / 2 for box in self._all())
        for box in self._all():
            box.x += _MARGIN - left
        self.right = max(box.right for box in self._all())
        self.bottom = max(box.bottom for box in self.boxes)
        self._lanes = list(self._back())

    def _all(self) -> list[_Box]:
        return [*self.boxes, *(box for _, way in self._ways for box in way[1:-1])]

    def _stand(self, top: float) -> None:
        """Give the boxes of one layer after the other their places."""
        above: dict[int, list[_Box]] = {}
        for _, way in self._ways:
            for upper, lower in pairwise(way):
                above.setdefault(id(lower), []).append(upper)
        for layer in range(1 + max(box.layer for box in self.boxes)):
            row = [box for box in self._all() if box.layer == layer]
            for box in row:
                leading = above.get(id(box), [box])
                box.x = sum(upper.x for upper in leading) / len(leading)
            row.sort(key=lambda box: box.x)
            wanted = sum(box.x for box in row) / len(row)
            for left, right in pairwise(row):
                right.x = max(right.x, left.right + _GAP + right.width / 2)
            shift = wanted - sum(box.x for box in row) / len(row)
            into = [len(edge.labels) for edge, way in self._ways if way[-1] in row]
            top += _LINE * max(into, default=0) + (_GAP if layer else _PAD)
            for box in row:
                box.x += shift
                box.y = top
            top += max(box.height for box in row)
            for box in row:
                if not box.width:
                    box.height = top - box.y

    def _back(self) -> Iterator[tuple[Edge, float]]:
        """The edges back, each with its own way along the right side, its label beside it."""
        for edge in (edge for edge in self._drawn.edges if edge.back):
            yield edge, self.right + _GAP
            self.right += _GAP + 8 + _wide(edge.labels)

    def arrows(self) -> Iterator[str]:
        """Every edge with what is written on it."""
        for edge, way in self._ways:
            source, *passed, target = way
            points = [
                (source.x, source.bottom),
                *((b.x, y) for b in passed for y in (b.y, b.bottom)),
                (target.x, target.y),
            ]
            yield _path("M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in points))
            yield from _lines(
                edge.labels, target.x + 8, target.y - 10 - _LINE * (len(edge.labels) - 0.5), "start", "label"
            )
        for edge, x in self._lanes:
            source, target = self.boxes[edge.source], self.boxes[edge.target]
            low, high = source.y + source.height * 2 / 3, target.y + target.height / 3
            ends = (source.x + source.width / 2, target.x + target.width / 2)
            yield _path(f"M{ends[0]:.1f},{low:.1f} H{x:.1f} V{high:.1f} H{ends[1]:.1f}")
            yield from _lines(edge.labels, x + 6, (low + high) / 2, "start", "label")


def _layers(drawn: Graph) -> list[int]:
    """How many edges lie at most between the first node and each; edges back do not count."""
    layers = [0] * len(drawn.nodes)
    for edge in sorted((e for e in drawn.edges if not e.back), key=lambda e: e.target):
        layers[edge.target] = max(layers[edge.target], layers[edge.source] + 1)
    return layers


def _box(node: Node, box: _Box) -> Iterator[str]:
    left = box.x - box.width / 2
    kind = f' class="{node.kind}"' if node.kind in ("start", "alert") else ""
    radius = box.height / 2 if node.kind == "start" else 6
    place = f'x="{left:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    yield f'<rect{kind} {place} rx="{radius:.1f}"/>'
    yield from _lines([node.title], box.x, box.y + _PAD / 2 + _LINE / 2, "middle", "title")
    yield from _lines(node.details, left + _PAD, box.y + _PAD / 2 + _LINE * 1.5, "start", "detail")


def _lines(lines: Sequence[str], x: float, y: float, anchor: str, kind: str = "title") -> Iterator[str]:
    for number, line in enumerate(lines):
        at = f'x="{x:.1f}" y="{y + number * _LINE:.1f}"'
        yield f'<text class="{kind}" {at} text-anchor="{anchor}" dominant-baseline="middle">{escape(line)}</text>'


def _path(d: str) -> str:
    return f'<path d="{d}" marker-end="url(#arrow)"/>'


def _wide(lines: Sequence[str]) -> float:
    return _LETTER * max((len(line) for line in lines), default=0)
