"""What users test rules with: events as values, and the runner of `test` blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cep.alerting import Alert, Alerting
from cep.engine.batch import Batch, blank
from cep.engine.state import EngineState, null_words
from cep.engine.step import drain, step
from cep.engine.strings import Strings
from cep.engine.values import Value, duration, in_text
from cep.errors import Span
from cep.lang.checked import Expect, Given, Rule, RuleSet, Test
from cep.layout import TIME_SLOT, Program


@dataclass(frozen=True, slots=True)
class VirtualEvent:
    """An event by its values: root field → value in its kind's unit; a field that is not there is null."""

    event: int
    time_us: int
    values: Mapping[str, Value]


def batch_of(program: Program, strings: Strings, events: Sequence[VirtualEvent], first: int = 0) -> Batch:
    """The batch of some events in the order given; entry i has the id 0-(first + i + 1)."""
    batch = blank(len(program.columns), len(events))
    batch.words[:] = null_words(program)[: len(program.columns), None]
    batch.words[TIME_SLOT] = [e.time_us for e in events]
    batch.event[:] = [e.event for e in events]
    batch.stream[:] = [program.events[e.event].stream for e in events]
    batch.entry_ms[:] = 0
    batch.entry_seq[:] = np.arange(first + 1, first + 1 + len(events))
    batch.entry_index[:] = 0
    for row, event in enumerate(events):
        for name, slot in program.events[event.event].slots:
            value = event.values.get(name)
            if value is not None:
                batch.words[slot, row] = _word(value, program.columns[slot].kind, strings)
    return batch


def _word(value: str | float | int | bool, kind: str, strings: Strings) -> int:
    if kind == "text":
        return strings.id(str(value))
    if kind == "number":
        return int(np.float64(value).view(np.int64))
    return int(value)


# ------------------------------------------------------------------------------------ test blocks


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


Cut = Callable[[int], Sequence[int]]  # the number of events → the places at which their batches end


def whole(events: int) -> Sequence[int]:
    """One batch."""
    return [events]


def run_tests(ruleset: RuleSet, program: Program, cut: Cut = whole) -> list[TestResult]:
    """Run every `test` block on the engine, by a virtual clock and from an empty state.

    `cut` says how the events up to an expectation are cut into batches, which must make no difference.
    """
    return [run_test(ruleset, program, test, cut) for test in ruleset.tests]


def run_test(ruleset: RuleSet, program: Program, test: Test, cut: Cut = whole) -> TestResult:
    """Run one `test` block."""
    kinds = {rule.name: _kinds(rule) for rule in ruleset.rules}
    alerts = list(_alerts(program, test, cut))
    failures = []
    since = before = -1
    for expect in (moment for moment in test.steps if isinstance(moment, Expect)):
        if expect.at_us > before:
            since, before = before, expect.at_us
        within = [alert for alert in alerts if since < alert.time_us <= expect.at_us]
        failure = _failure(expect, within, kinds)
        if failure is not None:
            failures.append(f"{expect.span}: {failure}")
    return TestResult(test.rule, test.title, test.span, tuple(failures))


def _alerts(program: Program, test: Test, cut: Cut) -> Iterator[Alert]:
    """The alerts of all rules up to the last expectation, in order."""
    alerting, state = Alerting(program), EngineState.create(program)
    events = [
        VirtualEvent(given.event, given.at_us + i * given.every_us, dict(given.values))
        for given in test.steps
        if isinstance(given, Given)
        for i in range(given.times)
    ]
    events.sort(key=lambda event: event.time_us)
    first = 0
    for until_us in sorted({moment.at_us for moment in test.steps if isinstance(moment, Expect)}):
        due = [event for event in events[first:] if event.time_us <= until_us]
        done = 0
        for end in cut(len(due)):
            output = step(program, state, batch_of(program, state.strings, due[done:end], first + done))
            yield from alerting.alerts(state, output)
            done = end
        yield from alerting.alerts(state, drain(program, state, until_us))
        first += len(due)


def _failure(expect: Expect, alerts: Sequence[Alert], kinds: Mapping[str, Mapping[str, str]]) -> str | None:
    """What is wrong with the alerts between two expectations, None if nothing."""
    if expect.what == "nothing":
        return f"expected no alert, but {_told(alerts[0], kinds)}" if alerts else None
    status = "resolved" if expect.what == "resolved" else "fired"
    of_rule = [alert for alert in alerts if (alert.rule, alert.status) == (expect.rule, status)]
    fitting = [alert for alert in of_rule if not _differences(expect, alert)]
    wanted = _pairs(dict(expect.values), kinds[expect.rule or ""])
    if expect.what == "none":
        return f"expected no {expect.rule}{wanted}, but {_told(fitting[0], kinds)}" if fitting else None
    if fitting:
        return None
    said = f"expected {'resolved ' if status == 'resolved' else ''}{expect.rule}{wanted} by {duration(expect.at_us)}"
    if not of_rule:
        return f"{said}, but nothing came"
    nearest = min(of_rule, key=lambda alert: len(_differences(expect, alert)))
    told = _values(nearest)
    differing = {name: told[name] for name in _differences(expect, nearest)}
    return f"{said}; the nearest, at {duration(nearest.time_us)}, has{_pairs(differing, kinds[nearest.rule])}"


def _values(alert: Alert) -> dict[str, Value]:
    """What an expectation can be matched on: the key goes before what is shown, and that before labels."""
    return {**alert.labels, **alert.shows, **alert.key}


def _differences(expect: Expect, alert: Alert) -> list[str]:
    """The names of the expected values that the alert does not have."""
    told = _values(alert)
    return [name for name, value in expect.values if not _equal(told[name], value)]


def _equal(value: Value, wanted: Value) -> bool:
    if isinstance(value, float) and isinstance(wanted, float):
        return math.isclose(value, wanted, rel_tol=1e-9)  # people do not write seventeen digits
    return value == wanted


def _kinds(rule: Rule) -> dict[str, str]:
    """The kind of each value that an alert of the rule can be matched on."""
    kinds = {name: value.kind.value for name, value in (*rule.labels, *rule.shows)}
    return kinds | {key.name: key.kind.value for key in rule.keys}


def _told(alert: Alert, kinds: Mapping[str, Mapping[str, str]]) -> str:
    return f"{alert.rule}{_pairs(_values(alert), kinds[alert.rule])} {alert.status} at {duration(alert.time_us)}"


def _pairs(values: Mapping[str, Value], kinds: Mapping[str, str]) -> str:
    """Values as a test block has them; nothing when there are none."""
    if not values:
        return ""
    pairs = [f"{name}: {_written(value, kinds[name])}" for name, value in values.items()]
    return f" {{{', '.join(pairs)}}}"


def _written(value: Value, kind: str) -> str:
    text = in_text([value], kind)[0]
    return f'"{text}"' if value is not None and kind in ("text", "time") else text
