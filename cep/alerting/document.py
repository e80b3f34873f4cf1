"""One rule's matches → alerts: CloudEvents 1.0 in structured JSON, as `cep/schema/alert.v1.schema.json` has them.

An alert is a pure function of its match; see `engine.identity` for its `id`. There is no wall clock in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from cep.alerting.evidence import shown, steps
from cep.alerting.outputs import Outputs
from cep.engine.identity import STATUSES, dedupe_keys, ids
from cep.engine.inputs import Captured
from cep.engine.state import EngineState
from cep.engine.values import Column, Value, duration, objects, quoted, rows_of, times
from cep.kernels.matches import START, STATUS, TIME
from cep.layout.alerts import Clause, RuleSpec
from cep.layout.columns import NULL
from cep.layout.patterns import EpisodePlan
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]
Document = dict[str, Any]

SCHEMA = "urn:cep:schema:alert.v1"
BYTES_MAX = 65_536  # what everything between us and the reader is able to forward
_SHRINKING = ((16, 1024), (4, 256), (1, 64), (0, 16))  # events of a step and characters of a value, ever fewer
_VALUES = ("key", "labels", "annotations", "shows")  # the parts of `data` whose texts come from events


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: key, shows and labels as values in their kind's unit, and the document as JSON.

    The values are in clear, for tests; in the document nothing private is.
    """

    rule: str
    status: str
    time_us: int
    key: dict[str, Value]
    shows: dict[str, Value]
    labels: dict[str, Value]
    level: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Matches:
    """m matches of one rule that alert by one clause. row: (m, COLUMNS) of `kernels.matches`; inputs: (m, inputs)."""

    program: Program
    state: EngineState
    rule: RuleSpec
    clause: Clause
    row: Ints
    inputs: Ints
    captured: Captured


def alerts(matches: Matches, source: str) -> list[Alert]:
    """The alerts, in the order of the matches."""
    rule, told = matches.rule, Outputs(matches.state, matches.rule, matches.row, matches.inputs)
    columns = zip(
        (STATUSES[status] for status in matches.row[:, STATUS].tolist()),
        matches.row[:, TIME].tolist(),
        _records(told.keys()),
        _records({name: told.values(place) for name, place in rule.shows}),
        _records({name: told.values(place) for name, place in rule.labels}),
        repeat(matches.clause.level),
        bodies(matches, source),
        strict=False,
    )
    return [Alert(rule.name, *made) for made in columns]


def _records(columns: dict[str, list[Value]]) -> Iterator[dict[str, Value]]:
    return (dict(zip(columns, row, strict=True)) for row in rows_of(list(columns.values())))


def bodies(matches: Matches, source: str) -> list[bytes]:
    """The alerts as JSON, each shorter than `BYTES_MAX`; what is cut to make it so is counted in `data.truncated`."""
    made = [text.encode() for text in _documents(matches, source)]
    return [body if len(body) < BYTES_MAX else _bounded(body) for body in made]


def _documents(matches: Matches, source: str) -> Iterator[str]:
    rule, clause, row, what = matches.rule, matches.clause, matches.row, matches.captured
    told = Outputs(matches.state, rule, row, matches.inputs)
    statuses = row[:, STATUS].tolist()
    subjects, moments = list(map(quoted, told.subjects())), list(map(quoted, times(row[:, TIME])))
    starts, begins = _instants(matches, moments)
    keys = list(objects(told.keys_in_json())) if rule.keys else ["{}"] * len(row)
    seen = shown(matches.program, matches.state, what)
    summary: Column = map(quoted, told.messages(clause.message)) if clause.message else subjects
    about: dict[str, Column] = {} if rule.about is None else {"about": quoted(rule.about)}
    data: dict[str, Column] = {
        "status": [f'"{STATUSES[status]}"' for status in statuses],
        "startsAt": starts,
        "endsAt": [moment if status else "null" for status, moment in zip(statuses, moments, strict=True)],
        "dedupeKey": [f'"{digest.hex()}"' for digest in dedupe_keys(matches.state, rule, row)],
        "disposition": '"shadow"' if rule.is_shadow else '"delivered"',
        "to": orjson.dumps(rule.to).decode(),
        "rule": _rule(rule),
        "severity": quoted(clause.level),
        "score": "null" if rule.score is None else told.in_json(rule.score),
        "key": keys,
        "labels": objects({name: map(quoted, told.in_text(place)) for name, place in rule.labels}),
        "annotations": objects({"summary": summary} | about),
        "shows": objects({name: told.in_json(place) for name, place in rule.shows}),
        "window": objects({"start": begins, "end": moments, "within": _within(rule)}),
        "evidence": objects({"steps": steps(matches.program, rule, what, row, seen)}),
        "truncated": objects({"events": seen.left_out, "texts": "0"}),
    }
    if rule.estimates:
        data["estimated"] = _estimated(rule, matches.inputs)
    return objects(
        {
            "specversion": '"1.0"',
            "id": [f'"{digest.hex()}"' for digest in ids(matches.state, rule, row, what)],
            "source": quoted(source),
            "type": [f'"cep.alert.{STATUSES[status]}.v1"' for status in statuses],
            "subject": subjects,
            "time": moments,
            "datacontenttype": '"application/json"',
            "dataschema": quoted(SCHEMA),
            "data": objects(data),
        }
    )


def _estimated(rule: RuleSpec, inputs: Ints) -> list[str]:
    """Which counts of different values were estimates, by name. A step that captured nothing counted nothing."""
    words = inputs[:, [one.input for one in rule.estimates]]
    flags = (words != NULL) & (words >> np.array([one.bit for one in rule.estimates]) & 1 == 1)
    names = np.array([one.name for one in rule.estimates])
    return [orjson.dumps(list(dict.fromkeys(names[row].tolist()))).decode() for row in flags]


def _within(rule: RuleSpec) -> str:
    return "null" if rule.within_us is None else quoted(duration(rule.within_us))


def _rule(rule: RuleSpec) -> str:
    said = {
        "id": rule.name,
        "version": rule.version,
        "file": rule.file,
        "line": rule.line,
        "owner": rule.owner,
        "tags": rule.tags,
    }
    return orjson.dumps(said).decode()


def _instants(matches: Matches, moments: list[str]) -> tuple[list[str], list[str]]:
    """Since when each alert has been the case, and where its window begins."""
    rule, row = matches.rule, matches.row
    if not isinstance(rule.plan, EpisodePlan):
        return moments, list(map(quoted, times(matches.captured.first_time(range(matches.captured.held.shape[1])))))
    starts = list(map(quoted, times(row[:, START])))
    if rule.within_us is None:
        return starts, starts
    return starts, list(map(quoted, times(row[:, TIME] - rule.within_us)))


def _bounded(body: bytes) -> bytes:
    """A document that is too long with less of its evidence and shorter texts."""
    document = orjson.loads(body)
    for events, characters in _SHRINKING:
        if len(body) < BYTES_MAX:
            break
        body = orjson.dumps(_shrunk(document, events, characters))
    return body


def _shrunk(document: Document, most_events: int, characters: int) -> Document:
    """The document with at most so many events of a step, and values of at most so many characters."""
    truncated = dict(document["data"]["truncated"])

    def cut(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: cut(value) for name, value in part.items()}
        if isinstance(part, str) and len(part) > characters:
            truncated["texts"] += 1
            return part[:characters] + "…"
        return part

    def fewer(step: Document) -> Document:
        events = step.get("events", [])
        truncated["events"] += max(0, len(events) - most_events)
        kept = [*events[: most_events - 1], events[-1]] if 0 < most_events < len(events) else events[:most_events]
        return step | {"events": [event | {"data": cut(event["data"])} for event in kept]}

    told: Document = document["data"]
    data = told | {name: cut(told[name]) for name in _VALUES}
    data["evidence"] = {"steps": [step if "absent" in step else fewer(step) for step in told["evidence"]["steps"]]}
    return document | {"subject": cut(document["subject"]), "data": data | {"truncated": truncated}}
