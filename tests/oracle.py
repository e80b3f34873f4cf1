"""The laws of the language, written down naively: the twin that the engine is compared with.

It is a function of (rule set, events in the order of law 2, end of time), and it is written for obviousness, not for
speed: a run is a little object, a window is a list comprehension over every earlier event of the key, and the instants
at which elements leave windows are found by looking at all of them. `docs/semantics.md` is followed sentence by
sentence. It knows nothing of the engine: plain Python, no arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from cep.lang.checked.expressions import Source
from cep.lang.checked.rules import Rule, When
from cep.lang.checked.ruleset import RuleSet
from tests.oracle_tables import with_tables
from tests.oracle_tree import TreeRuns
from tests.oracle_values import Counters, Key, OracleEvent, Outcome, Ranked, Value, is_of, key_of, value
from tests.oracle_when import Runs
from tests.oracle_while import Episodes, sources_of

__all__ = ["Counters", "OracleEvent", "Outcome", "Report", "report", "run"]


@dataclass
class Report:
    """Everything that one pass over the events gave."""

    outcomes: list[Outcome] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


def run(ruleset: RuleSet, events: Sequence[OracleEvent], until_us: int) -> list[Outcome]:
    """Every alert in order. Deadlines up to `until_us` fire."""
    return report(ruleset, events, until_us).outcomes


def report(ruleset: RuleSet, events: Sequence[OracleEvent], until_us: int) -> Report:
    """As `run`, with the counters."""
    ruleset = with_tables(ruleset)
    counters = Counters()
    events = list(events)
    for stratum in range(1 + max((rule.stratum for rule in ruleset.rules), default=0)):
        ranked: list[Ranked] = []
        for index, rule in enumerate(ruleset.rules):
            if rule.mode != "off" and rule.stratum == stratum:
                ranked += _run_rule(ruleset, index, events, until_us, counters)
        in_order = sorted(ranked, key=lambda r: (r.rank, r.outcome.key))
        events = with_alerts(ruleset, events, alerting(ruleset, in_order, counters))
    return Report([event.alert for event in events if event.alert is not None], counters)


def _run_rule(
    ruleset: RuleSet, index: int, events: Sequence[OracleEvent], until_us: int, counters: Counters
) -> Iterator[Ranked]:
    """One machine for each key; each sees the events of the root events that the rule names, in order."""
    rule = ruleset.rules[index]
    is_when = isinstance(rule.trigger, When)
    sources: list[Source] = [step.source for step in rule.trigger.steps] if is_when else sources_of(rule)
    if is_when and rule.trigger.until is not None:
        sources.append(rule.trigger.until)
    machine = Runs if is_when and rule.trigger.tree is None else TreeRuns if is_when else Episodes
    machines: dict[Key, Runs | TreeRuns | Episodes] = {}
    if rule.roster is not None and events and not is_when:
        keys = next(table for table in ruleset.tables if (table.name, table.key) == (rule.roster, rule.keys[0].kind))
        machines = {(key,): Episodes(index, rule, (key,), events, counters, True) for key, _ in keys.rows}
    for ordinal, event in enumerate(events):
        keys = [key_of(source, event) for source in sources if is_of(source, event)]
        counters.without_key += None in keys
        for key in dict.fromkeys(key for key in keys if key is not None):
            if key not in machines:
                machines[key] = machine(index, rule, key, events, counters)
            machines[key].see(ordinal)
    for made in machines.values():
        made.advance(until_us)
        yield from made.found


def alerting(ruleset: RuleSet, ranked: Sequence[Ranked], counters: Counters) -> list[Ranked]:
    """Those that become alerts, each with its clause. An episode resolves as it opened."""
    rules = {rule.name: rule for rule in ruleset.rules}
    periods: dict[tuple[str, Key], tuple[int, int]] = {}  # rule, limit key -> begin of the period, passed so far
    opened: dict[tuple[str, Key], int | str] = {}  # the clause, or why there was no alert
    made = []
    for entry in ranked:
        outcome = entry.outcome
        rule, episode = rules[outcome.rule], (outcome.rule, outcome.key)
        if outcome.status == "fired":
            opened[episode] = holding(rule, outcome)
            if opened[episode] != "conditional" and not is_let_through(rule, outcome, periods):
                opened[episode] = "limited"
        clause = opened[episode]
        if isinstance(clause, str):
            setattr(counters, clause, getattr(counters, clause) + 1)
        else:
            counters.shadow += rule.mode == "shadow"
            made.append(replace(entry, outcome=replace(outcome, clause=clause)))
    return made


def holding(rule: Rule, outcome: Outcome) -> int | str:
    """The first clause whose condition holds."""
    assert outcome.place is not None
    for number, clause in enumerate(rule.alerts):
        if clause.condition is None or value(clause.condition, outcome.place) is True:
            return number
    return "conditional" if rule.alerts else 0


def is_let_through(rule: Rule, outcome: Outcome, periods: dict[tuple[str, Key], tuple[int, int]]) -> bool:
    if rule.limit is None:
        return True
    assert outcome.place is not None
    period = (outcome.rule, tuple(value(key, outcome.place) for key in rule.limit.keys))
    begin, count = periods.get(period, (outcome.time_us, 0))
    if outcome.time_us >= begin + rule.limit.per_us:
        begin, count = outcome.time_us, 0
    if count < rule.limit.count:
        periods[period] = (begin, count + 1)
    return count < rule.limit.count


def with_alerts(ruleset: RuleSet, events: Sequence[OracleEvent], alerts: Sequence[Ranked]) -> list[OracleEvent]:
    """The order in which the next stratum reads: an alert right behind its event, or before those of its instant."""
    places: list[tuple[tuple[int, ...], OracleEvent]] = [
        ((event.time_us, 1, ordinal, 0), event) for ordinal, event in enumerate(events)
    ]
    for number, entry in enumerate(alerts, 1):
        time_us, is_event, ordinal, *_ = entry.rank
        place = (time_us, 1, ordinal, number) if is_event else (time_us, 0, 0, number)
        places.append((place, as_event(ruleset, entry.outcome)))
    return [event for _, event in sorted(places, key=lambda pair: pair[0])]


def as_event(ruleset: RuleSet, outcome: Outcome) -> OracleEvent:
    """An alert as the event that rules listen to."""
    rule = next(rule for rule in ruleset.rules if rule.name == outcome.rule)
    fed = next((fed for fed in ruleset.fed if fed.rule == rule.name), None)
    if fed is None or rule.mode != "live":
        return OracleEvent(-1, outcome.time_us, {}, (), outcome)
    root = fed.fired if outcome.status == "fired" else fed.resolved
    also = tuple(event.index for event in ruleset.events if root in event.of)
    return OracleEvent(root, outcome.time_us, said(rule, outcome), also, outcome)


def said(rule: Rule, outcome: Outcome) -> dict[str, Value]:
    """The fields of an alert, but for its id."""
    place = outcome.place
    assert place is not None
    return {
        "rule": rule.name,
        "severity": rule.alerts[outcome.clause].level,
        "score": None if rule.score is None else value(rule.score, place),
        "status": outcome.status,
        **{name: value(expr, place) for name, expr in reversed((*rule.shows, *rule.labels))},
        **dict(zip((key.name for key in rule.keys), outcome.key, strict=True)),
    }
