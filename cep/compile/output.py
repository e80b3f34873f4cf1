"""What an alert says: messages, shows, labels and the score, as code over a few input words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cep.compile.expressions import TextTest, is_float
from cep.lang.checked import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Expr,
    FieldRef,
    GroupCapture,
    KeyRef,
    LatestRef,
    Rule,
    Template,
    When,
)
from cep.layout import (
    EpisodePlan,
    Input,
    InputKind,
    LimitSpec,
    Opcode,
    Output,
    RuleSpec,
    SequencePlan,
    StepText,
)

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
    "of_first": InputKind.FIRST,
    "of_last": InputKind.LAST,
}


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
        made = Output(self.context.coder.expression(expr, self.load), expr.kind.value)
        if made not in self.outputs:
            self.outputs.append(made)
        return self.outputs.index(made)

    def message(self, template: Template | None) -> tuple[str | int, ...]:
        """The template with places for its expressions."""
        parts = template.parts if template else ()
        return tuple(part if isinstance(part, str) else self.add(part) for part in parts)

    def load(self, leaf: Expr, test: TextTest | None) -> Load:
        """The input word for a leaf."""
        made = self._source(leaf)
        if test:
            made = replace(made, texts=test.steps)
        if made not in self.inputs:
            self.inputs.append(made)
        return Opcode.RUN, self.inputs.index(made)

    def _source(self, leaf: Expr) -> Input:
        """Where the leaf's word comes from."""
        if isinstance(leaf, Aggregate | LatestRef):
            assert self.words is not None, "a sequence's outputs do not read windows"
            _, place = self.words.load(leaf, None)
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

    def _aggregate(self, leaf: CaptureAggregate) -> Input:
        step = self._step(leaf.step)
        if leaf.argument is None:
            return Input(InputKind.COUNT, step, -1)
        assert isinstance(self.rule.trigger, When)
        event = self.rule.trigger.steps[leaf.step].source.event
        slot = self.context.coder.stored(self.context.coder.value_slot(event, leaf.argument))
        return Input(_AGGREGATES[leaf.function], step, slot, is_float(leaf.argument.kind))

    def _of_group(self, leaf: GroupCapture) -> Input:
        """About the events of several steps; a bare count has no slots."""
        assert isinstance(self.rule.trigger, When)
        slots = [-1] * len(leaf.steps)
        if leaf.arguments:
            coder, steps = self.context.coder, self.rule.trigger.steps
            values = zip(leaf.steps, leaf.arguments, strict=True)
            slots = [coder.stored(coder.value_slot(steps[step].source.event, arg)) for step, arg in values]
        members = tuple((self._step(step), slot) for step, slot in zip(leaf.steps, slots, strict=True))
        real = bool(leaf.arguments) and is_float(leaf.arguments[0].kind)
        return Input(_AGGREGATES[leaf.function], real=real, members=members)

    def _step(self, place: int) -> int:
        """A step's place among the positive ones."""
        assert isinstance(self.rule.trigger, When)
        return sum(not step.negated for step in self.rule.trigger.steps[:place])


def describe(context: Context, rule: Rule, compiled: SequencePlan | tuple[EpisodePlan, ConditionWords]) -> RuleSpec:
    """The compiled rule: its plan and everything its alerts say."""
    plan, words = (compiled, None) if isinstance(compiled, SequencePlan) else compiled
    said = _Outputs(context, rule, words)
    clause = rule.alerts[0] if rule.alerts else None
    message = said.message(clause.message if clause else None)
    shows = tuple((name, said.add(expr)) for name, expr in rule.shows)
    labels = tuple((name, said.add(expr)) for name, expr in rule.labels)
    score = said.add(rule.score) if rule.score is not None else None
    limit = None
    if rule.limit is not None:
        limit = LimitSpec(rule.limit.count, rule.limit.per_us, tuple(said.add(key) for key in rule.limit.keys))
    return RuleSpec(
        name=rule.name,
        version=rule.version,
        file=rule.span.file,
        line=rule.span.line,
        level=clause.level if clause else "info",
        owner=rule.owner,
        about=rule.about,
        tags=rule.tags,
        keys=tuple((key.name, key.kind.value) for key in rule.keys),
        plan=plan,
        inputs=tuple(said.inputs),
        outputs=tuple(said.outputs),
        message=message,
        shows=shows,
        labels=labels,
        score=score,
        limit=limit,
        within_us=rule.within_us,
        steps=_steps(rule),
    )


def _steps(rule: Rule) -> tuple[StepText, ...]:
    if not isinstance(rule.trigger, When):
        return ()
    return tuple(
        StepText(s.name, s.alias, s.negated, s.least, s.most, s.within_us, s.source.event) for s in rule.trigger.steps
    )
