"""The tree of a sequence → its graph: where a run can stand, and the moves from there in order of priority.

The follow sets are those of Glushkov's automaton (V. M. Glushkov, 1961), with counters for loops and groups: from each
stage, and for each group around it, what can come next once that group is left. What comes furthest has first pick.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from cep.lang.checked.rules import Group, Item, When
from cep.layout.patterns import Edge, EdgeKind, Enter, Graph, GroupSpec, Guard, Region, Stage


@dataclass(slots=True)
class Node:
    """An item of a sequence: a step, a `no`, a group that happens in iterations, or a choice among branches.

    number: among the positive steps, the guards, the groups or the choices. parts: a group's one sequence, a choice's
    branches, which are the `regions`. span: the positive steps inside.
    """

    what: str  # "step", "guard", "group" or "choice"
    number: int
    least: int
    most: int | None
    link: str | None
    within_us: int
    in_row: bool
    parts: tuple[tuple[Node, ...], ...]
    span: tuple[int, int]
    regions: tuple[int, ...] = ()


Nodes = tuple[Node, ...]
Seat = tuple[Nodes, int]  # an item: its sequence, and its place in it


def _nearer(a: int, b: int) -> int:
    """The shorter of two gaps; -1 is none."""
    return max(a, b) if a < 0 or b < 0 else min(a, b)


@dataclass(slots=True)
class _Builder:
    """Numbers everything in the order of the text, then makes the edges."""

    when: When
    steps: int = 0
    guards: int = 0
    groups: list[GroupSpec] = field(default_factory=list)
    stages: dict[int, Stage] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    choices: int = 0
    eaches: list[int] = field(default_factory=list)  # the first step behind each `then each`

    def nodes(self, items: Iterable[Item], region: int) -> Nodes:
        """The items as nodes; the groups and choices in them get their numbers."""
        return tuple(self._node(item, region) for item in items)

    def _node(self, item: Item, region: int) -> Node:
        part = item if isinstance(item, Group) else self.when.steps[item]
        first = self.steps
        if part.link == "then each":
            self.eaches.append(first)
        within_us = -1 if part.within_us is None else part.within_us
        node = Node("step", first, part.least, part.most, part.link, within_us, part.in_row, (), (first, first + 1))
        if isinstance(part, Group):
            return self._group(part, node, region)
        if part.negated:
            self.guards += 1
            return replace(node, what="guard", number=self.guards - 1, least=0)
        self.steps += 1
        return node

    def _group(self, group: Group, node: Node, region: int) -> Node:
        once = group.least == 1 and group.most == 1
        number = -1
        if len(group.branches) == 1 or not once:
            number = len(self.groups)
            self.groups.append(GroupSpec(region, group.least, -1 if group.most is None else group.most, (0, 0)))
        first = self.steps
        body = self.nodes(group.branches[0], region) if len(group.branches) == 1 else (self._choice(group, region),)
        if number < 0:
            return replace(body[0], link=node.link, within_us=node.within_us)
        span = (first, self.steps)
        self.groups[number] = replace(self.groups[number], span=span)
        return replace(node, what="group", number=number, parts=(body,), span=span)

    def _choice(self, group: Group, region: int) -> Node:
        number = self.choices
        self.choices += 1
        first, parts, regions = self.steps, [], []
        for branch in group.branches:
            at, begin = len(self.regions), self.steps
            self.regions.append(Region(number, region, (0, 0), group.count < len(group.branches), ()))
            body = self.nodes(branch, at)
            self.regions[at] = replace(
                self.regions[at], span=(begin, self.steps), begins=tuple(_edges(_openings(body), EdgeKind.FORWARD, 0))
            )
            parts.append(body)
            regions.append(at)
        span = (first, self.steps)
        return Node("choice", number, group.count, group.count, None, -1, False, tuple(parts), span, tuple(regions))

    # ---------------------------------------------------------------------------------- edges

    def place(self, nodes: Nodes, region: int, around: tuple[tuple[Node, Seat], ...]) -> None:
        """Make the stages of a sequence. around: the groups of the region that it stands in, innermost first."""
        for at, node in enumerate(nodes):
            seat = (nodes, at)
            if node.what == "group":
                self.place(node.parts[0], region, ((node, seat), *around))
            elif node.what != "guard":
                self._stage(node, region, (seat, *(seat for _, seat in around)), tuple(group for group, _ in around))
            if node.what == "choice":
                for branch, inside in zip(node.parts, node.regions, strict=True):
                    self.place(branch, inside, ())

    def _stage(self, node: Node, region: int, seats: tuple[Seat, ...], groups: Nodes) -> None:
        number = node.number if node.what == "step" else self.steps + node.number
        top = len(groups)
        edges: list[Edge] = []
        if region == 0 and _ends(*seats[top]):
            passed = _guards(seats[top][0][seats[top][1] + 1 :])
            edges.append(Edge(EdgeKind.END, top, -1, False, -1, False, passed, ()))
        for level in range(top, -1, -1):
            edges += _edges(_onward(*seats[level]), EdgeKind.FORWARD, level)
            if level > 0 and groups[level - 1].most != 1:
                edges += _again(groups[level - 1], level)
        if node.what == "step" and node.most != 1:
            edges.append(Edge(EdgeKind.LOOP, 0, number, node.in_row, node.within_us, False, (), ()))
        self.stages[number] = Stage(
            region=region,
            least=node.least,
            most=-1 if node.most is None else node.most,
            levels=tuple((group.number, _ends(*seats[level])) for level, group in enumerate(groups)),
            tail=_ends(*seats[top]),
            edges=tuple(edges),
            before_each=any(node.span[0] < first for first in self.eaches),
        )


@dataclass(frozen=True, slots=True)
class _Opening:
    """A way into an item or a sequence: the step that it begins with."""

    target: int
    within_us: int
    guards: tuple[int, ...] = ()
    path: tuple[tuple[Enter, int], ...] = ()
    immediate: bool = False
    each: bool = False


def _edges(openings: Iterable[_Opening], kind: EdgeKind, level: int) -> Iterator[Edge]:
    for o in openings:
        yield Edge(kind, level, o.target, o.immediate, o.within_us, o.each, o.guards, o.path)


def _again(group: Node, level: int) -> Iterator[Edge]:
    """Another iteration: the first of it is asked for its own gap, and the group only whether `in a row`."""
    for edge in _edges(_openings(group.parts[0]), EdgeKind.AGAIN, level):
        yield replace(edge, immediate=group.in_row, path=((Enter.ITERATION, group.number), *edge.path))


def _onward(nodes: Nodes, at: int) -> Iterator[_Opening]:
    """The ways on from an item to those behind it, the furthest first; links count between the two only."""
    for place in reversed(_reach(nodes, at)):
        node = nodes[place]
        passed = _guards(nodes[at + 1 : place])
        for way in _entries(node):
            yield replace(
                way,
                guards=(*passed, *way.guards),
                immediate=node.link == "next",
                each=node.link == "then each",
            )


def _openings(nodes: Nodes) -> Iterator[_Opening]:
    """The ways into a sequence."""
    for way in _onward(nodes, -1):
        yield replace(way, immediate=False, each=False)


def _entries(node: Node) -> Iterator[_Opening]:
    """The ways into an item."""
    if node.what == "step":
        yield _Opening(node.number, node.within_us)
        return
    enter = (Enter.GROUP if node.what == "group" else Enter.CHOICE, node.number)
    for part in node.parts:
        for way in _openings(part):
            yield replace(way, within_us=_nearer(way.within_us, node.within_us), path=(enter, *way.path))


def _reach(nodes: Nodes, at: int) -> list[int]:
    """The places of the items that can come next, up to the first that has to happen."""
    found = []
    for place in range(at + 1, len(nodes)):
        if nodes[place].what != "guard":
            found.append(place)
        if nodes[place].least > 0:
            break
    return found


def _ends(nodes: Nodes, at: int) -> bool:
    """Whether nothing behind the item has to happen."""
    return all(node.least == 0 for node in nodes[at + 1 :])


def _guards(nodes: Nodes) -> tuple[int, ...]:
    return tuple(node.number for node in nodes if node.what == "guard")


def build_graph(when: When, guards: tuple[Guard, ...], until: Guard | None) -> Graph:
    """The graph of a sequence. guards: its `no`s in the order of the text."""
    builder = _Builder(when)
    builder.regions.append(Region(-1, -1, (0, 0), False, ()))
    nodes = builder.nodes(when.items, 0)
    begins = tuple(_edges(_openings(nodes), EdgeKind.FORWARD, 0))
    builder.regions[0] = replace(builder.regions[0], span=(0, builder.steps), begins=begins)
    builder.place(nodes, 0, ())
    resume = (-1, False)
    if when.resume is not None:
        step = sum(not s.negated for s in when.steps[: when.resume.step])
        resume = (step, when.resume.which == "last")
    return Graph(
        stages=tuple(stage for _, stage in sorted(builder.stages.items())),
        regions=tuple(builder.regions),
        groups=tuple(builder.groups),
        guards=guards,
        until=until,
        resume=resume,
    )
