"""The evidence of alerts: what each step captured, by entry id, and how long each absence was watched for.

An alert shows at most `EVENTS_MAX` events, spread evenly over its steps: of a longer step the first ones and the last.
A step's `count` says how many there were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cep.alerting.privacy import said_in_json
from cep.engine.batch import Batch
from cep.engine.identity import of_entry
from cep.engine.inputs import Captured
from cep.engine.matched import spread
from cep.engine.state import EngineState
from cep.engine.values import Column, objects, quoted, rows_of, times, values_of
from cep.kernels.keys import NEVER
from cep.kernels.matches import START, TIME
from cep.layout.alerts import RuleSpec, StepText
from cep.layout.columns import ALERTS
from cep.layout.patterns import EpisodePlan
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]

EVENTS_MAX = 100
ALERT_STREAM = "alerts"  # what evidence calls the stream of alerts that are evidence themselves


@dataclass(frozen=True, slots=True)
class Shown:
    """The events that m alerts show, as JSON.

    at: (m, n + 1), where the events of each of n steps begin, and where the last ones end. left_out: (m,), how many
    captured events are not shown.
    """

    events: list[str]
    at: Ints
    left_out: list[int]

    def of_step(self, place: int) -> Iterator[str]:
        """What a step captured in each match."""
        begin, end = self.at[:, place].tolist(), self.at[:, place + 1].tolist()
        return (f"[{','.join(self.events[a:b])}]" for a, b in zip(begin, end, strict=True))


def shown(program: Program, state: EngineState, what: Captured) -> Shown:
    """The events that alerts show of what their matches captured."""
    share = max(2, EVENTS_MAX // what.held.shape[1])
    length = np.minimum(what.held, share)
    at, starts = spread(what.first.ravel(), length.ravel())
    longer = np.flatnonzero((what.held > share).ravel())
    at[starts[longer] + share - 1] = (what.first + what.held).ravel()[longer] - 1
    rows, places = np.unique(what.rows[at], return_inverse=True)
    events = _as_json(program, state, what.events.take(rows))
    begin = starts.reshape(length.shape)
    return Shown(
        [events[place] for place in places.tolist()],
        np.column_stack((begin, begin[:, -1] + length[:, -1])),
        (what.count - length).sum(axis=1).tolist(),
    )


def _as_json(program: Program, state: EngineState, events: Batch) -> list[str]:
    """Each event with its entry and the fields that some rule names."""
    made: dict[int, str] = {}
    for number in np.unique(events.event).tolist():
        at = np.flatnonzero(events.event == number)
        made.update(zip(at.tolist(), _of_event(program, state, number, events.take(at)), strict=True))
    return [made[place] for place in range(len(events))]


def _of_event(program: Program, state: EngineState, number: int, events: Batch) -> Iterator[str]:
    """Events of one root event. One that is itself an alert has the alert's id, and the rule's name for an event."""
    event = program.events[number]
    private = dict(event.private)
    data = {}
    for name, slot in event.slots:
        kind = program.columns[slot].kind
        values = values_of(events.words[slot], kind, state.strings)
        data[name] = said_in_json(values, kind, private.get(name), state.secret)
    entries = zip(events.entry_ms.tolist(), events.entry_seq.tolist(), strict=True)
    is_alert = event.stream == ALERTS
    return objects(
        {
            "event": quoted(event.name),
            "stream": quoted(ALERT_STREAM if is_alert else program.streams[event.stream].name),
            "id": [f'"{of_entry(ms, seq) if is_alert else f"{ms}-{seq}"}"' for ms, seq in entries],
            "index": events.entry_index.tolist(),
            "time": map(quoted, times(events.time_us)),
            "data": objects(data),
        }
    )


def steps(program: Program, rule: RuleSpec, what: Captured, row: Ints, seen: Shown) -> Iterator[str]:
    """The steps of each match, in the order of the rule. An episode has one: what was seen last when it opened."""
    if isinstance(rule.plan, EpisodePlan):
        return map("[%s]".__mod__, _of_episodes(program, rule.plan, what, row, seen))
    columns = []
    place = -1
    for step in rule.steps:
        if step.negated:
            columns.append(_absence(rule, step, place, what, row))
        else:
            place += 1
            captured = {"count": what.count[:, place].tolist(), "events": seen.of_step(place)}
            columns.append(objects(_said(step) | captured))
    return (f"[{','.join(row)}]" for row in rows_of(columns))


def _of_episodes(program: Program, plan: EpisodePlan, what: Captured, row: Ints, seen: Shown) -> Iterator[str]:
    """The event seen last; of a roster's key that has never been heard from, that there was none."""
    heard = np.flatnonzero(what.held[:, 0])
    known = program.events[program.predicates[plan.feeds[0].predicate].event].name
    names = np.full(len(row), quoted(known), object)
    names[heard] = [quoted(program.events[n].name) for n in what.events.event[what.take(heard).ends(0, last=True)]]
    present = objects({"step": names.tolist(), "count": "1", "events": seen.of_step(0)})
    absent = objects(
        {
            "step": quoted(known),
            "absent": "true",
            "from": map(quoted, times(row[:, START] - plan.roster_us)),
            "until": map(quoted, times(row[:, START])),
        }
    )
    pairs = zip(what.held[:, 0].tolist(), present, absent, strict=True)
    return (event if held else absence for held, event, absence in pairs)


def _said(step: StepText) -> dict[str, Column]:
    """What is the same in all matches."""
    most = "+" if step.most is None else "" if step.most == step.least else f"..{step.most}"
    quantifier = f"{step.least}{most}" if step.least else "optional"
    said = {"step": step.name, "alias": step.alias, "quantifier": quantifier}
    return {name: quoted(text) for name, text in said.items() if text is not None}


def _absence(rule: RuleSpec, step: StepText, before: int, what: Captured, row: Ints) -> Iterator[str]:
    """From when until when a `no` that stands behind the positive step `before` (-1: none) was watched for."""
    steps = what.held.shape[1]
    begin, until = what.last_time(range(before + 1)), what.first_time(range(before + 1, steps))
    leads = begin == -NEVER  # nothing was captured before it
    until = np.where(until == NEVER, row[:, TIME], until)
    begin = np.where(leads, until - (step.within_us or rule.within_us or 0), begin)
    if step.within_us is not None:
        until = np.where(leads, until, np.minimum(until, begin + step.within_us))
    until = np.maximum(begin, until)
    return objects(
        {
            "step": quoted(step.name),
            "absent": "true",
            "from": map(quoted, times(begin)),
            "until": map(quoted, times(until)),
        }
    )
