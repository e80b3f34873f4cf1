"""What `test` blocks show of their rules: the steps that some test reached, the guards that some test would miss.

A rule is well tested by a hit and by a near miss, if it can wait for anything. A step is reached when a run captures
something for it, whether the run becomes a match or not. A `no` is noticed when without it some test of the rule has
other alerts: that is tried, one `no` after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cep.compile import compile_rules
from cep.lang.checked.expressions import Const
from cep.lang.checked.rules import Rule, Step, When
from cep.lang.checked.ruleset import RuleSet, Test
from cep.lang.checked.schema import Kind
from cep.layout.program import Program
from cep.testing.blocks import Observed, observe
from cep.testing.ways import Way

_WRITTEN = Way("as written")


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """What is shown of one rule. Steps and guards are as the author named them, each in the order of the text.

    hits: tests in which it fires; misses: those in which it does not for some key that it waited for, None for a rule
    that never waits. resolves: tests in which an episode ends, None for a `when`.
    """

    rule: str
    tests: int
    hits: int
    misses: int | None
    reached: tuple[str, ...]
    unreached: tuple[str, ...]
    noticed: tuple[str, ...]
    unnoticed: tuple[str, ...]
    resolves: int | None


def covered(ruleset: RuleSet, program: Program) -> list[RuleCoverage]:
    """The coverage of every rule by the tests that name it."""
    tests = {rule.name: [test for test in ruleset.tests if test.rule == rule.name] for rule in ruleset.rules}
    return [_of_rule(ruleset, program, rule, tests[rule.name]) for rule in ruleset.rules]


def _of_rule(ruleset: RuleSet, program: Program, rule: Rule, tests: Sequence[Test]) -> RuleCoverage:
    observed = [observe(program, test, _WRITTEN, closely=True) for test in tests]
    fired = [_count(rule, found, "fired") for found in observed]
    steps = rule.trigger.steps if isinstance(rule.trigger, When) else ()
    positive = [step for step in steps if not step.negated]
    reached = {place for found in observed for place in _reached(rule, found)}
    guards = [place for place, step in enumerate(steps) if step.negated]
    noticed = {place for place in guards if tests and _is_noticed(ruleset, rule, place, tests, observed)}
    return RuleCoverage(
        rule=rule.name,
        tests=len(tests),
        hits=sum(count > 0 for count in fired),
        misses=sum(_is_missed(rule, found) for found in observed) if _waits(steps) else None,
        reached=_names([step for place, step in enumerate(positive) if place in reached]),
        unreached=_names([step for place, step in enumerate(positive) if place not in reached]),
        noticed=_names([steps[place] for place in guards if place in noticed]),
        unnoticed=_names([steps[place] for place in guards if place not in noticed]),
        resolves=None if steps else sum(_count(rule, found, "resolved") > 0 for found in observed),
    )


def _count(rule: Rule, found: Observed, status: str) -> int:
    return sum((alert.rule, alert.status) == (rule.name, status) for alert in found.alerts)


def _is_missed(rule: Rule, found: Observed) -> bool:
    keys = [alert.key for alert in found.alerts if alert.rule == rule.name]
    return any(entry.key not in keys for moment in found.waiting.values() for entry in moment.get(rule.name, ()))


def _waits(steps: Sequence[Step]) -> bool:
    """Whether a rule can wait for anything: not a sequence of one event, which is over when it begins."""
    behind = next((place for place, step in enumerate(steps) if not step.negated), -1) + 1
    return not steps or len(steps) > behind or steps[behind - 1].least > 1


def _reached(rule: Rule, found: Observed) -> Iterator[int]:
    """The positive steps that captured something: for a run that was waiting, or for a match."""
    for moment in found.waiting.values():
        for entry in moment.get(rule.name, ()):
            yield from entry.captured
    for alert in found.alerts:
        if alert.rule == rule.name:
            said = json.loads(alert.body)["data"]["evidence"]["steps"]
            present = [step for step in said if "absent" not in step]
            yield from (place for place, step in enumerate(present) if step["count"])


def _is_noticed(ruleset: RuleSet, rule: Rule, place: int, tests: Sequence[Test], observed: Sequence[Observed]) -> bool:
    """Whether some test has other alerts when nothing fits the `no` at this place."""
    assert isinstance(rule.trigger, When)
    step = rule.trigger.steps[place]
    idle = replace(step, source=replace(step.source, where=Const(False, Kind.FLAG)))
    steps = (*rule.trigger.steps[:place], idle, *rule.trigger.steps[place + 1 :])
    other = replace(rule, trigger=replace(rule.trigger, steps=steps))
    rules = tuple(other if one is rule else one for one in ruleset.rules)
    program = compile_rules(replace(ruleset, rules=rules))
    without = (observe(program, test, _WRITTEN) for test in tests)
    return any(_told(rule, found) != _told(rule, missing) for found, missing in zip(observed, without, strict=True))


def _told(rule: Rule, found: Observed) -> list[tuple[str, int, object]]:
    return [(alert.status, alert.time_us, alert.key) for alert in found.alerts if alert.rule == rule.name]


def _names(steps: Sequence[Step]) -> tuple[str, ...]:
    return tuple(f"no {step.name}" if step.negated else step.alias or step.name for step in steps)
