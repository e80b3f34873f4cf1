"""Which rules one state can run: `when`s that differ only in what the filter of their last step asks.

Their partial matches are the same up to the last step, so they are kept once; each rule keeps only how far it has
consumed them. The last filters become an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cep.compile.aggregates import inward
from cep.compile.expressions import conjuncts, has_aggregate
from cep.compile.filters import filter_index
from cep.compile.structure import of_rule
from cep.lang.checked.expressions import Expr
from cep.lang.checked.rules import Rule, Step, When
from cep.lang.checked.ruleset import RuleSet
from cep.layout.alerts import RuleSpec
from cep.layout.expressions import Predicate
from cep.layout.patterns import SequencePlan
from cep.layout.program import RunPlan

if TYPE_CHECKING:
    from cep.compile.program import Context


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
    index = context.index(filter_index(context.coder, event, [_last_filter(rule) for rule in rules]))
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
