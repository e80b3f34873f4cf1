"""The patterns of SQL's MATCH_RECOGNIZE, read: a list of items, each a variable or alternatives with a quantifier.

Anchors at the ends of a pattern are taken off and noted; what can never match falls away, and so does what is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from tests.conformance.cases import Node, Outside


@dataclass(frozen=True)
class Step:
    """A variable with its quantifier; `most` None: no bound."""

    variable: str
    least: int = 1
    most: int | None = 1
    greedy: bool = True


@dataclass(frozen=True)
class Choice:
    """Alternatives, the first preferred, with a quantifier."""

    branches: tuple[tuple[Item, ...], ...]
    least: int = 1
    most: int | None = 1
    greedy: bool = True


Item = Step | Choice


def nullable(items: Sequence[Item]) -> bool:
    """Whether a pattern can be made of no row at all."""
    return all(
        item.least == 0 or (isinstance(item, Choice) and any(nullable(branch) for branch in item.branches))
        for item in items
    )


@dataclass
class Reader:
    """Trees → items. `definition`: the condition of a variable; False for one that no row can be."""

    definition: Callable[[str], Node]
    anchors: set[str] = field(default_factory=set)

    def pattern(self, tree: Node) -> tuple[Item, ...] | None:
        """The items of a whole pattern, or None when it never matches; its anchors are noted in `anchors`."""
        items = self._items(_trimmed(tree, self.anchors))
        if items is None:
            return None
        if not items or all(item.least == 0 and not item.greedy for item in items):
            raise Outside("a pattern that prefers to match nothing")
        return _something(items) if nullable(items) else items

    def _items(self, node: Node) -> tuple[Item, ...] | None:
        """The items of a tree, or None when it never matches."""
        operator, *args = node
        if operator == "var":
            return None if self.definition(args[0]) is False else (Step(args[0]),)
        if operator == "empty":
            return ()
        if operator == "exclude":
            return self._items(args[0])
        if operator == "concat":
            parts = [self._items(arg) for arg in _operands(args)]
            return None if None in parts else tuple(item for part in parts if part is not None for item in part)
        if operator == "alt":
            return self._choice([self._items(arg) for arg in _operands(args)])
        if operator == "permute":
            return self._choice([self._items(["concat", *order]) for order in permutations(_operands(args))])
        if operator == "quant":
            return self._quantified(*args)
        if operator in ("partition_start", "partition_end"):
            return None  # those at the ends have been taken off; anywhere else there are rows beyond
        raise Outside(f"the pattern `{operator}`")

    def _choice(self, branches: Sequence[tuple[Item, ...] | None]) -> tuple[Item, ...] | None:
        possible = [branch for branch in branches if branch is not None]
        if not possible:
            return None
        if not possible[0]:
            raise Outside("a pattern that prefers to match nothing")
        least = 1
        if not possible[-1]:
            possible, least = possible[:-1], 0
        if len(possible) == 1 and len(possible[0]) == 1 and least == 1:
            return possible[0]
        return (Choice(tuple(possible), least),)

    def _quantified(self, node: Node, least: int, most: int | None, greedy: bool) -> tuple[Item, ...] | None:
        inner = self._items(node)
        if inner is None:
            return () if least == 0 else None
        if not inner:
            return ()
        if len(inner) == 1 and isinstance(inner[0], Step) and (inner[0].least, inner[0].most) == (1, 1):
            return (Step(inner[0].variable, least, most, greedy),)
        if nullable(inner):
            raise Outside("a loop over what may be nothing")
        return (Choice((inner,), least, most, greedy),)


def _operands(args: list[Node]) -> list[Node]:
    """The operands of `concat`, `alt` and `permute`, given one by one or as one list."""
    return args[0] if len(args) == 1 and args[0] and isinstance(args[0][0], list) else args


def _trimmed(node: Node, anchors: set[str]) -> Node:
    """The pattern without the anchors at its ends, which are noted; an anchor that may be left out is."""
    node = _plain_anchor(node)
    if node[0] in ("partition_start", "partition_end"):
        return ["concat", node]
    if node[0] != "concat":
        return node
    parts = [_plain_anchor(part) for part in _operands(node[1:])]
    parts = [part for part in parts if part != ["empty"]]
    if parts and parts[0] == ["partition_start"]:
        anchors.add("partition_start")
        parts.pop(0)
    if parts and parts[-1] == ["partition_end"]:
        anchors.add("partition_end")
        parts.pop()
    return ["concat", *parts]


def _plain_anchor(node: Node) -> Node:
    if node[0] == "quant" and node[1][0] in ("partition_start", "partition_end"):
        return ["empty"] if node[2] == 0 else node[1]
    return node


def _something(items: Sequence[Item]) -> tuple[Item, ...]:
    """A pattern that can match nothing, when it must match something: one of its items is not left out."""
    branches = [(replace(item, least=1), *items[place + 1 :]) for place, item in enumerate(items) if item.greedy]
    if any(isinstance(branch[0], Choice) and any(map(nullable, branch[0].branches)) for branch in branches):
        raise Outside("a loop over what may be nothing")
    return branches[0] if len(branches) == 1 else (Choice(tuple(branches)),)


def loops_before(items: Sequence[Item]) -> list[Step]:
    """The greedy loops that a run may still stand in when it reaches what comes behind some items."""
    found: list[Step] = []
    for item in reversed(items):
        if isinstance(item, Step) and item.greedy and item.least != item.most:
            found.append(item)
        if item.least > 0:
            break
    return found


def shortest(item: Item) -> Item | None:
    """What is left of the last item when it takes as little as it can."""
    if item.least == 0:
        return None
    if isinstance(item, Step):
        return Step(item.variable, item.least, item.least)
    return Choice(item.branches, item.least, item.least)


def is_open(items: Sequence[Item]) -> bool:
    """Whether a branch ends with something that could go on."""
    last = items[-1]
    if last.most != last.least:
        return True
    return isinstance(last, Choice) and any(is_open(branch) for branch in last.branches)
