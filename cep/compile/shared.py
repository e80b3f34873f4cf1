"""Which rules one state can run: `when`s that differ only in what the filter of their last step asks.

Their partial matches are the same up to the last step, so they are kept once; each rule keeps only how far it has
consumed them. The last filters become an index: the column that most of them compare with a constant for equality, the
one that most of them bound, and an expression for whatever else they ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cep.compile.aggregates import inward
from cep.compile.expressions import COMPARISONS, conjuncts, is_float
from cep.compile.structure import of_rule
from cep.lang.checked import Const, Expr, FieldRef, Kind, Op, Rule, RuleSet, Step, When
from cep.layout import FilterIndex, IndexedFilter, Opcode, Predicate, RuleSpec, RunPlan, SequencePlan

if TYPE_CHECKING:
    from cep.compile.program import Context

_MIRRORED = {"eq": "eq", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def run_plans(context: Context, rules: Sequence[Rule], specs: Sequence[RuleSpec]) -> tuple[RunPlan, ...]:
    """A plan for all rules that can share one, in the order of their first rules; their indexes go to the context."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, (rule, spec) in enumerate(zip(rules, specs, strict=True)):
        groups.setdefault(_common(rule, spec) or ("alone", place), []).append(place)
    return tuple(
        RunPlan((members[0],), specs[members[0]].plan)
        if common[0] == "alone"
        else _shared(context, [rules[i] for i in members], tuple(members), specs[members[0]])
        for common, members in groups.items()
    )


def _common(rule: Rule, spec: RuleSpec) -> tuple[object, ...] | None:
    """All of a plan but its last filter; None when it can not be shared."""
    from cep.compile.program import has_aggregate

    plan, trigger = spec.plan, rule.trigger
    if not isinstance(plan, SequencePlan) or not isinstance(trigger, When) or not is_shareable(plan):
        return None
    if any(has_aggregate(part) for part in conjuncts(_last(trigger).source.where)):
        return None
    return "shared", rule.stratum, spec.keys, _with_last(plan, -1)


def is_shareable(plan: SequencePlan) -> bool:
    """Whether the runs that wait for the last step all stand in one stage of a chain, and leave it with the horizon."""
    *before, last = plan.steps
    groups = [step.guards for step in plan.steps[1:]]
    mixed = any(any(g.immediate for g in guards) and any(g.within_us >= 0 for g in guards) for guards in groups)
    if plan.graph is not None or plan.looks_back or plan.policy not in ("first", "each") or plan.trailing or mixed:
        return False
    if last.least != 1 or (before and any(g.immediate or g.within_us >= 0 for g in last.guards)):
        return False
    if not before or before[-1].least == before[-1].most == 1:
        return not before or plan.within_us >= 0
    endless = before[-1].most < 0 and (len(before) == 1 or before[-1].within_us < 0)
    return endless and plan.within_us >= 0 and not last.guards


def _last(trigger: When) -> Step:
    return [step for step in trigger.steps if not step.negated][-1]


def _with_last(plan: SequencePlan, predicate: int) -> SequencePlan:
    """The plan with another predicate for the rows of its last step."""
    last = plan.steps[-1].bit
    feeds = (replace(feed, predicate=predicate) if feed.bits == last else feed for feed in plan.feeds)
    return replace(plan, feeds=tuple(feeds))


def _shared(context: Context, rules: Sequence[Rule], members: tuple[int, ...], first: RuleSpec) -> RunPlan:
    assert isinstance(first.plan, SequencePlan)
    event = first.plan.steps[-1].event
    index = len(context.indexes)
    context.indexes.append(_index(context, event, [_last_filter(rule) for rule in rules]))
    predicate = len(context.predicates)
    context.predicates.append(Predicate(event, -1, -1, False, any_of=index))
    plan = _with_last(first.plan, predicate)
    return RunPlan(members, plan, index, _structure(context.rules, rules[0]))


def _structure(rules: RuleSet, rule: Rule) -> str:
    """Of what the rules share, as the structure of a rule whose last step asks nothing."""
    assert isinstance(rule.trigger, When)
    last = _last(rule.trigger)
    bare = replace(last, source=replace(last.source, where=None))
    steps = tuple(bare if step is last else step for step in rule.trigger.steps)
    return of_rule(rules, replace(rule, trigger=replace(rule.trigger, steps=steps)), ())


def _last_filter(rule: Rule) -> list[Expr]:
    assert isinstance(rule.trigger, When)
    return list(map(inward, conjuncts(_last(rule.trigger).source.where)))


# ------------------------------------------------------------------------------------------- index


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A field of the event on the left of a comparison with a constant of its kind."""

    field: FieldRef
    name: str
    const: Const


def _comparison(condition: Expr) -> _Comparison | None:
    if not isinstance(condition, Op) or condition.name not in _MIRRORED:
        return None
    left, right = condition.args
    name = condition.name
    if isinstance(left, Const):
        left, right, name = right, left, _MIRRORED[name]
    if isinstance(left, FieldRef) and isinstance(right, Const) and left.kind is right.kind:
        return _Comparison(left, name, right)
    return None


def _index(context: Context, event: int, filters: Sequence[list[Expr]]) -> FilterIndex:
    compared = [[c for part in conditions if (c := _comparison(part)) is not None] for conditions in filters]
    equal = _commonest([c.field for own in compared for c in own if c.name == "eq" and not is_float(c.field.kind)])
    bounded = [c.field for own in compared for c in own if c.field != equal and c.field.kind is not Kind.TEXT]
    ordered = _commonest(bounded)
    slot = context.coder.event_load
    return FilterIndex(
        -1 if equal is None else slot(equal)[1],
        -1 if ordered is None else slot(ordered)[1],
        ordered is not None and is_float(ordered.kind),
        tuple(_indexed(context, conditions, equal, ordered) for conditions in filters),
    )


def _commonest(fields: Sequence[FieldRef]) -> FieldRef | None:
    return Counter(fields).most_common(1)[0][0] if fields else None


def _indexed(
    context: Context, conditions: Sequence[Expr], equal: FieldRef | None, ordered: FieldRef | None
) -> IndexedFilter:
    from cep.compile.program import all_of

    equals, bounds, others = -1, list[tuple[Opcode, int, bool]](), list[Expr]()
    for condition in conditions:
        found = _comparison(condition)
        if found is not None and found.field == equal and found.name == "eq" and equals < 0:
            equals = context.coder.constant(found.const)
        elif found is not None and found.field == ordered:
            integer, real, flipped = COMPARISONS[found.name]
            opcode = real if is_float(found.field.kind) else integer
            bounds.append((opcode, context.coder.constant(found.const), flipped))
        else:
            others.append(condition)
    rest = all_of(others)
    code = -1 if rest is None else context.coder.expression(rest, context.coder.event_load)
    return IndexedFilter(equals, tuple(bounds), code)
