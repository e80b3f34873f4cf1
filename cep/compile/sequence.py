"""A `when` → the steps, guards and captured words of a sequence plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cep.compile.aggregates import inward
from cep.compile.expressions import COMPARISONS, Coder, all_of, as_fields, conjuncts, is_float, walk
from cep.compile.features import key_group
from cep.compile.graph import build_graph
from cep.lang.checked.expressions import CaptureAggregate, CaptureRef, Const, Expr, FieldRef, GroupCapture, Op, Source
from cep.lang.checked.rules import Rule, Step, When
from cep.lang.checked.rules import groups as groups_of
from cep.layout.aggregates import Feed
from cep.layout.expressions import Opcode
from cep.layout.patterns import UNTIL_BIT, Capture, CaptureWord, Compare, Guard, SequencePlan, StepSpec

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
_ENDS = {"of_first": Capture.FIRST, "of_last": Capture.LAST}


@dataclass(slots=True)
class _Captures:
    """The words that a run keeps because a later filter reads them; equal ones are one."""

    coder: Coder
    steps: tuple[Step, ...]
    positive: dict[int, int]  # place in When.steps → place among the positive steps
    words: list[CaptureWord] = field(default_factory=list)

    def word(self, step: int, what: Capture, slot: int) -> int:
        return self._place(CaptureWord(self.positive[step], what, slot))

    def _place(self, made: CaptureWord) -> int:
        if made not in self.words:
            self.words.append(made)
        return self.words.index(made)

    def load(self, leaf: Expr) -> Load:
        """Where a filter with look-back finds a leaf, or a derivation of one event's fields."""
        if isinstance(leaf, CaptureAggregate):
            return Opcode.RUN, self._aggregate(leaf)
        if isinstance(leaf, GroupCapture):
            return Opcode.RUN, self._of_group(leaf)
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

    def _of_group(self, leaf: GroupCapture) -> int:
        what = _ENDS.get(leaf.function, Capture.COUNT)
        slots = [-1] * len(leaf.steps)
        if leaf.arguments:
            events = (self.steps[step].source.event for step in leaf.steps)
            slots = [self.coder.value_slot(event, arg) for event, arg in zip(events, leaf.arguments, strict=True)]
            if leaf.function not in _ENDS:
                what = _AGGREGATES[leaf.function][is_float(leaf.arguments[0].kind)]
        members = tuple((self.positive[step], slot) for step, slot in zip(leaf.steps, slots, strict=True))
        return self._place(CaptureWord(-1, what, -1, members))


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
    return any(isinstance(part, CaptureRef | CaptureAggregate | GroupCapture) for part in walk(expr))


def compile_sequence(context: Context, rule: Rule, when: When) -> SequencePlan:
    """Steps, the guards before each, the trailing guards, and which rows enter with which bits."""
    positive = {i: n for n, i in enumerate(i for i, step in enumerate(when.steps) if not step.negated)}
    captures = _Captures(context.coder, when.steps, positive)
    group = key_group(rule)
    loads = context.features.load(context.coder)

    def load(leaf: Expr) -> Load:
        return captures.load(leaf) if looks_back(leaf) else loads(leaf)

    feeds: list[Feed] = []

    def judged(source: Source, bit: int) -> tuple[tuple[Compare, ...], int]:
        """The look-back of a filter: its comparisons, and the rest. The rows that pass what else it says enter."""
        conditions = list(map(inward, conjuncts(source.where)))
        probing = [c for c in conditions if looks_back(c)]
        predicate = context.atom(source, [c for c in conditions if not looks_back(c)], probing, group)
        feeds.append(Feed(predicate, bit, context.key(source)))
        compares = tuple(c for part in probing if (c := captures.compare(part, source.event)) is not None)
        probing = [part for part in probing if captures.compare(part, source.event) is None]
        return compares, context.coder.expression(_required(all_of(probing)), load) if probing else -1

    steps: list[StepSpec] = []
    guards: list[Guard] = []
    every: list[Guard] = []
    ordered = sorted(range(len(when.steps)), key=lambda i: when.steps[i].negated)  # the first step gets bit 0
    bits = {i: 1 << n for n, i in enumerate(ordered)}
    for i, step in enumerate(when.steps):
        compares, code = judged(step.source, bits[i])
        immediate = step.link == "next"
        if step.negated:
            within = -1 if step.within_us is None else step.within_us
            if when.tree is None and not positive_before(when, i):
                within = step.within_us or rule.within_us or 0
            guards.append(Guard(bits[i], within, immediate, compares, code))
            every.append(guards[-1])
            continue
        most = -1 if step.most is None else step.most
        gap = -1 if step.within_us is None or not steps else step.within_us
        guarded = tuple(guards) if when.tree is None else ()
        guards = []
        steps.append(StepSpec(bits[i], step.least, most, immediate, gap, compares, code, guarded, step.source.event))
    until = None if when.until is None else Guard(UNTIL_BIT, -1, False, *judged(when.until, UNTIL_BIT))
    if needs_contiguity(when):
        feeds += _contiguity(context, when)
    return SequencePlan(
        key_parts=len(rule.keys),
        policy=when.policy,
        steps=tuple(steps),
        trailing=tuple(guards) if when.tree is None else (),
        within_us=-1 if rule.within_us is None else rule.within_us,
        feeds=tuple(feeds),
        captures=tuple(captures.words),
        looks_back=any(looks_back(c) for s in when.steps for c in conjuncts(s.source.where)),
        max_starts=rule.max_starts,
        graph=None if when.tree is None else build_graph(when, tuple(every), until),
    )


def needs_contiguity(when: When) -> bool:
    """Whether it matters what the very next event of the key is."""
    groups = any(group.in_row or group.link == "next" for group in groups_of(when.items))
    return groups or any(step.link == "next" or step.in_row for step in when.steps)


def positive_before(when: When, place: int) -> bool:
    """Whether a positive step stands before the step at `place`."""
    return any(not step.negated for step in when.steps[:place])


def _contiguity(context: Context, when: When) -> list[Feed]:
    """With `next`, every event of the key counts, whatever its filter says."""
    sources = [step.source for step in when.steps] + ([when.until] if when.until is not None else [])
    roles = {(source.event, context.key(source)) for source in sources}
    return [Feed(context.predicate(event, None), 0, key) for event, key in sorted(roles)]


def _required(expr: Expr | None) -> Expr:
    assert expr is not None
    return expr
