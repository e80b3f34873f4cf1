"""A `when` → the steps, guards and captured words of a sequence plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cep.compile.aggregates import inward
from cep.compile.expressions import COMPARISONS, Coder, as_fields, conjuncts, is_float, walk
from cep.compile.features import key_group
from cep.lang.checked import CaptureAggregate, CaptureRef, Const, Expr, FieldRef, Op, Rule, Step, When
from cep.layout import Capture, CaptureWord, Compare, Feed, Guard, Opcode, SequencePlan, StepSpec

if TYPE_CHECKING:
    from cep.compile.expressions import Load
    from cep.compile.program import Context

_AGGREGATES = {
    "sum": (Capture.SUM_I, Capture.SUM_F),
    "min": (Capture.MIN_I, Capture.MIN_F),
    "max": (Capture.MAX_I, Capture.MAX_F),
    "count": (Capture.COUNT_I, Capture.COUNT_F),
    "first": (Capture.FIRST_VALUE_I, Capture.FIRST_VALUE_F),
    "last": (Capture.LAST_VALUE_I, Capture.LAST_VALUE_F),
    "count_distinct": (Capture.DISTINCT_I, Capture.DISTINCT_F),
}


@dataclass(slots=True)
class _Captures:
    """The words that a run keeps because a later filter reads them; equal ones are one."""

    coder: Coder
    steps: tuple[Step, ...]
    positive: dict[int, int]  # place in When.steps → place among the positive steps
    words: list[CaptureWord] = field(default_factory=list)

    def word(self, step: int, what: Capture, slot: int) -> int:
        made = CaptureWord(self.positive[step], what, slot)
        if made not in self.words:
            self.words.append(made)
        return self.words.index(made)

    def load(self, leaf: Expr) -> Load:
        """Where a filter with look-back finds a leaf, or a derivation of one event's fields."""
        if isinstance(leaf, CaptureAggregate):
            return Opcode.RUN, self._aggregate(leaf)
        step = _captured_step(leaf)
        return self.coder.event_load(leaf) if step is None else (Opcode.RUN, self._captured(step, leaf))

    def _captured(self, step: int, expr: Expr) -> int:
        """The word that keeps an expression about one captured event."""
        slot = self.coder.value_slot(self.steps[step].source.event, as_fields(expr))
        return self.word(step, Capture.FIRST if _of_first(expr) else Capture.LAST, slot)

    def compare(self, condition: Expr, event: int) -> Compare | None:
        """The condition as a comparison of one captured word with one column of the event, if it is that."""
        if not isinstance(condition, Op) or condition.name not in COMPARISONS:
            return None
        captured = [_captured_step(side) for side in condition.args]
        own = [_of_event(side) for side in condition.args]
        for flipped in (False, True):
            mine, theirs = condition.args[flipped], condition.args[not flipped]
            step = captured[not flipped]
            if own[flipped] and step is not None:
                break
        else:
            return None
        integer, real, swapped = COMPARISONS[condition.name]
        word = self._captured(step, theirs)
        opcode = real if is_float(mine.kind) else integer
        return Compare(opcode, word, self.coder.value_slot(event, mine), flipped != swapped)

    def _aggregate(self, leaf: CaptureAggregate) -> int:
        if leaf.argument is None:
            return self.word(leaf.step, Capture.COUNT, -1)
        slot = self.coder.value_slot(self.steps[leaf.step].source.event, leaf.argument)
        return self.word(leaf.step, _AGGREGATES[leaf.function][is_float(leaf.argument.kind)], slot)


def _of_event(expr: Expr) -> bool:
    """Whether the expression is about the event alone, and not a constant."""
    leaves = [part for part in walk(expr) if not isinstance(part, Op | Const)]
    return bool(leaves) and all(isinstance(part, FieldRef) for part in leaves)


def _captured_step(expr: Expr) -> int | None:
    """The step that the expression is about, if it is about one captured event alone."""
    leaves = [part for part in walk(expr) if not isinstance(part, Op | Const)]
    about = {(part.step, part.which) if isinstance(part, CaptureRef) else None for part in leaves}
    found = about.pop() if len(about) == 1 else None
    return None if found is None else found[0]


def _of_first(expr: Expr) -> bool:
    """Whether an expression about one captured event is about the first of a loop's events."""
    return any(isinstance(part, CaptureRef) and part.which == "first" for part in walk(expr))


def looks_back(expr: Expr) -> bool:
    """Whether a filter speaks of what a run has captured."""
    return any(isinstance(part, CaptureRef | CaptureAggregate) for part in walk(expr))


def compile_sequence(context: Context, rule: Rule, when: When) -> SequencePlan:
    """Steps, the guards before each, the trailing guards, and which rows enter with which bits."""
    positive = {i: n for n, i in enumerate(i for i, step in enumerate(when.steps) if not step.negated)}
    captures = _Captures(context.coder, when.steps, positive)
    group = key_group(rule)
    loads = context.features.load(context.coder)

    def load(leaf: Expr) -> Load:
        return captures.load(leaf) if looks_back(leaf) else loads(leaf)

    feeds: list[Feed] = []
    steps: list[StepSpec] = []
    guards: list[Guard] = []
    ordered = sorted(range(len(when.steps)), key=lambda i: when.steps[i].negated)  # the first step gets bit 0
    bits = {i: 1 << n for n, i in enumerate(ordered)}
    for i, step in enumerate(when.steps):
        conditions = list(map(inward, conjuncts(step.source.where)))
        plain = [c for c in conditions if not looks_back(c)]
        probing = [c for c in conditions if looks_back(c)]
        predicate = context.atom(step.source, plain, probing, group)
        compares = tuple(c for part in probing if (c := captures.compare(part, step.source.event)) is not None)
        probing = [part for part in probing if captures.compare(part, step.source.event) is None]
        code = context.coder.expression(_required(_all(probing)), load) if probing else -1
        feeds.append(Feed(predicate, bits[i], context.key(step.source)))
        immediate = step.link == "next"
        if step.negated:
            within = -1 if step.within_us is None else step.within_us
            if not positive_before(when, i):
                within = step.within_us or rule.within_us or 0
            guards.append(Guard(bits[i], within, immediate, compares, code))
            continue
        most = -1 if step.most is None else step.most
        gap = -1 if step.within_us is None or not steps else step.within_us
        guarded, guards = tuple(guards), []
        steps.append(StepSpec(bits[i], step.least, most, immediate, gap, compares, code, guarded, step.source.event))
    if any(step.link == "next" for step in when.steps):
        feeds += _contiguity(context, when)
    return SequencePlan(
        key_parts=len(rule.keys),
        policy=when.policy,
        steps=tuple(steps),
        trailing=tuple(guards),
        within_us=-1 if rule.within_us is None else rule.within_us,
        feeds=tuple(feeds),
        captures=tuple(captures.words),
        looks_back=any(looks_back(c) for s in when.steps for c in conjuncts(s.source.where)),
        max_starts=rule.max_starts,
    )


def positive_before(when: When, place: int) -> bool:
    """Whether a positive step stands before the step at `place`."""
    return any(not step.negated for step in when.steps[:place])


def _contiguity(context: Context, when: When) -> list[Feed]:
    """With `next`, every event of the key counts, whatever its filter says."""
    roles = {(step.source.event, context.key(step.source)) for step in when.steps}
    return [Feed(context.predicate(event, None), 0, key) for event, key in sorted(roles)]


def _all(conditions: list[Expr]) -> Expr | None:
    from cep.compile.program import all_of

    return all_of(conditions)


def _required(expr: Expr | None) -> Expr:
    assert expr is not None
    return expr
