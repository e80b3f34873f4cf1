"""A `while` → the condition, its windows and latest values, and the episode's times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cep.compile.aggregates import aggregate_spec, inward
from cep.compile.expressions import as_fields, walk
from cep.lang.checked.expressions import Aggregate, Expr, LatestRef, Op, Source
from cep.lang.checked.rules import Rule, While
from cep.layout.aggregates import Feed
from cep.layout.columns import END_OF_TIME
from cep.layout.expressions import Opcode
from cep.layout.patterns import EpisodePlan

if TYPE_CHECKING:
    from cep.compile.expressions import Load
    from cep.compile.program import Context

Latest = tuple[Source, int]  # a source and a column

FALLING = {"count", "count_distinct", "max"}  # an aggregate that can only become less when an element leaves


@dataclass(slots=True)
class ConditionWords:
    """The words that a condition (and the rule's outputs) read: the aggregates first, then the latest values."""

    context: Context
    aggregates: list[Aggregate] = field(default_factory=list)
    latest: list[Latest] = field(default_factory=list)

    def collect(self, expr: Expr) -> None:
        """Note the aggregates of an expression; they must all be known before a latest value gets its place."""
        for part in walk(expr):
            if isinstance(part, Aggregate) and part not in self.aggregates:
                self.aggregates.append(part)

    def load(self, leaf: Expr) -> Load:
        """Where the condition finds a leaf, or a derivation of one event's latest values."""
        if isinstance(leaf, Aggregate):
            return Opcode.RUN, self.aggregates.index(leaf)
        sources = {part.source for part in walk(leaf) if isinstance(part, LatestRef)}
        assert len(sources) == 1, f"{leaf} has no meaning in a condition"
        source = sources.pop()
        value = (source, self.context.coder.value_slot(source.event, as_fields(leaf)))
        if value not in self.latest:
            self.latest.append(value)
        return Opcode.RUN, len(self.aggregates) + self.latest.index(value)


def output_expressions(rule: Rule) -> list[Expr]:
    """Every expression that an alert of the rule says."""
    said = [expr for _, expr in (*rule.shows, *rule.labels)]
    said += [clause.condition for clause in rule.alerts if clause.condition is not None]
    for clause in rule.alerts:
        if clause.message is not None:
            said += [part for part in clause.message.parts if not isinstance(part, str)]
    if rule.score is not None:
        said.append(rule.score)
    if rule.limit is not None:
        said += rule.limit.keys
    return said


def compile_episode(context: Context, rule: Rule, condition: While) -> tuple[EpisodePlan, ConditionWords]:
    """The plan, and the words that the rule's outputs may read as well."""
    words = ConditionWords(context)
    coder = context.coder
    judged = inward(condition.condition)
    ends = None if condition.until is None else inward(condition.until)
    words.collect(judged)
    if ends is not None:
        words.collect(ends)
    judged_aggregates = len(words.aggregates)
    for expr in output_expressions(rule):
        words.collect(expr)
    code = coder.expression(judged, words.load)
    until = -1 if ends is None else coder.expression(ends, words.load)
    judged_sources = {s for a in words.aggregates[:judged_aggregates] for s in a.sources}
    judged_sources |= {source for source, _ in words.latest}
    for expr in output_expressions(rule):
        for part in walk(expr):
            if isinstance(part, LatestRef):
                words.load(part)
    sources = list(dict.fromkeys([s for a in words.aggregates for s in a.sources] + [s for s, _ in words.latest]))
    bits = {source: 1 << i for i, source in enumerate(sources)}
    plan = EpisodePlan(
        key_parts=len(rule.keys),
        condition=code,
        until=until,
        for_us=condition.for_us,
        keep_us=condition.keep_us,
        forget_us=rule.forget_us if rule.roster is None else END_OF_TIME,
        aggregates=tuple(aggregate_spec(coder, a) for a in words.aggregates),
        aggregate_bits=tuple(bits[a.source] for a in words.aggregates),
        reset_bits=tuple(bits[a.window.since] if a.window.since else 0 for a in words.aggregates),
        judged=judged_aggregates,
        judged_bits=sum(bits[source] for source in judged_sources),
        latest=tuple((bits[source], slot) for source, slot in words.latest),
        feeds=tuple(Feed(context.source(source), bits[source], context.key(source)) for source in sources),
        rises_in_time=not falls(judged),
        roster=rule.roster,
        roster_us=max((a.window.life_us for a in words.aggregates[:judged_aggregates]), default=0),
    )
    return plan, words


def falls(expr: Expr) -> bool:
    """Whether a condition can become true only at an event, never because an element leaves a window."""
    if not isinstance(expr, Op):
        return not any(isinstance(part, Aggregate) for part in walk(expr))
    if expr.name in ("and", "or"):
        return all(falls(arg) for arg in expr.args)
    if expr.name in ("gt", "ge"):
        return _goes(expr.args[0], down=True) and _goes(expr.args[1], down=False)
    if expr.name in ("lt", "le"):
        return _goes(expr.args[0], down=False) and _goes(expr.args[1], down=True)
    return not any(isinstance(part, Aggregate) for part in walk(expr))


def _goes(expr: Expr, *, down: bool) -> bool:
    """Whether a value can only go down (or only up) as elements leave, and none enters without an event."""
    if isinstance(expr, Aggregate):
        return not expr.window.delayed and (expr.function in FALLING if down else expr.function == "min")
    if isinstance(expr, Op) and expr.name in ("add", "convert"):
        return all(_goes(arg, down=down) for arg in expr.args)
    return not any(isinstance(part, Aggregate) for part in walk(expr))
