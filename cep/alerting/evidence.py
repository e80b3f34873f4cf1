"""The evidence of an alert: what each step captured, by entry id, and how long each absence was watched.

An alert shows at most `EVENTS_MAX` events, spread evenly over the steps: of a longer step the first ones and the last.
A step's `count` says how many there were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.alerting.inputs import Captured, spread
from cep.alerting.values import in_json, times, values_of
from cep.engine.strings import Strings
from cep.kernels.matches import TIME
from cep.layout import Program, RuleSpec, StepText

Ints = npt.NDArray[np.int64]
Document = dict[str, Any]

EVENTS_MAX = 100


class Events:
    """Captured events as documents, each once."""

    def __init__(self, program: Program) -> None:
        self._shapes = [
            (
                {"event": event.name, "stream": program.streams[event.stream].name},
                [name for name, _ in event.slots],
                [(slot, program.columns[slot].kind) for _, slot in event.slots],
            )
            for event in program.events
        ]

    def documents(self, what: Captured, rows: npt.NDArray[np.intp], strings: Strings) -> list[Document]:
        """The events at some rows of the capture store."""
        chosen = what.events.take(rows)
        entries = zip(
            chosen.entry_ms.tolist(),
            chosen.entry_seq.tolist(),
            chosen.entry_index.tolist(),
            times(chosen.time_us),
            self._data(chosen.event, chosen.words, strings),
            strict=True,
        )
        kinds = chosen.event.tolist()
        return [
            {**self._shapes[kind][0], "id": f"{ms}-{seq}", "index": index, "time": time, "data": data}
            for kind, (ms, seq, index, time, data) in zip(kinds, entries, strict=True)
        ]

    def _data(self, event: npt.NDArray[np.int16], words: Ints, strings: Strings) -> list[Document]:
        """The fields that some rule names, by name."""
        data: list[Document] = [{}] * len(event)
        for number in np.unique(event).tolist():
            at = np.flatnonzero(event == number)
            _, names, slots = self._shapes[number]
            columns = [in_json(values_of(words[slot, at], kind, strings), kind) for slot, kind in slots]
            for place, *values in zip(at.tolist(), *columns, strict=True):
                data[place] = dict(zip(names, values, strict=True))
        return data


@dataclass(frozen=True, slots=True)
class Shown:
    """The events that m alerts show. at: (m, n + 1), where the events of each step begin, and where the last ones end.

    left_out: (m,), how many captured events are not shown.
    """

    events: list[Document]
    at: list[list[int]]
    left_out: list[int]


def shown(events: Events, what: Captured, strings: Strings) -> Shown:
    """The shown events of all matches."""
    share = max(2, EVENTS_MAX // what.held.shape[1])
    length = np.minimum(what.held, share)
    at, starts = spread(what.first.ravel(), length.ravel())
    longer = np.flatnonzero((what.held > share).ravel())
    if len(longer):
        at[starts[longer] + share - 1] = (what.first + what.held).ravel()[longer] - 1
    rows, places = np.unique(what.rows[at], return_inverse=True)
    documents = events.documents(what, rows, strings)
    begins = np.concatenate(
        (starts.reshape(what.held.shape), (starts + length.ravel()).reshape(length.shape)[:, -1:]), 1
    )
    left_out = (what.count - length).sum(axis=1)
    return Shown([documents[place] for place in places.tolist()], begins.tolist(), left_out.tolist())


class Steps:
    """The steps of a rule as its alerts tell them."""

    def __init__(self, rule: RuleSpec) -> None:
        self._rule = rule
        self._said = [_said(step) for step in rule.steps]
        self._place = list(np.cumsum([not step.negated for step in rule.steps]) - 1)

    def documents(self, what: Captured, row: Ints, seen: Shown) -> list[list[Document]]:
        """The steps of each match, in the order of the rule. An episode has one: what was seen last when it opened."""
        if not self._rule.steps:
            return [
                [{"step": seen.events[at[0]]["event"], "count": 1, "events": seen.events[at[0] : at[1]]}]
                for at in seen.at
            ]
        absent = [self._absence(i, what, row) if step.negated else [] for i, step in enumerate(self._rule.steps)]
        made = []
        for match, (at, counts) in enumerate(zip(seen.at, what.count.tolist(), strict=True)):
            steps = []
            for said, place, watched in zip(self._said, self._place, absent, strict=True):
                if watched:
                    steps.append({**said, **watched[match]})
                else:
                    events = seen.events[at[place] : at[place + 1]]
                    steps.append({**said, "count": counts[place], "events": events})
            made.append(steps)
        return made

    def _absence(self, i: int, what: Captured, row: Ints) -> list[Document]:
        """From when until when step `i` was watched for in each match."""
        step, before = self._rule.steps[i], int(self._place[i])
        within = step.within_us if step.within_us is not None else self._rule.within_us
        if before < 0:
            until = what.times(0, last=False)
            begin = until - (within or 0)
        else:
            begin = what.times(before, last=True)
            until = row[:, TIME]
            if before + 1 < what.held.shape[1]:
                until = what.times(before + 1, last=False)
            if step.within_us is not None:
                until = np.minimum(until, begin + step.within_us)
        return [{"from": a, "until": b} for a, b in zip(times(begin), times(until), strict=True)]


def _said(step: StepText) -> Document:
    """What is the same in all matches."""
    if step.negated:
        return {"step": step.name, "absent": True}
    said: Document = {"step": step.name}
    if step.alias is not None:
        said["alias"] = step.alias
    most = "+" if step.most is None else "" if step.most == step.least else f"..{step.most}"
    return said | {"quantifier": f"{step.least}{most}"}
