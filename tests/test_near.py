"""What waits, on random rules: the engine's state says the same as the oracle's runs."""

from __future__ import annotations

from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.lang.checked.expressions import Source
from cep.lang.checked.rules import When
from cep.lang.checked.ruleset import RuleSet
from cep.testing import VirtualEvent, batch_of
from cep.testing.near import waiting
from tests.generate import SECOND_US, Case, random_case
from tests.oracle_tables import with_tables
from tests.oracle_tree import TreeRuns
from tests.oracle_values import Counters, is_of, key_of
from tests.oracle_when import Run, Runs


def by_the_oracle(ruleset: RuleSet, case: Case, until_us: int) -> dict[str, dict[tuple[object, ...], set[int]]]:
    """For each sequence over events, what the runs of each key wait for."""
    events = [event for event in case.events if event.time_us <= until_us]
    found: dict[str, dict[tuple[object, ...], set[int]]] = {}
    for rule in with_tables(ruleset).rules:
        if not isinstance(rule.trigger, When) or rule.stratum:
            continue
        sources: list[Source] = [s.source for s in rule.trigger.steps]
        sources += [] if rule.trigger.until is None else [rule.trigger.until]
        kind = Runs if rule.trigger.tree is None else TreeRuns
        machines: dict[tuple[object, ...], Runs | TreeRuns] = {}
        for ordinal, event in enumerate(events):
            keys = [key_of(source, event) for source in sources if is_of(source, event)]
            for key in dict.fromkeys(key for key in keys if key is not None):
                if key not in machines:
                    machines[key] = kind(0, rule, key, events, Counters())
                machines[key].see(ordinal)
        waits = {}
        for key, machine in machines.items():
            machine.advance(until_us)
            steps = set().union(*(waits_for(machine, run, until_us) for run in machine.runs))
            if steps:
                waits[key] = steps
        found[rule.name] = waits
    return found


def waits_for(machine: Runs | TreeRuns, run: Run, now_us: int) -> set[int]:
    """The places among the positive steps of what a run waits for; none when it can get nothing more."""
    if isinstance(machine, TreeRuns):
        return machine.waits_for(run, now_us)
    place = awaited(machine, run, now_us)
    return set() if place is None else {place}


def awaited(machine: Runs, run: Run, now_us: int) -> int | None:
    at = max(run.captured)
    step, count, place = machine.steps[at], len(run.captured[at]), machine.positive.index(at)
    before = machine.positive[place - 1] if place else None
    own_gap_open = before is None or not is_over(machine, run.captured[before][-1], step.within_us, now_us)
    grows = own_gap_open and (step.most is None or count < step.most)
    if count < step.least:
        return place if grows else None
    after = machine.after(at)
    if after is None or grows:
        return place + 1
    if machine.steps[after].link == "next" and run.captured[at][-1] != machine.seen[-1]:
        return None  # a run of `match all` that stayed when a copy of it went on
    return None if is_over(machine, run.captured[at][-1], machine.steps[after].within_us, now_us) else place + 1


def is_over(machine: Runs, since: int, within_us: int | None, now_us: int) -> bool:
    return within_us is not None and machine.time(since) + within_us <= now_us


def by_the_engine(case: Case, until_us: int) -> dict[str, dict[tuple[object, ...], set[int]]]:
    program = case.program
    state = EngineState.create(program)
    events = [VirtualEvent(e.event, e.time_us, e.values) for e in case.events if e.time_us <= until_us]
    for number, event in enumerate(events):
        step(program, state, batch_of(program, state.strings, [event], number))
    drain(program, state, until_us)
    found = waiting(program, state, until_us)
    return {
        rule.name: {tuple(entry.key.values()): set(entry.steps) for entry in found[rule.name]}
        for rule in case.ruleset.rules
        if isinstance(rule.trigger, When) and not rule.stratum
    }


def test_what_waits_is_what_the_oracle_says():
    kinds = set()
    for seed in range(60):
        case = random_case(seed)
        middle_us = case.events[len(case.events) // 2].time_us
        for until_us in (middle_us, middle_us + SECOND_US, case.until_us):
            print("seed", seed, "until", until_us)
            expected = by_the_oracle(case.ruleset, case, until_us)
            assert by_the_engine(case, until_us) == expected
            kinds |= {len(steps) for waits in expected.values() for steps in waits.values()}
    assert kinds >= {1, 2}
