"""The laws of the language, written down naively: the twin that the engine is compared with.

It is a function of (rule set, events in the order of law 2, end of time), and it is written for obviousness, not for
speed: a run is a little object, a window is a list comprehension over every earlier event of the key, and the instants
at which elements leave windows are found by looking at all of them. `docs/semantics.md` is followed sentence by
sentence. It knows nothing of the engine: plain Python, no arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cep.lang.checked import Rule, RuleSet, Source, When
from tests.oracle_tree import TreeRuns
from tests.oracle_values import Counters, Key, OracleEvent, Outcome, Place, Ranked, key_of, value
from tests.oracle_when import Runs
from tests.oracle_while import Episodes, sources_of

__all__ = ["Counters", "OracleEvent", "Outcome", "Report", "let_through", "place_of", "report", "run"]


@dataclass
class Report:
    """Everything that one pass over the events gave."""

    outcomes: list[Outcome] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


def run(ruleset: RuleSet, events: Sequence[OracleEvent], until_us: int) -> list[Outcome]:
    """Every outcome in the order of the section "Alerts"; `limit` is not applied. Deadlines up to `until_us` fire."""
    return report(ruleset, events, until_us).outcomes


def report(ruleset: RuleSet, events: Sequence[OracleEvent], until_us: int) -> Report:
    """As `run`, with the counters."""
    counters = Counters()
    ranked: list[Ranked] = []
    for index, rule in enumerate(ruleset.rules):
        if rule.mode != "off":
            ranked += _run_rule(index, rule, events, until_us, counters)
    return Report([r.outcome for r in sorted(ranked, key=lambda r: (r.rank, r.outcome.key))], counters)


def _run_rule(
    index: int, rule: Rule, events: Sequence[OracleEvent], until_us: int, counters: Counters
) -> Iterator[Ranked]:
    """One machine for each key; each sees the events of the root events that the rule names, in order."""
    is_when = isinstance(rule.trigger, When)
    sources: list[Source] = [step.source for step in rule.trigger.steps] if is_when else sources_of(rule)
    if is_when and rule.trigger.until is not None:
        sources.append(rule.trigger.until)
    machine = Runs if is_when and rule.trigger.tree is None else TreeRuns if is_when else Episodes
    machines: dict[Key, Runs | TreeRuns | Episodes] = {}
    for ordinal, event in enumerate(events):
        keys = [key_of(source, event) for source in sources if source.event == event.event]
        counters.without_key += None in keys
        for key in dict.fromkeys(key for key in keys if key is not None):
            if key not in machines:
                machines[key] = machine(index, rule, key, events, counters)
            machines[key].see(ordinal)
    for made in machines.values():
        made.advance(until_us)
        yield from made.found


def let_through(ruleset: RuleSet, events: Sequence[OracleEvent], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes that `limit` lets pass, in order. Its keys may speak of the rule's key and of captured events."""
    rules = {rule.name: rule for rule in ruleset.rules}
    periods: dict[tuple[str, Key], tuple[int, int]] = {}  # rule, limit key -> begin of the period, passed so far
    suppressed: set[tuple[str, Key]] = set()  # episodes whose `fired` was
    passed = []
    for outcome in outcomes:
        rule = rules[outcome.rule]
        episode = (outcome.rule, outcome.key)
        if rule.limit is None:
            passed.append(outcome)
        elif outcome.status == "resolved":
            if episode not in suppressed:
                passed.append(outcome)
            suppressed.discard(episode)
        else:
            place = place_of(rule, outcome, events)
            period = (outcome.rule, tuple(value(key, place) for key in rule.limit.keys))
            begin, count = periods.get(period, (outcome.time_us, 0))
            if outcome.time_us >= begin + rule.limit.per_us:
                begin, count = outcome.time_us, 0
            if count < rule.limit.count:
                periods[period] = (begin, count + 1)
                suppressed.discard(episode)
                passed.append(outcome)
            else:
                suppressed.add(episode)
    return passed


def place_of(rule: Rule, outcome: Outcome, events: Sequence[OracleEvent]) -> Place:
    """Where the alert's expressions are judged: after everything that the match captured."""
    steps = rule.trigger.steps if isinstance(rule.trigger, When) else ()
    positive = [i for i, step in enumerate(steps) if not step.negated]
    captured = dict(zip(positive, outcome.captured, strict=True))
    return Place(events, outcome.key, None, outcome.time_us, 0, 0, captured)
