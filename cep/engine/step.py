"""`step`: (program, state, batch) → matches, and which of them are alerts. No clock, no I/O, no randomness.

Every stage is a function over columns: order → derived columns → filters → features → plans → matches in order →
alerts, which are events to the rules of the next stratum. The outcome is a function of the events in the order of law 2
alone; how they are cut into batches changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cep.engine import chain
from cep.engine.batch import Batch, empty
from cep.engine.dispositions import alerting
from cep.engine.matched import RuleMatches, StepOutput, by_rule, in_order, taken
from cep.engine.order import release, take_in
from cep.engine.plans import Rows
from cep.engine.selection import NO_WORDS, Selection
from cep.engine.shards import Shard, for_each, own_rows
from cep.engine.state import EngineState
from cep.kernels import machine as mk
from cep.kernels.runs import Machine
from cep.layout.aggregates import Feed
from cep.layout.columns import END_OF_TIME
from cep.layout.expressions import DerivedColumn
from cep.layout.program import Program, Stratum

Ints = npt.NDArray[np.int64]

TOGETHER = 32  # features or plans, where threads have to wait for each other before and behind them


def step(program: Program, state: EngineState, batch: Batch, ended: frozenset[int] = frozenset()) -> StepOutput:
    """Take in a batch and make every match that is decided by then. `ended`: streams that will bring nothing more."""
    _compact(state, batch)
    released, late = take_in(program, state.order, batch, ended)
    state.counters.late += len(late)
    return _advance(program, state, released, state.order.released_us, late)


def drain(program: Program, state: EngineState, until_us: int | None = None) -> StepOutput:
    """Release all that is held and move time on to `until_us`, or until nothing is pending (None)."""
    held = release(program, state.order, empty(len(program.columns)), frozenset(range(len(program.streams))))
    return _advance(program, state, held, END_OF_TIME if until_us is None else until_us, np.empty(0, np.intp))


def advance(program: Program, state: EngineState, until_us: int) -> StepOutput:
    """Move time on without events. What is held is not released; events from before `until_us` are late from now on."""
    state.order.released_us, state.order.released_stream = max(
        (state.order.released_us, state.order.released_stream), (until_us, -1)
    )
    return _advance(program, state, empty(len(program.columns)), state.order.released_us, np.empty(0, np.intp))


def _advance(
    program: Program, state: EngineState, batch: Batch, until_us: int, late: npt.NDArray[np.intp]
) -> StepOutput:
    """Let every stratum read what is released. Without rules over alerts there is one, and the order is its own."""
    state.counters.events += len(batch)
    if len(batch):
        state.enrol(program, int(batch.time_us[0]))
    if len(program.strata) == 1:
        matches, _ = _run(program, state, program.strata[0], batch, until_us)
        order = alerting(program, state, matches, in_order(program, state, matches))
        return StepOutput(matches, order, late)
    sequence, made, orders = chain.Sequence(program, batch), list[RuleMatches](), [np.empty((0, 2), np.int64)]
    for stratum in program.strata:
        matches, base = _run(program, state, stratum, sequence.read(stratum), until_us)
        order = alerting(program, state, matches, in_order(program, state, matches))
        if len(order):
            row = np.array([matches[place].row[at] for place, at in order.tolist()])
            sequence.put(chain.as_events(program, state, matches, order), row, base)
            orders.append(order + np.array([len(made), 0]))
            made += matches
    return StepOutput(made, np.concatenate(orders)[sequence.alerts()], late)


def _run(
    program: Program, state: EngineState, stratum: Stratum, batch: Batch, until_us: int
) -> tuple[list[RuleMatches], int]:
    """Let the plans of a stratum read its events; the matches of each rule, and the first event's ordinal."""
    n = len(batch)
    base = state.next_ordinal
    words = _words(program, state, batch)
    for calendar in state.calendars:
        calendar.fill(words)
    machine = Machine(
        state.code, state.consts, words, words.view(np.float64), state.stack, state.stack.view(np.float64)
    )
    keep = np.zeros(n, np.uint8)
    if n:
        _derive(program, state, machine, batch)
    run = _StratumRun(program, state, stratum, batch, machine, keep, base, until_us)
    made = run.run()
    state.counters.without_key += sum(selection.without_key for selection in run.selections)
    state.next_ordinal += n
    _capture(program, state, batch, words, np.flatnonzero(keep.view(np.bool_)), base)
    matches = by_rule([matches for of_shard in made for matches in of_shard])
    state.counters.matches += sum(len(m.row) for m in matches)
    return matches, base


@dataclass(slots=True)
class _StratumRun:
    """What a stratum's features and plans do with a batch: rows are chosen part by part, then taken shard by shard."""

    program: Program
    state: EngineState
    stratum: Stratum
    batch: Batch
    machine: Machine
    keep: npt.NDArray[np.uint8]
    base: int
    until_us: int
    selections: list[Selection] = field(init=False)

    def __post_init__(self) -> None:
        shards = self.state.shards
        self.selections = [
            Selection(self.program, shard.machine(self.machine), self.batch, self.state.indexes, number, len(shards))
            for number, shard in enumerate(shards)
        ]

    def run(self) -> list[list[RuleMatches]]:
        """The matches that each shard makes."""
        shards = self.state.shards
        if len(self.batch):
            for place in self.stratum.features:
                shards[0].features[place].begin(self.machine.words)
            for group in self._groups(self.stratum.features):
                self._read(group)
        made = [matches for group in self._groups(self.stratum.plans) for matches in self._match(group)]
        for shard in shards:
            for place in self.stratum.features:
                shard.features[place].sweep(self.until_us)
        return made

    def _groups(self, places: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Features or plans to be seen to together: as few as may be, for what enters them is kept until they are."""
        length = 1 if len(self.state.shards) == 1 else TOGETHER
        return (places[at : at + length] for at in range(0, len(places), length))

    def _read(self, places: tuple[int, ...]) -> None:
        """Let some features fill their columns, before a filter can read them."""
        entering = self._entering([self.program.features[place].feeds for place in places])

        def read(number: int, shard: Shard) -> None:
            machine = shard.machine(self.machine)
            for place, parts in zip(places, entering, strict=True):
                shard.features[place].feed(machine, self._own(parts, number))

        for_each(self.state.shards, read)

    def _match(self, places: tuple[int, ...]) -> list[list[RuleMatches]]:
        """Let some plans take their rows, and time pass; the matches that each shard makes."""
        plans = [self.program.plans[place] for place in places]
        entering = self._entering([run.plan.feeds for run in plans]) if len(self.batch) else [()] * len(places)

        def match(number: int, shard: Shard) -> list[RuleMatches]:
            machine = shard.machine(self.machine)
            made: list[RuleMatches] = []
            for place, run, parts in zip(places, plans, entering, strict=True):
                plan = shard.plans[place]
                if parts:
                    plan.feed(machine, self._own(parts, number), self.keep, self.base)
                plan.sweep(machine, self.until_us)
                made += taken(place, run, plan)
            return made

        return for_each(self.state.shards, match)

    def _entering(self, feeds: Sequence[tuple[Feed, ...]]) -> list[tuple[Rows, ...]]:
        """What enters by each of some feeds, part by part of the batch."""
        parts = for_each(self.selections, lambda _, selection: [selection.rows(feed) for feed in feeds])
        return list(zip(*parts, strict=True))

    def _own(self, parts: Sequence[Rows], number: int) -> Rows:
        return own_rows(parts, len(self.state.shards), number)


def _words(program: Program, state: EngineState, batch: Batch) -> Ints:
    """The decoded columns, which are only read, and behind them room for those that are worked out."""
    if program.slots == len(program.columns) and batch.words.flags.carray:  # as kernels are compiled for
        return batch.words
    words = state.buffer("words", program.slots, len(batch))
    words[: len(program.columns)] = batch.words
    return words


def _derive(program: Program, state: EngineState, m: Machine, batch: Batch) -> None:
    """Fill the columns that are worked out of others, in the order in which they need each other."""
    whole = Selection(program, m, batch, state.indexes)
    for column in program.derived:
        rows = whole.of_event(column.event)
        if isinstance(column, DerivedColumn):
            args = [m.words[source, rows] for source in column.sources]
            m.words[column.slot, rows] = state.derived.words(column.derivation, args, state.strings)
            if column.derivation.operation == "rostered":
                state.counters.outside_roster += int((m.words[column.slot, rows] == 0).sum())
        else:
            mk.compute(m.code, column.code, m.consts, m.words, rows, column.slot, NO_WORDS, m.stack, m.real)
    state.counters.failed_calls += state.derived.failures()


def _capture(program: Program, state: EngineState, batch: Batch, words: Ints, rows: Ints, base: int) -> None:
    """Remember the events that runs, episodes or matches refer to."""
    if not len(rows):
        return
    columns = [*batch.columns(), *(words[slot] for slot in program.shown)]
    first = state.captures.extend(base + rows)
    parts = np.array_split(rows, len(state.shards))
    starts = first + np.cumsum([0, *(len(part) for part in parts)])
    for_each(parts, lambda number, part: state.captures.fill(int(starts[number]), columns, part))


def _compact(state: EngineState, batch: Batch) -> None:
    """Forget captured events and texts that nothing refers to, once there are twice as many as at the last time."""
    captures = state.captures
    if len(captures) >= captures.compact_at:
        plans = [plan for shard in state.shards for plan in shard.plans]
        captures.forget(referring for plan in plans for referring in plan.references())
    if len(state.strings) >= state.strings.compact_at:
        state.strings.keep(_live_texts(state, batch))
        state.derived.clear()


def _live_texts(state: EngineState, batch: Batch) -> npt.NDArray[np.bool_]:
    """Which text ids the state refers to. A word that is no text may keep a text alive, never the reverse."""
    live = np.zeros(state.strings.capacity, np.bool_)
    words = [batch.words, state.captures.events.words, state.order.held.words, state.consts]
    words += [array for shard in state.shards for part in (*shard.features, *shard.plans) for array in part.words()]
    for array in words:
        flat = array.ravel()
        live[flat[(flat >= 0) & (flat < len(live))]] = True
    return live


__all__ = ["RuleMatches", "StepOutput", "drain", "step"]
