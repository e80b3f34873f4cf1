"""The runner of `test` blocks: a virtual clock, the engine that runs in production, and what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cep.alerting import Alert, Alerting
from cep.engine.snapshot import dump, load
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.errors import Span
from cep.lang.checked.ruleset import Expect, Given, RuleSet, Test
from cep.layout.program import Program
from cep.testing.events import VirtualEvent, batch_of
from cep.testing.expectations import Judge
from cep.testing.near import Waiting, waiting
from cep.testing.ways import Cut, Way, whole


@dataclass(frozen=True, slots=True)
class TestResult:
    """The outcome of a `test` block; `failures` has a text for each expectation that was not met."""

    __test__ = False  # pytest takes a class of this name for one of its own

    rule: str
    title: str
    span: Span
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every expectation was met."""
        return not self.failures


@dataclass(slots=True)
class Observed:
    """What a test's events led to: all alerts, and at each instant of an expectation what was waiting, rule by rule."""

    alerts: list[Alert] = field(default_factory=list)
    waiting: dict[int, dict[str, list[Waiting]]] = field(default_factory=dict)


def run_tests(ruleset: RuleSet, program: Program, cut: Cut = whole, ways: Sequence[Way] = ()) -> list[TestResult]:
    """Run every `test` block on the engine, by a virtual clock and from an empty state.

    `cut` says how the events up to an expectation are cut into batches, which must make no difference. Nor must any of
    the `ways`: each block is run once more for each, and alerts that differ are a failure.
    """
    return [run_test(ruleset, program, test, cut, ways) for test in ruleset.tests]


def run_test(ruleset: RuleSet, program: Program, test: Test, cut: Cut = whole, ways: Sequence[Way] = ()) -> TestResult:
    """Run one `test` block."""
    judge = Judge(ruleset)
    observed = observe(program, test, Way("as written", cut))
    failures = []
    since = before = -1
    for expect in (moment for moment in test.steps if isinstance(moment, Expect)):
        if expect.at_us > before:
            since, before = before, expect.at_us
        within = [alert for alert in observed.alerts if since < alert.time_us <= expect.at_us]
        failure = judge.failure(expect, within, observed.waiting[expect.at_us])
        if failure is not None:
            failures.append(f"{expect.span}: {failure}")
    for way in ways:
        if (difference := judge.difference(observed.alerts, observe(program, test, way).alerts)) is not None:
            failures.append(f"{test.span}: {way.name}, {difference}")
    return TestResult(test.rule, test.title, test.span, tuple(failures))


def observe(program: Program, test: Test, way: Way, *, closely: bool = False) -> Observed:
    """Bring a test's events to the engine. `closely`: stop at the instant of every event, not at expectations only."""
    found, engine = Observed(), _Engine(program, way)
    events = _events(test)
    instants = {moment.at_us for moment in test.steps if isinstance(moment, Expect)}
    if closely:
        instants |= {event.time_us for event in events if event.time_us < max(instants)}
    first = 0
    for until_us in sorted(instants):
        due = [event for event in events[first:] if event.time_us <= until_us]
        found.alerts += engine.brought(due, first)
        found.alerts += engine.drained(until_us)
        found.waiting[until_us] = waiting(program, engine.state, until_us)
        first += len(due)
    return found


def _events(test: Test) -> list[VirtualEvent]:
    """What a test gives, in the order of time."""
    events = [
        VirtualEvent(given.event, given.at_us + i * given.every_us, dict(given.values))
        for given in test.steps
        if isinstance(given, Given)
        for i in range(given.times)
    ]
    return sorted(events, key=lambda event: event.time_us)


class _Engine:
    """An engine that is fed in some way."""

    def __init__(self, program: Program, way: Way) -> None:
        self._program, self._way = program, way
        self._alerting = Alerting(program)
        self.state = EngineState.create(program)

    def brought(self, due: Sequence[VirtualEvent], first: int) -> Iterator[Alert]:
        """Feed events of which `first` came before."""
        order = self._way.order(self._program, due)
        done = 0
        for end in self._way.cut(len(due)):
            places = order[done:end]
            batch = batch_of(self._program, self.state.strings, [due[place] for place in places])
            batch.entry_seq[:] = np.array(places, np.int64) + first + 1
            yield from self._alerting.alerts(self.state, step(self._program, self.state, batch))
            if self._way.restart:
                self._restart()
            done = end

    def drained(self, until_us: int) -> list[Alert]:
        """Move time on."""
        return self._alerting.alerts(self.state, drain(self._program, self.state, until_us))

    def _restart(self) -> None:
        """Go on from a snapshot. What private values are digested with is no part of one."""
        secret = self.state.secret
        self.state = load(self._program, dump(self._program, self.state))
        self.state.secret = secret
