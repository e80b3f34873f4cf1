"""Aggregates in a `when`: one plan of windows for the rules that share a key, one column for each aggregate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cep.compile.aggregates import aggregate_spec
from cep.lang.checked import Aggregate, Expr, Rule
from cep.layout import AGGREGATES_MAX, READ_SHIFT, RESET_SHIFT, FeaturePlan, Feed, Opcode

if TYPE_CHECKING:
    from cep.compile.expressions import Coder, Load, Loads, TextTest
    from cep.compile.program import Context

Group = tuple[object, ...]


def key_group(rule: Rule) -> Group:
    """What rules have in common that share windows: the stratum, and the names and kinds of their keys."""
    return (rule.stratum, "by", *((key.name, key.kind) for key in rule.keys))


@dataclass(slots=True)
class FeatureSet:
    """The aggregates that filters read, by the group (stratum and key) they belong to, and which rows read them.

    Feature columns must stand behind all others, so their numbers are given out as negative places first: the
    instructions that load them are patched when the plans are made.
    """

    aggregates: dict[Group, dict[Aggregate, int]] = field(default_factory=dict)
    reads: dict[Group, set[tuple[int, int, tuple[int, ...]]]] = field(default_factory=dict)
    places: dict[Aggregate, int] = field(default_factory=dict)

    def read(self, context: Context, aggregate: Aggregate, rows: int, key: tuple[int, ...], group: Group) -> None:
        """Rows of predicate `rows` read the aggregate with the key in columns `key`, or with the aggregate's own."""
        if aggregate.by is not None:
            key = tuple(context.coder.slot(part) for part in aggregate.by)
            group = (group[0], "own", *aggregate.source.key)
        members = self.aggregates.setdefault(group, {})
        if aggregate not in members:
            members[aggregate] = len(members)
            self.places.setdefault(aggregate, -1 - len(self.places))
        self.reads.setdefault(group, set()).add((members[aggregate], rows, key))

    def load(self, coder: Coder) -> Loads:
        """Loads for an expression in which aggregates are columns."""

        def find(leaf: Expr, test: TextTest | None) -> Load:
            if isinstance(leaf, Aggregate):
                assert test is None, "text operations stand inside of aggregates"
                return Opcode.EVENT, self.places[leaf]
            return coder.event_load(leaf, test)

        return find

    def plans(self, context: Context) -> tuple[FeaturePlan, ...]:
        """Give the features their columns and lay out the plans."""
        coder = context.coder
        base = coder.slots
        for _ in self.places:
            coder.new_slot()
        coder.code = [(op, base - 1 - arg) if op == Opcode.EVENT and arg < 0 else (op, arg) for op, arg in coder.code]
        coder.shown = [base - 1 - slot if slot < 0 else slot for slot in coder.shown]
        made: list[FeaturePlan] = []
        for group, members in self.aggregates.items():
            ordered = list(members)
            for first in range(0, len(ordered), AGGREGATES_MAX):
                made.append(self._plan(context, group, ordered[first : first + AGGREGATES_MAX], first, base))
        return tuple(made)

    def _plan(self, context: Context, group: Group, aggregates: list[Aggregate], first: int, base: int) -> FeaturePlan:
        feeds: dict[tuple[int, tuple[int, ...]], int] = {}
        for i, aggregate in enumerate(aggregates):
            rows = context.source(aggregate.source), context.key(aggregate.source)
            feeds[rows] = feeds.get(rows, 0) | 1 << i
            if aggregate.window.since is not None:
                rows = context.source(aggregate.window.since), context.key(aggregate.window.since)
                feeds[rows] = feeds.get(rows, 0) | 1 << (RESET_SHIFT + i)
        for i, predicate, key in sorted(self.reads[group]):
            if first <= i < first + len(aggregates):
                feeds[predicate, key] = feeds.get((predicate, key), 0) | 1 << (READ_SHIFT + i - first)
        return FeaturePlan(
            key_parts=len(aggregates[0].source.key),
            aggregates=tuple(aggregate_spec(context.coder, a) for a in aggregates),
            outputs=tuple(base - 1 - self.places[a] for a in aggregates),
            feeds=tuple(Feed(predicate, bits, key) for (predicate, key), bits in feeds.items()),
            own_key=group[1] == "own",
            stratum=int(str(group[0])),
        )
