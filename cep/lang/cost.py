"""What a rule remembers: bytes for each key at most, and what bounds them (law 6 of the engine: bounded, and said).

It is worked out from the checked rule alone. What a key costs in any case is one figure; the rest grows with what
happens: waiting starts, events of loops, elements of windows. Where a count bounds that, there is a most in bytes;
where only time does, it is bytes for each event of that time, for nothing bounds how many come. Tables grow by
doubling, so twice as much may be set aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cep.lang.checked.expressions import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Expr,
    FieldRef,
    GroupCapture,
    LatestRef,
    Op,
    Source,
)
from cep.lang.checked.rules import Rule, Step, Template, When, groups
from cep.lang.checked.ruleset import RuleSet
from cep.lang.checked.schema import Kind
from cep.lang.names import parts
from cep.lang.spelling import duration

_WORD = 8
_KEY = 9 * _WORD  # a slot of a key space, and its places in the hash table
_WINDOW = 21 * _WORD  # an aggregate of a key
_ELEMENT, _RANKED = 8 * _WORD, 6 * _WORD  # an element with its places in the index; its place in an order of values
_COMBINED = 9 * _WORD  # a captured event among the combinations of its step
_CAPTURED = 6 * _WORD  # stream, event, id and time of a captured event; its fields come on top
DISTINCT_MAX, HELD_MAX = 4096, 65_536  # as the engine has them


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes for each of something. `most`: so many at most, None where only `within_us` bounds them."""

    size: int
    each: str
    most: int | None = None
    within_us: int | None = None

    def told(self) -> str:
        """`72 for each waiting start, 1,000 at most`."""
        if self.most == 1:
            return f"{self.size:,} for {self.each}"
        bound = f"{self.most:,} at most" if self.most is not None else f"of the last {duration(self.within_us or 0)}"
        return f"{self.size:,} for each {self.each}, {bound}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rule costs for one key. `alike`: the rules that are keyed by the same fields of the same events."""

    rule: str
    keys: tuple[str, ...]
    parts: tuple[Part, ...]
    windows_shared_with: tuple[str, ...]
    alike: tuple[str, ...]

    @property
    def bytes_max(self) -> int | None:
        """The most that a key takes; None where a part is bounded by time alone."""
        counted = [part.size * part.most for part in self.parts if part.most is not None]
        return sum(counted) if len(counted) == len(self.parts) else None


def costs(ruleset: RuleSet) -> list[Cost]:
    """The cost of every rule that runs, in order."""
    rules = [rule for rule in ruleset.rules if rule.mode != "off"]
    row = _CAPTURED + _WORD * len({field for rule in rules for field in _fields(rule)})
    windows = {rule.name: set(_windows(rule)) for rule in rules if isinstance(rule.trigger, When)}
    keyed = {rule.name: _keyed(rule) for rule in rules}
    found = []
    for rule in rules:
        own = windows.get(rule.name, set())
        sharing = tuple(name for name, others in windows.items() if name != rule.name and own & others)
        alike = tuple(name for name, key in keyed.items() if name != rule.name and key and key == keyed[rule.name])
        keys = tuple(key.name for key in rule.keys)
        found.append(Cost(rule.name, keys, tuple(_parts(rule, row)), sharing, alike))
    return found


def _parts(rule: Rule, row: int) -> Iterator[Part]:
    trigger = rule.trigger
    aggregates = list(dict.fromkeys(_windows(rule)))
    if isinstance(trigger, When):
        yield from _of_sequence(rule, trigger, row)
    else:
        latest = {part for expr in _said(rule) for part in parts(expr) if _is_kept(part)}
        yield Part(_KEY + _WORD * (10 + len(latest)), "the key and its episode", 1)
        yield Part(row, "the events that began and end the episode", 1)
    if aggregates:
        own_key = _KEY * isinstance(trigger, When)
        yield Part(own_key + _WINDOW * len(aggregates), "its windows", 1)
    ranked = any(_is_ranked(aggregate) for aggregate in aggregates)
    size = _ELEMENT + _RANKED * ranked
    for (each, most, life_us), number in Counter(map(_bound, aggregates)).items():
        windows = "a window" if number == 1 else f"{number} windows"
        yield Part(size * number, f"{each} in {windows}", most, life_us)


def _is_kept(part: Expr) -> bool:
    """Whether an episode keeps its value for each key: a latest value, and what an operation makes of a latest text."""
    if isinstance(part, Op) and part.args[0].kind is Kind.TEXT:
        return any(isinstance(inner, LatestRef) for inner in parts(part.args[0]))
    return isinstance(part, LatestRef)


def _bound(aggregate: Aggregate) -> tuple[str, int | None, int]:
    """What an aggregate keeps, how many of it at most, and how long."""
    life_us = aggregate.window.life_us
    if aggregate.function == "count_distinct":
        return "different value", DISTINCT_MAX, life_us
    if aggregate.window.count:
        return "event", aggregate.window.count, life_us
    return "event", HELD_MAX if _is_ranked(aggregate) or aggregate.function == "new" else None, life_us


def _is_ranked(aggregate: Aggregate) -> bool:
    """Whether the values are kept in an order: for percentiles and the most frequent."""
    return aggregate.function == "top" or aggregate.function[1:].isdigit()


def _of_sequence(rule: Rule, trigger: When, row: int) -> Iterator[Part]:
    positive = [step for step in trigger.steps if not step.negated]
    guards = len(trigger.steps) - len(positive)
    captures = {part for source in _own(trigger) for part in parts(source.where) if _looks_back(part)}
    if _shares_prefixes(rule, trigger) and not captures:
        yield Part(_KEY + _WORD * (4 * len(positive) - 2 + guards), "the key and its steps", 1)
        if len(positive) > 1:
            yield Part(_COMBINED + row, "event that a step has captured", None, rule.within_us)
        return
    asked = bool(captures) or trigger.tree is not None or trigger.policy in ("last", "all")
    yield Part(_KEY + _WORD * (8 + 8 * len(positive) + 3 * guards), "the key and its steps", 1)
    start = _WORD * (9 + 2 * len(positive) + len(captures)) + row
    within_us = _lasts_us(rule, positive)
    node = _WORD * (5 + len(captures)) + row
    if trigger.tree is not None:
        start = _of_structure(trigger, len(positive), len(captures)) + len(positive) * node
    waits = len(positive) > 1 or positive[0].least > 1 or trigger.steps[-1].negated
    if waits:
        yield Part(start, "waiting start", rule.max_starts if asked else None, within_us)
    repeats = any(group.most != 1 for group in groups(trigger.items))
    if repeats or any(step.most != 1 for step in positive):
        yield Part(node, "event of a loop", None, within_us)


def _shares_prefixes(rule: Rule, trigger: When) -> bool:
    """Whether the combinations of a `match all` share what they have in common; as `engine.combinations` has it."""
    if trigger.policy != "all" or trigger.tree is not None or rule.within_us is None or trigger.steps[-1].negated:
        return False
    first = next(place for place, step in enumerate(trigger.steps) if not step.negated)
    inner = [step for step in trigger.steps[first:] if step.negated]
    return all(step.within_us is None and step.link != "next" for step in inner)


def _of_structure(trigger: When, steps: int, captures: int) -> int:
    """What a run of a graph takes: lists, the words of each region, and checkpoints of groups and branches."""
    inside = list(groups(trigger.items))
    branches = sum(len(group.branches) for group in inside if len(group.branches) > 1)
    checkpoints = (len(inside) + branches) * (3 + steps)
    return _WORD * (5 + captures + steps + 11 * (1 + branches) + len(inside) + checkpoints)


def _own(trigger: When) -> tuple[Source, ...]:
    """The sources of a sequence's steps, and of what ends its runs."""
    until = () if trigger.until is None else (trigger.until,)
    return (*(step.source for step in trigger.steps), *until)


def _lasts_us(rule: Rule, positive: Iterable[Step]) -> int:
    """How long a run lives at most."""
    assert isinstance(rule.trigger, When)
    if rule.within_us is not None:
        return rule.within_us
    gaps = [step.within_us or 0 for step in rule.trigger.steps]
    return sum(gaps) + sum(group.within_us or 0 for group in groups(rule.trigger.items))


def _looks_back(part: Expr) -> bool:
    return isinstance(part, CaptureRef | CaptureAggregate | GroupCapture)


def _windows(rule: Rule) -> Iterator[Aggregate]:
    for expr in _said(rule):
        yield from (part for part in parts(expr) if isinstance(part, Aggregate))


def _said(rule: Rule) -> list[Expr | None]:
    """Every expression of a rule."""
    said: list[Expr | None] = [value for _, value in (*rule.shows, *rule.labels)]
    said += [rule.score, *(rule.limit.keys if rule.limit else ()), *(alert.condition for alert in rule.alerts)]
    messages: list[Template] = [alert.message for alert in rule.alerts if alert.message is not None]
    said += [part for message in messages for part in message.parts if not isinstance(part, str)]
    trigger = rule.trigger
    if isinstance(trigger, When):
        return [*(source.where for source in _own(trigger)), *said]
    return [trigger.condition, trigger.until, *said]


def _sources(rule: Rule) -> Iterator[Source]:
    if isinstance(rule.trigger, When):
        yield from _own(rule.trigger)
    for expr in _said(rule):
        yield from (part.source for part in parts(expr) if isinstance(part, Aggregate | LatestRef))


def _keyed(rule: Rule) -> frozenset[tuple[FieldRef, ...]]:
    return frozenset(source.key for source in _sources(rule) if source.key)


def _fields(rule: Rule) -> Iterator[tuple[int, str]]:
    """The fields that the rule reads; a captured event keeps those that any rule reads."""
    wheres = [source.where for source in _sources(rule)]
    for expr in (*_said(rule), *wheres):
        for part in parts(expr):
            if isinstance(part, FieldRef | CaptureRef):
                yield part.event, part.field
            elif isinstance(part, LatestRef):
                yield part.source.event, part.field
            elif isinstance(part, Aggregate | CaptureAggregate):
                yield from ((inner.event, inner.field) for inner in parts(part.argument) if isinstance(inner, FieldRef))
            elif isinstance(part, GroupCapture):
                inner_parts = (inner for argument in part.arguments for inner in parts(argument))
                yield from ((inner.event, inner.field) for inner in inner_parts if isinstance(inner, FieldRef))
    for source in _sources(rule):
        yield from ((part.event, part.field) for part in source.key)
