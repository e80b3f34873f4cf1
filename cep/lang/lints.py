"""Rules that are allowed and most likely not meant: they say nothing that another does not, or look back too far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from cep.errors import Diagnostic
from cep.lang.checked.rules import Rule, Step, When, While
from cep.lang.checked.ruleset import RuleSet
from cep.lang.contradiction import implies
from cep.lang.cost import costs
from cep.lang.spelling import duration

_LEVELS = ("info", "low", "medium", "high", "critical")
_MOST_ALIKE = 30  # rules of one shape that are compared; more of them are a family that a program wrote


def lint(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """Warnings about rules that accepted files hold."""
    families: dict[object, list[Rule]] = {}
    for rule in ruleset.rules:
        if rule.mode == "live" and len(rule.alerts) == 1 and rule.alerts[0].condition is None:
            families.setdefault(_shape(rule), []).append(rule)
    for family in families.values():
        if len(family) <= _MOST_ALIKE:
            yield from _idle(family)


def beyond(ruleset: RuleSet, retention_us: int) -> Iterator[Diagnostic]:
    """Warnings about rules that look back further than the streams reach."""
    lengths = {cost.rule: max((part.within_us or 0 for part in cost.parts), default=0) for cost in costs(ruleset)}
    for rule in ruleset.rules:
        longest_us = max(rule.within_us or 0, lengths.get(rule.name, 0))
        if longest_us > retention_us:
            yield Diagnostic(
                "CEP390",
                f'"{rule.name}" looks back {duration(longest_us)}, and the streams reach back {duration(retention_us)}',
                rule.span,
                "without a snapshot a start cannot read again what the rule has to remember",
                "warning",
            )


def _idle(family: Sequence[Rule]) -> Iterator[Diagnostic]:
    """Each rule that fires only where another one of at least its level fires."""
    told: set[str] = set()
    for rule, other in permutations(family, 2):
        if rule.name in told or other.name in told or not _is_implied(rule, other):
            continue
        told.add(rule.name)
        message = f'whenever "{rule.name}" fires, "{other.name}" fires too, at level {other.alerts[0].level}'
        hint = "leave one out, or let their filters exclude each other"
        yield Diagnostic("CEP391", message, rule.span, hint, "warning")


def _is_implied(rule: Rule, other: Rule) -> bool:
    if _LEVELS.index(rule.alerts[0].level) > _LEVELS.index(other.alerts[0].level):
        return False
    mine, theirs = rule.trigger, other.trigger
    if isinstance(mine, While) and isinstance(theirs, While):
        return implies(mine.condition, theirs.condition)
    assert isinstance(mine, When)
    assert isinstance(theirs, When)
    pairs = zip(mine.steps, theirs.steps, strict=True)
    return all(implies(one.source.where, another.source.where) for one, another in pairs if not one.negated)


def _shape(rule: Rule) -> object:
    """All of a rule but what it is called, what it says, and the filters of what happens.

    Only where each event is judged by itself, or each start makes a match, does a stronger filter mean fewer alerts of
    the same kind: otherwise the weaker one may be busy with another match.
    """
    head = (tuple((key.name, key.kind) for key in rule.keys), rule.within_us, rule.limit, rule.forget_us)
    trigger = rule.trigger
    if isinstance(trigger, While):
        own = None if trigger.until is None and trigger.keep_us == 0 else rule.name
        return (*head, "while", trigger.for_us, own)
    alone = trigger.tree is None and (len(trigger.steps) == 1 or trigger.policy == "each")
    own = None if alone else rule.name
    return (*head, trigger.policy, tuple(map(_step_shape, trigger.steps)), rule.max_starts, own)


def _step_shape(step: Step) -> object:
    where = step.source.where if step.negated else None
    single = step.least == 1 and step.most == 1
    return (step.link, step.negated, single or step.span, step.within_us, step.source.event, step.source.key, where)
