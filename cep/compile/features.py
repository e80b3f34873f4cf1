"""Aggregates in a `when`: one column and one plan of windows for each, whichever rules read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cep.compile.aggregates import aggregate_spec
from cep.compile.structure import of_value
from cep.lang.checked.expressions import Aggregate, Expr
from cep.lang.checked.rules import Rule
from cep.layout.aggregates import READ_SHIFT, RESET_SHIFT, FeaturePlan, Feed
from cep.layout.expressions import Opcode

if TYPE_CHECKING:
    from cep.compile.expressions import Coder, Load, Loads
    from cep.compile.program import Context

Group = tuple[object, ...]
Rows = tuple[int, tuple[int, ...]]  # of a predicate, with the key in some columns


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
    guesses: dict[Aggregate, int] = field(default_factory=dict)  # of the columns that say whether one is an estimate
    columns: dict[Aggregate, int] = field(default_factory=dict)  # once the plans are made
    guess_columns: dict[Aggregate, int] = field(default_factory=dict)

    def read(self, context: Context, aggregate: Aggregate, rows: int, key: tuple[int, ...], group: Group) -> None:
        """Rows of predicate `rows` read the aggregate with the key in columns `key`, or with the aggregate's own."""
        if aggregate.by is not None:
            key = tuple(context.coder.slot(part) for part in aggregate.by)
            group = (group[0], "own", *aggregate.source.key)
        members = self.aggregates.setdefault(group, {})
        if aggregate not in members:
            members[aggregate] = len(members)
            self.places.setdefault(aggregate, self._next_place())
        self.reads.setdefault(group, set()).add((members[aggregate], rows, key))

    def guessed(self, aggregate: Aggregate) -> int:
        """The column that says whether an aggregate that is read is an estimate."""
        return self.guesses.setdefault(aggregate, self._next_place())

    def _next_place(self) -> int:
        return -1 - len(self.places) - len(self.guesses)

    def load(self, coder: Coder) -> Loads:
        """Loads for an expression in which aggregates are columns."""

        def find(leaf: Expr) -> Load:
            return (Opcode.EVENT, self.places[leaf]) if isinstance(leaf, Aggregate) else coder.event_load(leaf)

        return find

    def plans(self, context: Context) -> tuple[FeaturePlan, ...]:
        """Give the features their columns and lay out the plans."""
        coder = context.coder
        base = coder.slots
        for _ in (*self.places, *self.guesses):
            coder.new_slot()
        load = int(Opcode.EVENT)
        coder.code = [(op, base - 1 - arg) if arg < 0 and op == load else (op, arg) for op, arg in coder.code]
        coder.shown = [base - 1 - slot if slot < 0 else slot for slot in coder.shown]
        self.columns = {aggregate: base - 1 - place for aggregate, place in self.places.items()}
        self.guess_columns = {aggregate: base - 1 - place for aggregate, place in self.guesses.items()}
        made: list[FeaturePlan] = []
        for group, members in self.aggregates.items():
            readers: list[list[Rows]] = [[] for _ in members]
            for number, predicate, key in sorted(self.reads[group]):
                readers[number].append((predicate, key))
            for aggregate, reading in zip(members, readers, strict=True):
                made.append(self._plan(context, group, aggregate, reading))
        return tuple(made)

    def _plan(self, context: Context, group: Group, aggregate: Aggregate, reading: list[Rows]) -> FeaturePlan:
        """One aggregate's plan: were it to share one with others, a rule that brings a further one would change it."""
        feeds: dict[Rows, int] = {(context.source(aggregate.source), context.key(aggregate.source)): 1}
        if aggregate.window.since is not None:
            rows = context.source(aggregate.window.since), context.key(aggregate.window.since)
            feeds[rows] = feeds.get(rows, 0) | 1 << RESET_SHIFT
        for rows in reading:
            feeds[rows] = feeds.get(rows, 0) | 1 << READ_SHIFT
        outputs: tuple[int, ...] = (self.columns[aggregate],)
        if aggregate in self.guess_columns:
            outputs += (self.guess_columns[aggregate],)
        return FeaturePlan(
            key_parts=len(aggregate.source.key),
            aggregates=(aggregate_spec(context.coder, aggregate),),
            outputs=outputs,
            feeds=tuple(Feed(predicate, bits, key) for (predicate, key), bits in feeds.items()),
            own_key=group[1] == "own",
            stratum=int(str(group[0])),
            structure=of_value(context.rules, (group, aggregate)),
        )
