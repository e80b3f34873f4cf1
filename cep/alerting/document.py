"""One rule's matches → alerts: CloudEvents 1.0 in structured JSON, as `cep/schema/alert.v1.schema.json` has them.

An alert is a pure function of its match: its `id` of the rule, its version, the status, the key, the time and the ids of
the captured entries; its `dedupeKey` of the rule and the key alone. There is no wall clock in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from cep.alerting.evidence import Events, Steps, shown
from cep.alerting.inputs import Captured, output_words
from cep.alerting.values import Value, duration, in_json, in_text, records, rows_of, times, values_of
from cep.engine.state import EngineState
from cep.kernels.matches import KEY, START, STATUS, TIME
from cep.layout import EpisodePlan, Program, RuleSpec

Ints = npt.NDArray[np.int64]
Document = dict[str, Any]

SCHEMA = "urn:cep:schema:alert.v1"
STATUSES = ("fired", "resolved")  # by `Status`
BYTES_MAX = 65_536  # what everything between us and the reader is able to forward
_SHRINKING = ((16, 1024), (4, 256), (1, 64), (0, 16))  # events of a step and characters of a text, ever fewer


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: key, shows and labels as values in their kind's unit, and the document as it is published."""

    rule: str
    status: str
    time_us: int
    key: dict[str, Value]
    shows: dict[str, Value]
    labels: dict[str, Value]
    document: Document

    def to_json(self) -> bytes:
        """The document, shorter than `BYTES_MAX`; what is cut to make it so is counted in `data.truncated`."""
        body = orjson.dumps(self.document)
        for events, characters in _SHRINKING:
            if len(body) < BYTES_MAX:
                break
            body = orjson.dumps(_shrunk(self.document, events, characters))
        return body


class RuleAlerts:
    """Makes the alerts of one rule."""

    def __init__(self, program: Program, rule: RuleSpec, events: Events, source: str) -> None:
        self._rule, self._events, self._source = rule, events, source
        self._steps = Steps(rule)
        self._within = None if rule.within_us is None else duration(rule.within_us)
        self._about_rule = {
            "id": rule.name,
            "version": rule.version,
            "file": rule.file,
            "line": rule.line,
            "owner": rule.owner,
            "tags": list(rule.tags),
        }

    def alerts(self, state: EngineState, row: Ints, what: Captured, inputs: Ints) -> list[Alert]:
        """The alerts of m matches. row: (m, COLUMNS) of `kernels.matches`; inputs: (m, inputs)."""
        rule, n = self._rule, len(row)
        told = _Outputs(state, rule, row, inputs)
        statuses = [STATUSES[status] for status in row[:, STATUS].tolist()]
        keys, shows, labels = told.keys(), told.named(rule.shows), told.named(rule.labels)
        return [
            Alert(rule.name, *made)
            for made in zip(
                statuses,
                row[:, TIME].tolist(),
                records(keys, n),
                records(shows, n),
                records(labels, n),
                self._documents(state, row, what, told, statuses),
                strict=True,
            )
        ]

    def _documents(
        self, state: EngineState, row: Ints, what: Captured, told: _Outputs, statuses: list[str]
    ) -> list[Document]:
        n = len(row)
        ids, repeats = self._ids(told, statuses, row[:, TIME].tolist(), what)
        moments, subjects = times(row[:, TIME]), self._subjects(told, n)
        columns = {
            "specversion": ["1.0"] * n,
            "id": ids,
            "source": [self._source] * n,
            "type": [f"cep.alert.{status}.v1" for status in statuses],
            "subject": subjects,
            "time": moments,
            "datacontenttype": ["application/json"] * n,
            "dataschema": [SCHEMA] * n,
            "data": self._data(state, row, what, told, (statuses, repeats, subjects, moments)),
        }
        return records(columns, n)

    def _data(
        self,
        state: EngineState,
        row: Ints,
        what: Captured,
        told: _Outputs,
        envelope: tuple[list[str], list[str], list[str], list[str]],
    ) -> list[Document]:
        rule, n = self._rule, len(row)
        statuses, repeats, subjects, moments = envelope
        starts, begins = self._instants(row, what, moments)
        seen = shown(self._events, what, state.strings)
        columns = {
            "status": statuses,
            "startsAt": starts,
            "endsAt": [time if status == "resolved" else None for status, time in zip(statuses, moments, strict=True)],
            "dedupeKey": repeats,
            "rule": [self._about_rule] * n,
            "severity": [rule.level] * n,
            "score": [None] * n if rule.score is None else told.in_json(rule.score),
            "key": records(told.keys_in_json(), n),
            "labels": records({name: told.in_text(place) for name, place in rule.labels}, n),
            "annotations": [
                {"summary": summary or subject, "about": rule.about}
                for summary, subject in zip(told.messages(), subjects, strict=True)
            ],
            "shows": records({name: told.in_json(place) for name, place in rule.shows}, n),
            "window": [
                {"start": begin, "end": end, "within": self._within} for begin, end in zip(begins, moments, strict=True)
            ],
            "evidence": [{"steps": steps} for steps in self._steps.documents(what, row, seen)],
            "truncated": [{"events": left_out, "texts": 0} for left_out in seen.left_out],
        }
        return records(columns, n)

    def _ids(
        self, told: _Outputs, statuses: list[str], time_us: list[int], what: Captured
    ) -> tuple[list[str], list[str]]:
        """The `id` and the `dedupeKey` of each alert."""
        rule = self._rule
        begin = {s: blake2b(orjson.dumps([rule.name, rule.version, s]), digest_size=16) for s in STATUSES}
        of_rule = blake2b(orjson.dumps(rule.name), digest_size=16)
        ids, repeats = [], []
        keys = rows_of(list(told.keys().values()), len(statuses))
        for status, time, key, entries in zip(statuses, time_us, keys, _entries(what), strict=True):
            key_text = orjson.dumps(key)
            identity, repeat = begin[status].copy(), of_rule.copy()
            identity.update(b"%b %d %b" % (key_text, time, entries))
            repeat.update(key_text)
            ids.append(identity.hexdigest())
            repeats.append(repeat.hexdigest())
        return ids, repeats

    def _instants(self, row: Ints, what: Captured, moments: list[str]) -> tuple[list[str], list[str]]:
        """Since when each alert has been the case, and where its window begins."""
        if not isinstance(self._rule.plan, EpisodePlan):
            return moments, times(what.times(0, last=False))
        starts = times(row[:, START])
        return starts, starts if self._rule.within_us is None else times(row[:, TIME] - self._rule.within_us)

    def _subjects(self, told: _Outputs, n: int) -> list[str]:
        """`rule/name=value,name=value`."""
        parts = [[f"{name}={text}" for text in texts] for name, texts in told.keys_in_text().items()]
        return [f"{self._rule.name}/{','.join(key)}" if key else self._rule.name for key in rows_of(parts, n)]


class _Outputs:
    """What m matches say: their keys and the rule's output expressions, each worked out once."""

    def __init__(self, state: EngineState, rule: RuleSpec, row: Ints, inputs: Ints) -> None:
        self._state, self._rule, self._inputs = state, rule, inputs
        self._keys = [values_of(row[:, KEY + i], kind, state.strings) for i, (_, kind) in enumerate(rule.keys)]
        self._known: dict[int, list[Value]] = {}

    def keys(self) -> dict[str, list[Value]]:
        """The parts of the key by name, as values."""
        return {name: values for (name, _), values in zip(self._rule.keys, self._keys, strict=True)}

    def keys_in_json(self) -> dict[str, list[Value]]:
        """The same as JSON has them."""
        return {name: in_json(values, kind) for (name, kind), values in zip(self._rule.keys, self._keys, strict=True)}

    def keys_in_text(self) -> dict[str, list[str]]:
        """The same as messages have them."""
        return {name: in_text(values, kind) for (name, kind), values in zip(self._rule.keys, self._keys, strict=True)}

    def values(self, place: int) -> list[Value]:
        """The values of an output, by match."""
        if place not in self._known:
            output = self._rule.outputs[place]
            words = output_words(self._state, output, self._inputs)
            self._known[place] = values_of(words, output.kind, self._state.strings)
        return self._known[place]

    def named(self, outputs: Sequence[tuple[str, int]]) -> dict[str, list[Value]]:
        """The values of some outputs, by name."""
        return {name: self.values(place) for name, place in outputs}

    def in_json(self, place: int) -> list[Value]:
        """An output as JSON has it."""
        return in_json(self.values(place), self._rule.outputs[place].kind)

    def in_text(self, place: int) -> list[str]:
        """An output as messages have it."""
        return in_text(self.values(place), self._rule.outputs[place].kind)

    def messages(self) -> list[str]:
        """The messages; empty where the rule has none."""
        n = len(self._inputs)
        parts = [[part] * n if isinstance(part, str) else self.in_text(part) for part in self._rule.message]
        return ["".join(row) for row in rows_of(parts, n)]


def _entries(what: Captured) -> list[bytes]:
    """Which entries each match captured: stream, entry id and place in the entry, as words of a fixed byte order."""
    events = what.events
    table = np.empty((len(what.rows), 4), "<i8")
    for column, values in enumerate((events.stream, events.entry_ms, events.entry_seq, events.entry_index)):
        table[:, column] = values[what.rows]
    words, size = table.tobytes(), table.strides[0]
    begin, end = what.first[:, 0], what.first[:, -1] + what.held[:, -1]
    return [words[size * a : size * b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]


def _shrunk(document: Document, events: int, characters: int) -> Document:
    """The document with at most so many events of a step, and values of at most so many characters."""
    truncated = dict(document["data"]["truncated"])

    def cut(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: cut(value) for name, value in part.items()}
        if isinstance(part, str) and len(part) > characters:
            truncated["texts"] += 1
            return part[:characters] + "…"
        return part

    steps = []
    for step in document["data"]["evidence"]["steps"]:
        if "events" in step:
            truncated["events"] += max(0, len(step["events"]) - events)
            step = step | {"events": [event | {"data": cut(event["data"])} for event in step["events"][:events]]}
        steps.append(step)
    data = document["data"] | {name: cut(document["data"][name]) for name in ("key", "labels", "annotations", "shows")}
    data |= {"evidence": {"steps": steps}, "truncated": truncated}
    return document | {"subject": cut(document["subject"]), "data": data}
