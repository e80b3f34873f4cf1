"""What an alert says: messages, shows, labels and the score, as code over a few input words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cep.compile.episode import output_expressions
from cep.compile.expressions import SCALES, derivation, is_derived, is_float, walk
from cep.compile.features import key_group
from cep.lang.alerts import COMMON, OWN
from cep.lang.checked.expressions import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Expr,
    FieldRef,
    GroupCapture,
    KeyRef,
    LatestRef,
    Op,
)
from cep.lang.checked.rules import AlertClause, Rule, Template, When
from cep.lang.checked.schema import ALERTS
from cep.lang.privacy import privacy
from cep.layout.alerts import Clause, Estimate, Feeding, Input, InputKind, LimitSpec, Output, RuleSpec, Said, StepText
from cep.layout.expressions import Opcode
from cep.layout.patterns import EpisodePlan, SequencePlan

if TYPE_CHECKING:
    from cep.compile.episode import ConditionWords
    from cep.compile.expressions import Load
    from cep.compile.program import Context

_AGGREGATES = {
    "count": InputKind.COUNT,
    "sum": InputKind.SUM,
    "min": InputKind.MIN,
    "max": InputKind.MAX,
    "first": InputKind.FIRST_VALUE,
    "last": InputKind.LAST_VALUE,
    "count_distinct": InputKind.DISTINCT,
}
_ENDS = {"of_first": InputKind.FIRST, "of_last": InputKind.LAST}


@dataclass(slots=True)
class _Outputs:
    """The expressions of one rule, equal ones once, and the input words they read."""

    context: Context
    rule: Rule
    words: ConditionWords | None
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)

    def add(self, expr: Expr) -> int:
        """The place of an expression among the outputs."""
        private = privacy(expr, self.context.rules.events, self.rule.keys)
        made = Output(self.context.coder.expression(expr, self.load), expr.kind.value, private)
        if made not in self.outputs:
            self.outputs.append(made)
        return self.outputs.index(made)

    def clause(self, clause: AlertClause) -> Clause:
        """A clause with places for its expressions."""
        condition = -1 if clause.condition is None else self.add(clause.condition)
        return Clause(clause.level, self.message(clause.message), condition)

    def message(self, template: Template | None) -> tuple[str | int, ...]:
        """The template with places for its expressions."""
        parts = template.parts if template else ()
        return tuple(part if isinstance(part, str) else self.add(part) for part in parts)

    def load(self, leaf: Expr) -> Load:
        """The input word for a leaf, or for a derivation of any expressions."""
        return Opcode.RUN, self._place(self._derived(leaf) if is_derived(leaf) else self._source(leaf))

    def _place(self, made: Input) -> int:
        if made not in self.inputs:
            self.inputs.append(made)
        return self.inputs.index(made)

    def _derived(self, expr: Expr) -> Input:
        """A derivation; its arguments read inputs that stand before it."""
        assert isinstance(expr, Op)
        what, args = derivation(expr)
        codes = tuple(self.context.coder.expression(arg, self.load) for arg in args)
        return Input(InputKind.DERIVED, real=is_float(expr.kind), derivation=what, args=codes)

    def _source(self, leaf: Expr) -> Input:
        """Where the leaf's word comes from."""
        if isinstance(leaf, Aggregate) and self.words is None:
            return self._before_last(leaf)
        if isinstance(leaf, Aggregate | LatestRef):
            assert self.words is not None, "a sequence has no latest values"
            _, place = self.words.load(leaf)
            return Input(InputKind.VALUE, place, real=is_float(leaf.kind))
        if isinstance(leaf, KeyRef):
            return Input(InputKind.KEY, leaf.index, real=is_float(leaf.kind))
        if isinstance(leaf, CaptureAggregate):
            return self._aggregate(leaf)
        if isinstance(leaf, GroupCapture):
            return self._of_group(leaf)
        assert isinstance(leaf, CaptureRef), f"{leaf} has no meaning in an alert"
        slot = self.context.coder.slot(FieldRef(leaf.event, leaf.field, leaf.kind))
        source = InputKind.FIRST if leaf.which == "first" else InputKind.LAST
        return Input(source, self._step(leaf.step), slot, is_float(leaf.kind))

    def _before_last(self, leaf: Aggregate) -> Input:
        """A window as it stood before the last event captured: a column that is kept with that event."""
        assert isinstance(self.rule.trigger, When)
        steps = self.rule.trigger.steps
        place = max(i for i, step in enumerate(steps) if not step.negated)
        slot = self.context.shown_feature(leaf, steps[place].source, key_group(self.rule))
        return Input(InputKind.LAST, self._step(place), self.context.coder.stored(slot), is_float(leaf.kind))

    def _aggregate(self, leaf: CaptureAggregate) -> Input:
        step = self._step(leaf.step)
        if leaf.argument is None:
            return Input(InputKind.COUNT, step, -1)
        assert isinstance(self.rule.trigger, When)
        event = self.rule.trigger.steps[leaf.step].source.event
        slot = self.context.coder.stored(self.context.coder.value_slot(event, leaf.argument))
        real, scale = is_float(leaf.argument.kind), SCALES.get(leaf.argument.kind, 1)
        if leaf.function in _AGGREGATES:
            return Input(_AGGREGATES[leaf.function], step, slot, real)
        real_out = is_float(leaf.kind)
        return Input(InputKind.STATISTIC, step, slot, real, function=leaf.function, scale=scale, real_out=real_out)

    def _of_group(self, leaf: GroupCapture) -> Input:
        """About the events of several steps; a bare count has no slots."""
        assert isinstance(self.rule.trigger, When)
        slots = [-1] * len(leaf.steps)
        if leaf.arguments:
            coder, steps = self.context.coder, self.rule.trigger.steps
            values = zip(leaf.steps, leaf.arguments, strict=True)
            slots = [coder.stored(coder.value_slot(steps[step].source.event, arg)) for step, arg in values]
        members = tuple((self._step(step), slot) for step, slot in zip(leaf.steps, slots, strict=True))
        if not leaf.arguments:
            return Input(InputKind.COUNT, members=members)
        kind = leaf.arguments[0].kind
        if leaf.function in _ENDS or leaf.function in _AGGREGATES:
            source = _ENDS.get(leaf.function) or _AGGREGATES[leaf.function]
            return Input(source, real=is_float(kind), members=members)
        scale, real_out = SCALES.get(kind, 1), is_float(leaf.kind)
        function = leaf.function
        return Input(
            InputKind.STATISTIC,
            real=is_float(kind),
            function=function,
            scale=scale,
            real_out=real_out,
            members=members,
        )

    def estimates(self) -> Iterator[Estimate]:
        """Every count of different values that the rule speaks of: in a sequence, in its filters and outputs."""
        if self.words is not None:
            place = self._place(Input(InputKind.VALUE, len(self.words.aggregates) + len(self.words.latest)))
            counted = [(place, bit, aggregate) for bit, aggregate in enumerate(self.words.aggregates)]
        else:
            counted = [(self._guess(step, aggregate), 0, aggregate) for step, aggregate in self._read()]
        for place, bit, aggregate in counted:
            if _is_sampled(aggregate):
                yield Estimate(self._spelled(aggregate), place, bit)

    def _read(self) -> list[tuple[int, Aggregate]]:
        """The steps of a sequence, each with what its filter counts, and the last one with what the alert shows."""
        assert isinstance(self.rule.trigger, When)
        filters = [(i, step.source.where) for i, step in enumerate(self.rule.trigger.steps) if not step.negated]
        outputs = [(filters[-1][0], expr) for expr in output_expressions(self.rule)]
        read = [
            (step, part)
            for step, expr in (*filters, *outputs)
            for part in (() if expr is None else walk(expr))
            if isinstance(part, Aggregate) and _is_sampled(part)
        ]
        return list(dict.fromkeys(read))

    def _guess(self, step: int, aggregate: Aggregate) -> int:
        slot = self.context.coder.stored(self.context.features.guessed(aggregate))
        return self._place(Input(InputKind.LAST, self._step(step), slot))

    def _spelled(self, aggregate: Aggregate) -> str:
        assert aggregate.argument is not None
        event = self.context.rules.events[aggregate.source.event].name
        fields = dict.fromkeys(part.field for part in walk(aggregate.argument) if isinstance(part, FieldRef))
        return f"count(distinct {', '.join(f'{event}.{field}' for field in fields)})"

    def _step(self, place: int) -> int:
        """A step's place among the positive ones."""
        assert isinstance(self.rule.trigger, When)
        return sum(not step.negated for step in self.rule.trigger.steps[:place])


def _is_sampled(aggregate: Aggregate) -> bool:
    """Whether an aggregate may become an estimate: the newest so many values are always held."""
    return aggregate.function == "count_distinct" and aggregate.window.count == 0


def describe(context: Context, rule: Rule, compiled: SequencePlan | tuple[EpisodePlan, ConditionWords]) -> RuleSpec:
    """The compiled rule: its plan and everything its alerts say."""
    plan, words = (compiled, None) if isinstance(compiled, SequencePlan) else compiled
    said = _Outputs(context, rule, words)
    clauses = tuple(said.clause(clause) for clause in rule.alerts)
    shows = tuple((name, said.add(expr)) for name, expr in rule.shows)
    labels = tuple((name, said.add(expr)) for name, expr in rule.labels)
    score = said.add(rule.score) if rule.score is not None else None
    estimates = tuple(said.estimates())
    limit = None
    if rule.limit is not None:
        limit = LimitSpec(rule.limit.count, rule.limit.per_us, tuple(said.add(key) for key in rule.limit.keys))
    return RuleSpec(
        name=rule.name,
        version=rule.version,
        file=rule.span.file,
        line=rule.span.line,
        clauses=clauses or (Clause("info"),),
        owner=rule.owner,
        about=rule.about,
        tags=rule.tags,
        keys=tuple((key.name, key.kind.value) for key in rule.keys),
        plan=plan,
        inputs=tuple(said.inputs),
        outputs=tuple(said.outputs),
        shows=shows,
        labels=labels,
        score=score,
        limit=limit,
        within_us=rule.within_us,
        steps=_steps(rule),
        to=rule.to,
        private=tuple(key.privacy for key in rule.keys),
        is_shadow=rule.mode == "shadow",
        feeding=_feeding(context, rule, shows, labels),
        estimates=estimates,
    )


def _feeding(
    context: Context, rule: Rule, shows: tuple[tuple[str, int], ...], labels: tuple[tuple[str, int], ...]
) -> Feeding | None:
    """What the rule's alerts are to others; those of a shadow rule are nothing."""
    fed = next((fed for fed in context.rules.fed if fed.rule == rule.name), None)
    if fed is None or rule.mode != "live":
        return None
    said: dict[tuple[str, ...], tuple[Said, int]] = {(name,): (Said[name.upper()], -1) for name in COMMON}
    said |= {(OWN, name): (Said.OUTPUT, place) for name, place in (*labels, *shows)}
    said |= {(OWN, key.name): (Said.KEY, i) for i, key in enumerate(rule.keys)}
    slots = enumerate(context.coder.columns)
    columns = [(slot, *said[c.path]) for slot, c in slots if c.stream == ALERTS and said.get(c.path)]
    return Feeding(fed.fired, fed.resolved, tuple(columns))


def _steps(rule: Rule) -> tuple[StepText, ...]:
    if not isinstance(rule.trigger, When):
        return ()
    return tuple(
        StepText(s.name, s.alias, s.negated, s.least, s.most, s.within_us, s.source.event) for s in rule.trigger.steps
    )
