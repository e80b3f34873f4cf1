"""A state apart from its program, and what another program can take over of it.

A rule goes on with the state of the rule that has the same name and an equal structure, or, renamed, with that of an
equal one whose name is gone; a plan that rules can share goes on with that of equal structure, and its members where
they stood in it. All else begins anew. Texts, order of time, counters and captured events are everybody's:
streams, events and columns are found again by what they are. What was not decoded before is null in events that had
come in already.

Of a plan's arrays only those that differ from an empty state's are part of a picture. The others are either empty as
well or tables made of the plan, with the places of columns and instructions in them, which each program has its own of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.engine.arrays import named_arrays, restored
from cep.engine.batch import Batch
from cep.engine.captures import Captures
from cep.engine.filters import Indexes
from cep.engine.order import BEGINNING, Order
from cep.engine.shards import Shard
from cep.engine.shared import SharedState
from cep.engine.state import Counters, EngineState, null_words
from cep.engine.strings import Strings
from cep.layout.columns import ALERTS
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]

_ROWS = ("stream", "event", "entry_ms", "entry_seq", "entry_index", "words")
_GONE = -2  # the place of a stream that the program does not have
_UNHEARD = -1  # and of an event


@dataclass(slots=True)
class Picture:
    """A state by name. streams, events, columns: what the numbers and rows of `held` and `captured` mean.

    captured_columns: of the words that captured events keep. plans: name and structure of each; features, and plans
    that rules can share, have no name. rules: name, structure, plan, and number among that plan's members. limits:
    what the alerts of each rule go by. arrays: named `shard<s>.plan<i>.<table>.<field>`, for one.
    """

    streams: list[str]
    events: list[tuple[str, str]]
    columns: list[str]
    captured_columns: list[str]
    plans: list[tuple[str, str]]
    rules: list[tuple[str, str, int, int]]
    texts: list[str | None]
    next_ordinal: int
    counters: dict[str, int]
    released: tuple[int, int]
    limits: dict[str, Any]
    shards: int
    arrays: Arrays

    def facts(self) -> dict[str, Any]:
        """All but the arrays, as plain values."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "arrays"}

    @staticmethod
    def of(facts: Mapping[str, Any], arrays: Arrays) -> Picture:
        """The picture that `facts` was called of."""
        plain = dict(facts)
        plain["events"] = [(stream, event) for stream, event in plain["events"]]
        plain["plans"] = [(name, structure) for name, structure in plain["plans"]]
        plain["rules"] = [(name, structure, plan, member) for name, structure, plan, member in plain["rules"]]
        released_us, stream = plain["released"]
        plain["released"] = released_us, stream
        return Picture(**plain, arrays=arrays)


def take(program: Program, state: EngineState) -> Picture:
    """The picture of a state between two steps. Its arrays are the state's own."""
    arrays: Arrays = {"max_us": state.order.max_us, "captured.ordinal": state.captures.ordinal}
    for prefix, batch in (("held", state.order.held), ("captured", state.captures.events)):
        arrays |= {f"{prefix}.{name}": getattr(batch, name) for name in _ROWS}
    blank = Shard.create(program, state.indexes, null_words(program))
    for number, shard in enumerate(state.shards):
        arrays |= _arrays(f"shard{number}", shard, blank)
    return Picture(
        streams=[stream.name for stream in program.streams],
        events=_events(program),
        columns=_columns(program),
        captured_columns=[*_columns(program), *program.shown_as],
        plans=_plans(program),
        rules=_rules(program),
        texts=state.strings.texts(),
        next_ordinal=state.next_ordinal,
        counters={name: getattr(state.counters, name) for name in state.counters.__slots__},
        released=(state.order.released_us, state.order.released_stream),
        limits=state.limits.dump(),
        shards=len(state.shards),
        arrays=arrays,
    )


def _arrays(prefix: str, shard: Shard, blank: Shard) -> Arrays:
    """The arrays of a shard that are not as in an empty one."""
    found: Arrays = {}
    pairs = zip((*shard.features, *shard.plans), (*blank.features, *blank.plans), strict=True)
    for i, (plan, fresh) in enumerate(pairs):
        for part in _tables(plan):
            kept = named_arrays(f"{prefix}.plan{i}.{part}", getattr(plan, part))
            empty = named_arrays(f"{prefix}.plan{i}.{part}", getattr(fresh, part))
            whole = part == "shared"  # as long as there are rules in the plan, which another program may have more of
            found |= {name: array for name, array in kept.items() if whole or not _same(array, empty[name])}
    return found


def _same(array: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether two arrays are alike, bit by bit: an empty state's are small, and there are thousands."""
    return array.shape == other.shape and array.tobytes() == other.tobytes()


def restore(program: Program, picture: Picture, empty: EngineState | None = None) -> EngineState:
    """The state of a program that goes on where the picture was taken. It takes the picture's arrays for its own.

    empty: the program's empty state, if there is one already.
    """
    state = empty if empty and len(empty.shards) == picture.shards else EngineState.create(program, picture.shards)
    state.strings = Strings(picture.texts)
    for place, text in program.const_texts:
        state.consts[place] = state.strings.id(text)
    state.indexes = Indexes(program, state.consts)
    state.next_ordinal = picture.next_ordinal
    state.counters = Counters(**picture.counters)
    state.order = _order(program, picture)
    state.captures = Captures(len(program.stored))
    nulls = null_words(program)[list(program.stored)]
    captured = _rows(program, picture, "captured", picture.captured_columns, _stored(program), nulls)
    first = state.captures.extend(picture.arrays["captured.ordinal"])
    state.captures.fill(first, captured.columns(), np.arange(len(captured)))
    rules = _counterpart_rules(program, picture)
    found = _counterparts(_plans(program), picture.plans)
    for number, shard in enumerate(state.shards):
        for place, (plan, old) in enumerate(zip((*shard.features, *shard.plans), found, strict=True)):
            if old >= 0:
                _go_on(plan, f"shard{number}.plan{old}", picture.arrays)
            if isinstance(plan, SharedState):
                run = program.plans[place - len(program.features)]
                known = [rules[rule] if old >= 0 else -1 for rule in run.rules]
                members = [picture.rules[rule][3] if rule >= 0 else -1 for rule in known]
                plan.adopt(members, picture.next_ordinal - 1, state.indexes.of(run.index))
    kept = {spec.name: picture.rules[old][0] for spec, old in zip(program.rules, rules, strict=True) if old >= 0}
    state.limits.load({name: picture.limits[old] for name, old in kept.items() if old in picture.limits})
    for spec in program.rules:
        if spec.name in state.limits.rules:
            state.limits.rules[spec.name].suit(spec.limit, len(spec.clauses))
    return state


def unknown_to(program: Program, picture: Picture) -> list[str]:
    """The rules of a program that begin anew."""
    found = _counterpart_rules(program, picture)
    return [spec.name for spec, old in zip(program.rules, found, strict=True) if old < 0]


def _counterpart_rules(program: Program, picture: Picture) -> list[int]:
    """For each rule the place of the rule of the picture that it goes on with, −1 for none."""
    return _counterparts([rule[:2] for rule in _rules(program)], [rule[:2] for rule in picture.rules])


def _counterparts(plans: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> list[int]:
    """For each plan the place of the other that it goes on with, −1 for none."""
    places = {plan: i for i, plan in enumerate(others)}
    found = [places.get(plan, -1) for plan in plans]
    names = {name for name, _ in plans}
    renamed = {structure: i for i, (name, structure) in enumerate(others) if name not in names}
    for i, (_, structure) in enumerate(plans):
        if found[i] < 0:
            found[i] = renamed.pop(structure, -1)
    return found


def _plans(program: Program) -> list[tuple[str, str]]:
    """Features, then the plans of rules."""
    runs = [(program.rules[run.rules[0]], run) for run in program.plans]
    return [("", plan.structure) for plan in program.features] + [
        ("", run.structure) if run.index >= 0 else (first.name, first.structure) for first, run in runs
    ]


def _rules(program: Program) -> list[tuple[str, str, int, int]]:
    first = len(program.features)
    members = zip(program.rules, program.members, strict=True)
    return [(rule.name, rule.structure, first + plan, member) for rule, (plan, member) in members]


def _tables(plan: object) -> list[str]:
    """The attributes of a plan's state that hold arrays: NamedTuples, of which the matches are empty between steps."""
    return [name for name, value in vars(plan).items() if hasattr(value, "_fields") and name != "matches"]


def _go_on(plan: object, prefix: str, arrays: Arrays) -> None:
    for part in _tables(plan):
        setattr(plan, part, restored(f"{prefix}.{part}", getattr(plan, part), arrays))


# ------------------------------------------------------------------------- what is everybody's


def _events(program: Program) -> list[tuple[str, str]]:
    """Stream and name of each root event."""
    names = [*(stream.name for stream in program.streams), ""]  # alerts come from no stream, whose number is −1
    return [(names[event.stream], event.name) for event in program.events]


def _columns(program: Program) -> list[str]:
    names = [*(stream.name for stream in program.streams), ""]
    return [repr((names[column.stream], column.path, column.kind)) for column in program.columns]


def _stored(program: Program) -> list[str]:
    return [*_columns(program), *program.shown_as]


def _order(program: Program, picture: Picture) -> Order:
    names = [stream.name for stream in program.streams]
    before = {name: i for i, name in enumerate(picture.streams)}
    max_us = np.array([picture.arrays["max_us"][before[n]] if n in before else BEGINNING for n in names], np.int64)
    released_us, last = picture.released
    released = [i for i, name in enumerate(names) if before.get(name, len(before)) <= last]
    nulls = null_words(program)[: len(program.columns)]
    held = _rows(program, picture, "held", picture.columns, _columns(program), nulls)
    known = np.flatnonzero((held.stream != _GONE) & (held.event != _UNHEARD))
    return Order(max_us, released_us, max(released, default=-1), held.take(known))


def _rows(
    program: Program, picture: Picture, prefix: str, has: Sequence[str], wanted: Sequence[str], nulls: Ints
) -> Batch:
    """Events with the program's numbers and columns."""
    stream, event, entry_ms, entry_seq, entry_index, words = (picture.arrays[f"{prefix}.{name}"] for name in _ROWS)
    if has != wanted:
        places = {column: row for row, column in enumerate(has)}
        laid_out = np.repeat(nulls[:, None], words.shape[1], axis=1)
        for row, column in enumerate(wanted):
            if column in places:
                laid_out[row] = words[places[column]]
        words = laid_out
    stream = _renumbered(stream, picture.streams, [s.name for s in program.streams], _GONE)
    event = _renumbered(event, picture.events, _events(program), _UNHEARD)
    return Batch(stream, event, entry_ms, entry_seq, entry_index, words)


def _renumbered(numbers: npt.NDArray[Any], has: Sequence[Any], wanted: Sequence[Any], gone: int) -> npt.NDArray[Any]:
    """Places in `has` as places in `wanted`; −1 stays."""
    if list(has) == list(wanted):
        return numbers
    places = {name: i for i, name in enumerate(wanted)}
    renumbered: npt.NDArray[Any] = np.array([*(places.get(n, gone) for n in has), ALERTS], numbers.dtype)[numbers]
    return renumbered
